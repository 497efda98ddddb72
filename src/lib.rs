//! Taskpass: an OAuth 2.1 authorization server that mints short-lived, audience-bound, per-task tokens for AI agents.
//!
//! The modules stand in the order of the floors of the house: each imports only from those above it in this list.
//! `docs/architecture.md` walks through it.

// Floor 0: words, and what every floor needs.
pub mod entropy;
pub mod prompt;
pub mod protocol;
pub mod secret;
pub mod time;
pub mod tls;

// Floor 1: configuration.
pub mod config;

// Floor 2: signatures.
pub mod jose;

// Floor 3: rules.
pub mod domain;

// Floor 4: the world.
pub mod agent;
pub mod enforcer;
pub mod policy;
pub mod storage;
pub mod upstream;

// Floor 5: use cases, and pages.
pub mod flows;
pub mod ui;

// Floor 6: HTTP.
pub mod guard;
pub mod http;

// Floor 7: the server as a whole, and the commands.
pub mod app;
pub mod cli;
pub mod telemetry;
