//! What a run will weigh, from what a few of its steps weigh.
//!
//! The bytes of a table are taken to be f·parts + a·steps + b·snapshots. Three flushes give f, a and b: one of many plain
//! steps, one of a single plain step, one of a single step with a snapshot. In `scalars` it is evaluations that
//! count, not snapshots.

use epsiloscope_format::{Table, TableTotals};
use epsiloscope_recorder::WriterOptions;
use serde::Serialize;

use crate::schedule::Schedule;

/// What the three flushes added to each table, in the order of [`Table::ALL`].
pub(crate) struct Trial {
    /// Plain steps of the first flush, more than one.
    pub(crate) n_steps: u32,
    pub(crate) many: Tables<TableTotals>,
    pub(crate) one: Tables<TableTotals>,
    pub(crate) snapshot: Tables<TableTotals>,
}

/// One of each table, in the order of [`Table::ALL`].
pub(crate) type Tables<T> = [T; Table::ALL.len()];

/// What one table of a run weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct TableSize {
    /// Steps that it has rows of.
    pub(crate) steps: u64,
    pub(crate) rows: f64,
    pub(crate) parts: u64,
    pub(crate) bytes: f64,
}

/// What adds to a table.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Costs {
    /// f: what a part takes beside its rows.
    part_bytes: f64,
    step: Rows,
    /// On top of the step's own.
    snapshot: Rows,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Rows {
    rows: f64,
    bytes: f64,
}

impl Trial {
    fn costs(&self) -> Tables<Costs> {
        let usual = self.part_bytes(Table::ALL.len() - 1);
        std::array::from_fn(|table| self.costs_of(table, usual))
    }

    /// f; nothing where every step makes parts of its own, so that they cannot be told apart from it.
    fn part_bytes(&self, table: usize) -> f64 {
        let (n_steps, many, one) = (f64::from(self.n_steps), self.many[table], self.one[table]);
        let parts_saved = n_steps * one.parts as f64 - many.parts as f64;
        let bytes_saved = n_steps * one.bytes as f64 - many.bytes as f64;
        if parts_saved < 1.0 { 0.0 } else { (bytes_saved / parts_saved).max(0.0) }
    }

    /// `usual` is what a part of `steps` takes beside its rows, the only clue to a table that plain steps leave empty.
    fn costs_of(&self, table: usize, usual: f64) -> Costs {
        let (n_steps, many, snapshot) = (f64::from(self.n_steps), self.many[table], self.snapshot[table]);
        let step_rows = many.rows as f64 / n_steps;
        let part_bytes = if many.parts == 0 { usual.min(snapshot.bytes as f64) } else { self.part_bytes(table) };
        let step_bytes = (many.bytes as f64 - part_bytes * many.parts as f64) / n_steps;
        let snapshot_bytes = snapshot.bytes as f64 - part_bytes * snapshot.parts as f64 - step_bytes;
        Costs {
            part_bytes,
            step: Rows { rows: step_rows, bytes: step_bytes },
            snapshot: Rows { rows: (snapshot.rows as f64 - step_rows).max(0.0), bytes: snapshot_bytes.max(0.0) },
        }
    }

    /// Goes through the steps of a run and flushes when the writer would.
    pub(crate) fn extrapolate(
        &self,
        schedule: &Schedule,
        secs_per_step: f64,
        options: WriterOptions,
    ) -> Tables<TableSize> {
        let costs = self.costs();
        let mut sizes = Tables::<TableSize>::default();
        let mut waiting = Tables::<f64>::default();
        let mut secs_since_flush = 0.0;
        for step in 1..=schedule.n_steps {
            secs_since_flush += secs_per_step;
            for (index, table) in Table::ALL.into_iter().enumerate() {
                let added = costs[index].of_step(table, step, schedule);
                waiting[index] += added.rows;
                sizes[index].add(added);
            }
            let is_full = waiting.iter().any(|&rows| options.flush_rows as f64 <= rows);
            if is_full || options.flush_secs <= secs_since_flush || step == schedule.n_steps {
                secs_since_flush = 0.0;
                for ((size, costs), rows) in sizes.iter_mut().zip(&costs).zip(&mut waiting) {
                    size.flush(std::mem::take(rows), costs.part_bytes, options);
                }
            }
        }
        sizes
    }
}

