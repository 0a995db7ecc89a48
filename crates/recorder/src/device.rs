//! Counting where the gradients are, by libtorch operations alone: on a GPU only counts and recorded elements come back,
//! once per recorded step, and nothing waits for the GPU before that.
//!
//! Counts are those of the host's kernel bit for bit ([`epsiloscope_histogram::device`] explains the table). Moments take
//! the operations of PyTorch's optimizers in PyTorch's order, so on a device they have the bits that PyTorch's would have there.
//! Sums of squares are `f64` sums in libtorch's order.

use epsiloscope_format::{Elements, Observation, Sample};
use epsiloscope_histogram::{Summary, device as bins};
use epsiloscope_moments::{Moments, Observed};
use tch::{Device, Kind, TchError, Tensor};

use crate::device_moments::DeviceMoments;
use crate::engine::{Engine, EnginePlan, RecordedElements, Wanted};
use crate::host::observation;
use crate::moments_file::TensorMoments;

/// The engine for gradients on a device.
pub(crate) struct DeviceEngine {
    plan: EnginePlan,
    /// The device's copy of [`bins::table`].
    table: Tensor,
    /// The device's copies of recorded elements; `None` for all or none.
    elements: Vec<Option<Tensor>>,
    /// Tensor by tensor, one per optimizer.
    moments: Vec<Vec<DeviceMoments>>,
    pending: Vec<Pending>,
}

/// An observation still on the device.
struct Pending {
    tensor: usize,
    quantity: usize,
    /// `[N_SLOTS]`, `i32`.
    counts: Tensor,
    /// Least non-zero, greatest, sum of squares; `[3]`, `f64`.
    summary: Tensor,
    sample: Option<(Elements, Tensor)>,
}

impl DeviceEngine {
    pub(crate) fn new(plan: EnginePlan, moments: &[Vec<Moments>], device: Device) -> Self {
        let elements = plan.tensors.iter().map(|tensor| match &tensor.elements {
            RecordedElements::Listed(elements) if !elements.is_empty() => {
                Some(Tensor::from_slice(elements).to_device(device))
            }
            RecordedElements::All | RecordedElements::Listed(_) => None,
        });
        let on_device = |moments: &Vec<Moments>| moments.iter().map(|each| DeviceMoments::new(each, device)).collect();
        Self {
            elements: elements.collect(),
            table: Tensor::from_slice(&bins::table()).to_device(device),
            moments: moments.iter().map(on_device).collect(),
            plan,
            pending: Vec::new(),
        }
    }

    fn observe(
        &mut self,
        (tensor, quantity): (usize, usize),
        values: &Tensor,
        sample: Option<(Elements, Tensor)>,
    ) -> Result<(), TchError> {
        let (counts, summary) = (self.counts(values)?, summary(values)?);
        self.pending.push(Pending { tensor, quantity, counts, summary, sample });
        Ok(())
    }

    /// How many values have each slot.
    fn counts(&self, values: &Tensor) -> Result<Tensor, TchError> {
        let slots = self.slots(values)?;
        let ones = Tensor::f_ones([1], (Kind::Int, values.device()))?.f_expand_as(&slots)?;
        Tensor::f_zeros([bins::N_SLOTS as i64], (Kind::Int, values.device()))?.f_scatter_add_(0, &slots, &ones)
    }

    /// The formula of [`bins`], over all values at once.
    fn slots(&self, values: &Tensor) -> Result<Tensor, TchError> {
        let raw = values.f_view_dtype(Kind::Int)?;
        let magnitude = raw.f_bitwise_and(0x7fff_ffff)?;
        let is_subnormal = magnitude.f_lt(i64::from(bins::MIN_NORMAL_BITS))?;
        let y = magnitude.f_to_kind(Kind::Float)?.f_view_dtype(Kind::Int)?.f_where_self(&is_subnormal, &magnitude)?;
        let cell = y.f_bitwise_right_shift_tensor_scalar(i64::from(bins::CELL_SHIFT))?;
        let cell = cell.f_add(&is_subnormal.f_to_kind(Kind::Int)?.f_mul_scalar(i64::from(bins::SUBNORMAL_CELLS))?)?;
        let low = y.f_bitwise_and((1_i64 << bins::CELL_SHIFT) - 1)?;
        let slot = self.table.f_index_select(0, &cell)?.f_add(&low)?;
        let slot = slot.f_bitwise_right_shift_tensor_scalar(i64::from(bins::CELL_SHIFT))?;
        let is_neg_inf = raw.f_eq(i64::from(bins::NEG_INF_BITS))?.f_to_kind(Kind::Int)?;
        slot.f_add(&is_neg_inf.f_mul_scalar(i64::from(bins::NEG_INF_OFFSET))?)?.f_to_kind(Kind::Int64)
    }

