//! What every endpoint works with.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::flows::Server;

/// What every endpoint has.
#[derive(Clone)]
pub struct Node {
    /// The server.
    pub server: Arc<Server>,
    pub(super) metrics: Option<PrometheusHandle>,
}

impl Node {
    /// A node that shows these metrics.
    pub fn new(server: Arc<Server>, metrics: Option<PrometheusHandle>) -> Self {
        Self { server, metrics }
    }
}
