//! The examples in the RFCs: RFC 7515 appendix A (JWS), RFC 7638 §3.1 (thumbprints), RFC 8037 appendix A (Ed25519),
//! RFC 9449 §4 to §7 (DPoP proofs).

use serde_json::{Value, json};
use taskpass::jose::{Algorithm, DpopError, DpopProof, JwkSet, JwsError, PublicJwk, Unverified};
use taskpass::secret::Digest;
use taskpass::time::Timestamp;

/// The claims of RFC 7515 appendix A.1 to A.3 and A.5.
const JOE: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn verify(jwk: &Value, token: &str) -> Result<Vec<u8>, JwsError> {
    let keys = JwkSet::of(PublicJwk::parse(jwk.as_object().unwrap()).unwrap());
    let unverified = Unverified::parse(token)?;
    unverified.verify(&keys).map(<[u8]>::to_vec)
}

/// The token verifies to this payload, and with any one byte of its signature changed it doesn't.
fn check(jwk: &Value, token: &str, algorithm: Algorithm, payload: &[u8]) {
    assert_eq!(verify(jwk, token).unwrap(), payload);
    assert_eq!(Unverified::parse(token).unwrap().header().algorithm, algorithm);
    let start = token.rfind('.').unwrap() + 1;
    for at in [start, start + 20, start + 40] {
        let mut other = token.to_owned();
        other.replace_range(at..=at, if &token[at..=at] == "A" { "B" } else { "A" });
        assert_eq!(verify(jwk, &other), Err(JwsError::Signature), "{at}");
    }
}

fn joe() -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(JOE).unwrap()
}

/// RFC 7515 appendix A.1: HMAC. There are no shared secrets here.
#[test]
fn rfc_7515_a1_hs256_is_refused() {
    let token =
        format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    assert_eq!(Unverified::parse(&token).unwrap_err(), JwsError::Algorithm);
}

/// RFC 7515 appendix A.2.
#[test]
fn rfc_7515_a2_rs256() {
    let jwk = json!({ "kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" });
    let token = format!(
        "eyJhbGciOiJSUzI1NiJ9.{JOE}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    );
    check(&jwk, &token, Algorithm::RS256, &joe());
}

/// RFC 7515 appendix A.3.
#[test]
fn rfc_7515_a3_es256() {
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" });
    let token = format!(
        "eyJhbGciOiJFUzI1NiJ9.{JOE}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    check(&jwk, &token, Algorithm::ES256, &joe());
}

/// RFC 7515 appendix A.4.
#[test]
fn rfc_7515_a4_es512() {
    let jwk = json!({ "kty": "EC", "crv": "P-521",
        "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2" });
    let token = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
    check(&jwk, token, Algorithm::ES512, b"Payload");
}

/// RFC 7515 appendix A.5: unsecured. Appendix A.6 and A.7: the JSON serializations. None is a token here.
#[test]
fn rfc_7515_a5_to_a7_are_refused() {
    let unsecured = format!("eyJhbGciOiJub25lIn0.{JOE}.");
    assert_eq!(Unverified::parse(&unsecured).unwrap_err(), JwsError::Algorithm);
    let flattened = json!({ "payload": JOE, "protected": "eyJhbGciOiJFUzI1NiJ9", "signature": "AA" });
    assert_eq!(Unverified::parse(&flattened.to_string()).unwrap_err(), JwsError::NotCompact);
    let general =
        json!({ "payload": JOE, "signatures": [{ "protected": "eyJhbGciOiJSUzI1NiJ9", "signature": "AA" }] });
    assert_eq!(Unverified::parse(&general.to_string()).unwrap_err(), JwsError::NotCompact);
}

/// RFC 7515 appendix E: an unknown critical extension.
#[test]
fn rfc_7515_appendix_e_is_refused() {
    let token = "eyJhbGciOiJub25lIiwNCiAiY3JpdCI6WyJodHRwOi8vZXhhbXBsZS5jb20vVU5ERUZJTkVEIl0sDQogImh0dHA6Ly9leGFtcGxlLmNvbS9VTkRFRklORUQiOnRydWUNCn0.RkFJTA.";
    assert_eq!(Unverified::parse(token).unwrap_err(), JwsError::Header);
}

/// RFC 7638 §3.1: only the required members count.
#[test]
fn rfc_7638_thumbprint() {
    let jwk = json!({ "kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw" });
    let key = PublicJwk::parse(jwk.as_object().unwrap()).unwrap();
    assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

/// RFC 8037 appendix A.2 to A.5.
#[test]
fn rfc_8037_ed25519() {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let key = PublicJwk::parse(jwk.as_object().unwrap()).unwrap();
    assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    check(&jwk, token, Algorithm::EdDSA, b"Example of Ed25519 signing");
    // Appendix A.1's private half never passes for a public key.
    let mut private = jwk;
    private["d"] = json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
    assert!(PublicJwk::parse(private.as_object().unwrap()).is_err());
}

/// RFC 9449 §6.1: the thumbprint of the key of all its examples.
const DPOP_JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

/// The header of all proofs in RFC 9449.
const DPOP_HEADER: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19";

/// RFC 9449 §4.1: a proof for the token endpoint, decoded in figure 4.
#[test]
fn rfc_9449_section_4_1_a_proof_for_the_token_endpoint() {
    let text = format!(
        "{DPOP_HEADER}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
    );
    let proof = DpopProof::verify(&text).unwrap();
    assert_eq!(Some(proof.jkt), Digest::from_base64url(DPOP_JKT));
    assert_eq!((proof.htm.as_str(), proof.htu.as_str()), ("POST", "https://server.example.com/token"));
    assert_eq!(
        (proof.jti.as_str(), proof.iat, proof.ath),
        ("-BwC3ESc6acc2lTc", Timestamp(1_562_262_616), None)
    );
}

/// RFC 9449 §7.1, figures 13 and 14: a proof for a protected resource, and the access token that it is shown with.
#[test]
fn rfc_9449_figure_13_a_proof_for_a_protected_resource() {
    let text = format!(
        "{DPOP_HEADER}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
    );
    let proof = DpopProof::verify(&text).unwrap();
    assert_eq!(Some(proof.jkt), Digest::from_base64url(DPOP_JKT));
    assert_eq!(
        (proof.htm.as_str(), proof.htu.as_str()),
        ("GET", "https://resource.example.org/protectedresource")
    );
    assert_eq!((proof.jti.as_str(), proof.iat), ("e1j3V_bKic8-LAEB", Timestamp(1_562_262_618)));
    let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    let ath = proof.ath.as_deref().and_then(Digest::from_base64url);
    assert_eq!(ath, Some(Digest::of(token.as_bytes())));
    let changed = text.replacen("2oW9", "2oW8", 1);
    assert_eq!(DpopProof::verify(&changed).unwrap_err(), DpopError::Signature);
    // No other verifier takes a key from the token itself.
    assert_eq!(Unverified::parse(&text).unwrap_err(), JwsError::Header);
}
