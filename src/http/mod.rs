//! HTTP: a table of endpoints, each of which extracts, calls one flow, and renders.

mod answer;
mod browser;
mod endpoints;
mod extract;
mod metrics;
mod node;
mod openapi;
mod pages;
mod router;

pub use metrics::install as install_metrics;
pub use node::Node;
pub use router::router;
