use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::jose::{Algorithm, PrivateJwk, SigningKey};

const NOW: Timestamp = Timestamp(1_800_000_000);
const ISSUER: &str = "https://id.example.com";
const RESOURCE: &str = "https://tickets.example.com/mcp";

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| PrivateJwk::generate(Algorithm::ES256).unwrap().signing_key().unwrap());

fn verifier() -> Verifier {
    Verifier::new(ISSUER, ResourceUri::parse(RESOURCE).unwrap(), LIFETIME_CEILING)
}

fn keys() -> Arc<JwkSet> {
    Arc::new(JwkSet::of(KEY.public().clone()))
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": RESOURCE, "sub": "usr_1", "exp": NOW.0 + 240, "iat": NOW.0, "jti": "tok_1",
        "client_id": "triage", "act": {"sub": "triage"}, "rev": "g.7", "tenant": "main",
    })
}

/// The good claims with some members replaced; `null` removes one.
fn with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn refusal(typ: &str, claims: &Value) -> TokenRefusal {
    verifier().verify(&KEY.sign(typ, claims).unwrap(), &keys(), NOW).unwrap_err()
}

#[test]
fn accepts_a_good_token_under_both_spellings_of_its_type() {
    for typ in ["at+jwt", "application/at+jwt", "AT+JWT"] {
        let token = KEY.sign(typ, &claims()).unwrap();
        let verified = verifier().verify(&token, &keys(), NOW).unwrap();
        assert_eq!(verified.claims().actor(), Some("triage"));
    }
}

#[test]
fn refuses_every_other_type() {
    for typ in [
        "JWT",
        "jwt",
        "",
        "at+jwt ",
        "logout+jwt",
        "secevent+jwt",
        "client-authentication+jwt",
        "text/at+jwt",
    ] {
        assert_eq!(refusal(typ, &claims()), TokenRefusal::TokenNotAnAccessToken, "{typ}");
    }
}

#[test]
fn refuses_another_issuer_to_the_byte() {
    for issuer in [
        "https://id.example.com/",
        "https://ID.example.com",
        "https://id.example.com/t/other",
        "http://id.example.com",
    ] {
        assert_eq!(refusal("at+jwt", &with(&json!({"iss": issuer}))), TokenRefusal::IssuerNotTrusted);
    }
}

#[test]
fn refuses_another_audience_and_every_list() {
    for audience in
        ["https://other.example.com/mcp", "https://tickets.example.com", "https://tickets.example.com/mcp/"]
    {
        assert_eq!(
            refusal("at+jwt", &with(&json!({"aud": audience}))),
            TokenRefusal::AudienceNotThisResource
        );
    }
    for audience in [
        json!([RESOURCE, "https://b.example"]),
        json!([RESOURCE]),
        json!([]),
        json!(""),
        json!("*"),
        json!(1),
    ] {
        assert_eq!(refusal("at+jwt", &with(&json!({"aud": audience}))), TokenRefusal::ClaimsMalformed);
    }
}

#[test]
fn refuses_from_the_second_of_expiry_on() {
    let token = KEY.sign("at+jwt", &claims()).unwrap();
    let verifier = verifier();
    let keys = keys();
    assert!(verifier.verify(&token, &keys, NOW.plus(239)).is_ok());
    // The claims are remembered now; the decision isn't.
    for late in [240, 241, 100_000] {
        let refused = verifier.verify(&token, &keys, NOW.plus(late)).unwrap_err();
        assert_eq!(refused, TokenRefusal::TokenExpired);
    }
}

#[test]
fn allows_five_seconds_of_clock_difference_and_no_more() {
    let token = KEY.sign("at+jwt", &claims()).unwrap();
    assert!(verifier().verify(&token, &keys(), NOW.plus(-5)).is_ok());
    assert_eq!(
        verifier().verify(&token, &keys(), NOW.plus(-6)).unwrap_err(),
        TokenRefusal::TokenFromTheFuture
    );
}

