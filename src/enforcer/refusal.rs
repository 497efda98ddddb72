//! Why a token is refused: one name for each rule (RFC 6750 §3.1, RFC 9068 §4, RFC 9449 §4.3, RFC 8705 §3).

use crate::jose::{DpopError, JwsError};
use crate::protocol::error_code::ErrorCode;

/// Why a token doesn't open this resource: one variant per rule. To the caller each is
/// `invalid_token`, or `invalid_dpop_proof`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenRefusal {
    /// Longer than [`LONGEST_TOKEN`](super::verifier::LONGEST_TOKEN).
    #[error("the access token is too long")]
    TokenTooLong,
    /// Not a compact JWS, and no introspection is configured that could know it.
    #[error("the access token is not a JWT")]
    TokenNotAJwt,
    /// RFC 8725 §3.5, §3.10: a malformed header, or one that brings its own key or rules.
    #[error("the access token's header is not accepted")]
    HeaderNotAccepted,
    /// RFC 8725 §3.1: `alg` is none, symmetric, unknown, or not the algorithm of the key.
    #[error("the access token's algorithm is not accepted")]
    AlgorithmNotAccepted,
    /// RFC 9068 §4: the `typ` isn't `at+jwt`.
    #[error("the token is not an access token")]
    TokenNotAnAccessToken,
    /// The header names no key.
    #[error("the access token names no signing key")]
    SigningKeyNotNamed,
    /// The issuer publishes no key of this name.
    #[error("the access token's signing key is unknown")]
    SigningKeyUnknown,
    /// The signature isn't the named key's.
    #[error("the access token's signature is wrong")]
    SignatureWrong,
    /// A required claim is missing, empty or of the wrong type, or a member comes twice.
    #[error("the access token's claims are malformed")]
    ClaimsMalformed,
    /// RFC 9068 §4: `iss` isn't our issuer, to the byte.
    #[error("the access token is from another issuer")]
    IssuerNotTrusted,
    /// RFC 9068 §4: `aud` isn't this resource and nothing else.
    #[error("the access token is for another resource")]
    AudienceNotThisResource,
    /// RFC 9068 §4: `exp` has come.
    #[error("the access token has expired")]
    TokenExpired,
    /// `iat` or `nbf` lies further ahead than [`LEEWAY`](super::verifier::LEEWAY).
    #[error("the access token is from the future")]
    TokenFromTheFuture,
    /// `exp - iat` is above the ceiling, or not positive.
    #[error("the access token lives longer than this resource accepts")]
    LifetimeAboveCeiling,
    /// RFC 7800 §3.1: `cnf` is empty, malformed, or binds the token in a way that isn't known here.
    #[error("the access token is bound in a way that is not understood")]
    ConfirmationNotUnderstood,
    /// RFC 9449 §7.2: the token is bound to a key, and nothing proved that the caller holds it.
    #[error("the access token is bound to a key whose possession was not proven")]
    KeyBindingNotProven,
    /// RFC 9449 §7.1: the token came as a DPoP-bound one, and isn't.
    #[error("the access token is not bound to a DPoP key")]
    TokenNotBoundToAKey,
    /// RFC 9449 §4.3: the proof is another key's than the one that the token is bound to.
    #[error("the access token is bound to another key than the DPoP proof's")]
    DpopKeyNotTheBoundOne,
    /// RFC 8705 §3: the token is bound to a certificate, and the connection had none.
    #[error("the access token is bound to a client certificate, and none was presented")]
    CertificateNotPresented,
    /// RFC 8705 §3: the connection's certificate is another than the one that the token is bound to.
    #[error("the access token is bound to another client certificate")]
    CertificateNotTheBoundOne,
    /// RFC 9449 §7.1: a DPoP-bound token came without a `DPoP` header.
    #[error("no DPoP proof was sent")]
    DpopProofMissing,
    /// RFC 9449 §4.3, check 1: more than one `DPoP` header.
    #[error("more than one DPoP proof was sent")]
    DpopProofRepeated,
    /// RFC 9449 §4.3, checks 2 and 3: not one compact JWS of strict JSON with the required members.
    #[error("the DPoP proof is malformed")]
    DpopProofMalformed,
    /// RFC 9449 §4.3, check 4: the `typ` isn't `dpop+jwt`.
    #[error("the DPoP proof has the wrong type")]
    DpopProofOfWrongType,
    /// RFC 9449 §4.3, check 5: `alg` is none, symmetric, unknown, or not the key's.
    #[error("the DPoP proof's algorithm is not accepted")]
    DpopAlgorithmNotAccepted,
    /// RFC 9449 §4.3, check 7: the `jwk` is missing, private, weak, or of an unknown type.
    #[error("the DPoP proof's key is not accepted")]
    DpopKeyNotAccepted,
    /// RFC 9449 §4.3, check 6: the signature isn't the `jwk`'s.
    #[error("the DPoP proof's signature is wrong")]
    DpopSignatureWrong,
    /// RFC 9449 §4.3, check 8: `htm` isn't the request's method.
    #[error("the DPoP proof is for another method")]
    DpopMethodMismatch,
    /// RFC 9449 §4.3, check 9: `htu` isn't the request's URI.
    #[error("the DPoP proof is for another URI")]
    DpopUriMismatch,
    /// RFC 9449 §4.3, check 11: `iat` is too far from now.
    #[error("the DPoP proof was not made now")]
    DpopProofNotFresh,
    /// RFC 9449 §4.3, check 12: `ath` is missing, or another token's hash.
    #[error("the DPoP proof is for another access token")]
    DpopTokenHashMismatch,
    /// RFC 9449 §11.1: the proof, or another of the same key and `jti`, was used before.
    #[error("the DPoP proof was used before")]
    DpopProofReplayed,
    /// A cutoff of the revocation log hits it, or the log that it was minted under is gone.
    #[error("the access token has been revoked")]
    TokenRevoked,
    /// The issuer says that the token is not active.
    #[error("the access token is not active")]
    TokenNotActive,
}

