//! The world that the servers serve, with the keys of everybody in it, and the requests that they send.

use serde_json::{Value, json};
use taskpass::entropy::Entropy;
use taskpass::jose::{Algorithm, PrivateJwk, SigningKey};
use taskpass::time::Clock;
use url::form_urlencoded;

use crate::wire::{Answer, Connection};

pub(crate) const RESOURCE: &str = "https://tickets.example.com/mcp";
const UPSTREAM: &str = "https://idp.example.com";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

pub(crate) const ADMINISTRATOR: &str = "ops";
pub(crate) const ENFORCER: &str = "tickets-guard";
/// Agents that work without trouble.
pub(crate) const AGENTS: [&str; 4] = ["triage", "summarizer", "planner", "archivist"];
/// The agent that is suspended again and again.
pub(crate) const SUSPECT: &str = "suspect";

/// Everybody's keys. Who is who: each has one, in the order of [`clients`].
pub(crate) struct World {
    pub(crate) issuer: String,
    keys: Vec<(&'static str, SigningKey)>,
    /// The enforcer's own key, for its key file.
    enforcer: PrivateJwk,
    upstream: SigningKey,
    entropy: Entropy,
    clock: Clock,
}

fn clients() -> impl Iterator<Item = &'static str> {
    AGENTS.into_iter().chain([SUSPECT, ADMINISTRATOR, ENFORCER])
}

fn new_key() -> SigningKey {
    PrivateJwk::generate(Algorithm::ES256).unwrap().signing_key().unwrap()
}

fn set(key: &SigningKey) -> Value {
    json!({ "keys": [key.public().to_json()] })
}

impl World {
    pub(crate) fn new(issuer: String) -> Self {
        let enforcer = PrivateJwk::generate(Algorithm::ES256).unwrap();
        let key = |client| match client {
            ENFORCER => enforcer.signing_key().unwrap(),
            _ => new_key(),
        };
        let keys = clients().map(|client| (client, key(client))).collect();
        Self {
            issuer,
            keys,
            enforcer,
            upstream: new_key(),
            entropy: Entropy::default(),
            clock: Clock::default(),
        }
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now().0
    }

    pub(crate) fn id(&self, prefix: &str) -> String {
        self.entropy.ordered_id(prefix, self.clock.now())
    }

    /// A number below `below`.
    pub(crate) fn random(&self, below: u64) -> u64 {
        u64::from_le_bytes(self.entropy.bytes()) % below.max(1)
    }

    /// The enforcer's private key file.
    pub(crate) fn key_file(&self) -> String {
        let key: Value = serde_json::from_str(&self.enforcer.to_text()).unwrap();
        json!({ "issuer": self.issuer, "client_id": ENFORCER, "private_jwk": key }).to_string()
    }

    fn key(&self, client: &str) -> &SigningKey {
        &self.keys.iter().find(|(name, _)| *name == client).unwrap().1
    }

    /// Its registry document; JSON, and so YAML too.
    pub(crate) fn registry(&self) -> Value {
        let agents: Vec<_> = AGENTS.into_iter().chain([SUSPECT]).map(|agent| self.agent(agent)).collect();
        let consents: Vec<_> = AGENTS
            .into_iter()
            .chain([SUSPECT])
            .map(|agent| {
                json!({
                    "consent": format!("{agent}-staff"), "group": { "issuer": UPSTREAM, "group": "staff" }, "agent": agent,
                    "resource": RESOURCE, "scopes": ["tickets.read"], "expires_at": self.now() + 86_400,
                })
            })
            .collect();
        json!({ "version": 1, "tenants": [{
            "tenant": "main",
            "identity_providers": [
                { "id": "corp", "issuer": UPSTREAM, "jwks": set(&self.upstream), "groups_claim": "groups" }
            ],
            "resources": [{
                "resource": RESOURCE, "name": "Tickets", "owner": "alice@example.com", "data_class": "internal",
                "scopes": ["tickets.read"], "tools": [{ "name": "search_tickets", "impact": "read" }],
                "token": { "format": "jwt", "alg": "ES256", "lifetime_seconds": 300 },
            }],
            "agents": agents,
            "clients": [{
                "client": ADMINISTRATOR, "name": "Operations", "identities": [{ "jwks": set(self.key(ADMINISTRATOR)) }],
                "administrator": ["registry:read", "registry:write", "revoke", "explain", "audit:read"],
            }],
            "enforcers": [{
                "enforcer": ENFORCER, "resources": [RESOURCE], "identities": [{ "jwks": set(self.key(ENFORCER)) }]
            }],
            "consents": consents,
        }]})
    }

    fn agent(&self, agent: &str) -> Value {
        json!({
            "agent": agent, "name": agent, "owner": "alice@example.com", "purpose": "is tested", "tier": 1,
            "environment": "test", "identities": [{ "jwks": set(self.key(agent)) }],
            "ceiling": [{ "resource": RESOURCE, "scopes": ["tickets.read"] }],
        })
    }

    /// A `private_key_jwt` assertion (RFC 7523 §3, RFC 10070), never used before.
    pub(crate) fn assertion(&self, client: &str) -> String {
        let now = self.now();
        let claims = json!({
            "iss": client, "sub": client, "aud": self.issuer, "jti": self.id("asr"), "iat": now, "exp": now + 290,
        });
        self.key(client).sign("client-authentication+jwt", &claims).unwrap()
    }

