//! The authorization endpoint (OAuth 2.1 §4.1.1, RFC 9126, RFC 8707, RFC 9396, RFC 9207): a client's request is checked and
//! kept until the person has signed in and answered.

mod ask;
mod return_address;

pub use ask::AuthorizationForm;
pub use return_address::ReturnAddress;

use super::clients::{self, KnownClient, authenticate_client};
use super::{Credentials, FlowError, Recorder, Server, Tenant, TenantState};
use crate::domain::audit::{Event, EventKind};
use crate::domain::authorization::{AuthorizationRequest, PUSHED_LIFETIME, Prompt, REQUEST_LIFETIME};
use crate::domain::refusal::Refusal;
use crate::secret::{Digest, Secret};
use crate::storage::journal::{Entry, Outcome};
use crate::storage::requests::{self, StoredRequest};
use crate::time::Timestamp;

/// The prefix of the handle under which a request waits in a browser.
const HANDLE_PREFIX: &str = "tpq";
/// RFC 9126 §2.2: the form of a `request_uri` of ours.
const REQUEST_URI: &str = "urn:ietf:params:oauth:request_uri:";

/// Why a request goes no further.
#[derive(Debug)]
pub enum Stop {
    /// The client or its redirect URI isn't sound: the person is told, and the browser goes nowhere.
    Here(FlowError),
    /// The client is told.
    Back(ReturnAddress, Refusal),
}

impl<E: Into<FlowError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Here(error.into())
    }
}

/// A request that waits in a browser.
#[derive(Debug)]
pub struct Opened {
    /// Its handle, for the URLs of the pages that follow.
    pub handle: Secret,
    /// What is asked.
    pub request: AuthorizationRequest,
}

/// What a pushed request is answered with (RFC 9126 §2.2).
#[derive(Debug, serde::Serialize)]
pub struct Pushed {
    /// The reference, for the authorization endpoint.
    pub request_uri: String,
    /// Seconds until it can't be opened any more.
    pub expires_in: i64,
}

/// Keeps a request that the client pushes (RFC 9126).
pub async fn push(
    server: &Server,
    tenant: &Tenant,
    credentials: Credentials<'_>,
    form: &AuthorizationForm<'_>,
) -> Result<Pushed, FlowError> {
    let (now, state) = (server.clock.now(), tenant.state());
    let recorder = Recorder::new(server, tenant, EventKind::Authorization);
    let claimed = super::client_authentication::claimed(&state, credentials.assertion);
    let proved = authenticate_client(server, tenant, &state, credentials, now).await;
    let (client, mark) = recorder.stranger(claimed, proved).await?;
    // A public client's name is no proof: whoever says it must not use up the client's own share.
    let registered = client.confidential && client.is_registered();
    if registered {
        server.limits.token.take(&tenant.name, &format!("par {}", client.id))?;
    } else {
        server.limits.strangers.take(&tenant.name, "par")?;
    }
    // RFC 9126 §2.1: "The `request_uri` authorization request parameter MUST NOT be provided in this case".
    let checked = if form.request_uri.is_some() {
        Err(Refusal::RequestUriNotAccepted)
    } else if form.client_id.is_some_and(|id| id != client.id) {
        Err(Refusal::ClientIdMismatch)
    } else {
        check(tenant, &state, &client, form).map_err(|stop| match stop {
            Stop::Back(_, refusal) | Stop::Here(FlowError::Refused(refusal)) => refusal,
            Stop::Here(_) => Refusal::RequestMalformed,
        })
    };
    let (request, _) = recorder.client(&client.id, checked).await?;
    if !registered {
        weigh(server, tenant, &request)?;
    }
    let reference = server.entropy.secret(HANDLE_PREFIX);
    spend(server, tenant, &client, mark).await?;
    let stored = StoredRequest { request, browser: None, expires_at: now.plus(PUSHED_LIFETIME) };
    let mut tx = server.db.write().await?;
    requests::insert(&mut tx, &tenant.name, &reference.hash(), &stored, now).await?;
    tx.commit().await?;
    Ok(Pushed { request_uri: format!("{REQUEST_URI}{}", reference.expose()), expires_in: PUSHED_LIFETIME })
}

/// Spends the proof of a client that has pushed a request.
async fn spend(
    server: &Server,
    tenant: &Tenant,
    client: &KnownClient,
    mark: Option<crate::storage::marks::Mark>,
) -> Result<(), FlowError> {
    let mut event = Event::new(EventKind::Authorization, true);
    event.client_id = Some(client.id.clone());
    let rev = tenant.view.rev();
    event.rev = Some(rev.clone());
    let entry = Entry {
        tenant: tenant.name.clone(),
        rev,
        registry_version: tenant.state().registry.version,
        mark,
        mint: None,
        event,
        more: Vec::new(),
    };
    match server.journal.record(entry).await? {
        Outcome::Committed | Outcome::Repeated => Ok(()),
        Outcome::Refused(refusal) => Err(refusal.into()),
        Outcome::Moved => Err(Refusal::Overloaded.into()),
    }
}

