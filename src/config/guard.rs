//! What `taskpass guard` is told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use serde::{Deserialize, Deserializer};

/// Flags of `guard`, each also a variable and a member of the file (with dashes as underscores).
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "they are switches")]
pub struct GuardArgs {
    /// A TOML file with any of the settings below, for example `upstream = "http://127.0.0.1:8000"`.
    #[arg(long, env = "TASKPASS_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Whose tokens open the server: the issuer URL.
    #[arg(long, env = "TASKPASS_ISSUER")]
    pub issuer: Option<String>,
    /// The guarded resource: the URI under which clients reach it and under which it is registered.
    #[arg(long, env = "TASKPASS_RESOURCE")]
    pub resource: Option<String>,
    /// Where the MCP server listens. Without a path, the resource's path is used there too.
    #[arg(long, env = "TASKPASS_UPSTREAM")]
    pub upstream: Option<String>,
    /// The address to listen on for clients [default: 127.0.0.1:8443].
    #[arg(long, env = "TASKPASS_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// The enforcer's private key file: {"issuer", "client_id", "private_jwk"}.
    #[arg(long, env = "TASKPASS_CREDENTIALS")]
    pub credentials: Option<PathBuf>,
    /// The address of the local endpoints: /introspect, /v1/authorize, /forward-auth, /healthz, /readyz, /metrics
    /// [default: 127.0.0.1:8444].
    #[arg(long, env = "TASKPASS_LOCAL")]
    pub local: Option<SocketAddr>,
    /// A file with the bearer token that callers of the local endpoints send when they aren't on this machine.
    #[arg(long, env = "TASKPASS_LOCAL_TOKEN_FILE")]
    pub local_token_file: Option<PathBuf>,
    /// Where the guard keeps evidence until it is delivered, its pins and its session key [default: ./taskpass-guard].
    #[arg(long, env = "TASKPASS_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The certificate chain to serve, PEM; read again when the file changes and on SIGHUP.
    #[arg(long, env = "TASKPASS_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate, PEM.
    #[arg(long, env = "TASKPASS_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Listen without TLS beyond loopback: only behind something that ends TLS on the same machine or mesh.
    #[arg(long, env = "TASKPASS_ALLOW_PLAIN_HTTP")]
    pub allow_plain_http: bool,
    /// How long the guard may decide on its own after it last heard from the issuer, in seconds [default: 30].
    #[arg(long, env = "TASKPASS_LEASE_SECONDS", value_parser = clap::value_parser!(u64).range(1..=120))]
    pub lease_seconds: Option<u64>,
    /// What to do when that time is over: `deny`, ask the issuer each time (`introspect`), or go on until tokens expire
    /// (`ttl-only`) [default: deny].
    #[arg(long, env = "TASKPASS_STALE")]
    pub stale: Option<Stale>,
    /// Another answer for one tool, for example `search_tickets=ttl-only`; for tools that only read; repeatable.
    #[arg(
        long = "stale-tool",
        env = "TASKPASS_STALE_TOOLS",
        value_delimiter = ',',
        value_name = "TOOL=WHAT"
    )]
    pub stale_tools: Vec<String>,
    /// Decide, log and record, but let everything through: to see what would be refused. Protects nothing.
    #[arg(long, env = "TASKPASS_DRY_RUN")]
    pub dry_run: bool,
    /// The largest request body, in bytes [default: 1048576].
    #[arg(long, env = "TASKPASS_MAX_BODY")]
    pub max_body: Option<usize>,
    /// Requests of one agent, for example `50/s` or `600/m` [default: no limit].
    #[arg(long, env = "TASKPASS_AGENT_LIMIT")]
    pub agent_limit: Option<Rate>,
    /// Requests within one task, for example `10/s` [default: no limit].
    #[arg(long, env = "TASKPASS_TASK_LIMIT")]
    pub task_limit: Option<Rate>,
    /// The file of pinned tool definitions [default: DATA_DIR/pins.json].
    #[arg(long, env = "TASKPASS_PINS")]
    pub pins: Option<PathBuf>,
    /// Quarantine tools that were never pinned, rather than pin them when they are first seen.
    #[arg(long, env = "TASKPASS_STRICT_PINS")]
    pub strict_pins: bool,
    /// What else to let through beside tools: `resources`, `prompts`, `completion`, `tasks`. Tokens say nothing about
    /// these, so whoever has a token for this resource may use all of them; repeatable.
    #[arg(long, env = "TASKPASS_ALLOW", value_delimiter = ',')]
    pub allow: Vec<Allowed>,
    /// A scope that every request needs; repeatable.
    #[arg(long = "scope", env = "TASKPASS_SCOPES", value_delimiter = ',')]
    pub scopes: Vec<String>,
    /// Answer a refused tool call with 403 and a challenge, for clients that come back with a wider token, instead of a
    /// JSON-RPC error on 200.
    #[arg(long, env = "TASKPASS_STEP_UP")]
    pub step_up: bool,
    /// A web origin whose pages may call, beside the resource's own; repeatable.
    #[arg(long = "allow-origin", env = "TASKPASS_ALLOW_ORIGINS", value_delimiter = ',')]
    pub allow_origins: Vec<String>,
    /// How much undelivered evidence may wait on disk, in bytes; when it is full, calls are refused
    /// [default: 268435456].
    #[arg(long, env = "TASKPASS_SPOOL_BYTES")]
    pub spool_bytes: Option<u64>,
    /// The resource's name for people, in its metadata.
    #[arg(long, env = "TASKPASS_NAME")]
    pub name: Option<String>,
    /// What to log: error, warn, info, debug, or a tracing filter [default: info].
    #[arg(long, env = "TASKPASS_LOG")]
    pub log: Option<String>,
}

