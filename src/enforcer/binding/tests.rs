use std::sync::{Arc, Barrier, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::enforcer::verifier::check_claims_are_whole;
use crate::enforcer::{LIFETIME_CEILING, Verifier};
use crate::jose::{Algorithm, PrivateJwk, SigningKey};
use crate::protocol::resource::ResourceUri;

const NOW: Timestamp = Timestamp(1_800_000_000);
const ISSUER: &str = "https://id.example.com";
const RESOURCE: &str = "https://tickets.example.com/mcp";
const TOKEN: &str = "the.access.token";
const CERTIFICATE: ClientCertificate = ClientCertificate(Digest([7; 32]));

static KEY: LazyLock<SigningKey> = LazyLock::new(key);

fn key() -> SigningKey {
    PrivateJwk::generate(Algorithm::ES256).unwrap().signing_key().unwrap()
}

/// A token with this confirmation, after every other check.
fn token(cnf: &Value) -> Result<Genuine, TokenRefusal> {
    let mut claims = json!({
        "iss": ISSUER, "aud": RESOURCE, "sub": "usr_1", "exp": NOW.0 + 240, "iat": NOW.0, "jti": "tok_1",
        "client_id": "triage", "rev": "g.7", "tenant": "main",
    });
    if *cnf != json!("none") {
        claims["cnf"] = cnf.clone();
    }
    let verifier = Verifier::new(ISSUER, ResourceUri::parse(RESOURCE).unwrap(), LIFETIME_CEILING);
    verifier.check_claims(Arc::new(check_claims_are_whole(claims)?), None, NOW)
}

fn bound() -> Value {
    json!({"jkt": KEY.public().thumbprint()})
}

fn thumbprint() -> String {
    URL_SAFE_NO_PAD.encode(CERTIFICATE.0.0)
}

fn hash() -> Digest {
    Digest::of(TOKEN.as_bytes())
}

fn claims() -> Value {
    let ath = URL_SAFE_NO_PAD.encode(hash().0);
    json!({"jti": "p1", "htm": "POST", "htu": RESOURCE, "iat": NOW.0, "ath": ath})
}

fn proof_of(key: &SigningKey, claims: &Value) -> String {
    let header = json!({"typ": "dpop+jwt", "alg": key.algorithm().as_str(), "jwk": key.public().to_json()})
        .to_string();
    key.sign_under(&header, claims.to_string().as_bytes()).unwrap()
}

/// The good proof with one claim replaced; `null` removes it.
fn proof(name: &str, member: Value) -> String {
    let mut claims = claims();
    if member.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = member;
    }
    proof_of(&KEY, &claims)
}

fn dpop(proof: &str) -> Presented<'_> {
    Presented::dpop([proof], "POST", RESOURCE)
}

/// What comes of presenting a token with this confirmation so, at this moment, to an enforcer that has seen nothing yet.
fn outcome(cnf: &Value, presented: &Presented<'_>, now: Timestamp) -> Result<(), TokenRefusal> {
    presented.check_form()?;
    refusal(Binding::default().check(token(cnf)?, &hash(), presented, now))
}

fn refusal<T>(result: Result<T, EnforcementError>) -> Result<(), TokenRefusal> {
    match result {
        Ok(_) => Ok(()),
        Err(EnforcementError::Refused(refused)) => Err(refused),
        Err(EnforcementError::Stale(cause)) => panic!("{cause}"),
    }
}

fn refuse(proof: &str) -> TokenRefusal {
    outcome(&bound(), &dpop(proof), NOW).unwrap_err()
}

#[test]
fn a_token_opens_only_as_it_is_bound() {
    let good = proof_of(&KEY, &claims());
    let (none, key, certificate) = (json!("none"), bound(), json!({"x5t#S256": thumbprint()}));
    let both = json!({"jkt": KEY.public().thumbprint(), "x5t#S256": thumbprint()});
    let bearer = Presented::bearer();
    let with_certificate = bearer.certificate(CERTIFICATE);
    let with_proof = dpop(&good);
    let with_both = with_proof.certificate(CERTIFICATE);
    let other = bearer.certificate(ClientCertificate::of_der(b"another"));
    let try_all = |cnf: &Value| {
        [bearer, with_certificate, with_proof, with_both, other].map(|shown| outcome(cnf, &shown, NOW).err())
    };
    let (unbound, unproven) =
        (Some(TokenRefusal::TokenNotBoundToAKey), Some(TokenRefusal::KeyBindingNotProven));
    let (missing, wrong) =
        (Some(TokenRefusal::CertificateNotPresented), Some(TokenRefusal::CertificateNotTheBoundOne));
    assert_eq!(try_all(&none), [None, None, unbound, unbound, None]);
    assert_eq!(try_all(&key), [unproven, unproven, None, None, unproven]);
    assert_eq!(try_all(&certificate), [missing, None, unbound, unbound, wrong]);
    assert_eq!(try_all(&both), [unproven, unproven, missing, None, unproven]);
}

