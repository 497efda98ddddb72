use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;
use crate::jose::{PrivateJwk, SigningKey};

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| PrivateJwk::generate(Algorithm::ES256).unwrap().signing_key().unwrap());

fn jwk() -> Value {
    KEY.public().to_json()
}

fn header() -> Value {
    json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk()})
}

fn claims() -> Value {
    json!({"jti": "p1", "htm": "GET", "htu": "https://a.example/mcp", "iat": 1_800_000_000})
}

fn proof(header: &Value, claims: &Value) -> String {
    KEY.sign_under(&header.to_string(), claims.to_string().as_bytes()).unwrap()
}

/// `value` with one member replaced; `null` removes it.
fn with(mut value: Value, name: &str, member: Value) -> Value {
    if member.is_null() {
        value.as_object_mut().unwrap().remove(name);
    } else {
        value[name] = member;
    }
    value
}

fn refuse_header(name: &str, member: Value) -> DpopError {
    DpopProof::verify(&proof(&with(header(), name, member), &claims())).unwrap_err()
}

#[test]
fn every_accepted_kind_of_key_proves_itself() {
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::PS256, Algorithm::RS256] {
        let key = PrivateJwk::generate(algorithm).unwrap().signing_key().unwrap();
        let header = json!({"typ": "dpop+jwt", "alg": algorithm.as_str(), "jwk": key.public().to_json()});
        let text = key.sign_under(&header.to_string(), claims().to_string().as_bytes()).unwrap();
        let proof = DpopProof::verify(&text).unwrap();
        assert_eq!(Some(proof.jkt), Digest::from_base64url(key.public().thumbprint()));
        assert_eq!((proof.jti.as_str(), proof.htm.as_str(), proof.ath), ("p1", "GET", None));
    }
}

#[test]
fn the_type_has_the_spellings_of_a_media_type_and_no_others() {
    for typ in ["dpop+jwt", "DPoP+JWT", "application/dpop+jwt"] {
        assert!(DpopProof::verify(&proof(&with(header(), "typ", json!(typ)), &claims())).is_ok(), "{typ}");
    }
    for typ in ["JWT", "at+jwt", "dpop", "dpop+jwt ", "text/dpop+jwt", ""] {
        assert_eq!(refuse_header("typ", json!(typ)), DpopError::WrongType, "{typ}");
    }
    assert_eq!(refuse_header("typ", Value::Null), DpopError::WrongType);
    assert_eq!(refuse_header("typ", json!(["dpop+jwt"])), DpopError::Malformed);
}

