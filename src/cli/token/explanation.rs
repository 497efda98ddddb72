//! What a token means, in words.

use std::fmt::{self, Display, Formatter};

use serde_json::{Map, Value};

use super::described;
use crate::agent::Token;
use crate::cli::moment;
use crate::jose::Unverified;
use crate::time::Timestamp;

/// A token's claims, or what the response said of it where the token is opaque.
pub(super) struct Explanation {
    claims: Map<String, Value>,
    opaque: bool,
    now: Timestamp,
}

impl Explanation {
    /// Takes a token apart. Its signature isn't checked: it came straight from the server, and this is for people to
    /// read.
    pub(super) fn of(token: &Token, now: Timestamp) -> Self {
        let claims = Unverified::parse(token.access_token.expose()).ok().and_then(|jws| jws.peek());
        let opaque = claims.is_none();
        let mut all = described(token);
        all.extend(claims.unwrap_or_default());
        Self { claims: all, opaque, now }
    }

    /// Everything that is known, as JSON.
    pub(super) fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    fn text(&self, name: &str) -> Option<String> {
        self.claims.get(name)?.as_str().map(plain)
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        self.claims.get(name)?.as_i64().map(Timestamp)
    }

    /// One line per question that somebody may have about the token.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        let mut line = |question, answer: Option<String>| {
            lines.extend(answer.filter(|answer| !answer.is_empty()).map(|answer| (question, answer)));
        };
        line("who acts", self.actors());
        line("for whom", self.subject());
        line("where", self.text("aud").or_else(|| self.text("resource")));
        line("what (scope)", self.text("scope"));
        for detail in self.claims.get("authorization_details").and_then(Value::as_array).into_iter().flatten()
        {
            line("what (details)", Some(describe_detail(detail)));
        }
        let expiry = self.time("exp").or_else(|| self.time("expires_at"));
        line("until", expiry.map(|moment| self.moment(moment)));
        line("which task", self.task());
        line("task's deadline", self.time("task_deadline").map(|moment| self.moment(moment)));
        let delegate = self.claims.get("may_act").and_then(|may_act| may_act.get("sub"));
        line("may pass it on to", delegate.and_then(Value::as_str).map(plain));
        line("rests on consent", self.text("consent"));
        line("person's session", self.text("sid"));
        line("issued to client", self.text("client_id"));
        line("bound to", Some(self.binding()));
        line("tenant", self.text("tenant"));
        line("issued by", self.text("iss"));
        line("token's id", self.text("jti"));
        line("revocation seen", self.text("rev"));
        lines
    }

    fn moment(&self, moment: Timestamp) -> String {
        format!("{} ({})", moment::utc(moment), moment::span(moment.since(self.now)))
    }

    fn actors(&self) -> Option<String> {
        let outermost = self.claims.get("act")?;
        let chain: Vec<_> = std::iter::successors(Some(outermost), |actor| actor.get("act"))
            .take(16)
            .filter_map(|actor| actor.get("sub").and_then(Value::as_str).map(plain))
            .collect();
        let (current, before) = chain.split_first()?;
        Some(match before {
            [] => current.clone(),
            before => format!("{current}, handed the task by {}", before.join(", by ")),
        })
    }

    fn subject(&self) -> Option<String> {
        let subject = self.text("sub")?;
        let actor = self.claims.get("act").and_then(|act| act.get("sub")).and_then(Value::as_str);
        let alone = actor.is_none() || actor.map(plain).as_ref() == Some(&subject);
        Some(if alone { format!("nobody: {subject} acts for itself") } else { subject })
    }

    fn task(&self) -> Option<String> {
        let task = self.text("task")?;
        let above = self.claims.get("task_ancestors").and_then(Value::as_array);
        let above: Vec<_> = above.into_iter().flatten().filter_map(Value::as_str).map(plain).collect();
        Some(if above.is_empty() { task } else { format!("{task}, below {}", above.join(" / ")) })
    }

    fn binding(&self) -> String {
        let confirmation = self.claims.get("cnf");
        let member =
            |name: &str| confirmation.and_then(|cnf| cnf.get(name)).and_then(Value::as_str).map(plain);
        match (member("jkt"), member("x5t#S256"), self.opaque) {
            (Some(key), _, _) => format!("the DPoP key {key}"),
            (_, Some(certificate), _) => format!("the client certificate {certificate}"),
            (None, None, false) => "nothing: whoever holds it can use it".into(),
            (None, None, true) => "(an opaque token doesn't say; introspection does)".into(),
        }
    }
}

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.lines().iter().try_for_each(|(question, answer)| writeln!(f, "{question:<18} {answer}"))
    }
}

