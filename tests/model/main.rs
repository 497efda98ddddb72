//! The revocation protocol of `docs/revocation.md` as a model, every state of which is looked at.
//!
//! `cargo test --test model` checks small bounds, and that every planted bug is caught; with `TASKPASS_MODEL=long` it checks
//! larger ones; with `-- --nocapture` it prints the runs in which planted bugs break the promise.

#![allow(clippy::unwrap_used, missing_docs)]

mod caught;
mod correct;
mod feed;
mod introspection;
mod minting;
mod planted;
mod run;
mod single_use;
