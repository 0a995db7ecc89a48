//! TensorBoard's event files: a run for each folder that has some.
//!
//! Files of a folder are one run, in the order of their names, which begin with the time. Where a step of a tag is there twice, the later
//! record counts; a session that began again at a step voids what was written of that step and later ones, as in TensorBoard.
//!
//! Files are read twice, so that memory does not grow with them: once for where each histogram lies, and once in the order of
//! steps.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use epsiloscope_format::{
    GRADIENT, Imported, MagnitudePolicy, Manifest, Observation, RunWriter, SourceBins, StepRecord, StepScalars,
    TensorInfo, WriterOptions,
};

use crate::cadence::{cadence, step_offset};
use crate::error::ImportError;
use crate::event::{Event, Value};
use crate::event_file::{EventFile, Found, Location};
use crate::fold::{Folded, Unfit, folded};
use crate::names::names;
use crate::options::{ImportedRun, Options};
use crate::wire::NoMessage;

/// What every name of an event file holds.
const MARK: &str = "tfevents";
/// Folders within folders that are looked through.
const MAX_DEPTH: usize = 8;
/// Notes of a run that are written out; of the others the number is.
const MAX_NOTES: usize = 20;
/// Rows that wait while a run is written, a part each.
const PART_ROWS: usize = 500_000;

/// Makes runs of the event files in `logdir` and the folders below it.
///
/// A folder whose files hold histograms becomes a run: `out` itself if there is one such folder, else a directory below
/// `out` of the folder's own relative path.
///
/// # Errors
/// [`ImportError::Nothing`] if no folder holds a histogram that is asked for, [`ImportError::Bins`] if histograms have other bins
/// than `add_histogram`'s default ones, [`ImportError::Format`] if a run cannot be written or is there already. Runs made before
/// stay.
pub fn tensorboard(logdir: &Path, out: &Path, options: &Options) -> Result<Vec<ImportedRun>, ImportError> {
    let folders = folders(logdir)?;
    let mut indexed = Vec::new();
    for (folder, files) in &folders {
        let index = Index::of(folder, files, options)?;
        if !index.tensors.is_empty() {
            indexed.push(index);
        }
    }
    if indexed.is_empty() {
        let n_files: usize = folders.iter().map(|(_, files)| files.len()).sum();
        let found = match n_files {
            0 => "no event files".to_owned(),
            n_files => format!("no histograms asked for in {n_files} event files"),
        };
        let expected = "files named *tfevents* with histograms of gradients, as add_histogram writes them".to_owned();
        return Err(ImportError::Nothing { path: logdir.to_owned(), found, expected });
    }
    let is_alone = indexed.len() == 1;
    let runs = indexed.into_iter().map(|index| {
        let dir = if is_alone { out.to_owned() } else { below(out, logdir, &index.folder) };
        index.write(&dir, options)
    });
    runs.collect()
}

/// Where the run of a folder below `logdir` goes; that of `logdir` itself is called like it.
fn below(out: &Path, logdir: &Path, folder: &Path) -> PathBuf {
    match folder.strip_prefix(logdir) {
        Ok(relative) if relative.as_os_str().is_empty() => out.join(Manifest::name_from(logdir)),
        Ok(relative) => out.join(relative),
        Err(_elsewhere) => out.join(folder.file_name().unwrap_or_default()),
    }
}

/// Folders with event files, and those files, in order of names.
fn folders(logdir: &Path) -> Result<Vec<(PathBuf, Vec<PathBuf>)>, ImportError> {
    if fs_err::metadata(logdir)?.is_file() {
        let folder = logdir.parent().unwrap_or(Path::new("")).to_owned();
        return Ok(vec![(folder, vec![logdir.to_owned()])]);
    }
    let (mut found, mut open) = (Vec::new(), vec![(logdir.to_owned(), 0)]);
    while let Some((folder, depth)) = open.pop() {
        let mut files = Vec::new();
        for entry in fs_err::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            // A link to a folder could lead back here.
            if kind.is_dir() && depth < MAX_DEPTH {
                open.push((entry.path(), depth + 1));
            } else if !kind.is_dir() && entry.file_name().to_string_lossy().contains(MARK) {
                files.push(entry.path());
            }
        }
        files.sort();
        found.push((folder, files));
    }
    found.retain(|(_, files)| !files.is_empty());
    found.sort();
    Ok(found)
}