fn describe_detail(detail: &Value) -> String {
    let tools = detail.get("tools").and_then(Value::as_array);
    let (Some("mcp_tool_call"), Some(tools)) = (detail.get("type").and_then(Value::as_str), tools) else {
        return plain(&detail.to_string());
    };
    let tools: Vec<_> = tools.iter().map(describe_tool).collect();
    format!("call {}", tools.join("; "))
}

fn describe_tool(tool: &Value) -> String {
    let name = tool.get("name").and_then(Value::as_str).map_or_else(|| "(unnamed tool)".into(), plain);
    let mut limits: Vec<_> = tool
        .get("arguments")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(pointer, constraint)| format!("{} {}", plain(pointer), plain(&constraint.to_string())))
        .collect();
    if tool.get("additionalArguments") == Some(&Value::Bool(false)) {
        limits.push("no other arguments".into());
    }
    if limits.is_empty() {
        format!("{name} (any arguments)")
    } else {
        format!("{name} ({})", limits.join(", "))
    }
}

/// Text for a terminal: control characters and those that change the direction of writing are shown as escapes, since
/// details may quote what somebody else wrote.
fn plain(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().flat_map(|c| if harmful(c) { c.escape_unicode().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn explain(claims: Value) -> String {
        let Value::Object(claims) = claims else { panic!() };
        Explanation { claims, opaque: false, now: Timestamp(1_798_761_600) }.to_string()
    }

    #[test]
    fn says_who_may_do_what_where_for_whom_and_until_when() {
        let text = explain(json!({
            "iss": "https://id.example.com", "aud": "https://tickets.example.com/mcp", "sub": "usr_alice",
            "act": {"sub": "summarizer", "act": {"sub": "triage"}}, "client_id": "summarizer",
            "scope": "tickets.read", "exp": 1_798_761_840, "task": "tsk_2", "task_ancestors": ["tsk_1"],
            "authorization_details": [{"type": "mcp_tool_call", "tools": [
                {"name": "search", "arguments": {"/limit": {"maximum": 50}}, "additionalArguments": false},
                {"name": "get"}]}],
            "jti": "tok_1", "rev": "g.7",
        }));
        for part in [
            "who acts           summarizer, handed the task by triage\n",
            "for whom           usr_alice\n",
            "where              https://tickets.example.com/mcp\n",
            r#"call search (/limit {"maximum":50}, no other arguments); get (any arguments)"#,
            "until              2027-01-01 00:04:00 UTC (4 min 0 s)\n",
            "which task         tsk_2, below tsk_1\n",
            "bound to           nothing: whoever holds it can use it\n",
        ] {
            assert!(text.contains(part), "{part}\n---\n{text}");
        }
    }

    #[test]
    fn nobody_is_called_nobody() {
        let text = explain(json!({"sub": "triage", "act": {"sub": "triage"}}));
        assert!(text.contains("for whom           nobody: triage acts for itself"), "{text}");
    }

    #[test]
    fn what_others_wrote_cannot_move_the_cursor_or_turn_the_text() {
        let text = explain(json!({"sub": "a\u{1b}[2J\u{202e}b", "authorization_details": [
            {"type": "x\u{1b}", "a": "\u{2066}"}]}));
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{2066}']), "{text:?}");
    }
}
