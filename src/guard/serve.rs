//! The guard's listeners, and what it does beside answering.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::tls::Tls;
use super::{Guard, GuardError, local, proxy};
use crate::config::GuardConfig;
use crate::enforcer::Following;
use crate::prompt::Prompt;

/// How long a client may take to send its headers, and to shake hands before.
const HEADER_PATIENCE: Duration = Duration::from_secs(10);
/// The largest headers; a token of 16 KB fits.
const HEADERS: u32 = 48 * 1024;
/// How long requests under way may take to end when the guard stops.
const GRACE: Duration = Duration::from_secs(10);
/// How often the issuer is asked what clients should ask for, and how soon again when it didn't answer.
const ASK_AGAIN: Duration = Duration::from_mins(1);
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// How often files are looked at for changes.
const LOOK: Duration = Duration::from_secs(1);

/// A guard that serves.
pub struct Running {
    /// Where clients reach it.
    pub address: SocketAddr,
    /// Where its local endpoints are.
    pub local: SocketAddr,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    evidence: (CancellationToken, JoinHandle<()>),
    _following: Following,
}

impl Running {
    /// Starts serving; it answers when this returns, with 503 until it has a fresh view of what is revoked.
    pub async fn start(
        guard: Arc<Guard>,
        config: &GuardConfig,
        metrics: Option<PrometheusHandle>,
    ) -> Result<Self, GuardError> {
        let tls = config.tls.as_ref().map(Tls::open).transpose().map_err(GuardError::Tls)?.map(Arc::new);
        let (listener, address) = listen(config.listen).await?;
        let (local_listener, local_address) = listen(config.local).await?;
        let following = guard.enforcer.start();
        let stop = CancellationToken::new();
        let (last, evidence) = (CancellationToken::new(), Arc::clone(&guard.evidence));
        let evidence = tokio::spawn(evidence.keep(last.clone()));
        let router = local::router(Arc::clone(&guard), metrics.clone());
        let tasks = vec![
            tokio::spawn(accept_clients(listener, Arc::clone(&guard), tls.clone(), stop.clone())),
            tokio::spawn(accept_local(local_listener, router, stop.clone())),
            tokio::spawn(heed_advice(Arc::clone(&guard), stop.clone())),
            tokio::spawn(look_after(guard, tls, metrics, stop.clone())),
        ];
        Ok(Self {
            address,
            local: local_address,
            stop,
            tasks,
            evidence: (last, evidence),
            _following: following,
        })
    }

    /// Stops taking connections, lets requests under way end, and delivers what evidence it can; the rest stays on disk.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            let _ = task.await;
        }
        self.evidence.0.cancel();
        let _ = tokio::time::timeout(GRACE, self.evidence.1).await;
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), GuardError> {
    let at = |error| GuardError::Listen(address, error);
    let listener = TcpListener::bind(address).await.map_err(at)?;
    let bound = listener.local_addr().map_err(at)?;
    Ok((listener, bound))
}

/// A connection that sends its headers slowly, or too many of them, is closed; the others don't notice.
fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .max_buf_size(HEADERS as usize)
        .pipeline_flush(true)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .max_header_list_size(HEADERS)
        .keep_alive_interval(Duration::from_secs(30));
    builder
}

/// The next connection, or `None` when it is time to stop.
async fn next(listener: &TcpListener, stop: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return None,
        };
        match accepted {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                return Some((stream, peer));
            }
            // Out of file descriptors: wait for some to come back rather than spin.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn accept_clients(
    listener: TcpListener,
    guard: Arc<Guard>,
    tls: Option<Arc<Tls>>,
    stop: CancellationToken,
) {
    let (builder, graceful) = (builder(), Arc::new(GracefulShutdown::new()));
    while let Some((stream, _)) = next(&listener, &stop).await {
        let guard = Arc::clone(&guard);
        let service = service_fn(move |request| {
            let guard = Arc::clone(&guard);
            async move { Ok::<_, std::convert::Infallible>(proxy::answer(guard, request).await) }
        });
        match &tls {
            None => {
                let connection = builder.serve_connection(prompt(stream), service).into_owned();
                tokio::spawn(end(graceful.watch(connection)));
            }
            Some(tls) => {
                let (builder, watcher, acceptor) = (builder.clone(), graceful.watcher(), tls.acceptor());
                tokio::spawn(async move {
                    let shaken = tokio::time::timeout(HEADER_PATIENCE, acceptor.accept(stream)).await;
                    let Ok(Ok(stream)) = shaken else { return };
                    let connection = builder.serve_connection(prompt(stream), service).into_owned();
                    end(watcher.watch(connection)).await;
                });
            }
        }
    }
    drop(listener);
    if let Some(graceful) = Arc::into_inner(graceful) {
        let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
    }
}

fn prompt<T>(stream: T) -> TokioIo<Prompt<T>> {
    TokioIo::new(Prompt::new(stream, HEADER_PATIENCE))
}

async fn end<E: std::fmt::Display>(connection: impl Future<Output = Result<(), E>>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended badly");
    }
}

async fn accept_local(listener: TcpListener, router: axum::Router, stop: CancellationToken) {
    let (builder, graceful) = (builder(), GracefulShutdown::new());
    while let Some((stream, peer)) = next(&listener, &stop).await {
        let router = router.clone().layer(axum::Extension(local::Peer(peer)));
        let service = TowerToHyperService::new(router);
        let connection = builder.serve_connection(prompt(stream), service).into_owned();
        tokio::spawn(end(graceful.watch(connection)));
    }
    let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}

/// Reads files again that have changed, on SIGHUP at once, and keeps metrics.
/// Asks the issuer from time to time what clients should be told to ask for. Without an answer they are told what was
/// known before: the issuer decides about what they ask for in any case.
async fn heed_advice(guard: Arc<Guard>, stop: CancellationToken) {
    let mut failed = false;
    loop {
        let asked = guard.enforcer.advice().await;
        let wait = if asked.is_ok() { ASK_AGAIN } else { TRY_AGAIN };
        match asked {
            Ok(advice) => guard.challenges.advise(advice),
            Err(error) if !failed => {
                tracing::warn!(%error, "the issuer doesn't say what clients should ask for");
            }
            Err(_) => {}
        }
        failed = wait == TRY_AGAIN;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn look_after(
    guard: Arc<Guard>,
    tls: Option<Arc<Tls>>,
    metrics: Option<PrometheusHandle>,
    stop: CancellationToken,
) {
    let mut look = tokio::time::interval(LOOK);
    let mut hangup = signal(SignalKind::hangup()).ok();
    loop {
        let hung_up = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = look.tick() => {}
            _ = hung_up => tracing::info!("SIGHUP: files are read again"),
            () = stop.cancelled() => return,
        }
        guard.pins.refresh();
        if let Some(tls) = &tls {
            tls.refresh();
        }
        metrics.iter().for_each(PrometheusHandle::run_upkeep);
    }
}
