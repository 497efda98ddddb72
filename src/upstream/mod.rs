//! What is learnt from outside: key sets, trust bundles and clients' metadata documents, through one guarded way out.

mod address;
mod client_metadata;
mod fetch;
mod keys;
mod pace;

pub use client_metadata::{ClientDocuments, DocumentError};
pub use fetch::{FetchError, Fetched, Fetcher, OutboundRules};
pub use keys::{Keys, KeysError};
