//! Audit rows as lines for people. A row may have more members than are shown, and lack some that are.

use serde_json::Value;

/// One line a row: its number, what was decided, by whom and for whom, and which rule refused. Runs of rows that read
/// the same are counted instead of repeated.
pub(super) fn summarize(rows: &[Value]) -> Vec<String> {
    let mut lines: Vec<(String, usize, String)> = Vec::new();
    for row in rows {
        let text = sentence(row);
        match lines.last_mut() {
            Some((_, count, last)) if *last == text => *count += 1,
            _ => lines.push((plain(&row["seq"]), 1, text)),
        }
    }
    let times = |count: usize| {
        if count > 1 { format!("  ×{count}") } else { String::new() }
    };
    lines.into_iter().map(|(seq, count, text)| format!("{seq:>4}  {text}{}", times(count))).collect()
}

fn sentence(row: &Value) -> String {
    let first = |names: &[&str]| names.iter().map(|name| plain(&row[*name])).find(|text| !text.is_empty());
    let mut parts = vec![
        format!("{:<22}", first(&["kind", "action", "event", "operation"]).unwrap_or_default()),
        format!("{:<9}", first(&["decision", "outcome", "verdict", "result"]).unwrap_or_default()),
        who(row),
    ];
    let named =
        [("rule", &["rule", "refusal"][..]), ("task", &["task"]), ("token", &["jti", "token_id", "token"])];
    for (name, members) in named {
        if let Some(text) = first(members) {
            parts.push(format!("{name} {text}"));
        }
    }
    parts.join(" ").trim_end().to_owned()
}

/// "summarizer for triage for usr_…": the actors, the current one first, and the person.
fn who(row: &Value) -> String {
    let mut names: Vec<String> = ["actors", "actor_chain", "act", "actor", "agent", "client_id", "client"]
        .iter()
        .map(|name| chain(&row[*name]))
        .find(|names| !names.is_empty())
        .unwrap_or_default();
    let person = ["sub", "user", "user_id", "subject"]
        .iter()
        .map(|name| plain(&row[*name]))
        .find(|text| !text.is_empty());
    if let Some(person) = person
        && names.last() != Some(&person)
    {
        names.push(person);
    }
    names.join(" for ")
}

fn chain(value: &Value) -> Vec<String> {
    match value {
        Value::Array(names) => names.iter().map(plain).filter(|name| !name.is_empty()).collect(),
        Value::Object(actor) => {
            let own = actor.get("sub").map(plain).filter(|name| !name.is_empty());
            own.into_iter().chain(actor.get("act").map(chain).unwrap_or_default()).collect()
        }
        other => Some(plain(other)).filter(|name| !name.is_empty()).into_iter().collect(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn says_who_did_what_for_whom_and_counts_repeats() {
        let act = json!({"sub": "summarizer", "act": {"sub": "triage"}});
        let rows = [
            json!({"seq": 1, "kind": "token_exchange", "decision": "granted", "act": act, "sub": "usr_1", "jti": "tok_1"}),
            json!({"seq": 2, "kind": "introspection", "decision": "active", "client": "tickets-guard"}),
            json!({"seq": 3, "kind": "introspection", "decision": "active", "client": "tickets-guard"}),
        ];
        let lines = summarize(&rows);
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].contains("summarizer for triage for usr_1") && lines[0].contains("token tok_1"),
            "{lines:?}"
        );
        assert!(lines[1].ends_with("tickets-guard  ×2"), "{lines:?}");
    }
}
