//! A statement's plan, as polars makes it of SQL, with what can be folded replaced by its result.

use std::sync::Arc;

use polars::lazy::dsl::DslPlan;
use polars::prelude::{DataFrame, Expr, PolarsResult};

use crate::fold::RowLocal;

/// A plan that scans only what cannot be folded, and whose groups come in the order of their first rows.
pub(crate) fn folded(plan: &DslPlan) -> PolarsResult<DslPlan> {
    let below = |input: &DslPlan| folded(input).map(Arc::new);
    let all = |inputs: &[DslPlan]| inputs.iter().map(folded).collect::<PolarsResult<Vec<_>>>();
    Ok(match plan {
        DslPlan::IR { dsl, .. } => folded(dsl)?,
        DslPlan::GroupBy { input, keys, predicates, aggs, maintain_order: _, options, apply: None } => {
            let aggregated = RowLocal::of(input).map(|rows| rows.aggregated(keys, aggs, predicates)).transpose()?;
            if let Some(result) = aggregated.flatten() {
                return Ok(result);
            }
            DslPlan::GroupBy {
                input: below(input)?,
                keys: keys.clone(),
                predicates: predicates.clone(),
                aggs: aggs.clone(),
                maintain_order: true,
                options: options.clone(),
                apply: None,
            }
        }
        DslPlan::Select { expr, input, options } => {
            let has_aggregate = |expr: &Expr| expr.into_iter().any(|part| matches!(part, Expr::Agg(_) | Expr::Len));
            let rows = if expr.iter().any(has_aggregate) { RowLocal::of(input) } else { None };
            if let Some(result) = rows.map(|rows| rows.aggregated(&[], expr, &[])).transpose()?.flatten() {
                return Ok(result);
            }
            DslPlan::Select { expr: expr.clone(), input: below(input)?, options: *options }
        }
        DslPlan::Distinct { input, options } => match RowLocal::of(input) {
            Some(rows) if options.subset.is_none() => rows.distinct()?,
            _ => {
                let options = polars::lazy::dsl::DistinctOptionsDSL { maintain_order: true, ..options.clone() };
                DslPlan::Distinct { input: below(input)?, options }
            }
        },
        DslPlan::Slice { input, offset, len } => sliced(input, *offset, *len)?,
        DslPlan::Filter { input, predicate } => DslPlan::Filter { input: below(input)?, predicate: predicate.clone() },
        DslPlan::HStack { input, exprs, options } => {
            DslPlan::HStack { input: below(input)?, exprs: exprs.clone(), options: *options }
        }
        DslPlan::Sort { input, by_column, slice, sort_options } => DslPlan::Sort {
            input: below(input)?,
            by_column: by_column.clone(),
            slice: *slice,
            sort_options: sort_options.clone().with_maintain_order(true),
        },
        DslPlan::MapFunction { input, function } => {
            DslPlan::MapFunction { input: below(input)?, function: function.clone() }
        }
        DslPlan::Join { input_left, input_right, left_on, right_on, predicates, options } => DslPlan::Join {
            input_left: below(input_left)?,
            input_right: below(input_right)?,
            left_on: left_on.clone(),
            right_on: right_on.clone(),
            predicates: predicates.clone(),
            options: options.clone(),
        },
        DslPlan::Union { inputs, args } => DslPlan::Union { inputs: all(inputs)?, args: *args },
        DslPlan::HConcat { inputs, options } => DslPlan::HConcat { inputs: all(inputs)?, options: *options },
        other => other.clone(),
    })
}

/// LIMIT, with the ORDER BY below it where that is over rows of one table.
fn sliced(input: &DslPlan, offset: i64, len: u32) -> PolarsResult<DslPlan> {
    let input = match (unwrapped(input), u32::try_from(offset)) {
        (DslPlan::Sort { input: rows, by_column, slice: None, sort_options }, Ok(offset)) if len < u32::MAX => {
            match RowLocal::of(rows) {
                Some(rows) => rows.first(offset.saturating_add(len), by_column, sort_options)?,
                None => folded(input)?,
            }
        }
        _ => folded(input)?,
    };
    Ok(DslPlan::Slice { input: Arc::new(input), offset, len })
}

fn unwrapped(plan: &DslPlan) -> &DslPlan {
    match plan {
        DslPlan::IR { dsl, .. } => unwrapped(dsl),
        other => other,
    }
}

/// Rows that are there already.
pub(crate) fn framed(frame: DataFrame) -> DslPlan {
    DslPlan::DataFrameScan { schema: frame.schema().clone(), df: Arc::new(frame) }
}
