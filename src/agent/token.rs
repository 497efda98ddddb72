//! A token as the agent holds it, and the strict reading of the response it came in (RFC 6749 §5.1, RFC 8693 §2.2.1).

use std::time::Instant;

use serde_json::{Map, Value};

use super::error::Error;
use crate::jose::Unverified;
use crate::protocol::resource::ResourceUri;
use crate::protocol::scope::Scope;
use crate::protocol::token_type::TokenType;
use crate::secret::Secret;
use crate::time::{Timestamp, monotonic};

const WHAT: &str = "the token endpoint";

/// The longest lifetime that is believed, in seconds. Taskpass's own ceiling is 300.
const LONGEST: u64 = 3600;

/// Renewal starts when this many seconds are left, or a quarter of the life if that is more; a short-lived token is
/// given half its life.
const MARGIN: i64 = 30;

/// One access token and what the server said about it.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token itself.
    pub access_token: Secret,
    /// Where it works.
    pub resource: ResourceUri,
    /// Its lifetime as issued, in seconds, counted from before the request was sent.
    pub expires_in: i64,
    /// When it ends, on our clock.
    pub expires_at: Timestamp,
    /// What it may do, in scopes.
    pub scope: Option<Scope>,
    /// What it may do, in detail.
    pub authorization_details: Option<Value>,
    /// The task that it belongs to.
    pub task: Option<String>,
    /// When the task ends, on the server's clock. No renewal reaches beyond.
    pub task_deadline: Option<Timestamp>,
    sent: Instant,
    server_ahead: i64,
}

/// When a request left, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) at: Timestamp,
    pub(super) instant: Instant,
}

impl Sent {
    pub(super) fn now(clock: &crate::time::Clock) -> Self {
        Self { at: clock.now(), instant: monotonic() }
    }
}

/// What was asked for, to hold the answer against.
pub(super) struct Asked<'a> {
    pub(super) resource: &'a ResourceUri,
    pub(super) scope: Option<&'a Scope>,
    pub(super) exchange: bool,
}

impl Token {
    /// Seconds that are left at `now`, by whichever clock leaves less: the wall clock runs on while the machine sleeps,
    /// the monotonic one can't be set back.
    pub fn seconds_left(&self, now: Timestamp) -> i64 {
        let elapsed =
            i64::try_from(monotonic().saturating_duration_since(self.sent).as_secs()).unwrap_or(i64::MAX);
        self.expires_at.since(now).min(self.expires_in.saturating_sub(elapsed))
    }

    /// Whether the token still has time at `now`.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.seconds_left(now) > 0
    }

    /// How long to wait, in seconds from `now`, before this token should be renewed: 0 when it is time, `None` when a
    /// renewal can't reach further because the task ends with this token.
    pub fn renew_in(&self, now: Timestamp) -> Option<i64> {
        if self.task_seconds_left(now).is_some_and(|left| left <= self.seconds_left(now) + 1) {
            return None;
        }
        let margin = (self.expires_in / 4).max(MARGIN.min(self.expires_in / 2));
        Some((self.seconds_left(now) - margin).max(0))
    }

    /// Seconds until the task's deadline at `now`, with the server's clock translated to ours.
    pub fn task_seconds_left(&self, now: Timestamp) -> Option<i64> {
        Some(self.task_deadline?.since(now).saturating_sub(self.server_ahead))
    }

    /// Reads a successful response.
    pub(super) fn read(
        mut members: Map<String, Value>,
        asked: &Asked<'_>,
        sent: Sent,
    ) -> Result<Self, Error> {
        let malformed = |cause: &str| Error::malformed(WHAT, cause);
        let access_token = match members.remove("access_token") {
            Some(Value::String(token)) => Secret::new(token),
            _ => return Err(malformed("access_token is missing")),
        };
        check_token_syntax(access_token.expose())?;
        check_types(&members, asked.exchange)?;
        // RFC 6749 §5.1 only recommends expires_in; a token whose end nobody knows can't be kept fresh.
        let expires_in = members.get("expires_in").and_then(Value::as_u64);
        let expires_in = expires_in
            .filter(|seconds| (1..=LONGEST).contains(seconds))
            .and_then(|seconds| i64::try_from(seconds).ok())
            .ok_or_else(|| malformed("expires_in isn't a whole number from 1 to 3600"))?;
        let scope = read_scope(&members, asked.scope)?;
        let authorization_details = read_details(&mut members)?;
        let task = match members.remove("task") {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) if is_id(&id) => Some(id),
            Some(_) => return Err(malformed("task isn't an identifier")),
        };
        let task_deadline = match members.get("task_deadline") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let seconds = value.as_i64().filter(|seconds| *seconds > 0);
                Some(Timestamp(seconds.ok_or_else(|| malformed("task_deadline isn't a time"))?))
            }
        };
        let server_ahead = server_now(access_token.expose(), expires_in).map_or(0, |at| at.since(sent.at));
        Ok(Self {
            access_token,
            resource: asked.resource.clone(),
            expires_in,
            expires_at: sent.at.plus(expires_in),
            scope,
            authorization_details,
            task,
            task_deadline,
            sent: sent.instant,
            server_ahead,
        })
    }
}

