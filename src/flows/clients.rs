//! Clients: software a person uses directly. Registered by an administrator, or describing itself.

use super::client_authentication::{Assertion, Authenticated, Credentials, Whose, authenticate};
use super::{FlowError, Server, Tenant, TenantState};
use crate::domain::client_metadata::{ClientMetadata, DYNAMIC_PREFIX, host_of, is_document_url};
use crate::domain::refusal::Refusal;
use crate::domain::registry::{Client, KeySource, PrincipalKind, Registration, Status};
use crate::protocol::resource::ResourceUri;
use crate::protocol::token_type::JWT_BEARER;
use crate::storage::clients;
use crate::storage::marks::Mark;
use crate::time::Timestamp;
use crate::upstream::{DocumentError, FetchError};

/// How a client is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An administrator wrote it into the registry.
    Registered,
    /// By the document at its `client_id` (Client ID Metadata Document).
    MetadataDocument,
    /// It registered itself (RFC 7591).
    Dynamic,
}

/// A client that may ask people for something.
#[derive(Clone, Debug)]
pub struct KnownClient {
    /// Its `client_id`.
    pub id: String,
    /// What it calls itself, or what the administrator calls it; its `client_id` where it has no name.
    pub name: String,
    /// How it is known.
    pub origin: Origin,
    /// Where a person's browser may be sent back to.
    pub redirect_uris: Vec<String>,
    /// Whether it proves who it is at the token endpoint.
    pub confidential: bool,
    /// Whether it is given refresh tokens.
    pub refreshes: bool,
    /// Since when, for one that registered itself.
    pub known_since: Option<Timestamp>,
    /// The resources that it may ask for; every one when empty.
    pub resources: Vec<ResourceUri>,
    /// The keys of one that describes itself; the registry has those of the others.
    keys: Option<KeySource>,
}

/// The client of that id, if it is one that may ask people.
pub async fn find(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    client_id: &str,
) -> Result<KnownClient, FlowError> {
    if let Some(client) = state.registry.client(client_id) {
        return Ok(registered(client)?);
    }
    // A revocation outlives whatever the client says of itself, at whichever node it says it.
    if state.registry.is_client_revoked(client_id) {
        return Err(Refusal::AuthorizationClientUnknown.into());
    }
    let registration = state.registry.registration();
    if registration.metadata_documents && client_id.starts_with("https://") {
        let metadata = document(server, registration, client_id).await?;
        return Ok(described(state, (client_id, Origin::MetadataDocument), &metadata, None));
    }
    if registration.dynamic && client_id.starts_with(DYNAMIC_PREFIX) {
        let (metadata, since) = stored(server, tenant, client_id).await?;
        return Ok(described(state, (client_id, Origin::Dynamic), &metadata, Some(since)));
    }
    Err(Refusal::AuthorizationClientUnknown.into())
}

fn registered(client: &Client) -> Result<KnownClient, Refusal> {
    if client.status != Status::Active || client.redirect_uris.is_empty() {
        return Err(Refusal::AuthorizationClientUnknown);
    }
    Ok(as_known(client))
}

fn as_known(client: &Client) -> KnownClient {
    KnownClient {
        id: client.client.clone(),
        name: if client.name.is_empty() { client.client.clone() } else { client.name.clone() },
        origin: Origin::Registered,
        redirect_uris: client.redirect_uris.clone(),
        confidential: !client.identities.is_empty(),
        refreshes: true,
        known_since: None,
        resources: client.resources.clone(),
        keys: None,
    }
}

/// What the document at a client's URL says.
async fn document(
    server: &Server,
    registration: &Registration,
    client_id: &str,
) -> Result<std::sync::Arc<ClientMetadata>, FlowError> {
    if !is_document_url(client_id) {
        return Err(Refusal::ClientIdUrlUnfit.into());
    }
    let hosts = &registration.metadata_document_hosts;
    if !hosts.is_empty() && !host_of(client_id).is_some_and(|host| hosts.contains(&host)) {
        return Err(Refusal::ClientMetadataHostNotAllowed.into());
    }
    let document = server.documents.of(client_id, &server.clock).await;
    document.map_err(|error| {
        let refusal = match error {
            DocumentError::Unfit(_) => Refusal::ClientMetadataDocumentUnfit,
            DocumentError::Busy | DocumentError::Fetch(FetchError::TooOften) => Refusal::TooManyRequests,
            // Whatever went wrong, a stranger hears the same, and learns nothing of what this machine can reach.
            DocumentError::Fetch(_) | DocumentError::Resting => Refusal::ClientMetadataNotFetched,
        };
        refusal.into()
    })
}

/// What a client said of itself when it registered, and when that was.
async fn stored(
    server: &Server,
    tenant: &Tenant,
    client_id: &str,
) -> Result<(ClientMetadata, Timestamp), FlowError> {
    let mut tx = server.db.read().await?;
    let found = clients::find(&mut tx, &tenant.name, client_id).await?;
    let (metadata, since) = found.ok_or(Refusal::AuthorizationClientUnknown)?;
    // What was taken once may not be taken any more.
    let metadata = ClientMetadata::from_registration(&metadata);
    Ok((metadata.map_err(|_| Refusal::AuthorizationClientUnknown)?, since))
}

