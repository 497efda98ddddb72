//! One text for one JSON value (after RFC 8785): members sorted, no white space. Numbers stay as they were written, so the
//! same number written in two ways is two values; for pinning that errs on the safe side.

use serde_json::Value;

/// The canonical text.
pub(super) fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            // RFC 8785 §3.2.3: "sorted … as arrays of UTF-16 code units".
            sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            text.push('{');
            for (index, (name, member)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write(member, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_spaces_say_nothing() {
        let text = r#"{ "b": [1, {"y": null, "x": "\u00e9"}], "a": true, "\ud83d\ude00": 1, "\ufb33": 2 }"#;
        let value: Value = serde_json::from_str(text).unwrap();
        let expected = "{\"a\":true,\"b\":[1,{\"x\":\"é\",\"y\":null}],\"\u{1f600}\":1,\"\u{fb33}\":2}";
        assert_eq!(canonical(&value), expected);
    }
}
