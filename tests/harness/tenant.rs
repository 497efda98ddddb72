//! One tenant as the outside sees it: its issuer, and everybody's keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};
use taskpass::domain::user::{upstream_session_id, user_id};
use taskpass::entropy::Entropy;
use taskpass::protocol::token_type::{CLIENT_CREDENTIALS, JWT_BEARER, JWT_SPIFFE, TOKEN_EXCHANGE, TokenType};
use taskpass::time::{Clock, Timestamp};

use super::{CORP, Form, Key, NAMES, Reply, TICKETS};

/// A tenant, and what one needs to talk to it.
pub(crate) struct Tenant {
    pub(crate) name: &'static str,
    pub(crate) issuer: String,
    pub(crate) clock: Clock,
    pub(crate) http: reqwest::Client,
    /// Every credential that came by: none may stand in an audit row.
    pub(crate) secrets: Arc<Mutex<Vec<String>>>,
    keys: BTreeMap<&'static str, Key>,
    entropy: Entropy,
}

impl Tenant {
    pub(crate) fn new(name: &'static str, issuer: String, clock: Clock, http: reqwest::Client) -> Self {
        let keys = NAMES.into_iter().map(|name| (name, Key::generate())).collect();
        Self { name, issuer, clock, http, secrets: Arc::default(), keys, entropy: Entropy::default() }
    }

    // --- Who says what ---------------------------------------------------------------------------------------

    pub(crate) fn now(&self) -> i64 {
        self.clock.now().0
    }

    pub(crate) fn key(&self, name: &str) -> &Key {
        &self.keys[name]
    }

    /// A name that was never used before.
    pub(crate) fn unique(&self, prefix: &str) -> String {
        self.entropy.ordered_id(prefix, Timestamp(self.now()))
    }

    /// The `sub` of a person of the company.
    pub(crate) fn person(&self, subject: &str) -> String {
        user_id(self.name, CORP, subject)
    }

    /// The `sid` of a person's session at the company.
    pub(crate) fn session(&self, subject: &str) -> String {
        upstream_session_id(self.name, CORP, &format!("session-of-{subject}"))
    }

    /// The claims of a client assertion.
    pub(crate) fn assertion_claims(&self, client: &str) -> Value {
        json!({ "iss": client, "sub": client, "aud": self.issuer, "jti": self.unique("asr"), "iat": self.now(),
            "exp": self.now() + 60 })
    }

    /// A client assertion with these claims.
    pub(crate) fn assert(&self, client: &str, claims: &Value) -> String {
        self.key(client).sign("client-authentication+jwt", claims)
    }

    /// A proper client assertion.
    pub(crate) fn assertion(&self, client: &str) -> String {
        self.assert(client, &self.assertion_claims(client))
    }

    /// The claims of an ID token of the company for `client`.
    pub(crate) fn id_claims(&self, subject: &str, client: &str) -> Value {
        json!({ "iss": CORP, "sub": subject, "aud": client, "iat": self.now(), "exp": self.now() + 600,
            "sid": format!("session-of-{subject}") })
    }

    /// A proper ID token.
    pub(crate) fn id_token(&self, subject: &str, client: &str) -> String {
        self.key("corp").sign("JWT", &self.id_claims(subject, client))
    }

    /// The claims of a JWT-SVID of an agent.
    pub(crate) fn svid_claims(&self, agent: &str) -> Value {
        json!({ "sub": format!("spiffe://demo.example/agent/{agent}"), "aud": [self.issuer], "iat": self.now(),
            "exp": self.now() + 300 })
    }

    /// A proper JWT-SVID.
    pub(crate) fn svid(&self, agent: &str) -> String {
        self.key("spire").sign("JWT", &self.svid_claims(agent))
    }

    // --- Requests --------------------------------------------------------------------------------------------

    /// A form for the endpoint at `path`, without anything in it.
    pub(crate) fn bare(&self, path: &str) -> Form {
        Form::new(self.name, format!("{}{path}", self.issuer))
    }

    /// A form that authenticates `client`.
    pub(crate) fn form(&self, path: &str, client: &str) -> Form {
        self.bare(path)
            .add("client_assertion_type", JWT_BEARER)
            .add("client_assertion", self.assertion(client))
    }

    /// A form that authenticates an agent by this JWT-SVID.
    pub(crate) fn by_svid(&self, form: &Form, svid: &str) -> Form {
        form.clone().set("client_assertion_type", JWT_SPIFFE).set("client_assertion", svid)
    }

    /// The same request again: with an assertion of its own.
    pub(crate) fn again(&self, form: &Form, client: &str) -> Form {
        form.clone().set("client_assertion", self.assertion(client))
    }

    /// An exchange by `client` for the tickets server.
    pub(crate) fn exchange(&self, client: &str, token: &str, kind: TokenType) -> Form {
        self.form("/oauth/token", client)
            .add("grant_type", TOKEN_EXCHANGE)
            .add("subject_token", token)
            .add("subject_token_type", kind.as_str())
            .add("resource", TICKETS)
    }

