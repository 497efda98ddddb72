//! JOSE (RFC 7515 to RFC 7519): the only place that names josekit.
//!
//! ring signs and verifies behind josekit's own `JwsSigner` and `JwsVerifier`; josekit itself (and OpenSSL under it) is
//! left with what ring lacks: RSA key generation, key import, and P-521. `docs/decisions/0001-josekit-and-ring.md`.

mod algorithm;
mod client_assertion;
mod dpop;
mod jwk;
mod ring_jws;
mod signer;
mod test_keys;
mod unverified;

pub use algorithm::Algorithm;
pub use client_assertion::{ClientKey, ClientKeyError};
pub use dpop::{DPOP_ALGORITHMS, DPOP_TYP, DpopError, DpopProof};
pub use jwk::{JwkError, JwkSet, PublicJwk};
pub use signer::{PrivateJwk, SigningKey};
pub use test_keys::is_test_key;
pub use unverified::{Header, JwsError, Unverified};
