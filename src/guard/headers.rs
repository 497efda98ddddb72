//! What the headers of a message say must be what its body says (MCP 2026-07-28, Server Validation), and which headers
//! cross the guard.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST,
    ORIGIN, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::message::{Kind, Message};
use super::refusal::Refusal;
use crate::enforcer::VerifiedToken;

/// The protocol version of a message.
pub(super) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The session of versions before 2026-07-28.
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// Where a broken stream goes on, in versions before 2026-07-28.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// How the headers begin that only the guard may send.
const TRUSTED: &[u8] = b"x-taskpass-";

/// The first version without sessions, whose headers repeat the body.
const MODERN: &str = "2026-07-28";
/// Versions of which the guard knows how a message is read.
pub(super) const VERSIONS: [&str; 5] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", MODERN];

/// Which rules a message goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    /// 2026-07-28: no sessions, headers repeat the body.
    Modern,
    /// Before: sessions, streams of the server's own, messages that answer the server.
    Sessions,
}

/// The value of a header that comes once; `Err` when it comes twice or isn't text.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// Refuses a body that isn't plain JSON in UTF-8: what is judged must be what the server reads.
pub(super) fn check_content(headers: &HeaderMap) -> Result<(), Refusal> {
    let content_type = single(headers, &CONTENT_TYPE).ok().flatten().unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    let json = parts.next().is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json"));
    // Readers differ in what they take for a parameter: whatever any of them could take for a charset is plain UTF-8.
    let utf8 = parts.all(|parameter| {
        let parameter = parameter.to_ascii_lowercase();
        !parameter.contains("charset") || matches!(&*parameter, "charset=utf-8" | "charset=\"utf-8\"")
    });
    if json && utf8 && !headers.contains_key(CONTENT_ENCODING) {
        Ok(())
    } else {
        Err(Refusal::ContentTypeWrong)
    }
}

/// The era of a request without a body.
pub(super) fn era_of_headers(headers: &HeaderMap) -> Result<Era, Refusal> {
    let mismatch = Refusal::HeaderMismatch { header: "MCP-Protocol-Version" };
    match single(headers, &PROTOCOL_VERSION).map_err(|()| mismatch)? {
        Some(MODERN) => Ok(Era::Modern),
        Some(version) if !VERSIONS.contains(&version) => Err(Refusal::VersionUnsupported),
        _ => Ok(Era::Sessions),
    }
}

/// Headers and body say the same.
///
/// MCP 2026-07-28, Server Validation: "Servers that process the request body MUST reject requests where the values specified
/// in the headers do not match the corresponding values in the request body."
pub(super) fn check_agreement(headers: &HeaderMap, message: &Message) -> Result<Era, Refusal> {
    let mismatch = |header| Refusal::HeaderMismatch { header };
    let era = era_of_headers(headers)?;
    let header = single(headers, &PROTOCOL_VERSION).ok().flatten();
    let is_request = matches!(message.kind, Kind::Request { .. });
    let begins_session = message.method() == Some("initialize");
    // "The header value MUST match the `io.modelcontextprotocol/protocolVersion` field carried in the request body's
    // `_meta`." Servers choose the era by one of the two: a message that is modern by one only has two readings.
    match (message.version(), header) {
        (Some(Value::String(body)), Some(header)) if body == header => {}
        (Some(_), _) => return Err(mismatch("MCP-Protocol-Version")),
        (None, _) if era == Era::Modern && is_request && !begins_session => {
            return Err(mismatch("MCP-Protocol-Version"));
        }
        (None, _) => {}
    }
    // MCP 2026-07-28: `Mcp-Method` is "Required For: All requests". Header requirements for notifications "are not
    // defined by this revision"; before it none are required. A header that is there must be true all the same.
    let required = era == Era::Modern && is_request && !begins_session;
    match (single(headers, &METHOD), message.method()) {
        (Ok(None), _) if !required => {}
        (Ok(Some(header)), Some(method)) if header == method => {}
        _ => return Err(mismatch("Mcp-Method")),
    }
    match (single(headers, &NAME), message.name()) {
        (Ok(None), None) => {}
        (Ok(None), Some((_, name_required))) if !(required && name_required) => {}
        (Ok(Some(header)), Some((Value::String(name), _))) if decoded(header).as_deref() == Some(name) => {}
        _ => return Err(mismatch("Mcp-Name")),
    }
    Ok(era)
}

/// MCP 2026-07-28, Value Encoding: "servers MUST decode an encoded `Mcp-Name` … value before comparing it". The markers are
/// case-sensitive.
fn decoded(header: &str) -> Option<String> {
    let encoded = header.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="));
    match encoded {
        None => Some(header.to_owned()),
        Some(encoded) => STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()),
    }
}

/// RFC 9110 §7.6.1: fields that are for one connection only, and those that `Connection` names.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let fixed = [
        CONNECTION,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    for name in fixed.into_iter().chain(named) {
        headers.remove(name);
    }
}