/// Where a histogram lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    file: usize,
    location: Location,
    /// Among the values of its record.
    value: usize,
    /// Seconds since 1970.
    time_micros: i64,
}

/// Where the histograms of a folder lie.
struct Index {
    folder: PathBuf,
    files: Vec<PathBuf>,
    /// By tensor: its elements, and its histograms by step as the files count.
    tensors: BTreeMap<String, Series>,
    faults: Notes,
    notes: Notes,
}

struct Series {
    numel: u64,
    places: BTreeMap<i64, Place>,
}

/// What is told of a folder's files.
#[derive(Default)]
struct Notes {
    first: Vec<String>,
    n_more: usize,
}

impl Notes {
    fn add(&mut self, path: &Path, offset: Option<u64>, what: &str) {
        if self.first.len() == MAX_NOTES {
            self.n_more += 1;
            return;
        }
        let place = offset.map_or(String::new(), |offset| format!(" at byte {offset}"));
        self.first.push(format!("{}{place}: {what}", path.display()));
    }

    fn sentences(self) -> Vec<String> {
        let more = (0 < self.n_more).then(|| format!("{} more of these", self.n_more));
        self.first.into_iter().chain(more).collect()
    }
}

impl Index {
    fn of(folder: &Path, files: &[PathBuf], options: &Options) -> Result<Self, ImportError> {
        let mut found = Histograms::default();
        for (file, path) in files.iter().enumerate() {
            found.take(file, path)?;
        }
        let Histograms { mut tags, mut faults, mut notes, unfit } = found;
        let all = tags.keys().chain(unfit.keys()).map(String::as_str).collect();
        let chosen = names(folder, &all, options)?;
        if chosen.n_no_gradients > 0 {
            let what = format!(
                "{} tags without \"grad\" in their names are left out: weights perhaps; --include '*' takes all",
                chosen.n_no_gradients
            );
            notes.add(folder, None, &what);
        }
        if let Some((tag, refused)) =
            unfit.into_iter().find(|(tag, _)| chosen.tensors.values().any(|chosen| chosen == tag))
        {
            let Refused { file, step, reason } = refused;
            return Err(ImportError::Bins { path: files[file].clone(), tag, step, reason });
        }
        let mut tensors = BTreeMap::new();
        for (name, tag) in chosen.tensors {
            let by_step = tags.remove(&tag).unwrap_or_default();
            // Of the first step; other steps of other sizes are not of the same tensor.
            let Some(numel) = by_step.values().next().map(|&(numel, _)| numel) else { continue };
            let mut places = BTreeMap::new();
            for (step, (other, place)) in by_step {
                if other == numel {
                    places.insert(step, place);
                } else {
                    let what = format!("{tag:?} at step {step} is of {other} values: expected {numel}; it is left out");
                    faults.add(&files[place.file], Some(place.location.offset), &what);
                }
            }
            tensors.insert(name, Series { numel, places });
        }
        Ok(Self { folder: folder.to_owned(), files: files.to_vec(), tensors, faults, notes })
    }

    /// The steps of all tensors, as the files count.
    fn steps(&self) -> BTreeSet<i64> {
        self.tensors.values().flat_map(|series| series.places.keys().copied()).collect()
    }

