//! ring behind josekit's traits.

use std::sync::Arc;

use josekit::JoseError;
use josekit::jws::{JwsAlgorithm, JwsSigner, JwsVerifier};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaEncoding, RsaKeyPair, VerificationAlgorithm};

use super::algorithm::Algorithm;

/// A public key in the form that ring takes.
#[derive(Clone, Debug)]
pub(super) enum RingPublicKey {
    /// An uncompressed point, or an Ed25519 key.
    Bytes(Vec<u8>),
    /// Modulus and exponent, big-endian without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

/// Verifies one algorithm with one key.
#[derive(Clone, Debug)]
pub(super) struct RingVerifier {
    pub(super) algorithm: Algorithm,
    pub(super) key: Arc<RingPublicKey>,
}

fn refused<E>(_: E) -> JoseError {
    JoseError::InvalidSignature(std::io::Error::other("signature refused").into())
}

impl JwsVerifier for RingVerifier {
    fn algorithm(&self) -> &dyn JwsAlgorithm {
        &self.algorithm
    }

    fn key_id(&self) -> Option<&str> {
        None
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), JoseError> {
        match &*self.key {
            RingPublicKey::Bytes(bytes) => {
                let algorithm: &dyn VerificationAlgorithm = match self.algorithm {
                    Algorithm::ES256 => &signature::ECDSA_P256_SHA256_FIXED,
                    Algorithm::ES384 => &signature::ECDSA_P384_SHA384_FIXED,
                    Algorithm::EdDSA => &signature::ED25519,
                    _ => return Err(refused(())),
                };
                signature::UnparsedPublicKey::new(algorithm, bytes)
                    .verify(message, signature)
                    .map_err(refused)
            }
            RingPublicKey::Rsa { n, e } => {
                let parameters = match self.algorithm {
                    Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return Err(refused(())),
                };
                signature::RsaPublicKeyComponents { n, e }
                    .verify(parameters, message, signature)
                    .map_err(refused)
            }
        }
    }

    fn box_clone(&self) -> Box<dyn JwsVerifier> {
        Box::new(self.clone())
    }
}

/// A private key in the form that ring takes.
#[derive(Debug)]
pub(super) enum RingKeyPair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// Signs one algorithm with one key.
#[derive(Clone, Debug)]
pub(super) struct RingSigner {
    pub(super) algorithm: Algorithm,
    pub(super) pair: Arc<RingKeyPair>,
    pub(super) random: SystemRandom,
}

impl RingSigner {
    fn rsa(&self, pair: &RsaKeyPair, message: &[u8]) -> Result<Vec<u8>, JoseError> {
        let encoding: &dyn RsaEncoding = match self.algorithm {
            Algorithm::RS256 => &signature::RSA_PKCS1_SHA256,
            Algorithm::PS256 => &signature::RSA_PSS_SHA256,
            _ => return Err(refused(())),
        };
        let mut out = vec![0; pair.public().modulus_len()];
        pair.sign(encoding, &self.random, message, &mut out).map_err(refused)?;
        Ok(out)
    }
}

impl JwsSigner for RingSigner {
    fn algorithm(&self) -> &dyn JwsAlgorithm {
        &self.algorithm
    }

    fn key_id(&self) -> Option<&str> {
        None
    }

    fn signature_len(&self) -> usize {
        match &*self.pair {
            RingKeyPair::Ecdsa(_) | RingKeyPair::Ed25519(_) => 64,
            RingKeyPair::Rsa(pair) => pair.public().modulus_len(),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, JoseError> {
        match &*self.pair {
            RingKeyPair::Ecdsa(pair) => {
                pair.sign(&self.random, message).map(|signature| signature.as_ref().to_vec()).map_err(refused)
            }
            RingKeyPair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            RingKeyPair::Rsa(pair) => self.rsa(pair, message),
        }
    }

    fn box_clone(&self) -> Box<dyn JwsSigner> {
        Box::new(self.clone())
    }
}
