//! What is learnt from outside: identity providers, key sets, trust bundles and clients' metadata documents, through one
//! guarded way out.

mod address;
mod cached;
mod client_metadata;
mod fetch;
mod keys;
mod openid;
mod pace;

pub use cached::Resting;
pub use client_metadata::{ClientDocuments, DocumentError};
pub use fetch::{FetchError, Fetched, Fetcher, OutboundRules};
pub use keys::{Keys, KeysError};
pub use openid::{Departure, OpenId, OpenIdError, Provider, Redemption, client_secret};
