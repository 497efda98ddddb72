//! The integration tests, in one binary.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "tests may fail loudly")]

mod docs;
mod properties {
    mod cutoff;
    mod narrowing;
}
mod storage;
