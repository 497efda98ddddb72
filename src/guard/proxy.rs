//! One request's way through the guard, from the top.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, ORIGIN,
    WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde_json::Value;

use super::Guard;
use super::bearer::{bearer, check_query};
use super::body::{drop_on_arrival, read};
use super::evidence::Caller;
use super::headers::{self, Era, LAST_EVENT_ID, SESSION};
use super::judge::{Judged, judge, session};
use super::message::Message;
use super::methods::Treatment;
use super::refusal::Refusal;
use super::respond::{self, Refused};
use super::sessions::Sessions;
use super::stream::{Body, Death, Rechecked, Stream, Watch, full};
use super::tool_list::ListFilter;
use crate::enforcer::{StalePolicy, VerifiedToken};

/// The longest answer that is held back to be filtered.
const LONGEST_LIST: usize = 8 * 1024 * 1024;

/// Answers one request.
pub(super) async fn answer(guard: Arc<Guard>, request: Request<Incoming>) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    // They were for this connection only: what is judged is what the server will see.
    headers::strip_hop_by_hop(&mut parts.headers);
    let answered = route(&guard, parts, body).await;
    let response =
        answered.unwrap_or_else(|no| respond::refused(&no, &guard.challenges, guard.settings.step_up));
    metrics::counter!("taskpass_guard_responses_total", "status" => response.status().as_str().to_owned())
        .increment(1);
    response
}

async fn route(guard: &Arc<Guard>, parts: Parts, body: Incoming) -> Result<Response<Body>, Box<Refused>> {
    let path = parts.uri.path();
    if path == guard.settings.metadata_path && matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok(metadata(guard));
    }
    // Byte for byte: what isn't the endpoint in this very spelling doesn't reach the server.
    if path != guard.settings.path {
        return Err(no(Refusal::PathUnknown));
    }
    check_query(parts.uri.query()).map_err(no)?;
    match parts.method {
        Method::POST => post(guard, parts, body).await,
        Method::GET | Method::DELETE => without_body(guard, parts).await,
        _ => Err(no(Refusal::MethodNotAllowed)),
    }
}

fn no(refusal: Refusal) -> Box<Refused> {
    Box::new(refusal.into())
}

/// Protected resource metadata (RFC 9728 §3): public, so any page may read it.
fn metadata(guard: &Guard) -> Response<Body> {
    let mut document = guard.settings.metadata.clone();
    let scopes = guard.challenges.first_scopes();
    if !scopes.is_empty() {
        document["scopes_supported"] = scopes.into();
    }
    let mut response = respond::json_answer(StatusCode::OK, &document);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    headers.insert("access-control-allow-origin", HeaderValue::from_static("*"));
    response
}

/// A message.
async fn post(guard: &Arc<Guard>, parts: Parts, body: Incoming) -> Result<Response<Body>, Box<Refused>> {
    // Before the body: what a stranger sends isn't looked at.
    let (token, body) = match authenticate(guard, &parts.headers, guard.settings.stale).await {
        // How stale the view may be can depend on the tool, and that stands in the body.
        caller if depends_on_tool(guard, &caller) => {
            let body = read(body, guard.settings.max_body).await.map_err(no)?;
            let caller = match policy_of(guard, &body) {
                Some(policy) => authenticate(guard, &parts.headers, policy).await,
                None => caller,
            };
            (tolerate(guard, caller, None)?, body)
        }
        caller => {
            let token = match tolerate(guard, caller, None) {
                Ok(token) => token,
                Err(no) => {
                    drop_on_arrival(body).await;
                    return Err(no);
                }
            };
            (token, read(body, guard.settings.max_body).await.map_err(no)?)
        }
    };
    // The body took its time, and the token may have died meanwhile.
    let token = match token {
        Some(token) => {
            let living = guard.enforcer.recheck(&token).map_err(|error| no(error.into()));
            tolerate(guard, living, Some(&token))?.map(|()| token)
        }
        None => None,
    };
    let judged = match &token {
        None => None,
        Some(token) => {
            tolerate(guard, entitle(guard, token), Some(token))?;
            tolerate(guard, judge(guard, &parts.headers, &body, token), Some(token))?
        }
    };
    if let (Some(token), Some(Judged { treatment: Treatment::Call, tool, .. })) = (&token, &judged) {
        tolerate(guard, guard.evidence.granted(token, tool.as_deref()).map_err(no), Some(token))?;
    }
    forward(guard, parts, body, (token, judged)).await
}

