//! Clients: software a person uses directly. Registered by an administrator, or describing itself.

use super::client_authentication::{Credentials, authenticate};
use super::{FlowError, Server, Tenant, TenantState};
use crate::domain::refusal::Refusal;
use crate::domain::registry::{PrincipalKind, Status};
use crate::protocol::resource::ResourceUri;
use crate::storage::marks::Mark;
use crate::time::Timestamp;

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
}

/// The client of that id, if it is one that may ask people.
pub async fn find(
    server: &Server,
    tenant: &Tenant,
    state: &TenantState,
    client_id: &str,
) -> Result<KnownClient, FlowError> {
    let _ = (server, tenant);
    let registered = state.registry.client(client_id).filter(|client| client.status == Status::Active);
    let client = registered.filter(|client| !client.redirect_uris.is_empty());
    let client = client.ok_or(Refusal::AuthorizationClientUnknown)?;
    Ok(KnownClient {
        id: client.client.clone(),
        name: if client.name.is_empty() { client.client.clone() } else { client.name.clone() },
        origin: Origin::Registered,
        redirect_uris: client.redirect_uris.clone(),
        confidential: !client.identities.is_empty(),
        refreshes: true,
        known_since: None,
        resources: client.resources.clone(),
    })
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
    let proved = authenticate(server, tenant, state, credentials, now).await?;
    let kind = state.registry.principal(&proved.id).map(|principal| principal.kind);
    if kind.is_some_and(|kind| kind != PrincipalKind::Client) {
        return Err(Refusal::GrantNotForThisClient.into());
    }
    Ok((find(server, tenant, state, &proved.id).await?, proved.mark))
}
