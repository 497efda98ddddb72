//! A request on its way through the rules: what it rests on, and what to write down about it.

use std::sync::Arc;

use super::token_event;
use crate::domain::audit::Event;
use crate::domain::exchange::{self, Rule, Subject};
use crate::flows::{Server, Tenant, TenantState};
use crate::jose::Unverified;
use crate::protocol::claims::{AccessTokenClaims, Rev};
use crate::storage::marks::Mark;
use crate::time::Timestamp;

/// A request on its way through the rules.
pub(super) struct Attempt<'a> {
    pub(super) server: &'a Server,
    pub(super) tenant: &'a Tenant,
    pub(super) state: &'a TenantState,
    pub(super) rev: Rev,
    pub(super) now: Timestamp,
    /// What is written down: filled in as the request shows who and what it is.
    pub(super) event: Event,
    /// What the request spends, known once its client is.
    pub(super) mark: Option<Mark>,
    /// The tokens of ours that the request rests on.
    pub(super) rests_on: Vec<(Arc<AccessTokenClaims>, Option<String>)>,
    /// The task of the grant whose code or refresh token was presented.
    pub(super) grant_task: Option<String>,
    /// Whether its client is one that nobody has registered: such are made at will.
    pub(super) unregistered: bool,
    /// The rule that is being decided.
    pub(super) rule: Rule,
    /// What an explanation says beside the refusal; the caller is never told.
    pub(super) because: Option<String>,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        server: &'a Server,
        tenant: &'a Tenant,
        state: &'a TenantState,
        rev: Rev,
        now: Timestamp,
    ) -> Self {
        Self {
            server,
            tenant,
            state,
            rev,
            now,
            event: token_event(),
            mark: None,
            rests_on: Vec::new(),
            grant_task: None,
            unregistered: false,
            rule: Rule::Authenticate,
            because: None,
        }
    }

    /// Remembers a proved token of ours: if it is cut before the new one is written, so is the new one.
    pub(super) fn rest_on(&mut self, claims: &AccessTokenClaims, token: &str) {
        let kid = Unverified::parse(token).ok().and_then(|proved| proved.header().kid.clone());
        self.rests_on.push((Arc::new(claims.clone()), kid));
    }

    pub(super) fn note_request(&mut self, request: &exchange::Request) {
        self.event.resource = request.targets.first().filter(|target| target.len() <= 2048).cloned();
        self.event.scope = request.scope.clone().unwrap_or_default();
        self.event.authorization_details = request.authorization_details.clone().unwrap_or_default();
        self.event.task_purpose.clone_from(&request.task_purpose);
    }

    pub(super) fn note_subject(&mut self, subject: &Subject) {
        match subject {
            Subject::Token(claims, _, _) => {
                self.event.sub = Some(claims.sub.clone());
                self.event.act.clone_from(&claims.act);
                self.event.task.clone_from(&claims.task);
            }
            Subject::Upstream(user) => self.event.sub = Some(user.id.clone()),
            Subject::Nobody => self.event.sub = self.event.client_id.clone(),
        }
    }
}
