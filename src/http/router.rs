//! The table: path, method, endpoint. Everything a request can reach stands here.

use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{get, post, put};
use axum::{Router, http::StatusCode};

use super::answer::Failure;
use super::endpoints::{
    account, admin, authorize, consent, decisions, feed, health, introspect, metadata, register, revoke,
    sign_in, token,
};
use super::metrics;
use super::node::Node;
use super::pages;

/// A body over 64 KB is 413. Registry documents and batches of decisions may be larger.
const BODY: usize = 64 * 1024;
const REGISTRY_BODY: usize = 8 * 1024 * 1024;
/// A client's metadata, keys included.
const CLIENT_BODY: usize = 16 * 1024;
/// A batch of an enforcer's decisions.
const DECISIONS_BODY: usize = 1024 * 1024;

/// Everything.
pub fn router(node: Node) -> Router {
    Router::new()
        .merge(tenant_routes())
        .nest("/t/{tenant}", tenant_routes())
        .route("/.well-known/oauth-authorization-server/t/{tenant}", get(metadata::metadata))
        .route("/.well-known/openid-configuration/t/{tenant}", get(metadata::metadata))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .fallback(pages::nothing_here)
        .method_not_allowed_fallback(|| async {
            Failure::Http(StatusCode::METHOD_NOT_ALLOWED, "This path doesn't take this method.")
        })
        .layer(DefaultBodyLimit::max(BODY))
        .layer(from_fn(metrics::observe))
        .with_state(node)
}

/// What each tenant has below its issuer.
fn tenant_routes() -> Router<Node> {
    Router::new()
        .route("/.well-known/oauth-authorization-server", get(metadata::metadata))
        .route("/.well-known/openid-configuration", get(metadata::metadata))
        .route("/oauth/jwks", get(metadata::jwks))
        .route("/oauth/authorize", get(authorize::get).post(authorize::post))
        .route("/oauth/par", post(authorize::par))
        .route("/consent", get(consent::get).post(consent::post))
        .route("/sign-in", get(sign_in::get).post(sign_in::post))
        .route("/sign-in/callback", get(sign_in::callback))
        .route("/sign-in/callback/{idp}", get(sign_in::callback))
        .route("/sign-in/logout/{idp}", post(sign_in::logout))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/account", get(account::get))
        .route("/account/withdraw", post(account::withdraw))
        .route("/account/withdrawn", get(account::withdrawn))
        .route("/assets/{name}", get(account::asset))
        .route("/oauth/token", post(token::token))
        .route("/oauth/introspect", post(introspect::introspect))
        .route("/oauth/revoke", post(revoke::revoke))
        .route("/oauth/register", post(register::register).layer(DefaultBodyLimit::max(CLIENT_BODY)))
        .route("/revocation/snapshot", get(feed::snapshot))
        .route("/revocation/stream", get(feed::stream))
        .route("/revocation/lease", post(feed::lease))
        .route("/revocation/advice", get(feed::advice))
        .route(
            "/revocation/decisions",
            post(decisions::decisions).layer(DefaultBodyLimit::max(DECISIONS_BODY)),
        )
        .route("/admin/v1/bootstrap", post(admin::bootstrap))
        .route(
            "/admin/v1/registry",
            put(admin::apply).get(admin::registry).layer(DefaultBodyLimit::max(REGISTRY_BODY)),
        )
        .route("/admin/v1/registry/schema", get(admin::schema))
        .route("/admin/v1/revocations", post(admin::revoke).get(admin::revocations))
        .route("/admin/v1/enforcers", get(admin::enforcers))
        .route("/admin/v1/reinstatements", post(admin::reinstate))
        .route("/admin/v1/explain", post(admin::explain))
        .route("/admin/v1/keys", get(admin::keys))
        .route("/admin/v1/keys/rotate", post(admin::rotate))
        .route("/admin/v1/tasks/{id}", get(admin::task))
        .route("/admin/v1/tokens", get(admin::tokens))
        .route("/admin/v1/audit", get(admin::audit))
        .route("/admin/v1/openapi.json", get(admin::openapi))
}
