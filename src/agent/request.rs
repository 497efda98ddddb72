//! What an agent asks for: a task at one resource, for a person (RFC 8693 §2.1) or for itself (RFC 6749 §4.4).

use serde_json::Value;

use crate::protocol::resource::ResourceUri;
use crate::protocol::scope::Scope;
use crate::protocol::token_type::{CLIENT_CREDENTIALS, TOKEN_EXCHANGE, TokenType};
use crate::secret::{Digest, Secret};

/// What the task is to be allowed, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRequest {
    /// The one resource at which the token will work (RFC 8707 §2).
    pub resource: ResourceUri,
    /// The scope wanted; absent asks for the largest that may be given.
    pub scope: Option<Scope>,
    /// The `authorization_details` wanted (RFC 9396 §2): a JSON array of objects; absent as for the scope.
    pub authorization_details: Option<Value>,
    /// What the task is for, in words: shown to people and audited, never trusted.
    pub task_purpose: Option<String>,
    /// The task's length in seconds; the server may allow less.
    pub task_lifetime: Option<u64>,
    /// The program's own name for the task. It isn't sent; requests with different names never share a cached token.
    pub task: Option<String>,
}

impl TaskRequest {
    /// A task at `resource` with whatever the server would give there.
    pub fn at(resource: ResourceUri) -> Self {
        Self {
            resource,
            scope: None,
            authorization_details: None,
            task_purpose: None,
            task_lifetime: None,
            task: None,
        }
    }
}

/// A token that proves the acting agent besides its client authentication (RFC 8693 §2.1, `actor_token`).
#[derive(Clone, Debug)]
pub struct ActorToken {
    /// The token.
    pub actor_token: Secret,
    /// Its declared type.
    pub actor_token_type: TokenType,
}

/// A token exchange: a task on behalf of whom the subject token speaks of.
#[derive(Clone, Debug)]
pub struct ExchangeRequest {
    /// The person's token, or the token of the agent that delegates.
    pub subject_token: Secret,
    /// Its declared type.
    pub subject_token_type: TokenType,
    /// Proof of the actor, for servers that ask for it. Taskpass takes the authenticated client for the actor.
    pub actor: Option<ActorToken>,
    /// What is asked for.
    pub task: TaskRequest,
}

impl ExchangeRequest {
    /// An exchange without a separate actor token.
    pub fn new(subject_token: Secret, subject_token_type: TokenType, task: TaskRequest) -> Self {
        Self { subject_token, subject_token_type, actor: None, task }
    }
}

/// Either way to a token.
#[derive(Clone, Debug)]
pub enum TokenRequest {
    /// On behalf of somebody.
    Exchange(ExchangeRequest),
    /// On behalf of nobody.
    ClientCredentials(TaskRequest),
}

impl TokenRequest {
    /// What is asked for.
    pub fn task(&self) -> &TaskRequest {
        match self {
            Self::Exchange(exchange) => &exchange.task,
            Self::ClientCredentials(task) => task,
        }
    }

    /// The form parameters, without those that authenticate the client.
    pub(super) fn form(&self) -> Form {
        let mut form = Form::default();
        match self {
            Self::ClientCredentials(_) => form.push("grant_type", CLIENT_CREDENTIALS),
            Self::Exchange(exchange) => {
                form.push("grant_type", TOKEN_EXCHANGE);
                form.push("subject_token", exchange.subject_token.expose());
                form.push("subject_token_type", exchange.subject_token_type.as_str());
                if let Some(actor) = &exchange.actor {
                    form.push("actor_token", actor.actor_token.expose());
                    form.push("actor_token_type", actor.actor_token_type.as_str());
                }
            }
        }
        let task = self.task();
        form.push("resource", task.resource.as_str());
        form.push_some("scope", task.scope.as_ref());
        form.push_some("authorization_details", task.authorization_details.as_ref());
        form.push_some("task_purpose", task.task_purpose.as_ref());
        form.push_some("task_lifetime", task.task_lifetime.as_ref());
        form
    }

    /// The name under which the answer may be kept. Everything that decides about the answer is in it, the subject
    /// token above all: two people's tokens must never be taken for one another.
    pub(super) fn cache_key(&self) -> Digest {
        let form = self.form();
        let named = u8::from(self.task().task.is_some());
        let name = self.task().task.as_deref().unwrap_or_default();
        Digest::of_parts(&[form.body().as_bytes(), &[named], name.as_bytes()])
    }
}

/// A form body under construction; wiped when dropped, since it carries tokens.
#[derive(Clone, Default)]
pub(super) struct Form(zeroize::Zeroizing<String>);

impl Form {
    pub(super) fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        self.0.extend(form_urlencoded::byte_serialize(value.as_bytes()));
    }

    fn push_some(&mut self, name: &str, value: Option<&impl ToString>) {
        if let Some(value) = value {
            self.push(name, &value.to_string());
        }
    }

    pub(super) fn body(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn task() -> TaskRequest {
        TaskRequest::at(ResourceUri::parse("https://a.example/mcp").unwrap())
    }

    fn exchange(subject: &str, task: TaskRequest) -> TokenRequest {
        TokenRequest::Exchange(ExchangeRequest::new(Secret::new(subject.into()), TokenType::IdToken, task))
    }

    #[test]
    fn the_form_is_that_of_rfc_8693_section_2_1() {
        let mut task = task();
        task.scope = Some(Scope::parse("a b").unwrap());
        task.authorization_details = Some(json!([{"type": "x&y"}]));
        task.task_lifetime = Some(60);
        let form = exchange("s.u.b", task).form();
        assert_eq!(
            form.body(),
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=s.u.b\
             &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aid_token\
             &resource=https%3A%2F%2Fa.example%2Fmcp&scope=a+b\
             &authorization_details=%5B%7B%22type%22%3A%22x%26y%22%7D%5D&task_lifetime=60"
        );
    }

    #[test]
    fn whatever_decides_about_the_answer_is_in_the_cache_key() {
        let mut keys = vec![
            exchange("alice", task()).cache_key(),
            exchange("bob", task()).cache_key(),
            TokenRequest::ClientCredentials(task()).cache_key(),
        ];
        let edits: [fn(&mut TaskRequest); 6] = [
            |task| task.resource = ResourceUri::parse("https://b.example/mcp").unwrap(),
            |task| task.scope = Some(Scope::parse("a").unwrap()),
            |task| task.authorization_details = Some(json!([])),
            |task| task.task_purpose = Some("a".into()),
            |task| task.task_lifetime = Some(1),
            |task| task.task = Some(String::new()),
        ];
        for edit in edits {
            let mut task = task();
            edit(&mut task);
            keys.push(exchange("alice", task).cache_key());
        }
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert_eq!(exchange("alice", task()).cache_key(), keys[0]);
    }
}
