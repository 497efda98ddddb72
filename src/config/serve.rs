//! What `taskpass serve` is told.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use ipnet::IpNet;
use serde::Deserialize;

/// Flags of `serve`, each also a variable and a member of the file (with dashes as underscores).
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeArgs {
    /// A TOML file with any of the settings below, for example `public_url = "https://id.example.com"`.
    #[arg(long, env = "TASKPASS_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// The address to listen on [default: 127.0.0.1:8080].
    #[arg(long, env = "TASKPASS_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// The URL under which the world reaches this server; it is the issuer of tenant `main` [default: http://LISTEN].
    #[arg(long, env = "TASKPASS_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// `sqlite:PATH` or `postgres://…` [default: sqlite:DATA_DIR/taskpass.sqlite].
    #[arg(long, env = "TASKPASS_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Where the server keeps what it makes itself [default: ./taskpass-data].
    #[arg(long, env = "TASKPASS_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// A registry file to apply at every start.
    #[arg(long, env = "TASKPASS_REGISTRY")]
    pub registry: Option<PathBuf>,
    /// The file with the key that wraps signing keys: 32 bytes in hexadecimal. Made at the first start; nodes that share
    /// a database share it [default: DATA_DIR/wrapping.key].
    #[arg(long, env = "TASKPASS_WRAPPING_KEY_FILE")]
    pub wrapping_key_file: Option<PathBuf>,
    /// The same key itself; set it by the variable or the file, not on the command line.
    #[arg(long, env = "TASKPASS_WRAPPING_KEY", hide_env_values = true, hide = true)]
    pub wrapping_key: Option<String>,
    /// Token requests per second and client; 0 is no limit [default: 100].
    #[arg(long, env = "TASKPASS_TOKEN_LIMIT_PER_SECOND")]
    pub token_limit_per_second: Option<u32>,
    /// Introspections per second and enforcer; 0 is no limit [default: 5000].
    #[arg(long, env = "TASKPASS_INTROSPECTION_LIMIT_PER_SECOND")]
    pub introspection_limit_per_second: Option<u32>,
    /// How old, in seconds, this node's view of the revocation log may be before it refuses to decide [default: 30].
    #[arg(long, env = "TASKPASS_LEASE_SECONDS", value_parser = clap::value_parser!(u64).range(1..=120))]
    pub lease_seconds: Option<u64>,
    /// Life of a task whose agent asks for none, in seconds [default: 3600].
    #[arg(long, env = "TASKPASS_TASK_LIFETIME_SECONDS")]
    pub task_lifetime_seconds: Option<i64>,
    /// The longest life of a task, in seconds [default: 28800].
    #[arg(long, env = "TASKPASS_LONGEST_TASK_SECONDS")]
    pub longest_task_seconds: Option<i64>,
    /// How many agents a delegation chain may have [default: 4].
    #[arg(long, env = "TASKPASS_DELEGATION_DEPTH")]
    pub delegation_depth: Option<usize>,
    /// How long a signing key is used, in days [default: 30].
    #[arg(long, env = "TASKPASS_KEY_LIFETIME_DAYS", value_parser = clap::value_parser!(u32).range(1..=400))]
    pub key_lifetime_days: Option<u32>,
    /// How long a signing key is published before it signs, in seconds [default: 900].
    #[arg(long, env = "TASKPASS_KEY_PUBLICATION_SECONDS")]
    pub key_publication_seconds: Option<u32>,
    /// A network that the server may call although it is private, for identity providers inside the company; repeatable.
    #[arg(long = "allow-network", env = "TASKPASS_ALLOW_NETWORKS", value_delimiter = ',')]
    pub allow_networks: Vec<IpNet>,
    /// PEM certificates to trust beside the system's when fetching keys.
    #[arg(long, env = "TASKPASS_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// For trying things out: a sign-in page on which the registry's `people` need no password. On loopback only.
    #[arg(long, env = "TASKPASS_DEV")]
    pub dev: bool,
    /// How much of the disk is kept back for revocations, in MiB; nothing is minted while less than as much again is free. For
    /// SQLite; 0 keeps nothing back [default: 32].
    #[arg(long, env = "TASKPASS_DISK_RESERVE_MIB", value_parser = clap::value_parser!(u32).range(0..=65_536))]
    pub disk_reserve_mib: Option<u32>,
    /// Where to send OpenTelemetry traces, for example `http://127.0.0.1:4318/v1/traces`; none when absent.
    #[arg(long, env = "TASKPASS_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// What to log: error, warn, info, debug, or a tracing filter [default: info].
    #[arg(long, env = "TASKPASS_LOG")]
    pub log: Option<String>,
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// The file isn't TOML, or has a member that isn't a setting.
    #[error("{0}: {1}")]
    Malformed(PathBuf, toml::de::Error),
    /// The public URL can't be an issuer.
    #[error(
        "public_url is http or https, without query, fragment, credentials or trailing slash, and https beyond loopback; this is {0:?}"
    )]
    PublicUrl(String),
    /// People would sign in without any proof where others can reach the server.
    #[error(
        "--dev lets anybody be anybody: listen and public_url must both be loopback, and these are {0} and {1:?}"
    )]
    Development(SocketAddr, String),
    /// The bounds of tasks contradict each other.
    #[error("task_lifetime_seconds is 1 to longest_task_seconds, and delegation_depth is 1 to 16")]
    Tasks,
}

