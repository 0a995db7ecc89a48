//! Steps in, part files out.
//!
//! Rows are buffered per table and published together, the `steps` table last: a step whose row is listed there is
//! complete in every table. What a crash loses is what was buffered: the steps of the last
//! [`WriterOptions::flush_secs`] seconds, and never much more than [`WriterOptions::flush_rows`] rows of a table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use epsiloscope_histogram::{Histogram, Summary};

use crate::GRADIENT;
use crate::buffers::Buffers;
use crate::error::FormatError;
use crate::manifest::{self, Manifest, Status, TableTotals, Totals};
use crate::parquet_file::encode_table;
use crate::parts::{self, PartEntry, digest, part_name};
use crate::publish::{publish, sync_dir};
use crate::schema::Table;

/// When buffered rows become part files.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// Rows of one table after which a part file is due. `magnitudes` never exceed it, the other tables by a step at
    /// most. A million magnitudes take 6 MiB.
    pub flush_rows: usize,
    /// Seconds that rows wait, at most, while steps keep coming.
    pub flush_secs: f64,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { flush_rows: 1_000_000, flush_secs: 30.0 }
    }
}

/// Everything recorded of one step.
#[derive(Clone, Debug, Default)]
pub struct StepRecord {
    /// Optimizer step, counted from 1.
    pub step: i64,
    /// Scalars.
    pub scalars: StepScalars,
    /// One per tensor and quantity, in ascending order of both.
    pub observations: Vec<Observation>,
}

/// The scalars of a step.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepScalars {
    /// Pass over the data, counted from 1.
    pub epoch: Option<i32>,
    /// Microseconds since 1970, UTC.
    pub time_micros: i64,
    /// As the training loop computed it.
    pub loss: Option<f64>,
    /// Of this step.
    pub learning_rate: Option<f64>,
    /// Divided out of the recorded gradients.
    pub loss_scale: Option<f64>,
}

/// One quantity of one tensor at one step.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Index into [`Manifest::tensors`].
    pub tensor: usize,
    /// Index into [`Manifest::quantities`].
    pub quantity: usize,
    /// Of every element.
    pub histogram: Histogram,
    /// Of every element.
    pub summary: Summary,
    /// Values of the recorded elements, if any.
    pub sample: Option<Sample>,
}

/// Values of some elements, signs included.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Indices into the flattened tensor, ascending; shared by every step.
    pub elements: Arc<[i64]>,
    /// One value per element.
    pub values: Vec<f32>,
}

/// The only writer of a run; dropping it without [`finish`](Self::finish) leaves a readable run marked `running`.
pub struct RunWriter {
    dir: PathBuf,
    manifest: Manifest,
    options: WriterOptions,
    buffers: Buffers,
    last_flush: Instant,
    next_part: u64,
    totals: Totals,
    /// Set while part files are published: if that fails, rows are lost and later ones must not follow.
    rows_lost: bool,
    /// Released by the operating system when the process ends, however it ends.
    _lock: fs_err::File,
}

/// The only rank there is until several processes record one run.
const RANK: u32 = 0;

