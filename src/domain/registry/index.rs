//! The registry as flows read it: checked, compiled, and found by id.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::{
    Administrator, Agent, Ceiling, Consent, Grantee, Identity, IdentityProvider, RegistryError, Resource,
    Status, TenantSection, TrustDomain,
};
use crate::domain::exchange::names_other_location;
use crate::domain::narrowing::{DetailTypes, OperatorType};
use crate::jose::{Algorithm, JwkSet};
use crate::protocol::resource::ResourceUri;
use crate::protocol::scope::Scope;

/// Where the keys of somebody come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// From the registry itself.
    Inline(Arc<JwkSet>),
    /// From an https URL.
    Remote(String),
}

/// What kind of caller has authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrincipalKind {
    /// A workload that acts for people.
    Agent,
    /// Software a person uses, or an administrator's tool.
    Client,
    /// A verifier.
    Enforcer,
}

/// Whoever can authenticate: agents, clients and enforcers share one space of ids.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The `client_id`.
    pub id: String,
    /// What it is.
    pub kind: PrincipalKind,
    /// Whether it may be used.
    pub status: Status,
    /// Its keys for `private_key_jwt`.
    pub keys: Vec<KeySource>,
    /// Its SPIFFE IDs.
    pub spiffe_ids: Vec<String>,
    /// Its rights at the administrative API.
    pub administrator: Vec<Administrator>,
    /// For an enforcer: the resources whose tokens it may see.
    pub resources: Vec<ResourceUri>,
}

/// One tenant's registry.
#[derive(Debug, Default)]
pub struct Registry {
    /// Counts changes; a decision made under an older one is made again.
    pub version: i64,
    /// The document that it was compiled from.
    pub section: TenantSection,
    /// The types of details, built in and added.
    pub detail_types: DetailTypes,
    principals: HashMap<String, Principal>,
    by_spiffe_id: HashMap<String, String>,
    agents: HashMap<String, usize>,
    resources: HashMap<String, usize>,
    idp_keys: HashMap<String, KeySource>,
    bundles: HashMap<String, Arc<JwkSet>>,
    disabled_users: HashSet<String>,
}

impl Registry {
    /// Checks a section as a whole and compiles it. Nothing is stored unless this succeeds.
    pub fn compile(
        version: i64,
        section: TenantSection,
        disabled_users: HashSet<String>,
    ) -> Result<Self, RegistryError> {
        let mut registry =
            Self { version, detail_types: detail_types(&section)?, disabled_users, ..Self::default() };
        for (index, resource) in section.resources.iter().enumerate() {
            check_resource(resource, &section)?;
            registry.resources.insert(resource.resource.as_str().to_owned(), index);
        }
        for (index, agent) in section.agents.iter().enumerate() {
            check_agent(agent, &registry, &section)?;
            registry.agents.insert(agent.agent.clone(), index);
        }
        registry.add_principals(&section)?;
        registry.add_trust(&section)?;
        for consent in &section.consents {
            check_consent(consent, &section)?;
        }
        registry.section = section;
        Ok(registry)
    }

    fn add_principals(&mut self, section: &TenantSection) -> Result<(), RegistryError> {
        for agent in &section.agents {
            let place = format!("agent {}", agent.agent);
            self.add(
                principal(&place, &agent.agent, PrincipalKind::Agent, agent.status, &agent.identities)?,
                &place,
            )?;
        }
        for client in &section.clients {
            let place = format!("client {}", client.client);
            let mut principal =
                principal(&place, &client.client, PrincipalKind::Client, client.status, &client.identities)?;
            principal.administrator.clone_from(&client.administrator);
            self.add(principal, &place)?;
        }
        for enforcer in &section.enforcers {
            let place = format!("enforcer {}", enforcer.enforcer);
            let mut principal = principal(
                &place,
                &enforcer.enforcer,
                PrincipalKind::Enforcer,
                enforcer.status,
                &enforcer.identities,
            )?;
            principal.resources.clone_from(&enforcer.resources);
            self.add(principal, &place)?;
        }
        Ok(())
    }