#[test]
fn refuses_a_lifetime_above_the_ceiling_or_turned_around() {
    assert_eq!(refusal("at+jwt", &with(&json!({"exp": NOW.0 + 301}))), TokenRefusal::LifetimeAboveCeiling);
    assert_eq!(refusal("at+jwt", &with(&json!({"exp": i64::MAX}))), TokenRefusal::LifetimeAboveCeiling);
    let backwards = with(&json!({"iat": NOW.0 + 5, "exp": NOW.0 + 5}));
    assert_eq!(refusal("at+jwt", &backwards), TokenRefusal::LifetimeAboveCeiling);
    let ancient = with(&json!({"iat": i64::MIN}));
    assert_eq!(refusal("at+jwt", &ancient), TokenRefusal::LifetimeAboveCeiling);
    assert!(
        verifier()
            .verify(&KEY.sign("at+jwt", &with(&json!({"exp": NOW.0 + 300}))).unwrap(), &keys(), NOW)
            .is_ok()
    );
    let lax = Verifier::new(ISSUER, ResourceUri::parse(RESOURCE).unwrap(), 86_400);
    let token = KEY.sign("at+jwt", &with(&json!({"exp": NOW.0 + 301}))).unwrap();
    assert_eq!(lax.verify(&token, &keys(), NOW).unwrap_err(), TokenRefusal::LifetimeAboveCeiling);
}

#[test]
fn refuses_claims_that_are_missing_empty_or_of_the_wrong_type() {
    for name in ["iss", "aud", "sub", "exp", "iat", "jti", "client_id", "rev", "tenant"] {
        assert_eq!(refusal("at+jwt", &with(&json!({name: null}))), TokenRefusal::ClaimsMalformed, "{name}");
    }
    for change in [
        json!({"sub": ""}),
        json!({"jti": ""}),
        json!({"client_id": ""}),
        json!({"tenant": ""}),
        json!({"sub": 1}),
        json!({"exp": "1800000240"}),
        json!({"exp": 1_800_000_240.5}),
        json!({"iat": true}),
        json!({"act": "triage"}),
        json!({"act": {"sub": ""}}),
        json!({"act": {"sub": "a", "act": {}}}),
        json!({"scope": ["a"]}),
        json!({"scope": "a  b"}),
        json!({"authorization_details": {}}),
        json!({"authorization_details": [{"locations": []}]}),
        json!({"rev": "g"}),
        json!({"rev": "g.-1"}),
        json!({"nbf": "now"}),
    ] {
        assert_eq!(refusal("at+jwt", &with(&change)), TokenRefusal::ClaimsMalformed, "{change}");
    }
    assert_eq!(refusal("at+jwt", &with(&json!({"nbf": NOW.0 + 60}))), TokenRefusal::TokenFromTheFuture);
    assert_eq!(refusal("at+jwt", &json!([])), TokenRefusal::ClaimsMalformed);
}

#[test]
fn refuses_a_token_that_is_bound_to_a_key() {
    let hash = URL_SAFE_NO_PAD.encode([7; 32]);
    for (cnf, refused) in [
        (json!({"jkt": hash}), TokenRefusal::KeyBindingNotProven),
        (json!({"x5t#S256": hash}), TokenRefusal::CertificateNotPresented),
        (json!({"jkt": hash, "x5t#S256": hash}), TokenRefusal::KeyBindingNotProven),
        (json!({}), TokenRefusal::ConfirmationNotUnderstood),
        (json!({"jkt": "abc"}), TokenRefusal::ConfirmationNotUnderstood),
        (json!({"jkt": hash, "jwk": {}}), TokenRefusal::ConfirmationNotUnderstood),
        (json!([]), TokenRefusal::ClaimsMalformed),
    ] {
        assert_eq!(refusal("at+jwt", &with(&json!({"cnf": cnf}))), refused, "{cnf}");
    }
}

/// A token with any header and payload, signed by nobody.
fn forged(header: &str, payload: &str) -> String {
    format!(
        "{}.{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload),
        URL_SAFE_NO_PAD.encode([0; 64])
    )
}