fn depends_on_tool(guard: &Guard, caller: &Result<VerifiedToken, Box<Refused>>) -> bool {
    let answered = caller.as_ref().map_or_else(|no| no.refusal == Refusal::Stale, |_| true);
    answered && !guard.settings.stale_tools.is_empty()
}

/// What the operator set for the tool that this body calls, if it calls one of those.
fn policy_of(guard: &Guard, body: &[u8]) -> Option<StalePolicy> {
    let message = Message::parse(body).ok().filter(|message| message.method() == Some("tools/call"))?;
    Some(guard.stale_policy(message.params.get("name").and_then(Value::as_str)))
}

/// The server's own stream, or the end of a session, in versions before 2026-07-28.
async fn without_body(guard: &Arc<Guard>, mut parts: Parts) -> Result<Response<Body>, Box<Refused>> {
    let caller = authenticate(guard, &parts.headers, guard.settings.stale).await;
    let token = tolerate(guard, caller, None)?;
    let judged = match &token {
        None => None,
        Some(token) => {
            tolerate(guard, entitle(guard, token), Some(token))?;
            tolerate(guard, judge_without_body(guard, &parts, token).map_err(no), Some(token))?
        }
    };
    if judged.as_ref().is_some_and(|judged| judged.session.is_none()) {
        // Without a session there is nothing that says whose stream would go on.
        parts.headers.remove(LAST_EVENT_ID);
    }
    forward(guard, parts, Bytes::new(), (token, judged)).await
}

fn judge_without_body(guard: &Guard, parts: &Parts, token: &VerifiedToken) -> Result<Judged, Refusal> {
    let era = headers::era_of_headers(&parts.headers)?;
    let session = session(guard, &parts.headers, token)?;
    // MCP 2026-07-28: "HTTP GET or DELETE to the MCP endpoint: respond with 405". A session can only be ended by its owner.
    if era == Era::Modern || (parts.method == Method::DELETE && session.is_none()) {
        return Err(Refusal::MethodNotAllowed);
    }
    // What broke off may have been a list, and goes on in this stream.
    let treatment = if parts.method == Method::GET { Treatment::List } else { Treatment::Harmless };
    Ok(Judged { era, treatment, id: None, tool: None, session })
}

/// Who calls: by which page, and with which token.
async fn authenticate(
    guard: &Guard,
    headers: &HeaderMap,
    policy: StalePolicy,
) -> Result<VerifiedToken, Box<Refused>> {
    // MCP, Transports: "Servers MUST validate the `Origin` header on all incoming connections to prevent DNS rebinding
    // attacks … If the `Origin` header is present and invalid, servers MUST respond with HTTP 403 Forbidden."
    if let Some(origin) = headers.get(ORIGIN)
        && !guard.settings.origins.iter().any(|known| known.as_bytes() == origin.as_bytes())
    {
        return Err(no(Refusal::OriginNotAllowed));
    }
    let token = bearer(headers).map_err(no)?;
    guard.enforcer.check_under(token, policy).await.map_err(|error| {
        let refusal = Refusal::from(error);
        Box::new(Refused { whose: guard.whose(token, &refusal), ..refusal.into() })
    })
}

/// Whether a good token may come in: by its scopes, and by how often it comes.
fn entitle(guard: &Guard, token: &VerifiedToken) -> Result<(), Box<Refused>> {
    let held = &token.claims().scope;
    if !guard.challenges.scopes().iter().all(|scope| held.contains(scope)) {
        return Err(no(Refusal::ScopeMissing));
    }
    guard.limits.take(token).map_err(no)
}

