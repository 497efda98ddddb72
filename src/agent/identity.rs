//! Who the agent is, and how it proves it: `private_key_jwt` (RFC 7523 §3 as updated by RFC 10070) or a JWT-SVID
//! (draft-ietf-oauth-spiffe-client-auth-02).

use std::path::{Path, PathBuf};

use serde_json::Value;
use zeroize::Zeroizing;

use super::error::Error;
use crate::entropy::Entropy;
use crate::jose::{ClientKey, ClientKeyError, PrivateJwk, Unverified};
use crate::protocol::token_type::{JWT_BEARER, JWT_SPIFFE};
use crate::secret::Secret;
use crate::time::Timestamp;

/// The most bytes that are read from a credential file.
const MOST: u64 = 64 * 1024;

/// Where the agent's proof of identity comes from.
#[derive(Clone, Debug)]
pub enum Identity {
    /// A registered key, with which every request is signed anew.
    KeyFile(KeyFile),
    /// A file that a SPIFFE helper keeps filled with a JWT-SVID for our issuer. Read again for every request, because
    /// the helper replaces it.
    JwtSvidFile(PathBuf),
    /// The address of a SPIFFE Workload API (`unix:///run/…` or `tcp://127.0.0.1:…`), which is asked for a JWT-SVID
    /// for every request; the SPIFFE agent caches.
    WorkloadApi(String),
}

/// An agent's private key file: `{"issuer", "client_id", "private_jwk"}`.
#[derive(Clone, Debug)]
pub struct KeyFile(ClientKey);

impl KeyFile {
    /// Reads the file. One that other users of the machine can read or change is refused, as ssh does.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = read_secret(path, true)?;
        ClientKey::parse(&text).map(Self).map_err(|error| match error {
            ClientKeyError::Malformed { line: Some(line) } => {
                unusable(path, format!("isn't a private key file (line {line})"))
            }
            ClientKeyError::Malformed { line: None } => unusable(path, error),
            ClientKeyError::Key(error) => unusable(path, error),
        })
    }

    /// An identity from its parts; `issuer`, if given, is the only server that the key will be used with.
    pub fn new(
        client_id: String,
        issuer: Option<String>,
        private_jwk: Value,
    ) -> Result<Self, crate::jose::JwkError> {
        Ok(Self(ClientKey::new(client_id, issuer, PrivateJwk::parse(private_jwk)?.signing_key()?)))
    }

    /// The server that the key is registered with, where the file says.
    pub fn issuer(&self) -> Option<&str> {
        self.0.issuer()
    }

    /// The agent's id.
    pub fn client_id(&self) -> &str {
        self.0.client_id()
    }

    fn sign(&self, issuer: &str, now: Timestamp, entropy: &Entropy) -> Result<Secret, Error> {
        let signed = self.0.assertion(issuer, now, entropy);
        signed.map(Secret::new).map_err(|error| Error::Identity(error.to_string()))
    }
}

/// One proof of identity. Those that we sign are single use, so each request gets its own.
pub(super) struct Assertion {
    /// `client_assertion_type`.
    pub(super) assertion_type: &'static str,
    /// `client_assertion`.
    pub(super) assertion: Secret,
}

impl Identity {
    /// A new proof for the server `issuer`.
    pub(super) async fn assertion(
        &self,
        issuer: &str,
        now: Timestamp,
        entropy: &Entropy,
    ) -> Result<Assertion, Error> {
        let svid = match self {
            Self::KeyFile(file) => {
                let assertion = file.sign(issuer, now, entropy)?;
                return Ok(Assertion { assertion_type: JWT_BEARER, assertion });
            }
            Self::JwtSvidFile(path) => Secret::new(read_secret(path, false)?.trim().to_owned()),
            Self::WorkloadApi(address) => fetch_svid(address, issuer).await?,
        };
        check_svid(svid.expose(), issuer, now)?;
        Ok(Assertion { assertion_type: JWT_SPIFFE, assertion: svid })
    }
}

async fn fetch_svid(address: &str, issuer: &str) -> Result<Secret, Error> {
    let failed = |error: spiffe::WorkloadApiError| {
        Error::Identity(format!("the SPIFFE Workload API at {address} gave no JWT-SVID: {error}"))
    };
    let fetched = tokio::time::timeout(std::time::Duration::from_secs(10), async {
        let api = spiffe::WorkloadApiClient::connect_to(address).await?;
        api.fetch_jwt_token([issuer], None).await
    });
    match fetched.await {
        Ok(token) => token.map(Secret::new).map_err(failed),
        Err(_) => Err(Error::Identity(format!("the SPIFFE Workload API at {address} didn't answer in 10 s"))),
    }
}

