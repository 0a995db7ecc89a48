//! Counting on the host and by libtorch operations on the device of the gradients gives the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use epsiloscope_format::GRADIENT;
use epsiloscope_recorder::{CountOn, MagnitudePolicy, Optimizer, Recorder, RecorderBuilder, StepInfo};
use tch::nn::VarStore;
use tch::{Cuda, Device, Kind, Tensor};

use crate::common::{
    floats, give_gradient, recorded_histograms, recorded_steps, recorded_summaries, recorded_values, settings, torch,
};

/// Two recordings of the same gradients.
struct Pair {
    _dir: tempfile::TempDir,
    host: PathBuf,
    device: PathBuf,
    host_moments: BTreeMap<String, Tensor>,
    device_moments: BTreeMap<String, Tensor>,
}

fn record_both(
    device: Device,
    gradients: &[Tensor],
    options: impl Fn(RecorderBuilder<'_>) -> RecorderBuilder<'_>,
) -> Pair {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    let var_store = VarStore::new(device);
    let parameter = var_store.root().zeros("p", &gradients[0].size());
    let start = |count_on, name| {
        options(Recorder::builder(&var_store, settings())).count_on(count_on).start(&place(name)).unwrap()
    };
    let mut recorders = [start(CountOn::Host, "host"), start(CountOn::Device, "device")];
    for (step, gradient) in (1..).zip(gradients) {
        give_gradient(&parameter, &gradient.to_device(device));
        let snapshot = step % 5 == 0;
        for recorder in &mut recorders {
            recorder.step(&StepInfo { snapshot, ..StepInfo::default() });
        }
    }
    let [host_moments, device_moments] = ["host", "device"].map(|name| place(name).with_extension("moments"));
    let [host, device] = recorders;
    for (recorder, moments) in [(host, &host_moments), (device, &device_moments)] {
        recorder.save_moments(moments).unwrap();
        recorder.finish().unwrap();
    }
    let read = |path: &Path| Tensor::read_safetensors(path).unwrap().into_iter().collect();
    Pair {
        host: place("host"),
        device: place("device"),
        host_moments: read(&host_moments),
        device_moments: read(&device_moments),
        _dir: dir,
    }
}

/// Gradient histograms, extremes and samples are the same, sums of squares but for the order of addition.
fn assert_same_gradients(pair: &Pair) {
    let of_gradients = |key: &(i64, String, String)| key.2 == GRADIENT;
    let (host, device) = (recorded_histograms(&pair.host), recorded_histograms(&pair.device));
    assert!(host.iter().filter(|(key, _)| of_gradients(key)).eq(device.iter().filter(|(key, _)| of_gradients(key))));
    let bits = |dir: &Path| -> Vec<_> {
        let values = recorded_values(dir).into_iter().filter(|(key, _)| of_gradients(key));
        values.flat_map(|(_, values)| values).map(|(element, value)| (element, value.to_bits())).collect()
    };
    assert_eq!(bits(&pair.host), bits(&pair.device));
    let (host, device) = (recorded_summaries(&pair.host), recorded_summaries(&pair.device));
    for (key, (extremes, squares)) in host.iter().filter(|(key, _)| of_gradients(key)) {
        let (other_extremes, other_squares) = &device[key];
        assert_eq!(extremes, other_extremes, "{key:?}");
        assert!((squares - other_squares).abs() <= 1e-12 * squares, "{key:?}: {squares} against {other_squares}");
    }
    assert_eq!(recorded_steps(&pair.host), recorded_steps(&pair.device));
}

/// Every kind of float: special ones, bin edges and their neighbours, and any bits.
fn crafted() -> Tensor {
    let special =
        [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN_POSITIVE, 1e-45, -1e-45, 1.0];
    let bins = epsiloscope_histogram::bins::MIN_BIN..=epsiloscope_histogram::bins::MAX_BIN;
    let edges = bins.map(|bin| epsiloscope_histogram::bins::first_float(bin).to_bits());
    let near_edges = edges.flat_map(|edge| [edge - 1, edge, edge + 1, (edge + 1) | 1 << 31].map(f32::from_bits));
    let mut state = 1_u64;
    let any = std::iter::repeat_with(|| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        f32::from_bits((state >> 32) as u32)
    });
    let subnormal = (0..10_000_u32).map(|index| f32::from_bits(index * 839));
    let values: Vec<f32> = special.into_iter().chain(near_edges).chain(subnormal).chain(any.take(1_000_000)).collect();
    Tensor::from_slice(&values)
}