    fn add(&mut self, principal: Principal, place: &str) -> Result<(), RegistryError> {
        for spiffe_id in &principal.spiffe_ids {
            if self.by_spiffe_id.insert(spiffe_id.clone(), principal.id.clone()).is_some() {
                return Err(RegistryError::new(
                    place,
                    format!("{spiffe_id} already belongs to another entry"),
                ));
            }
        }
        match self.principals.insert(principal.id.clone(), principal) {
            None => Ok(()),
            Some(_) => Err(RegistryError::new(
                place,
                "agents, clients and enforcers share one space of ids; this one is taken",
            )),
        }
    }

    fn add_trust(&mut self, section: &TenantSection) -> Result<(), RegistryError> {
        let mut issuers = HashSet::new();
        for idp in &section.identity_providers {
            let place = format!("identity_provider {}", idp.id);
            if !issuers.insert(&idp.issuer) {
                return Err(RegistryError::new(place, "another identity provider has this issuer"));
            }
            let source = match (&idp.jwks, &idp.jwks_uri) {
                (Some(jwks), None) => inline(&place, jwks)?,
                (None, Some(uri)) => remote(&place, uri)?,
                _ => {
                    return Err(RegistryError::new(place, "needs exactly one of `jwks` and `jwks_uri`"));
                }
            };
            self.idp_keys.insert(idp.id.clone(), source);
        }
        for domain in &section.trust_domains {
            let place = format!("trust_domain {}", domain.trust_domain);
            let ways =
                [domain.bundle.is_some(), domain.bundle_file.is_some(), domain.bundle_endpoint.is_some()];
            if ways.iter().filter(|way| **way).count() != 1 {
                return Err(RegistryError::new(
                    place,
                    "needs exactly one of `bundle`, `bundle_file` and `bundle_endpoint`",
                ));
            }
            if let Some(url) = &domain.bundle_endpoint {
                remote(&place, url)?;
            }
            if let Some(bundle) = &domain.bundle {
                let keys =
                    JwkSet::parse_spiffe_bundle(bundle).map_err(|error| RegistryError::new(&place, error))?;
                self.bundles.insert(domain.trust_domain.clone(), Arc::new(keys));
            }
        }
        Ok(())
    }

    /// The caller with this `client_id`, which may be its id or one of its SPIFFE IDs.
    pub fn principal(&self, client_id: &str) -> Option<&Principal> {
        self.principals.get(client_id).or_else(|| self.principal_by_spiffe_id(client_id))
    }

    /// The caller that has this SPIFFE ID.
    pub fn principal_by_spiffe_id(&self, spiffe_id: &str) -> Option<&Principal> {
        self.principals.get(self.by_spiffe_id.get(spiffe_id)?)
    }

    /// The agent of that id.
    pub fn agent(&self, id: &str) -> Option<&Agent> {
        Some(&self.section.agents[*self.agents.get(id)?])
    }

    /// The resource of that URI.
    pub fn resource(&self, uri: &str) -> Option<&Resource> {
        Some(&self.section.resources[*self.resources.get(uri)?])
    }

    /// The most that this agent may have at this resource.
    pub fn ceiling<'a>(&self, agent: &'a Agent, resource: &ResourceUri) -> Option<&'a Ceiling> {
        agent.ceiling.iter().find(|ceiling| ceiling.resource == *resource)
    }

    /// The identity provider with this issuer, and its keys.
    pub fn identity_provider(&self, issuer: &str) -> Option<(&IdentityProvider, &KeySource)> {
        let idp = self.section.identity_providers.iter().find(|idp| idp.issuer == issuer)?;
        Some((idp, self.idp_keys.get(&idp.id)?))
    }

    /// The trust domain of that name.
    pub fn trust_domain(&self, name: &str) -> Option<&TrustDomain> {
        self.section.trust_domains.iter().find(|domain| domain.trust_domain == name)
    }

    /// The bundle of a trust domain, where the registry holds it.
    pub fn inline_bundle(&self, name: &str) -> Option<&Arc<JwkSet>> {
        self.bundles.get(name)
    }

    /// The consent of that id.
    pub fn consent(&self, id: &str) -> Option<&Consent> {
        self.section.consents.iter().find(|consent| consent.consent == id)
    }

    /// The consents under which `agent` may act for this person at `resource`, a person's own before a group's.
    pub fn consents_for<'a>(
        &'a self,
        agent: &'a str,
        resource: &'a ResourceUri,
        issuer: &'a str,
        (subject, groups): (&'a str, &'a [String]),
    ) -> Vec<&'a Consent> {
        let covers = move |consent: &&Consent| match consent.grantee() {
            Some(Grantee::User { issuer: i, subject: s }) => i == issuer && s == subject,
            Some(Grantee::Group { issuer: i, group }) => i == issuer && groups.contains(group),
            None => false,
        };
        let mut found: Vec<_> = self
            .section
            .consents
            .iter()
            .filter(|consent| consent.agent == agent && consent.resource == *resource)
            .filter(covers)
            .collect();
        found.sort_by_key(|consent| consent.user.is_none());
        found
    }

    /// Whether an administrator has disabled this person.
    pub fn is_disabled(&self, user: &str) -> bool {
        self.disabled_users.contains(user)
    }
}

