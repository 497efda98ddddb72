//! Keys that are published elsewhere, over real TLS: an identity provider's `jwks_uri`, an agent's, and a SPIFFE bundle
//! endpoint. Whatever is wrong with the site, nothing is issued, and the others keep their service.

use std::time::Duration;

use serde_json::{Value, json};
use taskpass::protocol::token_type::TokenType;

use crate::harness::{Form, Site, TICKETS, World, assert_refused, on_both_engines};

on_both_engines!(
    an_identity_provider_publishes_its_keys,
    an_agent_publishes_its_keys,
    a_trust_domain_publishes_its_bundle,
    refuses_places_that_must_not_be_called,
);

/// Everything that a site can do wrong.
const WRONG: [&str; 6] = ["/redirect", "/missing", "/large", "/html", "/cut", "/slow"];

/// Lets the server reach this machine, and trust the site's certificate.
async fn trust(world: &mut World, site: &Site) {
    world.config.ca_file = Some(site.write_ca(world.folder()));
    world.config.allow_networks = vec!["127.0.0.0/8".parse().unwrap()];
    world.restart().await;
}

fn issuer(path: &str) -> String {
    format!("https://idp.example{path}")
}

/// An identity provider, with Alice's consent for the triage agent.
fn provider(path: &str, url: &str) -> (Value, Value) {
    let name = path.trim_start_matches('/');
    (
        json!({ "id": name, "issuer": issuer(path), "jwks_uri": url }),
        json!({ "consent": format!("alice-{name}"), "user": { "issuer": issuer(path), "subject": "alice" },
            "agent": "triage", "resource": TICKETS, "scopes": ["tickets.read"], "expires_at": 1_900_000_000 }),
    )
}

fn exchange(world: &World, path: &str) -> Form {
    let mut claims = world.id_claims("alice", "triage");
    claims["iss"] = json!(issuer(path));
    world.exchange("triage", &world.key("corp").sign("JWT", &claims), TokenType::IdToken)
}

/// The form is refused so, and while it is being decided another agent gets its token.
async fn refuses_meanwhile(world: &World, form: &Form, rule: &str) {
    let other = world.for_itself("relay", TICKETS);
    let (refused, served) = tokio::join!(world.post(form), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        tokio::time::timeout(Duration::from_secs(3), world.post(&other)).await
    });
    assert_refused(&refused, 503, "temporarily_unavailable", rule);
    served.expect("a slow site held others up").ok();
    let rules = world.audit("main").await;
    assert!(rules.iter().any(|row| row.event["rule"] == rule), "an audit row names the rule");
}

async fn an_identity_provider_publishes_its_keys(world: &mut World) {
    let site = Site::start(world.key("corp").set().to_string()).await;
    let stranger = Site::start(world.key("corp").set().to_string()).await;
    trust(world, &site).await;
    let mut entries: Vec<_> =
        WRONG.iter().map(|path| provider(path, &format!("{}{path}", site.url))).collect();
    entries.push(provider("/good", &format!("{}/good", site.url)));
    // The same keys at a site whose certificate nobody trusts, and at a name that the certificate isn't for.
    entries.push(provider("/stranger", &format!("{}/good", stranger.url)));
    entries.push(provider("/misnamed", &format!("{}/good", site.url.replace("127.0.0.1", "127.0.0.2"))));
    let (providers, consents): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
    world.apply(json!({ "identity_providers": providers, "consents": consents })).await.ok();
    let granted = world.post(&exchange(world, "/good")).await.ok();
    assert_eq!(granted.json["scope"], "tickets.read");
    for path in WRONG {
        refuses_meanwhile(world, &exchange(world, path), "subject_keys_unavailable").await;
    }
    let hits = site.hits();
    for path in ["/stranger", "/misnamed"] {
        refuses_meanwhile(world, &exchange(world, path), "subject_keys_unavailable").await;
    }
    assert_eq!((site.hits(), stranger.hits()), (hits, 0), "a request was sent without a trusted certificate");
    // A site that failed is left alone for a while, and one that didn't isn't asked again.
    let again = world.post(&exchange(world, "/redirect")).await;
    assert_refused(&again, 503, "temporarily_unavailable", "subject_keys_unavailable");
    world.post(&exchange(world, "/good")).await.ok();
    assert_eq!(site.hits(), hits);
}

