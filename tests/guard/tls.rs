//! TLS towards clients, with a certificate that changes while the guard runs.

use serde_json::json;

use super::place::{guarded, request, until};

/// A certificate for this machine, and its key, as PEM.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A client that trusts this certificate alone.
fn trusting(pem: &str) -> reqwest::Client {
    let roots = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).unwrap();
    reqwest::Client::builder().no_proxy().tls_certs_only(roots).build().unwrap()
}

#[test]
fn a_new_certificate_is_served_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let (first, second) = (certificate(), certificate());
    std::fs::write(&cert, &first.0).unwrap();
    std::fs::write(&key, &first.1).unwrap();
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
            let reply = ask(trusting(&first.0)).await.unwrap();
            assert_eq!(
                (reply.status(), reply.version()),
                (http::StatusCode::UNAUTHORIZED, http::Version::HTTP_2)
            );
            assert!(ask(trusting(&second.0)).await.is_err());
            // Half of a pair changes nothing.
            std::fs::write(&cert, &second.0).unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
            assert!(ask(trusting(&first.0)).await.is_ok());
            std::fs::write(&key, &second.1).unwrap();
            until("the new certificate is served", async || ask(trusting(&second.0)).await.is_ok()).await;
            assert!(ask(trusting(&first.0)).await.is_err());
        },
    );
}
