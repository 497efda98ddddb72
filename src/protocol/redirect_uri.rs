//! Redirect URIs (OAuth 2.1 §2.3, RFC 8252 §7 and §8, RFC 9700 §2.1): which may be registered, when two are the same, and what
//! of one a person is shown.

use url::{Host, Url};

/// The longest that is looked at, in bytes.
const LONGEST: usize = 2048;

/// The hosts by which a browser reaches software on its own machine.
///
/// RFC 8252 §8.3: "While redirect URIs using localhost … function similarly to loopback IP redirects …, the use of localhost is
/// NOT RECOMMENDED." That is said to clients, for the sake of their listening socket. The clients that people have use it all the
/// same (the MCP SDKs' own examples do, and editors do), and it sends a code no farther than `127.0.0.1`: to this machine. So it
/// is taken where it is registered, and never stands for the address, nor the address for it.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];

/// Why a browser must not be sent to a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitRedirectUri {
    /// Browsers and servers could read it differently, or it is no absolute URI.
    #[error("a redirect URI is an absolute URI in visible ASCII that has one reading")]
    Malformed,
    /// It ends in a fragment.
    #[error("a redirect URI has no fragment")]
    Fragment,
    /// It carries a name or a password.
    #[error("a redirect URI has no user information")]
    UserInformation,
    /// It is plain http to another machine.
    #[error("a redirect URI is https; http is for 127.0.0.1, [::1] and localhost alone")]
    PlainHttp,
    /// Its scheme is none that can be told to belong to the client.
    #[error(
        "a redirect URI is https, http on loopback, or has a scheme made of a domain name, like com.example.app"
    )]
    Scheme,
}

/// Whether `given` is the place that is registered.
///
/// RFC 9700 §2.1: "authorization servers MUST utilize exact string matching except for port numbers in localhost redirection URIs
/// of native apps". RFC 8252 §7.3: "The authorization server MUST allow any port to be specified at the time of the request for
/// loopback IP redirect URIs".
pub fn matches(registered: &str, given: &str) -> bool {
    if registered == given {
        return true;
    }
    match (without_port(registered), without_port(given)) {
        (Some(registered), Some(given)) => registered == given,
        _ => false,
    }
}

/// Whether a client may register this at all.
pub fn check(uri: &str) -> Result<(), UnfitRedirectUri> {
    read(uri).map(|_| ())
}

/// What the consent page's `form-action` must name, so that a browser follows the redirect after the answer (CSP3 §6.6.1). `None`
/// for what may not be registered: nothing else ever gets into a header.
pub fn origin(uri: &str) -> Option<String> {
    let url = read(uri).ok()?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    match (url.scheme(), url.host()) {
        // The grammar of a source has no IPv6 addresses; the scheme is the least that covers one.
        ("http" | "https", Some(Host::Ipv6(_))) => Some(format!("{}:", url.scheme())),
        ("http" | "https", Some(host)) => Some(format!("{}://{host}{port}", url.scheme())),
        (scheme, _) => Some(format!("{scheme}:")),
    }
}

/// What people are shown of where they will be sent: the host, `this computer`, or an app's own scheme.
pub fn shown_host(uri: &str) -> String {
    let Ok(url) = read(uri) else { return String::new() };
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(host)) if LOOPBACK.contains(&host) => "this computer".to_owned(),
        ("http" | "https", Some(host)) => host.to_owned(),
        (scheme, _) => scheme.to_owned(),
    }
}

/// A loopback redirect URI in its two parts around the port: the host, and all that follows.
fn without_port(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let host = LOOPBACK.into_iter().find(|host| rest.starts_with(host))?;
    let (host, rest) = rest.split_at(host.len());
    let Some(after) = rest.strip_prefix(':') else { return Some((host, rest)) };
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    let (port, rest) = after.split_at(digits);
    (port.parse::<u16>().is_ok_and(|port| port > 0)).then_some((host, rest))
}

/// Parses a URI, and refuses what isn't fit.
///
/// A browser's parser repairs much: backslashes, line breaks, dot segments, hosts in other spellings. What it would repair is
/// refused, so that the bytes that were compared are the place to which the browser goes.
fn read(uri: &str) -> Result<Url, UnfitRedirectUri> {
    use UnfitRedirectUri::{Fragment, Malformed, PlainHttp, Scheme, UserInformation};
    let plain = |byte: u8| {
        byte.is_ascii_graphic()
            && !matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
    };
    if uri.len() > LONGEST || !uri.bytes().all(plain) {
        return Err(Malformed);
    }
    // RFC 6749 §3.1.2: "The endpoint URI MUST NOT include a fragment component." An empty one is one.
    if uri.contains('#') {
        return Err(Fragment);
    }
    let (scheme, rest) = uri.split_once(':').ok_or(Malformed)?;
    let url = Url::parse(uri).map_err(|_| Malformed)?;
    if url.scheme() != scheme {
        return Err(Malformed);
    }
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())),
        None => ("", rest),
    };
    if authority.contains('@') {
        return Err(UserInformation);
    }
    match scheme {
        "https" | "http" => check_web(&url, authority, path)?,
        // RFC 8252 §7.1: "apps MUST use a URI scheme based on a domain name under their control, expressed in reverse order".
        // §8.4: "any private-use URI scheme that doesn't contain a period character … SHOULD be rejected." No scheme that a
        // browser runs or opens by itself (javascript, data, file, …) has one.
        _ if !scheme.contains('.') => return Err(Scheme),
        _ => {}
    }
    if scheme == "http" && !url.host_str().is_some_and(|host| LOOPBACK.contains(&host)) {
        return Err(PlainHttp);
    }
    Ok(url)
}

