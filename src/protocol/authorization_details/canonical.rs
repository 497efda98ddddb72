//! RFC 8785: the canonical form of JSON, for hashing and comparing.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

fn write_value(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => write_object(members, text),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_value(item, text);
            }
            text.push(']');
        }
        Value::Number(number) => match number.as_f64() {
            Some(double) if number.is_f64() => write_double(double, text),
            _ => text.push_str(&number.to_string()),
        },
        // serde_json escapes exactly what RFC 8785 section 3.2.2.2 asks for.
        Value::String(_) | Value::Bool(_) | Value::Null => text.push_str(&value.to_string()),
    }
}

pub(super) fn write_object(members: &Map<String, Value>, text: &mut String) {
    // RFC 8785 section 3.2.3: "Property name strings to be sorted are formatted as arrays of UTF-16 code units."
    let names: BTreeSet<(Vec<u16>, &str)> =
        members.keys().map(|name| (name.encode_utf16().collect(), name.as_str())).collect();
    text.push('{');
    for (index, (_, name)) in names.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&Value::from(*name).to_string());
        text.push(':');
        write_value(&members[*name], text);
    }
    text.push('}');
}

/// ECMAScript's Number::toString, which RFC 8785 section 3.2.2.3 asks for. Rust's `{:e}` gives the same shortest digits.
pub(super) fn write_double(double: f64, text: &mut String) {
    if double == 0.0 {
        text.push('0');
        return;
    }
    if double < 0.0 {
        text.push('-');
    }
    let scientific = format!("{:e}", double.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific.as_str(), "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let count = digits.len();
    match exponent + 1 {
        point @ 1..=21 if count <= point.unsigned_abs() as usize => {
            text.push_str(&digits);
            text.push_str(&"0".repeat(point.unsigned_abs() as usize - count));
        }
        point @ 1..=21 => {
            let (whole, fraction) = digits.split_at(point.unsigned_abs() as usize);
            text.push_str(whole);
            text.push('.');
            text.push_str(fraction);
        }
        point @ -5..=0 => {
            text.push_str("0.");
            text.push_str(&"0".repeat(point.unsigned_abs() as usize));
            text.push_str(&digits);
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            text.push_str(first);
            if !rest.is_empty() {
                text.push('.');
                text.push_str(rest);
            }
            text.push('e');
            text.push(if exponent < 0 { '-' } else { '+' });
            text.push_str(&exponent.unsigned_abs().to_string());
        }
    }
}
