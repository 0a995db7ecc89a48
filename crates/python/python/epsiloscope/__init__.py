"""Record the gradient magnitudes of a training run once, and read off where ε is worth searching.

``epsiloscope.torch`` records PyTorch trainings; nothing here imports torch before that is asked for. Runs that were recorded
answer `estimate`, `candidates` and `histogram`; `analyze` keeps a data set of all of it.
`import_tensorboard` makes runs of histograms that TensorBoard has.
"""

from epsiloscope._import import import_tensorboard
from epsiloscope._native import RecordingError, __version__
from epsiloscope._questions import analyze, candidates, estimate, histogram
from epsiloscope._tables import Candidates, Estimates, Histograms, Table

__all__ = [
    "Candidates",
    "Estimates",
    "Histograms",
    "RecordingError",
    "Table",
    "__version__",
    "analyze",
    "candidates",
    "estimate",
    "histogram",
    "import_tensorboard",
]
