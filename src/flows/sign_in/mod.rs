//! A person signs in at an identity provider (OpenID Connect Core §3.1). The browser is sent away with what only it and this
//! server know, comes back once, and whatever it brings must fit: the browser, the provider that was asked (RFC 9207,
//! RFC 9700 §4.4), the code, and the ID token. People are (issuer, subject); an e-mail address is a label.

mod back_channel;
mod id_token;

pub use back_channel::back_channel_logout;

use serde_json::json;

use super::authorize::waiting;
use super::sessions::{Arrival, SignedIn, enter};
use super::tenant::DEVELOPMENT;
use super::{FlowError, Recorder, Server, Tenant, TenantState};
use crate::domain::audit::EventKind;
use crate::domain::authorization::Prompt;
use crate::domain::refusal::Refusal;
use crate::domain::registry::{IdentityProvider, KeySource, SignIn, Status};
use crate::secret::Digest;
use crate::storage::logins;
use crate::time::Timestamp;
use crate::upstream::{Departure, OpenIdError, Provider, Redemption, client_secret};

/// How long a browser may stay away, in seconds.
const AWAY: i64 = 600;

/// An identity provider that people can sign in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its id in the registry.
    pub id: String,
    /// What people call it; empty where the registry doesn't say.
    pub name: String,
    /// Its issuer.
    pub issuer: String,
}

fn ways(state: &TenantState) -> impl Iterator<Item = (&IdentityProvider, &SignIn)> {
    let providers = state.registry.section.identity_providers.iter();
    let active = providers.filter(|idp| idp.status == Status::Active);
    active.filter_map(|idp| Some((idp, idp.sign_in.as_ref()?)))
}

fn choice(idp: &IdentityProvider) -> Choice {
    Choice { id: idp.id.clone(), name: idp.name.clone(), issuer: idp.issuer.clone() }
}

/// The identity providers that can be signed in with.
pub fn choices(state: &TenantState) -> Vec<Choice> {
    ways(state).map(|(idp, _)| choice(idp)).collect()
}

/// The one that the domain of an e-mail address chooses.
pub fn chosen_by(state: &TenantState, login_hint: &str) -> Option<Choice> {
    let (_, domain) = login_hint.rsplit_once('@')?;
    let is_of = |sign_in: &SignIn| sign_in.domains.iter().any(|known| known.eq_ignore_ascii_case(domain));
    ways(state).find(|(_, sign_in)| is_of(sign_in)).map(|(idp, _)| choice(idp))
}

/// Whether an e-mail address can choose between them.
pub fn can_choose(state: &TenantState) -> bool {
    ways(state).count() > 1 && ways(state).any(|(_, sign_in)| !sign_in.domains.is_empty())
}

/// An identity provider, its keys, and how people sign in with it.
struct Usable<'a> {
    idp: &'a IdentityProvider,
    keys: &'a KeySource,
    sign_in: &'a SignIn,
}

/// The identity provider of that id, if people may sign in with it.
fn usable<'a>(state: &'a TenantState, id: &str) -> Result<Usable<'a>, Refusal> {
    let (idp, keys) = state.registry.identity_provider_by_id(id).ok_or(Refusal::EntryUnknown)?;
    let sign_in = idp.sign_in.as_ref().ok_or(Refusal::EntryUnknown)?;
    if idp.status == Status::Active {
        Ok(Usable { idp, keys, sign_in })
    } else {
        Err(Refusal::IdentityProviderDisabled)
    }
}

/// Where browsers come back to from this provider. RFC 9700 §4.4.2: not every provider names itself in its answers, so each has
/// an address of its own, at which no other one's answer counts.
fn callback(tenant: &Tenant, idp: &str) -> String {
    format!("{}/sign-in/callback/{idp}", tenant.issuer)
}

/// The provider is ours to ask and can't be asked: that is written to the log, for whoever set it up.
fn failed(idp: &str) -> impl FnOnce(OpenIdError) -> FlowError {
    move |error| {
        tracing::warn!(identity_provider = idp, %error, "people can't sign in with it");
        match error {
            OpenIdError::CodeRefused => Refusal::SignInRefused.into(),
            _ => Refusal::SignInFailed.into(),
        }
    }
}

