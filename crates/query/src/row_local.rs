//! Expressions whose value in a row depends on that row alone, so that they mean the same over a part as over the whole.

use polars::lazy::dsl::{BooleanFunction, FunctionExpr, PowFunction};
use polars::prelude::Expr;

/// Whether each row's value follows from the row alone, and there is one for each row.
pub(crate) fn is_row_local(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) | Expr::Literal(_) => true,
        Expr::Alias(input, _) | Expr::Cast { expr: input, .. } => is_row_local(input),
        Expr::BinaryExpr { left, right, .. } => is_row_local(left) && is_row_local(right),
        Expr::Ternary { predicate, truthy, falsy } => {
            [predicate, truthy, falsy].into_iter().all(|part| is_row_local(part))
        }
        Expr::Function { input, function } => is_element_wise(function) && input.iter().all(is_row_local),
        _ => false,
    }
}

/// Whether a function takes rows one by one.
pub(crate) fn is_element_wise(function: &FunctionExpr) -> bool {
    use FunctionExpr::{
        Abs, Boolean, Ceil, Coalesce, Exp, FillNull, Floor, Log, Log1p, MaxHorizontal, MinHorizontal, Negate, Pow,
        Round, Sign, Truncate,
    };
    match function {
        Abs
        | Ceil
        | Coalesce
        | Exp
        | FillNull
        | Floor
        | Log
        | Log1p
        | MaxHorizontal
        | MinHorizontal
        | Negate
        | Sign
        | Pow(PowFunction::Generic | PowFunction::Sqrt | PowFunction::Cbrt)
        | Round { .. }
        | Truncate { .. } => true,
        Boolean(of) => matches!(
            of,
            BooleanFunction::IsNull
                | BooleanFunction::IsNotNull
                | BooleanFunction::IsFinite
                | BooleanFunction::IsInfinite
                | BooleanFunction::IsNan
                | BooleanFunction::IsNotNan
                | BooleanFunction::AllHorizontal
                | BooleanFunction::AnyHorizontal
                | BooleanFunction::Not
        ),
        _ => false,
    }
}
