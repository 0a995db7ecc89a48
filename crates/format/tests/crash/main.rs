//! What is left of a run after its recorder was killed, its disk failed, or others wanted to record it too.
//!
//! Every test reads the run back twice: through [`Run`](epsiloscope_format::Run), and as somebody does who knows of
//! nothing but `<table>/*.parquet`.

mod child;
mod compacting;
mod failing_disk;
mod faults;
mod kills_at_random;
mod kills_everywhere;
mod locks;
mod model;
mod recording;
mod views;
