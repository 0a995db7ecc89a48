//! Bins of constant width on the logarithmic axis, and the integer table that finds them.
//!
//! Bin `b` holds the magnitudes `x` with `b = floor(N · log10 x)`, N = [`BINS_PER_DECADE`], that is
//! `10^(b/N) <= x < 10^((b+1)/N)`. Every power of ten, which is where candidates for ε lie, is an
//! edge, and a coarser N that divides 40 is an exact merge of neighbours.
//!
//! The bin of a float is found from its bits alone, without a logarithm. The 31 magnitude bits are split into
//! `cell = bits >> 18` (32 cells per octave) and `low`, the 18 bits below. A cell of a normal float is
//! narrower than a bin (a factor of at most 33/32 against 10^(1/40) = 1.059), so it crosses at most one
//! edge, at `low = t`. With `table[cell] = (slot << 18) + (2^18 − t)` the carry of one addition does the
//! comparison: `slot = (table[cell] + low) >> 18`. A slot is the bin plus a constant; zeros, subnormals, infinities
//! and NaN have slots of their own. Subnormal cells cross several edges and are looked up among the edges instead.

use std::sync::LazyLock;

/// Bins per factor of ten, N in the formulas.
pub const BINS_PER_DECADE: u32 = 40;

/// The bin of the smallest subnormal `f32`, 2^-149.
pub const MIN_BIN: i32 = -1795;

/// The bin of the largest finite `f32`.
pub const MAX_BIN: i32 = 1541;

pub(crate) const MAGNITUDE_MASK: u32 = 0x7fff_ffff;
const MIN_NORMAL_BITS: u32 = 0x0080_0000;
const INFINITY_BITS: u32 = 0x7f80_0000;

pub(crate) const LOW_BITS: u32 = 18;
pub(crate) const CELL_WIDTH: u32 = 1 << LOW_BITS;
pub(crate) const N_CELLS: usize = 1 << (31 - LOW_BITS);
const INFINITY_CELL: usize = (INFINITY_BITS >> LOW_BITS) as usize;

/// Slots: where the integer table sends a float. A normal float's slot is its bin plus [`BIAS`](slot::BIAS).
///
/// The others take the slots of bins that no normal float has; [`LOWEST`](slot::LOWEST) and [`HIGHEST`](slot::HIGHEST)
/// hold what is rare: subnormals, infinities, NaN, and the normal floats of the outermost bins.
pub(crate) mod slot {
    use std::ops::RangeInclusive;

    /// Makes every slot positive.
    pub(crate) const BIAS: i32 = 1536;
    pub(crate) const COUNT: usize = 3104;
    pub(crate) const ZERO: usize = of_bin(-1530);
    pub(crate) const SUBNORMAL: usize = ZERO + 1;
    pub(crate) const INFINITY: usize = of_bin(1542);
    pub(crate) const NAN: usize = INFINITY + 1;
    /// The slot of no float.
    pub(crate) const UNUSED: usize = of_bin(1560);
    /// Bins whose slots hold rare values below.
    pub(crate) const LOWEST: RangeInclusive<i32> = -1529..=-1518;
    /// Bins whose slots hold rare values above.
    pub(crate) const HIGHEST: RangeInclusive<i32> = 1541..=1553;

    pub(crate) const fn of_bin(bin: i32) -> usize {
        (bin + BIAS) as usize
    }
}

/// What the kernel looks up: one entry per cell, see the module's first page.
pub(crate) type SlotTable = [u32; N_CELLS];

/// The edges as real numbers: `EDGES[b − MIN_BIN]` is the double nearest to 10^(b/40).
static EDGES: LazyLock<Box<[f64]>> = LazyLock::new(|| (MIN_BIN..=MAX_BIN + 1).map(compute_edge).collect());

/// The bits of the smallest float at or above each edge, subnormals included.
static FIRST_BITS: LazyLock<Box<[u32]>> =
    LazyLock::new(|| EDGES.iter().map(|&edge| first_bits_at_or_above(edge)).collect());

static SLOT_TABLE: LazyLock<Box<SlotTable>> = LazyLock::new(build_slot_table);

/// The bin of a float's magnitude, or `None` for zeros, infinities and NaN.
///
/// # Examples
/// ```
/// use epsiloscope_histogram::bins::bin_of;
/// assert_eq!(bin_of(1.0), Some(0));
/// assert_eq!(bin_of(-0.1), Some(-40)); // the sign is ignored; 0.1f32 lies just above 1/10
/// assert_eq!(bin_of(0.0), None);
/// ```
pub fn bin_of(value: f32) -> Option<i32> {
    let bits = value.to_bits() & MAGNITUDE_MASK;
    (0 < bits && bits < INFINITY_BITS).then(|| bin_among_edges(bits))
}