/// Sends a browser to an identity provider: the URL to redirect it to. `request` is the handle of the authorization request that
/// waits for the person, `browser` the hash of the browser's cookie.
pub async fn depart(
    server: &Server,
    tenant: &Tenant,
    idp: &str,
    request: Option<&str>,
    browser: &Digest,
    login_hint: Option<&str>,
) -> Result<String, FlowError> {
    let state = tenant.state();
    let recorder = Recorder::new(server, tenant, EventKind::SignIn);
    let usable = match usable(&state, idp) {
        Ok(usable) => usable,
        refused => return recorder.stranger(None, refused.map(|_| String::new())).await,
    };
    let departed = send_away(server, tenant, &usable, (request, browser), login_hint).await;
    recorder.about(json!({ "identity_provider": idp }), departed).await
}

async fn send_away(
    server: &Server,
    tenant: &Tenant,
    usable: &Usable<'_>,
    (request, browser): (Option<&str>, &Digest),
    login_hint: Option<&str>,
) -> Result<String, FlowError> {
    // Every way out is a row: nobody may fill the table.
    server.limits.strangers.take(&tenant.name, "sign-in")?;
    let asked = match request {
        None => None,
        Some(handle) => Some(waiting(server, tenant, handle, browser).await?.request),
    };
    let Usable { idp, sign_in, .. } = usable;
    let provider = server.keys.openid().provider(&idp.issuer).await.map_err(failed(&idp.id))?;
    let [state, nonce, verifier] = ["tpl", "tpn", "tpv"].map(|prefix| server.entropy.secret(prefix));
    let login = logins::NewLogin {
        state: state.hash(),
        idp: &idp.id,
        request,
        browser: &browser.hex(),
        nonce: nonce.expose(),
        verifier: verifier.expose(),
        expires_at: server.clock.now().plus(AWAY),
    };
    let mut tx = server.db.write().await?;
    logins::insert(&mut tx, &tenant.name, &login).await?;
    tx.commit().await?;
    let departure = Departure {
        redirect_uri: &callback(tenant, &idp.id),
        state: &state,
        nonce: &nonce,
        verifier: &verifier,
        login_hint,
        // OpenID Connect Core §3.1.2.1: who wants the person asked again must not be answered from a session there.
        again: asked.is_some_and(|request| request.prompt == Prompt::Login),
    };
    provider.departure(sign_in, departure).map_err(failed(&idp.id))
}

/// What a browser brings back from an identity provider (RFC 6749 §4.1.2, RFC 9207 §2).
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer<'a> {
    /// The provider at whose address it came back.
    pub idp: Option<&'a str>,
    /// `state`.
    pub state: Option<&'a str>,
    /// `code`.
    pub code: Option<&'a str>,
    /// `error`.
    pub error: Option<&'a str>,
    /// `iss`.
    pub iss: Option<&'a str>,
}

/// Takes up a browser that comes back. `browser` is the hash of its cookie.
pub async fn arrive(
    server: &Server,
    tenant: &Tenant,
    answer: &Answer<'_>,
    browser: &Digest,
) -> Result<SignedIn, FlowError> {
    let now = server.clock.now();
    let recorder = Recorder::new(server, tenant, EventKind::SignIn);
    let state = answer.state.map(|state| Digest::of(state.as_bytes()));
    let login = match state {
        Some(state) if waits(server, tenant, (&state, browser), now).await? => {
            let mut tx = server.db.write().await?;
            let login = logins::redeem(&mut tx, &tenant.name, &state, &browser.hex(), now).await?;
            tx.commit().await?;
            login
        }
        _ => None,
    };
    let Some(login) = login else {
        // Only what nobody waits for is counted: strangers must not keep people from coming back.
        server.limits.strangers.take(&tenant.name, "sign-in callback")?;
        return recorder.stranger(None, Err(Refusal::SignInStateUnknown)).await;
    };
    let arrived = come_back(server, tenant, (&login, answer), browser, now).await;
    recorder.about(json!({ "identity_provider": login.idp }), arrived).await
}

async fn waits(
    server: &Server,
    tenant: &Tenant,
    (state, browser): (&Digest, &Digest),
    now: Timestamp,
) -> Result<bool, FlowError> {
    let mut tx = server.db.read().await?;
    Ok(logins::waits(&mut tx, &tenant.name, state, &browser.hex(), now).await?)
}