fn described(
    state: &TenantState,
    (id, origin): (&str, Origin),
    metadata: &ClientMetadata,
    known_since: Option<Timestamp>,
) -> KnownClient {
    // Anybody can call itself as an administrator's client is called; then its id has to do.
    let taken = |name: &&String| {
        let is = |other: &str| other.to_lowercase() == name.to_lowercase();
        state.registry.section.clients.iter().any(|client| is(&client.name) || is(&client.client))
    };
    KnownClient {
        id: id.to_owned(),
        name: metadata.name.as_ref().filter(|name| !taken(name)).map_or(id, String::as_str).to_owned(),
        origin,
        redirect_uris: metadata.redirect_uris.clone(),
        confidential: metadata.keys.is_some(),
        refreshes: metadata.refreshes,
        known_since,
        resources: Vec::new(),
        keys: metadata.keys.clone(),
    }
}

impl KnownClient {
    /// Whether an administrator has registered it; others are made at will.
    pub fn is_registered(&self) -> bool {
        self.origin == Origin::Registered
    }

    /// Whether it may ask for tokens of this resource.
    pub fn may_ask_for(&self, resource: &ResourceUri) -> bool {
        self.resources.is_empty() || self.resources.contains(resource)
    }
}

/// Authenticates the client of a grant that a person has given: by its keys, or, for a public one, by its name alone; then
/// the code's verifier, or the refresh token, is the proof.
pub async fn authenticate_client(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    credentials: Credentials<'_>,
    now: Timestamp,
) -> Result<(KnownClient, Option<Mark>), FlowError> {
    if credentials.assertion.is_none() && credentials.assertion_type.is_none() && !credentials.other_method {
        let id = credentials.client_id.ok_or(Refusal::ClientAuthenticationMissing)?;
        let client = find(server, tenant, state, id).await?;
        // RFC 6749 §3.2.1: a client that has credentials MUST authenticate with them.
        if client.confidential {
            return Err(Refusal::ClientAuthenticationMissing.into());
        }
        return Ok((client, None));
    }
    if let Some(assertion) = of_a_stranger(&credentials) {
        return authenticate_stranger(server, tenant, state, (&credentials, &assertion), now).await;
    }
    let proved = authenticate(server, tenant, state, credentials, now).await?;
    known(server, tenant, state, proved).await
}

async fn known(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    proved: Authenticated,
) -> Result<(KnownClient, Option<Mark>), FlowError> {
    let kind = state.registry.principal(&proved.id).map(|principal| principal.kind);
    if kind.is_some_and(|kind| kind != PrincipalKind::Client) {
        return Err(Refusal::GrantNotForThisClient.into());
    }
    Ok((find(server, tenant, state, &proved.id).await?, proved.mark))
}

/// The assertion, if it says that it is from a client that no administrator has registered.
pub(super) fn of_a_stranger<'a>(credentials: &Credentials<'a>) -> Option<Assertion<'a>> {
    let by_jwt = credentials.assertion_type == Some(JWT_BEARER) && !credentials.other_method;
    let assertion = Assertion::parse(credentials.assertion.filter(|_| by_jwt)?).ok()?;
    let describes_itself =
        assertion.from.starts_with("https://") || assertion.from.starts_with(DYNAMIC_PREFIX);
    describes_itself.then_some(assertion)
}

/// Authenticates a client that describes itself, by the keys that it publishes.
///
/// draft-ietf-oauth-client-id-metadata-document-02 §8.2: where it declares `private_key_jwt`, the server "MUST require client
/// authentication … using the corresponding key discovered from the client's metadata document".
async fn authenticate_stranger(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    (credentials, assertion): (&Credentials<'_>, &Assertion<'_>),
    now: Timestamp,
) -> Result<(KnownClient, Option<Mark>), FlowError> {
    if credentials.client_id.is_some_and(|claimed| claimed != assertion.from) {
        return Err(Refusal::ClientIdMismatch.into());
    }
    let client = find(server, tenant, state, &assertion.from).await?;
    // A public client has nothing to prove with; whoever sends a proof in its name is somebody else.
    let keys = client.keys.as_ref().ok_or(Refusal::ClientUnknown)?;
    let whose = Whose { id: &client.id, keys: std::slice::from_ref(keys), published: &server.documents.keys };
    let mark = assertion.verify(whose, tenant, now).await?;
    Ok((client, Some(mark)))
}

/// Authenticates the client of an assertion grant. It needs no redirect URI: nobody's browser is sent anywhere.
pub async fn authenticate_asserting_client(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    credentials: Credentials<'_>,
    now: Timestamp,
) -> Result<(KnownClient, Option<Mark>), FlowError> {
    if credentials.assertion.is_none() || of_a_stranger(&credentials).is_some() {
        return authenticate_client(server, tenant, state, credentials, now).await;
    }
    let proved = authenticate(server, tenant, state, credentials, now).await?;
    let registered = state.registry.client(&proved.id);
    // The tools of administrators administer.
    match registered.filter(|client| client.redirect_uris.is_empty() && client.administrator.is_empty()) {
        Some(client) => Ok((as_known(client), proved.mark)),
        None => known(server, tenant, state, proved).await,
    }
}
