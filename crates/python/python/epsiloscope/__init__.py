"""Record the gradient magnitudes of a training run once, and read off where ε is worth searching.

``epsiloscope.torch`` records PyTorch trainings; nothing here imports torch before that is asked for.
"""

from epsiloscope._native import RecordingError, __version__

__all__ = ["RecordingError", "__version__"]
