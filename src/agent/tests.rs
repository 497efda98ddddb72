//! The client against a token endpoint over real HTTP.

use serde_json::json;

use super::peer::{Peer, Reply, alone, refusal, task};
use super::*;
use crate::protocol::token_type::TokenType;
use crate::secret::Secret;
use crate::time::Timestamp;

fn exchange() -> ExchangeRequest {
    ExchangeRequest::new(Secret::new("a.b.c".into()), TokenType::IdToken, task())
}

fn refused(error: Error) -> Refused {
    match error {
        Error::Refused(refused) => *refused,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn opens_renews_and_hands_back_a_task() {
    let peer = Peer::start().await;
    let client = peer.client();
    let first = client.exchange(&exchange()).await.unwrap();
    let second = client.renew(&first).await.unwrap();
    assert_eq!(first.task, second.task);
    assert_ne!(first.access_token.expose(), second.access_token.expose());
    client.hand_back(&second).await.unwrap();
    let error = refused(client.renew(&second).await.unwrap_err());
    assert_eq!(error.rule.as_deref(), Some("task_is_over"));
    peer.with(|shared| {
        assert_eq!(shared.requests[1]["subject_token"], first.access_token.expose());
        assert_eq!(shared.requests[2]["token"], second.access_token.expose());
        assert!(shared.requests.iter().all(|form| !form.contains_key("client_secret")));
    });
}

#[tokio::test]
async fn a_renewal_that_answers_another_task_is_malformed() {
    let peer = Peer::start().await;
    let client = peer.client();
    let mut token = client.client_credentials(&task()).await.unwrap();
    token.task = Some("tsk_other".into());
    assert!(matches!(client.renew(&token).await, Err(Error::Malformed { .. })));
}

#[tokio::test]
async fn returns_when_the_server_says_so_with_a_new_proof_each_time() {
    for status in [429, 503] {
        let peer = Peer::start().await;
        let busy = || Reply(status, vec![("retry-after", "0")], json!({"error": "temporarily_unavailable"}));
        peer.script([busy(), busy()]);
        // The peer refuses a proof that it has seen, so success means three different ones.
        peer.client().client_credentials(&task()).await.unwrap();
        assert_eq!(peer.requests(), 3);
        peer.script([busy(), busy(), busy(), busy()]);
        let error = refused(peer.client().client_credentials(&task()).await.unwrap_err());
        assert_eq!((error.status, error.is_temporary()), (status, true));
        assert_eq!(peer.requests(), 6);
    }
}

#[tokio::test]
async fn does_not_return_uninvited() {
    let cases = [
        Reply(503, vec![], json!({"error": "temporarily_unavailable"})),
        Reply(503, vec![("retry-after", "3600")], json!({"error": "temporarily_unavailable"})),
        Reply(429, vec![("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")], json!({"error": "slow_down"})),
        Reply(500, vec![("retry-after", "0")], json!({"error": "server_error"})),
        Reply(400, vec![("retry-after", "0")], json!({"error": "invalid_target"})),
        Reply(401, vec![], json!({"error": "invalid_client"})),
    ];
    for reply in cases {
        let peer = Peer::start().await;
        let status = reply.0;
        peer.script([reply]);
        let error = refused(peer.client().client_credentials(&task()).await.unwrap_err());
        assert_eq!((error.status, peer.requests()), (status, 1));
    }
}

#[tokio::test]
async fn answers_of_something_else_are_not_refusals() {
    let peer = Peer::start().await;
    let html = || ("content-type", "text/html");
    peer.script([
        Reply(502, vec![html()], json!("<h1>")),
        Reply(404, vec![html()], json!("<h1>")),
        Reply(200, vec![html()], json!({"access_token": "a"})),
        Reply(307, vec![("location", "http://127.0.0.1:1/")], json!({})),
        Reply(200, vec![], json!([])),
    ]);
    let client = peer.client();
    let mut kinds = Vec::new();
    for _ in 0..5 {
        kinds
            .push(matches!(client.client_credentials(&task()).await.unwrap_err(), Error::Unreachable { .. }));
    }
    assert_eq!(kinds, [true, false, false, false, false]);
}

#[tokio::test]
async fn connects_again_after_a_connection_that_broke() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let (address, accept) = (issuer.clone(), async move {
        drop(listener.accept().await.unwrap());
        listener
    });
    let peer = tokio::spawn(async move { Peer::on(accept.await, address) });
    let endpoints = {
        let jwk = crate::jose::PrivateJwk::generate(crate::jose::Algorithm::ES256).unwrap();
        let jwk = serde_json::from_str(&jwk.to_text()).unwrap();
        let identity = Identity::KeyFile(KeyFile::new("triage".into(), None, jwk).unwrap());
        Client::new(&issuer, identity).unwrap().endpoints().await.cloned()
    };
    assert_eq!(endpoints.unwrap().token_endpoint, format!("{}/oauth/token", peer.await.unwrap().issuer));
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(issuer, Identity::JwtSvidFile("/nonexistent".into())).unwrap();
    assert!(matches!(client.client_credentials(&task()).await, Err(Error::Unreachable { .. })));
}

#[tokio::test]
async fn never_sends_what_would_widen_by_being_empty() {
    let peer = Peer::start().await;
    let edits: [fn(&mut TaskRequest); 5] = [
        |task| task.scope = Some(crate::protocol::scope::Scope::default()),
        |task| task.authorization_details = Some(json!([])),
        |task| task.authorization_details = Some(json!({"type": "x"})),
        |task| task.authorization_details = Some(json!("")),
        |task| task.task_lifetime = Some(0),
    ];
    for edit in edits {
        let mut task = task();
        edit(&mut task);
        assert!(matches!(peer.client().client_credentials(&task).await, Err(Error::Request(_))));
    }
    assert_eq!(peer.requests(), 0);
}

#[test]
fn a_key_is_used_only_with_its_own_server() {
    let jwk = crate::jose::PrivateJwk::generate(crate::jose::Algorithm::ES256).unwrap();
    let jwk = serde_json::from_str(&jwk.to_text()).unwrap();
    let file = KeyFile::new("triage".into(), Some("https://a.example".into()), jwk).unwrap();
    assert!(Client::new("https://a.example", Identity::KeyFile(file.clone())).is_ok());
    for other in ["https://a.example/", "https://b.example", "http://a.example", "https://a.example?x"] {
        assert!(Client::new(other, Identity::KeyFile(file.clone())).is_err(), "{other}");
    }
}

#[tokio::test]
async fn the_cache_asks_once_for_a_crowd_and_renews_ahead() {
    let peer = Peer::start().await.at(1000);
    let cache = std::sync::Arc::new(TokenCache::new(peer.client()));
    let crowd = |cache: &std::sync::Arc<TokenCache>| {
        let callers: Vec<_> = (0..20)
            .map(|_| {
                let cache = cache.clone();
                tokio::spawn(async move { cache.token(&alone("a")).await })
            })
            .collect();
        async move {
            let mut tokens = std::collections::HashSet::new();
            for caller in callers {
                tokens.insert(caller.await.unwrap().unwrap().access_token.expose().to_owned());
            }
            tokens.into_iter().collect::<Vec<_>>()
        }
    };
    assert_eq!(crowd(&cache).await, ["tok_1"]);
    peer.clock.advance(179);
    assert_eq!(crowd(&cache).await, ["tok_1"]);
    peer.clock.advance(1);
    assert_eq!(crowd(&cache).await, ["tok_2"]);
    peer.with(|shared| assert_eq!(shared.requests[1]["subject_token"], "tok_1"));
    // Too late to renew: a new task.
    peer.clock.advance(240);
    assert_eq!(crowd(&cache).await, ["tok_3"]);
    peer.with(|shared| assert!(!shared.requests[2].contains_key("subject_token")));
    assert_eq!(peer.requests(), 3);
}

#[tokio::test]
async fn a_crowd_shares_one_failure() {
    let peer = Peer::start().await;
    peer.script([refusal(400, "invalid_target", "resource_unknown")]);
    let cache = std::sync::Arc::new(TokenCache::new(peer.client()));
    peer.client().endpoints().await.unwrap();
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.token(&alone("a")).await })
        })
        .collect();
    for caller in callers {
        let error = refused(caller.await.unwrap().unwrap_err());
        assert_eq!(error.rule.as_deref(), Some("resource_unknown"));
    }
    assert_eq!(peer.requests(), 1);
    assert!(cache.is_empty());
    assert!(cache.token(&alone("a")).await.is_ok());
}

