//! A revocation while many requests are being decided: after its answer nothing is minted, and what was minted is dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use taskpass::protocol::token_type::TokenType;

use crate::harness::{Form, Reply, World, on_both_engines};

on_both_engines!(an_agent_is_cut_while_it_mints);

async fn an_agent_is_cut_while_it_mints(world: &mut World) {
    let forms: Vec<Form> = (0..240)
        .map(|_| {
            let id_token = world.id_token("alice", "triage");
            world.exchange("triage", &id_token, TokenType::IdToken).add("scope", "tickets.read")
        })
        .collect();
    let acknowledged = Arc::new(AtomicBool::new(false));
    let mut running = tokio::task::JoinSet::new();
    for part in forms.chunks(30) {
        let (part, http, acknowledged) = (part.to_vec(), world.http.clone(), acknowledged.clone());
        running.spawn(async move {
            let mut minted = Vec::new();
            for form in part {
                let late = acknowledged.load(Ordering::SeqCst);
                let request =
                    http.post(&form.url).header("content-type", "application/x-www-form-urlencoded");
                let reply = Reply::read(request.body(form.body()).send().await.unwrap()).await;
                assert!(!late || reply.status != 200, "minted after the acknowledgement");
                if reply.status == 200 {
                    minted.push(reply.token());
                } else {
                    let rule = reply.json["rule"].as_str().unwrap_or_default().to_owned();
                    let expected = ["client_suspended", "revoked_while_deciding", "overloaded"];
                    assert!(expected.contains(&rule.as_str()), "{rule}");
                }
            }
            minted
        });
    }
    // Not before something was minted.
    while world.token_records().await < 10 {
        tokio::task::yield_now().await;
    }
    world.cut("agent", "triage").await.ok();
    acknowledged.store(true, Ordering::SeqCst);
    let minted: Vec<_> = running.join_all().await.into_iter().flatten().collect();
    assert!(minted.len() >= 9, "{}", minted.len());
    for token in &minted {
        assert!(!world.is_active(token).await);
    }
    world.refuses(&world.for_person("triage", "alice"), 401, "invalid_client", "client_suspended").await;
}
