//! Counting on a device by libtorch operations, many tensors at once, as [`epsiloscope_recording::rows`] lays them out.
//!
//! On an H200 the 62 tensors of ResNet-18, counted one by one, take twenty times as long.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use epsiloscope_histogram::device as bins;
use epsiloscope_moments::Observed;
use epsiloscope_recording::rows::{LANES, ROW, observed, rows_of};
use tch::{Device, Kind, TchError, Tensor};

/// Rows that are counted together: 16 Mi elements, whose copies and intermediate results take up to 40 bytes each.
const MAX_ROWS: usize = 16_384;
/// Tensors that are counted together: their counters take 430 kB each.
const MAX_OWNERS: usize = 64;
/// Numbers in the layouts that are remembered, 8 bytes each. Layouts change where tensors come without gradient at times.
const MAX_REMEMBERED: usize = 1 << 23;
/// All bits but that of the sign.
const MAGNITUDE: i64 = 0x7fff_ffff;

/// Whose values are counted: a tensor and a quantity.
pub(crate) type Owner = (usize, usize);

/// What counting found of an owner.
pub(crate) struct Found {
    pub(crate) observed: Observed,
    /// The values of the elements that were picked, in their order.
    pub(crate) picked: Vec<f32>,
}

/// Counts values where they are; [`collect`](Self::collect) alone waits for the device.
pub(crate) struct DeviceCounter {
    constants: Constants,
    /// [`MAX_ROWS`], but for tests.
    max_rows: usize,
    /// To be counted together.
    batch: Batch,
    counted: Vec<Counted>,
    layouts: BTreeMap<Vec<Place>, Layout>,
    /// Numbers in them.
    n_remembered: usize,
}

/// What the layout of a batch follows from: an owner, its number of rows, and which of its picked elements they hold.
type Place = (Owner, usize, [usize; 2]);

/// What has to be known of a batch on the device. It is kept, since a copy to the device waits until that is idle.
struct Layout {
    /// The first counter of each row's owner; `[rows, 1]`, `i32`.
    owners: Tensor,
    /// Where the picked elements are among all elements of the rows; `i64`.
    picked: Tensor,
}

/// What every count takes; on the device.
struct Constants {
    /// [`bins::edges`].
    edges: Tensor,
    /// A row of NaN.
    filler: Tensor,
    /// The lane of every column; `[ROW]`, `i32`.
    lanes: Tensor,
    /// The number 1 that is added to a counter; `[1]`, `i32`.
    one: Tensor,
    /// What stands for an infinity or NaN where finite values are summarised; `[1]`.
    zero: Tensor,
}

/// Values side by side.
#[derive(Default)]
struct Batch {
    pieces: Vec<Piece>,
    /// Values and fillers in turn.
    values: Vec<Tensor>,
    n_rows: usize,
}

/// What one tensor has in a batch.
struct Piece {
    owner: Owner,
    n_rows: usize,
    n_filled: usize,
    /// The first of its elements in the tensor.
    start: usize,
    /// Elements of the tensor that are picked, ascending.
    picked: Arc<[i64]>,
    /// Which of these the piece has.
    has_picked: Range<usize>,
}

/// A batch that has been counted.
struct Counted {
    pieces: Vec<Piece>,
    /// `[pieces, N_SLOTS]`, `i32`.
    counts: Tensor,
    /// `RowSummary` of each row; `[rows, 5]`, `i32`.
    summaries: Tensor,
    /// The picked elements' values, piece by piece.
    picked: Tensor,
}