/// What to do without a fresh view of what is revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Stale {
    /// Refuse: 503.
    #[default]
    Deny,
    /// Ask the issuer about each token.
    Introspect,
    /// Go on until the tokens expire.
    TtlOnly,
}

/// What else than tools is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Allowed {
    /// `resources/*`.
    Resources,
    /// `prompts/*`.
    Prompts,
    /// `completion/complete`.
    Completion,
    /// `tasks/*`.
    Tasks,
}

/// So many requests in so much time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// How many at once.
    pub burst: f64,
    /// How many each second.
    pub per_second: f64,
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a limit is like 50/s, 600/m or 1000/h, and at least one";
        let (count, unit) = text.split_once('/').ok_or(WRONG)?;
        let count: u32 = count.parse().ok().filter(|count| *count > 0).ok_or(WRONG)?;
        let seconds = match unit {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(WRONG),
        };
        let burst = f64::from(count);
        Ok(Self { burst, per_second: burst / seconds })
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum GuardConfigError {
    /// The file can't be read.
    #[error("{0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// The file isn't TOML, or has a member that isn't a setting.
    #[error("{0}: {1}")]
    Malformed(PathBuf, toml::de::Error),
    /// A setting without which there is nothing to guard.
    #[error("--{0} is missing")]
    Missing(&'static str),
    /// The upstream isn't a URL that can be called.
    #[error("--upstream is an http or https URL without credentials, query or fragment; this is {0:?}")]
    Upstream(String),
    /// Tokens would cross the network readable.
    #[error(
        "{0} is not on this machine: give --tls-cert and --tls-key, or --allow-plain-http behind something that ends TLS"
    )]
    PlainHttp(SocketAddr),
    /// Whoever reaches the local endpoints could introspect.
    #[error(
        "--local {0} is not on this machine: give --local-token-file, so that not everybody may introspect"
    )]
    LocalWithoutToken(SocketAddr),
    /// Only one half of the TLS pair.
    #[error("--tls-cert and --tls-key come together or not at all")]
    HalfTls,
    /// A stale policy for one tool that isn't one.
    #[error("--stale-tool is TOOL=deny, TOOL=introspect or TOOL=ttl-only; this is {0:?}")]
    StaleTool(String),
    /// The lease is out of bounds.
    #[error("lease_seconds is 1 to 120")]
    Lease,
}

