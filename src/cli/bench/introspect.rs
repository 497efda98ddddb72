//! `taskpass bench introspect`: introspection (RFC 7662) of tokens that were minted by exchange, answered from a warm
//! cache under the revocation view.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::value_parser;
use serde::Deserialize;

use super::load::{self, Check, Connection, Load, Order, Request};
use super::proc::Memory;
use super::report::{Report, rounded};
use super::server::Server;
use super::world::{World, introspection};
use super::{Options, exchange, sample};
use crate::cli::error::CliError;
use crate::entropy::Entropy;

/// How many tokens are introspected while measuring.
const TOKENS: usize = 2000;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) options: Options,
    /// Mint this many tokens, introspect each once, and report the memory that the server holds then
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=500_000))]
    live_tokens: Option<u32>,
}

/// Mints, introspects each token once, reads the memory, warms up, measures.
pub(super) async fn run(world: &Arc<World>, server: &Server, args: &Args) -> Result<Report, CliError> {
    let options = &args.options;
    let live = args.live_tokens.map_or(0, |live| usize::try_from(live).unwrap_or(usize::MAX));
    let tokens = mint(world, server, options.connections(), live.max(TOKENS)).await?;
    let bearer = bearer(world, server).await?;
    let ask = |token: &String| introspection(&server.issuer, &bearer, token);
    let once: Vec<Request> = tokens.iter().map(ask).collect();
    // The freshest are asked again and again: they live longest.
    let requests: Arc<Vec<Request>> =
        Arc::new(tokens[tokens.len().saturating_sub(TOKENS)..].iter().map(ask).collect());
    drop(tokens);
    load::drive(load(server, options.connections(), Arc::new(once), Order::Once, None))
        .await?
        .without_failure("introspecting")?;
    let held = match args.live_tokens {
        Some(live) => Some((live, server.memory_mib(Memory::Now)?)),
        None => None,
    };
    let seed = || u64::from_ne_bytes(Entropy::default().bytes()) | 1;
    let random = |duration| {
        load(server, options.connections(), Arc::clone(&requests), Order::Random(seed()), duration)
    };
    load::drive(random(Some(options.warmup()))).await?.without_failure("warming up")?;
    let measured = Load { operations: options.requests.map(u64::from), ..random(options.duration()) };
    let sample = sample(server, measured).await?;
    // Claims are cached once their signature has been verified: an answer needs no signature at all.
    let mut report = Report::new("introspect", server, options, &sample, Duration::ZERO)?;
    report.figures.live_tokens = held.map(|(tokens, _)| tokens);
    report.figures.live_rss_mib = held.map(|(_, mib)| rounded(mib));
    Ok(report)
}

fn load(
    server: &Server,
    connections: usize,
    requests: Arc<Vec<Request>>,
    order: Order,
    duration: Option<Duration>,
) -> Load {
    Load {
        address: server.address,
        connections,
        requests,
        order,
        duration,
        operations: None,
        check: is_active(),
    }
}

fn is_active() -> Check {
    Box::new(|body| if load::contains(body, b"\"active\":true") { Ok(()) } else { Err("doesn't say active") })
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
}

/// Mints tokens by exchange.
pub(super) async fn mint(
    world: &Arc<World>,
    server: &Server,
    connections: usize,
    count: usize,
) -> Result<Vec<String>, CliError> {
    let requests = exchange::sign(world, &server.issuer, count).await?;
    eprintln!("minting {count} tokens");
    let minted = Arc::new(Mutex::new(Vec::with_capacity(count)));
    let keep = Arc::clone(&minted);
    let check: Check = Box::new(move |body| {
        let answer: TokenAnswer = serde_json::from_slice(body).map_err(|_| "has no access token")?;
        keep.lock().unwrap_or_else(PoisonError::into_inner).push(answer.access_token);
        Ok(())
    });
    let load = Load { check, ..load(server, connections, Arc::new(requests), Order::Once, None) };
    load::drive(load).await?.without_failure("minting")?;
    let mut minted = minted.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *minted))
}

/// The token with which the enforcer introspects.
async fn bearer(world: &World, server: &Server) -> Result<String, CliError> {
    let mut connection = Connection::open(server.address).await?;
    let answer = connection.ask(&world.introspection_bearer(&server.issuer)?).await?;
    let body = connection.body(&answer);
    let token = serde_json::from_slice(body).map(|answer: TokenAnswer| answer.access_token);
    token.map_err(|_| {
        let body = String::from_utf8_lossy(body);
        CliError::new(format!("the enforcer got no token to introspect with: HTTP {}: {body}", answer.status))
    })
}
