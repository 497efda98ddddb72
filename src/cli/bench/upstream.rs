//! The bare server behind the guard: it answers any call of a tool at once, as an MCP server of 2026-07-28 does.

use std::net::{Ipv4Addr, SocketAddr};

use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::cli::error::CliError;

/// A running server, on one thread of its own in this process; it stops when dropped.
pub(super) struct Upstream {
    /// Where it listens.
    pub(super) address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Upstream {
    /// Starts it.
    pub(super) fn start() -> Result<Self, CliError> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener)?.tap_io(|stream| {
                let _ = stream.set_nodelay(true);
            });
            axum::serve(listener, Router::new().fallback(answer)).await
        });
        Ok(Self { address, runtime: Some(runtime) })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn answer(Json(request): Json<Value>) -> Json<Value> {
    let text = json!([{ "type": "text", "text": "No ticket matches." }]);
    let result = json!({ "resultType": "complete", "content": text, "isError": false });
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }))
}
