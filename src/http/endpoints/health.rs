//! `/healthz`, `/readyz`, `/metrics`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::http::answer::json_no_store;
use crate::http::node::Node;

/// The process runs.
pub(in crate::http) async fn healthz() -> Response {
    json_no_store(StatusCode::OK, &json!({ "status": "ok" }))
}

/// The node knows what is revoked, and can therefore decide.
pub(in crate::http) async fn readyz(State(node): State<Node>) -> Response {
    let tenants = node.server.tenants();
    let stale: Vec<_> = tenants
        .iter()
        .filter(|tenant| tenant.check_fresh(&node.server).is_err())
        .map(|tenant| &*tenant.name)
        .collect();
    if tenants.is_empty() || !stale.is_empty() {
        let body = json!({ "status": "not ready", "stale_tenants": stale });
        return json_no_store(StatusCode::SERVICE_UNAVAILABLE, &body);
    }
    json_no_store(StatusCode::OK, &json!({ "status": "ready" }))
}

/// Prometheus text.
pub(in crate::http) async fn metrics(State(node): State<Node>) -> Response {
    for tenant in node.server.tenants() {
        let name = tenant.name.to_string();
        metrics::gauge!("taskpass_revocation_head_seq", "tenant" => name.clone())
            .set(lossy(tenant.view.rev().seq));
        metrics::gauge!("taskpass_revocation_live_cutoffs", "tenant" => name.clone())
            .set(lossy(tenant.view.len() as u64));
        metrics::gauge!("taskpass_revocation_view_age_seconds", "tenant" => name)
            .set(tenant.view.age(node.server.clock.uptime()).map_or(f64::INFINITY, |age| age.as_secs_f64()));
    }
    match &node.metrics {
        Some(handle) => handle.render().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
fn lossy(count: u64) -> f64 {
    count as f64
}