fn detail_types(section: &TenantSection) -> Result<DetailTypes, RegistryError> {
    let mut operator = Vec::new();
    for kind in &section.detail_types {
        let place = format!("detail_type {}", kind.name);
        let wrong = |error: &dyn std::fmt::Display| RegistryError::new(&place, error);
        let narrowing =
            serde_json::from_value(Value::Object(kind.narrowing.clone())).map_err(|error| wrong(&error))?;
        operator.push(OperatorType::new(&kind.name, &kind.schema, narrowing).map_err(|error| wrong(&error))?);
    }
    DetailTypes::with(operator).map_err(|error| RegistryError::new("detail_types", error))
}

/// Ids stand in tokens, logs, file names and log scopes: a small alphabet keeps them apart from user ids (`usr_…`),
/// URLs and SPIFFE IDs (`threats.md`: a client id must never pass for a user id).
fn check_id(place: &str, id: &str) -> Result<(), RegistryError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if id.is_empty() || id.len() > 128 || !id.bytes().all(plain) || id.starts_with("usr_") {
        return Err(RegistryError::new(
            place,
            "an id is 1 to 128 of A-Z a-z 0-9 - _ . and doesn't start with usr_",
        ));
    }
    Ok(())
}

fn check_resource(resource: &Resource, section: &TenantSection) -> Result<(), RegistryError> {
    let place = format!("resource {}", resource.resource);
    if !(1..=300).contains(&resource.token.lifetime_seconds) {
        return Err(RegistryError::new(place, "token.lifetime_seconds is 1 to 300"));
    }
    if !matches!(
        resource.token.alg,
        Algorithm::ES256 | Algorithm::EdDSA | Algorithm::RS256 | Algorithm::PS256
    ) {
        return Err(RegistryError::new(place, "token.alg is ES256, EdDSA, RS256 or PS256"));
    }
    let known =
        |name: &String| name == "mcp_tool_call" || section.detail_types.iter().any(|kind| kind.name == *name);
    if let Some(unknown) = resource.detail_types.iter().find(|name| !known(name)) {
        return Err(RegistryError::new(place, format!("detail type {unknown} isn't declared")));
    }
    if let Some(tool) =
        resource.tools.iter().find(|tool| tool.name.is_empty() || tool.name.contains(['#', '*']))
    {
        return Err(RegistryError::new(
            place,
            format!("tool name {:?} is empty or has # or * in it", tool.name),
        ));
    }
    if let Some(way) = resource.downstream.iter().find(|way| resource.tool(&way.tool).is_none()) {
        return Err(RegistryError::new(place, format!("downstream names the unknown tool {:?}", way.tool)));
    }
    Ok(())
}

fn check_agent(agent: &Agent, registry: &Registry, section: &TenantSection) -> Result<(), RegistryError> {
    let place = format!("agent {}", agent.agent);
    check_id(&place, &agent.agent)?;
    if !(1..=3).contains(&agent.tier) {
        return Err(RegistryError::new(place, "tier is 1, 2 or 3"));
    }
    for ceiling in &agent.ceiling {
        let uri = &ceiling.resource;
        let resource = section.resources.iter().find(|resource| resource.resource == *uri);
        let resource = resource
            .ok_or_else(|| RegistryError::new(&place, format!("ceiling names the unknown resource {uri}")))?;
        check_bound(
            &place,
            "ceiling",
            (&ceiling.scopes, &ceiling.authorization_details),
            resource,
            &registry.detail_types,
        )?;
    }
    for other in &agent.may_delegate_to {
        if *other == agent.agent || !section.agents.iter().any(|agent| agent.agent == *other) {
            return Err(RegistryError::new(
                place,
                format!("may_delegate_to names {other:?}, which is not another agent"),
            ));
        }
    }
    Ok(())
}