/// Since when the person must have been asked, if the client of the request that waits wants a new sign-in.
async fn anew_since(
    server: &Server,
    tenant: &Tenant,
    request: Option<&str>,
    browser: &Digest,
) -> Result<Option<Timestamp>, FlowError> {
    let Some(handle) = request else { return Ok(None) };
    match waiting(server, tenant, handle, browser).await {
        Ok(waiting) => Ok((waiting.request.prompt == Prompt::Login).then_some(waiting.opened_at)),
        // It waits no longer: the person is told so, signed in.
        Err(FlowError::Refused(Refusal::AuthorizationRequestGone)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn come_back(
    server: &Server,
    tenant: &Tenant,
    (login, answer): (&logins::Login, &Answer<'_>),
    browser: &Digest,
    now: Timestamp,
) -> Result<SignedIn, FlowError> {
    let state = tenant.state();
    let usable = usable(&state, &login.idp)?;
    let openid = server.keys.openid();
    let provider = openid.provider(&usable.idp.issuer).await.map_err(failed(&login.idp))?;
    // Before anything is sent to the token endpoint: a code that another provider gave must not reach this one.
    check_sender(login, answer, (usable.idp, &provider))?;
    if answer.error.is_some() {
        return Err(Refusal::SignInRefused.into());
    }
    let secret = match &usable.sign_in.client_secret_file {
        None => None,
        Some(file) => Some(client_secret(&server.settings.data_dir, file).await.map_err(failed(&login.idp))?),
    };
    let redemption = Redemption {
        code: answer.code.ok_or(Refusal::ParameterMissing)?,
        verifier: &login.verifier,
        redirect_uri: &callback(tenant, &login.idp),
        secret: secret.as_ref(),
    };
    let redeemed = openid.redeem(&provider, usable.sign_in, redemption).await;
    let id_token = redeemed.map_err(failed(&login.idp))?;
    let anew_since = anew_since(server, tenant, login.request.as_deref(), browser).await?;
    let expected =
        id_token::Expected { nonce: &login.nonce, algorithms: &provider.algorithms, anew_since, now };
    let person = id_token::verify(server, (&tenant.name, &usable), &id_token, expected).await?;
    enter(server, tenant, person, login.request.clone()).await
}

/// RFC 9207 §2.4: "Clients MUST … compare the result to the issuer identifier of the authorization server where the authorization
/// request was sent to. … If the value does not match … clients MUST reject the authorization response and MUST NOT proceed".
fn check_sender(
    login: &logins::Login,
    answer: &Answer<'_>,
    (idp, provider): (&IdentityProvider, &Provider),
) -> Result<(), Refusal> {
    let named = match answer.iss {
        Some(iss) => iss == idp.issuer,
        // "Clients that support this specification MUST reject authorization responses without the `iss` parameter from
        // authorization servers that do support it".
        None => !provider.names_itself,
    };
    if named && answer.idp == Some(login.idp.as_str()) { Ok(()) } else { Err(Refusal::SignInIssuerMixedUp) }
}

/// Signs somebody of the registry's `people` in without any proof: for trying things out, on a server that was started for that.
pub async fn develop(
    server: &Server,
    tenant: &Tenant,
    subject: &str,
    (request, browser): (Option<&str>, &Digest),
) -> Result<SignedIn, FlowError> {
    let state = tenant.state();
    let known = state.registry.section.people.iter().find(|person| person.subject == subject);
    let recorder = Recorder::new(server, tenant, EventKind::SignIn);
    let Some(person) = known.filter(|_| server.settings.development) else {
        return recorder.stranger(None, Err(Refusal::EntryUnknown)).await;
    };
    let person = Arrival {
        idp: DEVELOPMENT.to_owned(),
        issuer: format!("{}/{DEVELOPMENT}", tenant.issuer),
        subject: person.subject.clone(),
        upstream_sid: None,
        name: person.name.clone(),
        email: person.email.clone(),
        groups: person.groups.clone(),
    };
    if let Some(handle) = request {
        waiting(server, tenant, handle, browser).await?;
    }
    let entered = enter(server, tenant, person, request.map(str::to_owned)).await;
    recorder.about(json!({ "identity_provider": DEVELOPMENT }), entered).await
}
