//! The small world that is measured: one upstream identity provider, one agent, one resource, one enforcer, and the
//! requests that they send.

use std::io::IsTerminal as _;

use serde_json::{Value, json};
use url::form_urlencoded;

use super::load::Request;
use crate::cli::error::CliError;
use crate::enforcer::Credentials;
use crate::entropy::Entropy;
use crate::jose::{Algorithm, PrivateJwk, PublicJwk, SigningKey};
use crate::protocol::resource::ResourceUri;
use crate::protocol::token_type::{CLIENT_CREDENTIALS, JWT_BEARER};
use crate::time::Clock;

/// The agent.
const AGENT: &str = "bench-agent";
/// The enforcer.
pub(super) const ENFORCER: &str = "bench-guard";
/// The administrator.
const ADMINISTRATOR: &str = "bench-admin";
/// The one resource.
const RESOURCE: &str = "https://tickets.bench.example/mcp";
/// The upstream identity provider.
const UPSTREAM: &str = "https://idp.bench.example";
/// How many people there are.
const USERS: u64 = 1000;
/// Lifetime of a client assertion in seconds: below the 300 that the server takes, by what clocks may differ.
const ASSERTION_SECONDS: i64 = 290;
/// Lifetime of an upstream token in seconds.
const SUBJECT_SECONDS: i64 = 3600;

/// A signing key and its public half.
pub(super) struct Key {
    /// Signs.
    pub(super) signing: SigningKey,
    /// Verifies.
    pub(super) public: PublicJwk,
    private: PrivateJwk,
}

impl Key {
    /// A fresh key.
    pub(super) fn generate() -> Result<Self, CliError> {
        let refused = |error| CliError::new(format!("no key could be made: {error}"));
        let private = PrivateJwk::generate(Algorithm::ES256).map_err(refused)?;
        let signing = private.signing_key().map_err(refused)?;
        Ok(Self { public: signing.public().clone(), signing, private })
    }

    /// Its public half as a JWK set.
    pub(super) fn set(&self) -> Value {
        json!({ "keys": [self.public.to_json()] })
    }

    /// Signs claims as a JWT of this type.
    pub(super) fn sign(&self, typ: &str, claims: &impl serde::Serialize) -> Result<String, CliError> {
        self.signing.sign(typ, claims).map_err(|error| CliError::new(format!("no signature: {error}")))
    }
}

/// Who takes part, with their keys. The identity provider exists only as a key.
pub(super) struct World {
    /// The agent's key.
    pub(super) agent: Key,
    /// The identity provider's key.
    pub(super) upstream: Key,
    enforcer: Key,
    administrator: Key,
    entropy: Entropy,
    clock: Clock,
    resource: ResourceUri,
    /// Whether tokens carry `authorization_details`.
    details: bool,
}

impl World {
    /// A world with fresh keys.
    pub(super) fn new(details: bool) -> Result<Self, CliError> {
        Ok(Self {
            agent: Key::generate()?,
            upstream: Key::generate()?,
            enforcer: Key::generate()?,
            administrator: Key::generate()?,
            entropy: Entropy::default(),
            clock: Clock::default(),
            resource: ResourceUri::parse(RESOURCE).map_err(|error| CliError::new(error.to_string()))?,
            details,
        })
    }

