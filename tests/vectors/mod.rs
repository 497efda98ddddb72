//! What others have published to test against, each with its source.

mod rfc;
mod wycheproof;