#[test]
fn a_binding_that_is_not_understood_is_not_met() {
    let good = proof_of(&KEY, &claims());
    let jkt = KEY.public().thumbprint();
    for cnf in [
        json!({}),
        json!({"jwk": KEY.public().to_json()}),
        json!({"kid": "a"}),
        json!({"jkt": jkt, "jwk": {}}),
        json!({"jkt": jkt, "x5t": "AA"}),
        json!({"jkt": jkt, "x5t#s256": thumbprint()}),
        json!({"JKT": jkt}),
        json!({"jkt": ""}),
        json!({"jkt": format!("{jkt}=")}),
        json!({"jkt": &jkt[1..]}),
        json!({"jkt": jkt, "x5t#S256": "AA"}),
    ] {
        for shown in [Presented::bearer(), dpop(&good), dpop(&good).certificate(CERTIFICATE)] {
            let refused = outcome(&cnf, &shown, NOW).unwrap_err();
            assert_eq!(refused, TokenRefusal::ConfirmationNotUnderstood, "{cnf}");
        }
    }
    for cnf in [json!(null), json!([]), json!(""), json!(true), json!({"jkt": null}), json!({"x5t#S256": 1})]
    {
        let refused = outcome(&cnf, &Presented::bearer(), NOW).unwrap_err();
        assert_eq!(refused, TokenRefusal::ClaimsMalformed, "{cnf}");
    }
}

#[test]
fn there_is_one_proof() {
    let good = proof_of(&KEY, &claims());
    let refuse = |proofs: &[&str]| {
        let shown = Presented::dpop(proofs.iter().copied(), "POST", RESOURCE);
        outcome(&bound(), &shown, NOW).unwrap_err()
    };
    assert_eq!(refuse(&[]), TokenRefusal::DpopProofMissing);
    assert_eq!(refuse(&[&good, &good]), TokenRefusal::DpopProofRepeated);
    assert_eq!(refuse(&[&good, ""]), TokenRefusal::DpopProofRepeated);
    assert_eq!(refuse(&[""]), TokenRefusal::DpopProofMalformed);
}

#[test]
fn the_proof_is_for_this_method_and_place() {
    for method in ["post", "Post", "GET", "POST ", ""] {
        assert_eq!(refuse(&proof("htm", json!(method))), TokenRefusal::DpopMethodMismatch, "{method}");
    }
    for place in [
        "https://tickets.example.com/mcp/",
        "https://tickets.example.com/",
        "https://other.example.com/mcp",
        "https://tickets.example.com.evil.example/mcp",
        "https://tickets.example.com:8443/mcp",
        "http://tickets.example.com/mcp",
        "https://user@tickets.example.com/mcp",
        "https://tickets.example.com/MCP",
        "https://tickets.example.com/mcp%2F",
        "https://tickets.example.com/x/../mcp",
        "/mcp",
        "",
    ] {
        assert_eq!(refuse(&proof("htu", json!(place))), TokenRefusal::DpopUriMismatch, "{place}");
    }
    for place in ["https://TICKETS.example.com:443/%6dcp", "https://tickets.example.com/mcp?a=b#c"] {
        assert_eq!(outcome(&bound(), &dpop(&proof("htu", json!(place))), NOW), Ok(()), "{place}");
    }
    let good = proof_of(&KEY, &claims());
    for (method, url, refused) in [
        ("GET", RESOURCE, TokenRefusal::DpopMethodMismatch),
        ("POST", "https://tickets.example.com/mcp/", TokenRefusal::DpopUriMismatch),
        ("POST", "/mcp", TokenRefusal::DpopUriMismatch),
        ("POST", "", TokenRefusal::DpopUriMismatch),
    ] {
        let shown = Presented::dpop([good.as_str()], method, url);
        assert_eq!(outcome(&bound(), &shown, NOW), Err(refused), "{url}");
    }
    let shown = Presented::dpop([good.as_str()], "POST", "https://tickets.example.com/mcp?q=1");
    assert_eq!(outcome(&bound(), &shown, NOW), Ok(()));
}

#[test]
fn the_proof_is_made_within_ten_seconds_of_now() {
    let good = proof_of(&KEY, &claims());
    for seconds in [-10, -1, 0, 10] {
        assert_eq!(outcome(&bound(), &dpop(&good), NOW.plus(seconds)), Ok(()), "{seconds}");
    }
    for seconds in [-11, 11, 3600] {
        let refused = outcome(&bound(), &dpop(&good), NOW.plus(seconds));
        assert_eq!(refused, Err(TokenRefusal::DpopProofNotFresh), "{seconds}");
    }
    for made in [i64::MAX, i64::MIN, 0, -1] {
        assert_eq!(refuse(&proof("iat", json!(made))), TokenRefusal::DpopProofNotFresh, "{made}");
    }
}