    /// The ID token of somebody, for `agent`.
    fn id_token(&self, agent: &str) -> String {
        let now = self.now();
        let claims = json!({
            "iss": UPSTREAM, "sub": format!("person-{}", self.random(50)), "aud": agent, "jti": self.id("idt"),
            "iat": now, "exp": now + 3600, "groups": ["staff"],
        });
        self.upstream.sign("JWT", &claims).unwrap()
    }

    /// A client credentials request (RFC 6749 §4.4) of an agent, with this assertion.
    pub(crate) fn client_credentials(&self, assertion: &str) -> Vec<u8> {
        let form = [("grant_type", "client_credentials"), ("resource", RESOURCE), ("scope", "tickets.read")];
        self.form("/oauth/token", None, &form, Some(assertion))
    }

    /// A token exchange (RFC 8693 §2.1) of `agent` for somebody, with this assertion.
    pub(crate) fn exchange(&self, agent: &str, assertion: &str) -> Vec<u8> {
        let subject = self.id_token(agent);
        let form = [
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", &subject),
            ("subject_token_type", ID_TOKEN),
            ("resource", RESOURCE),
            ("scope", "tickets.read"),
        ];
        self.form("/oauth/token", None, &form, Some(assertion))
    }

    /// A request of the administrator or the enforcer for the token with which it calls the server.
    pub(crate) fn own_token(&self, client: &str, assertion: &str) -> Vec<u8> {
        let path = if client == ENFORCER { "oauth/introspect" } else { "admin/v1" };
        let resource = format!("{}/{path}", self.issuer);
        let form = [("grant_type", "client_credentials"), ("resource", &resource)];
        self.form("/oauth/token", None, &form, Some(assertion))
    }

    /// An introspection (RFC 7662 §2.1), with a bearer token or with the enforcer's assertion.
    pub(crate) fn introspection(
        &self,
        token: &str,
        bearer: Option<&str>,
        assertion: Option<&str>,
    ) -> Vec<u8> {
        self.form("/oauth/introspect", bearer, &[("token", token)], assertion)
    }

    /// A holder's revocation (RFC 7009 §2.1).
    pub(crate) fn hand_back(&self, token: &str, assertion: &str) -> Vec<u8> {
        self.form("/oauth/revoke", None, &[("token", token)], Some(assertion))
    }

    /// A request to `/admin/v1`; without a body it is a GET.
    pub(crate) fn admin(&self, path: &str, bearer: &str, body: Option<&Value>) -> Vec<u8> {
        let body = body.map(Value::to_string);
        let method = if body.is_some() { "POST" } else { "GET" };
        self.request(
            method,
            &format!("/admin/v1{path}"),
            Some(bearer),
            ("application/json", &body.unwrap_or_default()),
        )
    }

    pub(crate) fn revocation(&self, bearer: &str, kind: &str, id: &str) -> Vec<u8> {
        let body = json!({ "scope_kind": kind, "scope_id": id, "reason": "a test" });
        self.admin("/revocations", bearer, Some(&body))
    }

    pub(crate) fn reinstatement(&self, bearer: &str, agent: &str) -> Vec<u8> {
        let body = json!({ "scope_kind": "agent", "scope_id": agent, "reason": "a test" });
        self.admin("/reinstatements", bearer, Some(&body))
    }

    fn form(
        &self,
        path: &str,
        bearer: Option<&str>,
        fields: &[(&str, &str)],
        assertion: Option<&str>,
    ) -> Vec<u8> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        if let Some(assertion) = assertion {
            form.append_pair("client_assertion_type", JWT_BEARER).append_pair("client_assertion", assertion);
        }
        self.request("POST", path, bearer, ("application/x-www-form-urlencoded", &form.finish()))
    }

    fn request(&self, method: &str, path: &str, bearer: Option<&str>, (kind, body): (&str, &str)) -> Vec<u8> {
        let host = self.issuer.trim_start_matches("http://");
        let authorization =
            bearer.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let length = body.len();
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// The administrator's or the enforcer's own token, renewed before it expires.
pub(crate) struct Bearer {
    client: &'static str,
    token: String,
    renew_at: i64,
}

impl Bearer {
    pub(crate) fn of(client: &'static str) -> Self {
        Self { client, token: String::new(), renew_at: 0 }
    }

    pub(crate) fn get(&mut self, world: &World, connection: &mut Connection) -> std::io::Result<&str> {
        if world.now() >= self.renew_at {
            let answer = connection.ask(&world.own_token(self.client, &world.assertion(self.client)))?;
            self.token = answer.token().unwrap_or_else(|| panic!("{} got no token: {answer:?}", self.client));
            self.renew_at = world.now() + 120;
        }
        Ok(&self.token)
    }
}

/// A token that a server handed out.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) token: String,
    pub(crate) jti: String,
    pub(crate) task: String,
    /// The revocation log under which it was minted, and up to where that was known.
    pub(crate) log: String,
    pub(crate) seq: u64,
    pub(crate) exp: i64,
}

impl Issued {
    pub(crate) fn read(answer: &Answer) -> Option<Self> {
        use base64::Engine as _;
        let token = answer.token()?;
        let payload = token.split('.').nth(1).unwrap();
        let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
        let claims: Value = serde_json::from_slice(&payload).unwrap();
        let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
        let rev = text("rev");
        let (log, seq) = rev.rsplit_once('.').unwrap();
        let (log, seq, exp) = (log.to_owned(), seq.parse().unwrap(), claims["exp"].as_i64().unwrap());
        Some(Self { jti: text("jti"), task: text("task"), log, seq, exp, token })
    }
}
