//! TLS for clients: TLS 1.2 and later, with a certificate that can be replaced while the guard runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// The certificate in use, and where it comes from.
pub(super) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: ArcSwap<(ServerConfigOf, Modified)>,
}

type ServerConfigOf = Arc<ServerConfig>;
type Modified = [Option<SystemTime>; 2];

impl Tls {
    /// Reads the files.
    pub(super) fn open((certificate, key): &(PathBuf, PathBuf)) -> Result<Self, String> {
        let modified = modified(certificate, key);
        let current = ArcSwap::from_pointee((read(certificate, key)?, modified));
        Ok(Self { certificate: certificate.clone(), key: key.clone(), current })
    }

    /// Accepts connections with the certificate of this moment.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.load().0))
    }

    /// Reads the files again if they changed. What can't be used changes nothing.
    pub(super) fn refresh(&self) {
        let now = modified(&self.certificate, &self.key);
        let current = self.current.load();
        if current.1 == now {
            return;
        }
        let config = match read(&self.certificate, &self.key) {
            Ok(config) => {
                tracing::info!(certificate = %self.certificate.display(), "the certificate was read again");
                config
            }
            // The two files are replaced one after the other: the next look may find a pair.
            Err(error) => {
                tracing::error!(%error, "the new certificate can't be used; the old one stays");
                metrics::counter!("taskpass_guard_tls_reload_failures_total").increment(1);
                return;
            }
        };
        self.current.store(Arc::new((config, now)));
    }
}

fn modified(certificate: &Path, key: &Path) -> Modified {
    [certificate, key].map(|path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
}

fn read(certificate: &Path, key: &Path) -> Result<ServerConfigOf, String> {
    let at = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| at(certificate, &error))?;
    if chain.is_empty() {
        return Err(at(certificate, &"there is no certificate in it"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| at(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| at(certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