#[tokio::test]
async fn a_living_token_bridges_an_outage_but_not_a_refusal() {
    let peer = Peer::start().await.at(1000);
    let cache = TokenCache::new(peer.client());
    let first = cache.token(&alone("a")).await.unwrap();
    peer.clock.advance(200);
    peer.script([Reply(500, vec![], json!({"error": "server_error"}))]);
    for _ in 0..3 {
        let bridged = cache.token(&alone("a")).await.unwrap();
        assert_eq!(bridged.access_token.expose(), first.access_token.expose());
    }
    assert_eq!(peer.requests(), 2, "the second and third call leave the server alone");
    peer.clock.advance(10);
    peer.with(|shared| shared.over.insert("tsk_1".into()));
    assert_eq!(refused(cache.token(&alone("a")).await.unwrap_err()).rule.as_deref(), Some("task_is_over"));
    assert_eq!(cache.token(&alone("a")).await.unwrap().task.as_deref(), Some("tsk_2"));
}

#[tokio::test]
async fn the_cache_is_bounded() {
    let peer = Peer::start().await.at(1000);
    let cache = TokenCache::with_capacity(peer.client(), 3);
    for name in ["a", "b", "c", "d", "e"] {
        cache.token(&alone(name)).await.unwrap();
        peer.clock.advance(1);
        assert!(cache.len() <= 3);
    }
    cache.token(&alone("e")).await.unwrap();
    assert_eq!(peer.requests(), 5);
    cache.token(&alone("a")).await.unwrap();
    assert_eq!(peer.requests(), 6, "the one that ends first made room");
    cache.forget(&alone("e"));
    cache.token(&alone("e")).await.unwrap();
    assert_eq!(peer.requests(), 7);
}

#[tokio::test]
async fn nothing_secret_is_in_any_debug_text() {
    let peer = Peer::start().await.at(1000);
    let cache = TokenCache::new(peer.client());
    let request = TokenRequest::Exchange(ExchangeRequest::new(
        Secret::new("person.s.token".into()),
        TokenType::IdToken,
        task(),
    ));
    let token = cache.token(&request).await.unwrap();
    assert!(token.is_alive(Timestamp(1000)));
    let text = format!("{request:?} {token:?} {cache:?}");
    let private = peer.private_jwk()["d"].as_str().unwrap().to_owned();
    for secret in ["person.s.token", token.access_token.expose(), &private] {
        assert!(!text.contains(secret), "{text}");
    }
}
