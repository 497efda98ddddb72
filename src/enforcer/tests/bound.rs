//! Bound tokens at the layer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::secret::Digest;

const CERTIFICATE: ClientCertificate = ClientCertificate(Digest([7; 32]));

struct Holder {
    key: SigningKey,
    token: String,
}

impl World {
    /// A token that the issuer says is active and bound so.
    fn bound(&self, cnf: impl Fn(&SigningKey) -> Value) -> Holder {
        let key = PrivateJwk::generate(Algorithm::ES256).unwrap().signing_key().unwrap();
        let mut claims = self.claims();
        claims["cnf"] = cnf(&key);
        self.answers(claims.clone(), true);
        Holder { token: KEY.sign("at+jwt", &claims).unwrap(), key }
    }

    fn bound_to_a_key(&self) -> Holder {
        self.bound(|key| json!({"jkt": key.public().thumbprint()}))
    }

    async fn send(&self, headers: &[(&str, &str)], certificate: Option<ClientCertificate>) -> Answer {
        let mut request = Request::get("/mcp?q=1").header("host", "evil.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        if let Some(certificate) = certificate {
            request.extensions_mut().insert(certificate);
        }
        let response = self.app.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenges = challenges.map(|value| value.to_str().unwrap().to_owned()).collect();
        let body = axum::body::to_bytes(response.into_body(), 65536).await.unwrap();
        Answer { status, challenges, body: serde_json::from_slice(&body).unwrap_or_default() }
    }
}

struct Answer {
    status: StatusCode,
    challenges: Vec<String>,
    body: Value,
}

impl Answer {
    #[track_caller]
    fn refused(&self, rule: &str) -> &str {
        assert_eq!((self.status, &self.body["rule"]), (StatusCode::UNAUTHORIZED, &json!(rule)));
        &self.challenges[0]
    }
}

impl Holder {
    fn proof(&self, jti: &str, htu: &str) -> String {
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.public().to_json()});
        let ath = URL_SAFE_NO_PAD.encode(Digest::of(self.token.as_bytes()).0);
        let claims = json!({"jti": jti, "htm": "GET", "htu": htu, "iat": NOW, "ath": ath});
        self.key.sign_under(&header.to_string(), claims.to_string().as_bytes()).unwrap()
    }

    fn under(&self, scheme: &str) -> String {
        format!("{scheme} {}", self.token)
    }
}

#[tokio::test]
async fn a_dpop_bound_token_opens_with_its_proof_once() {
    let world = world().await;
    let holder = world.bound_to_a_key();
    let (authorization, proof) = (holder.under("DPoP"), holder.proof("a", RESOURCE));
    let headers = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
    assert_eq!(world.send(&headers, None).await.status, StatusCode::OK);
    let again = world.send(&headers, None).await;
    assert_eq!(
        again.refused("dpop_proof_replayed"),
        "DPoP error=\"invalid_dpop_proof\", error_description=\"the DPoP proof was used before\", \
         algs=\"ES256 ES384 EdDSA PS256 RS256\", \
         resource_metadata=\"https://tickets.example.com/.well-known/oauth-protected-resource/mcp\", \
         scope=\"tickets.read\""
    );
    assert_eq!(again.body["error"], "invalid_dpop_proof");
    let (authorization, proof) = (holder.under("dpop"), holder.proof("b", RESOURCE));
    let headers = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
    assert_eq!(world.send(&headers, None).await.status, StatusCode::OK, "schemes have no case");
}

#[tokio::test]
async fn the_url_is_the_configured_one_whatever_the_host_header_says() {
    let world = world().await;
    let holder = world.bound_to_a_key();
    let authorization = holder.under("DPoP");
    for place in ["https://evil.example/mcp", "http://evil.example/mcp", "/mcp"] {
        let proof = holder.proof("a", place);
        let headers = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
        world.send(&headers, None).await.refused("dpop_uri_mismatch");
    }
    let build = |base: &str| {
        let config = Config::new("https://id.example.com", ResourceUri::parse(RESOURCE).unwrap());
        Enforcer::new(config.public_base(base))
    };
    assert!(build("https://tickets.example.com/behind").is_ok());
    for base in
        ["tickets.example.com", "", "https://tickets.example.com/", "https://a.example?x", "ftp://a.example"]
    {
        assert!(matches!(build(base), Err(ConfigError::PublicBase)), "{base}");
    }
}

