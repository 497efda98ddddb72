//! When two JSON values are the same, and which of two numbers is larger, without rounding.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use crate::protocol::authorization_details::is_exact;

/// Compares by mathematical value: `1` equals `1.0`, and `9007199254740993` is larger than `9007199254740992.0`.
pub(super) fn compare(a: &Number, b: &Number) -> Ordering {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(a), None) => integer_with_double(a, double(b)),
        (None, Some(b)) => integer_with_double(b, double(a)).reverse(),
        // Not total_cmp, which would tell -0.0 from 0.0. serde_json holds no NaN.
        (None, None) => double(a).partial_cmp(&double(b)).unwrap_or(Ordering::Equal),
    }
}

/// Equality of JSON values: members in any order, numbers by value, strings by code points without normalization.
/// A number that can't be held exactly equals nothing, not even itself: who wrote it may have meant another one.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            is_exact(a) && is_exact(b) && compare(a, b) == Ordering::Equal
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b)))
        }
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        _ => false,
    }
}

/// Whether a list holds a value, by [`equal`].
pub(super) fn contains(list: &[Value], value: &Value) -> bool {
    list.iter().any(|item| equal(item, value))
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn double(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

fn integer_with_double(integer: i128, double: f64) -> Ordering {
    /// 2^64, beyond any integer that JSON numbers hold here.
    const BEYOND: f64 = 18_446_744_073_709_551_616.0;
    if double >= BEYOND {
        return Ordering::Less;
    }
    if double <= -BEYOND {
        return Ordering::Greater;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the fraction is compared below, and the range was checked above"
    )]
    let whole = double.trunc() as i128;
    integer.cmp(&whole).then_with(|| 0.0.partial_cmp(&double.fract()).unwrap_or(Ordering::Equal))
}

#[cfg(test)]
mod tests {
    use serde_json::{from_str, json};

    use super::*;

    #[test]
    fn numbers_compare_by_value_and_without_rounding() {
        // Ascending; each is less than all that follow.
        let ladder = [
            "-1e300",
            "-18446744073709551616",
            "-9223372036854775808",
            "-9007199254740993",
            "-9007199254740992.0",
            "-1.5",
            "-1",
            "-5e-324",
            "0",
            "5e-324",
            "0.1",
            "1",
            "1.0000000000000002",
            "50",
            "50.5",
            "9007199254740992.0",
            "9007199254740993",
            "9223372036854775807",
            "9223372036854775808.0",
            "18446744073709551615",
            "18446744073709551616",
            "1e300",
        ];
        let numbers: Vec<Number> = ladder.iter().map(|text| from_str(text).unwrap()).collect();
        for (i, a) in numbers.iter().enumerate() {
            for (j, b) in numbers.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        for (a, b) in [
            ("1", "1.0"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("1e2", "100"),
            ("9007199254740992", "9007199254740992.0"),
        ] {
            assert_eq!(compare(&from_str(a).unwrap(), &from_str(b).unwrap()), Ordering::Equal, "{a} {b}");
        }
    }

    #[test]
    fn values_are_equal_by_content() {
        assert!(equal(&json!({"a": [1, 2.0], "b": null}), &json!({"b": null, "a": [1.0, 2]})));
        assert!(!equal(&json!({"a": 1}), &json!({"a": 1, "b": 1})));
        assert!(!equal(&json!([1, 2]), &json!([2, 1])));
        assert!(!equal(&json!(1), &json!("1")));
        assert!(!equal(&json!(0), &json!(false)));
        assert!(!equal(&json!(0), &Value::Null));
        // Composed and decomposed, Latin and Cyrillic, upper and lower.
        assert!(!equal(&json!("\u{e9}"), &json!("e\u{301}")));
        assert!(!equal(&json!("a"), &json!("\u{430}")));
        assert!(!equal(&json!("A"), &json!("a")));
        // Written as 9007199254740993.0, read as …992.0.
        assert!(!equal(&from_str("9007199254740993.0").unwrap(), &json!(9_007_199_254_740_992_u64)));
    }
}