impl RunWriter {
    /// Makes the run directory and writes its manifest.
    ///
    /// # Errors
    /// [`FormatError::AlreadyARun`] if there is a manifest, [`FormatError::Locked`] if another process records
    /// into it, [`FormatError::Io`] if the directory cannot be written.
    pub fn create(dir: &Path, mut manifest: Manifest, options: WriterOptions) -> Result<Self, FormatError> {
        fs_err::create_dir_all(dir)?;
        let lock = lock(dir)?;
        if dir.join(manifest::FILE_NAME).exists() {
            return Err(FormatError::AlreadyARun { path: dir.to_owned() });
        }
        for table in Table::ALL {
            fs_err::create_dir_all(dir.join(table.name()))?;
        }
        sync_dir(dir)?;
        manifest.quantities.sort();
        manifest.tensors.sort_by(|a, b| a.name.cmp(&b.name));
        manifest.write(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            manifest,
            options,
            buffers: Buffers::default(),
            last_flush: Instant::now(),
            next_part: 0,
            totals: Totals { steps: 0, tables: BTreeMap::new() },
            rows_lost: false,
            _lock: lock,
        })
    }

    /// The manifest, its tensors and quantities in the order that observations refer to.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Takes one step; publishes part files when they are due.
    ///
    /// # Errors
    /// [`FormatError`] if a part cannot be published; what was published before stays readable.
    pub fn append(&mut self, record: &StepRecord) -> Result<(), FormatError> {
        for observation in &record.observations {
            self.append_sample(record.step, observation)?;
            let is_gradient = self.manifest.quantities[observation.quantity] == GRADIENT;
            if self.manifest.histograms || !is_gradient {
                self.buffers.histograms.push(record.step, observation);
            }
            self.buffers.tensors.push(record.step, observation);
        }
        self.buffers.steps.push(record);
        self.totals.steps += 1;
        let due = self.last_flush.elapsed().as_secs_f64() >= self.options.flush_secs;
        if due || self.buffers.longest() >= self.options.flush_rows {
            self.flush()?;
        }
        Ok(())
    }

    /// A step too large for one part goes on in the next; it counts once its row in `steps` is published.
    fn append_sample(&mut self, step: i64, observation: &Observation) -> Result<(), FormatError> {
        let len = observation.sample.as_ref().map_or(0, |sample| sample.values.len());
        let mut start = 0;
        while start < len {
            let room = self.options.flush_rows.saturating_sub(self.buffers.longest());
            if room == 0 {
                self.flush()?;
                continue;
            }
            let end = len.min(start + room);
            self.buffers.magnitudes.push(step, observation, start..end);
            start = end;
        }
        Ok(())
    }

    /// Publishes what is buffered and marks the run finished.
    ///
    /// # Errors
    /// [`FormatError`] if that cannot be written; the run then stays marked `running`.
    pub fn finish(mut self) -> Result<(), FormatError> {
        self.flush()?;
        self.manifest.status = Status::Finished;
        self.manifest.finished = Some(manifest::now());
        self.manifest.totals = Some(self.totals.clone());
        self.manifest.write(&self.dir)
    }

    /// Marks the run failed, after publishing what is buffered, unless publishing is what failed.
    ///
    /// # Errors
    /// [`FormatError`] if that cannot be written either; the run then stays marked `running`.
    pub fn fail(mut self) -> Result<(), FormatError> {
        let published = if self.rows_lost { Ok(()) } else { self.flush() };
        self.manifest.status = Status::Failed;
        self.manifest.finished = Some(manifest::now());
        self.manifest.write(&self.dir).and(published)
    }

    /// Publishes what is buffered; the run goes on.
    ///
    /// # Errors
    /// [`FormatError`] if a part cannot be published; what was published before stays readable.
    pub fn flush(&mut self) -> Result<(), FormatError> {
        self.rows_lost = true;
        let buffers = std::mem::take(&mut self.buffers);
        for (table, rows) in buffers.into_rows(&self.manifest) {
            if let Some((batch, steps)) = rows {
                self.publish_part(table, &batch, steps)?;
            }
        }
        self.next_part += 1;
        self.last_flush = Instant::now();
        self.rows_lost = false;
        Ok(())
    }

    fn publish_part(&mut self, table: Table, batch: &RecordBatch, steps: (i64, i64)) -> Result<(), FormatError> {
        let file = part_name(RANK, self.next_part);
        let dir = self.dir.join(table.name());
        let metadata = [
            ("epsiloscope.table", table.name().to_owned()),
            ("epsiloscope.run", self.manifest.run.clone()),
            ("epsiloscope.magnitudes", format!("{:?}", self.manifest.magnitudes)),
            ("epsiloscope.zeros_nan_infinities", "counted in table tensors, absent from histograms".to_owned()),
        ];
        let bytes = encode_table(table, batch, &metadata)
            .map_err(|source| FormatError::Parquet { path: dir.join(&file), source })?;
        publish(&dir, &file, &bytes)?;
        let entry = PartEntry {
            table,
            file,
            generation: 0,
            rows: batch.num_rows() as u64,
            first_step: steps.0,
            last_step: steps.1,
            bytes: bytes.len() as u64,
            digest: digest(&bytes),
        };
        parts::append(&self.dir, RANK, &entry)?;
        let total: &mut TableTotals = self.totals.tables.entry(table).or_default();
        total.parts += 1;
        total.rows += entry.rows;
        total.bytes += entry.bytes;
        Ok(())
    }
}

fn lock(dir: &Path) -> Result<fs_err::File, FormatError> {
    let path = dir.join(format!("lock-r{RANK:03}"));
    let file = fs_err::OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
    match file.file().try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(FormatError::Locked { path }),
        Err(std::fs::TryLockError::Error(source)) => Err(source.into()),
    }
}
