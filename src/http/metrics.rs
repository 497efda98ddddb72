//! Prometheus metrics.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use tracing::Instrument as _;

use super::answer::Failure;
use crate::domain::feed::LONGEST_LEASE;
use crate::time::monotonic;

/// Installs the recorder; the handle renders what it has recorded. `None` if another one is installed already.
pub fn install() -> Option<PrometheusHandle> {
    const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
    let name = Matcher::Full("taskpass_http_request_duration_seconds".into());
    PrometheusBuilder::new().set_buckets_for_metric(name, &SECONDS).ok()?.install_recorder().ok()
}

/// How long a request may take, its body included.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long one may take that asks to be told when a revocation is in force: the longest lease, and a while.
const PATIENCE_WHEN_ASKED_TO_WAIT: Duration = Duration::from_secs(LONGEST_LEASE + 30);

fn patience(request: &Request) -> Duration {
    let waits = request.uri().query().is_some_and(|query| query.contains("wait="));
    if waits && request.uri().path().ends_with("/admin/v1/revocations") {
        return PATIENCE_WHEN_ASKED_TO_WAIT;
    }
    PATIENCE
}

/// Counts and times each request by route, never by what a stranger wrote.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let started: Instant = monotonic();
    let route =
        request.extensions().get::<MatchedPath>().map_or("unmatched".into(), |path| path.as_str().to_owned());
    let span = tracing::info_span!("request", otel.name = %route, route = %route);
    // A body that never ends, or a database that never answers, must not hold a connection for ever.
    let answered = tokio::time::timeout(patience(&request), next.run(request).instrument(span)).await;
    let too_slow = Failure::Http(StatusCode::REQUEST_TIMEOUT, "The request took too long.");
    let response = answered.unwrap_or_else(|_| too_slow.into_response());
    let status = response.status().as_u16().to_string();
    let elapsed = monotonic().saturating_duration_since(started).as_secs_f64();
    metrics::histogram!("taskpass_http_request_duration_seconds", "route" => route, "status" => status)
        .record(elapsed);
    response
}
