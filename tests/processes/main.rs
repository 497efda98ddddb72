//! What only real processes can show: several servers on one PostgreSQL, servers that are killed, and the bench.
//!
//! `cargo test` runs few rounds; `conformance/run races kill` runs as many as the project promises.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests fail loudly and say it plainly"
)]

mod bench;
mod database;
mod faults;
mod kill;
mod node;
mod races;
mod wire;
mod world;

#[expect(clippy::disallowed_methods, reason = "a test has no other way to be told how long it may take")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// How many rounds to run: by environment, else few.
fn rounds(name: &str, few: usize) -> usize {
    setting(name)
        .map_or(few, |value| value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value:?}")))
}