/// The lower edge of a bin at `bins_per_decade`: the double nearest to 10^(bin / `bins_per_decade`).
///
/// The upper edge of `bin` is the lower edge of `bin + 1`.
///
/// # Panics
/// If `bins_per_decade` does not divide [`BINS_PER_DECADE`].
pub fn lower_edge(bin: i32, bins_per_decade: u32) -> f64 {
    assert!(divides(bins_per_decade), "bins per decade {bins_per_decade} does not divide {BINS_PER_DECADE}");
    let fine = bin * (BINS_PER_DECADE / bins_per_decade) as i32;
    match usize::try_from(fine - MIN_BIN).ok().and_then(|index| EDGES.get(index)) {
        Some(&edge) => edge,
        None => compute_edge(fine),
    }
}

/// The smallest `f32` that the bin (at 40 bins per decade) holds.
///
/// Raw magnitudes are binned exactly in SQL by joining on these (a range or as-of join).
///
/// # Panics
/// If the bin lies outside [`MIN_BIN`]`..=`[`MAX_BIN`]` + 1`; the last one is infinity.
pub fn first_float(bin: i32) -> f32 {
    f32::from_bits(FIRST_BITS[(bin - MIN_BIN) as usize])
}

/// Whether histograms can be coarsened to this many bins per decade.
pub fn divides(bins_per_decade: u32) -> bool {
    bins_per_decade != 0 && BINS_PER_DECADE.is_multiple_of(bins_per_decade)
}

/// A half-open interval of magnitudes `[lower, upper)` between two edges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BinRange {
    /// The bin, counted in bins per decade.
    pub bin: i32,
    /// How many such bins make a decade.
    pub bins_per_decade: u32,
}

impl BinRange {
    /// The lower edge, included.
    pub fn lower(self) -> f64 {
        lower_edge(self.bin, self.bins_per_decade)
    }

    /// The upper edge, excluded.
    pub fn upper(self) -> f64 {
        lower_edge(self.bin + 1, self.bins_per_decade)
    }

    /// The geometric middle, at most half a bin (a factor of 10^(1/80) = 1.029 at 40 bins per decade) from any value
    /// inside.
    pub fn middle(self) -> f64 {
        (self.lower() * self.upper()).sqrt()
    }
}

pub(crate) fn slot_table() -> &'static SlotTable {
    &SLOT_TABLE
}

/// The slot of a float given by its bits; the sign bit is ignored.
#[inline(always)]
pub(crate) fn slot_of(table: &SlotTable, bits: u32) -> usize {
    let magnitude = bits & MAGNITUDE_MASK;
    let cell = (magnitude >> LOW_BITS) as usize;
    ((table[cell] + (magnitude & (CELL_WIDTH - 1))) >> LOW_BITS) as usize
}

/// The bin of a non-zero finite magnitude by search: the slow way.
fn bin_among_edges(magnitude_bits: u32) -> i32 {
    MIN_BIN + FIRST_BITS.partition_point(|&first| first <= magnitude_bits) as i32 - 1
}

/// Powers of ten are parsed, which is correctly rounded; the edges between them are irrational and
/// no float comes within 1e-12 of one (tested), so an error of a few units in the last place is harmless.
fn compute_edge(bin: i32) -> f64 {
    let per_decade = BINS_PER_DECADE as i32;
    if bin.rem_euclid(per_decade) == 0 {
        let power = bin.div_euclid(per_decade);
        format!("1e{power}").parse().expect("a power of ten is a number")
    } else {
        10f64.powf(f64::from(bin) / f64::from(per_decade))
    }
}

fn first_bits_at_or_above(edge: f64) -> u32 {
    let nearest = edge as f32;
    if f64::from(nearest) < edge { nearest.to_bits() + 1 } else { nearest.to_bits() }
}

fn build_slot_table() -> Box<SlotTable> {
    let mut table = vec![0; N_CELLS].into_boxed_slice();
    for (cell, entry) in table.iter_mut().enumerate() {
        let (slot, crossing) = slot_and_crossing(cell);
        *entry = ((slot as u32) << LOW_BITS) + (CELL_WIDTH - crossing);
    }
    table.try_into().expect("the table has one entry per cell")
}

/// The slot in which a cell begins, and the value of `low` at which the next slot begins (`CELL_WIDTH`: nowhere
/// inside).
fn slot_and_crossing(cell: usize) -> (usize, u32) {
    let first = (cell as u32) << LOW_BITS;
    if cell == 0 {
        (slot::ZERO, 1)
    } else if first < MIN_NORMAL_BITS {
        (slot::SUBNORMAL, CELL_WIDTH)
    } else if cell < INFINITY_CELL {
        let bin = bin_among_edges(first);
        let next_edge = FIRST_BITS[(bin + 1 - MIN_BIN) as usize];
        (slot::of_bin(bin), (next_edge - first).min(CELL_WIDTH))
    } else if cell == INFINITY_CELL {
        (slot::INFINITY, 1)
    } else {
        (slot::NAN, CELL_WIDTH)
    }
}
