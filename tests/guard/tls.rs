//! TLS towards clients, with a certificate that changes while the guard runs.

use std::path::PathBuf;

use serde_json::json;

use super::place::{guarded, request, until};

fn certificate(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/guard/certificates").join(name)
}

/// A client that trusts this certificate alone.
fn trusting(name: &str) -> reqwest::Client {
    let pem = std::fs::read(certificate(name)).unwrap();
    let roots = reqwest::Certificate::from_pem_bundle(&pem).unwrap();
    reqwest::Client::builder().no_proxy().tls_certs_only(roots).build().unwrap()
}

#[test]
fn a_new_certificate_is_served_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::copy(certificate("first.pem"), &cert).unwrap();
    std::fs::copy(certificate("first.key"), &key).unwrap();
    guarded(
        |args| {
            args.tls_cert = Some(cert.clone());
            args.tls_key = Some(key.clone());
        },
        async |_, place| {
            let ask = |http: reqwest::Client| {
                let body = request("ping", json!({})).to_string();
                http.post(place.url()).header("content-type", "application/json").body(body).send()
            };
            let reply = ask(trusting("first.pem")).await.unwrap();
            assert_eq!(
                (reply.status(), reply.version()),
                (http::StatusCode::UNAUTHORIZED, http::Version::HTTP_2)
            );
            assert!(ask(trusting("second.pem")).await.is_err());
            // Half of a pair changes nothing.
            std::fs::copy(certificate("second.pem"), &cert).unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
            assert!(ask(trusting("first.pem")).await.is_ok());
            std::fs::copy(certificate("second.key"), &key).unwrap();
            until("the new certificate is served", async || ask(trusting("second.pem")).await.is_ok()).await;
            assert!(ask(trusting("first.pem")).await.is_err());
        },
    );
}