    /// Its registry document; JSON, and so YAML too.
    pub(super) fn registry(&self) -> Value {
        let details = if self.details { details() } else { json!([]) };
        let detail_types = if self.details { json!(["mcp_tool_call"]) } else { json!([]) };
        json!({ "version": 1, "tenants": [{
            "tenant": "main",
            "identity_providers": [
                { "id": "bench", "issuer": UPSTREAM, "jwks": self.upstream.set(), "groups_claim": "groups" }
            ],
            "resources": [{
                "resource": RESOURCE, "name": "Tickets", "owner": "bench@bench.example", "data_class": "internal",
                "scopes": ["tickets.read"], "detail_types": detail_types,
                "tools": [{ "name": "search_tickets", "impact": "read" }],
                // As long as may be, so that the tokens of a large run are all alive at its end.
                "token": { "format": "jwt", "alg": "ES256", "lifetime_seconds": 300 },
            }],
            "agents": [{
                "agent": AGENT, "name": "Bench agent", "owner": "bench@bench.example", "purpose": "measures",
                "tier": 1, "environment": "test", "identities": [{ "jwks": self.agent.set() }],
                "ceiling": [
                    { "resource": RESOURCE, "scopes": ["tickets.read"], "authorization_details": details }
                ],
            }],
            "enforcers": [{
                "enforcer": ENFORCER, "resources": [RESOURCE], "identities": [{ "jwks": self.enforcer.set() }]
            }],
            "clients": [{
                "client": ADMINISTRATOR, "identities": [{ "jwks": self.administrator.set() }],
                "administrator": ["revoke"],
            }],
            "consents": [{
                "consent": "bench", "group": { "issuer": UPSTREAM, "group": "bench" }, "agent": AGENT,
                "resource": RESOURCE, "scopes": ["tickets.read"], "authorization_details": details,
                "expires_at": self.clock.now().plus(24 * 3600),
            }],
        }]})
    }

    /// The one resource.
    pub(super) fn resource(&self) -> ResourceUri {
        self.resource.clone()
    }

    /// The enforcer's identity.
    pub(super) fn enforcer_credentials(&self, issuer: &str) -> Credentials {
        Credentials::new(issuer, ENFORCER, self.enforcer.signing.clone())
    }

    /// The administrator's request for a token.
    pub(super) fn administrator_form(&self, issuer: &str) -> Result<String, CliError> {
        let assertion = self.assertion(ADMINISTRATOR, &self.administrator, issuer)?;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", CLIENT_CREDENTIALS)
            .append_pair("resource", &format!("{issuer}/admin/v1"))
            .append_pair("client_assertion_type", JWT_BEARER)
            .append_pair("client_assertion", &assertion);
        Ok(form.finish())
    }

    /// A `private_key_jwt` client assertion (RFC 7523 §3, RFC 10070) of the agent, never used before.
    pub(super) fn client_assertion(&self, issuer: &str) -> Result<String, CliError> {
        self.assertion(AGENT, &self.agent, issuer)
    }

    fn assertion(&self, client: &str, key: &Key, issuer: &str) -> Result<String, CliError> {
        let now = self.clock.now();
        let claims = json!({
            "iss": client, "sub": client, "aud": issuer, "jti": self.entropy.ordered_id("asr", now),
            "iat": now, "exp": now.plus(ASSERTION_SECONDS),
        });
        key.sign("client-authentication+jwt", &claims)
    }

    /// The ID token of the person with this number, as the identity provider issues it to the agent.
    pub(super) fn subject_token(&self, number: u64) -> Result<String, CliError> {
        let now = self.clock.now();
        let claims = json!({
            "iss": UPSTREAM, "sub": format!("person-{}", number % USERS), "aud": AGENT,
            "jti": self.entropy.ordered_id("idt", now), "iat": now, "exp": now.plus(SUBJECT_SECONDS),
            "groups": ["bench"],
        });
        self.upstream.sign("JWT", &claims)
    }

    /// The claims of an access token as the server mints it: what the price of a signature is measured on.
    pub(super) fn access_token_claims(&self, issuer: &str) -> Value {
        let now = self.clock.now();
        let id = |prefix| self.entropy.ordered_id(prefix, now);
        let mut claims = json!({
            "iss": issuer, "aud": RESOURCE, "sub": id("usr"), "exp": now.plus(300), "iat": now, "jti": id("tok"),
            "client_id": AGENT, "act": { "sub": AGENT }, "scope": "tickets.read", "task": id("tsk"),
            "rev": "abcdefgh.1", "consent": "bench", "tenant": "main",
        });
        if self.details {
            claims["authorization_details"] = details();
        }
        claims
    }

