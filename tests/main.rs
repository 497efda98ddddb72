//! The integration tests, in one binary, so that everything is linked once.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests fail loudly and say it plainly"
)]

mod docs;
mod endpoints;
mod guard;
mod harness;
mod properties;
mod storage;
mod stories;
mod vectors;
