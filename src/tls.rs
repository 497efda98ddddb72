//! TLS set-up that the whole process shares.

/// Makes ring the cryptography of every TLS connection of this process; calling it again changes nothing.
///
/// Call it before an HTTP client is built: reqwest is compiled without a provider of its own.
pub fn install_provider() {
    // The only error is that a provider is already in place, which is what is wanted here.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_twice_is_once() {
        install_provider();
        install_provider();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
