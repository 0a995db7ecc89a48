//! Aggregates taken apart: what is computed of each part, how two such results become one, and what the answer is then.
//!
//! Counts, extremes and sums of parts merge into those of the whole; a mean is a sum over a count. Integers are added in 128
//! bits and come back as 64 or not at all; `FLOAT` is added as `DOUBLE`.

use std::sync::Arc;

use polars::lazy::dsl::{AggExpr, FunctionExpr};
use polars::prelude::{DataType, Expr, LiteralValue, Schema, col, lit, when};

use crate::row_local::{is_element_wise, is_row_local};

/// Aggregates over the same rows, as they are taken apart.
pub(crate) struct Partials<'a> {
    schema: &'a Schema,
    /// Of each part; each has a name of its own.
    pub(crate) of_part: Vec<Expr>,
    /// Of the results of several parts, under the same names.
    pub(crate) merged: Vec<Expr>,
}

impl<'a> Partials<'a> {
    /// Over rows with these columns.
    pub(crate) fn over(schema: &'a Schema) -> Self {
        Self { schema, of_part: Vec::new(), merged: Vec::new() }
    }

    /// An aggregate as one of partial results, under the same name; none if it cannot be taken apart.
    pub(crate) fn take_apart(&mut self, aggregate: &Expr) -> Option<Expr> {
        let name = aggregate.clone().meta().output_name().ok()?;
        Some(self.apart(aggregate)?.alias(name))
    }

    fn apart(&mut self, expr: &Expr) -> Option<Expr> {
        Some(match expr {
            Expr::Alias(input, _) => self.apart(input)?,
            Expr::Literal(_) => expr.clone(),
            Expr::Cast { expr, dtype, options } => {
                Expr::Cast { expr: Arc::new(self.apart(expr)?), dtype: dtype.clone(), options: *options }
            }
            Expr::BinaryExpr { left, op, right } => {
                Expr::BinaryExpr { left: Arc::new(self.apart(left)?), op: *op, right: Arc::new(self.apart(right)?) }
            }
            Expr::Ternary { predicate, truthy, falsy } => Expr::Ternary {
                predicate: Arc::new(self.apart(predicate)?),
                truthy: Arc::new(self.apart(truthy)?),
                falsy: Arc::new(self.apart(falsy)?),
            },
            Expr::Len => self.count(expr.clone()),
            Expr::Function { input, function: FunctionExpr::NullCount } if input.iter().all(is_rows) => {
                self.count(expr.clone())
            }
            Expr::Function { input, function } if is_element_wise(function) => {
                let input = input.iter().map(|part| self.apart(part)).collect::<Option<Vec<_>>>()?;
                Expr::Function { input, function: function.clone() }
            }
            Expr::Agg(AggExpr::Count { input, .. }) if is_rows(input) => self.count(expr.clone()),
            Expr::Agg(AggExpr::Min { input, .. }) if is_rows(input) => self.keep(expr.clone(), Expr::min),
            Expr::Agg(AggExpr::Max { input, .. }) if is_rows(input) => self.keep(expr.clone(), Expr::max),
            Expr::Agg(AggExpr::Sum(input)) if is_rows(input) => self.sum(input)?,
            Expr::Agg(AggExpr::Mean(input)) if is_rows(input) => self.mean(input),
            _ => return None,
        })
    }

    fn keep(&mut self, of_part: Expr, merge: fn(Expr) -> Expr) -> Expr {
        let name = format!("__partial_{}", self.of_part.len());
        self.of_part.push(of_part.alias(name.as_str()));
        self.merged.push(merge(col(name.as_str())).alias(name.as_str()));
        merge(col(name.as_str()))
    }

    fn count(&mut self, count: Expr) -> Expr {
        self.keep(count.cast(DataType::Int64), Expr::sum)
    }

    fn sum(&mut self, input: &Expr) -> Option<Expr> {
        let kind = input.to_field(self.schema).ok()?.dtype;
        let input = input.clone();
        Some(if kind.is_integer() || kind.is_bool() {
            self.keep(input.cast(DataType::Int128).sum(), Expr::sum).strict_cast(DataType::Int64)
        } else {
            self.keep(input.cast(DataType::Float64).sum(), Expr::sum)
        })
    }

    fn mean(&mut self, input: &Expr) -> Expr {
        let sum = self.keep(input.clone().cast(DataType::Float64).sum(), Expr::sum);
        let count = self.count(input.clone().count());
        let null = lit(LiteralValue::untyped_null());
        when(count.clone().gt(lit(0))).then(sum / count.cast(DataType::Float64)).otherwise(null)
    }
}

/// Rows that an aggregate is over: all of them, or those that `FILTER (WHERE …)` leaves.
fn is_rows(expr: &Expr) -> bool {
    match expr {
        Expr::Filter { input, by } => is_row_local(input) && is_row_local(by),
        _ => is_row_local(expr),
    }
}
