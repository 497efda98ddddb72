//! Taskpass: an OAuth 2.1 authorization server that mints short-lived, audience-bound, per-task tokens for AI agents.
//!
//! The modules stand in the order of the floors of the house: each imports only from those above it in this list.
//! `docs/architecture.md` walks through it.

pub mod entropy;
pub mod protocol;
pub mod secret;
pub mod time;

pub mod jose;

pub mod domain;

pub mod storage;