#[tokio::test]
async fn a_dpop_bound_token_as_a_bearers_is_refused_with_both_challenges() {
    let world = world().await;
    let holder = world.bound_to_a_key();
    let (authorization, proof) = (holder.under("Bearer"), holder.proof("a", RESOURCE));
    for headers in [
        &[("authorization", authorization.as_str())][..],
        &[("authorization", authorization.as_str()), ("dpop", proof.as_str())],
    ] {
        let answer = world.send(headers, None).await;
        let challenge = answer.refused("key_binding_not_proven");
        assert!(
            challenge.starts_with("Bearer ") && challenge.contains("error=\"invalid_token\""),
            "{challenge}"
        );
        assert!(answer.challenges[1].starts_with("DPoP algs=\"ES256 "), "{:?}", answer.challenges);
        assert!(!answer.challenges[1].contains("error"), "{:?}", answer.challenges);
    }
}

#[tokio::test]
async fn a_bearer_token_under_the_scheme_dpop_is_refused() {
    let world = world().await;
    let mut holder = world.bound_to_a_key();
    world.answers(world.claims(), true);
    holder.token = KEY.sign("at+jwt", &world.claims()).unwrap();
    let (authorization, proof) = (holder.under("DPoP"), holder.proof("a", RESOURCE));
    let headers = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
    let answer = world.send(&headers, None).await;
    assert!(answer.refused("token_not_bound_to_a_key").starts_with("DPoP error=\"invalid_token\""));
}

#[tokio::test]
async fn there_is_one_proof_and_one_authorization() {
    let world = world().await;
    let holder = world.bound_to_a_key();
    let (dpop, bearer, proof) = (holder.under("DPoP"), holder.under("Bearer"), holder.proof("a", RESOURCE));
    let (dpop, bearer, proof) = (dpop.as_str(), bearer.as_str(), proof.as_str());
    world.send(&[("authorization", dpop)], None).await.refused("dpop_proof_missing");
    let twice = [("authorization", dpop), ("dpop", proof), ("DPoP", proof)];
    world.send(&twice, None).await.refused("dpop_proof_repeated");
    let both = [("authorization", bearer), ("authorization", dpop), ("dpop", proof)];
    assert_eq!(world.send(&both, None).await.status, StatusCode::BAD_REQUEST);
    let unreadable = [("authorization", dpop), ("dpop", "\u{e4}")];
    world.send(&unreadable, None).await.refused("dpop_proof_malformed");
    assert_eq!(world.issuer.bearers.load(Ordering::SeqCst), 0, "nobody was asked");
}

#[tokio::test]
async fn an_opaque_token_is_bound_as_its_introspection_says() {
    let world = world().await;
    let mut holder = world.bound_to_a_key();
    holder.token = "tp_opaque".into();
    let proof = holder.proof("a", RESOURCE);
    world.send(&[("authorization", "Bearer tp_opaque")], None).await.refused("key_binding_not_proven");
    let headers = [("authorization", "DPoP tp_opaque"), ("dpop", proof.as_str())];
    assert_eq!(world.send(&headers, None).await.status, StatusCode::OK);
    world.send(&headers, None).await.refused("dpop_proof_replayed");
}

#[tokio::test]
async fn a_certificate_bound_token_needs_its_certificate_and_no_header_stands_for_it() {
    let world = world().await;
    let thumbprint = URL_SAFE_NO_PAD.encode(CERTIFICATE.0.0);
    let holder = world.bound(|_| json!({"x5t#S256": thumbprint}));
    let authorization = holder.under("Bearer");
    let headers = [
        ("authorization", authorization.as_str()),
        ("x-client-cert-sha256", thumbprint.as_str()),
        ("x-forwarded-client-cert", "Hash=0707070707070707070707070707070707070707070707070707070707070707"),
        ("client-cert", ":BwcH:"),
    ];
    let challenge = world.send(&headers, None).await;
    assert!(challenge.refused("certificate_not_presented").contains("error=\"invalid_token\""));
    let other = ClientCertificate::of_der(b"another");
    world.send(&headers, Some(other)).await.refused("certificate_not_the_bound_one");
    assert_eq!(world.send(&headers, Some(CERTIFICATE)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_that_is_bound_twice_needs_both() {
    let world = world().await;
    let thumbprint = URL_SAFE_NO_PAD.encode(CERTIFICATE.0.0);
    let holder = world.bound(|key| json!({"jkt": key.public().thumbprint(), "x5t#S256": thumbprint}));
    let (dpop, bearer, proof) = (holder.under("DPoP"), holder.under("Bearer"), holder.proof("a", RESOURCE));
    let with_proof = [("authorization", dpop.as_str()), ("dpop", proof.as_str())];
    world.send(&with_proof, None).await.refused("certificate_not_presented");
    let without = [("authorization", bearer.as_str())];
    world.send(&without, Some(CERTIFICATE)).await.refused("key_binding_not_proven");
    assert_eq!(world.send(&with_proof, Some(CERTIFICATE)).await.status, StatusCode::OK);
}