/// RFC 6750 §2.1: `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`. Anything else couldn't be
/// sent in a header.
fn check_token_syntax(token: &str) -> Result<(), Error> {
    let body = token.trim_end_matches('=');
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if body.is_empty() || token.len() > 16 * 1024 || !body.bytes().all(fits) {
        return Err(Error::malformed(WHAT, "access_token isn't a bearer token"));
    }
    Ok(())
}

fn check_types(members: &Map<String, Value>, exchange: bool) -> Result<(), Error> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    // RFC 6749 §7.1: "The client MUST NOT use an access token if it does not understand the token type"; §5.1: its
    // value is case insensitive. A token bound to a DPoP key would be useless to us, who made no proof.
    if !text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err(Error::malformed(WHAT, "token_type isn't Bearer"));
    }
    // RFC 8693 §2.2.1: `issued_token_type` is REQUIRED in the answer to an exchange.
    match text("issued_token_type") {
        Some(kind) if TokenType::parse(kind) == Some(TokenType::AccessToken) => Ok(()),
        None if !exchange && !members.contains_key("issued_token_type") => Ok(()),
        _ => Err(Error::malformed(WHAT, "issued_token_type isn't an access token")),
    }
}

fn read_scope(members: &Map<String, Value>, asked: Option<&Scope>) -> Result<Option<Scope>, Error> {
    let scope = match members.get("scope") {
        // RFC 6749 §5.1: scope is "OPTIONAL, if identical to the scope requested by the client".
        None | Some(Value::Null) => return Ok(asked.cloned()),
        Some(Value::String(text)) if text.is_empty() => Scope::default(),
        Some(Value::String(text)) => {
            Scope::parse(text).map_err(|error| Error::malformed(WHAT, error.to_string()))?
        }
        Some(_) => return Err(Error::malformed(WHAT, "scope isn't text")),
    };
    if asked.is_some_and(|asked| !scope.within(asked)) {
        return Err(Error::malformed(WHAT, "the scope is wider than what was asked for"));
    }
    Ok(Some(scope))
}

fn read_details(members: &mut Map<String, Value>) -> Result<Option<Value>, Error> {
    match members.remove("authorization_details") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(details)) if details.iter().all(Value::is_object) => {
            Ok(Some(Value::Array(details)))
        }
        Some(_) => Err(Error::malformed(WHAT, "authorization_details isn't an array of objects")),
    }
}

