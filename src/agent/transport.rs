//! HTTP as an agent needs it: no redirects, bounded time and size, strict JSON, failures told apart.

use std::time::Duration;

use serde_json::{Map, Value};

use super::error::{Error, Refused};
use super::request::Form;
use crate::protocol::strict_json;

/// The most bytes that are read of an answer.
const MOST: usize = 256 * 1024;

/// One HTTP client for one server.
#[derive(Clone, Debug)]
pub(super) struct Transport(reqwest::Client);

/// Why there is no answer, and whether the request may be sent again at once.
pub(super) struct Failure {
    pub(super) error: Error,
    /// The connection failed before an answer began.
    pub(super) connection: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, connection: false }
    }
}

impl Transport {
    /// A client; `direct` leaves the proxies of the environment aside, for servers on this machine.
    pub(super) fn new(direct: bool) -> Result<Self, Error> {
        crate::tls::install_provider();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("taskpass-agent/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(15));
        if direct {
            builder = builder.no_proxy();
        }
        builder
            .build()
            .map(Self)
            .map_err(|error| Error::Request(format!("no HTTP client: {}", cause(&error))))
    }

    /// Fetches a JSON object.
    pub(super) async fn fetch(&self, what: &'static str, url: &str) -> Result<Map<String, Value>, Failure> {
        let request = self.0.get(url).header("accept", "application/json");
        let (status, members) = self.send(what, request).await?;
        match (status, members) {
            (200, Some(members)) => Ok(members),
            (200, None) => Err(Error::malformed(what, "not a JSON object").into()),
            (status, _) => Err(unexpected(what, status).into()),
        }
    }

    /// Posts a form to an OAuth endpoint; an error answer becomes [`Error::Refused`]. The body may be empty (RFC 7009).
    pub(super) async fn post(
        &self,
        what: &'static str,
        url: &str,
        form: &Form,
    ) -> Result<Option<Map<String, Value>>, Failure> {
        let request = self
            .0
            .post(url)
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.body().to_owned());
        let (status, members) = self.send(what, request).await?;
        if status == 200 { Ok(members) } else { Err(unexpected(what, status).into()) }
    }

    async fn send(
        &self,
        what: &'static str,
        request: reqwest::RequestBuilder,
    ) -> Result<(u16, Option<Map<String, Value>>), Failure> {
        let mut response = request.send().await.map_err(|error| Failure {
            connection: !error.is_timeout() && (error.is_connect() || error.is_request()),
            error: Error::unreachable(what, cause(&error)),
        })?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        let json = is_json(response.headers());
        let mut body = zeroize::Zeroizing::new(Vec::new());
        while let Some(chunk) =
            response.chunk().await.map_err(|error| Error::unreachable(what, cause(&error)))?
        {
            if body.len() + chunk.len() > MOST {
                return Err(Error::malformed(what, "the answer is too long").into());
            }
            body.extend_from_slice(&chunk);
        }
        let members = if json && !body.is_empty() {
            // An object with a member twice means different things to different readers.
            Some(strict_json::object(&body, 32).map_err(|_| Error::malformed(what, "not strict JSON"))?)
        } else {
            None
        };
        let refused = members.as_ref().and_then(|members| Refused::read(status, retry_after, members));
        match (status, refused) {
            (200, _) | (_, None) => Ok((status, members)),
            (_, Some(refused)) => Err(Error::from(refused).into()),
        }
    }
}

fn unexpected(what: &'static str, status: u16) -> Error {
    let cause = format!("status {status} without an OAuth error");
    if status == 429 || status >= 500 {
        Error::unreachable(what, cause)
    } else {
        Error::malformed(what, cause)
    }
}

fn is_json(headers: &http::HeaderMap) -> bool {
    let kind = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// RFC 9110 §10.2.3, in seconds. The other form, a date, would make the wait depend on two clocks and isn't read.
fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// reqwest's own text names the URL and hides the reason; people need the reason.
fn cause(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