impl DeviceCounter {
    pub(crate) fn new(device: Device) -> Self {
        let lanes: Vec<i32> = (0..ROW).map(|column| (column % LANES) as i32).collect();
        let constants = Constants {
            edges: Tensor::from_slice(&bins::edges()).to_device(device),
            filler: Tensor::full([ROW as i64], f64::NAN, (Kind::Float, device)),
            lanes: Tensor::from_slice(&lanes).to_device(device),
            one: Tensor::ones([1], (Kind::Int, device)),
            zero: Tensor::zeros([1], (Kind::Float, device)),
        };
        Self {
            constants,
            max_rows: MAX_ROWS,
            batch: Batch::default(),
            counted: Vec::new(),
            layouts: BTreeMap::new(),
            n_remembered: 0,
        }
    }

    /// Counts floats, which must not change before they are collected, and picks the values of some elements.
    pub(crate) fn count(&mut self, owner: Owner, values: &Tensor, picked: &Arc<[i64]>) -> Result<(), TchError> {
        let numel = values.numel();
        // A tensor without elements has a row of fillers, so that there are counts of it.
        for start in (0..numel.max(1)).step_by(self.max_rows * ROW) {
            let end = numel.min(start + self.max_rows * ROW);
            let before = |element: usize| picked.partition_point(|&other| other < element as i64);
            let n_rows = rows_of(end - start);
            let n_filled = n_rows * ROW - (end - start);
            self.batch.values.push(values.f_narrow(0, start as i64, (end - start) as i64)?);
            self.batch.values.push(self.constants.filler.f_narrow(0, 0, n_filled as i64)?);
            self.batch.n_rows += n_rows;
            let (has_picked, picked) = (before(start)..before(end), Arc::clone(picked));
            self.batch.pieces.push(Piece { owner, n_rows, n_filled, start, picked, has_picked });
            if self.batch.n_rows >= self.max_rows || self.batch.pieces.len() >= MAX_OWNERS {
                self.count_batch()?;
            }
        }
        Ok(())
    }

    /// What was counted since the last call.
    pub(crate) fn collect(&mut self) -> Result<BTreeMap<Owner, Found>, TchError> {
        self.count_batch()?;
        let mut found = BTreeMap::new();
        for counted in std::mem::take(&mut self.counted) {
            counted.fold_into(&mut found)?;
        }
        Ok(found)
    }

    fn count_batch(&mut self) -> Result<(), TchError> {
        let Batch { pieces, values, n_rows } = std::mem::take(&mut self.batch);
        if pieces.is_empty() {
            return Ok(());
        }
        let rows = Tensor::f_cat(&values, 0)?.f_view([n_rows as i64, ROW as i64])?;
        let places: Vec<Place> = pieces.iter().map(Piece::place).collect();
        if !self.layouts.contains_key(&places) {
            if MAX_REMEMBERED < self.n_remembered {
                self.layouts.clear();
                self.n_remembered = 0;
            }
            let layout = Layout::new(&pieces, rows.device())?;
            self.n_remembered += places.len() + layout.owners.numel() + layout.picked.numel();
            self.layouts.insert(places.clone(), layout);
        }
        let layout = &self.layouts[&places];
        let magnitudes = rows.f_view_dtype(Kind::Int)?.f_bitwise_and(MAGNITUDE)?;
        let counts = self.constants.counts(&magnitudes, &layout.owners, pieces.len())?;
        let summaries = self.constants.summaries(&rows, &magnitudes)?;
        let picked = rows.f_flatten(0, -1)?.f_index_select(0, &layout.picked)?;
        self.counted.push(Counted { pieces, counts, summaries, picked });
        Ok(())
    }
}

impl Piece {
    fn place(&self) -> Place {
        (self.owner, self.n_rows, [self.has_picked.start, self.has_picked.end])
    }
}

impl Layout {
    fn new(pieces: &[Piece], device: Device) -> Result<Self, TchError> {
        let (mut owners, mut picked) = (Vec::new(), Vec::new());
        for (first_counter, piece) in (0..).step_by(bins::N_SLOTS * LANES).zip(pieces) {
            let first = (owners.len() * ROW) as i64 - piece.start as i64;
            picked.extend(piece.picked[piece.has_picked.clone()].iter().map(|element| first + element));
            owners.extend(std::iter::repeat_n(first_counter, piece.n_rows));
        }
        let owners: &[i32] = &owners;
        Ok(Self {
            owners: Tensor::f_from_slice(owners)?.f_to_device(device)?.f_unsqueeze(1)?,
            picked: Tensor::f_from_slice(&picked)?.f_to_device(device)?,
        })
    }
}

