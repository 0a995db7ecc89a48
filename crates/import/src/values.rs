//! Gradients dumped as arrays: a run as the recorder would have written it.
//!
//! A file holds the arrays of one step, which the digits at the end of its name say (`step-000012.npz`), or arrays of several, each
//! called `step/tensor`. Kernels, sample and writer are the recorder's, so histograms are exact and moments replayed from the run equal
//! PyTorch's. Where only a sample is kept, the critical ε of every element is binned after the last step, as in a calibration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use epsiloscope_format::{
    CriticalEpsilonPolicy, Elements, GRADIENT, Imported, MagnitudePolicy, Manifest, Observation, RunWriter, Sample,
    StepRecord, StepScalars, TensorInfo, WriterOptions,
};
use epsiloscope_moments::{Decay, Moments, Observed, Observer, Optimizer};
use epsiloscope_recording::recorded_elements;

use crate::cadence::{cadence, step_offset};
use crate::error::ImportError;
use crate::names::names;
use crate::options::{ImportedRun, Options};
use crate::value_file::ValueFile;
pub use crate::value_file::ValueFormat;

/// Makes a run of the file `path`, or of the files of that format in the folder `path`.
///
/// # Errors
/// [`ImportError::Nothing`] if there is no array that is asked for, [`ImportError::Values`] if a file cannot be read or
/// contradicts another, [`ImportError::Format`] if the run cannot be written or is there already.
pub fn values(path: &Path, out: &Path, format: ValueFormat, options: &Options) -> Result<ImportedRun, ImportError> {
    let files = files(path, format)?;
    let index = Index::of(path, &files, format, options)?;
    let plan = index.plan(out, options);
    let writer_options = WriterOptions { flush_secs: f64::INFINITY, ..WriterOptions::default() };
    let mut writer = RunWriter::create(out, plan.manifest.clone(), writer_options)?;
    let steps: Vec<i64> = index.places.keys().map(|step| step + index.step_offset).collect();
    match plan.append(&index, &mut writer, options) {
        Ok(()) => drop(writer.finish()?),
        Err(fault) => {
            writer.fail(fault.to_string())?;
            return Err(fault);
        }
    }
    let notes = match index.n_no_gradients {
        0 => Vec::new(),
        n => vec![format!(
            "{}: {n} arrays without \"grad\" in their names are left out; --include '*' takes all",
            path.display()
        )],
    };
    Ok(ImportedRun {
        dir: out.to_owned(),
        source: path.to_owned(),
        n_steps: steps.len() as u64,
        steps: (steps.first().copied().unwrap_or(0), steps.last().copied().unwrap_or(0)),
        n_tensors: index.shapes.len() as u64,
        faults: Vec::new(),
        notes,
    })
}

fn files(path: &Path, format: ValueFormat) -> Result<Vec<PathBuf>, ImportError> {
    if !fs_err::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs_err::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == format.name()) && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        let (found, expected) = ("no such files".to_owned(), format!("files named *.{}", format.name()));
        return Err(ImportError::Nothing { path: path.to_owned(), found, expected });
    }
    Ok(files)
}

/// Where each gradient is.
struct Index {
    files: Vec<PathBuf>,
    format: ValueFormat,
    /// By step as the files count, and tensor: the file and the array's name.
    places: BTreeMap<i64, BTreeMap<String, (usize, String)>>,
    shapes: BTreeMap<String, Vec<u64>>,
    step_offset: i64,
    n_no_gradients: usize,
}

