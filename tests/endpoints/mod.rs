//! A file for each endpoint or subject; names are refusals.

mod admin;
mod client_authentication;
mod delegation;
mod http_rules;
mod introspection;
mod narrowing;
mod revocation;
mod tenants;
mod token_exchange;