/// Settings, complete and checked.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the flags' own words say what each means")]
#[expect(clippy::struct_excessive_bools, reason = "they are switches")]
pub struct GuardConfig {
    pub issuer: String,
    pub resource: String,
    pub upstream: url::Url,
    pub listen: SocketAddr,
    pub credentials: PathBuf,
    pub local: SocketAddr,
    pub local_token_file: Option<PathBuf>,
    pub data_dir: PathBuf,
    pub tls: Option<(PathBuf, PathBuf)>,
    pub allow_plain_http: bool,
    pub lease_seconds: u64,
    pub stale: Stale,
    pub stale_tools: Vec<(String, Stale)>,
    pub dry_run: bool,
    pub max_body: usize,
    pub agent_limit: Option<Rate>,
    pub task_limit: Option<Rate>,
    pub pins: PathBuf,
    pub strict_pins: bool,
    pub allow: Vec<Allowed>,
    pub scopes: Vec<String>,
    pub step_up: bool,
    pub allow_origins: Vec<String>,
    pub spool_bytes: u64,
    pub name: Option<String>,
    pub log: String,
}

/// The flag's list, or the file's where the flag was not given.
fn either<T>(flags: Vec<T>, file: Vec<T>) -> Vec<T> {
    if flags.is_empty() { file } else { flags }
}

impl GuardArgs {
    /// Flags and variables over the file over the defaults.
    pub fn complete(self) -> Result<GuardConfig, GuardConfigError> {
        let file = match &self.config {
            None => Self::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| GuardConfigError::Unreadable(path.clone(), error))?;
                toml::from_str(&text).map_err(|error| GuardConfigError::Malformed(path.clone(), error))?
            }
        };
        let needed = |name, flag: Option<String>, member: Option<String>| {
            flag.or(member).ok_or(GuardConfigError::Missing(name))
        };
        let data_dir = self.data_dir.or(file.data_dir).unwrap_or_else(|| "taskpass-guard".into());
        let stale_tools = either(self.stale_tools, file.stale_tools);
        let config = GuardConfig {
            issuer: needed("issuer", self.issuer, file.issuer)?,
            resource: needed("resource", self.resource, file.resource)?,
            upstream: check_upstream(&needed("upstream", self.upstream, file.upstream)?)?,
            listen: self.listen.or(file.listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8443))),
            credentials: self
                .credentials
                .or(file.credentials)
                .ok_or(GuardConfigError::Missing("credentials"))?,
            local: self.local.or(file.local).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8444))),
            local_token_file: self.local_token_file.or(file.local_token_file),
            pins: self.pins.or(file.pins).unwrap_or_else(|| data_dir.join("pins.json")),
            data_dir,
            tls: match (self.tls_cert.or(file.tls_cert), self.tls_key.or(file.tls_key)) {
                (Some(cert), Some(key)) => Some((cert, key)),
                (None, None) => None,
                _ => return Err(GuardConfigError::HalfTls),
            },
            allow_plain_http: self.allow_plain_http || file.allow_plain_http,
            lease_seconds: self.lease_seconds.or(file.lease_seconds).unwrap_or(30),
            stale: self.stale.or(file.stale).unwrap_or_default(),
            stale_tools: stale_tools.iter().map(|text| stale_tool(text)).collect::<Result<_, _>>()?,
            dry_run: self.dry_run || file.dry_run,
            max_body: self.max_body.or(file.max_body).unwrap_or(1 << 20),
            agent_limit: self.agent_limit.or(file.agent_limit),
            task_limit: self.task_limit.or(file.task_limit),
            strict_pins: self.strict_pins || file.strict_pins,
            allow: either(self.allow, file.allow),
            scopes: either(self.scopes, file.scopes),
            step_up: self.step_up || file.step_up,
            allow_origins: either(self.allow_origins, file.allow_origins),
            spool_bytes: self.spool_bytes.or(file.spool_bytes).unwrap_or(256 << 20),
            name: self.name.or(file.name),
            log: self.log.or(file.log).unwrap_or_else(|| "info".into()),
        };
        config.check()
    }
}