/// The parser must have found in it just what is written.
fn check_web(url: &Url, authority: &str, path: &str) -> Result<(), UnfitRedirectUri> {
    let host = url.host_str().ok_or(UnfitRedirectUri::Malformed)?;
    let port = authority.strip_prefix(host).ok_or(UnfitRedirectUri::Malformed)?;
    let number = port.strip_prefix(':').map(str::parse::<u16>);
    let path = path.split('?').next().unwrap_or_default();
    // A semicolon in a host would end a directive of the CSP header that names it.
    let ordinary =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    let same = (port.is_empty() || number.is_some_and(|number| number.is_ok_and(|number| number > 0)))
        && (url.path() == path || (path.is_empty() && url.path() == "/"))
        && host.bytes().all(ordinary);
    if same { Ok(()) } else { Err(UnfitRedirectUri::Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_port_of_a_loopback_uri_is_free() {
        let same = [
            ("https://app.example/cb", "https://app.example/cb"),
            ("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb"),
            ("http://127.0.0.1:3000/cb", "http://127.0.0.1:49152/cb"),
            ("http://127.0.0.1:3000/cb", "http://127.0.0.1/cb"),
            ("http://[::1]/cb", "http://[::1]:8000/cb"),
            ("http://localhost/callback", "http://localhost:33418/callback"),
            ("http://127.0.0.1", "http://127.0.0.1:1"),
            ("http://127.0.0.1/cb?a=b", "http://127.0.0.1:1/cb?a=b"),
            ("com.example.app:/cb", "com.example.app:/cb"),
        ];
        for (registered, given) in same {
            assert!(matches(registered, given), "{registered} {given}");
        }
    }

    #[test]
    fn nothing_else_is_the_same_place() {
        let local = "http://127.0.0.1/cb";
        let site = "https://app.example/cb";
        let others = [
            (local, "http://127.0.0.1:1/cb/"),
            (local, "http://127.0.0.1:1/CB"),
            (local, "http://127.0.0.1:1/cb?x=1"),
            (local, "http://127.0.0.1:1/cb#x"),
            (local, "http://127.0.0.1:1/cb/../cb"),
            (local, "http://127.0.0.1:1"),
            (local, "https://127.0.0.1/cb"),
            (local, "https://127.0.0.1:1/cb"),
            (local, "http://localhost/cb"),
            (local, "http://[::1]/cb"),
            (local, "http://127.0.0.2/cb"),
            (local, "http://127.1/cb"),
            (local, "http://127.0.0.1.evil.example/cb"),
            (local, "http://127.0.0.1:1@evil.example/cb"),
            (local, "http://127.0.0.1:1.evil.example/cb"),
            (local, "http://127.0.0.1@evil.example/cb"),
            (local, "http://127.0.0.1:@evil.example/cb"),
            (local, "http://127.0.0.1:65536/cb"),
            (local, "http://127.0.0.1:0/cb"),
            (local, "http://127.0.0.1:/cb"),
            (local, "http://127.0.0.1:+1/cb"),
            (local, "http://127.0.0.1:1 /cb"),
            (local, "HTTP://127.0.0.1/cb"),
            ("http://localhost/cb", "http://127.0.0.1/cb"),
            ("http://localhost/cb", "http://LOCALHOST/cb"),
            ("http://localhost/cb", "http://localhost.evil.example/cb"),
            ("http://localhost/cb", "http://localhost:1.evil.example/cb"),
            ("http://127.0.0.1", "http://127.0.0.1:1/"),
            ("https://localhost/cb", "https://localhost:1/cb"),
            (site, "https://app.example:443/cb"),
            (site, "https://app.example:8443/cb"),
            (site, "https://APP.example/cb"),
            (site, "https://app.example/cb/"),
            (site, "https://app.example/cb?x=1"),
            (site, "https://app.example/cb/.."),
            (site, "https://app.example/%63b"),
            (site, "https://app.example.evil.example/cb"),
            (site, "https://app.example@evil.example/cb"),
            (site, "https://app.example/cb\n"),
            (site, " https://app.example/cb"),
            (site, "http://app.example/cb"),
            (site, ""),
            ("https://*.app.example/cb", "https://x.app.example/cb"),
            ("https://app.example/*", "https://app.example/cb"),
            ("com.example.app:/cb", "com.example.app:/cb/x"),
            ("com.example.app:/cb", "com.example.app://cb"),
        ];
        for (registered, given) in others {
            assert!(!matches(registered, given), "{registered} {given}");
        }
    }

    #[test]
    fn what_may_be_registered() {
        for good in [
            "https://app.example/cb",
            "https://app.example",
            "https://app.example/",
            "https://app.example:8443/cb?tenant=1",
            "https://app.example:443/cb",
            "https://192.0.2.1/cb",
            "https://localhost:3000/cb",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:33418",
            "http://127.0.0.1:33418/",
            "http://[::1]:3000/cb",
            "http://localhost:3000/callback",
            "com.example.app:/oauth2redirect/example-provider",
            "com.example.app://oauth/callback",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_may_not() {
        use UnfitRedirectUri::{Fragment, Malformed, PlainHttp, Scheme, UserInformation};
        let bad = [
            ("", Malformed),
            ("/cb", Malformed),
            ("//app.example/cb", Malformed),
            ("app.example/cb", Malformed),
            ("https:", Malformed),
            ("https:///cb", Malformed),
            ("https:/app.example/cb", Malformed),
            ("https:app.example/cb", Malformed),
            ("HTTPS://app.example/cb", Malformed),
            ("https://APP.example/cb", Malformed),
            ("https://app.example/a/../cb", Malformed),
            ("https://app.example/a/%2e%2E/cb", Malformed),
            ("https://app.example/./cb", Malformed),
            ("https://app.example\\@evil.example/cb", Malformed),
            ("https://app.example/cb\r\nx: y", Malformed),
            ("https://app.example/c b", Malformed),
            ("https://app.example/\u{e4}", Malformed),
            ("https://\u{e4}.example/cb", Malformed),
            ("https://a;script-src.example/cb", Malformed),
            ("https://a,b.example/cb", Malformed),
            ("https://a'b.example/cb", Malformed),
            ("https://%61pp.example/cb", Malformed),
            ("https://app.example:/cb", Malformed),
            ("https://app.example:0/cb", Malformed),
            ("https://app.example:99999/cb", Malformed),
            ("https://0x7f.1/cb", Malformed),
            ("https://app.example/cb#", Fragment),
            ("https://app.example/cb#x", Fragment),
            ("com.example.app:/cb#x", Fragment),
            ("https://user@app.example/cb", UserInformation),
            ("https://user:secret@app.example/cb", UserInformation),
            ("https://@app.example/cb", UserInformation),
            ("com.example.app://user@x/cb", UserInformation),
            ("http://app.example/cb", PlainHttp),
            ("http://10.0.0.1/cb", PlainHttp),
            ("http://127.0.0.2/cb", PlainHttp),
            ("http://[::]/cb", PlainHttp),
            ("http://localhost.example/cb", PlainHttp),
            ("javascript:alert(1)", Scheme),
            ("JavaScript:alert(1)", Malformed),
            ("java\tscript:alert(1)", Malformed),
            ("data:text/html,x", Scheme),
            ("file:///etc/passwd", Scheme),
            ("blob:https://app.example/x", Scheme),
            ("vbscript:x", Scheme),
            ("about:blank", Scheme),
            ("ws://app.example/cb", Scheme),
            ("ftp://app.example/cb", Scheme),
            ("mailto:a@app.example", Scheme),
            ("urn:ietf:wg:oauth:2.0:oob", Scheme),
            ("myapp://callback", Scheme),
        ];
        for (uri, why) in bad {
            assert_eq!(check(uri), Err(why), "{uri}");
            assert_eq!((origin(uri), shown_host(uri)), (None, String::new()), "{uri}");
        }
        assert!(check(&format!("https://app.example/{}", "a".repeat(LONGEST))).is_err());
    }

    #[test]
    fn what_the_page_is_told_of_it() {
        for (uri, source, shown) in [
            ("https://app.example/cb?x", "https://app.example", "app.example"),
            ("https://app.example:8443/cb", "https://app.example:8443", "app.example"),
            ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("http://127.0.0.1:5000/cb", "http://127.0.0.1:5000", "this computer"),
            ("http://localhost:5000/cb", "http://localhost:5000", "this computer"),
            ("http://[::1]:5000/cb", "http:", "this computer"),
            ("https://localhost/cb", "https://localhost", "this computer"),
            ("com.example.app:/cb", "com.example.app:", "com.example.app"),
        ] {
            assert_eq!((origin(uri).as_deref(), shown_host(uri).as_str()), (Some(source), shown), "{uri}");
        }
    }
}