    fn write(self, dir: &Path, options: &Options) -> Result<ImportedRun, ImportError> {
        let counted = self.steps();
        let offset = step_offset(&counted);
        let steps: BTreeSet<i64> = counted.iter().map(|step| step + offset).collect();
        let (Some(&first), Some(&last)) = (steps.first(), steps.last()) else { unreachable!("there are histograms") };
        if first < 1 {
            let (found, expected) = (format!("step {}", first - offset), "steps from 0".to_owned());
            return Err(ImportError::Nothing { path: self.folder, found, expected });
        }
        let manifest = self.manifest(dir, &steps, offset, options);
        let writer = WriterOptions { flush_rows: PART_ROWS, flush_secs: f64::INFINITY };
        let mut writer = RunWriter::create(dir, manifest, writer)?;
        match self.append(&mut writer, offset, options) {
            Ok(()) => drop(writer.finish()?),
            Err(fault) => {
                writer.fail(fault.to_string())?;
                return Err(fault);
            }
        }
        Ok(ImportedRun {
            dir: dir.to_owned(),
            source: self.folder,
            n_steps: steps.len() as u64,
            steps: (first, last),
            n_tensors: self.tensors.len() as u64,
            faults: self.faults.sentences(),
            notes: self.notes.sentences(),
        })
    }

    fn manifest(&self, dir: &Path, steps: &BTreeSet<i64>, step_offset: i64, options: &Options) -> Manifest {
        let tensor = |(name, series): (&String, &Series)| TensorInfo {
            name: name.clone(),
            shape: vec![series.numel as i64],
            recorded_elements: 0,
        };
        let imported = Imported {
            from: "tensorboard".to_owned(),
            step_offset,
            every_step: options.every_step && cadence(steps).is_every_step(),
            bins: Some(SourceBins::TENSORBOARD),
        };
        Manifest {
            magnitudes: MagnitudePolicy::None,
            signs: false,
            cadence: cadence(steps),
            quantities: vec![GRADIENT.to_owned()],
            tensors: self.tensors.iter().map(tensor).collect(),
            ..options.manifest(dir, imported)
        }
    }

    fn append(&self, writer: &mut RunWriter, offset: i64, options: &Options) -> Result<(), ImportError> {
        let mut reader = Reader { files: &self.files, open: BTreeMap::new(), last: None };
        for step in self.steps() {
            let mut record = StepRecord { step: step + offset, ..StepRecord::default() };
            let mut time_micros = 0;
            for (tensor, series) in self.tensors.values().enumerate() {
                let Some(&place) = series.places.get(&step) else { continue };
                let Folded { histogram, summary, .. } = reader.histogram(place)?;
                record.observations.push(Observation { tensor, quantity: 0, histogram, summary, sample: None });
                time_micros = time_micros.max(place.time_micros);
            }
            record.scalars = StepScalars { epoch: options.epoch(record.step), time_micros, ..StepScalars::default() };
            writer.append(record)?;
        }
        Ok(())
    }
}

/// A tag's histogram that is of no use.
struct Refused {
    file: usize,
    step: i64,
    reason: String,
}

/// What files hold, read from front to back.
#[derive(Default)]
struct Histograms {
    /// By tag and step: values counted, and where.
    tags: BTreeMap<String, BTreeMap<i64, (u64, Place)>>,
    faults: Notes,
    notes: Notes,
    /// The first of each tag's.
    unfit: BTreeMap<String, Refused>,
}

impl Histograms {
    fn take(&mut self, file: usize, path: &Path) -> Result<(), ImportError> {
        let mut events = EventFile::open(path)?;
        while let Some(found) = events.next()? {
            match found {
                Found::Damaged { offset, what } => self.faults.add(path, Some(offset), &what),
                Found::Unfinished { offset } => {
                    self.notes.add(
                        path,
                        Some(offset),
                        "the file ends inside a record: its writer goes on, or was killed",
                    );
                }
                Found::Record(location, data) => match Event::decode(&data) {
                    Ok(event) => self.take_event(event, (file, path), location),
                    Err(NoMessage) => {
                        self.faults.add(path, Some(location.offset), "a record that is no event; it is lost");
                    }
                },
            }
        }
        Ok(())
    }

