//! Form parameters (RFC 6749 §3.1 and §3.2), with duplicates detected rather than resolved.

use std::borrow::Cow;

/// The parameters of one request, in the order in which they came.
#[derive(Default)]
pub struct Params<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Why a form was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// The body isn't UTF-8 after percent-decoding, or has more than 64 parameters.
    #[error("the form is malformed")]
    Malformed,
    /// A parameter that may come once came twice.
    #[error("the parameter {0} came more than once")]
    Duplicated(&'static str),
}

/// More parameters than any request of ours has.
const MOST: usize = 64;

impl<'a> Params<'a> {
    /// Parses an `application/x-www-form-urlencoded` body.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParamsError> {
        // Percent-decoding replaces what isn't UTF-8; a value that carries authority must not be changed on the way.
        let params: Vec<_> = form_urlencoded::parse(body).take(MOST + 1).collect();
        let intact =
            params.iter().all(|(name, value)| !name.contains('\u{fffd}') && !value.contains('\u{fffd}'));
        if params.len() > MOST || !intact {
            return Err(ParamsError::Malformed);
        }
        Ok(Self(params))
    }

    /// The value of a parameter that may come at most once; empty counts as absent.
    ///
    /// RFC 6749 §3.2: "Parameters sent without a value MUST be treated as if they were omitted from the request. …
    /// Request and response parameters MUST NOT be included more than once."
    pub fn one(&self, name: &'static str) -> Result<Option<&str>, ParamsError> {
        let mut values = self.0.iter().filter(|(key, _)| key == name);
        let first = values.next();
        if values.next().is_some() {
            return Err(ParamsError::Duplicated(name));
        }
        Ok(first.map(|(_, value)| value.as_ref()).filter(|value| !value.is_empty()))
    }

    /// Every non-empty value of a parameter that may be repeated (RFC 8693 §2.1: `resource` and `audience`).
    pub fn many(&self, name: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_ref())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_absent_empty_and_doubled_apart() {
        let params = Params::parse(b"scope=&grant_type=a&scope2=b&x=1&x=1&resource=a&resource=b").unwrap();
        assert_eq!(params.one("scope"), Ok(None));
        assert_eq!(params.one("grant_type"), Ok(Some("a")));
        assert_eq!(params.one("x"), Err(ParamsError::Duplicated("x")));
        assert_eq!(params.many("resource"), ["a", "b"]);
    }

    #[test]
    fn refuses_what_is_not_utf8() {
        assert!(Params::parse(b"scope=%ff").is_err());
    }

    #[test]
    fn an_empty_twin_is_still_a_twin() {
        assert!(Params::parse(b"scope=&scope=a").unwrap().one("scope").is_err());
    }
}
