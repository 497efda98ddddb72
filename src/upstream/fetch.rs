//! The one way out: https, no redirects, no special-use addresses, bounded in time and size.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde_json::{Map, Value};

use super::address::is_special;
use super::pace::Pace;
use crate::protocol::strict_json;
use crate::time::monotonic;

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
    /// The answer says that it is something else than JSON.
    #[error("the answer's media type is not JSON")]
    NotJson,
    /// Strangers have made us call this host often enough for now.
    #[error("the host was called often enough for now")]
    TooOften,
    /// The file can't be read.
    #[error("{0}")]
    File(#[from] std::io::Error),
}

/// The largest document that is read, in bytes.
const LARGEST: usize = 256 * 1024;
/// The largest where strangers choose the URL: a set of a dozen RSA keys.
const LARGEST_OF_STRANGERS: usize = 16 * 1024;

/// The guarded client.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: reqwest::Client,
    rules: Arc<OutboundRules>,
    /// How often one host may be called, where strangers choose it.
    pace: Option<Pace>,
    /// The most that is read, in bytes.
    largest: usize,
}

/// A JSON object from somewhere else.
#[derive(Debug)]
pub struct Fetched {
    /// The object.
    pub members: Map<String, Value>,
    /// What the answer's `Cache-Control` says.
    pub cache_control: Option<String>,
    /// Whether its media type is JSON: `application/json`, or `application/…+json`.
    is_json: bool,
}

#[derive(Debug)]
struct GuardedResolver(Arc<OutboundRules>);

impl Resolve for GuardedResolver {
    /// The addresses checked here are the ones connected to: there is no second look-up for a rebinding host to win.
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(checked(&rules, found)?.into_iter()) as Addrs)
        })
    }
}

/// A host with one address that must not be called is not called at the others either.
fn checked(rules: &OutboundRules, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, FetchError> {
    let all = found.iter().all(|address| allows(rules, address.ip()));
    if all { Ok(found) } else { Err(FetchError::Address) }
}

/// The resolver's own refusal, out of what the client has wrapped around it.
fn unwrapped(error: reqwest::Error) -> FetchError {
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        if let Some(FetchError::Address) = inner.downcast_ref() {
            return FetchError::Address;
        }
        source = inner.source();
    }
    error.into()
}

fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
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
        Ok(Self { client: builder.build()?, rules, pace: None, largest: LARGEST })
    }

    /// A client for URLs that strangers choose: each host is called a few times a second at most, and what the operator allows for
    /// the company's own identity providers doesn't count.
    ///
    /// draft-ietf-oauth-client-id-metadata-document-02 §8.6: servers "MUST NOT fetch a Client ID Metadata Document URL or any URLs
    /// contained within a Client ID Metadata Document that resolve to special-use IP addresses". One for development may fetch
    /// "from loopback addresses when the authorization server itself is also running on a loopback address".
    pub fn for_strangers(rules: &OutboundRules, on_loopback: bool) -> Result<Self, FetchError> {
        let is_loopback = |network: &&IpNet| {
            on_loopback && network.network().is_loopback() && network.broadcast().is_loopback()
        };
        let allowed = rules.allowed.iter().filter(is_loopback).copied().collect();
        let fetcher = Self::new(OutboundRules { allowed, extra_roots_pem: rules.extra_roots_pem.clone() })?;
        Ok(Self { pace: Some(Pace::default()), largest: LARGEST_OF_STRANGERS, ..fetcher })
    }

    /// Fetches one JSON object.
    pub async fn json(&self, url: &str) -> Result<Value, FetchError> {
        Ok(Value::Object(self.fetch(url, self.largest).await?.members))
    }

    /// Fetches one JSON object of at most so many bytes, from a site that says that it is one.
    pub async fn document(&self, url: &str, largest: usize) -> Result<Fetched, FetchError> {
        let fetched = self.fetch(url, largest).await?;
        if fetched.is_json { Ok(fetched) } else { Err(FetchError::NotJson) }
    }

    async fn fetch(&self, url: &str, largest: usize) -> Result<Fetched, FetchError> {
        let request = self.client.get(self.allowed(url)?).header("accept", "application/json");
        let response = request.send().await.map_err(unwrapped)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let header =
            |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let cache_control = header(CACHE_CONTROL);
        let is_json = header(CONTENT_TYPE).is_some_and(|value| is_json(&value));
        let body = read(response, largest).await?;
        Ok(Fetched { members: strict_json::object(&body, 16)?, cache_control, is_json })
    }

    /// Sends a request, and reads its answer whatever the status; a good answer is a JSON object.
    pub async fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, FetchError> {
        let url = self.allowed(&request.uri().to_string())?;
        let (parts, body) = request.into_parts();
        let request = self.client.request(parts.method, url).headers(parts.headers).body(body);
        let response = request.send().await.map_err(unwrapped)?;
        let mut answer = http::Response::new(Vec::new());
        *answer.status_mut() = response.status();
        if let Some(kind) = response.headers().get(CONTENT_TYPE) {
            answer.headers_mut().insert(CONTENT_TYPE, kind.clone());
        }
        *answer.body_mut() = read(response, LARGEST).await?;
        if answer.status() == http::StatusCode::OK {
            // Whoever reads it next would take the last of two members of one name.
            strict_json::object(answer.body(), 16)?;
        }
        Ok(answer)
    }

    fn allowed(&self, url: &str) -> Result<url::Url, FetchError> {
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
        let host = parsed.host_str().unwrap_or_default();
        if self.pace.as_ref().is_some_and(|pace| !pace.allows(host, monotonic())) {
            return Err(FetchError::TooOften);
        }
        Ok(parsed)
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

async fn read(mut response: reqwest::Response, largest: usize) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > largest {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_that_must_not_be_called_spoils_the_others() {
        let rules = OutboundRules { allowed: vec!["10.0.0.0/8".parse().unwrap()], extra_roots_pem: None };
        let found = |list: &[&str]| {
            let list = list.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 443)).collect();
            checked(&rules, list).is_ok()
        };
        assert!(found(&["1.1.1.1", "2606:4700::1111"]) && found(&["1.1.1.1", "10.0.0.1"]));
        for bad in [
            "127.0.0.1",
            "169.254.169.254",
            "192.168.0.1",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "fe80::1",
        ] {
            assert!(!found(&["1.1.1.1", bad]) && !found(&[bad, "1.1.1.1"]), "{bad}");
        }
    }

    #[test]
    fn strangers_reach_loopback_from_loopback_alone_and_never_the_company() {
        let networks = ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "0.0.0.0/0", "126.0.0.0/7", "::/0"];
        let allowed = networks.iter().map(|network| network.parse().unwrap()).collect();
        let rules = OutboundRules { allowed, extra_roots_pem: None };
        let reaches = |on_loopback: bool, address: &str| {
            let fetcher = Fetcher::for_strangers(&rules, on_loopback).unwrap();
            allows(&fetcher.rules, address.parse().unwrap())
        };
        for loopback in ["127.0.0.1", "127.255.0.1", "::1"] {
            assert!(reaches(true, loopback) && !reaches(false, loopback), "{loopback}");
        }
        for company in
            ["10.0.0.1", "192.168.0.1", "169.254.169.254", "126.0.0.1", "fd00::1", "::ffff:127.0.0.1"]
        {
            assert!(!reaches(true, company) || company == "126.0.0.1", "{company}");
            assert!(!reaches(false, company) || company == "126.0.0.1", "{company}");
        }
    }

    #[tokio::test]
    async fn no_spelling_of_an_address_gets_past() {
        let fetcher = Fetcher::for_strangers(&OutboundRules::default(), false).unwrap();
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.0.0.1.",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:0:0:1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "0.0.0.0",
            "0",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "100.100.100.200",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "localhost",
            "LOCALHOST",
            "\u{ff11}27.0.0.1",
            "127\u{3002}0.0.1",
        ] {
            let refused = fetcher.document(&format!("https://{host}:1/client.json"), 5120).await.unwrap_err();
            assert!(matches!(refused, FetchError::Address), "{host}: {refused}");
        }
        for url in [
            "http://127.0.0.1/x",
            "file:///etc/passwd",
            "gopher://a.example/",
            "data:application/json,{}",
            "x",
        ] {
            assert!(matches!(fetcher.document(url, 5120).await.unwrap_err(), FetchError::NotHttps), "{url}");
        }
    }

    #[test]
    fn media_types_that_are_json() {
        for good in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON",
            "application/cimd+json",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "",
            "text/html",
            "text/json",
            "application/jsonp",
            "application/json+xml",
            "text/html; application/json",
            "image/x+json",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
