//! What `revoke` and `reinstate` aim at: exactly one of the scopes that the revocation log knows.

use clap::ArgGroup;
use serde_json::{Map, Value, json};

/// The scope of a cutoff; exactly one must be given.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(group(ArgGroup::new("cutoff_scope").required(true).multiple(false).args([
    "agent", "user", "user_issuer", "task", "token", "consent", "client", "resource", "tool", "key", "session", "tenant",
])))]
pub(super) struct ScopeArgs {
    /// An agent, by its id: every token in whose chain of actors it stands.
    #[arg(long, value_name = "ID")]
    pub agent: Option<String>,
    /// A person, by the `sub` of their tokens (usr_…).
    #[arg(long, value_name = "SUB", value_parser = user)]
    pub user: Option<String>,
    /// A person, by their company's issuer; with --user-subject.
    #[arg(long, value_name = "ISSUER", requires = "user_subject")]
    pub user_issuer: Option<String>,
    /// The person's subject at --user-issuer.
    #[arg(long, value_name = "SUBJECT", requires = "user_issuer")]
    pub user_subject: Option<String>,
    /// A task, by its id, with every task below it.
    #[arg(long, value_name = "ID", value_parser = id)]
    pub task: Option<String>,
    /// One token, by its `jti` (never the token itself), with the child tasks opened with it.
    #[arg(long, value_name = "JTI", value_parser = id)]
    pub token: Option<String>,
    /// A consent, by its id: every token that rests on it.
    #[arg(long, value_name = "ID", value_parser = id)]
    pub consent: Option<String>,
    /// A client, by its id.
    #[arg(long, value_name = "ID")]
    pub client: Option<String>,
    /// A resource, by its URI: that server's kill switch.
    #[arg(long, value_name = "URI", value_parser = resource)]
    pub resource: Option<String>,
    /// One tool: the resource's URI, `#`, the tool's name. Tokens live on; calls of the tool are refused.
    #[arg(long, value_name = "URI#NAME", value_parser = tool)]
    pub tool: Option<String>,
    /// A signing key of the server, by its `kid`: everything that it signed.
    #[arg(long, value_name = "KID")]
    pub key: Option<String>,
    /// A person's session, by the `sid` of a token: `ses_…`, or `ups_…` for one at an identity provider.
    #[arg(long, value_name = "SID", value_parser = session)]
    pub session: Option<String>,
    /// The whole tenant, by its name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
}

/// The identity provider's own `sid` is in no token.
fn session(text: &str) -> Result<String, String> {
    if text.starts_with("ses_") || text.starts_with("ups_") {
        return Ok(text.to_owned());
    }
    Err("a session is named as in the `sid` of its tokens: `ses_…` or `ups_…`".to_owned())
}

/// A person's id is ours; anything else would cut nobody and look as if it had.
fn user(text: &str) -> Result<String, String> {
    if text.starts_with("usr_") {
        return Ok(text.to_owned());
    }
    Err("a user's id begins with usr_; name a person of your company by --user-issuer and --user-subject"
        .into())
}

fn id(text: &str) -> Result<String, String> {
    // A compact JWS begins with the base64url of `{"`; it must not travel through argument lists and logs.
    if text.starts_with("eyJ") || text.matches('.').count() >= 2 {
        return Err(
            "this looks like a token; give the id that it carries instead (jti, task, consent)".into()
        );
    }
    if text.is_empty() { Err("an id is not empty".into()) } else { Ok(text.to_owned()) }
}

fn resource(text: &str) -> Result<String, String> {
    // RFC 8707 §2: the resource "MUST be an absolute URI … The URI MUST NOT include a fragment component".
    match url::Url::parse(text) {
        Ok(uri) if uri.fragment().is_none() => Ok(text.to_owned()),
        Ok(_) => Err("a resource's URI has no fragment; one of its tools is --tool 'URI#NAME'".into()),
        Err(_) => Err("a resource is named by an absolute URI".into()),
    }
}

fn tool(text: &str) -> Result<String, String> {
    let shape = || "a tool is the resource's URI, `#`, the tool's name: 'https://tickets.example.com/mcp#close_ticket'";
    let (uri, name) = text.split_once('#').ok_or_else(shape)?;
    if name.is_empty() || url::Url::parse(uri).is_err() {
        return Err(shape().to_owned());
    }
    Ok(text.to_owned())
}

impl ScopeArgs {
    /// `scope_kind` and `scope_id` as the admin API takes them.
    pub(super) fn wire(&self) -> (&'static str, Value) {
        if let (Some(issuer), Some(subject)) = (&self.user_issuer, &self.user_subject) {
            return ("user", json!({ "issuer": issuer, "subject": subject }));
        }
        let chosen = self.plain().into_iter().find_map(|(kind, id)| Some((kind, json!(id.as_deref()?))));
        // The argument group has already refused the empty choice.
        chosen.unwrap_or(("", Value::Null))
    }

