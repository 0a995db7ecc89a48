//! Points that are laid out beforehand.

use crate::parameter::{Axis, Domain, Parameter, Value};

/// Points of a linear range where nobody says how many.
const LINEAR_POINTS: usize = 5;

/// Every power of ten of a range, and its ends, ascending.
///
/// # Examples
/// ```
/// assert_eq!(epsiloscope_search::powers_of_ten(1e-4, 1e-2), [1e-4, 1e-3, 1e-2]);
/// assert_eq!(epsiloscope_search::powers_of_ten(2e-4, 1e-3), [2e-4, 1e-3]);
/// ```
pub fn powers_of_ten(low: f64, high: f64) -> Vec<f64> {
    let exponents = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let power = |exponent: i32| format!("1e{exponent}").parse().unwrap_or(f64::NAN);
    let inside = exponents.map(power).filter(|&power: &f64| low < power && power < high);
    [low].into_iter().chain(inside).chain([high]).collect()
}

/// So many values of a parameter, evenly apart on its axis, both ends included, of one the middle; all choices. Without a
/// number every power of ten on a logarithmic axis, five on a linear one.
pub fn even(parameter: &Parameter, points: Option<usize>) -> Vec<Value> {
    let (low, high) = match (parameter.domain(), parameter.ends()) {
        (Domain::Choices(choices), _) => return (0..choices.len()).map(Value::Choice).collect(),
        (&Domain::Range { low, high, axis: Axis::Log }, _) if points.is_none() => {
            return powers_of_ten(low, high).into_iter().map(Value::Number).collect();
        }
        (_, ends) => ends.unwrap_or_default(),
    };
    match points.unwrap_or(LINEAR_POINTS) {
        0 | 1 => vec![parameter.value_at(f64::midpoint(low, high))],
        n => {
            let share = |index: usize| index as f64 / (n - 1) as f64;
            (0..n).map(|index| parameter.value_at(low + share(index) * (high - low))).collect()
        }
    }
}

/// Every combination, the last parameter changing first.
pub(crate) fn product(columns: &[Vec<Value>]) -> Vec<Vec<Value>> {
    let extend = |rows: Vec<Vec<Value>>, column: &Vec<Value>| {
        let of_row =
            |row: Vec<Value>| column.iter().map(move |value| [row.as_slice(), std::slice::from_ref(value)].concat());
        rows.into_iter().flat_map(of_row).collect()
    };
    columns.iter().fold(vec![Vec::new()], extend)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(parameter: &str, points: Option<usize>) -> Vec<String> {
        let parameter: Parameter = parameter.parse().unwrap();
        even(&parameter, points).iter().map(|value| parameter.text(value)).collect()
    }

    #[test]
    fn grids_go_from_end_to_end() {
        assert_eq!(texts("e:1e-8..1e-5", None), ["1e-8", "1e-7", "1e-6", "1e-5"]);
        assert_eq!(texts("e:1e-8..1e-6", Some(5)), ["1e-8", "3.16228e-8", "1e-7", "3.16228e-7", "1e-6"]);
        assert_eq!(texts("e:1e-8..1e-6", Some(1)), ["1e-7"]);
        assert_eq!(texts("d:0..0.5", None), ["0", "0.125", "0.25", "0.375", "0.5"]);
        assert_eq!(texts("b:x,y", Some(7)), ["x", "y"]);
    }

    #[test]
    fn products_hold_every_combination_once() {
        let choices = |n: usize| (0..n).map(Value::Choice).collect::<Vec<_>>();
        let rows = product(&[choices(2), choices(3)]);
        assert_eq!(rows.len(), 6);
        assert_eq!((&rows[0], &rows[1]), (&vec![Value::Choice(0); 2], &vec![Value::Choice(0), Value::Choice(1)]));
    }
}