impl Index {
    fn of(path: &Path, files: &[PathBuf], format: ValueFormat, options: &Options) -> Result<Self, ImportError> {
        let mut arrays = Vec::new();
        for (file, path) in files.iter().enumerate() {
            for (step, key, array, shape) in keyed(path, format.open(path)?.arrays()?)? {
                arrays.push((step, key, file, array, shape));
            }
        }
        let tags: BTreeSet<&str> = arrays.iter().map(|(_, key, ..)| key.as_str()).collect();
        let chosen = names(path, &tags, options)?;
        let by_tag: BTreeMap<&String, &String> = chosen.tensors.iter().map(|(name, tag)| (tag, name)).collect();
        let mut index = Self {
            places: BTreeMap::new(),
            shapes: BTreeMap::new(),
            step_offset: 0,
            n_no_gradients: chosen.n_no_gradients,
            files: files.to_vec(),
            format,
        };
        for (step, key, file, array, shape) in arrays {
            let Some(&name) = by_tag.get(&key) else { continue };
            let fault = |reason| Err(ImportError::Values { path: files[file].clone(), reason });
            let known = index.shapes.entry(name.clone()).or_insert_with(|| shape.clone());
            if *known != shape {
                return fault(format!(
                    "array {array:?} is of shape {shape:?}: expected {known:?}, as in the files before"
                ));
            }
            if index.places.entry(step).or_default().insert(name.clone(), (file, array.clone())).is_some() {
                return fault(format!("array {array:?}: step {step} has it already"));
            }
        }
        let steps: BTreeSet<i64> = index.places.keys().copied().collect();
        if steps.is_empty() {
            let (found, expected) = ("no arrays asked for".to_owned(), "arrays of gradients by tensor".to_owned());
            return Err(ImportError::Nothing { path: path.to_owned(), found, expected });
        }
        index.step_offset = step_offset(&steps);
        Ok(index)
    }

    fn steps(&self) -> BTreeSet<i64> {
        self.places.keys().map(|step| step + self.step_offset).collect()
    }

    fn plan(&self, out: &Path, options: &Options) -> Plan {
        let cadence = cadence(&self.steps());
        let is_every_step = cadence.is_every_step() && self.steps().len() as i64 == *self.steps().last().unwrap_or(&0);
        let usual = Decay::default();
        let decay = Decay {
            beta1: options.optimizer.beta1.unwrap_or(usual.beta1),
            beta2: options.optimizer.beta2.unwrap_or(usual.beta2),
        };
        // A moment takes every step; and where every value is kept, replaying tells the same and more.
        let keeps_moments = is_every_step && options.magnitudes != MagnitudePolicy::All;
        let optimizers = if keeps_moments { Optimizer::DEFAULT.to_vec() } else { Vec::new() };
        let mut quantities: Vec<String> = optimizers.iter().map(|optimizer| optimizer.quantity()).collect();
        quantities.push(GRADIENT.to_owned());
        quantities.sort();
        let tensors: Vec<Planned> =
            self.shapes.iter().map(|(name, shape)| Planned::of(name, shape, options.magnitudes)).collect();
        let moments_of = |tensor: &Planned| {
            optimizers.iter().map(|&optimizer| Moments::new(optimizer, decay, tensor.info.numel() as usize)).collect()
        };
        let imported = Imported {
            from: self.format.name().to_owned(),
            step_offset: self.step_offset,
            every_step: is_every_step,
            bins: None,
        };
        let manifest = Manifest {
            magnitudes: options.magnitudes,
            cadence,
            quantities,
            critical_epsilon: keeps_moments.then_some(CriticalEpsilonPolicy {
                beta1: decay.beta1,
                beta2: decay.beta2,
                every_step: false,
                elements: false,
            }),
            tensors: tensors.iter().map(|tensor| tensor.info.clone()).collect(),
            ..options.manifest(out, imported)
        };
        Plan {
            moments: tensors.iter().map(moments_of).collect(),
            tensors,
            optimizers,
            manifest,
            observer: Observer::new(),
        }
    }
}

/// The arrays of a file, each with its step, its name without it, its whole name and its shape.
type Keyed = Vec<(i64, String, String, Vec<u64>)>;

