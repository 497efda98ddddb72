//! `/revocation/snapshot`, `/revocation/stream` and `/revocation/lease`: how enforcers follow the log.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::watch;

use crate::domain::feed::{ENFORCED_RESOURCE, HEARTBEAT, LeaseRequest};
use crate::domain::refusal::Refusal;
use crate::flows::feed::{self, News, Subscriber};
use crate::flows::{Server, Tenant};
use crate::http::answer::{Failure, NO_STORE, json_no_store};
use crate::http::extract::{InTenant, JsonBody, bearer};
use crate::http::node::Node;
use crate::protocol::claims::Rev;

async fn subscriber(node: &Node, tenant: &Tenant, headers: &HeaderMap) -> Result<Subscriber, Failure> {
    let token = bearer(headers).ok_or(Refusal::AccessTokenMissing)?;
    let subscriber = feed::subscribe(&node.server, tenant, &token).await?;
    // Whoever enforces what he may not see would go on while it is switched off.
    let enforced = headers.get(ENFORCED_RESOURCE).map(|resource| resource.to_str().unwrap_or_default());
    if enforced.is_some_and(|resource| !subscriber.sees.covers(resource)) {
        return Err(Refusal::ResourceOfOtherEnforcer.into());
    }
    Ok(subscriber)
}

fn answer(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// Everything that can still hit a token, signed.
pub(in crate::http) async fn snapshot(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let subscriber = subscriber(&node, &tenant, &headers).await?;
    tenant.check_fresh(&node.server)?;
    Ok(answer("application/jwt", feed::snapshot(&node.server, &tenant, &subscriber)?))
}

/// A lease, and whatever the enforcer lacks.
pub(in crate::http) async fn lease(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    headers: HeaderMap,
    JsonBody(request): JsonBody<LeaseRequest>,
) -> Result<Response, Failure> {
    let subscriber = subscriber(&node, &tenant, &headers).await?;
    let lease = feed::lease(&node.server, &tenant, &subscriber, &request).await?;
    Ok(json_no_store(StatusCode::OK, &lease))
}

/// What the enforcer tells clients to ask for at its resource.
pub(in crate::http) async fn advice(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let subscriber = subscriber(&node, &tenant, &headers).await?;
    let resource = headers.get(ENFORCED_RESOURCE).and_then(|resource| resource.to_str().ok());
    let resource = resource.ok_or(Refusal::ParameterMissing)?;
    Ok(json_no_store(StatusCode::OK, &feed::advice(&tenant, &subscriber, resource)?))
}

/// The news as they come.
pub(in crate::http) async fn stream(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let subscriber = subscriber(&node, &tenant, &headers).await?;
    // WHATWG HTML §9.2.4: a client that comes back says in `Last-Event-ID` how far it had come.
    let from = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let from: Rev = from.and_then(|text| text.parse().ok()).ok_or(Refusal::RequestMalformed)?;
    if matches!(feed::news(&tenant, &subscriber.sees, &from.generation, from.seq), News::StartOver) {
        return Err(Refusal::LogReplaced.into());
    }
    let events =
        Events { news: tenant.view.news(), server: node.server, tenant, subscriber, from, ended: false };
    let body = Body::from_stream(stream::unfold(events, Events::next));
    let mut response = answer("text/event-stream", body);
    // nginx would keep events back until its buffer is full.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// One open stream.
struct Events {
    server: Arc<Server>,
    tenant: Arc<Tenant>,
    subscriber: Subscriber,
    news: watch::Receiver<Rev>,
    /// How far the stream has come.
    from: Rev,
    ended: bool,
}

impl Events {
    async fn next(mut self) -> Option<(Result<Bytes, std::convert::Infallible>, Self)> {
        if self.ended {
            return None;
        }
        loop {
            self.news.mark_unchanged();
            match feed::news(&self.tenant, &self.subscriber.sees, &self.from.generation, self.from.seq) {
                News::Event(seq, bytes) => {
                    self.from.seq = seq;
                    return Some((Ok(bytes), self));
                }
                News::StartOver => {
                    self.ended = true;
                    return Some((Ok(Bytes::from_static(b"event: reset\ndata: {}\n\n")), self));
                }
                News::Nothing => {}
            }
            let stopping = self.server.stopping.clone();
            tokio::select! {
                changed = self.news.changed() => {
                    changed.ok()?;
                    if !self.subscriber.may_go_on(&self.tenant) {
                        return None;
                    }
                }
                () = stopping.cancelled() => return None,
                () = tokio::time::sleep(Duration::from_secs(HEARTBEAT)) => {
                    if !self.subscriber.may_go_on(&self.tenant) {
                        return None;
                    }
                    let beat = format!("event: heartbeat\ndata: {}\n\n", self.from.seq);
                    return Some((Ok(Bytes::from(beat)), self));
                }
            }
        }
    }
}