    /// The request body: the scope and, where there is one, the reason.
    pub(super) fn body(&self, reason: Option<&str>) -> Value {
        let (kind, id) = self.wire();
        let mut body = Map::new();
        body.insert("scope_kind".into(), json!(kind));
        body.insert("scope_id".into(), id);
        if let Some(reason) = reason {
            body.insert("reason".into(), json!(reason));
        }
        Value::Object(body)
    }

    /// The flags that name this scope again, for a hint that can be copied.
    pub(super) fn flags(&self) -> String {
        if let (Some(issuer), Some(subject)) = (&self.user_issuer, &self.user_subject) {
            return format!("--user-issuer {} --user-subject {}", quote(issuer), quote(subject));
        }
        let (kind, id) = self.wire();
        format!("--{kind} {}", quote(id.as_str().unwrap_or_default()))
    }

    /// The scope in words: `agent triage`.
    pub(super) fn words(&self) -> String {
        if let (Some(issuer), Some(subject)) = (&self.user_issuer, &self.user_subject) {
            return format!("user {subject} of {issuer}");
        }
        let (kind, id) = self.wire();
        format!("{kind} {}", id.as_str().unwrap_or_default())
    }

    fn plain(&self) -> [(&'static str, &Option<String>); 11] {
        [
            ("agent", &self.agent),
            ("user", &self.user),
            ("task", &self.task),
            ("token", &self.token),
            ("consent", &self.consent),
            ("client", &self.client),
            ("resource", &self.resource),
            ("tool", &self.tool),
            ("key", &self.key),
            ("session", &self.session),
            ("tenant", &self.tenant),
        ]
    }
}

/// Quotes for a POSIX shell where needed.
fn quote(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:@".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use clap::error::ErrorKind;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        scope: ScopeArgs,
    }

    fn parse(args: &[&str]) -> Result<ScopeArgs, clap::Error> {
        let args = std::iter::once("x").chain(args.iter().copied());
        Command::try_parse_from(args).map(|command| command.scope)
    }

    #[test]
    fn every_kind_reaches_the_wire() {
        for (kind, id) in [
            ("agent", "triage"),
            ("user", "usr_1"),
            ("task", "tsk_1"),
            ("token", "tok_1"),
            ("consent", "con_1"),
            ("client", "ops"),
            ("resource", "https://a.example/mcp"),
            ("tool", "https://a.example/mcp#close"),
            ("key", "k1"),
            ("session", "ups_1"),
            ("tenant", "main"),
        ] {
            let scope = parse(&[&format!("--{kind}"), id]).unwrap();
            assert_eq!(scope.body(Some("why")), json!({"scope_kind": kind, "scope_id": id, "reason": "why"}));
            assert_eq!(scope.words(), format!("{kind} {id}"));
        }
    }

    #[test]
    fn a_person_is_named_by_issuer_and_subject_together() {
        let scope = parse(&["--user-issuer", "https://idp.example", "--user-subject", "al ice"]).unwrap();
        let id = json!({"issuer": "https://idp.example", "subject": "al ice"});
        assert_eq!(scope.body(None), json!({"scope_kind": "user", "scope_id": id}));
        assert_eq!(scope.flags(), "--user-issuer https://idp.example --user-subject 'al ice'");
        let alone = parse(&["--user-issuer", "https://idp.example"]).unwrap_err();
        assert_eq!(alone.kind(), ErrorKind::MissingRequiredArgument);
        assert_eq!(parse(&["--user-subject", "a"]).unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
    }

    #[test]
    fn refuses_none_and_two() {
        assert_eq!(parse(&[]).unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
        assert_eq!(parse(&["--agent", "a", "--task", "t"]).unwrap_err().kind(), ErrorKind::ArgumentConflict);
        let both = parse(&["--user", "usr_1", "--user-issuer", "i", "--user-subject", "s"]);
        assert_eq!(both.unwrap_err().kind(), ErrorKind::ArgumentConflict);
    }

    #[test]
    fn refuses_what_would_cut_nothing() {
        for args in [
            ["--user", "alice@example.com"],
            ["--token", "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"],
            ["--task", ""],
            ["--resource", "tickets"],
            ["--resource", "https://a.example/mcp#close"],
            ["--tool", "close"],
            ["--tool", "https://a.example/mcp#"],
            ["--tool", "#close"],
        ] {
            assert_eq!(parse(&args).unwrap_err().kind(), ErrorKind::ValueValidation, "{args:?}");
        }
    }

    #[test]
    fn flags_can_be_pasted_into_a_shell() {
        let scope = parse(&["--tool", "https://a.example/mcp#it's"]).unwrap();
        assert_eq!(scope.flags(), r"--tool 'https://a.example/mcp#it'\''s'");
    }
}
