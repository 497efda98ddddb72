//! A site over real TLS: a certificate authority made for the test, a certificate for this machine, and answers of every
//! kind, proper and not.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A site on this machine, for as long as the test's runtime.
pub(crate) struct Site {
    pub(crate) url: String,
    /// The certificate of the authority that vouches for it.
    pub(crate) ca_pem: String,
    /// How many requests reached it.
    pub(crate) hits: Arc<AtomicUsize>,
    /// How many connections were made to it, whether or not a request followed.
    pub(crate) connections: Arc<AtomicUsize>,
    /// Answers beside those that every site gives, by path, to the byte.
    pages: Arc<Mutex<HashMap<String, String>>>,
}

impl Site {
    /// Starts one that answers `/good` with `body`, and other paths as no proper site does.
    pub(crate) async fn start(body: String) -> Self {
        let (config, ca_pem) = certificate();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (acceptor, hits) = (TlsAcceptor::from(Arc::new(config)), Arc::new(AtomicUsize::new(0)));
        let (body, counter, own) = (Arc::new(body), hits.clone(), url.clone());
        let (pages, connections) =
            (Arc::<Mutex<HashMap<String, String>>>::default(), Arc::new(AtomicUsize::new(0)));
        let (shown, accepted) = (pages.clone(), connections.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                let (acceptor, body, counter, own, shown) =
                    (acceptor.clone(), body.clone(), counter.clone(), own.clone(), shown.clone());
                tokio::spawn(async move {
                    // A client that doesn't trust the certificate hangs up here.
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => request.push(byte),
                            Err(_) => return,
                        }
                    }
                    counter.fetch_add(1, Ordering::SeqCst);
                    let request = String::from_utf8_lossy(&request).into_owned();
                    let path = request.split(' ').nth(1).unwrap_or_default();
                    let page = shown.lock().unwrap().get(path).cloned();
                    match page {
                        Some(page) => drop(stream.write_all(page.as_bytes()).await),
                        None => answer(&mut stream, path, &body, &own).await,
                    }
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { url, ca_pem, hits, connections, pages }
    }

    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    /// From now on answers `path` so: a status, header lines that each end in a line break, a body.
    pub(crate) fn put(&self, path: &str, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
        self.pages.lock().unwrap().insert(path.to_owned(), head + body);
    }

    /// Writes the authority's certificate where the server's configuration can name it.
    pub(crate) fn write_ca(&self, folder: &Path) -> std::path::PathBuf {
        let path = folder.join("ca.pem");
        std::fs::write(&path, &self.ca_pem).unwrap();
        path
    }
}

pub(super) fn certificate() -> (ServerConfig, String) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let own = own.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    (config.with_single_cert(vec![own.der().clone()], private).unwrap(), ca_pem)
}

async fn answer(stream: &mut (impl tokio::io::AsyncWrite + Unpin), path: &str, body: &str, own: &str) {
    let head = |status: &str, more: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n{more}\r\n")
    };
    let length = format!("content-length: {}\r\n", body.len());
    let text = match path {
        "/good" => head("200 OK", &length) + body,
        "/redirect" => head("302 Found", &format!("location: {own}/good\r\ncontent-length: 0\r\n")),
        "/missing" => head("404 Not Found", &length) + body,
        "/large" => head("200 OK", "") + &format!("{{\"pad\":\"{}\",{}", "x".repeat(300_000), &body[1..]),
        "/html" => head("200 OK", "content-length: 6\r\n") + "<html>",
        "/cut" => head("200 OK", &length) + &body[..body.len() / 2],
        // One byte now and then, for ever.
        "/slow" => {
            let mut sent = stream.write_all(head("200 OK", &length).as_bytes()).await;
            for byte in body.bytes() {
                if sent.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                sent = stream.write_all(&[byte]).await;
            }
            return;
        }
        _ => head("500 Internal Server Error", "content-length: 0\r\n"),
    };
    let _ = stream.write_all(text.as_bytes()).await;
}