    /// Values of the elements that are recorded at every step.
    fn sample(&self, tensor: usize, values: &Tensor) -> Result<Option<(Elements, Tensor)>, TchError> {
        let Some(elements) = self.plan.tensors[tensor].recorded() else { return Ok(None) };
        let values = match &self.elements[tensor] {
            Some(chosen) => values.f_index_select(0, chosen)?,
            None => values.f_detach_copy()?,
        };
        Ok(Some((elements, values)))
    }
}

impl Engine for DeviceEngine {
    fn take(&mut self, tensor: usize, gradient: Option<&Tensor>, wanted: Wanted) -> Result<(), TchError> {
        if let Some(gradient) = gradient {
            let gradient = gradient.f_contiguous()?.f_flatten(0, -1)?;
            if wanted.gradient {
                let sample = self.sample(tensor, &gradient)?;
                self.observe((tensor, self.plan.quantities.gradient), &gradient, sample)?;
            }
            for moments in self.moments[tensor].iter_mut().filter(|_| wanted.moments) {
                moments.update(&gradient)?;
            }
        }
        for index in 0..if wanted.critical_epsilon { self.moments[tensor].len() } else { 0 } {
            let Some(values) = self.moments[tensor][index].critical_epsilon()? else { continue };
            let first = Elements::From(self.plan.tensors[tensor].offset);
            let sample = wanted.elements.then(|| (first, values.shallow_clone()));
            self.observe((tensor, self.plan.quantities.critical_epsilon[index]), &values, sample)?;
        }
        Ok(())
    }

    /// The one moment that waits for the device.
    fn collect(&mut self) -> Result<Vec<Observation>, TchError> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(Vec::new());
        }
        let counts: Vec<&Tensor> = pending.iter().map(|each| &each.counts).collect();
        let counts: Vec<i32> = to_host(&Tensor::f_cat(&counts, 0)?, Kind::Int)?.try_into()?;
        let summaries: Vec<&Tensor> = pending.iter().map(|each| &each.summary).collect();
        let summaries: Vec<f64> = to_host(&Tensor::f_cat(&summaries, 0)?, Kind::Double)?.try_into()?;
        let samples: Vec<&Tensor> = pending.iter().filter_map(|each| Some(&each.sample.as_ref()?.1)).collect();
        let samples: Vec<f32> = if samples.is_empty() {
            Vec::new()
        } else {
            to_host(&Tensor::f_cat(&samples, 0)?, Kind::Float)?.try_into()?
        };
        let mut samples = &samples[..];
        let mut observations = Vec::with_capacity(pending.len());
        for ((each, counts), summary) in
            pending.into_iter().zip(counts.chunks(bins::N_SLOTS)).zip(summaries.as_chunks().0)
        {
            let counts: Vec<u64> = counts.iter().map(|&count| u64::from(count.unsigned_abs())).collect();
            let observed = Observed { histogram: bins::histogram(&counts), summary: read_summary(summary) };
            let sample = each.sample.map(|(elements, values)| {
                let (own, rest) = samples.split_at(values.numel());
                samples = rest;
                Sample { elements, values: own.to_vec() }
            });
            observations.push(observation((each.tensor, each.quantity), observed, sample));
        }
        Ok(observations)
    }

    fn moments(&self) -> Result<Vec<Vec<TensorMoments>>, TchError> {
        let of_tensor = |moments: &Vec<DeviceMoments>| moments.iter().map(DeviceMoments::to_host).collect();
        self.moments.iter().map(of_tensor).collect()
    }
}

fn to_host(tensor: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
    tensor.f_to_device(Device::Cpu)?.f_to_kind(kind)
}

/// Least non-zero magnitude (∞ if there is none), greatest finite one (−1), sum of squares.
fn summary(values: &Tensor) -> Result<Tensor, TchError> {
    if values.numel() == 0 {
        return Tensor::from_slice(&[f64::INFINITY, -1.0, 0.0]).f_to_device(values.device());
    }
    let magnitudes = values.f_abs()?;
    let is_finite = values.f_isfinite()?;
    let is_common = is_finite.f_logical_and(&magnitudes.f_gt(0.0)?)?;
    let scalar = |value: f64| Tensor::f_full([1], value, (Kind::Float, values.device()));
    let min = magnitudes.f_where_self(&is_common, &scalar(f64::INFINITY)?)?.f_min()?;
    let max = magnitudes.f_where_self(&is_finite, &scalar(-1.0)?)?.f_max()?;
    let finite = values.f_where_self(&is_finite, &scalar(0.0)?)?.f_to_kind(Kind::Double)?;
    let sum_of_squares = finite.f_square()?.f_sum(Kind::Double)?;
    let parts = [min.f_to_kind(Kind::Double)?, max.f_to_kind(Kind::Double)?, sum_of_squares];
    Tensor::f_stack(&parts, 0)
}

fn read_summary(&[min, max, sum_of_squares]: &[f64; 3]) -> Summary {
    Summary {
        min_nonzero: min.is_finite().then_some(min as f32),
        max: (0.0 <= max).then_some(max as f32),
        sum_of_squares,
    }
}
