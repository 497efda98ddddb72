use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::cli::fake_server::FakeServer;

fn refuse(status: u16, body: &Value, scope: &str) -> CliError {
    let body = body.as_object().unwrap().clone();
    refusal(StatusCode::from_u16(status).unwrap(), &body, Some("7"), scope)
}

#[tokio::test]
async fn proves_itself_and_calls_with_the_token() {
    let server = FakeServer::start(|_| (200, json!({"ok": true}))).await;
    let api = AdminApi::connect(&server.connection(), "registry:read").await.unwrap();
    assert_eq!(api.get("registry").await.unwrap(), json!({"ok": true}));
    api.post("explain", &json!({"a": 1})).await.unwrap();
    api.put("registry?dry_run=true", &json!({})).await.unwrap();
    assert_eq!(server.scopes(), ["registry:read"]);
    let calls = server.calls();
    assert_eq!(calls[0], ("GET".into(), "/admin/v1/registry".into(), Value::Null));
    assert_eq!(calls[1], ("POST".into(), "/admin/v1/explain".into(), json!({"a": 1})));
    assert_eq!(calls[2].1, "/admin/v1/registry?dry_run=true");
}

#[tokio::test]
async fn refuses_a_server_that_calls_itself_otherwise() {
    let server = FakeServer::start(|_| (200, json!({}))).await;
    let connection = server.connection_to(&format!("{}/t/other", server.issuer()));
    let error = AdminApi::connect(&connection, "revoke").await.unwrap_err();
    assert!(error.message.contains("calls itself"), "{error}");
    assert!(server.scopes().is_empty());
}

#[tokio::test]
async fn says_where_nobody_answers() {
    let server = FakeServer::start(|_| (200, json!({}))).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let connection = server.connection_to(&format!("http://{closed}"));
    let error = AdminApi::connect(&connection, "revoke").await.unwrap_err();
    assert_eq!(error.exit_code, CliError::UNREACHABLE);
    assert!(error.message.contains(&closed.to_string()), "{error}");
}

#[tokio::test]
async fn a_key_that_others_can_read_is_not_used() {
    let server = FakeServer::start(|_| (200, json!({}))).await;
    let connection = server.connection();
    let path = connection.credentials.clone().unwrap();
    for mode in [0o644, 0o640, 0o604, 0o660] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = Credentials::read(&path).unwrap_err();
        assert!(error.message.contains(&format!("mode {mode:04o}")), "{error}");
        assert!(error.hint.unwrap().starts_with("chmod 600"));
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(Credentials::read(&path).unwrap().client_id, "ops");
}

#[test]
fn says_what_credentials_are_missing_or_malformed() {
    let missing = Credentials::read(Path::new("/nonexistent/c.json")).unwrap_err();
    assert!(missing.hint.unwrap().contains("taskpass admin enroll"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.json");
    for text in [
        "",
        "[]",
        r#"{"issuer":"a"}"#,
        r#"{"issuer":"a","issuer":"b","client_id":"c","private_jwk":{}}"#,
        r#"{"issuer":"a","client_id":"c","private_jwk":{"kty":"EC"}}"#,
    ] {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(Credentials::read(&path).unwrap_err().exit_code, CliError::USAGE, "{text}");
    }
}

#[test]
fn maps_refusals_to_hints_and_exit_codes() {
    let client =
        refuse(401, &json!({"error": "invalid_client", "error_description": "unknown key"}), "revoke");
    assert_eq!(client.message, "the server refused: invalid_client: unknown key");
    assert!(client.hint.unwrap().contains("admin enroll"));
    let scope = refuse(403, &json!({"error": "insufficient_scope", "rule": "scope_missing"}), "revoke");
    assert_eq!(scope.message, "the server refused: insufficient_scope (rule scope_missing)");
    assert!(scope.hint.unwrap().contains("`revoke`"));
    assert!(
        refuse(400, &json!({"error": "invalid_scope"}), "revoke").hint.unwrap().contains("administrator")
    );
    let plain = refuse(400, &json!({"error": "invalid_request"}), "revoke");
    assert_eq!((plain.hint, plain.exit_code), (None, CliError::REFUSED));
    let busy = refuse(429, &json!({}), "revoke");
    assert_eq!(
        (busy.message.as_str(), busy.exit_code),
        ("the server refused: HTTP 429", CliError::UNREACHABLE)
    );
    assert_eq!(busy.hint.unwrap(), "try again in 7 s");
    assert_eq!(refuse(500, &json!({"error": "server_error"}), "").exit_code, CliError::FAILED);
}

#[test]
fn keys_and_tokens_leave_this_machine_over_tls_only() {
    for url in
        ["https://id.example.com", "http://127.0.0.1:8080", "http://localhost:1/t/a", "http://[::1]:8080"]
    {
        assert!(server_url(url).is_ok(), "{url}");
    }
    for url in [
        "http://id.example.com",
        "http://localhost.example.com",
        "http://10.0.0.1",
        "ftp://127.0.0.1",
        "https://a@id.example.com",
        "https://id.example.com?x",
        "id.example.com",
        "https://id.example.com#x",
    ] {
        assert_eq!(server_url(url).unwrap_err().exit_code, CliError::USAGE, "{url}");
    }
}