impl Constants {
    /// How many elements of each owner's rows have each slot.
    fn counts(&self, magnitudes: &Tensor, owners: &Tensor, n_owners: usize) -> Result<Tensor, TchError> {
        let (n_owners, n_slots, n_lanes) = (n_owners as i64, bins::N_SLOTS as i64, LANES as i64);
        let slots = magnitudes.f_bucketize(&self.edges, true, true)?;
        let index = slots.f_mul_scalar(n_lanes)?.f_add_(&self.lanes)?.f_add_(owners)?;
        let index = index.f_flatten(0, -1)?.f_to_kind(Kind::Int64)?;
        let ones = self.one.f_expand_as(&index)?;
        Tensor::f_zeros([n_owners * n_slots * n_lanes], (Kind::Int, magnitudes.device()))?
            .f_scatter_add_(0, &index, &ones)?
            .f_view([n_owners, n_slots, n_lanes])?
            .f_sum_dim_intlist(2, false, Kind::Int)
    }

    /// The `RowSummary` of each row.
    fn summaries(&self, rows: &Tensor, magnitudes: &Tensor) -> Result<Tensor, TchError> {
        let min = magnitudes.f_sub_scalar(1)?.f_bitwise_and(MAGNITUDE)?.f_amin(1, true)?;
        let neg_inf = rows.f_eq(f64::NEG_INFINITY)?.f_sum_dim_intlist(1, true, Kind::Int)?;
        let is_finite = magnitudes.f_lt(i64::from(bins::INFINITY_BITS))?;
        let finite = rows.f_where_self(&is_finite, &self.zero)?;
        let max = finite.f_linalg_norm(f64::INFINITY, 1, true, Kind::Float)?.f_view_dtype(Kind::Int)?;
        let norm = finite.f_linalg_norm(2, 1, true, Kind::Double)?;
        let sum_of_squares = norm.f_square()?.f_view_dtype(Kind::Int)?;
        Tensor::f_cat(&[min, max, neg_inf, sum_of_squares], 1)
    }
}

impl Counted {
    /// Waits for the device.
    fn fold_into(self, found: &mut BTreeMap<Owner, Found>) -> Result<(), TchError> {
        let counts: Vec<i32> = to_host(&self.counts)?.f_flatten(0, -1)?.try_into()?;
        let summaries: Vec<i32> = to_host(&self.summaries)?.f_flatten(0, -1)?.try_into()?;
        let picked: Vec<f32> = to_host(&self.picked)?.try_into()?;
        let (mut rows, mut picked) = (summaries.as_chunks().0, &picked[..]);
        for (piece, counts) in self.pieces.into_iter().zip(counts.chunks(bins::N_SLOTS)) {
            let (own_rows, other_rows) = rows.split_at(piece.n_rows);
            let (own, others) = picked.split_at(piece.has_picked.len());
            (rows, picked) = (other_rows, others);
            let of_piece = Found { observed: observed(counts, own_rows, piece.n_filled), picked: own.to_vec() };
            let whole = match found.remove(&piece.owner) {
                Some(before) => before.followed_by(of_piece),
                None => of_piece,
            };
            found.insert(piece.owner, whole);
        }
        Ok(())
    }
}

impl Found {
    /// What was found of the whole, given the next piece.
    fn followed_by(self, next: Self) -> Self {
        let Observed { histogram, summary } = self.observed;
        let histogram = histogram.merged(&next.observed.histogram);
        let observed = Observed { histogram, summary: summary.merged(&next.observed.summary) };
        Self { observed, picked: [self.picked, next.picked].concat() }
    }
}

