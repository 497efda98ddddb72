//! The one way out: https, no redirects, no special-use addresses, bounded in time and size.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde_json::Value;

use super::address::is_special;
use crate::protocol::strict_json;

/// What an operator allows the server to call.
#[derive(Clone, Debug, Default)]
pub struct OutboundRules {
    /// Networks that may be called although they are special-use, for identity providers inside the company.
    pub allowed: Vec<IpNet>,
    /// PEM certificates trusted beside the built-in roots.
    pub extra_roots_pem: Option<Vec<u8>>,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not an https URL.
    #[error("the URL is not https")]
    NotHttps,
    /// The host's address is a special-use one.
    #[error("the host's address is not allowed")]
    Address,
    /// The connection, the handshake or the answer failed.
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    /// The answer isn't 200.
    #[error("the answer's status is {0}")]
    Status(u16),
    /// The answer, or the file, is larger than is read, or not a file.
    #[error("too large, or not a file")]
    TooLarge,
    /// The answer isn't a JSON object.
    #[error("{0}")]
    Json(#[from] strict_json::NotStrict),
    /// The file can't be read.
    #[error("{0}")]
    File(#[from] std::io::Error),
}

/// The largest document that is read, in bytes.
const LARGEST: usize = 256 * 1024;

/// The guarded client.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: reqwest::Client,
    rules: Arc<OutboundRules>,
}

#[derive(Debug)]
struct GuardedResolver(Arc<OutboundRules>);

impl Resolve for GuardedResolver {
    /// The addresses checked here are the ones connected to: there is no second look-up for a rebinding host to win.
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.iter().any(|address| !allows(&rules, address.ip())) {
                return Err(Box::new(FetchError::Address) as Box<dyn std::error::Error + Send + Sync>);
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn allows(rules: &OutboundRules, address: std::net::IpAddr) -> bool {
    !is_special(address) || rules.allowed.iter().any(|network| network.contains(&address))
}

impl Fetcher {
    /// A client under these rules.
    pub fn new(rules: OutboundRules) -> Result<Self, FetchError> {
        crate::tls::install_provider();
        let rules = Arc::new(rules);
        let mut builder = reqwest::Client::builder()
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(5))
            .connect_timeout(Duration::from_secs(3))
            .dns_resolver(Arc::new(GuardedResolver(rules.clone())));
        if let Some(pem) = &rules.extra_roots_pem {
            for certificate in reqwest::Certificate::from_pem_bundle(pem)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        Ok(Self { client: builder.build()?, rules })
    }

    /// Fetches one JSON object.
    pub async fn json(&self, url: &str) -> Result<Value, FetchError> {
        let parsed = url::Url::parse(url).map_err(|_| FetchError::NotHttps)?;
        if parsed.scheme() != "https" {
            return Err(FetchError::NotHttps);
        }
        // An address written as a number never reaches the resolver.
        let literal = match parsed.host() {
            Some(url::Host::Ipv4(address)) => Some(address.into()),
            Some(url::Host::Ipv6(address)) => Some(address.into()),
            Some(url::Host::Domain(_)) => None,
            None => return Err(FetchError::NotHttps),
        };
        if literal.is_some_and(|address| !allows(&self.rules, address)) {
            return Err(FetchError::Address);
        }
        let mut response = self.client.get(parsed).header("accept", "application/json").send().await?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > LARGEST {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Value::Object(strict_json::object(&body, 16)?))
    }

    /// Reads one JSON object from a file on this machine.
    pub async fn file(path: &str) -> Result<Value, FetchError> {
        use tokio::io::AsyncReadExt as _;
        // A device or a pipe would never end.
        let metadata = tokio::fs::metadata(path).await?;
        if !metadata.is_file() || metadata.len() > LARGEST as u64 {
            return Err(FetchError::TooLarge);
        }
        let mut body = Vec::new();
        tokio::fs::File::open(path).await?.take(LARGEST as u64).read_to_end(&mut body).await?;
        Ok(Value::Object(strict_json::object(&body, 16)?))
    }
}
