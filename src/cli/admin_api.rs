//! The admin API's client: credentials from a file, a token of our own for it, and errors that say what to do.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde_json::{Map, Value, json};

use super::error::CliError;
use crate::entropy::Entropy;
use crate::jose::{ClientKey, ClientKeyError};
use crate::protocol::token_type::{CLIENT_CREDENTIALS, JWT_BEARER};
use crate::time::Clock;

/// How to reach the admin API.
#[derive(Clone, Debug, clap::Args)]
pub struct Connection {
    /// The file with the administrator's key, as written by `taskpass admin enroll`
    /// [default: ~/.config/taskpass/credentials.json].
    #[arg(long, env = "TASKPASS_CREDENTIALS", value_name = "FILE")]
    pub credentials: Option<PathBuf>,
    /// Give up on a request after this many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub timeout: u64,
}

/// Where credentials live unless the command is told otherwise.
pub fn default_credentials() -> Result<PathBuf, CliError> {
    let home = std::env::home_dir().filter(|home| home.is_absolute());
    let home = home.ok_or_else(|| {
        CliError::new("there is no home directory to look for credentials in")
            .hint("name the file with --credentials FILE or TASKPASS_CREDENTIALS")
            .exit_code(CliError::USAGE)
    })?;
    Ok(home.join(".config/taskpass/credentials.json"))
}

/// An administrator's identity: who, at which issuer, proven by which key.
#[derive(Debug)]
pub struct Credentials {
    /// The issuer that knows the administrator.
    pub issuer: String,
    /// The administrator's client id.
    pub client_id: String,
    key: ClientKey,
}

impl Credentials {
    /// Reads a credentials file; one that others can read is refused.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        let refused = |problem: String| {
            CliError::new(format!("{}: {problem}", path.display())).exit_code(CliError::USAGE)
        };
        let mut file = std::fs::File::open(path).map_err(|error| {
            refused(format!("can't read the credentials: {error}")).hint(
                "`taskpass admin enroll --server URL --bootstrap-token-file FILE` makes them; --credentials FILE names others",
            )
        })?;
        let mode = file.metadata().map_err(|error| refused(error.to_string()))?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(refused(format!("others can read this private key (mode {mode:04o})")).hint(
                format!("chmod 600 {}, and make a new key if somebody may have seen it", path.display()),
            ));
        }
        let mut text = zeroize::Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(|error| refused(error.to_string()))?;
        let shape = "not a credentials file: {\"issuer\", \"client_id\", \"private_jwk\"}";
        let key = ClientKey::parse(&text).map_err(|error| match error {
            ClientKeyError::Malformed { .. } => refused(shape.into()),
            ClientKeyError::Key(error) => refused(format!("the private key can't be used: {error}")),
        })?;
        let issuer = key.issuer().ok_or_else(|| refused(shape.into()))?.to_owned();
        Ok(Self { issuer, client_id: key.client_id().to_owned(), key })
    }

    /// A fresh `private_key_jwt` (RFC 7523 §3) for the issuer.
    fn assertion(&self) -> Result<String, CliError> {
        let signed = self.key.assertion(&self.issuer, Clock::System.now(), &Entropy::default());
        signed.map_err(|error| CliError::new(format!("can't sign with the administrator's key: {error}")))
    }
}

/// The admin API of one issuer, with a token for one scope.
#[derive(Debug)]
pub struct AdminApi {
    http: reqwest::Client,
    base: Url,
    scope: &'static str,
    token: crate::secret::Secret,
    /// The administrator's credentials.
    pub credentials: Credentials,
}

impl AdminApi {
    /// Reads the credentials and gets a token with `scope` (a list with spaces) for the admin API.
    pub async fn connect(connection: &Connection, scope: &'static str) -> Result<Self, CliError> {
        let path = connection.credentials.clone().map_or_else(default_credentials, Ok)?;
        let credentials = Credentials::read(&path)?;
        let issuer = server_url(&credentials.issuer)?;
        let http = client(&issuer, connection.timeout)?;
        let resource = format!("{}/admin/v1", credentials.issuer);
        let base = server_url(&format!("{resource}/"))?;
        let endpoint = token_endpoint(&http, &issuer, &credentials.issuer).await?;
        let token = token(&http, endpoint, &credentials, &resource, scope).await?;
        Ok(Self { http, base, scope, token, credentials })
    }

    /// `GET /admin/v1/{path}`.
    pub async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.call(Method::GET, path, None).await
    }

    /// `POST /admin/v1/{path}` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// `PUT /admin/v1/{path}` with a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.call(Method::PUT, path, Some(body)).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, CliError> {
        let url = self.base.join(path).map_err(|error| CliError::new(format!("{path}: {error}")))?;
        let mut request = self.http.request(method, url).bearer_auth(self.token.expose());
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request.send().await?, self.scope).await
    }
}

/// Reads a server's URL; keys and tokens go out over TLS, or stay on this machine.
pub fn server_url(text: &str) -> Result<Url, CliError> {
    let refused = |problem: &str| CliError::new(format!("{text}: {problem}")).exit_code(CliError::USAGE);
    let url = Url::parse(text).map_err(|error| refused(&format!("not a URL: {error}")))?;
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(refused("a server's URL has no user, query or fragment"));
    }
    let here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if here => Ok(url),
        // RFC 6749 §3.2: "the authorization server MUST require the use of TLS".
        _ => Err(refused("only https:// is used, or http:// to this machine itself")),
    }
}