/// Writes a refusal down; in a dry run it is then let through.
fn tolerate<T>(
    guard: &Guard,
    decided: Result<T, Box<Refused>>,
    token: Option<&VerifiedToken>,
) -> Result<Option<T>, Box<Refused>> {
    let no = match decided {
        Ok(decided) => return Ok(Some(decided)),
        Err(no) => no,
    };
    // Whoever asks too often must not fill the record by it.
    let counted_only = matches!(no.refusal, Refusal::RateLimited { .. } | Refusal::EvidenceFull);
    if counted_only {
        metrics::counter!("taskpass_guard_decisions_total", "rule" => no.refusal.rule()).increment(1);
    } else {
        let caller = token.map_or(Caller::Stranger(no.whose.as_deref()), Caller::Known);
        guard.evidence.refused(caller, no.tool.as_deref(), no.refusal.rule());
    }
    if !guard.settings.dry_run {
        return Err(no);
    }
    tracing::warn!(rule = no.refusal.rule(), tool = no.tool, "dry run: this would be refused");
    Ok(None)
}

/// Sends on what was judged: these very bytes.
async fn forward(
    guard: &Arc<Guard>,
    parts: Parts,
    body: Bytes,
    (token, judged): (Option<VerifiedToken>, Option<Judged>),
) -> Result<Response<Body>, Box<Refused>> {
    let request = upstream_request(guard, parts, body, (token.as_ref(), judged.as_ref()));
    let (Some(token), Some(judged)) = (token, judged) else {
        // Only a dry run comes here: as the bare server would answer.
        let answer = guard.upstream.send(request).await.map_err(no)?;
        return Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()));
    };
    let refused = |refusal: Refusal, judged: &Judged| {
        Box::new(Refused {
            refusal,
            in_message: judged.id.is_some(),
            id: judged.id.clone(),
            era: judged.era,
            tool: judged.tool.clone(),
            needed: None,
            whose: None,
        })
    };
    let watch = Watch { guard: Arc::clone(guard), token, tool: judged.tool.clone(), id: judged.id.clone() };
    if guard.settings.dry_run {
        let answer = guard.upstream.send(request).await.map_err(|refusal| refused(refusal, &judged))?;
        let (mut parts, body) = answer.into_parts();
        seal_session(guard, &mut parts.headers, &watch.token, judged.era);
        return Ok(Response::from_parts(parts, body.map_err(Into::into).boxed_unsync()));
    }
    let mut death = watch.death();
    // A call may take long before it says anything: it is not worth waiting for once its token is dead. That is looked at
    // first: whatever held this task up since the token was checked, the server isn't called under a dead one.
    let answer = tokio::select! {
        biased;
        refusal = &mut death => {
            guard.evidence.refused(Caller::Known(&watch.token), watch.tool.as_deref(), refusal.rule());
            Err(refusal)
        }
        answer = guard.upstream.send(request) => answer,
    };
    let answer = answer.map_err(|refusal| refused(refusal, &judged))?;
    deliver(answer, watch, death, &judged).await.map_err(|refusal| refused(refusal, &judged))
}

fn upstream_request(
    guard: &Guard,
    parts: Parts,
    body: Bytes,
    (token, judged): (Option<&VerifiedToken>, Option<&Judged>),
) -> Request<Full<Bytes>> {
    let mut headers = parts.headers;
    // A dry run lets a credential of the server's own pass, and whatever session the client has.
    let own = headers.get(AUTHORIZATION).cloned().filter(|_| token.is_none() && !holds_ours(guard, &headers));
    let session = match judged {
        Some(judged) => judged.session.clone(),
        None => headers.get(SESSION).and_then(|id| id.to_str().ok()).map(Sessions::without_seal),
    };
    let session = session.and_then(|id| HeaderValue::from_str(&id).ok());
    headers::for_upstream(&mut headers, guard.upstream.host());
    if parts.method == Method::POST {
        // A message begins a stream; only a GET goes on with one, and what it brings is filtered.
        headers.remove(LAST_EVENT_ID);
    }
    own.map(|own| headers.insert(AUTHORIZATION, own));
    session.map(|session| headers.insert(SESSION, session));
    if let Some(token) = token {
        headers::add_trusted(&mut headers, token);
    }
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = parts.method;
    *request.uri_mut() = guard.upstream.uri(parts.uri.query());
    *request.headers_mut() = headers;
    request
}

