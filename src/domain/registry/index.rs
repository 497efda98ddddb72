//! The registry as flows read it: checked, compiled, and found by id.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::check::{
    check_agent, check_client, check_consent, check_registration, check_resource, detail_types, principal,
    remote,
};
use super::sign_in::{check_sign_in, provider_keys};
use super::{
    Administrator, Agent, Ceiling, Client, Consent, Grantee, IdentityProvider, Registration, RegistryError,
    Resource, Status, TenantSection, TrustDomain,
};
use crate::domain::narrowing::DetailTypes;
use crate::jose::{JwkSet, is_test_key};
use crate::protocol::resource::ResourceUri;
use crate::time::Timestamp;

/// Where the keys of somebody come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// From the registry itself.
    Inline(Arc<JwkSet>),
    /// From an https URL.
    Remote(String),
    /// From where the identity provider of this issuer says that they are (OpenID Connect Discovery §3, `jwks_uri`).
    Discovered(String),
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
    /// When a person's provider has logged them out of everything.
    pub logged_out: HashMap<String, Timestamp>,
}

/// How an ended session is told from a disabled person in one set.
pub fn ended_session(session: &str) -> String {
    format!("session {session}")
}

/// How a client that stands in no registry is told from them once it is revoked.
pub fn revoked_client(client: &str) -> String {
    format!("client {client}")
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
        for client in &section.clients {
            check_client(client, &section)?;
        }
        section.registration.iter().try_for_each(check_registration)?;
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
        check_sign_in(section)?;
        for idp in &section.identity_providers {
            let place = format!("identity_provider {}", idp.id);
            if !issuers.insert(&idp.issuer) {
                return Err(RegistryError::new(place, "another identity provider has this issuer"));
            }
            self.idp_keys.insert(idp.id.clone(), provider_keys(&place, idp)?);
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

    /// A caller whose key lies in `keys/` for everyone to read, if there is one.
    pub fn test_key_holder(&self) -> Option<&str> {
        let is_known = |source: &KeySource| match source {
            KeySource::Inline(set) => set.iter().any(is_test_key),
            KeySource::Remote(_) | KeySource::Discovered(_) => false,
        };
        let holder = self.principals.values().find(|principal| principal.keys.iter().any(is_known));
        let provider = self.idp_keys.iter().find(|(_, source)| is_known(source)).map(|(id, _)| id.as_str());
        holder.map(|principal| principal.id.as_str()).or(provider)
    }

    /// The agent of that id.
    pub fn agent(&self, id: &str) -> Option<&Agent> {
        Some(&self.section.agents[*self.agents.get(id)?])
    }

    /// How clients come in that no administrator has registered: not at all, where nothing is said of it.
    pub fn registration(&self) -> &Registration {
        static CLOSED: Registration =
            Registration { metadata_documents: false, metadata_document_hosts: Vec::new(), dynamic: false };
        self.section.registration.as_ref().unwrap_or(&CLOSED)
    }

    /// The client of that id.
    pub fn client(&self, id: &str) -> Option<&Client> {
        self.section.clients.iter().find(|client| client.client == id)
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

    /// The identity provider of that id, and its keys.
    pub fn identity_provider_by_id(&self, id: &str) -> Option<(&IdentityProvider, &KeySource)> {
        let idp = self.section.identity_providers.iter().find(|idp| idp.id == id)?;
        Some((idp, self.idp_keys.get(id)?))
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

    /// The consent of that id, though it may have been taken back: nothing rests on it.
    pub fn listed_consent(&self, id: &str) -> Option<&Consent> {
        let withdrawn = || self.section.withdrawn_consents.iter().find(|consent| consent.consent == id);
        self.consent(id).or_else(withdrawn)
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

    /// Whether a person's session was ended: an upstream token of it starts nothing new.
    pub fn is_session_ended(&self, session: &str) -> bool {
        self.disabled_users.contains(&ended_session(session))
    }

    /// Whether a provider's token of this person starts nothing new: its session was ended, or it is from before a logout from
    /// everything. One that doesn't say when it was issued may be.
    pub fn is_logged_out(&self, user: &str, session: Option<&str>, issued_at: Option<Timestamp>) -> bool {
        let before = |at: &Timestamp| issued_at.is_none_or(|issued_at| issued_at <= *at);
        session.is_some_and(|session| self.is_session_ended(session))
            || self.logged_out.get(user).is_some_and(before)
    }

    /// Whether this client was revoked. Those that describe or register themselves have no entry that could be switched off.
    pub fn is_client_revoked(&self, client: &str) -> bool {
        self.disabled_users.contains(&revoked_client(client))
    }

    /// Whether an administrator has disabled this person.
    pub fn is_disabled(&self, user: &str) -> bool {
        self.disabled_users.contains(user)
    }
}