impl TokenRefusal {
    /// The rule's name in answers and logs.
    pub fn rule(self) -> &'static str {
        match self {
            Self::TokenTooLong => "token_too_long",
            Self::TokenNotAJwt => "token_not_a_jwt",
            Self::HeaderNotAccepted => "header_not_accepted",
            Self::AlgorithmNotAccepted => "algorithm_not_accepted",
            Self::TokenNotAnAccessToken => "token_not_an_access_token",
            Self::SigningKeyNotNamed => "signing_key_not_named",
            Self::SigningKeyUnknown => "signing_key_unknown",
            Self::SignatureWrong => "signature_wrong",
            Self::ClaimsMalformed => "claims_malformed",
            Self::IssuerNotTrusted => "issuer_not_trusted",
            Self::AudienceNotThisResource => "audience_not_this_resource",
            Self::TokenExpired => "token_expired",
            Self::TokenFromTheFuture => "token_from_the_future",
            Self::LifetimeAboveCeiling => "lifetime_above_ceiling",
            Self::ConfirmationNotUnderstood => "confirmation_not_understood",
            Self::KeyBindingNotProven => "key_binding_not_proven",
            Self::TokenNotBoundToAKey => "token_not_bound_to_a_key",
            Self::DpopKeyNotTheBoundOne => "dpop_key_not_the_bound_one",
            Self::CertificateNotPresented => "certificate_not_presented",
            Self::CertificateNotTheBoundOne => "certificate_not_the_bound_one",
            Self::DpopProofMissing => "dpop_proof_missing",
            Self::DpopProofRepeated => "dpop_proof_repeated",
            Self::DpopProofMalformed => "dpop_proof_malformed",
            Self::DpopProofOfWrongType => "dpop_proof_of_wrong_type",
            Self::DpopAlgorithmNotAccepted => "dpop_algorithm_not_accepted",
            Self::DpopKeyNotAccepted => "dpop_key_not_accepted",
            Self::DpopSignatureWrong => "dpop_signature_wrong",
            Self::DpopMethodMismatch => "dpop_method_mismatch",
            Self::DpopUriMismatch => "dpop_uri_mismatch",
            Self::DpopProofNotFresh => "dpop_proof_not_fresh",
            Self::DpopTokenHashMismatch => "dpop_token_hash_mismatch",
            Self::DpopProofReplayed => "dpop_proof_replayed",
            Self::TokenRevoked => "token_revoked",
            Self::TokenNotActive => "token_not_active",
        }
    }

    /// The `error` of the challenge.
    pub fn code(self) -> ErrorCode {
        match self {
            // RFC 9449 §7.1: "invalid_dpop_proof is used to indicate that the DPoP proof itself was deemed invalid based
            // on the criteria of Section 4.3."
            Self::DpopProofMissing
            | Self::DpopProofRepeated
            | Self::DpopProofMalformed
            | Self::DpopProofOfWrongType
            | Self::DpopAlgorithmNotAccepted
            | Self::DpopKeyNotAccepted
            | Self::DpopSignatureWrong
            | Self::DpopMethodMismatch
            | Self::DpopUriMismatch
            | Self::DpopProofNotFresh
            | Self::DpopTokenHashMismatch
            | Self::DpopProofReplayed => ErrorCode::InvalidDpopProof,
            // RFC 8705 §3: another certificate is refused with "an HTTP 401 status code and the invalid_token error code";
            // RFC 9449 §7.1, figure 16: so is another key.
            Self::TokenTooLong
            | Self::TokenNotAJwt
            | Self::HeaderNotAccepted
            | Self::AlgorithmNotAccepted
            | Self::TokenNotAnAccessToken
            | Self::SigningKeyNotNamed
            | Self::SigningKeyUnknown
            | Self::SignatureWrong
            | Self::ClaimsMalformed
            | Self::IssuerNotTrusted
            | Self::AudienceNotThisResource
            | Self::TokenExpired
            | Self::TokenFromTheFuture
            | Self::LifetimeAboveCeiling
            | Self::ConfirmationNotUnderstood
            | Self::KeyBindingNotProven
            | Self::TokenNotBoundToAKey
            | Self::DpopKeyNotTheBoundOne
            | Self::CertificateNotPresented
            | Self::CertificateNotTheBoundOne
            | Self::TokenRevoked
            | Self::TokenNotActive => ErrorCode::InvalidToken,
        }
    }
}

impl From<JwsError> for TokenRefusal {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::NotCompact => Self::TokenNotAJwt,
            JwsError::Header => Self::HeaderNotAccepted,
            JwsError::Algorithm => Self::AlgorithmNotAccepted,
            JwsError::UnknownKey => Self::SigningKeyUnknown,
            JwsError::Signature => Self::SignatureWrong,
            JwsError::Claims => Self::ClaimsMalformed,
        }
    }
}

impl From<DpopError> for TokenRefusal {
    fn from(error: DpopError) -> Self {
        match error {
            DpopError::Malformed => Self::DpopProofMalformed,
            DpopError::WrongType => Self::DpopProofOfWrongType,
            DpopError::Algorithm => Self::DpopAlgorithmNotAccepted,
            DpopError::Key => Self::DpopKeyNotAccepted,
            DpopError::Signature => Self::DpopSignatureWrong,
        }
    }
}