    fn take_event(&mut self, event: Event, (file, path): (usize, &Path), location: Location) {
        let Event { wall_time, step, values, is_start } = event;
        if is_start {
            for by_step in self.tags.values_mut() {
                drop(by_step.split_off(&step));
            }
            self.tags.retain(|_, by_step| !by_step.is_empty());
        }
        let time_micros = (wall_time * 1e6) as i64;
        for (index, value) in values.into_iter().enumerate() {
            match taken(&value) {
                None => {}
                Some(Ok(numel)) => {
                    let place = Place { file, location, value: index, time_micros };
                    self.tags.entry(value.tag).or_default().insert(step, (numel, place));
                }
                Some(Err(Unfit::Bins(reason))) => {
                    self.unfit.entry(value.tag).or_insert(Refused { file, step, reason });
                }
                Some(Err(Unfit::Contradictory(what))) => {
                    let what = format!("{:?} at step {step} contradicts itself, {what}; it is left out", value.tag);
                    self.faults.add(path, Some(location.offset), &what);
                }
            }
        }
    }
}

/// How many values a histogram counts; `None` if it is none.
fn taken(value: &Value) -> Option<Result<u64, Unfit>> {
    if value.is_linear {
        let reason = "30 linear bins, as TensorFlow 2 writes them: one holds nearly every gradient, so that nothing is said of \
                      small magnitudes: expected add_histogram's default bins";
        return Some(Err(Unfit::Bins(reason.to_owned())));
    }
    value.histogram.as_ref().map(|proto| folded(proto).map(|folded| folded.numel))
}

/// Reads histograms again, file by file; a record that holds several is read once.
struct Reader<'a> {
    files: &'a [PathBuf],
    open: BTreeMap<usize, EventFile>,
    last: Option<((usize, Location), Event)>,
}

/// Files that are open at once.
const MAX_OPEN: usize = 64;