async fn an_agent_publishes_its_keys(world: &mut World) {
    let site = Site::start(world.key("echo").set().to_string()).await;
    trust(world, &site).await;
    let agent = |path: &str| {
        json!({ "agent": format!("remote{}", path.replace('/', "-")), "owner": "o@example.com", "tier": 1,
            "identities": [{ "jwks_uri": format!("{}{path}", site.url) }],
            "ceiling": [{ "resource": TICKETS, "scopes": ["tickets.read"] }] })
    };
    let agents = ["/good", "/redirect", "/large"].map(agent);
    world.apply(json!({ "agents": agents })).await.ok();
    let form = |path: &str| {
        let name = format!("remote{}", path.replace('/', "-"));
        let assertion = world.key("echo").sign("client-authentication+jwt", &world.assertion_claims(&name));
        world.for_itself("echo", TICKETS).set("client_assertion", assertion)
    };
    assert_eq!(world.post(&form("/good")).await.ok().claims()["client_id"], "remote-good");
    for path in ["/redirect", "/large"] {
        refuses_meanwhile(world, &form(path), "client_keys_unavailable").await;
    }
}

async fn a_trust_domain_publishes_its_bundle(world: &mut World) {
    let site = Site::start(world.key("spire").bundle().to_string()).await;
    trust(world, &site).await;
    let domain = |path: &str| format!("{}.example", path.trim_start_matches('/'));
    let paths = ["/good", "/redirect", "/large", "/slow"];
    let domains: Vec<_> = paths
        .iter()
        .map(|path| json!({ "trust_domain": domain(path), "bundle_endpoint": format!("{}{path}", site.url) }))
        .collect();
    let agents: Vec<_> = paths
        .iter()
        .map(|path| {
            json!({ "agent": format!("of-{}", domain(path)), "owner": "o@example.com", "tier": 1,
                "identities": [{ "spiffe_id": format!("spiffe://{}/a", domain(path)) }],
                "ceiling": [{ "resource": TICKETS, "scopes": ["tickets.read"] }] })
        })
        .collect();
    world.apply(json!({ "trust_domains": domains, "agents": agents })).await.ok();
    let form = |path: &str| {
        let mut claims = world.svid_claims("echo");
        claims["sub"] = json!(format!("spiffe://{}/a", domain(path)));
        world.by_svid(&world.for_itself("echo", TICKETS), &world.key("spire").sign("JWT", &claims))
    };
    assert_eq!(world.post(&form("/good")).await.ok().claims()["client_id"], "of-good.example");
    for path in ["/redirect", "/large", "/slow"] {
        refuses_meanwhile(world, &form(path), "trust_bundle_unavailable").await;
    }
}

async fn refuses_places_that_must_not_be_called(world: &mut World) {
    // Plain http isn't taken into the registry at all.
    for section in [
        json!({ "identity_providers": [{ "id": "plain", "issuer": "https://plain.example", "jwks_uri": "http://plain.example/jwks" }] }),
        json!({ "trust_domains": [{ "trust_domain": "plain.example", "bundle_endpoint": "http://plain.example/bundle" }] }),
        json!({ "agents": [{ "agent": "plain", "owner": "o@example.com", "tier": 1, "identities": [{ "jwks_uri": "http://plain.example/jwks" }] }] }),
    ] {
        assert_refused(&world.apply(section).await, 400, "invalid_request", "registry_invalid");
    }
    // A good site with a good certificate on an address that only this machine has: no connection.
    let site = Site::start(world.key("corp").set().to_string()).await;
    world.config.ca_file = Some(site.write_ca(world.folder()));
    world.restart().await;
    let (by_name, by_number) = (site.url.replace("127.0.0.1", "localhost"), format!("{}/good", site.url));
    let entries = [provider("/number", &by_number), provider("/name", &format!("{by_name}/good"))];
    let (providers, consents): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
    world.apply(json!({ "identity_providers": providers, "consents": consents })).await.ok();
    for path in ["/number", "/name"] {
        refuses_meanwhile(world, &exchange(world, path), "subject_keys_unavailable").await;
    }
    assert_eq!(site.hits(), 0);
}
