//! The moments behind critical ε in a file, so that an interrupted recording goes on with them.
//!
//! A safetensors file of tensors `<optimizer>/<tensor>/{first,second,max,steps}`.

use std::collections::BTreeMap;
use std::path::Path;

use epsiloscope_moments::{Decay, Moments, Optimizer, State};
use tch::{Kind, TchError, Tensor};

use crate::error::RecorderError;

/// The moments of one optimizer over the elements of one tensor, on the host.
pub(crate) struct TensorMoments {
    pub(crate) optimizer: Optimizer,
    pub(crate) steps: u64,
    pub(crate) first: Tensor,
    pub(crate) second: Tensor,
    pub(crate) max: Tensor,
}

impl TensorMoments {
    pub(crate) fn of(moments: &Moments) -> Self {
        Self {
            optimizer: moments.optimizer(),
            steps: moments.steps(),
            first: Tensor::from_slice(moments.first()),
            second: Tensor::from_slice(moments.second()),
            max: Tensor::from_slice(moments.max()),
        }
    }
}

/// Writes the moments of named tensors; an existing file is replaced at once or not at all.
pub(crate) fn write(path: &Path, moments: Vec<(String, Vec<TensorMoments>)>) -> Result<(), RecorderError> {
    let mut tensors = Vec::new();
    for (name, moments) in moments {
        for each in moments {
            let key = |part: &str| format!("{}/{name}/{part}", each.optimizer);
            tensors.push((key("steps"), Tensor::from_slice(&[each.steps as i64])));
            tensors.push((key("first"), each.first));
            tensors.push((key("second"), each.second));
            tensors.push((key("max"), each.max));
        }
    }
    let fault = |source: TchError| RecorderError::Moments { path: path.to_owned(), reason: source.to_string() };
    let temporary = path.with_extension("partial");
    Tensor::write_safetensors(&tensors, &temporary).map_err(fault)?;
    std::fs::rename(&temporary, path)
        .map_err(|source| RecorderError::Moments { path: path.to_owned(), reason: source.to_string() })
}

/// Reads the moments of one tensor for each optimizer.
pub(crate) struct MomentsFile<'a> {
    path: &'a Path,
    tensors: BTreeMap<String, Tensor>,
}

impl<'a> MomentsFile<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Self, RecorderError> {
        let tensors = Tensor::read_safetensors(path)
            .map_err(|source| RecorderError::Moments { path: path.to_owned(), reason: source.to_string() })?;
        Ok(Self { path, tensors: tensors.into_iter().collect() })
    }

    pub(crate) fn moments(
        &self,
        name: &str,
        optimizer: Optimizer,
        decay: Decay,
        numel: usize,
    ) -> Result<Moments, RecorderError> {
        let fault = |reason: String| RecorderError::Moments { path: self.path.to_owned(), reason };
        let values = |part: &str, kind: Kind| {
            let key = format!("{optimizer}/{name}/{part}");
            let found = self.tensors.get(&key).filter(|tensor| tensor.kind() == kind);
            found.ok_or_else(|| fault(format!("expected a tensor {key:?} of type {kind:?}")))
        };
        let floats = |part| -> Result<Vec<f32>, RecorderError> {
            values(part, Kind::Float)?.try_into().map_err(|source: TchError| fault(source.to_string()))
        };
        let state = State { first: floats("first")?, second: floats("second")?, max: floats("max")? };
        let found = state.second.len();
        if found != numel {
            return Err(fault(format!("moments of {found} elements for {name}: expected {numel}")));
        }
        let steps = values("steps", Kind::Int64)?.int64_value(&[0]);
        let steps = u64::try_from(steps).map_err(|_negative| fault(format!("{steps} steps for {name}")))?;
        Moments::restore(optimizer, decay, steps, state).map_err(|source| fault(source.to_string()))
    }
}
