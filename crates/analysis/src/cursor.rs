//! Tables of a run read side by side, step by step, one decoded part per rank in memory.

use std::ops::Range;

use epsiloscope_format::{FormatError, HistogramBatch, MagnitudeBatch, TensorBatch};

use crate::error::AnalysisError;

/// Decoded rows, sorted by step.
pub(crate) trait Rows {
    /// The step of each row.
    fn steps(&self) -> &[i64];
}

impl Rows for MagnitudeBatch {
    fn steps(&self) -> &[i64] {
        self.step.values()
    }
}

impl Rows for HistogramBatch {
    fn steps(&self) -> &[i64] {
        self.step.values()
    }
}

impl Rows for TensorBatch {
    fn steps(&self) -> &[i64] {
        self.step.values()
    }
}

/// What one rank wrote of a table, up to where it has been read.
pub(crate) struct Cursor<'a, B> {
    batches: Box<dyn Iterator<Item = Result<B, FormatError>> + 'a>,
    /// The batch that reading stopped in, and its first row that is still to be taken.
    pending: Option<(B, usize)>,
}

impl<'a, B: Rows> Cursor<'a, B> {
    pub(crate) fn new(batches: impl Iterator<Item = Result<B, FormatError>> + 'a) -> Self {
        Self { batches: Box::new(batches), pending: None }
    }

    /// Hands over all rows of steps up to `last` that have not been taken yet, batch by batch.
    pub(crate) fn through(
        &mut self,
        last: i64,
        mut take: impl FnMut(&B, Range<usize>) -> Result<(), AnalysisError>,
    ) -> Result<(), AnalysisError> {
        loop {
            let (batch, start) = match self.pending.take() {
                Some(pending) => pending,
                None => match self.batches.next() {
                    Some(batch) => (batch?, 0),
                    None => return Ok(()),
                },
            };
            let end = batch.steps().partition_point(|&step| step <= last);
            take(&batch, start..end)?;
            if end < batch.steps().len() {
                self.pending = Some((batch, end));
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Steps(Vec<i64>);

    impl Rows for Steps {
        fn steps(&self) -> &[i64] {
            &self.0
        }
    }

    proptest! {
        /// Each row is taken once, by the first stop at or after its step, however the rows come in batches.
        #[test]
        fn prop_every_row_is_taken_at_its_stop(
            mut steps in prop::collection::vec(1i64..30, 0..60),
            mut stops in prop::collection::vec(1i64..35, 0..6),
            batch_rows in 1usize..20,
        ) {
            steps.sort_unstable();
            stops.sort_unstable();
            let batches: Vec<_> = steps.chunks(batch_rows).map(|rows| Ok(Steps(rows.to_vec()))).collect();
            let mut cursor = Cursor::new(batches.into_iter());
            let mut n_taken = 0;
            for stop in stops {
                let mut taken = Vec::new();
                cursor.through(stop, |batch: &Steps, rows| {
                    taken.extend_from_slice(&batch.0[rows]);
                    Ok(())
                }).unwrap();
                let end = steps.partition_point(|&step| step <= stop);
                prop_assert_eq!(&taken[..], &steps[n_taken..end]);
                n_taken = end;
            }
        }
    }
}
