//! The keywords that constrain an argument (`domain/narrowing/constraint.rs`), as phrases.

use std::fmt;

use serde_json::{Map, Value};

/// A few words around values: `at least` 3 `characters`. Words and values stay apart, so that no value can pass for words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    /// What stands before the values.
    pub before: &'static str,
    /// The values as JSON; alternatives if there are several. A keyword that has no words stands here with its value.
    pub values: Vec<String>,
    /// What stands after them; mostly empty.
    pub after: &'static str,
}

impl fmt::Display for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.join(", ");
        let parts = [self.before, values.as_str(), self.after];
        f.write_str(&parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "))
    }
}

/// A constraint in words, and whether the argument has to be given.
pub(super) fn phrases(keywords: &Map<String, Value>) -> (Vec<Phrase>, bool) {
    let mut found = Vec::new();
    let mut required = false;
    for (keyword, value) in keywords {
        match (keyword.as_str(), value) {
            ("required", Value::Bool(is)) => required = *is,
            _ => found.push(phrase(keyword, value)),
        }
    }
    (found, required)
}

fn phrase(keyword: &str, value: &Value) -> Phrase {
    let say = |before, after| Phrase { before, values: vec![value.to_string()], after };
    let count = |before, one, many| say(before, if value.as_u64() == Some(1) { one } else { many });
    match (keyword, value) {
        ("const", _) => say("exactly", ""),
        ("enum", Value::Array(values)) => Phrase {
            before: if values.len() == 1 { "exactly" } else { "one of" },
            values: values.iter().map(Value::to_string).collect(),
            after: "",
        },
        ("minimum", Value::Number(_)) => say("at least", ""),
        ("maximum", Value::Number(_)) => say("at most", ""),
        ("minLength", Value::Number(_)) => count("at least", "character", "characters"),
        ("maxLength", Value::Number(_)) => count("at most", "character", "characters"),
        ("prefix", Value::String(_)) => say("begins with", ""),
        ("maxItems", Value::Number(_)) => count("at most", "item", "items"),
        // Not a keyword that is known, or not with such a value: as it is written.
        _ => Phrase { before: "", values: vec![format!("{}: {value}", Value::from(keyword))], after: "" },
    }
}
