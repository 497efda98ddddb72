//! The endpoints: extract, call one flow, render.

pub(super) mod account;
pub(super) mod admin;
pub(super) mod authorize;
pub(super) mod consent;
pub(super) mod decisions;
pub(super) mod feed;
pub(super) mod health;
pub(super) mod introspect;
pub(super) mod metadata;
pub(super) mod register;
pub(super) mod revoke;
pub(super) mod sign_in;
pub(super) mod token;
