//! What is learnt from outside: key sets and trust bundles, through one guarded way out.

mod address;
mod fetch;
mod keys;

pub use fetch::{FetchError, Fetcher, OutboundRules};
pub use keys::{Keys, KeysError};
