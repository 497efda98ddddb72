//! Tokens of every algorithm on their whole way: minted, found in the key set, verified by an enforcer, introspected, cut.

use http::Method;
use serde_json::{Value, json};
use taskpass::enforcer::{Config, Credentials, Enforcer};
use taskpass::jose::{Algorithm, PrivateJwk, SigningKey, Unverified};
use taskpass::protocol::resource::ResourceUri;
use taskpass::protocol::token_type::{CLIENT_CREDENTIALS, JWT_BEARER};

use crate::harness::{World, on_both_engines};

on_both_engines!(every_algorithm_goes_the_whole_way, a_revoked_key_of_every_kind_is_followed_by_another);

const ALGORITHMS: [&str; 4] = ["ES256", "EdDSA", "RS256", "PS256"];

fn resource(alg: &str) -> String {
    format!("https://{}.example.com", alg.to_lowercase())
}

/// A resource for each algorithm, an agent that may have them all, and an enforcer for all of them.
async fn prepare(world: &World) -> SigningKey {
    let private = PrivateJwk::generate(Algorithm::ES256).unwrap();
    let public = private.public().unwrap().to_json();
    let resources: Vec<_> = ALGORITHMS
        .iter()
        .map(|alg| json!({ "resource": resource(alg), "scopes": ["read"], "token": { "alg": alg } }))
        .collect();
    let ceiling: Vec<_> =
        ALGORITHMS.iter().map(|alg| json!({ "resource": resource(alg), "scopes": ["read"] })).collect();
    let everywhere: Vec<_> = ALGORITHMS.iter().map(|alg| resource(alg)).collect();
    let section = json!({
        "resources": resources,
        "agents": [{ "agent": "courier", "owner": "o@example.com", "tier": 1, "ceiling": ceiling,
            "identities": [{ "jwks": world.key("echo").set() }] }],
        "enforcers": [{ "enforcer": "probe", "resources": everywhere, "identities": [{ "jwks": { "keys": [public] } }] }],
    });
    world.apply(section).await.ok();
    private.signing_key().unwrap()
}

async fn mint(world: &World, alg: &str) -> String {
    let assertion = world.key("echo").sign("client-authentication+jwt", &world.assertion_claims("courier"));
    let form =
        world.bare("/oauth/token").add("grant_type", CLIENT_CREDENTIALS).add("resource", resource(alg));
    let form = form.add("client_assertion_type", JWT_BEARER).add("client_assertion", assertion);
    world.post(&form).await.ok().token()
}

fn kid(token: &str, alg: &str) -> String {
    let header = Unverified::parse(token).unwrap().header().clone();
    assert_eq!(header.algorithm.as_str(), alg);
    header.kid.unwrap()
}

async fn every_algorithm_goes_the_whole_way(world: &mut World) {
    let probe = prepare(world).await;
    let config = |alg: &str| {
        Config::new(&world.issuer, ResourceUri::parse(&resource(alg)).unwrap()).clock(world.clock.clone())
    };
    let mut cut = Vec::new();
    for alg in ALGORITHMS {
        let token = mint(world, alg).await;
        let kid = kid(&token, alg);
        let published = world.get("/oauth/jwks").await.ok().json;
        let key =
            published["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid.as_str()).unwrap();
        assert_eq!((&key["alg"], &key["use"]), (&json!(alg), &json!("sig")));
        let asking = config(alg).introspect(Credentials::new(&world.issuer, "probe", probe.clone()));
        let (offline, asking) = (Enforcer::new(config(alg)).unwrap(), Enforcer::new(asking).unwrap());
        for enforcer in [&offline, &asking] {
            let verified = enforcer.check(&token).await.unwrap();
            assert_eq!(verified.claims().client_id, "courier", "{alg}");
            // Another resource's token, and one with a changed signature, open nothing.
            let other = mint(world, if alg == "ES256" { "EdDSA" } else { "ES256" }).await;
            assert!(enforcer.check(&other).await.is_err(), "{alg}");
            let at = token.rfind('.').unwrap() + 10;
            let mut forged = token.clone();
            forged.replace_range(at..=at, if &token[at..=at] == "A" { "B" } else { "A" });
            assert!(enforcer.check(&forged).await.is_err(), "{alg}");
        }
        cut.push((alg, token, asking));
    }
    world.cut("agent", "courier").await.ok();
    for (alg, token, asking) in cut {
        assert!(asking.check(&token).await.is_err(), "{alg}: a cut token was let through");
    }
}

async fn a_revoked_key_of_every_kind_is_followed_by_another(world: &mut World) {
    prepare(world).await;
    for alg in ALGORITHMS {
        let before = kid(&mint(world, alg).await, alg);
        world.cut("key", before.as_str()).await.ok();
        let after = kid(&mint(world, alg).await, alg);
        assert_ne!(before, after, "{alg}");
        let keys = world.admin(Method::GET, "/keys", None).await.ok().json;
        let state = |kid: &str| -> Value {
            let mut keys = keys["keys"].as_array().unwrap().iter();
            keys.find(|key| key["kid"] == kid).unwrap()["state"].clone()
        };
        assert_eq!((state(&before), state(&after)), (json!("revoked"), json!("active")), "{alg}");
    }
}