    /// `count` token exchanges (RFC 8693 §2.1) with unique client assertions and subject tokens, signed on all
    /// processors; progress goes to standard error.
    pub(super) fn exchanges(&self, issuer: &str, count: usize) -> Result<Vec<Request>, CliError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let part = count.div_ceil(threads);
        let parts = std::thread::scope(|scope| {
            let sign = |thread: usize| {
                let numbers = (thread * part).min(count)..((thread + 1) * part).min(count);
                scope.spawn(move || self.some_exchanges(issuer, numbers, count))
            };
            let running: Vec<_> = (0..threads).map(sign).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|_| Err(CliError::new("a signing thread panicked")))
            };
            running.into_iter().map(join).collect::<Result<Vec<_>, CliError>>()
        })?;
        Ok(parts.into_iter().flatten().collect())
    }

    fn some_exchanges(
        &self,
        issuer: &str,
        numbers: std::ops::Range<usize>,
        of: usize,
    ) -> Result<Vec<Request>, CliError> {
        // The first part speaks for all: they are equally long.
        let mut progress = Progress::new("signing", numbers.len(), numbers.start == 0 && of >= 10_000, of);
        let prefix = self.exchange_prefix();
        let mut requests = Vec::with_capacity(numbers.len());
        for number in numbers {
            let subject_token = self.subject_token(u64::try_from(number).unwrap_or(0))?;
            let client_assertion = self.client_assertion(issuer)?;
            let body = format!("{prefix}&subject_token={subject_token}&client_assertion={client_assertion}");
            requests.push(post(issuer, "/oauth/token", None, &body));
            progress.step();
        }
        Ok(requests)
    }

    fn exchange_prefix(&self) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
        form.append_pair("subject_token_type", "urn:ietf:params:oauth:token-type:id_token");
        form.append_pair("resource", RESOURCE);
        form.append_pair("scope", "tickets.read");
        if self.details {
            form.append_pair("authorization_details", &details().to_string());
        }
        form.append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        form.finish()
    }

    /// The enforcer's private key file.
    pub(super) fn enforcer_file(&self, issuer: &str) -> String {
        let private = self.enforcer.private.to_text();
        format!(r#"{{"issuer":"{issuer}","client_id":"{ENFORCER}","private_jwk":{}}}"#, *private)
    }

    /// The enforcer's request for the token with which it introspects (RFC 6749 §4.4).
    pub(super) fn introspection_bearer(&self, issuer: &str) -> Result<Request, CliError> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        form.append_pair("resource", &format!("{issuer}/oauth/introspect"));
        form.append_pair("scope", "introspect");
        form.append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        form.append_pair("client_assertion", &self.assertion(ENFORCER, &self.enforcer, issuer)?);
        Ok(post(issuer, "/oauth/token", None, &form.finish()))
    }
}

/// What the bench's tokens allow when they carry details.
fn details() -> Value {
    json!([{
        "type": "mcp_tool_call", "locations": [RESOURCE],
        "tools": [{ "name": "search_tickets", "arguments": { "/limit": { "maximum": 50 } } }],
    }])
}

/// An introspection request (RFC 7662 §2.1) by a caller with `bearer`.
pub(super) fn introspection(issuer: &str, bearer: &str, token: &str) -> Request {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("token", token);
    post(issuer, "/oauth/introspect", Some(bearer), &form.finish())
}

/// A request without a body.
pub(super) fn get(issuer: &str, path: &str) -> Request {
    format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", host(issuer)).into_bytes().into()
}

fn post(issuer: &str, path: &str, bearer: Option<&str>, body: &str) -> Request {
    let authorization = bearer.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let (host, length) = (host(issuer), body.len());
    let kind = "application/x-www-form-urlencoded";
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
    .into()
}

fn host(issuer: &str) -> &str {
    issuer.trim_start_matches("http://")
}

