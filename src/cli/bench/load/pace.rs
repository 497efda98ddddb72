//! An open loop: each request has a moment at which it is due, and its latency counts from that moment. A server that
//! falls behind can't hide it by being asked less.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Check, Connection, Load, Measurement, Order, Request, Run, STALLED};
use crate::cli::error::CliError;
use crate::time::monotonic;

/// How long the threads have to make their connections before the first request is due.
const BEFORE: Duration = Duration::from_millis(200);

/// A load on two ways to one server.
pub(in crate::cli::bench) struct Pace {
    /// Where the two ways begin.
    pub(in crate::cli::bench) ways: [SocketAddr; 2],
    /// How many connections are kept open on each.
    pub(in crate::cli::bench) connections: u32,
    /// The requests, sent in turn, again and again, on both ways.
    pub(in crate::cli::bench) requests: Arc<Vec<Request>>,
    /// How many are due each second on each way.
    pub(in crate::cli::bench) per_second: u32,
    /// For how long.
    pub(in crate::cli::bench) seconds: u32,
    /// What each answer must satisfy.
    pub(in crate::cli::bench) check: fn() -> Check,
}

impl Pace {
    /// Sends on both ways in alternation, so that whatever disturbs the machine disturbs both.
    pub(in crate::cli::bench) async fn keep(self) -> Result<[Measurement; 2], CliError> {
        let run = move || {
            let started = monotonic() + BEFORE;
            std::thread::scope(|scope| {
                let thread = |way, number| {
                    let pace = &self;
                    scope.spawn(move || pace.keep_one(way, number, started))
                };
                let threads =
                    |way| (0..self.connections).map(|number| thread(way, number)).collect::<Vec<_>>();
                let [first, second] = [threads(0), threads(1)].map(|threads| {
                    let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                        thread.join().unwrap_or_else(|_| Err(CliError::new("a thread of the load panicked")))
                    };
                    threads.into_iter().map(join).reduce(|sum, one| together(sum?, one?))
                });
                let nothing = || CliError::new("no connections");
                Ok([first.ok_or_else(nothing)??, second.ok_or_else(nothing)??])
            })
        };
        tokio::task::spawn_blocking(run).await.map_err(|error| CliError::new(error.to_string()))?
    }

    /// One connection's share. It has a thread of its own: the runtime's timer counts in milliseconds.
    fn keep_one(&self, way: u32, number: u32, started: Instant) -> Result<Measurement, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let address = self.ways[usize::from(way == 1)];
        let load = Load {
            address,
            connections: 1,
            requests: Arc::clone(&self.requests),
            order: Order::Once,
            duration: None,
            operations: None,
            check: (self.check)(),
        };
        let run = Run::new(load, started)?;
        let mut connection = runtime.block_on(Connection::open(address))?;
        // The second way's requests are due halfway between two of the first's.
        let half = Duration::from_secs(1) / (2 * self.per_second);
        let count = self.per_second * self.seconds;
        let indices = (0..self.requests.len()).cycle().skip(number as usize);
        let share = (number..count).zip(indices).step_by(self.connections as usize);
        for (position, index) in share {
            let due = started + half * (2 * position + way);
            std::thread::sleep(due.saturating_duration_since(monotonic()));
            let asked = runtime.block_on(async {
                tokio::time::timeout(STALLED, run.ask(&mut connection, index, due)).await
            });
            asked.map_err(|_| CliError::new("an answer didn't come within 30 seconds").exit_code(4))??;
        }
        Ok(run.measured())
    }
}

/// Two connections' measurements as one.
fn together(mut sum: Measurement, one: Measurement) -> Result<Measurement, CliError> {
    sum.latencies.add(&one.latencies).map_err(|error| CliError::new(error.to_string()))?;
    sum.operations += one.operations;
    sum.failures += one.failures;
    sum.first_failure = sum.first_failure.or(one.first_failure);
    sum.elapsed = sum.elapsed.max(one.elapsed);
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::post;

    use super::*;

    fn any() -> Check {
        Box::new(|_| Ok(()))
    }

    #[tokio::test]
    async fn a_server_that_falls_behind_is_not_spared() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let slow = async || tokio::time::sleep(Duration::from_millis(30)).await;
        let router = Router::new().route("/quick", post(async || "")).route("/slow", post(slow));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let request = |path| -> Request {
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").into_bytes().into()
        };
        let pace = |path, connections| Pace {
            ways: [address; 2],
            connections,
            requests: Arc::new(vec![request(path)]),
            per_second: 100,
            seconds: 1,
            check: any,
        };
        for measured in pace("/quick", 3).keep().await.unwrap() {
            assert_eq!((measured.operations, measured.failures), (100, 0), "{:?}", measured.first_failure);
        }
        // One connection answers a third of what is due: the last request has waited for two seconds.
        let [first, second] = pace("/slow", 1).keep().await.unwrap();
        assert_eq!(first.operations + second.operations, 200);
        assert!(first.latencies.max() > 1_000_000, "{}", first.latencies.max());
    }
}
