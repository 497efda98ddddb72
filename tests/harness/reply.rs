//! An answer, and what every refusal has in common.

use base64::Engine as _;
use http::HeaderMap;
use serde_json::Value;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// `Null` where the body isn't JSON.
    pub(crate) json: Value,
}

impl Reply {
    pub(crate) async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, headers, text, json }
    }

    /// A header's value, empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Panics unless it says yes.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text);
        self
    }

    /// The token in it.
    #[track_caller]
    pub(crate) fn token(&self) -> String {
        let token = self.json["access_token"].as_str();
        token.unwrap_or_else(|| panic!("{} {}", self.status, self.text)).to_owned()
    }

    /// The claims of the token in it.
    #[track_caller]
    pub(crate) fn claims(&self) -> Value {
        claims(&self.token())
    }

    /// Whether an introspection says that the token is active.
    #[track_caller]
    pub(crate) fn is_active(&self) -> bool {
        assert_eq!(self.status, 200, "{}", self.text);
        let active = self.json["active"].as_bool().unwrap();
        // RFC 7662 §2.2: an inactive answer "SHOULD NOT include any additional information".
        assert!(active || self.text == r#"{"active":false}"#, "{}", self.text);
        active
    }
}

/// The claims of a JWT, unverified.
#[track_caller]
pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// What every refusal has: its status, the standard's code, our rule's name, no token, and no cache keeps it.
#[track_caller]
pub(crate) fn assert_refused(reply: &Reply, status: u16, error: &str, rule: &str) {
    let found = (reply.status, reply.json["error"].as_str(), reply.json["rule"].as_str());
    assert_eq!(found, (status, Some(error), Some(rule)), "{}", reply.text);
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("content-type"), "application/json");
    assert!(reply.json["error_description"].as_str().is_some_and(|text| !text.is_empty()));
    assert!(reply.json.get("access_token").is_none());
    assert!(!reply.text.contains("eyJ"), "a refusal repeats a token: {}", reply.text);
}