/// Progress on standard error: in place on a terminal, a line per quarter elsewhere.
struct Progress {
    what: &'static str,
    done: usize,
    steps: usize,
    percent: usize,
    shown: bool,
    of: usize,
    terminal: bool,
}

impl Progress {
    fn new(what: &'static str, steps: usize, shown: bool, of: usize) -> Self {
        Self { what, done: 0, steps, percent: 0, shown, of, terminal: std::io::stderr().is_terminal() }
    }

    fn step(&mut self) {
        self.done += 1;
        let percent = self.done * 100 / self.steps.max(1);
        let stride = if self.terminal { 1 } else { 25 };
        if !self.shown || percent < self.percent + stride {
            return;
        }
        self.percent = percent - percent % stride;
        let (what, of, percent) = (self.what, self.of, self.percent);
        match (self.terminal, percent) {
            (true, 100) => eprintln!("\r{what} {of} requests: 100%"),
            (true, _) => eprint!("\r{what} {of} requests: {percent:3}%"),
            (false, _) => eprintln!("{what} {of} requests: {percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::jose::{JwkSet, Unverified};

    const ISSUER: &str = "http://127.0.0.1:8080";

    fn body(request: &[u8]) -> Vec<(String, String)> {
        let text = str::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        form_urlencoded::parse(body.as_bytes()).into_owned().collect()
    }

    fn field<'a>(form: &'a [(String, String)], name: &str) -> &'a str {
        &form.iter().find(|(key, _)| key == name).unwrap().1
    }

    fn claims(token: &str, key: &Key) -> Value {
        let unverified = Unverified::parse(token).unwrap();
        serde_json::from_slice(unverified.verify(&JwkSet::of(key.public.clone())).unwrap()).unwrap()
    }

    #[test]
    fn every_exchange_has_its_own_assertion_and_subject_token() {
        let world = World::new(true).unwrap();
        let requests = world.exchanges(ISSUER, 7).unwrap();
        assert_eq!(requests.len(), 7);
        let (mut ids, mut people) = (HashSet::new(), HashSet::new());
        for request in &requests {
            let form = body(request);
            assert_eq!(field(&form, "resource"), RESOURCE);
            assert_eq!(
                serde_json::from_str::<Value>(field(&form, "authorization_details")).unwrap(),
                details()
            );
            let assertion = claims(field(&form, "client_assertion"), &world.agent);
            assert_eq!(assertion["aud"], ISSUER);
            assert_eq!(assertion["iss"], assertion["sub"]);
            assert!(assertion["exp"].as_i64().unwrap() - assertion["iat"].as_i64().unwrap() <= 300);
            let subject = claims(field(&form, "subject_token"), &world.upstream);
            assert_eq!(subject["aud"], AGENT);
            ids.insert(assertion["jti"].to_string());
            ids.insert(subject["jti"].to_string());
            people.insert(subject["sub"].to_string());
        }
        assert_eq!((ids.len(), people.len()), (14, 7));
    }

    #[test]
    fn the_registry_publishes_no_private_key() {
        let registry = World::new(false).unwrap().registry();
        let tenant = &registry["tenants"][0];
        for keys in [&tenant["identity_providers"][0]["jwks"], &tenant["agents"][0]["identities"][0]["jwks"]]
        {
            JwkSet::parse(keys).unwrap();
        }
        assert!(!registry.to_string().contains("\"d\":"));
    }

    #[test]
    fn the_enforcer_asks_for_the_introspection_resource() {
        let world = World::new(false).unwrap();
        let form = body(&world.introspection_bearer(ISSUER).unwrap());
        assert_eq!(field(&form, "resource"), "http://127.0.0.1:8080/oauth/introspect");
        assert_eq!(claims(field(&form, "client_assertion"), &world.enforcer)["sub"], ENFORCER);
        let request = introspection(ISSUER, "b", "t");
        assert!(str::from_utf8(&request).unwrap().contains("\r\nAuthorization: Bearer b\r\n"));
        assert!(get(ISSUER, "/readyz").starts_with(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"));
    }
}
