//! Histograms as a table, a row per bin that is not empty: [`ResultTable::Histograms`](crate::schema::ResultTable::Histograms).
//!
//! The density is that of the gradient magnitude histogram of Silva & Rodriguez (arXiv 2311.11532), on the logarithmic axis.

use epsiloscope_histogram::bins::lower_edge;
use polars::prelude::*;

use crate::histograms::ScopeHistogram;

/// The table of some histograms, in their order.
///
/// # Errors
/// What polars says, if it refuses the frame.
pub fn histogram_table(histograms: &[ScopeHistogram]) -> PolarsResult<DataFrame> {
    let rows = || histograms.iter().flat_map(|of| of.histogram.bins().map(move |(bin, count)| (of, bin, count)));
    let texts = |text: fn(&ScopeHistogram) -> Option<&str>| rows().map(|row| text(row.0)).collect::<Vec<_>>();
    let wholes = |number: fn(&ScopeHistogram) -> i64| rows().map(|row| number(row.0)).collect::<Vec<_>>();
    let edges = |offset| {
        let edge = |(of, bin, _): (&ScopeHistogram, i32, _)| lower_edge(bin + offset, of.histogram.bins_per_decade());
        rows().map(edge).collect::<Vec<_>>()
    };
    let series = (0u32..).zip(histograms).flat_map(|(index, of)| of.histogram.bins().map(move |_| index));
    let frame = df![
        "run" => texts(|of| Some(&of.run)),
        "scope" => texts(|of| Some(of.scope.name())),
        "name" => texts(|of| of.name.as_deref()),
        "quantity" => texts(|of| Some(&of.quantity)),
        "first_step" => wholes(|of| of.first_step),
        "last_step" => wholes(|of| of.last_step),
        "bin" => rows().map(|(_, bin, _)| bin).collect::<Vec<_>>(),
        "lower" => edges(0),
        "upper" => edges(1),
        "count" => rows().map(|(_, _, count)| count as i64).collect::<Vec<_>>(),
        "series" => series.collect::<Vec<_>>(),
        "bins_per_decade" => wholes(|of| i64::from(of.histogram.bins_per_decade())),
        "zeros" => wholes(|of| of.histogram.zeros() as i64),
        "non_finite" => wholes(|of| (of.histogram.nan() + of.histogram.pos_inf() + of.histogram.neg_inf()) as i64),
    ]?;
    with_shares(frame)
}

/// Adds what each bin is of its histogram's total.
fn with_shares(frame: DataFrame) -> PolarsResult<DataFrame> {
    let series = || [col("series")];
    let number = |expression: Expr| expression.cast(DataType::Float64);
    let total = col("count").sum().over(series())?;
    let density = number(col("count")) * number(col("bins_per_decade")) / number(total.clone());
    let cumulative = number(col("count").cum_sum(false).over(series())?) / number(total);
    let known = ["run", "scope", "name", "quantity", "first_step", "last_step", "bin", "lower", "upper", "count"];
    let mut columns = known.map(col).to_vec();
    columns.extend([density.alias("density"), cumulative.alias("cumulative"), col("zeros"), col("non_finite")]);
    frame.lazy().select(columns).collect()
}
