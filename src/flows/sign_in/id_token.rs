//! The ID token that a provider gives for a code (OpenID Connect Core §3.1.3.7). That it came over TLS proves nothing here: it is
//! verified like any other.

use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::Usable;
use crate::domain::refusal::Refusal;
use crate::domain::user::upstream_session_id;
use crate::flows::sessions::Arrival;
use crate::flows::upstream_token::{Claims, SKEW, Unproved, groups, is_unfit, verify_signature};
use crate::flows::{FlowError, Server};
use crate::jose::{Algorithm, Unverified};
use crate::time::Timestamp;

/// How long ago a token that was just asked for may have been issued, in seconds.
const OLDEST: i64 = 600;

/// What this sign-in asked for.
#[derive(Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) nonce: &'a str,
    pub(super) algorithms: &'a [Algorithm],
    /// Since when the person must have been asked, where the client wants that.
    pub(super) anew_since: Option<Timestamp>,
    pub(super) now: Timestamp,
}

/// Who it proves to have signed in.
pub(super) async fn verify(
    server: &Server,
    (tenant, usable): (&str, &Usable<'_>),
    token: &str,
    expected: Expected<'_>,
) -> Result<Arrival, FlowError> {
    let wrong = |why: &'static str| {
        tracing::warn!(identity_provider = usable.idp.id, why, "an ID token was not accepted");
        FlowError::from(Refusal::IdTokenNotAccepted)
    };
    let unverified =
        Unverified::parse(token).map_err(|_| wrong("it is not a JWT, or its header isn't accepted"))?;
    check_header(&unverified, &expected).map_err(wrong)?;
    match verify_signature(server, usable.keys, &unverified).await {
        Ok(()) => {}
        Err(Unproved::NoKeys) => return Err(Refusal::SignInFailed.into()),
        Err(Unproved::NotSigned) => return Err(wrong("no key of its issuer signed it")),
    }
    let others = unverified.peek().ok_or_else(|| wrong("its payload is not a JSON object"))?;
    let claims = Claims::deserialize(&others).map_err(|_| wrong("a claim is missing or malformed"))?;
    check(&claims, &others, usable, &expected).map_err(wrong)?;
    let text = |name: &str| others.get(name).and_then(Value::as_str).map(label).unwrap_or_default();
    let name =
        Some(text("name")).filter(|name| !name.is_empty()).unwrap_or_else(|| text("preferred_username"));
    Ok(Arrival {
        idp: usable.idp.id.clone(),
        issuer: usable.idp.issuer.clone(),
        subject: claims.sub.unwrap_or_default(),
        upstream_sid: claims.sid.map(|sid| upstream_session_id(tenant, &usable.idp.issuer, &sid)),
        name,
        email: text("email"),
        groups: groups(&others, usable.idp),
    })
}

fn check_header(unverified: &Unverified<'_>, expected: &Expected<'_>) -> Result<(), &'static str> {
    let header = unverified.header();
    // RFC 8725 §3.11: a logout token, a security event or an access token is not an ID token.
    if !matches!(header.typ.as_deref(), None | Some("jwt")) {
        return Err("its typ is that of another kind of token");
    }
    // OpenID Connect Core §3.1.3.7, 7: "The `alg` value SHOULD be the default of RS256 or the algorithm sent by the Client". The
    // key decides, and what the provider says that it signs with.
    if !expected.algorithms.contains(&header.algorithm) {
        return Err("its alg is not one that the provider says it signs with");
    }
    Ok(())
}

fn check(
    claims: &Claims,
    others: &Map<String, Value>,
    usable: &Usable<'_>,
    expected: &Expected<'_>,
) -> Result<(), &'static str> {
    let text = |name: &str| others.get(name).and_then(Value::as_str);
    // §3.1.3.7, 2: "The Issuer Identifier for the OpenID Provider … MUST exactly match the value of the `iss` (issuer) Claim."
    if text("iss") != Some(usable.idp.issuer.as_str()) {
        return Err("its iss is another one");
    }
    // 3: "The ID Token MUST be rejected if the ID Token does not list the Client as a valid audience, or if it contains additional
    // audiences not trusted by the Client."
    check_audience(claims, usable)?;
    // 9: "The current time MUST be before the time represented by the `exp` Claim." 10: the `iat` Claim "can be used to reject
    // tokens that were issued too far away from the current time".
    let fresh = claims.iat.is_some_and(|iat| iat.0 >= expected.now.plus(-OLDEST));
    if claims.is_out_of_time(expected.now) || !fresh {
        return Err("it has expired, is from the future, or is not fresh");
    }
    // 11: "If a nonce value was sent in the Authentication Request, a `nonce` Claim MUST be present and its value checked".
    if text("nonce") != Some(expected.nonce) {
        return Err("its nonce is another one");
    }
    // 13: "If the `auth_time` Claim was requested …, the Client SHOULD check the `auth_time` Claim value". Not every provider has it.
    let asked_at = others.get("auth_time").and_then(Value::as_i64);
    if expected.anew_since.is_some_and(|since| asked_at.is_some_and(|at| at < since.plus(-SKEW).0)) {
        return Err("its provider did not ask the person anew");
    }
    // §2: `sub` "MUST NOT exceed 255 ASCII characters in length".
    if claims.sub.as_deref().is_none_or(is_unfit) || claims.sid.as_deref().is_some_and(is_unfit) {
        return Err("its sub or sid can't be one");
    }
    // Keycloak tells the kinds of its tokens apart in the payload; a logout token has `events`.
    if others.contains_key("events") || text("typ").is_some_and(|typ| typ != "ID") {
        return Err("its payload is that of another kind of token");
    }
    // Whoever acts in the person's place may not agree to anything in the person's name.
    if others.contains_key("act") { Err("somebody acts in the person's place") } else { Ok(()) }
}

/// The same for every token that a provider makes for this server as its client.
pub(super) fn check_audience(claims: &Claims, usable: &Usable<'_>) -> Result<(), &'static str> {
    let own = usable.sign_in.client_id.as_str();
    let trusted = |name: &str| name == own || usable.idp.audiences.iter().any(|known| known == name);
    if !claims.aud.iter().any(|name| name == own) || !claims.aud.iter().all(trusted) {
        return Err("its aud is not this server");
    }
    // §2: `azp` "MUST contain the OAuth 2.0 Client ID" of the party that it was issued to. Of several audiences it names one.
    let several = claims.aud.iter().nth(1).is_some();
    match claims.azp.as_deref() {
        Some(azp) if azp != own => Err("its azp is another client"),
        None if several => Err("it has several audiences and no azp"),
        _ => Ok(()),
    }
}

/// What is shown of a person: bounded, on one line.
fn label(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(200).collect()
}