impl Costs {
    fn of_step(&self, table: Table, step: i64, schedule: &Schedule) -> Rows {
        let has_more = if table == Table::Scalars { schedule.is_evaluated(step) } else { schedule.is_snapshot(step) };
        let times = |rows: Rows, happens: bool| if happens { rows } else { Rows::default() };
        let (step, more) = (times(self.step, schedule.is_recorded(step)), times(self.snapshot, has_more));
        Rows { rows: step.rows + more.rows, bytes: step.bytes + more.bytes }
    }
}

impl TableSize {
    fn add(&mut self, added: Rows) {
        self.steps += u64::from(0.0 < added.rows);
        self.rows += added.rows;
        self.bytes += added.bytes;
    }

    /// A part holds less than twice as many rows as make a flush due.
    fn flush(&mut self, rows: f64, part_bytes: f64, options: WriterOptions) {
        if 0.0 < rows {
            let parts = (rows as u64 / options.flush_rows as u64).max(1);
            self.parts += parts;
            self.bytes += part_bytes * parts as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::tests::schedule;

    /// What a trial finds in tables where a part takes 1000 bytes, a step 10 rows of 8 bytes and a snapshot 500 more;
    /// evaluations add two rows of scalars.
    fn trial() -> Trial {
        let added = |parts, rows| TableTotals { parts, rows, bytes: 1000 * parts + 8 * rows };
        let all_but_scalars =
            |totals| Table::ALL.map(|t| if t == Table::Scalars { TableTotals::default() } else { totals });
        let mut snapshot = all_but_scalars(added(1, 510));
        snapshot[3] = added(1, 2);
        Trial { n_steps: 20, many: all_but_scalars(added(2, 200)), one: all_but_scalars(added(1, 10)), snapshot }
    }

    fn assert_size(size: TableSize, steps: u64, rows: f64, parts: u64) {
        let bytes = 1000.0 * parts as f64 + 8.0 * rows;
        assert!((size.bytes - bytes).abs() < 1e-6 * bytes, "{size:?}: expected {bytes} bytes");
        assert_eq!((size.steps, size.rows.to_bits(), size.parts), (steps, rows.to_bits(), parts));
    }

    #[test]
    fn steps_snapshots_and_parts_are_told_apart() {
        // Ten steps of a second each, written every 4 s; snapshots at 5 and 10, evaluations too.
        let options = WriterOptions { flush_secs: 4.0, flush_rows: 100_000 };
        let schedule = schedule("train --out run --batch-size 2 --epochs 2");
        let sizes = trial().extrapolate(&schedule, 1.0, options);
        assert_size(sizes[0], 10, 1100.0, 3);
        assert_size(sizes[3], 2, 4.0, 2);
    }

    #[test]
    fn full_buffers_are_written_and_cadence_counts() {
        // Steps 1, 4, 5, 7, 10, of which 5 and 10 are snapshots.
        let schedule = schedule("calibrate --out run --batch-size 2 --epochs 2 --every 3");
        let sizes = |flush_rows| trial().extrapolate(&schedule, 1.0, WriterOptions { flush_secs: 60.0, flush_rows });
        assert_size(sizes(100_000)[0], 5, 1050.0, 1);
        // 530 rows by step 5, 520 from there: five parts of each.
        assert_size(sizes(100)[1], 5, 1050.0, 10);
        assert_eq!(sizes(100)[3], TableSize::default());
    }

    #[test]
    fn parts_that_grow_with_every_step_cost_nothing_of_their_own() {
        let mut trial = trial();
        for index in 0..Table::ALL.len() {
            trial.many[index].parts = 20;
            trial.many[index].bytes = 20 * trial.one[index].bytes;
        }
        let schedule = schedule("calibrate --out run --batch-size 10 --epochs 3 --snapshot-every 9");
        let size = trial.extrapolate(&schedule, 1.0, WriterOptions { flush_secs: 0.5, flush_rows: 100_000 })[0];
        // A step's part of 1080 bytes and a snapshot's further rows, three times.
        assert!((size.bytes - 3.0 * (1080.0 + 4000.0)).abs() < 1e-6, "{size:?}");
    }
}