#[test]
fn refuses_algorithms_and_keys_that_the_token_chooses() {
    let refuse = |header: Value| {
        verifier().verify(&forged(&header.to_string(), &claims().to_string()), &keys(), NOW).unwrap_err()
    };
    let kid = KEY.kid();
    assert_eq!(
        refuse(json!({"alg": "none", "typ": "at+jwt", "kid": kid})),
        TokenRefusal::AlgorithmNotAccepted
    );
    assert_eq!(
        refuse(json!({"alg": "HS256", "typ": "at+jwt", "kid": kid})),
        TokenRefusal::AlgorithmNotAccepted
    );
    for alg in ["RS256", "EdDSA", "ES384", "PS256"] {
        let header = json!({"alg": alg, "typ": "at+jwt", "kid": kid});
        assert_eq!(refuse(header), TokenRefusal::AlgorithmNotAccepted, "{alg}");
    }
    assert_eq!(
        refuse(json!({"alg": "ES256", "typ": "at+jwt", "kid": "other"})),
        TokenRefusal::SigningKeyUnknown
    );
    assert_eq!(refuse(json!({"alg": "ES256", "typ": "at+jwt"})), TokenRefusal::SigningKeyNotNamed);
    assert_eq!(refuse(json!({"alg": "ES256", "kid": kid})), TokenRefusal::TokenNotAnAccessToken);
    assert_eq!(refuse(json!({"alg": "ES256", "typ": "at+jwt", "kid": kid})), TokenRefusal::SignatureWrong);
    let embedded = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "jwk": KEY.public().to_json()});
    assert_eq!(refuse(embedded), TokenRefusal::HeaderNotAccepted);
    assert_eq!(
        refuse(json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "crit": ["x"]})),
        TokenRefusal::HeaderNotAccepted
    );
}

#[test]
fn refuses_another_key_under_the_same_name() {
    let mut jwk: Value =
        serde_json::from_str(&PrivateJwk::generate(Algorithm::ES256).unwrap().to_text()).unwrap();
    jwk["kid"] = json!(KEY.kid());
    let impostor = PrivateJwk::parse(jwk).unwrap().signing_key().unwrap();
    let token = impostor.sign("at+jwt", &claims()).unwrap();
    assert_eq!(verifier().verify(&token, &keys(), NOW).unwrap_err(), TokenRefusal::SignatureWrong);
}

#[test]
fn refuses_what_is_changed_cut_lengthened_or_no_jwt() {
    let token = KEY.sign("at+jwt", &claims()).unwrap();
    let refuse = |token: &str| verifier().verify(token, &keys(), NOW).unwrap_err();
    for junk in ["", "opaque", "a.b", &format!("{token}=")] {
        assert_eq!(refuse(junk), TokenRefusal::TokenNotAJwt, "{junk}");
    }
    assert_eq!(refuse(".."), TokenRefusal::HeaderNotAccepted);
    assert_eq!(refuse(&"a".repeat(LONGEST_TOKEN + 1)), TokenRefusal::TokenTooLong);
    let parts: Vec<&str> = token.split('.').collect();
    let widened = URL_SAFE_NO_PAD.encode(with(&json!({"scope": "admin"})).to_string());
    assert_eq!(refuse(&format!("{}.{widened}.{}", parts[0], parts[2])), TokenRefusal::SignatureWrong);
    assert_eq!(refuse(&token[..token.len() - 2]), TokenRefusal::SignatureWrong);
    assert_eq!(refuse(&format!("{token}AAAA")), TokenRefusal::SignatureWrong);
}

#[test]
fn what_was_proven_under_other_keys_is_proven_again() {
    let verifier = verifier();
    let token = KEY.sign("at+jwt", &claims()).unwrap();
    let before = keys();
    assert!(verifier.recall(TokenText::new(&token).unwrap(), &before, NOW).is_none());
    assert!(verifier.verify(&token, &before, NOW).is_ok());
    assert!(verifier.recall(TokenText::new(&token).unwrap(), &before, NOW).unwrap().is_ok());
    let without = Arc::new(JwkSet::of(PrivateJwk::generate(Algorithm::ES256).unwrap().public().unwrap()));
    assert_eq!(verifier.verify(&token, &without, NOW).unwrap_err(), TokenRefusal::SigningKeyUnknown);
}

#[test]
fn a_refused_token_is_not_remembered() {
    let verifier = verifier();
    let keys = keys();
    let token = KEY.sign("at+jwt", &with(&json!({"aud": "https://b.example"}))).unwrap();
    assert!(verifier.verify(&token, &keys, NOW).is_err());
    assert!(verifier.recall(TokenText::new(&token).unwrap(), &keys, NOW).is_none());
}