/// Settings, complete and checked.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the flags' own words say what each means")]
pub struct ServeConfig {
    pub listen: SocketAddr,
    pub public_url: String,
    pub database_url: String,
    pub data_dir: PathBuf,
    pub registry: Option<PathBuf>,
    pub wrapping_key_file: PathBuf,
    pub wrapping_key: Option<String>,
    pub token_limit_per_second: u32,
    pub introspection_limit_per_second: u32,
    pub lease_seconds: u64,
    pub tasks: (i64, i64, usize),
    pub key_lifetime_days: u32,
    pub key_publication_seconds: u32,
    pub allow_networks: Vec<IpNet>,
    pub ca_file: Option<PathBuf>,
    pub dev: bool,
    pub disk_reserve_mib: u32,
    pub otlp_endpoint: Option<String>,
    pub log: String,
}

impl ServeArgs {
    /// Flags and variables over the file over the defaults.
    pub fn complete(self) -> Result<ServeConfig, ConfigError> {
        let file = self.config.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let listen = self.listen.or(file.listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
        let data_dir = self.data_dir.or(file.data_dir).unwrap_or_else(|| "taskpass-data".into());
        let database = || format!("sqlite:{}", data_dir.join("taskpass.sqlite").display());
        let lifetime = self.task_lifetime_seconds.or(file.task_lifetime_seconds).unwrap_or(3600);
        let longest = self.longest_task_seconds.or(file.longest_task_seconds).unwrap_or(28_800);
        let depth = self.delegation_depth.or(file.delegation_depth).unwrap_or(4);
        if !(1..=longest).contains(&lifetime) || !(1..=16).contains(&depth) {
            return Err(ConfigError::Tasks);
        }
        let public_url = check_public_url(
            self.public_url.or(file.public_url).unwrap_or_else(|| format!("http://{listen}")),
        )?;
        let dev = self.dev || file.dev;
        if dev
            && !(listen.ip().is_loopback() && url::Url::parse(&public_url).is_ok_and(|url| is_loopback(&url)))
        {
            return Err(ConfigError::Development(listen, public_url));
        }
        Ok(ServeConfig {
            public_url,
            listen,
            database_url: self.database_url.or(file.database_url).unwrap_or_else(database),
            registry: self.registry.or(file.registry),
            wrapping_key_file: self
                .wrapping_key_file
                .or(file.wrapping_key_file)
                .unwrap_or_else(|| data_dir.join("wrapping.key")),
            data_dir,
            wrapping_key: self.wrapping_key.or(file.wrapping_key),
            token_limit_per_second: self
                .token_limit_per_second
                .or(file.token_limit_per_second)
                .unwrap_or(100),
            introspection_limit_per_second: self
                .introspection_limit_per_second
                .or(file.introspection_limit_per_second)
                .unwrap_or(5000),
            lease_seconds: self.lease_seconds.or(file.lease_seconds).unwrap_or(30).clamp(1, 120),
            tasks: (lifetime, longest, depth),
            key_lifetime_days: self.key_lifetime_days.or(file.key_lifetime_days).unwrap_or(30),
            key_publication_seconds: self
                .key_publication_seconds
                .or(file.key_publication_seconds)
                .unwrap_or(900),
            allow_networks: if self.allow_networks.is_empty() {
                file.allow_networks
            } else {
                self.allow_networks
            },
            ca_file: self.ca_file.or(file.ca_file),
            dev,
            disk_reserve_mib: self.disk_reserve_mib.or(file.disk_reserve_mib).unwrap_or(32),
            otlp_endpoint: self.otlp_endpoint.or(file.otlp_endpoint),
            log: self.log.or(file.log).unwrap_or_else(|| "info".into()),
        })
    }
}

fn read_file(path: &Path) -> Result<ServeArgs, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable(path.into(), error))?;
    toml::from_str(&text).map_err(|error| ConfigError::Malformed(path.into(), error))
}

