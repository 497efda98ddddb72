//! The server put together: the only place that sees every floor.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config::ServeConfig;
use crate::domain::registry::Document;
use crate::domain::task::TaskLimits;
use crate::entropy::Entropy;
use crate::flows::{FlowError, Limits, Server, Settings, admin, audit_trail, fleet, restore, signing_keys};
use crate::http::{Node, router};
use crate::prompt::Prompt;
use crate::secret::{Digest, Secret};
use crate::storage::journal::Journal;
use crate::storage::news::News;
use crate::storage::wrapping::WrappingKey;
use crate::storage::{Db, StorageError};
use crate::time::Clock;
use crate::upstream::{ClientDocuments, Fetcher, Keys, OutboundRules};

/// Why the server doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The address can't be listened on.
    #[error("can't listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The data directory or a file in it can't be used.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// The wrapping key isn't one.
    #[error("the wrapping key is not 64 hexadecimal characters")]
    WrappingKey,
    /// The database can't be opened.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// What is stored, or the registry file, doesn't hold together.
    #[error("{0}")]
    Flow(#[from] FlowError),
    /// The guarded client can't be built.
    #[error("{0}")]
    Fetch(#[from] crate::upstream::FetchError),
}

/// A running server.
pub struct App {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it works with.
    pub server: Arc<Server>,
    /// The token by which the first administrator comes in, if there is none yet.
    pub bootstrap: Option<Secret>,
    stop: CancellationToken,
    accepting: JoinHandle<()>,
    keeping: JoinHandle<()>,
    journal: JoinHandle<()>,
}

/// How often a node looks for news in the log and the registry.
const REFRESH: Duration = Duration::from_millis(200);
/// How often nodes tell each other how far their enforcers have come.
const REPORT: Duration = Duration::from_millis(250);
/// How often keys are moved on, the chain is signed, and what is spent is forgotten.
const UPKEEP: Duration = Duration::from_mins(1);
/// How long requests under way may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(20);

impl App {
    /// Starts a server and everything it needs; it answers when this returns.
    pub async fn start(
        config: &ServeConfig,
        clock: Clock,
        registry: Option<Document>,
    ) -> Result<Self, AppError> {
        let (server, journal) = open(config, clock).await?;
        server.create_tenant("main").await?;
        restore::check_high_water(&server, &config.data_dir).await?;
        for section in registry.into_iter().flat_map(|document| document.tenants) {
            server.create_tenant(&section.tenant).await?;
            let tenant = server
                .tenant(&section.tenant)
                .ok_or_else(|| FlowError::Invalid("the tenant vanished".into()))?;
            let applied = admin::apply(&server, &tenant, &section, (false, "registry file")).await?;
            applied.notes.iter().for_each(|note| tracing::warn!(tenant = %tenant.name, "{note}"));
        }
        for tenant in server.tenants() {
            signing_keys::keep(&server, &tenant.name).await?;
        }
        let bootstrap = match server.tenant("main") {
            Some(tenant) => admin::offer_bootstrap(&server, &tenant).await?,
            None => None,
        };
        // The other nodes know of this one before it grants its first lease.
        fleet::report(&server).await?;
        let listener =
            TcpListener::bind(config.listen).await.map_err(|error| AppError::Listen(config.listen, error))?;
        let address = listener.local_addr().map_err(|error| AppError::Listen(config.listen, error))?;
        let stop = CancellationToken::new();
        let metrics = crate::http::install_metrics();
        let node = Node::new(server.clone(), metrics.clone());
        let accepting = tokio::spawn(accept(listener, node, stop.clone()));
        let keeping = tokio::spawn(keep_up(server.clone(), config.data_dir.clone(), metrics, stop.clone()));
        tokio::spawn(hear(server.clone()));
        tracing::info!(%address, issuer = %config.public_url, database = server.db.engine(), "taskpass is ready");
        Ok(Self { address, server, bootstrap, stop, accepting, keeping, journal })
    }

    /// Stops taking connections, lets requests under way end, writes what is decided, and closes the database.
    pub async fn stop(self) {
        self.stop.cancel();
        self.server.stopping.cancel();
        let _ = self.accepting.await;
        let _ = self.keeping.await;
        for tenant in self.server.tenants() {
            if let Err(error) = audit_trail::checkpoint(&self.server, &tenant).await {
                tracing::warn!(%error, "the last checkpoint could not be signed");
            }
        }
        let db = self.server.db.clone();
        drop(self.server);
        // The journal ends when nobody can hand anything in any more; a stray request may still hold it.
        let _ = tokio::time::timeout(GRACE, self.journal).await;
        db.close().await;
        tracing::info!("taskpass has stopped");
    }
}

async fn open(config: &ServeConfig, clock: Clock) -> Result<(Arc<Server>, JoinHandle<()>), AppError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let at = |error| AppError::File(config.data_dir.display().to_string(), error);
    // The database tells who works for whom: nobody else on this machine reads it.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir).map_err(at)?;
    let wrapping = wrapping_key(config)?;
    let extra_roots_pem = config.ca_file.as_ref().map(std::fs::read).transpose().map_err(at)?;
    let rules = OutboundRules { allowed: config.allow_networks.clone(), extra_roots_pem };
    let on_loopback = !config.public_url.starts_with("https://");
    let documents = ClientDocuments::new(Fetcher::for_strangers(&rules, on_loopback)?);
    let keys = Keys::new(Fetcher::new(rules)?);
    let db = Db::open(&config.database_url).await?;
    db.keep_back(u64::from(config.disk_reserve_mib) << 20).map_err(at)?;
    let (journal, task) = Journal::start(db.clone(), clock.clone());
    let (default_lifetime, longest_lifetime, depth) = config.tasks;
    let limits = Limits::new(config.token_limit_per_second, config.introspection_limit_per_second);
    let settings = Settings {
        public_url: config.public_url.clone(),
        lease: Duration::from_secs(config.lease_seconds),
        tasks: TaskLimits { default_lifetime, longest_lifetime, depth },
        key_lifetime: i64::from(config.key_lifetime_days) * 86_400,
        key_publication: config.key_publication_seconds.into(),
        development: config.dev,
        data_dir: config.data_dir.clone(),
    };
    let outside = (keys, documents);
    Ok((Arc::new(Server::new(settings, db, journal, clock, (outside, wrapping, limits))), task))
}