fn check_consent(consent: &Consent, section: &TenantSection) -> Result<(), RegistryError> {
    let place = format!("consent {}", consent.consent);
    check_id(&place, &consent.consent)?;
    let one = match (&consent.user, &consent.group) {
        (Some(Grantee::User { .. }), None) | (None, Some(Grantee::Group { .. })) => true,
        _ => false,
    };
    if !one {
        return Err(RegistryError::new(
            place,
            "needs exactly one of `user: {issuer, subject}` and `group: {issuer, group}`",
        ));
    }
    if !section.agents.iter().any(|agent| agent.agent == consent.agent) {
        return Err(RegistryError::new(place, format!("names the unknown agent {:?}", consent.agent)));
    }
    let resource = section.resources.iter().find(|resource| resource.resource == consent.resource);
    let resource = resource.ok_or_else(|| {
        RegistryError::new(&place, format!("names the unknown resource {}", consent.resource))
    })?;
    let types = detail_types(section)?;
    check_bound(&place, "consent", (&consent.scopes, &consent.authorization_details), resource, &types)
}

/// A bound that names what its resource doesn't know is a typing error, and would silently grant less than was meant.
fn check_bound(
    place: &str,
    what: &str,
    (scopes, details): (&Scope, &crate::protocol::authorization_details::AuthorizationDetails),
    resource: &Resource,
    types: &DetailTypes,
) -> Result<(), RegistryError> {
    if let Some(unknown) = scopes.iter().find(|token| !resource.scopes.contains(token)) {
        return Err(RegistryError::new(
            place,
            format!("{what} has scope {unknown:?}, which {} doesn't declare", resource.resource),
        ));
    }
    types
        .check(details, &resource.detail_types)
        .map_err(|error| RegistryError::new(place, format!("{what}: {error}")))?;
    // Only what speaks of this very resource can ever be granted there.
    match details.iter().find(|detail| names_other_location(detail.object(), resource.resource.as_str())) {
        Some(_) => Err(RegistryError::new(
            place,
            format!("{what}: a detail's locations must be [{}]", resource.resource),
        )),
        None => Ok(()),
    }
}

fn principal(
    place: &str,
    id: &str,
    kind: PrincipalKind,
    status: Status,
    identities: &[Identity],
) -> Result<Principal, RegistryError> {
    check_id(place, id)?;
    let mut principal = Principal {
        id: id.to_owned(),
        kind,
        status,
        keys: Vec::new(),
        spiffe_ids: Vec::new(),
        administrator: Vec::new(),
        resources: Vec::new(),
    };
    for identity in identities {
        match identity {
            Identity::Spiffe { spiffe_id } => {
                let spiffe_id = crate::protocol::spiffe_id::SpiffeId::parse(spiffe_id)
                    .map_err(|error| RegistryError::new(place, format!("{spiffe_id:?}: {error}")))?;
                principal.spiffe_ids.push(spiffe_id.as_str().to_owned());
            }
            Identity::Jwks { jwks } => principal.keys.push(inline(place, jwks)?),
            Identity::JwksUri { jwks_uri } => principal.keys.push(remote(place, jwks_uri)?),
        }
    }
    Ok(principal)
}

fn inline(place: &str, jwks: &Value) -> Result<KeySource, RegistryError> {
    JwkSet::parse(jwks)
        .map(|set| KeySource::Inline(Arc::new(set)))
        .map_err(|error| RegistryError::new(place, error))
}

fn remote(place: &str, url: &str) -> Result<KeySource, RegistryError> {
    match url::Url::parse(url) {
        Ok(parsed) if parsed.scheme() == "https" && parsed.has_host() => {
            Ok(KeySource::Remote(url.to_owned()))
        }
        _ => Err(RegistryError::new(place, format!("{url:?} is not an https URL"))),
    }
}
