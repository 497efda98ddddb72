//! A dry run: rules 1 to 8, each with its verdict, and nothing minted, spent or written.

use serde::Serialize;
use serde_json::Value;

use super::ask::Form;
use super::attempt::Attempt;
use crate::domain::exchange::Rule;
use crate::domain::refusal::Refusal;
use crate::flows::{FlowError, Server, Tenant};

/// What one rule says.
#[derive(Clone, Debug, Serialize)]
pub struct RuleReport {
    /// Its number in the order of the rules.
    pub number: usize,
    /// Its name.
    pub rule: Rule,
    /// `pass`, `refuse` or `not_reached`.
    pub verdict: &'static str,
    /// Why.
    pub detail: String,
}

/// What an exchange would come to.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Whether a token would be issued.
    pub granted: bool,
    /// The refusal's name, if one rule refuses.
    pub refusal: Option<&'static str>,
    /// Every rule.
    pub rules: Vec<RuleReport>,
    /// The claims that would be signed.
    pub would_issue: Option<Value>,
}

/// Explains what would happen if `client_id`, authenticated, sent this form.
pub async fn explain(
    server: &Server,
    tenant: &Tenant,
    client_id: &str,
    form: &Form<'_>,
) -> Result<Explanation, FlowError> {
    tenant.check_fresh(server)?;
    let state = tenant.state();
    let mut attempt = Attempt::new(server, tenant, &state, tenant.view.rev(), server.clock.now());
    let decided = match state.registry.principal(client_id) {
        None => Err(Refusal::ClientUnknown.into()),
        Some(principal) if principal.status != crate::domain::registry::Status::Active => {
            Err(Refusal::ClientSuspended.into())
        }
        Some(principal) => {
            attempt.event.client_id = Some(principal.id.clone());
            attempt.decide_for(principal, form).await
        }
    };
    let (refusal, claims) = match decided {
        Ok(minted) => (None, serde_json::to_value(&*minted.claims).ok()),
        Err(FlowError::Refused(refusal)) => (Some(refusal), None),
        Err(other) => return Err(other),
    };
    let rules = Rule::ALL
        .iter()
        .enumerate()
        .map(|(index, rule)| report((index, *rule), attempt.rule, refusal, attempt.because.as_deref()))
        .collect();
    Ok(Explanation {
        granted: refusal.is_none(),
        refusal: refusal.map(Refusal::rule),
        rules,
        would_issue: claims,
    })
}

fn report(
    (index, rule): (usize, Rule),
    stopped_at: Rule,
    refusal: Option<Refusal>,
    because: Option<&str>,
) -> RuleReport {
    let stop = Rule::ALL.iter().position(|rule| *rule == stopped_at).unwrap_or_default();
    let (verdict, detail) = match refusal {
        Some(refusal) if index == stop => {
            let description = refusal.wire().description;
            ("refuse", because.map_or(description.to_owned(), |because| format!("{description} ({because})")))
        }
        Some(_) if index > stop => ("not_reached", String::new()),
        _ => ("pass", passed(rule).to_owned()),
    };
    RuleReport { number: index + 1, rule, verdict, detail }
}

fn passed(rule: Rule) -> &'static str {
    match rule {
        Rule::Authenticate => "The client is known and active; its proof is taken as given in a dry run.",
        Rule::Actor => "The client is the actor.",
        Rule::Subject => "The subject is genuine and alive.",
        Rule::MayAct => "The agent may act for the subject.",
        Rule::Target => "The resource is known, on, and in the agent's ceiling.",
        Rule::Bounds => "Scope and details are within every bound.",
        Rule::Policy => "Policy permits.",
        Rule::Task => "The task is open.",
    }
}