/// The wrapping key: given, or read from its file, which is made at the first start.
fn wrapping_key(config: &ServeConfig) -> Result<WrappingKey, AppError> {
    let path = &config.wrapping_key_file;
    let at = |error| AppError::File(path.display().to_string(), error);
    let text = match &config.wrapping_key {
        Some(text) => text.clone(),
        None => match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let text = Digest(Entropy::default().bytes()).hex();
                write_private(path, &text).map_err(at)?;
                text
            }
            Err(error) => return Err(at(error)),
        },
    };
    let bytes = Digest::from_hex(text.trim()).ok_or(AppError::WrappingKey)?;
    WrappingKey::new(&bytes.0).ok_or(AppError::WrappingKey)
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// How long a client may take to send its headers.
const HEADER_PATIENCE: Duration = Duration::from_secs(10);

async fn accept(listener: TcpListener, node: Node, stop: CancellationToken) {
    let service = TowerToHyperService::new(router(node));
    let mut builder = Builder::new(TokioExecutor::new());
    // A connection that sends its headers slowly, or too many of them, is closed; the others don't notice.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .max_buf_size(32 * 1024)
        .pipeline_flush(true)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .max_header_list_size(32 * 1024)
        .keep_alive_interval(Duration::from_secs(30));
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                // Out of file descriptors: wait for some to come back rather than spin.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        let _ = stream.set_nodelay(true);
        let connection = builder
            .serve_connection_with_upgrades(
                TokioIo::new(Prompt::new(stream, HEADER_PATIENCE)),
                service.clone(),
            )
            .into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended badly");
            }
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

/// Looks at once when another node says that there is news. Without it nodes look every [`REFRESH`] all the same.
async fn hear(server: Arc<Server>) {
    let mut news = None;
    loop {
        let heard = async {
            let listener = match &mut news {
                Some(listener) => listener,
                None => news.insert(News::listen(&server.db).await?),
            };
            listener.next().await?;
            server.refresh().await
        };
        let heard = tokio::select! {
            heard = heard => heard,
            () = server.stopping.cancelled() => return,
        };
        if let Err(error) = heard {
            tracing::warn!(%error, "the other nodes' announcements can't be heard; this one looks by itself");
            news = None;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn keep_up(
    server: Arc<Server>,
    folder: PathBuf,
    metrics: Option<PrometheusHandle>,
    stop: CancellationToken,
) {
    let mut marked = restore::HighWater::new();
    let mut refresh = tokio::time::interval(REFRESH);
    let mut upkeep = tokio::time::interval(UPKEEP);
    let mut report = tokio::time::interval(REPORT);
    report.set_missed_tick_behavior(MissedTickBehavior::Delay);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = refresh.tick() => {
                if let Err(error) = server.db.room().look() {
                    tracing::warn!(%error, "the room on the database's disk is not known");
                }
                if let Err(error) = server.refresh().await {
                    tracing::warn!(%error, "the log could not be read; this node refuses to decide once its lease runs out");
                }
            }
            _ = report.tick() => {
                let marks = restore::high_water(&server);
                if marks != marked {
                    match restore::write(&folder, &marks) {
                        Ok(()) => marked = marks,
                        Err(error) => tracing::warn!(%error, "the high-water mark could not be written"),
                    }
                }
                if let Err(error) = fleet::exchange(&server).await {
                    tracing::warn!(%error, "the other nodes could not be told of this one's enforcers");
                }
            }
            _ = upkeep.tick() => {
                // Samples are folded into their buckets even when nobody scrapes them.
                metrics.iter().for_each(PrometheusHandle::run_upkeep);
                tend(&server).await;
            }
            () = stop.cancelled() => return,
        }
    }
}

async fn tend(server: &Server) {
    for tenant in server.tenants() {
        if let Err(error) = signing_keys::keep(server, &tenant.name).await {
            tracing::error!(tenant = %tenant.name, %error, "signing keys could not be moved on");
        }
        if let Err(error) = audit_trail::checkpoint(server, &tenant).await {
            tracing::error!(tenant = %tenant.name, %error, "the audit chain could not be signed");
        }
    }
    if let Err(error) = server.prune().await {
        tracing::warn!(%error, "spent marks could not be forgotten");
    }
}