impl Reader<'_> {
    fn histogram(&mut self, place: Place) -> Result<Folded, ImportError> {
        let key = (place.file, place.location);
        if self.last.as_ref().is_none_or(|(last, _)| *last != key) {
            self.last = Some((key, self.event(place)?));
        }
        let proto = self.last.as_ref().and_then(|(_, event)| event.values.get(place.value)?.histogram.as_ref());
        proto.and_then(|proto| folded(proto).ok()).ok_or_else(|| self.changed(place))
    }

    fn event(&mut self, place: Place) -> Result<Event, ImportError> {
        if !self.open.contains_key(&place.file) {
            if MAX_OPEN <= self.open.len() {
                self.open.pop_first();
            }
            self.open.insert(place.file, EventFile::open(&self.files[place.file])?);
        }
        let data = match self.open.get_mut(&place.file) {
            Some(file) => file.data(place.location)?,
            None => None,
        };
        data.and_then(|data| Event::decode(&data).ok()).ok_or_else(|| self.changed(place))
    }

    /// The file was sound a moment ago.
    fn changed(&self, place: Place) -> ImportError {
        let expected = format!("the record at byte {} as it was", place.location.offset);
        ImportError::Nothing {
            path: self.files[place.file].clone(),
            found: "changed while it was read".to_owned(),
            expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use epsiloscope_format::Run;
    use proptest::prelude::*;

    use super::*;
    use crate::event::tests::encoded;
    use crate::event_file::masked_crc;
    use crate::fold::tests::made;

    fn record(event: &Event) -> Vec<u8> {
        let data = encoded(event);
        let length = (data.len() as u64).to_le_bytes();
        [&length[..], &masked_crc(&length).to_le_bytes(), &data, &masked_crc(&data).to_le_bytes()].concat()
    }

    fn histogram(tag: &str, step: i64, values: &[f32]) -> Event {
        let value = Value { tag: tag.to_owned(), histogram: Some(made(values)), is_linear: false };
        Event { wall_time: 1.7e9 + step as f64, step, values: vec![value], is_start: false }
    }

    fn written(dir: &Path, name: &str, events: &[Event]) -> PathBuf {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, events.iter().flat_map(record).collect::<Vec<u8>>()).unwrap();
        path
    }

    /// By step: the counts of a run's tensors, bins aside.
    fn totals(dir: &Path) -> BTreeMap<i64, i64> {
        let run = Run::open(dir).unwrap();
        let mut totals = BTreeMap::new();
        for batch in run.histograms() {
            let batch = batch.unwrap();
            for row in 0..batch.step.len() {
                *totals.entry(batch.step.value(row)).or_default() += batch.count.value(row);
            }
        }
        totals
    }

    #[test]
    fn later_files_win_and_sessions_that_begin_again_void_what_came_after() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("logs");
        let of = |step, times: f32| histogram("grad/a", step, &[times * 1e-3; 8]);
        let restart = Event { step: 3, is_start: true, ..Event::default() };
        written(&logs, "events.out.tfevents.1", &[of(0, 1.0), of(1, 1.0), of(2, 1.0), of(3, 1.0), of(4, 1.0)]);
        written(&logs, "events.out.tfevents.2", &[restart, of(2, 3.0), of(3, 3.0)]);
        let runs = tensorboard(&logs, &dir.path().join("run"), &Options::default()).unwrap();
        assert_eq!((runs[0].n_steps, runs[0].steps), (4, (1, 4)));
        let run = Run::open(&runs[0].dir).unwrap();
        let mut greatest = BTreeMap::new();
        for batch in run.tensors() {
            let batch = batch.unwrap();
            greatest.extend(batch.step.values().iter().copied().zip(batch.max.iter().map(Option::unwrap)));
        }
        let found: Vec<f32> = greatest.into_values().map(|max| (max * 1e3).round()).collect();
        assert_eq!(found, [1.0, 1.0, 3.0, 3.0]);
    }

    #[test]
    fn folders_are_runs() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("logs");
        written(&logs, "events.out.tfevents.1", &[histogram("grad/a", 1, &[1e-3])]);
        written(&logs, "seed-1/events.out.tfevents.1", &[histogram("grad/a", 1, &[1e-3])]);
        written(&logs, "scalars/events.out.tfevents.1", &[Event::default()]);
        let out = dir.path().join("runs");
        let runs = tensorboard(&logs, &out, &Options::default()).unwrap();
        let dirs: Vec<&Path> = runs.iter().map(|run| run.dir.as_path()).collect();
        assert_eq!(dirs, [out.join("logs"), out.join("seed-1")]);
        let fault = tensorboard(&logs.join("scalars"), &out, &Options::default()).unwrap_err().to_string();
        assert!(fault.contains("no histograms asked for in 1 event files: expected"), "{fault}");
        let fault = tensorboard(&logs, &out, &Options::default()).unwrap_err().to_string();
        assert!(fault.contains("holds a run already"), "{fault}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Bytes that change, go or come: what is whole is imported, and nothing panics.
        #[test]
        fn prop_damaged_files_lose_no_more_than_what_is_damaged(
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let logs = dir.path().join("logs");
            let events: Vec<Event> = (1..=6).map(|step| histogram("grad/a", step, &[1e-3, -2e-4, 0.0])).collect();
            let path = written(&logs, "events.out.tfevents.1", &events);
            let sound = std::fs::read(&path).unwrap();
            let mut bytes = sound.clone();
            for (index, byte, kind) in &edits {
                let index = index.index(bytes.len());
                match kind {
                    0 => bytes[index] ^= byte,
                    1 => bytes.insert(index, *byte),
                    _ => drop(bytes.remove(index)),
                }
            }
            std::fs::write(&path, &bytes).unwrap();
            let out = dir.path().join("run");
            match tensorboard(&logs, &out, &Options::default()) {
                Ok(runs) => {
                    let found = totals(&out);
                    prop_assert!(6 - edits.len() <= found.len(), "{} steps: {:?}", found.len(), runs[0].faults);
                    prop_assert!(found.values().all(|&total| total == 2));
                    prop_assert!(bytes == sound || found.len() == 6 || !runs[0].faults.is_empty() || !runs[0].notes.is_empty());
                }
                Err(fault) => prop_assert!(edits.len() >= 6, "{}", fault),
            }
        }
    }
}
