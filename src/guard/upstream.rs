//! The server behind the guard.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls_platform_verifier::ConfigVerifierExt as _;

use super::refusal::Refusal;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(20);

/// A pool of connections to one address. No redirect is followed: whoever can redirect could lead a call elsewhere.
pub(super) struct Upstream {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Where the MCP endpoint is.
    uri: Uri,
    host: HeaderValue,
}

impl Upstream {
    /// The server at `url`; without a path of its own it is asked at `path`.
    pub(super) fn new(url: &url::Url, path: &str) -> Result<Self, String> {
        crate::tls::install_provider();
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let tls = rustls::ClientConfig::with_platform_verifier().map_err(|error| error.to_string())?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        let mut url = url.clone();
        if url.path() == "/" {
            url.set_path(path);
        }
        let uri: Uri = url.as_str().parse().map_err(|_| format!("{url} can't be called"))?;
        let host = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let host = HeaderValue::from_str(host).map_err(|_| format!("{url} has no host"))?;
        Ok(Self { client, uri, host })
    }

    /// The `Host` that it answers to.
    pub(super) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// The URI of the endpoint, with the query of a request.
    pub(super) fn uri(&self, query: Option<&str>) -> Uri {
        let Some(query) = query else { return self.uri.clone() };
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = format!("{}?{query}", self.uri.path()).parse().ok();
        Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone())
    }

    /// Sends a request. It waits for the answer as long as the caller does.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Refusal> {
        let answer = self.client.request(request).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, upstream = %self.uri, "the server behind the guard does not answer");
            Refusal::UpstreamUnreachable
        })?;
        // Handing a redirect on would send the client, with its token, past the guard.
        if answer.status().is_redirection() {
            tracing::error!(upstream = %self.uri, status = %answer.status(), "the server behind the guard redirects: set --upstream to its final address");
            return Err(Refusal::UpstreamRedirects);
        }
        // Its challenge would name another issuer to the client, or send it round in a loop.
        if answer.status() == http::StatusCode::UNAUTHORIZED {
            return Err(Refusal::UpstreamWantsToken);
        }
        Ok(answer)
    }
}
