//! What applying a document would change.

use serde::Serialize;
use serde_json::Value;

use super::Kind;

/// What happens to one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is new.
    Create,
    /// Some members differ.
    Update,
    /// Nothing differs.
    Unchanged,
}

/// One line of the printed diff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What happens.
    pub action: Action,
    /// To what kind of entry.
    pub kind: Kind,
    /// To which one.
    pub id: String,
    /// The members that differ.
    pub fields: Vec<String>,
}

/// Compares wanted entries with stored ones. Entries that are stored and not in the document stay as they are: a
/// forgotten line must not take a service down.
pub fn changes(stored: &[(String, String, Value)], wanted: &[(Kind, String, Value)]) -> Vec<Change> {
    let change = |(kind, id, body): &(Kind, String, Value)| {
        let old = stored.iter().find(|(old_kind, old_id, _)| old_kind == kind.as_str() && old_id == id);
        let (action, fields) = match old {
            None => (Action::Create, Vec::new()),
            Some((_, _, old)) if old == body => (Action::Unchanged, Vec::new()),
            Some((_, _, old)) => (Action::Update, differing(old, body)),
        };
        Change { action, kind: *kind, id: id.clone(), fields }
    };
    wanted.iter().map(change).collect()
}

fn differing(old: &Value, new: &Value) -> Vec<String> {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else {
        return Vec::new();
    };
    let mut names: Vec<_> =
        old.keys().chain(new.keys()).filter(|name| old.get(*name) != new.get(*name)).cloned().collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_what_differs() {
        let stored = [("agent".to_owned(), "a".to_owned(), json!({"tier": 1, "name": "x"}))];
        let wanted = [
            (Kind::Agent, "a".to_owned(), json!({"tier": 2, "name": "x"})),
            (Kind::Agent, "b".to_owned(), json!({})),
        ];
        let changes = changes(&stored, &wanted);
        assert_eq!(
            (changes[0].action, changes[0].fields.as_slice()),
            (Action::Update, &["tier".to_owned()][..])
        );
        assert_eq!(changes[1].action, Action::Create);
    }
}
