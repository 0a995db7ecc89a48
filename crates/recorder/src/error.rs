//! Everything that can go wrong with a recording.

use epsiloscope_recording::RecordingError;
use tch::TchError;

/// Why recording could not begin, ended early, or lost something.
pub type RecorderError = RecordingError<TchError>;
