//! RFC 6901 JSON Pointers that name one argument of a tool call, each in exactly one spelling.

use std::borrow::Borrow;
use std::fmt;

use serde_json::Value;

/// The most member names on one pointer.
const MAX_TOKENS: usize = 16;

/// A path of member names from the arguments object to one argument.
///
/// A pointer never leads through an array: everything on the way must be an object. So a token is always a member name,
/// there is one pointer for one place, and no value of another kind can hide what the pointer constrains.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Pointer(Vec<String>);

/// What stands where a pointer points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found<'v> {
    /// This value.
    Value(&'v Value),
    /// Nothing: the argument, or an object on the way to it, was left out.
    Nothing,
    /// Something that isn't an object stands in the way.
    Blocked,
}

impl Pointer {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err("a JSON Pointer must begin with a slash and name an argument");
        };
        let tokens = rest.split('/').map(unescape).collect::<Result<Vec<_>, _>>()?;
        if tokens.len() > MAX_TOKENS {
            return Err("a JSON Pointer has too many parts");
        }
        // The arguments are an object, so the first token is a member name whatever it looks like.
        if tokens.iter().skip(1).any(|token| looks_like_an_index(token)) {
            return Err("a JSON Pointer must not lead into an array");
        }
        Ok(Self(tokens))
    }

    pub(super) fn tokens(&self) -> &[String] {
        &self.0
    }

    /// The path of the object that holds the argument; empty for the arguments themselves.
    pub(super) fn holder(&self) -> &[String] {
        &self.0[..self.0.len() - 1]
    }

    pub(super) fn find<'v>(&self, arguments: &'v Value) -> Found<'v> {
        find(&self.0, arguments)
    }

    /// Prints a path as a pointer.
    pub(super) fn print(path: &[String]) -> String {
        path.iter()
            .fold(String::new(), |text, token| text + "/" + &token.replace('~', "~0").replace('/', "~1"))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::print(&self.0))
    }
}

// Vec<String> and [String] have the same order, so maps keyed by Pointer can be searched by path.
impl Borrow<[String]> for Pointer {
    fn borrow(&self) -> &[String] {
        &self.0
    }
}

/// Follows a path from a value.
pub(super) fn find<'v>(path: &[String], from: &'v Value) -> Found<'v> {
    let mut value = from;
    for token in path {
        let Value::Object(members) = value else {
            return Found::Blocked;
        };
        match members.get(token) {
            Some(member) => value = member,
            None => return Found::Nothing,
        }
    }
    Found::Value(value)
}

// RFC 6901 section 3: "~" and "/" stand in a token only as "~0" and "~1", and nothing else is escaped.
fn unescape(token: &str) -> Result<String, &'static str> {
    let mut parts = token.split('~');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (escaped, rest) = match (part.strip_prefix('0'), part.strip_prefix('1')) {
            (Some(rest), _) => ('~', rest),
            (_, Some(rest)) => ('/', rest),
            (None, None) => return Err("a JSON Pointer has a malformed escape"),
        };
        name.push(escaped);
        name.push_str(rest);
    }
    Ok(name)
}

fn looks_like_an_index(token: &str) -> bool {
    token == "-" || (!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_and_prints_one_spelling() {
        for text in ["/a", "/", "/a/", "/a~1b/c~0d", "/~01", "/0", "/é", "/a b/%2F", "/-"] {
            assert_eq!(Pointer::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Pointer::parse("/~01").unwrap().tokens(), ["~1"]);
        assert_eq!(Pointer::parse("/a~1b").unwrap().tokens(), ["a/b"]);
    }

    #[test]
    fn refuses_other_spellings_and_array_indexes() {
        for text in ["", "a", "#/a", " /a", "/a~", "/a~2", "/~/b", "/a/0", "/a/01", "/a/-", "/a/12/b"] {
            assert!(Pointer::parse(text).is_err(), "{text}");
        }
        assert!(Pointer::parse(&"/a".repeat(MAX_TOKENS)).is_ok());
        assert!(Pointer::parse(&"/a".repeat(MAX_TOKENS + 1)).is_err());
    }

    #[test]
    fn finds_only_through_objects() {
        let arguments = json!({"a": {"b": 1, "": 2}, "c": [{"d": 1}], "e": null, "a/b": 3});
        let found = |text: &str| Pointer::parse(text).unwrap().find(&arguments);
        assert_eq!(found("/a/b"), Found::Value(&json!(1)));
        assert_eq!(found("/a/"), Found::Value(&json!(2)));
        assert_eq!(found("/a~1b"), Found::Value(&json!(3)));
        assert_eq!(found("/e"), Found::Value(&Value::Null));
        assert_eq!(found("/A/b"), Found::Nothing);
        assert_eq!(found("/a/x"), Found::Nothing);
        assert_eq!(found("/x/y"), Found::Nothing);
        assert_eq!(found("/c/d"), Found::Blocked);
        assert_eq!(found("/e/x"), Found::Blocked);
        assert_eq!(found("/a/b/c"), Found::Blocked);
    }
}