#[test]
fn refuses_algorithms_that_are_none_symmetric_unknown_or_not_the_keys() {
    for alg in [
        "none", "None", "", "HS256", "HS512", "es256", "ES256K", "ES512", "RS512", "RS256", "EdDSA", "ES384",
        "dir",
    ] {
        assert_eq!(refuse_header("alg", json!(alg)), DpopError::Algorithm, "{alg}");
    }
    assert_eq!(refuse_header("alg", Value::Null), DpopError::Algorithm);
    let named = with(jwk(), "alg", json!("ES384"));
    assert_eq!(refuse_header("jwk", named), DpopError::Algorithm);
    // An HMAC whose secret is the public key's own text, as confused verifiers take it.
    let header = json!({"typ": "dpop+jwt", "alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}});
    assert_eq!(DpopProof::verify(&proof(&header, &claims())).unwrap_err(), DpopError::Algorithm);
}

#[test]
fn refuses_keys_that_are_missing_private_weak_or_elsewhere() {
    assert_eq!(refuse_header("jwk", Value::Null), DpopError::Key);
    assert_eq!(refuse_header("jwk", json!("key")), DpopError::Key);
    assert_eq!(refuse_header("jwk", json!([jwk()])), DpopError::Key);
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        assert_eq!(refuse_header("jwk", with(jwk(), member, json!("AA"))), DpopError::Key, "{member}");
    }
    assert_eq!(refuse_header("jwk", with(jwk(), "use", json!("enc"))), DpopError::Key);
    assert_eq!(refuse_header("jwk", with(jwk(), "crv", json!("secp256k1"))), DpopError::Key);
    assert_eq!(refuse_header("jwk", with(jwk(), "x", json!("AA"))), DpopError::Key);
    // A second spelling of the same coordinate would be a second thumbprint of the same key.
    let padded = format!("{}=", jwk()["x"].as_str().unwrap());
    assert_eq!(refuse_header("jwk", with(jwk(), "x", json!(padded))), DpopError::Key);
    for elsewhere in ["jku", "x5u", "x5c", "crit", "b64", "zip"] {
        assert_eq!(refuse_header(elsewhere, json!(["x"])), DpopError::Malformed, "{elsewhere}");
    }
}

#[test]
fn refuses_another_keys_signature_and_changed_claims() {
    let other = PrivateJwk::generate(Algorithm::ES256).unwrap().signing_key().unwrap();
    let text = other.sign_under(&header().to_string(), claims().to_string().as_bytes()).unwrap();
    assert_eq!(DpopProof::verify(&text).unwrap_err(), DpopError::Signature);
    let good = proof(&header(), &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let changed = URL_SAFE_NO_PAD.encode(with(claims(), "htm", json!("POST")).to_string());
    let text = format!("{}.{changed}.{}", parts[0], parts[2]);
    assert_eq!(DpopProof::verify(&text).unwrap_err(), DpopError::Signature);
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    assert_eq!(DpopProof::verify(&unsigned).unwrap_err(), DpopError::Signature);
    // A point that isn't on the curve.
    let off = with(jwk(), "y", json!(URL_SAFE_NO_PAD.encode([7; 32])));
    assert_eq!(refuse_header("jwk", off), DpopError::Signature);
}

#[test]
fn refuses_what_is_not_one_strict_jwt() {
    let good = proof(&header(), &claims());
    for bad in [
        String::new(),
        "a.b.c".into(),
        format!("{good}, {good}"),
        format!("{good},{good}"),
        format!("{good}="),
        format!(" {good}"),
        format!("{good}.AA"),
        "a".repeat(LONGEST + 1),
    ] {
        assert_eq!(DpopProof::verify(&bad).unwrap_err(), DpopError::Malformed, "{bad}");
    }
    let sign = |header: &str, payload: &str| KEY.sign_under(header, payload.as_bytes()).unwrap();
    let twice = format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{0},"jwk":{0}}}"#, jwk());
    let twin = format!(
        r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{{"kty":"EC","kty":"EC","crv":"P-256","x":{},"y":{}}}}}"#,
        jwk()["x"],
        jwk()["y"]
    );
    for header in [twice, twin, "[]".into(), "{}x".into()] {
        let error = DpopProof::verify(&sign(&header, &claims().to_string())).unwrap_err();
        assert_eq!(error, DpopError::Malformed, "{header}");
    }
    let repeated = r#"{"jti":"a","jti":"b","htm":"GET","htu":"https://a.example/mcp","iat":1800000000}"#;
    for payload in [repeated, "[]", "", "null"] {
        let error = DpopProof::verify(&sign(&header().to_string(), payload)).unwrap_err();
        assert_eq!(error, DpopError::Malformed, "{payload}");
    }
}

#[test]
fn refuses_claims_that_are_missing_or_of_the_wrong_type() {
    let refuse = |name: &str, member: Value| {
        let error = DpopProof::verify(&proof(&header(), &with(claims(), name, member.clone()))).unwrap_err();
        assert_eq!(error, DpopError::Malformed, "{name}: {member}");
    };
    for name in ["jti", "htm", "htu", "iat"] {
        refuse(name, Value::Null);
        refuse(name, json!({}));
        refuse(name, json!(true));
    }
    refuse("jti", json!(""));
    refuse("jti", json!(7));
    refuse("jti", json!("j".repeat(LONGEST_JTI + 1)));
    refuse("iat", json!("1800000000"));
    refuse("ath", json!(["a"]));
    assert!(
        DpopProof::verify(&proof(&header(), &with(claims(), "jti", json!("j".repeat(LONGEST_JTI))))).is_ok()
    );
    assert!(DpopProof::verify(&proof(&header(), &with(claims(), "nonce", json!("n")))).is_ok());
}