/// An HTTP client that follows no redirect: a token is for the server that was named.
pub fn client(server: &Url, timeout: u64) -> Result<reqwest::Client, CliError> {
    crate::tls::install_provider();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("taskpass/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(timeout));
    if server.scheme() == "http" {
        // Without TLS there is nothing to trust; a machine that has no root certificates yet can still be set up.
        builder = builder.tls_certs_only(std::iter::empty());
    }
    builder.build().map_err(|error| {
        CliError::from(error)
            .hint("https needs the system's root certificates (Debian, Ubuntu: apt install ca-certificates)")
    })
}

/// Finds the token endpoint in the server's metadata (RFC 8414 §3).
async fn token_endpoint(http: &reqwest::Client, issuer: &Url, name: &str) -> Result<Url, CliError> {
    // RFC 8414 §3.1: the well-known part is "inserted into the URL between the host component and the path".
    let mut url = issuer.clone();
    url.set_path(&format!("/.well-known/oauth-authorization-server{}", issuer.path().trim_end_matches('/')));
    let metadata = answer(http.get(url.clone()).send().await?, "").await.map_err(|error| match error.exit_code {
        CliError::REFUSED => CliError::new(format!("there is no Taskpass at {url}: {}", error.message))
            .hint("the `issuer` in the credentials must be the server's public URL, with /t/TENANT for other tenants than main"),
        _ => error,
    })?;
    // RFC 8414 §3.3: "The "issuer" value returned MUST be identical to the authorization server's issuer identifier".
    if metadata.get("issuer").and_then(Value::as_str) != Some(name) {
        let called = metadata.get("issuer").and_then(Value::as_str).unwrap_or("nothing");
        return Err(CliError::new(format!("the server at {url} calls itself {called}, not {name}")).hint(
            "start it with --public-url as the credentials know it, or enroll at the URL that it uses",
        ));
    }
    let endpoint = metadata.get("token_endpoint").and_then(Value::as_str).unwrap_or_default();
    server_url(endpoint)
}

/// Gets an access token for the admin API by `client_credentials` (RFC 6749 §4.4, RFC 8707 §2).
async fn token(
    http: &reqwest::Client,
    endpoint: Url,
    credentials: &Credentials,
    resource: &str,
    scope: &str,
) -> Result<crate::secret::Secret, CliError> {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", CLIENT_CREDENTIALS)
        .append_pair("resource", resource)
        .append_pair("scope", scope)
        .append_pair("client_id", &credentials.client_id)
        .append_pair("client_assertion_type", JWT_BEARER)
        .append_pair("client_assertion", &credentials.assertion()?)
        .finish();
    let request = http.post(endpoint).header("content-type", "application/x-www-form-urlencoded").body(form);
    let answer = answer(request.send().await?, scope).await?;
    match answer.get("access_token").and_then(Value::as_str) {
        Some(token) => Ok(crate::secret::Secret::new(token.to_owned())),
        None => Err(CliError::new("the token endpoint answered without an access token")),
    }
}

/// The body of a good answer, or what the server said against it; `scope` is what the request needed.
pub async fn answer(response: reqwest::Response, scope: &str) -> Result<Value, CliError> {
    let status = response.status();
    let wait = response.headers().get("retry-after").and_then(|wait| wait.to_str().ok()).map(str::to_owned);
    let origin = response.url().origin().ascii_serialization();
    let body = response.bytes().await?;
    let parsed = if body.is_empty() { Ok(json!({})) } else { serde_json::from_slice::<Value>(&body) };
    match parsed {
        Ok(value) if status.is_success() => Ok(value),
        Err(_) if status.is_success() => {
            Err(CliError::new(format!("{origin} answered something that isn't JSON"))
                .hint("is it a Taskpass server, and of this version?"))
        }
        parsed => {
            let members = parsed.ok().and_then(|value| value.as_object().cloned()).unwrap_or_default();
            Err(refusal(status, &members, wait.as_deref(), scope))
        }
    }
}

/// What a refusal means for the person at the terminal.
fn refusal(status: StatusCode, body: &Map<String, Value>, wait: Option<&str>, scope: &str) -> CliError {
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let code = text("error").map_or_else(|| format!("HTTP {}", status.as_u16()), str::to_owned);
    let mut message = format!("the server refused: {code}");
    for part in [
        text("error_description").map(|text| format!(": {text}")),
        text("rule").map(|rule| format!(" (rule {rule})")),
    ] {
        message.extend(part);
    }
    if matches!(status.as_u16(), 429 | 502 | 503 | 504) {
        let hint =
            wait.map_or_else(|| "try again in a moment".into(), |wait| format!("try again in {wait} s"));
        return CliError::new(message).hint(hint).exit_code(CliError::UNREACHABLE);
    }
    if status.is_server_error() {
        return CliError::new(message).hint("the server's log says why");
    }
    let refused = CliError::new(message).exit_code(CliError::REFUSED);
    let enroll = "the server doesn't know this administrator's key (or no longer): `taskpass admin enroll`, or have another administrator register the key";
    match (status, code.as_str()) {
        (StatusCode::UNAUTHORIZED, _) | (_, "invalid_client") => refused.hint(enroll),
        (StatusCode::FORBIDDEN, _) | (_, "invalid_scope" | "invalid_target" | "unauthorized_client") if !scope.is_empty() => {
            refused.hint(format!("this needs the scope `{scope}`: add it to the client's `administrator:` list in the registry, and apply that as an administrator who has registry:write"))
        }
        _ => refused,
    }
}

#[cfg(test)]
#[path = "admin_api_tests.rs"]
mod tests;
