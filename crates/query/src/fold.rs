//! Parts of a plan that can be computed part file by part file, so that memory does not grow with their rows.
//!
//! What stands above a scan and below an aggregate, a DISTINCT or the first rows in an order is row-local where it only
//! filters, selects and computes: then it means the same over some part files as over all.

use std::sync::Arc;

use polars::lazy::dsl::{DslPlan, FileScanDsl};
use polars::prelude::{DataFrame, Expr, IntoLazy, LazyFrame, PolarsResult, SortMultipleOptions, col};

use crate::partial::Partials;
use crate::plan::framed;
use crate::row_local::is_row_local;
use crate::scan::TableScan;

/// Row-local work over one table, and the table.
pub(crate) struct RowLocal<'a> {
    plan: &'a DslPlan,
    scan: &'a TableScan,
}

impl<'a> RowLocal<'a> {
    /// A plan, if it is one.
    pub(crate) fn of(plan: &'a DslPlan) -> Option<Self> {
        let mut below = plan;
        loop {
            below = match below {
                DslPlan::IR { dsl, .. } => dsl,
                DslPlan::Filter { input, predicate } if is_row_local(predicate) => input,
                DslPlan::HStack { input, exprs, .. } if exprs.iter().all(is_row_local) => input,
                DslPlan::Select { input, expr, .. } if expr.iter().all(is_per_row) => input,
                DslPlan::Scan { scan_type, .. } => {
                    let FileScanDsl::Anonymous { function, .. } = &**scan_type else { return None };
                    return Some(Self { plan, scan: function.as_any().downcast_ref()? });
                }
                _ => return None,
            }
        }
    }

    /// The result of a GROUP BY over it, or without keys of aggregates over all of it; none if an aggregate cannot be taken
    /// apart.
    pub(crate) fn aggregated(
        &self,
        keys: &[Expr],
        aggregates: &[Expr],
        having: &[Expr],
    ) -> PolarsResult<Option<DslPlan>> {
        let schema = LazyFrame::from(self.plan.clone()).collect_schema()?;
        let mut partials = Partials::over(&schema);
        let take_apart = |exprs: &[Expr], partials: &mut Partials<'_>| {
            exprs.iter().map(|expr| partials.take_apart(expr)).collect::<Option<Vec<_>>>()
        };
        let answers = take_apart(aggregates, &mut partials).zip(take_apart(having, &mut partials));
        let Some((answers, having)) = answers.filter(|_answers| keys.iter().all(is_row_local)) else { return Ok(None) };
        let names =
            keys.iter().map(|key| key.clone().meta().output_name().map(col)).collect::<PolarsResult<Vec<_>>>()?;
        let grouped = |rows: LazyFrame, keys: &[Expr], exprs: &[Expr]| {
            if keys.is_empty() { rows.select(exprs) } else { rows.group_by_stable(keys).agg(exprs) }
        };
        let of_part = |rows| grouped(rows, keys, &partials.of_part);
        let merged = self.folded(of_part, |partial| grouped(partial, &names, &partials.merged))?;
        if names.is_empty() {
            return Ok(Some(merged.lazy().select(answers).logical_plan));
        }
        let grouped = merged.lazy().group_by_stable(names);
        let grouped = having.into_iter().fold(grouped, polars::prelude::LazyGroupBy::having);
        Ok(Some(grouped.agg(answers).logical_plan))
    }

    /// Its distinct rows, in the order in which they come first.
    pub(crate) fn distinct(&self) -> PolarsResult<DslPlan> {
        let distinct = |rows: LazyFrame| rows.unique_stable(None, polars::prelude::UniqueKeepStrategy::First);
        Ok(framed(self.folded(distinct, distinct)?))
    }

    /// Its first rows in an order; equal ones in their own.
    pub(crate) fn first(&self, n: u32, by: &[Expr], options: &SortMultipleOptions) -> PolarsResult<DslPlan> {
        let first = |rows: LazyFrame| rows.sort_by_exprs(by, options.clone().with_maintain_order(true)).limit(n);
        Ok(framed(self.folded(first, first)?))
    }

    /// The results of some part files at a time, merged as they come.
    fn folded(
        &self,
        of_part: impl Fn(LazyFrame) -> LazyFrame,
        merge: impl Fn(LazyFrame) -> LazyFrame,
    ) -> PolarsResult<DataFrame> {
        let mut merged: Option<DataFrame> = None;
        for batch in self.scan.batches() {
            let rows = LazyFrame::from(with_scan(self.plan, &batch.lazy()?.logical_plan));
            let partial = of_part(rows).collect()?;
            merged = Some(match merged {
                None => partial,
                Some(merged) => merge(merged.vstack(&partial)?.lazy()).collect()?,
            });
        }
        Ok(merged.unwrap_or_default())
    }
}

/// A selected value per row: a literal alone is one for all.
fn is_per_row(expr: &Expr) -> bool {
    is_row_local(expr) && !expr.clone().meta().root_names().is_empty()
}

/// A row-local plan over another scan.
fn with_scan(plan: &DslPlan, scan: &DslPlan) -> DslPlan {
    let over = |input: &DslPlan| Arc::new(with_scan(input, scan));
    match plan {
        DslPlan::IR { dsl, .. } => with_scan(dsl, scan),
        DslPlan::Filter { input, predicate } => DslPlan::Filter { input: over(input), predicate: predicate.clone() },
        DslPlan::HStack { input, exprs, options } => {
            DslPlan::HStack { input: over(input), exprs: exprs.clone(), options: *options }
        }
        DslPlan::Select { expr, input, options } => {
            DslPlan::Select { expr: expr.clone(), input: over(input), options: *options }
        }
        _scan => scan.clone(),
    }
}
