//! SPIFFE IDs (SPIFFE-ID §2).

/// A well-formed `spiffe://trust-domain/path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpiffeId {
    text: String,
    domain_end: usize,
}

/// The text is not a SPIFFE ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a SPIFFE ID is spiffe://trust-domain/path: the domain of a-z 0-9 . - _, the path of letters, digits, . - _"
)]
pub struct MalformedSpiffeId;

const SCHEME: &str = "spiffe://";

impl SpiffeId {
    /// Parses a SPIFFE ID of a workload.
    ///
    /// SPIFFE-ID §2.1 and §2.2: the trust domain is lower-case letters, digits, dots, dashes and underscores; the path's
    /// segments are letters, digits, dots, dashes and underscores, never empty, `.` or `..`; §2.3: at most 2048 bytes.
    pub fn parse(text: &str) -> Result<Self, MalformedSpiffeId> {
        let rest = text.strip_prefix(SCHEME).ok_or(MalformedSpiffeId)?;
        let (domain, path) = rest.split_once('/').ok_or(MalformedSpiffeId)?;
        let in_domain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        let in_path = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let segment = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(in_path);
        let sound = (1..=255).contains(&domain.len())
            && domain.bytes().all(in_domain)
            && path.split('/').all(segment)
            && text.len() <= 2048;
        if sound {
            Ok(Self { text: text.to_owned(), domain_end: SCHEME.len() + domain.len() })
        } else {
            Err(MalformedSpiffeId)
        }
    }

    /// The whole ID.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain's name.
    pub fn trust_domain(&self) -> &str {
        &self.text[SCHEME.len()..self.domain_end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_workload_ids() {
        assert_eq!(SpiffeId::parse("spiffe://a.example/x/y").unwrap().trust_domain(), "a.example");
        let bad = [
            "spiffe://a.example",
            "spiffe://a.example/",
            "spiffe://A.example/x",
            "spiffe://a.example//x",
            "http://a.example/x",
            "spiffe://a.example/../x",
            "spiffe://a.example:80/x",
            "spiffe://u@a.example/x",
            "spiffe://a.example/x?y",
            "spiffe:///x",
            "spiffe://a.example/%41",
            "SPIFFE://a.example/x",
        ];
        for text in bad {
            assert!(SpiffeId::parse(text).is_err(), "{text}");
        }
    }
}
