//! Scope: a set of scope tokens (RFC 6749 §3.3).

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A set of scope tokens; printed sorted, separated by one space. The empty scope grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(BTreeSet<String>);

/// The text is not a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope is tokens of printable ASCII without quotes or backslashes, separated by single spaces")]
pub struct MalformedScope;

impl Scope {
    /// Parses `scope = scope-token *( SP scope-token )`.
    ///
    /// RFC 6749 §3.3: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`.
    pub fn parse(text: &str) -> Result<Self, MalformedScope> {
        Self::from_tokens(text.split(' '))
    }

    /// A scope from separate tokens; each must be a `scope-token`.
    pub fn from_tokens<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Result<Self, MalformedScope> {
        let mut set = BTreeSet::new();
        for token in tokens {
            let printable =
                |byte: u8| byte == 0x21 || (0x23..=0x5b).contains(&byte) || (0x5d..=0x7e).contains(&byte);
            if token.is_empty() || !token.bytes().all(printable) {
                return Err(MalformedScope);
            }
            set.insert(token.to_owned());
        }
        Ok(Self(set))
    }

    /// Whether every token of this scope is also in `bound`.
    pub fn within(&self, bound: &Self) -> bool {
        self.0.is_subset(&bound.0)
    }

    /// The tokens that both have.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// Whether the scope has this token.
    pub fn contains(&self, token: &str) -> bool {
        self.0.contains(token)
    }

    /// Whether there is no token in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tokens, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, token) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(token)?;
        }
        Ok(())
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self::default());
        }
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        assert_eq!(Scope::parse("b a b").unwrap().to_string(), "a b");
        for text in ["", "a  b", " a", "a\tb", "\"a\"", "a\\b", "é"] {
            assert!(Scope::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn case_matters() {
        assert!(!Scope::parse("Read").unwrap().within(&Scope::parse("read").unwrap()));
    }
}
