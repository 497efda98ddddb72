//! Bodies on their way to the client: passed through as they come, and cut when their token dies.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as HttpBody, Frame, Incoming};
use serde_json::Value;

use super::Guard;
use super::evidence::Caller;
use super::refusal::Refusal;
use super::respond;
use super::sse::{self, Boundary, Splitter};
use super::tool_list::ListFilter;
use crate::enforcer::VerifiedToken;

/// Why a body ends early.
pub(super) type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// A body of the guard's answers.
pub(super) type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A whole body.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// The longest event that is held back to be filtered.
const LONGEST_EVENT: usize = 8 * 1024 * 1024;

/// The end of a token: resolves with the reason.
pub(super) type Death = Pin<Box<dyn Future<Output = Refusal> + Send>>;

/// What ends a stream, and how that is told.
pub(super) struct Watch {
    pub(super) guard: Arc<Guard>,
    pub(super) token: VerifiedToken,
    pub(super) tool: Option<String>,
    /// The id of the request that is answered; a stream of the server's own answers none.
    pub(super) id: Option<Value>,
}

impl Watch {
    /// Resolves when the token dies.
    pub(super) fn death(&self) -> Death {
        let (guard, token) = (Arc::clone(&self.guard), self.token.clone());
        Box::pin(async move { guard.enforcer.until_refused(&token).await.into() })
    }

    fn record(&self, refusal: &Refusal) {
        metrics::counter!("taskpass_guard_streams_cut_total").increment(1);
        self.guard.evidence.refused(Caller::Known(&self.token), self.tool.as_deref(), refusal.rule());
    }
}

/// A server-sent event stream.
pub(super) struct Stream {
    upstream: Incoming,
    watch: Watch,
    death: Death,
    passing: Passing,
    ready: VecDeque<Bytes>,
    done: bool,
}

/// What happens to what passes.
enum Passing {
    /// Nothing; only where events end is followed.
    Through(Boundary),
    /// Each event is read and filtered.
    Filtered(Splitter, Box<ListFilter>),
}

impl Stream {
    /// Passes a stream on unread.
    pub(super) fn through(upstream: Incoming, watch: Watch, death: Death) -> Self {
        Self::new(upstream, watch, death, Passing::Through(Boundary::new()))
    }

    /// Passes a stream on, event by event, with its tool lists filtered.
    pub(super) fn filtered(upstream: Incoming, watch: Watch, death: Death, filter: ListFilter) -> Self {
        Self::new(upstream, watch, death, Passing::Filtered(Splitter::new(), Box::new(filter)))
    }

    fn new(upstream: Incoming, watch: Watch, death: Death, passing: Passing) -> Self {
        metrics::gauge!("taskpass_guard_open_streams").increment(1.0);
        Self { upstream, watch, death, passing, ready: VecDeque::new(), done: false }
    }

    /// The last event, with the reason, where one may begin; otherwise the connection breaks off, so that nobody takes half
    /// an event for a whole one.
    fn cut(&mut self, refusal: &Refusal) -> Option<Result<Frame<Bytes>, BodyError>> {
        self.done = true;
        self.ready.clear();
        self.watch.record(refusal);
        let between = match &self.passing {
            Passing::Through(boundary) => boundary.is_between(),
            Passing::Filtered(..) => true,
        };
        match (&self.watch.id, between) {
            (Some(id), true) => {
                let error = respond::rpc_error(refusal, Some(id), None);
                Some(Ok(Frame::data(sse::message(&error))))
            }
            (None, true) => None,
            (_, false) => Some(Err("the token of this stream has died".into())),
        }
    }

    /// Takes bytes of the server; an error is why the stream ends.
    fn take(&mut self, bytes: Bytes) -> Result<(), Refusal> {
        match &mut self.passing {
            Passing::Through(boundary) => {
                boundary.pass(&bytes);
                self.ready.push_back(bytes);
            }
            Passing::Filtered(splitter, filter) => {
                splitter.push(&bytes);
                while let Some(event) = splitter.next() {
                    self.ready.push_back(filtered(filter, &event)?);
                }
                if splitter.held() > LONGEST_EVENT {
                    return Err(Refusal::UpstreamMalformed);
                }
            }
        }
        Ok(())
    }
}

fn filtered(filter: &ListFilter, event: &[u8]) -> Result<Bytes, Refusal> {
    // Readers put a replacement character where a byte isn't UTF-8, and read on.
    let event = std::str::from_utf8(event).map_err(|_| Refusal::UpstreamMalformed)?;
    match sse::data(event) {
        Some(data) if !data.trim().is_empty() => {
            Ok(sse::with_data(event, Some(&filter.apply(data.as_bytes())?.to_string())))
        }
        // Comments, and the empty events with which servers begin streams that can be resumed.
        empty => Ok(sse::with_data(event, empty.map(|_| ""))),
    }
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(None);
        }
        // First: what arrived under a living token and wasn't read yet is not sent under a dead one.
        if let Poll::Ready(refusal) = this.death.as_mut().poll(context) {
            return Poll::Ready(this.cut(&refusal));
        }
        loop {
            if !this.ready.is_empty()
                && let Err(error) = this.watch.guard.enforcer.recheck(&this.watch.token)
            {
                // Timers stand still while the machine sleeps, and run late in one that is busy; the lease doesn't.
                return Poll::Ready(this.cut(&error.into()));
            }
            if let Some(bytes) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            match Pin::new(&mut this.upstream).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => {
                    this.done = true;
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers say nothing to an MCP client.
                    let Ok(bytes) = frame.into_data() else { continue };
                    if let Err(refusal) = this.take(bytes) {
                        return Poll::Ready(this.cut(&refusal));
                    }
                }
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        metrics::gauge!("taskpass_guard_open_streams").decrement(1.0);
    }
}

/// A plain body: each piece leaves under a living token, or the connection breaks off.
pub(super) struct Rechecked {
    pub(super) upstream: Incoming,
    pub(super) watch: Watch,
}

impl HttpBody for Rechecked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.upstream).poll_frame(context);
        if let Poll::Ready(Some(_)) = &polled
            && let Err(error) = this.watch.guard.enforcer.recheck(&this.watch.token)
        {
            this.watch.record(&error.into());
            return Poll::Ready(Some(Err("the token of this answer has died".into())));
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.upstream.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.upstream.size_hint()
    }
}
