//! Resource identifiers (RFC 8707 §2, RFC 9728 §1.2).

use serde::{Deserialize, Serialize};

/// The canonical URI of a protected resource; two resources are the same when their URIs are the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceUri(String);

/// The text is not a resource URI in canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a resource is an absolute http(s) URI in canonical form, without fragment, credentials or query")]
pub struct MalformedResource;

impl ResourceUri {
    /// Parses a resource URI.
    ///
    /// RFC 8707 §2: "Its value MUST be an absolute URI … The URI MUST NOT include a fragment component. It SHOULD NOT
    /// include a query component". What isn't already canonical (upper-case host, default port, dot segments) is
    /// refused: comparing bytes is only safe when one resource has one spelling. A trailing slash of the path is kept
    /// as it is written; the root itself is written without one.
    pub fn parse(text: &str) -> Result<Self, MalformedResource> {
        let url = url::Url::parse(text).map_err(|_| MalformedResource)?;
        let bare = text.strip_suffix('/').is_none_or(|rest| rest.ends_with("://") || url.path() != "/");
        let canonical =
            url.as_str() == text || (url.path() == "/" && url.as_str().strip_suffix('/') == Some(text));
        let plain = matches!(url.scheme(), "https" | "http")
            && url.has_host()
            && url.fragment().is_none()
            && url.query().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if bare && canonical && plain { Ok(Self(text.to_owned())) } else { Err(MalformedResource) }
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ResourceUri {
    type Error = MalformedResource;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ResourceUri> for String {
    fn from(resource: ResourceUri) -> Self {
        resource.0
    }
}

impl std::fmt::Display for ResourceUri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for ResourceUri {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_canonical_absolute_uris() {
        for good in ["https://a.example", "https://a.example/mcp", "http://127.0.0.1:8000/mcp/"] {
            assert!(ResourceUri::parse(good).is_ok(), "{good}");
        }
        let bad = [
            "",
            "mcp",
            "/mcp",
            "https://a.example/",
            "https://A.example/mcp",
            "https://a.example:443/mcp",
            "https://a.example/mcp#x",
            "https://a.example/mcp?x=1",
            "https://u@a.example/mcp",
            "ftp://a.example",
            "https://a.example/a/../mcp",
            " https://a.example",
            "urn:a:b",
            "https:///mcp",
        ];
        for text in bad {
            assert!(ResourceUri::parse(text).is_err(), "{text}");
        }
    }
}