/// Whether a token of our issuer, dead or alive, stands anywhere in `Authorization`, under whatever scheme and however
/// malformed: such a one never reaches the server.
fn holds_ours(guard: &Guard, headers: &HeaderMap) -> bool {
    let issuer = |word: &str| {
        let payload = word.split('.').nth(1)?;
        let bytes =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload).ok()?;
        Some(serde_json::from_slice::<Value>(&bytes).ok()?.get("iss")?.as_str()?.to_owned())
    };
    let ours = |word: &str| {
        word.starts_with("tpo_") || issuer(word).as_deref() == Some(guard.settings.issuer.as_str())
    };
    let word_end = |letter: char| !letter.is_ascii_alphanumeric() && !"-._".contains(letter);
    // What isn't text could hide anything.
    headers
        .get_all(AUTHORIZATION)
        .iter()
        .any(|value| value.to_str().map_or(true, |text| text.split(word_end).any(ours)))
}

/// Brings the server's answer to the client: filtered where it lists tools, watched in any case.
async fn deliver(
    answer: Response<Incoming>,
    watch: Watch,
    death: Death,
    judged: &Judged,
) -> Result<Response<Body>, Refusal> {
    let guard = Arc::clone(&watch.guard);
    let (mut parts, body) = answer.into_parts();
    // How the server speaks to the guard says nothing about how the guard speaks to the client.
    parts.version = http::Version::HTTP_11;
    headers::strip_hop_by_hop(&mut parts.headers);
    parts.headers.remove(WWW_AUTHENTICATE);
    headers::strip_trusted(&mut parts.headers);
    seal_session(&guard, &mut parts.headers, &watch.token, judged.era);
    let content_type =
        parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_list = judged.treatment == Treatment::List;
    if is_list && parts.headers.contains_key(CONTENT_ENCODING) {
        return Err(Refusal::UpstreamMalformed);
    }
    let filter = || ListFilter { guard: Arc::clone(&guard), token: watch.token.clone(), era: judged.era };
    let body = match media_type.as_str() {
        "text/event-stream" => {
            parts.headers.remove(CONTENT_LENGTH);
            parts.headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
            let stream = if is_list {
                let filter = filter();
                Stream::filtered(body, watch, death, filter)
            } else {
                Stream::through(body, watch, death)
            };
            stream.boxed_unsync()
        }
        // Whatever a server calls its list, it is read as one or not passed on; what is empty says nothing.
        _ if is_list => {
            let bytes =
                Limited::new(body, LONGEST_LIST).collect().await.map_err(|_| Refusal::UpstreamMalformed)?;
            let bytes = bytes.to_bytes();
            if media_type != "application/json" || bytes.is_empty() {
                return withheld(parts, &bytes);
            }
            let filtered = filter().apply(&bytes)?;
            for name in [CONTENT_LENGTH, ETAG, http::HeaderName::from_static("content-digest")] {
                parts.headers.remove(name);
            }
            parts.headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
            full(filtered.to_string())
        }
        _ => {
            guard.enforcer.recheck(&watch.token)?;
            Rechecked { upstream: body, watch }.boxed_unsync()
        }
    };
    Ok(Response::from_parts(parts, body))
}

/// An answer to a list that is none: its status says enough, its body might say more than this token may see.
fn withheld(mut parts: http::response::Parts, bytes: &Bytes) -> Result<Response<Body>, Refusal> {
    if parts.status.is_success() && !bytes.is_empty() {
        return Err(Refusal::UpstreamMalformed);
    }
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.remove(CONTENT_TYPE);
    Ok(Response::from_parts(parts, full(Bytes::new())))
}

/// Binds the session that the server names to the identity that opened it; from 2026-07-28 on there is none.
fn seal_session(guard: &Guard, headers: &mut HeaderMap, token: &VerifiedToken, era: Era) {
    let id = headers.remove(SESSION).filter(|_| era == Era::Sessions);
    let sealed = id.and_then(|id| Some(guard.sessions.seal(id.to_str().ok()?, token)));
    if let Some(sealed) = sealed.and_then(|sealed| HeaderValue::from_str(&sealed).ok()) {
        headers.insert(SESSION, sealed);
    }
}
