//! The MCP half of the story against a stand-in for the issuer: the real MCP server, enforcer and client.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::routing::{get, post};
use axum::{Json, Router};

use super::*;
use crate::jose::JwkSet;

async fn hand(active: Arc<AtomicBool>) -> (Hand, McpServer, Stage, String) {
    let key = PrivateJwk::generate(Algorithm::ES256).unwrap().signing_key().unwrap();
    let issuer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", issuer.local_addr().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let resource = mcp_server::resource(listener.local_addr().unwrap());
    let now = Clock::System.now();
    let mut claims = json!({
        "iss": url, "aud": resource, "sub": "usr_1", "exp": now.plus(240), "iat": now, "jti": "tok_1", "client_id": AGENT,
        "act": {"sub": AGENT}, "scope": registry::SCOPE, "rev": "g.1", "tenant": "main",
        "authorization_details": registry::task_details(&resource),
    });
    let token = key.sign("at+jwt", &claims).unwrap();
    let jwks = JwkSet::of(key.public().clone()).to_json();
    let introspect = move || {
        claims["active"] = json!(active.load(Ordering::SeqCst));
        let answer = claims.clone();
        async move { Json(answer) }
    };
    let bearer = || async { Json(json!({"access_token": "b", "token_type": "Bearer", "expires_in": 240})) };
    let routes = Router::new()
        .route("/oauth/jwks", get(move || async move { Json(jwks) }))
        .route("/oauth/token", post(bearer))
        .route("/oauth/introspect", post(introspect));
    tokio::spawn(async move { axum::serve(issuer, routes).await });

    let stage = Stage::set(false).unwrap();
    let config = Config::new(&url, ResourceUri::parse(&resource).unwrap()).introspect(Credentials::new(
        &url,
        ENFORCER,
        stage.enforcer.clone(),
    ));
    let enforcer = Enforcer::new(config).unwrap();
    let server = mcp_server::serve(listener, &enforcer);
    let metadata = stage.metadata(&enforcer).await.unwrap();
    assert_eq!(metadata["authorization_servers"], json!([url]));
    let mcp = McpClient::connect(stage.client.clone(), &resource, &token).await.unwrap();
    let answer = Answer { status: StatusCode::OK, body: json!({ "access_token": token }) };
    (Hand { token: answer, mcp }, server, stage, resource)
}

#[tokio::test]
async fn the_steps_at_the_mcp_server_see_what_they_expect() {
    let active = Arc::new(AtomicBool::new(true));
    let (hand, _server, stage, resource) = hand(Arc::clone(&active)).await;
    let seen = hand.allowed_call().await.unwrap();
    assert!(seen[1].contains("Printer driver missing"), "{seen:?}");
    let seen = hand.tool_not_granted().await.unwrap();
    assert!(seen[0].contains("tool_not_granted"), "{seen:?}");
    let seen = hand.argument_beyond_limit().await.unwrap();
    assert!(seen[0].contains("at /limit"), "{seen:?}");

    assert!(hand.call_after_revocation().await.is_err(), "nothing is revoked yet");
    active.store(false, Ordering::SeqCst);
    let seen = hand.call_after_revocation().await.unwrap();
    assert!(seen[0].contains("invalid_token"), "{seen:?}");
    assert!(hand.allowed_call().await.is_err());
    let token = hand.token.text("access_token");
    let refused = McpClient::connect(stage.client.clone(), &resource, token).await.err().unwrap();
    assert!(refused.0.contains("refused the token"), "{refused}");
}

#[test]
fn details_read_as_one_line() {
    let text = tools(&registry::task_details("https://a.example/mcp"));
    assert_eq!(text, r#"search_tickets (limit {"maximum":50,"required":true}), get_ticket_by_id"#);
}