/// A JWT-SVID is a bearer credential: one that was made for another server must not be shown to this one, and one that
/// has long expired says so better here than in the server's refusal.
fn check_svid(svid: &str, issuer: &str, now: Timestamp) -> Result<(), Error> {
    let claims = Unverified::parse(svid).ok().and_then(|jws| jws.peek());
    let claims = claims.ok_or_else(|| Error::Identity("this is not a JWT-SVID".into()))?;
    let for_us = match claims.get("aud") {
        Some(Value::String(audience)) => audience == issuer,
        Some(Value::Array(audiences)) => audiences.iter().any(|audience| audience == issuer),
        _ => false,
    };
    if !for_us {
        return Err(Error::Identity(format!(
            "the JWT-SVID isn't meant for {issuer}: ask for that audience, to the letter"
        )));
    }
    // A minute of grace: our clock may be the wrong one, and the server decides.
    match claims.get("exp").and_then(Value::as_i64) {
        Some(exp) if exp + 60 > now.0 => Ok(()),
        Some(_) => {
            Err(Error::Identity("the JWT-SVID has expired: is whatever renews it still running?".into()))
        }
        None => Err(Error::Identity("the JWT-SVID has no expiry".into())),
    }
}

fn read_secret(path: &Path, private: bool) -> Result<Zeroizing<String>, Error> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| unusable(path, error.to_string());
    let file = std::fs::File::open(path).map_err(failed)?;
    if private {
        check_mode(path, &file.metadata().map_err(failed)?)?;
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MOST).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &std::fs::Metadata) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    // Reading by the group stays allowed: it is how container platforms mount secrets.
    if metadata.permissions().mode() & 0o027 == 0 {
        return Ok(());
    }
    Err(unusable(path, format!("is open to other users: chmod 600 {}", path.display())))
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &std::fs::Metadata) -> Result<(), Error> {
    Ok(())
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::Identity(format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jose::{Algorithm, JwkSet};

    const ISSUER: &str = "https://id.example";

    fn private_jwk() -> PrivateJwk {
        PrivateJwk::generate(Algorithm::ES256).unwrap()
    }

    fn write(text: &str, mode: u32) -> tempfile::NamedTempFile {
        use std::os::unix::fs::PermissionsExt as _;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    fn key_file(jwk: &PrivateJwk, mode: u32) -> tempfile::NamedTempFile {
        let jwk: Value = serde_json::from_str(&jwk.to_text()).unwrap();
        write(&json!({"issuer": ISSUER, "client_id": "triage", "private_jwk": jwk}).to_string(), mode)
    }

    #[tokio::test]
    async fn each_assertion_is_new_and_meant_for_the_issuer_alone() {
        let jwk = private_jwk();
        let identity = Identity::KeyFile(KeyFile::read(key_file(&jwk, 0o600).path()).unwrap());
        let mut ids = std::collections::HashSet::new();
        for _ in 0..3 {
            let proof = identity.assertion(ISSUER, Timestamp(1000), &Entropy::default()).await.unwrap();
            assert_eq!(proof.assertion_type, JWT_BEARER);
            let jws = Unverified::parse(proof.assertion.expose()).unwrap();
            assert_eq!(jws.header().typ.as_deref(), Some("client-authentication+jwt"));
            let payload = jws.verify(&JwkSet::of(jwk.public().unwrap())).unwrap();
            let claims: Value = serde_json::from_slice(payload).unwrap();
            assert_eq!(claims["aud"], ISSUER);
            assert_eq!((&claims["iss"], &claims["sub"]), (&json!("triage"), &json!("triage")));
            assert_eq!((&claims["iat"], &claims["exp"]), (&json!(1000), &json!(1060)));
            ids.insert(claims["jti"].as_str().unwrap().to_owned());
        }
        assert_eq!(ids.len(), 3);
    }

    #[test]
    fn refuses_key_files_that_others_can_read_or_change() {
        let jwk = private_jwk();
        for mode in [0o644, 0o604, 0o602, 0o620] {
            let error = KeyFile::read(key_file(&jwk, mode).path()).unwrap_err();
            assert!(error.to_string().contains("chmod 600"), "{mode:o}: {error}");
        }
        assert!(KeyFile::read(key_file(&jwk, 0o440).path()).is_ok());
    }

    #[test]
    fn errors_never_quote_the_file() {
        for text in ["hunter2", r#"{"client_id": "hunter2"}"#, r#"{"client_id":"a","private_jwk":"hunter2"}"#]
        {
            let error = KeyFile::read(write(text, 0o600).path()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[tokio::test]
    async fn a_svid_file_is_read_again_and_checked_each_time() {
        let key = private_jwk().signing_key().unwrap();
        let svid = |aud: &str, exp: i64| {
            key.sign("JWT", &json!({"sub": "spiffe://a/b", "aud": [aud], "exp": exp})).unwrap()
        };
        let file = write("", 0o644);
        let identity = Identity::JwtSvidFile(file.path().to_owned());
        let cases = [
            (svid(ISSUER, 2000) + "\n", None),
            (svid(ISSUER, 900), Some("expired")),
            (svid("https://id.example/", 2000), Some("isn't meant for")),
            ("garbage".into(), Some("not a JWT-SVID")),
        ];
        for (text, refused) in cases {
            std::fs::write(file.path(), &text).unwrap();
            let proof = identity.assertion(ISSUER, Timestamp(1000), &Entropy::default()).await;
            match (proof, refused) {
                (Ok(proof), None) => assert_eq!(proof.assertion.expose(), text.trim()),
                (Err(error), Some(why)) => assert!(error.to_string().contains(why), "{error}"),
                _ => panic!("{text}"),
            }
        }
    }
}
