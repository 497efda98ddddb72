//! The rules, as pure and synchronous functions: `now` comes in as a value, nothing is read or written.

pub mod access_token;
pub mod audit;
pub mod authorization;
pub mod client_metadata;
pub mod cutoff;
pub mod delegation;
pub mod exchange;
pub mod feed;
pub mod id_jag;
pub mod lease;
pub mod narrowing;
pub mod refusal;
pub mod registry;
pub mod scope_tools;
pub mod task;
pub mod user;