    /// An exchange by `client` for a person who signed in to it.
    pub(crate) fn for_person(&self, client: &str, subject: &str) -> Form {
        self.exchange(client, &self.id_token(subject, client), TokenType::IdToken)
    }

    /// An exchange of one of our own tokens.
    pub(crate) fn onward(&self, client: &str, token: &str) -> Form {
        self.exchange(client, token, TokenType::AccessToken)
    }

    /// A request by `client` for itself.
    pub(crate) fn for_itself(&self, client: &str, resource: &str) -> Form {
        self.form("/oauth/token", client).add("grant_type", CLIENT_CREDENTIALS).add("resource", resource)
    }

    /// A token of the triage agent, in Alice's name, for reading tickets.
    pub(crate) async fn alices(&self) -> String {
        self.post(&self.for_person("triage", "alice").add("scope", "tickets.read")).await.ok().token()
    }

    /// Posts a form.
    pub(crate) async fn post(&self, form: &Form) -> Reply {
        let mut request = self.http.post(&form.url).body(form.body());
        request = request.header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in &form.headers {
            request = request.header(*name, value);
        }
        let reply = Reply::read(request.send().await.unwrap()).await;
        let mut secrets = self.secrets.lock().unwrap();
        let carries = [
            "client_assertion",
            "assertion",
            "subject_token",
            "actor_token",
            "token",
            "code",
            "code_verifier",
            "refresh_token",
        ];
        let sent = form.pairs.iter().filter(|(name, _)| carries.contains(&name.as_str()));
        secrets.extend(sent.map(|(_, value)| value.clone()).filter(|value| value.len() > 40));
        secrets.extend(reply.json["access_token"].as_str().map(str::to_owned));
        secrets.extend(reply.json["refresh_token"].as_str().map(str::to_owned));
        reply
    }

    /// Posts these forms at the same time.
    pub(crate) async fn post_all(&self, forms: Vec<Form>) -> Vec<Reply> {
        let mut running = tokio::task::JoinSet::new();
        for form in forms {
            let request = self.http.post(&form.url).body(form.body());
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            running.spawn(async move { Reply::read(request.send().await.unwrap()).await });
        }
        running.join_all().await
    }

    /// Sends a request again and again, many at once, until it is limited. The statuses of the answers.
    pub(crate) async fn flood(&self, request: impl Fn() -> reqwest::RequestBuilder) -> Vec<u16> {
        let mut statuses = Vec::new();
        while statuses.len() < 20_000 && !statuses.contains(&429) {
            let mut running = tokio::task::JoinSet::new();
            for _ in 0..200 {
                let sent = request().send();
                running.spawn(async move { sent.await.unwrap().status().as_u16() });
            }
            statuses.extend(running.join_all().await);
        }
        statuses
    }

    /// Introspects as an enforcer.
    pub(crate) async fn introspect(&self, enforcer: &str, token: &str) -> Reply {
        self.post(&self.form("/oauth/introspect", enforcer).add("token", token)).await
    }

    /// Whether the tickets server's guard would take the token.
    pub(crate) async fn is_active(&self, token: &str) -> bool {
        self.introspect("tickets-guard", token).await.is_active()
    }

    /// Revokes as a client.
    pub(crate) async fn revoke(&self, client: &str, token: &str) -> Reply {
        self.post(&self.form("/oauth/revoke", client).add("token", token)).await
    }

    // --- Administration --------------------------------------------------------------------------------------

    /// A token for the administrative API.
    pub(crate) async fn admin_token(&self, client: &str) -> String {
        self.post(&self.for_itself(client, &format!("{}/admin/v1", self.issuer))).await.ok().token()
    }

    /// A request to the administrative API.
    pub(crate) async fn call(&self, token: &str, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let mut request =
            self.http.request(method, format!("{}/admin/v1{path}", self.issuer)).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        Reply::read(request.send().await.unwrap()).await
    }

    /// A request by the administrator.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        self.call(&self.admin_token("admin").await, method, path, body).await
    }

    /// Cuts something.
    pub(crate) async fn cut(&self, kind: &str, id: impl Into<Value>) -> Reply {
        let body = json!({ "scope_kind": kind, "scope_id": id.into(), "reason": "a test" });
        self.admin(Method::POST, "/revocations", Some(&body)).await
    }

    /// Lets something live again.
    pub(crate) async fn reinstate(&self, kind: &str, id: &str) -> Reply {
        let body = json!({ "scope_kind": kind, "scope_id": id, "reason": "a test" });
        self.admin(Method::POST, "/reinstatements", Some(&body)).await
    }

    /// Changes registry entries: `{"agents": […]}` and so on.
    pub(crate) async fn apply(&self, mut section: Value) -> Reply {
        section["tenant"] = json!(self.name);
        self.admin(Method::PUT, "/registry", Some(&section)).await
    }

    /// Any path of this tenant.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        Reply::read(self.http.get(format!("{}{path}", self.issuer)).send().await.unwrap()).await
    }
}