/// RFC 8414 §2: the issuer is "a URL that uses the `https` scheme and has no query or fragment components". Plain http is
/// for loopback, where nobody listens in.
fn check_public_url(text: String) -> Result<String, ConfigError> {
    let sound = url::Url::parse(&text).is_ok_and(|url| {
        (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)))
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && !text.ends_with('/')
            && (url.as_str() == text || url.as_str().strip_suffix('/') == Some(&text))
    });
    if sound { Ok(text) } else { Err(ConfigError::PublicUrl(text)) }
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_the_file_which_wins_over_the_default() {
        let file = std::env::temp_dir().join(format!("taskpass-config-{}.toml", std::process::id()));
        std::fs::write(&file, "listen = \"127.0.0.1:9\"\ndelegation_depth = 3\n").unwrap();
        let args =
            ServeArgs { config: Some(file.clone()), delegation_depth: Some(2), ..ServeArgs::default() };
        let config = args.complete().unwrap();
        assert_eq!((config.listen.port(), config.tasks.2, config.lease_seconds), (9, 2, 30));
        assert_eq!(config.public_url, "http://127.0.0.1:9");
        std::fs::write(&file, "lissten = 1\n").unwrap();
        let args = ServeArgs { config: Some(file.clone()), ..ServeArgs::default() };
        assert!(matches!(args.complete(), Err(ConfigError::Malformed(..))));
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn development_is_for_loopback() {
        let complete = |listen: &str, public_url: Option<&str>| {
            let (listen, public_url) = (Some(listen.parse().unwrap()), public_url.map(str::to_owned));
            ServeArgs { listen, public_url, dev: true, ..ServeArgs::default() }.complete()
        };
        for (listen, url) in [
            ("127.0.0.1:1", None),
            ("[::1]:1", None),
            ("127.0.0.1:1", Some("http://localhost:1")),
            ("127.0.0.1:1", Some("https://127.0.0.1:1")),
        ] {
            assert!(complete(listen, url).unwrap().dev, "{listen} {url:?}");
        }
        for (listen, url) in [
            ("0.0.0.0:1", Some("http://127.0.0.1:1")),
            ("192.168.0.1:1", Some("http://127.0.0.1:1")),
            ("[::]:1", Some("http://localhost:1")),
            ("127.0.0.1:1", Some("https://id.example.com")),
            ("127.0.0.1:1", Some("https://localhost.example.com")),
        ] {
            assert!(matches!(complete(listen, url), Err(ConfigError::Development(..))), "{listen} {url:?}");
        }
    }

    #[test]
    fn an_issuer_is_https_beyond_loopback() {
        for good in [
            "https://id.example.com",
            "https://id.example.com/auth",
            "http://127.0.0.1:8080",
            "http://localhost:1",
        ] {
            assert!(check_public_url(good.into()).is_ok(), "{good}");
        }
        for bad in [
            "http://id.example.com",
            "https://id.example.com/",
            "https://id.example.com?x",
            "id.example.com",
            "https://u@h",
        ] {
            assert!(check_public_url(bad.into()).is_err(), "{bad}");
        }
    }
}