/// Checks a request that a browser has brought, and keeps it for that browser.
pub async fn open(
    server: &Server,
    tenant: &Tenant,
    form: &AuthorizationForm<'_>,
    browser: &Digest,
) -> Result<Opened, Stop> {
    tenant.check_fresh(server)?;
    let (now, state) = (server.clock.now(), tenant.state());
    let client_id = form.client_id.ok_or(Refusal::ParameterMissing)?;
    let client = clients::find(server, tenant, &state, client_id).await?;
    let request = match form.request_uri {
        // RFC 9126 §4: what was pushed counts, and nothing that stands beside it.
        Some(uri) => pushed(server, tenant, &client, uri).await?,
        None => check(tenant, &state, &client, form)?.0,
    };
    weigh(server, tenant, &request)?;
    let handle = server.entropy.secret(HANDLE_PREFIX);
    let stored =
        StoredRequest { request, browser: Some(browser.hex()), expires_at: now.plus(REQUEST_LIFETIME) };
    let mut tx = server.db.write().await?;
    requests::insert(&mut tx, &tenant.name, &handle.hash(), &stored, now).await?;
    tx.commit().await?;
    Ok(Opened { handle, request: stored.request })
}

/// So many bytes that are kept for a stranger count as another request.
const UNIT: usize = 4096;

/// What is kept for strangers is bounded by its size, not only by its number.
fn weigh(server: &Server, tenant: &Tenant, request: &AuthorizationRequest) -> Result<(), FlowError> {
    let bytes = serde_json::to_string(request).map_or(0, |text| text.len());
    let more = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX);
    Ok(server.limits.strangers.take_many(&tenant.name, "kept", more)?)
}

/// A pushed request; it may be opened again until it has been answered.
async fn pushed(
    server: &Server,
    tenant: &Tenant,
    client: &KnownClient,
    uri: &str,
) -> Result<AuthorizationRequest, FlowError> {
    let reference = uri.strip_prefix(REQUEST_URI).ok_or(Refusal::RequestUriUnknown)?;
    let hash = Digest::of(reference.as_bytes());
    let mut tx = server.db.read().await?;
    let stored = requests::find(&mut tx, &tenant.name, &hash).await?;
    let now = server.clock.now();
    let stored = stored
        .filter(|stored| {
            stored.browser.is_none() && now < stored.expires_at && stored.request.client_id == client.id
        })
        .ok_or(Refusal::RequestUriUnknown)?;
    Ok(AuthorizationRequest { pushed: Some(hash.hex()), ..stored.request })
}

/// A request that waits in a browser.
#[derive(Debug)]
pub struct Waiting {
    /// What is asked.
    pub request: AuthorizationRequest,
    /// By whom.
    pub client: KnownClient,
    /// Where its client wants the browser back.
    pub back: ReturnAddress,
    /// When it came.
    pub opened_at: Timestamp,
}

/// The request that waits in this browser under this handle.
pub async fn waiting(
    server: &Server,
    tenant: &Tenant,
    handle: &str,
    browser: &Digest,
) -> Result<Waiting, FlowError> {
    let mut tx = server.db.read().await?;
    let stored = requests::find(&mut tx, &tenant.name, &Digest::of(handle.as_bytes())).await?;
    drop(tx);
    let now = server.clock.now();
    let ours = |stored: &StoredRequest| stored.browser.as_deref() == Some(&browser.hex());
    let stored = stored.filter(|stored| ours(stored) && now < stored.expires_at);
    let StoredRequest { request, expires_at, .. } = stored.ok_or(Refusal::AuthorizationRequestGone)?;
    // The client may have been switched off, or have lost its redirect URI, while the person was signing in.
    let client = clients::find(server, tenant, &tenant.state(), &request.client_id).await?;
    let back = ReturnAddress::of(tenant, &client, Some(&request.redirect_uri), request.state.as_deref())?;
    Ok(Waiting { request, client, back, opened_at: expires_at.plus(-REQUEST_LIFETIME) })
}

/// Whether the client wants to hear that nobody is signed in, rather than have somebody asked.
pub fn nobody_may_be_asked(request: &AuthorizationRequest) -> bool {
    request.prompt == Prompt::None
}

fn check(
    tenant: &Tenant,
    state: &TenantState,
    client: &KnownClient,
    form: &AuthorizationForm<'_>,
) -> Result<(AuthorizationRequest, ReturnAddress), Stop> {
    let back = ReturnAddress::of(tenant, client, form.redirect_uri, form.state)?;
    match form.check(state, client) {
        Ok(request) => Ok((request, back)),
        Err(refusal) => Err(Stop::Back(back, refusal)),
    }
}