fn is_id(text: &str) -> bool {
    (1..=200).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The server's time when it answered, as far as a JWT tells. It only serves to place the task's deadline on our clock;
/// nothing is decided from a token that we can't verify.
fn server_now(token: &str, expires_in: i64) -> Option<Timestamp> {
    let claims = Unverified::parse(token).ok()?.peek()?;
    Some(Timestamp(claims.get("exp")?.as_i64()?.checked_sub(expires_in)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Clock;
    use serde_json::json;

    fn read(edit: &Value, scope: Option<&str>) -> Result<Token, Error> {
        let mut members = json!({
            "access_token": "tok_abc", "token_type": "bearer", "expires_in": 240, "scope": "a",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "task": "tsk_1", "task_deadline": 5000,
        });
        for (name, value) in edit.as_object().unwrap() {
            members[name] = value.clone();
        }
        let scope = scope.map(|text| Scope::parse(text).unwrap());
        let resource = ResourceUri::parse("https://a.example/mcp").unwrap();
        let asked = Asked { resource: &resource, scope: scope.as_ref(), exchange: true };
        let clock = Clock::manual(Timestamp(1000));
        Token::read(members.as_object().unwrap().clone(), &asked, Sent::now(&clock))
    }

    #[test]
    fn renews_before_a_quarter_or_thirty_seconds_are_left() {
        for (life, renew_in) in [(240, 180), (300, 225), (60, 30), (100, 70), (20, 10), (1, 1)] {
            let token = read(&json!({"expires_in": life}), None).unwrap();
            assert_eq!(token.renew_in(Timestamp(1000)), Some(renew_in), "{life}");
            assert_eq!(token.renew_in(Timestamp(1000 + life)), Some(0));
            assert!(token.is_alive(Timestamp(999 + life)) && !token.is_alive(Timestamp(1000 + life)));
        }
    }

    #[test]
    fn the_last_token_before_the_deadline_is_not_renewed() {
        assert_eq!(read(&json!({"task_deadline": 1240}), None).unwrap().renew_in(Timestamp(1000)), None);
        assert!(read(&json!({"task_deadline": 1300}), None).unwrap().renew_in(Timestamp(1000)).is_some());
        assert!(read(&json!({"task_deadline": null}), None).unwrap().renew_in(Timestamp(1000)).is_some());
    }

    #[test]
    fn the_deadline_is_on_the_servers_clock() {
        let key = crate::jose::PrivateJwk::generate(crate::jose::Algorithm::ES256).unwrap();
        let jwt = key.signing_key().unwrap().sign("at+jwt", &json!({"exp": 90_240})).unwrap();
        let token = read(&json!({"access_token": jwt, "task_deadline": 90_600}), None).unwrap();
        assert_eq!(token.task_seconds_left(Timestamp(1000)), Some(600));
        assert_eq!(token.renew_in(Timestamp(1000)), Some(180));
    }

    #[test]
    fn refuses_answers_that_break_the_rules() {
        let bad = [
            json!({"access_token": null}),
            json!({"access_token": ""}),
            json!({"access_token": "a\r\nX: y"}),
            json!({"access_token": "a b"}),
            json!({"token_type": "DPoP"}),
            json!({"token_type": "N_A"}),
            json!({"token_type": null}),
            json!({"issued_token_type": null}),
            json!({"issued_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}),
            json!({"expires_in": 0}),
            json!({"expires_in": -1}),
            json!({"expires_in": "240"}),
            json!({"expires_in": 3601}),
            json!({"expires_in": 1.5}),
            json!({"expires_in": null}),
            json!({"scope": 1}),
            json!({"scope": "a  b"}),
            json!({"authorization_details": {}}),
            json!({"authorization_details": ["x"]}),
            json!({"task": "a b"}),
            json!({"task": {}}),
            json!({"task_deadline": "soon"}),
        ];
        assert!(read(&json!({}), None).is_ok());
        for edit in bad {
            assert!(matches!(read(&edit, None), Err(Error::Malformed { .. })), "{edit}");
        }
    }

    #[test]
    fn refuses_more_scope_than_was_asked_for() {
        assert!(read(&json!({"scope": "a b"}), Some("a")).is_err());
        assert_eq!(read(&json!({"scope": null}), Some("a b")).unwrap().scope.unwrap().to_string(), "a b");
    }

    #[test]
    fn debug_does_not_print_the_token() {
        assert!(!format!("{:?}", read(&json!({}), None).unwrap()).contains("tok_abc"));
    }
}
