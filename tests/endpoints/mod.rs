//! A file for each endpoint or subject; names are refusals.

mod account;
mod admin;
mod algorithms;
mod authorization;
mod client_authentication;
mod clients;
mod connections;
mod delegation;
mod feed;
mod full_disk;
mod grants;
mod http_rules;
mod id_jag;
mod introspection;
mod narrowing;
mod registration;
mod revocation;
mod sign_in;
mod tenants;
mod token_exchange;
mod upstream;