#[test]
fn the_proof_is_for_this_token_and_by_its_key() {
    let hash_of = |text: &str| json!(URL_SAFE_NO_PAD.encode(Digest::of(text.as_bytes()).0));
    for ath in [Value::Null, json!(""), hash_of("another.access.token"), hash_of(""), json!(TOKEN)] {
        assert_eq!(refuse(&proof("ath", ath.clone())), TokenRefusal::DpopTokenHashMismatch, "{ath}");
    }
    let padded = format!("{}=", hash_of(TOKEN).as_str().unwrap());
    assert_eq!(refuse(&proof("ath", json!(padded))), TokenRefusal::DpopTokenHashMismatch);
    assert_eq!(refuse(&proof_of(&key(), &claims())), TokenRefusal::DpopKeyNotTheBoundOne);
}

#[test]
fn what_the_proof_itself_breaks_has_its_own_name() {
    let jwk = KEY.public().to_json();
    let mut private = jwk.clone();
    private["d"] = json!("AA");
    for (header, refused) in [
        (json!({"typ": "JWT", "alg": "ES256", "jwk": jwk}), TokenRefusal::DpopProofOfWrongType),
        (json!({"typ": "dpop+jwt", "alg": "none", "jwk": jwk}), TokenRefusal::DpopAlgorithmNotAccepted),
        (json!({"typ": "dpop+jwt", "alg": "HS256", "jwk": jwk}), TokenRefusal::DpopAlgorithmNotAccepted),
        (json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": private}), TokenRefusal::DpopKeyNotAccepted),
        (json!({"typ": "dpop+jwt", "alg": "ES256"}), TokenRefusal::DpopKeyNotAccepted),
        (
            json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": key().public().to_json()}),
            TokenRefusal::DpopSignatureWrong,
        ),
        (
            json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk, "crit": ["x"]}),
            TokenRefusal::DpopProofMalformed,
        ),
    ] {
        let text = KEY.sign_under(&header.to_string(), claims().to_string().as_bytes()).unwrap();
        assert_eq!(refuse(&text), refused, "{header}");
    }
    // An access token is no proof.
    let token = KEY.sign("at+jwt", &claims()).unwrap();
    assert_eq!(refuse(&token), TokenRefusal::DpopProofOfWrongType);
}

#[test]
fn a_proof_counts_once() {
    let binding = Binding::default();
    let check = |proof: &str, now: Timestamp| {
        refusal(binding.check(token(&bound()).unwrap(), &hash(), &dpop(proof), now))
    };
    let good = proof_of(&KEY, &claims());
    assert_eq!(check(&good, NOW.plus(-10)), Ok(()));
    for seconds in [-10, 0, 10] {
        assert_eq!(check(&good, NOW.plus(seconds)), Err(TokenRefusal::DpopProofReplayed), "{seconds}");
    }
    // Signed anew, the same `jti` is still the same.
    assert_eq!(check(&proof("iat", json!(NOW.0 + 3)), NOW), Err(TokenRefusal::DpopProofReplayed));
    assert_eq!(check(&proof("jti", json!("p2")), NOW), Ok(()));
    assert_eq!(check(&good, NOW.plus(11)), Err(TokenRefusal::DpopProofNotFresh));
    // A minute later its `jti` may serve again, in a proof of that minute; a clock that goes back doesn't bring it back.
    assert_eq!(check(&proof("iat", json!(NOW.0 + 60)), NOW.plus(60)), Ok(()));
    assert_eq!(check(&good, NOW), Err(TokenRefusal::DpopProofNotFresh));
}

#[test]
fn a_refused_proof_is_not_spent() {
    let binding = Binding::default();
    let good = proof_of(&KEY, &claims());
    let elsewhere = Presented::dpop([good.as_str()], "GET", RESOURCE);
    let genuine = || token(&bound()).unwrap();
    assert!(binding.check(genuine(), &hash(), &elsewhere, NOW).is_err());
    assert!(binding.check(genuine(), &hash(), &dpop(&good), NOW).is_ok());
}

#[test]
fn the_same_jti_of_another_key_is_another_proof() {
    let binding = Binding::default();
    let other = key();
    let check = |key: &SigningKey| {
        let cnf = json!({"jkt": key.public().thumbprint()});
        refusal(binding.check(token(&cnf).unwrap(), &hash(), &dpop(&proof_of(key, &claims())), NOW))
    };
    assert_eq!((check(&KEY), check(&other)), (Ok(()), Ok(())));
    assert_eq!(check(&other), Err(TokenRefusal::DpopProofReplayed));
}

#[test]
fn one_of_many_at_once_wins() {
    let (binding, start) = (Binding::default(), Barrier::new(16));
    let good = proof_of(&KEY, &claims());
    let genuine = token(&bound()).unwrap();
    let winners = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    refusal(binding.check(genuine.clone(), &hash(), &dpop(&good), NOW))
                })
            })
            .collect();
        let ends: Vec<_> = racers.into_iter().map(|racer| racer.join().unwrap()).collect();
        assert!(ends.iter().all(|end| matches!(end, Ok(()) | Err(TokenRefusal::DpopProofReplayed))));
        ends.iter().filter(|end| end.is_ok()).count()
    });
    assert_eq!(winners, 1);
}