/// Gradients of many sizes over some steps, some of them zero.
fn ordinary() -> Vec<Tensor> {
    tch::manual_seed(29);
    let random = || {
        let decades = Tensor::rand([61, 50], (Kind::Float, Device::Cpu)) * 8.0 - 7.0;
        Tensor::randn([61, 50], (Kind::Float, Device::Cpu)) * (decades * std::f64::consts::LN_10).exp()
    };
    (0..15).map(|step| if step == 7 { random().relu() } else { random() }).collect()
}

fn crafted_gradients_are_counted_alike(device: Device) {
    for magnitudes in [MagnitudePolicy::All, MagnitudePolicy::Sample { elements_per_tensor: 4096, seed: 1 }] {
        let gradients = [crafted(), crafted().flip([0])];
        let pair = record_both(device, &gradients, |builder| builder.magnitudes(magnitudes).critical_epsilon(&[]));
        assert_same_gradients(&pair);
    }
}

fn ordinary_gradients_move_moments_alike(device: Device, is_close: impl Fn(f32, f32) -> bool, moments_ulps: u32) {
    let pair = record_both(device, &ordinary(), |builder| {
        builder.critical_epsilon(&Optimizer::ALL).snapshot_elements(true).critical_epsilon_every_step(true)
    });
    assert_same_gradients(&pair);
    assert_eq!(pair.host_moments.len(), 1 + 4 * Optimizer::ALL.len());
    for (key, host) in &pair.host_moments {
        let device = &pair.device_moments[key];
        if host.kind() == Kind::Int64 {
            assert!(host == device, "{key}");
            continue;
        }
        for (host, device) in floats(host).into_iter().zip(floats(device)) {
            assert!(host.to_bits().abs_diff(device.to_bits()) <= moments_ulps, "{key}: {host:e} against {device:e}");
        }
    }
    let (host, device) = (recorded_values(&pair.host), recorded_values(&pair.device));
    assert!(host.keys().eq(device.keys()));
    let critical = host.iter().filter(|(key, _)| key.2 != GRADIENT);
    assert_eq!(critical.clone().count(), 3 * Optimizer::ALL.len());
    for (key, values) in critical {
        assert_eq!(values.len(), 61 * 50);
        for (&(element, host), &(same, device)) in values.iter().zip(&device[key]) {
            assert!(element == same && is_close(host, device), "{key:?}: {host:e} against {device:e}");
        }
    }
    let totals = |dir: &Path| -> Vec<_> {
        let totals = recorded_histograms(dir).into_iter();
        totals.map(|(key, (bins, _))| (key, bins.iter().map(|&(_, count)| count).sum::<u64>())).collect()
    };
    assert_eq!(totals(&pair.host), totals(&pair.device));
}

#[test]
fn libtorch_operations_on_the_cpu_count_as_the_kernel_does() {
    let _turn = torch();
    crafted_gradients_are_counted_alike(Device::Cpu);
}

#[test]
fn libtorch_operations_on_the_cpu_move_moments_as_the_kernel_does() {
    let _turn = torch();
    let within_an_ulp =
        |one: f32, other: f32| one.to_bits().abs_diff(other.to_bits()) <= 1 || one.is_nan() && other.is_nan();
    ordinary_gradients_move_moments_alike(Device::Cpu, within_an_ulp, 0);
}

/// Counts are exact on any device; arithmetic there may fuse other operations than the CPU does.
#[test]
fn a_gpu_counts_as_the_kernel_does() {
    if !Cuda::is_available() {
        eprintln!("skipped: no CUDA device");
        return;
    }
    let _turn = torch();
    crafted_gradients_are_counted_alike(Device::Cuda(0));
    let near = |one: f32, other: f32| (one - other).abs() <= 1e-5 * one.abs() || one.is_nan() || other.is_nan();
    ordinary_gradients_move_moments_alike(Device::Cuda(0), near, 64);
}