/// A tensor's copy on the host.
pub(crate) fn to_host(tensor: &Tensor) -> Result<Tensor, TchError> {
    tensor.f_to_device(Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use epsiloscope_histogram::Summary;
    use epsiloscope_moments::Observer;

    /// Floats of any bits, with runs of zeros and of one value.
    fn values(numel: usize, seed: usize) -> Vec<f32> {
        let float = |index: usize| match index / 700 % 4 {
            0 => 0.0,
            1 => -1e-4,
            _ => f32::from_bits(((index + seed) as u32).wrapping_mul(0x9e37_79b9)),
        };
        (0..numel).map(float).collect()
    }

    fn assert_counted_as_by_the_kernel(numels: &[usize]) {
        let all: Vec<Vec<f32>> = numels.iter().enumerate().map(|(seed, &numel)| values(numel, seed)).collect();
        let every_third = |values: &Vec<f32>| (0..values.len() as i64).step_by(3).collect::<Arc<[i64]>>();
        let picked: Vec<Arc<[i64]>> = all.iter().map(every_third).collect();
        let mut counter = DeviceCounter { max_rows: 3, ..DeviceCounter::new(Device::Cpu) };
        for _step in 0..2 {
            for (tensor, (values, picked)) in all.iter().zip(&picked).enumerate() {
                counter.count((tensor, 1), &Tensor::from_slice(values), picked).unwrap();
            }
            let found = counter.collect().unwrap();
            assert!(found.keys().copied().eq((0..numels.len()).map(|tensor| (tensor, 1))));
            let mut kernel = Observer::new();
            for (values, Found { observed, picked }) in all.iter().zip(found.values()) {
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(picked), bits(&values.iter().copied().step_by(3).collect::<Vec<_>>()));
                let (expected, _) = kernel.observe(values, &mut [], false);
                assert_eq!(observed.histogram, expected.histogram, "{} elements", values.len());
                let [(min, max, squares), (expected_min, expected_max, expected_squares)] =
                    [observed, &expected].map(|of| (of.summary.min_nonzero, of.summary.max, of.summary.sum_of_squares));
                assert_eq!((min, max), (expected_min, expected_max), "{} elements", values.len());
                assert!((squares - expected_squares).abs() <= 1e-12 * expected_squares, "{} elements", values.len());
            }
        }
        assert!(counter.collect().unwrap().is_empty());
    }

    #[test]
    fn rows_are_filled_up_and_the_filling_is_not_counted() {
        assert_counted_as_by_the_kernel(&[1023, 0, 1, 1024, 1025, 5000, 2048]);
        assert_counted_as_by_the_kernel(&[0]);
    }

    #[test]
    fn many_tensors_and_long_ones_take_several_batches() {
        assert_counted_as_by_the_kernel(&[3; 2 * MAX_OWNERS + 1]);
        assert_counted_as_by_the_kernel(&[7, 3 * ROW + 5, 3 * ROW, 7, 10 * ROW, 2 * ROW + 1]);
    }

    #[test]
    fn tensors_of_nothing_that_is_finite_have_no_extremes() {
        let mut counter = DeviceCounter::new(Device::Cpu);
        let none = Arc::from([]);
        counter.count((0, 0), &Tensor::from_slice(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]), &none).unwrap();
        counter.count((1, 0), &Tensor::from_slice(&[0.0_f32, -0.0]), &none).unwrap();
        let found = counter.collect().unwrap();
        let [none, zeros] = [0, 1].map(|tensor| &found[&(tensor, 0)].observed);
        assert_eq!((none.histogram.nan(), none.histogram.pos_inf(), none.histogram.neg_inf()), (1, 1, 1));
        assert_eq!(none.summary, Summary::default());
        assert_eq!(zeros.summary, Summary { min_nonzero: None, max: Some(0.0), sum_of_squares: 0.0 });
    }
}