impl GuardConfig {
    fn check(self) -> Result<Self, GuardConfigError> {
        if !(1..=120).contains(&self.lease_seconds) {
            return Err(GuardConfigError::Lease);
        }
        if self.tls.is_none() && !self.allow_plain_http && !self.listen.ip().is_loopback() {
            return Err(GuardConfigError::PlainHttp(self.listen));
        }
        if self.local_token_file.is_none() && !self.local.ip().is_loopback() {
            return Err(GuardConfigError::LocalWithoutToken(self.local));
        }
        Ok(self)
    }
}

fn check_upstream(text: &str) -> Result<url::Url, GuardConfigError> {
    let wrong = || GuardConfigError::Upstream(text.to_owned());
    let url = url::Url::parse(text).map_err(|_| wrong())?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain { Ok(url) } else { Err(wrong()) }
}

fn stale_tool(text: &str) -> Result<(String, Stale), GuardConfigError> {
    let wrong = || GuardConfigError::StaleTool(text.to_owned());
    // A tool's name may hold an equals sign; what to do may not.
    let (tool, what) = text.rsplit_once('=').ok_or_else(wrong)?;
    let what = match what {
        "deny" => Stale::Deny,
        "introspect" => Stale::Introspect,
        "ttl-only" => Stale::TtlOnly,
        _ => return Err(wrong()),
    };
    if tool.is_empty() { Err(wrong()) } else { Ok((tool.to_owned(), what)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> GuardArgs {
        GuardArgs {
            issuer: Some("https://id.example.com".into()),
            resource: Some("https://tickets.example.com/mcp".into()),
            upstream: Some("http://127.0.0.1:8000".into()),
            credentials: Some("guard.json".into()),
            ..GuardArgs::default()
        }
    }

    #[test]
    fn defaults_are_safe() {
        let config = args().complete().unwrap();
        assert_eq!((config.stale, config.dry_run, config.step_up), (Stale::Deny, false, false));
        assert!(
            config.listen.ip().is_loopback() && config.local.ip().is_loopback() && config.allow.is_empty()
        );
    }

    #[test]
    fn tokens_never_cross_a_network_readable_by_accident() {
        let open = Some("0.0.0.0:1".parse().unwrap());
        let error = GuardArgs { listen: open, ..args() }.complete().unwrap_err();
        assert!(matches!(error, GuardConfigError::PlainHttp(_)));
        assert!(GuardArgs { listen: open, allow_plain_http: true, ..args() }.complete().is_ok());
        let error = GuardArgs { local: open, ..args() }.complete().unwrap_err();
        assert!(matches!(error, GuardConfigError::LocalWithoutToken(_)));
        let half = GuardArgs { tls_cert: Some("c".into()), ..args() }.complete().unwrap_err();
        assert!(matches!(half, GuardConfigError::HalfTls));
    }

    #[test]
    fn the_file_says_the_same_as_the_flags() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("guard.toml");
        let text = "issuer = 'https://id.example.com'\nresource = 'https://a.example'\nupstream = 'http://h:1/x'\n\
            credentials = 'k'\nagent_limit = '600/m'\nallow = ['prompts']\nstale = 'ttl-only'\nstale_tools = ['a=b=deny']";
        std::fs::write(&file, text).unwrap();
        let config = GuardArgs { config: Some(file.clone()), ..GuardArgs::default() }.complete().unwrap();
        assert_eq!(config.agent_limit, Some(Rate { burst: 600.0, per_second: 10.0 }));
        assert_eq!((config.allow, config.stale), (vec![Allowed::Prompts], Stale::TtlOnly));
        assert_eq!(config.stale_tools, [("a=b".to_owned(), Stale::Deny)]);
        std::fs::write(&file, "isuer = 1").unwrap();
        let error = GuardArgs { config: Some(file), ..GuardArgs::default() }.complete().unwrap_err();
        assert!(matches!(error, GuardConfigError::Malformed(..)));
    }

    #[test]
    fn refuses_what_is_no_limit_and_no_upstream() {
        for text in ["", "5", "0/s", "-1/s", "5/x", "a/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        for text in ["127.0.0.1:1", "ftp://h", "http://u@h", "http://h?x", "http://h#x"] {
            assert!(check_upstream(text).is_err(), "{text}");
        }
    }
}
