//! `taskpass bench exchange`: token exchange (RFC 8693), each request with a client assertion and a subject token that
//! were never used before, each opening a task.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::value::to_raw_value;

use super::load::{self, Check, Load, Order, Request};
use super::proc::thread_time;
use super::report::Report;
use super::server::Server;
use super::world::{Key, World};
use super::{Options, busy, sample};
use crate::cli::error::CliError;
use crate::jose::Algorithm;

/// For how many requests a second there are signatures; a faster server ends its run early.
const SIGNED_PER_SECOND: usize = 8000;
/// Batches of signature work that are timed, and rounds in each: 4,200 rounds in about a third of a second.
const BATCHES: usize = 7;
const ROUNDS: u32 = 600;

/// Signs, warms up, measures the price of the signatures, measures the server.
pub(super) async fn run(world: &Arc<World>, server: &Server, options: &Options) -> Result<Report, CliError> {
    let warmup = SIGNED_PER_SECOND * usize::from(options.warmup);
    let measured = match options.requests {
        Some(requests) => usize::try_from(requests).unwrap_or(usize::MAX),
        None => SIGNED_PER_SECOND * usize::from(options.seconds),
    };
    let mut requests = sign(world, &server.issuer, warmup + measured).await?;
    let for_measuring = requests.split_off(warmup);
    let load = |requests: Vec<Request>, duration| Load {
        address: server.address,
        connections: options.connections(),
        requests: Arc::new(requests),
        order: Order::Once,
        duration,
        operations: None,
        check: is_token(),
    };
    load::drive(load(requests, Some(options.warmup()))).await?.without_failure("warming up")?;
    let signatures = signature_time(world, &server.issuer).await?;
    let sample = sample(server, load(for_measuring, options.duration())).await?;
    if options.requests.is_none() && sample.measurement.elapsed < options.seconds() {
        eprintln!("all {measured} signed requests were used before the time was over; the figures hold");
    }
    Report::new("exchange", server, options, &sample, signatures)
}

/// `count` signed exchanges, made on all processors.
pub(super) async fn sign(world: &Arc<World>, issuer: &str, count: usize) -> Result<Vec<Request>, CliError> {
    let (world, issuer) = (Arc::clone(world), issuer.to_owned());
    busy(move || world.exchanges(&issuer, count)).await
}

fn is_token() -> Check {
    Box::new(
        |body| {
            if load::contains(body, b"\"access_token\"") { Ok(()) } else { Err("has no access token") }
        },
    )
}

/// The processor time of what one exchange can't avoid: to verify the client assertion, to verify the subject token,
/// and to sign the access token, all ES256. Timed here and now, on this machine, by the code that the server itself
/// runs, while the server is idle.
async fn signature_time(world: &Arc<World>, issuer: &str) -> Result<Duration, CliError> {
    let (world, issuer) = (Arc::clone(world), issuer.to_owned());
    busy(move || {
        let assertion = Signed::split(&world.client_assertion(&issuer)?)?;
        let subject = Signed::split(&world.subject_token(0)?)?;
        // Written as JSON beforehand, so that little but the signature is timed.
        let claims = to_raw_value(&world.access_token_claims(&issuer));
        let claims = claims.map_err(|error| CliError::new(error.to_string()))?;
        let mut batches = Vec::with_capacity(BATCHES);
        for _ in 0..BATCHES {
            let before = thread_time()?;
            for _ in 0..ROUNDS {
                let genuine = assertion.verify(&world.agent) && subject.verify(&world.upstream);
                let token = world.agent.signing.sign("at+jwt", &claims);
                if !genuine || token.is_err() {
                    return Err(CliError::new("a signature that was just made is not accepted"));
                }
            }
            batches.push(thread_time()?.saturating_sub(before) / ROUNDS);
        }
        batches.sort_unstable();
        Ok(batches[BATCHES / 2])
    })
    .await
}

/// A compact JWS, split into what was signed and the signature.
struct Signed {
    message: String,
    signature: Vec<u8>,
}

impl Signed {
    fn split(token: &str) -> Result<Self, CliError> {
        let parts = token.rsplit_once('.').and_then(|(message, signature)| {
            Some(Self { message: message.to_owned(), signature: URL_SAFE_NO_PAD.decode(signature).ok()? })
        });
        parts.ok_or_else(|| CliError::new("a token that was just made is not a compact JWS"))
    }

    fn verify(&self, key: &Key) -> bool {
        key.public.verify(Algorithm::ES256, self.message.as_bytes(), &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn signatures_cost_something() {
        let world = Arc::new(World::new(false).unwrap());
        assert!(signature_time(&world, "http://127.0.0.1:1").await.unwrap() > Duration::ZERO);
        let signed = Signed::split(&world.subject_token(1).unwrap()).unwrap();
        assert!(signed.verify(&world.upstream) && !signed.verify(&world.agent));
    }

    #[test]
    fn an_answer_without_a_token_is_a_failure() {
        assert_eq!(is_token()(br#"{"access_token":"x"}"#), Ok(()));
        assert!(is_token()(b"{}").is_err());
    }
}
