//! The enforcer's own requests: to one issuer, bounded in time and size, without redirects.

use std::time::Duration;

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Map, Value};

use crate::protocol::strict_json;

/// Why the issuer's answer can't be used. Nothing here says that a token is bad: it says that we don't know.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// No answer: no connection, a timeout, a broken transfer.
    #[error("the issuer could not be reached: {0}")]
    Unreachable(#[from] reqwest::Error),
    /// An answer with a status that isn't success.
    #[error("the issuer answered {status}{}", .error.as_deref().map(|code| format!(" ({code})")).unwrap_or_default())]
    Status {
        /// The HTTP status.
        status: u16,
        /// The `error` code of the body, where it has one.
        error: Option<String>,
    },
    /// Longer than we read.
    #[error("the issuer's answer is too long")]
    TooLong,
    /// Not what the standard says the answer is.
    #[error("the issuer's answer is malformed: {0}")]
    Malformed(&'static str),
    /// The issuer's revocation log is shorter than what was applied from it: its database was set back.
    #[error("the issuer's revocation log has been set back")]
    SetBack,
    /// The token was decided under entries of the revocation log that the issuer doesn't have.
    #[error("the token is ahead of the issuer's revocation log")]
    Ahead,
    /// Too many unknown tokens are being asked about already.
    #[error("too many unknown tokens at the same time")]
    Busy,
    /// So many DPoP proofs were used a moment ago that no more can be remembered.
    #[error("too many DPoP proofs at the same time")]
    ProofsFull,
    /// The issuer's answer was on its way for longer than it holds.
    #[error("the issuer's answer came too late")]
    TooLate,
    /// The lease on the revocation log has run out.
    #[error("what is known of the revocation log is too old")]
    ViewStale,
    /// An attempt failed a moment ago, and the next one isn't due.
    #[error("the issuer failed a moment ago and is not asked again yet")]
    Resting,
}

/// A client that follows no redirect and gives up after `timeout`. An issuer on this machine is never behind a proxy.
pub(super) fn client(timeout: Duration, this_machine: bool) -> Result<reqwest::Client, reqwest::Error> {
    crate::tls::install_provider();
    let builder = reqwest::Client::builder();
    let builder = if this_machine { builder.no_proxy() } else { builder };
    builder
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(timeout.min(Duration::from_secs(2)))
        .timeout(timeout)
        .build()
}

/// Fetches a JSON object of at most `limit` bytes.
pub(super) async fn get(
    client: &reqwest::Client,
    url: &str,
    limit: usize,
) -> Result<Map<String, Value>, Unavailable> {
    read(client.get(url).header(ACCEPT, "application/json").send().await?, limit).await
}

/// Posts a form and reads a JSON object of at most `limit` bytes.
pub(super) async fn post(
    client: &reqwest::Client,
    url: &str,
    form: &[(&str, &str)],
    bearer: Option<&str>,
    limit: usize,
) -> Result<Map<String, Value>, Unavailable> {
    read(send(client, url, form, bearer).await?, limit).await
}

/// Posts a form.
pub(super) async fn send(
    client: &reqwest::Client,
    url: &str,
    form: &[(&str, &str)],
    bearer: Option<&str>,
) -> Result<reqwest::Response, Unavailable> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let mut request = client
        .post(url)
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body);
    if let Some(bearer) = bearer {
        request = request.bearer_auth(bearer);
    }
    Ok(request.send().await?)
}

/// Seconds that an answer holds whose issuer doesn't say: a little longer than a request may take.
const HOLDS: u64 = 5;

/// For how long the issuer's answer holds, counted from when it was asked (RFC 9111 §5.2.2.1).
pub(super) fn max_age(response: &reqwest::Response) -> Duration {
    let value =
        response.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let seconds = value.split(',').find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(HOLDS))
}

/// Reads a text of at most `limit` bytes.
pub(super) async fn read_text(response: reqwest::Response, limit: usize) -> Result<String, Unavailable> {
    let status = response.status();
    let body = read_body(response, limit).await?;
    if !status.is_success() {
        return Err(Unavailable::Status { status: status.as_u16(), error: None });
    }
    String::from_utf8(body).map_err(|_| Unavailable::Malformed("it is not text"))
}

async fn read_body(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, Unavailable> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(Unavailable::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads a JSON object of at most `limit` bytes.
pub(super) async fn read(
    response: reqwest::Response,
    limit: usize,
) -> Result<Map<String, Value>, Unavailable> {
    let status = response.status();
    let body = read_body(response, limit).await?;
    let object = strict_json::object(&body, 24);
    if !status.is_success() {
        let error = object.ok().and_then(|body| Some(body.get("error")?.as_str()?.to_owned()));
        let error = error.filter(|code| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_graphic()));
        return Err(Unavailable::Status { status: status.as_u16(), error });
    }
    object.map_err(|_| Unavailable::Malformed("it is not a JSON object"))
}