fn keyed(path: &Path, arrays: Vec<(String, Vec<u64>)>) -> Result<Keyed, ImportError> {
    let split = |name: &str| {
        let (step, tensor) = name.split_once('/')?;
        let is_number = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
        Some((step.parse().ok().filter(|_| is_number)?, tensor.to_owned()))
    };
    if arrays.iter().all(|(name, _)| split(name).is_some()) {
        let keyed = |(name, shape): (String, Vec<u64>)| split(&name).map(|(step, tensor)| (step, tensor, name, shape));
        return Ok(arrays.into_iter().filter_map(keyed).collect());
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let digits = &name[name.trim_end_matches(|last: char| last.is_ascii_digit()).len()..];
    let step: i64 = digits.parse().map_err(|_no_number| ImportError::Values {
        path: path.to_owned(),
        reason: "expected the step as digits at the end of the file's name, or arrays named step/tensor".to_owned(),
    })?;
    Ok(arrays.into_iter().map(|(name, shape)| (step, name.clone(), name, shape)).collect())
}

/// A tensor, and the elements whose values are kept.
struct Planned {
    info: TensorInfo,
    elements: Kept,
}

enum Kept {
    All,
    Listed(Arc<[i64]>),
}

impl Planned {
    fn of(name: &str, shape: &[u64], policy: MagnitudePolicy) -> Self {
        let shape: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        let mut info = TensorInfo { name: name.to_owned(), shape, recorded_elements: 0 };
        let numel = info.numel();
        let elements = if policy.is_complete(numel) {
            Kept::All
        } else {
            Kept::Listed(recorded_elements(policy, name, numel as usize).into())
        };
        info.recorded_elements = match &elements {
            Kept::All => numel,
            Kept::Listed(elements) => elements.len() as u64,
        };
        Self { info, elements }
    }

    fn sample(&self, values: &[f32]) -> Option<Sample> {
        match &self.elements {
            Kept::All => Some(Sample { elements: Elements::From(0), values: values.to_vec() }),
            Kept::Listed(elements) if elements.is_empty() => None,
            Kept::Listed(elements) => Some(Sample {
                elements: Elements::Listed(Arc::clone(elements)),
                values: elements.iter().map(|&element| values[element as usize]).collect(),
            }),
        }
    }
}

/// What is written of the gradients.
struct Plan {
    manifest: Manifest,
    tensors: Vec<Planned>,
    optimizers: Vec<Optimizer>,
    /// Tensor by tensor, one per optimizer.
    moments: Vec<Vec<Moments>>,
    observer: Observer,
}

impl Plan {
    fn append(mut self, index: &Index, writer: &mut RunWriter, options: &Options) -> Result<(), ImportError> {
        let last_step = index.places.keys().last().copied();
        let mut open: Option<(usize, ValueFile)> = None;
        for (&counted, places) in &index.places {
            let step = counted + index.step_offset;
            let mut record = StepRecord { step, ..StepRecord::default() };
            let mut time_micros = 0;
            for tensor in 0..self.tensors.len() {
                let place = places.get(&self.tensors[tensor].info.name);
                let is_last = Some(counted) == last_step;
                let Some((file, array)) = place else {
                    if is_last {
                        self.take_moments(tensor, Vec::new(), &mut record.observations);
                    }
                    continue;
                };
                if open.as_ref().is_none_or(|(of, _)| of != file) {
                    open = Some((*file, index.format.open(&index.files[*file])?));
                    time_micros = time_micros.max(modified(&index.files[*file]));
                }
                let Some((_, values)) = &mut open else { unreachable!("a file is open") };
                let values = values.values(array)?;
                self.take(tensor, &values, is_last, (&index.files[*file], array), &mut record.observations)?;
            }
            record.observations.sort_by_key(|observation| (observation.tensor, observation.quantity));
            record.scalars = StepScalars { epoch: options.epoch(step), time_micros, ..StepScalars::default() };
            writer.append(record)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        tensor: usize,
        values: &[f32],
        is_last: bool,
        (path, array): (&Path, &str),
        observations: &mut Vec<Observation>,
    ) -> Result<(), ImportError> {
        let planned = &self.tensors[tensor];
        if values.len() as u64 != planned.info.numel() {
            let reason = format!("array {array:?}: {} values: expected {}", values.len(), planned.info.numel());
            return Err(ImportError::Values { path: path.to_owned(), reason });
        }
        let (gradient, critical) = self.observer.observe(values, &mut self.moments[tensor], is_last);
        let Observed { histogram, summary } = gradient;
        let quantity = self.quantity(GRADIENT);
        observations.push(Observation {
            tensor,
            quantity,
            histogram,
            summary,
            sample: self.tensors[tensor].sample(values),
        });
        if is_last {
            self.take_moments(tensor, critical, observations);
        }
        Ok(())
    }

    /// Takes the critical ε of a tensor; those that were not observed with its gradient, of the moments as they are.
    fn take_moments(&mut self, tensor: usize, observed: Vec<Observed>, observations: &mut Vec<Observation>) {
        let mut observed = observed.into_iter();
        for index in 0..self.optimizers.len() {
            if self.moments[tensor][index].steps() == 0 {
                continue;
            }
            let Observed { histogram, summary } = observed.next().unwrap_or_else(|| {
                self.observer.observe(&self.moments[tensor][index].critical_epsilon(), &mut [], false).0
            });
            let quantity = self.quantity(&self.optimizers[index].quantity());
            observations.push(Observation { tensor, quantity, histogram, summary, sample: None });
        }
    }

    fn quantity(&self, name: &str) -> usize {
        self.manifest.quantity_index(name).expect("the manifest lists what is written")
    }
}

/// When a file was written, in microseconds since 1970; a label of its steps.
fn modified(path: &Path) -> i64 {
    let modified = fs_err::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).ok();
    modified.and_then(since).map_or(0, |elapsed| elapsed.as_micros() as i64)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use epsiloscope_format::Run;
    use proptest::prelude::*;
    use safetensors::tensor::{Dtype, TensorView};
    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// Arrays of two tensors at two steps, as NumPy and safetensors write them.
    fn file(format: ValueFormat) -> Vec<u8> {
        let arrays: Vec<(String, Vec<u8>)> = ["1/a", "1/b", "2/a", "2/b"]
            .iter()
            .map(|name| ((*name).to_owned(), bytes(&[1e-3, -2e-3, 0.0, f32::NAN])))
            .collect();
        match format {
            ValueFormat::Npz => {
                let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
                let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
                for (name, values) in &arrays {
                    archive.start_file(format!("{name}.npy"), stored).unwrap();
                    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n";
                    archive.write_all(b"\x93NUMPY\x01\x00").unwrap();
                    archive.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
                    archive.write_all(header.as_bytes()).unwrap();
                    archive.write_all(values).unwrap();
                }
                archive.finish().unwrap().into_inner()
            }
            ValueFormat::Safetensors => {
                let view = |values| TensorView::new(Dtype::F32, vec![2, 2], values).unwrap();
                safetensors::serialize(arrays.iter().map(|(name, values)| (name, view(values))), &None).unwrap()
            }
        }
    }

    fn import(format: ValueFormat, bytes: &[u8], dir: &Path) -> Result<ImportedRun, ImportError> {
        let path = dir.join("gradients");
        std::fs::write(&path, bytes).unwrap();
        values(&path, &dir.join("run"), format, &Options::default())
    }

    #[test]
    fn arrays_of_several_steps_are_a_run() {
        for format in [ValueFormat::Npz, ValueFormat::Safetensors] {
            let dir = tempfile::tempdir().unwrap();
            let run = import(format, &file(format), dir.path()).unwrap();
            assert_eq!((run.n_steps, run.steps, run.n_tensors), (2, (1, 2), 2));
            let run = Run::open(&run.dir).unwrap();
            assert_eq!(run.magnitudes().map(|batch| batch.unwrap().magnitude.len()).sum::<usize>(), 16);
            assert!(run.manifest().imported.as_ref().unwrap().every_step);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        /// Bytes that change or are cut off: a run, or a line that names the file.
        #[test]
        fn prop_damaged_files_are_refused_or_read(
            is_npz in any::<bool>(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            kept in prop_oneof![3 => Just(1.0), 1 => 0.0..1.0f64],
        ) {
            let format = if is_npz { ValueFormat::Npz } else { ValueFormat::Safetensors };
            let dir = tempfile::tempdir().unwrap();
            let mut bytes = file(format);
            for (index, byte) in edits {
                let index = index.index(bytes.len());
                bytes[index] ^= byte;
            }
            bytes.truncate((bytes.len() as f64 * kept) as usize);
            match import(format, &bytes, dir.path()) {
                Ok(run) => prop_assert!(Run::open(&run.dir).is_ok()),
                Err(fault) => prop_assert!(fault.to_string().contains("gradients") || fault.to_string().contains("run")),
            }
        }
    }
}