/// Turns a client's headers into those of the upstream's request: without what is for the guard alone, without what only the
/// guard may say, and so that the answer can be read.
///
/// MCP, Authorization: a server "MUST NOT pass through the token it received from the MCP client".
pub(super) fn for_upstream(headers: &mut HeaderMap, host: &HeaderValue) {
    strip_hop_by_hop(headers);
    for name in [AUTHORIZATION, HeaderName::from_static("dpop"), ORIGIN, EXPECT, CONTENT_LENGTH, SESSION] {
        headers.remove(name);
    }
    strip_trusted(headers);
    headers.insert(HOST, host.clone());
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Removes what only the guard may say, in every spelling that a server could take for it: some read `_`, or whatever is
/// no letter, as `-`.
pub(super) fn strip_trusted(headers: &mut HeaderMap) {
    let same = |(is, said): (&u8, &u8)| is == said || (!is.is_ascii_alphanumeric() && *said == b'-');
    let trusted = |name: &HeaderName| {
        name.as_str().len() >= TRUSTED.len() && name.as_str().as_bytes().iter().zip(TRUSTED).all(same)
    };
    let forged: Vec<_> = headers.keys().filter(|name| trusted(name)).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
}

/// Who calls, for the server behind: proven, so it may be trusted there, and said by nobody else.
pub(super) fn add_trusted(headers: &mut HeaderMap, token: &VerifiedToken) {
    let claims = token.claims();
    let said = [
        ("x-taskpass-sub", Some(claims.sub.as_str())),
        ("x-taskpass-agent", claims.actor()),
        ("x-taskpass-client", Some(claims.client_id.as_str())),
        ("x-taskpass-task", claims.task.as_deref()),
    ];
    for (name, value) in said {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap()))
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
    }

    fn call(name: &str, version: Option<&str>) -> Message {
        let mut body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name}});
        if let Some(version) = version {
            body["params"]["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": version});
        }
        Message::parse(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn modern_headers_repeat_the_body() {
        let message = call("café", Some(MODERN));
        let good = [
            ("mcp-protocol-version", MODERN),
            ("mcp-method", "tools/call"),
            ("mcp-name", "=?base64?Y2Fmw6k=?="),
        ];
        assert_eq!(check_agreement(&map(&good), &message), Ok(Era::Modern));
        for left_out in 0..3 {
            let mut some = good.to_vec();
            some.remove(left_out);
            assert!(check_agreement(&map(&some), &message).is_err(), "without {}", good[left_out].0);
        }
        for (name, value) in good {
            let mut twice = good.to_vec();
            twice.push((name, value));
            assert!(check_agreement(&map(&twice), &message).is_err(), "{name} twice");
        }
        for (name, value) in [
            ("mcp-method", "Tools/call"),
            ("mcp-method", "tools/list"),
            ("mcp-name", "=?BASE64?Y2Fmw6k=?="),
            ("mcp-name", "=?base64?Y2Fmw6k?="),
            ("mcp-name", "=?base64?!?="),
            ("mcp-name", "cafe"),
            ("mcp-protocol-version", "2025-11-25"),
        ] {
            let mut wrong = map(&good);
            wrong.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            assert!(check_agreement(&wrong, &message).is_err(), "{name}: {value}");
        }
    }

    #[test]
    fn a_message_belongs_to_one_era() {
        let modern =
            map(&[("mcp-protocol-version", MODERN), ("mcp-method", "tools/call"), ("mcp-name", "a")]);
        assert!(check_agreement(&modern, &call("a", None)).is_err());
        assert!(check_agreement(&HeaderMap::new(), &call("a", Some(MODERN))).is_err());
        assert_eq!(check_agreement(&HeaderMap::new(), &call("a", None)), Ok(Era::Sessions));
        let unknown = map(&[("mcp-protocol-version", "2031-01-01")]);
        assert_eq!(check_agreement(&unknown, &call("a", None)), Err(Refusal::VersionUnsupported));
    }

    #[test]
    fn headers_of_older_versions_are_true_where_they_are_sent() {
        let message = call("a", None);
        assert!(check_agreement(&map(&[("mcp-method", "tools/call"), ("mcp-name", "a")]), &message).is_ok());
        assert!(check_agreement(&map(&[("mcp-method", "ping")]), &message).is_err());
        assert!(check_agreement(&map(&[("mcp-name", "b")]), &message).is_err());
    }

    #[test]
    fn nothing_of_the_clients_credentials_or_claims_crosses() {
        let mut headers = map(&[
            ("authorization", "Bearer x"),
            ("dpop", "x"),
            ("x-taskpass-sub", "root"),
            ("x_taskpass_agent", "root"),
            ("X-Taskpass_Task", "root"),
            ("x.taskpass.sub", "root"),
            ("connection", "close, x-secret-hop"),
            ("x-secret-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("host", "public.example"),
            ("accept", "text/event-stream"),
        ]);
        for_upstream(&mut headers, &HeaderValue::from_static("127.0.0.1:1"));
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "accept-encoding", "host"]);
        assert_eq!(headers[HOST], "127.0.0.1:1");
    }

    #[test]
    fn only_plain_json_is_read() {
        for good in
            ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""]
        {
            assert!(check_content(&map(&[("content-type", good)])).is_ok(), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/json; charset=utf-16",
            "application/jsonx",
            // Express reads parameters so, and then decodes UTF-7, in which `+ACI-` is a quotation mark.
            "application/json; charset =utf-7",
            "application/json; charset = utf-7",
            "application/json; charset= \"utf-7\"",
            "application/json; charset*=utf-7''x",
        ] {
            assert!(check_content(&map(&[("content-type", bad)])).is_err(), "{bad}");
        }
        let twice = map(&[("content-type", "application/json"), ("content-type", "application/json")]);
        assert!(check_content(&twice).is_err());
        let packed = map(&[("content-type", "application/json"), ("content-encoding", "gzip")]);
        assert!(check_content(&packed).is_err());
    }
}
