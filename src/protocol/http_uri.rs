//! The URI of an HTTP request without its query, for comparison (RFC 9449 §4.3, RFC 3986 §6.2).

/// The longest URI that is looked at, in bytes.
const LONGEST: usize = 4096;

/// Scheme, host, port and path of an http(s) URI in one spelling: two are the same place when they are the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUri(String);

/// The text is not an http(s) URI, or not one that has a single reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an absolute http(s) URI in visible ASCII, without credentials and dot segments")]
pub struct MalformedUri;

impl HttpUri {
    /// Reads a URI; its query and fragment are cut off.
    ///
    /// RFC 9449 §4.3: "servers SHOULD employ syntax-based normalization (Section 6.2.2 of [RFC3986]) and scheme-based
    /// normalization (Section 6.2.3 of [RFC3986]) before comparing the htu claim." So the case of scheme, host and
    /// percent-encoding, a default port, an empty path, and encoded letters and digits make no difference. Dot segments
    /// do: software along the way resolves them at different places, so a URI with one names no certain place.
    pub fn parse(text: &str) -> Result<Self, MalformedUri> {
        // Parsers of URLs read a backslash as a slash and drop spaces and line breaks.
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
        if text.len() > LONGEST || !text.bytes().all(plain) {
            return Err(MalformedUri);
        }
        let place = text.split(['?', '#']).next().unwrap_or_default();
        let (scheme, rest) = place.split_once("://").ok_or(MalformedUri)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.is_empty() || authority.contains(['@', '%']) {
            return Err(MalformedUri);
        }
        let origin = url::Url::parse(&format!("{scheme}://{authority}/")).map_err(|_| MalformedUri)?;
        if !matches!(origin.scheme(), "https" | "http") {
            return Err(MalformedUri);
        }
        let path = if path.is_empty() { "/".to_owned() } else { one_spelling(path).ok_or(MalformedUri)? };
        Ok(Self(format!("{}{path}", origin.as_str().trim_end_matches('/'))))
    }
}

/// RFC 3986 §6.2.2: what needn't be percent-encoded isn't, and the digits of what is are upper-case.
fn one_spelling(path: &str) -> Option<String> {
    let mut parts = path.split('%');
    let mut spelling = parts.next()?.to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            spelling.push(char::from(byte));
        } else {
            spelling.push('%');
            spelling.push_str(&digits.to_ascii_uppercase());
        }
        spelling.push_str(rest);
    }
    let dots = spelling.split('/').any(|segment| matches!(segment, "." | ".."));
    (!dots).then_some(spelling)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "https://tickets.example.com/mcp/a%2Fb";

    #[test]
    fn spellings_of_one_place_are_the_same() {
        let here = HttpUri::parse(HERE).unwrap();
        for same in [
            "HTTPS://tickets.example.com/mcp/a%2Fb",
            "https://Tickets.EXAMPLE.com/mcp/a%2fb",
            "https://tickets.example.com:443/mcp/a%2Fb",
            "https://tickets.example.com:/mcp/a%2Fb",
            "https://tickets.example.com/%6d%63p/%61%2Fb",
            "https://tickets.example.com/mcp/a%2Fb?query=https://other.example/",
            "https://tickets.example.com/mcp/a%2Fb#fragment?",
            "https://tickets.example.com/mcp/a%2Fb?",
        ] {
            assert_eq!(HttpUri::parse(same).as_ref(), Ok(&here), "{same}");
        }
        let root = HttpUri::parse("https://tickets.example.com").unwrap();
        assert_eq!(HttpUri::parse("https://tickets.example.com/"), Ok(root.clone()));
        assert_eq!(HttpUri::parse("https://tickets.example.com?x"), Ok(root));
    }

    #[test]
    fn other_places_differ() {
        let here = HttpUri::parse(HERE).unwrap();
        for other in [
            "http://tickets.example.com/mcp/a%2Fb",
            "https://tickets.example.com:8443/mcp/a%2Fb",
            "https://tickets.example.com:80/mcp/a%2Fb",
            "https://tickets.example.com./mcp/a%2Fb",
            "https://example.com/mcp/a%2Fb",
            "https://tickets.example.com.evil.example/mcp/a%2Fb",
            "https://tickets.example.com/mcp/a%2Fb/",
            "https://tickets.example.com/mcp//a%2Fb",
            "https://tickets.example.com/mcp/a/b",
            "https://tickets.example.com/mcp/a%252Fb",
            "https://tickets.example.com/MCP/a%2Fb",
            "https://tickets.example.com/mcp/a%2FB",
            "https://tickets.example.com/mcp/a%2Fb;v=1",
            "https://tickets.example.com/mcp/a%2Fb%00",
            "https://tickets.example.com/",
        ] {
            assert_ne!(HttpUri::parse(other).unwrap(), here, "{other}");
        }
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        for bad in [
            "",
            "/mcp",
            "https:tickets.example.com/mcp",
            "https:/tickets.example.com/mcp",
            "https:///mcp",
            "//tickets.example.com/mcp",
            "https://user@tickets.example.com/mcp",
            "https://user:pass@tickets.example.com/mcp",
            "https://@tickets.example.com/mcp",
            "https://tickets.example.com@evil.example/mcp",
            "https://tickets%2Eexample.com/mcp",
            "https://tickets.example.com\\@evil.example/mcp",
            "https://tickets.example.com/mcp\\x",
            "https://tickets.example.com/a/../mcp",
            "https://tickets.example.com/./mcp",
            "https://tickets.example.com/a/%2e%2E/mcp",
            "https://tickets.example.com/mcp/..",
            "https://tickets.example.com/mc%70%",
            "https://tickets.example.com/mcp%2",
            "https://tickets.example.com/mcp%+1",
            "https://tickets.example.com/mcp%zz",
            "https://tickets.example.com:99999/mcp",
            "https://tickets.example.com:44 3/mcp",
            " https://tickets.example.com/mcp",
            "https://tickets.example.com/mcp\n",
            "https://tickets.example.com/m\tcp",
            "https://tickets.example.com/m\u{e4}p",
            "ftp://tickets.example.com/mcp",
            "x:https://tickets.example.com/mcp",
            "file:///mcp",
        ] {
            assert_eq!(HttpUri::parse(bad), Err(MalformedUri), "{bad}");
        }
        assert!(HttpUri::parse(&format!("https://a.example/{}", "a".repeat(LONGEST))).is_err());
    }
}
