//! `NumericDate` and `aud` as strangers write them (RFC 7519 §2, §4.1.3).

use serde::{Deserialize, Deserializer};

use crate::time::Timestamp;

/// A `NumericDate`: "A JSON numeric value representing the number of seconds"; fractions are cut off, and text that
/// looks like a number is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NumericDate(pub Timestamp);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        let in_range = |seconds: f64| seconds.is_finite() && seconds.abs() < 1e12;
        #[expect(clippy::cast_possible_truncation, reason = "in range, and the fraction is meant to go")]
        let seconds = number
            .as_i64()
            .or_else(|| number.as_f64().filter(|seconds| in_range(*seconds)).map(|seconds| seconds as i64));
        seconds
            .map(|seconds| Self(Timestamp(seconds)))
            .ok_or_else(|| serde::de::Error::custom("not a NumericDate"))
    }
}

/// `aud`: "an array of case-sensitive strings … In the special case when the JWT has one audience, … a single string".
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// A single string.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl Audience {
    /// Whether it is `expected` and nothing else.
    pub fn is_only(&self, expected: &str) -> bool {
        match self {
            Self::One(one) => one == expected,
            Self::Many(list) => matches!(list.as_slice(), [one] if one == expected),
        }
    }

    /// The values.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(one) => std::slice::from_ref(one).iter(),
            Self::Many(list) => list.iter(),
        }
        .map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_numbers() {
        let read = |text: &str| serde_json::from_str::<NumericDate>(text).map(|date| date.0.0);
        assert_eq!(read("1.9").unwrap(), 1);
        for text in ["\"1\"", "1e30", "null", "true", "[1]"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_of_one_is_that_one() {
        let read = |text: &str| serde_json::from_str::<Audience>(text).unwrap();
        assert!(read("\"a\"").is_only("a") && read("[\"a\"]").is_only("a"));
        assert!(
            !read("[\"a\",\"b\"]").is_only("a")
                && !read("[]").is_only("a")
                && !read("[\"a\",\"a\"]").is_only("a")
        );
    }
}
