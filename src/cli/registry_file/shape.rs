//! Whether a registry file has the shape of one; if not, the line, the entry, and what belongs there.

use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_path_to_error::Segment;
use serde_saphyr::Spanned;

use crate::cli::error::CliError;
use crate::domain::registry::{self, TenantSection};

/// The lists of a section: the word for an entry, and the member that names it.
const LISTS: [(&str, &str, &str); 9] = [
    ("trust_domains", "trust domain", "trust_domain"),
    ("identity_providers", "identity provider", "id"),
    ("resources", "resource", "resource"),
    ("detail_types", "detail type", "type"),
    ("agents", "agent", "agent"),
    ("clients", "client", "client"),
    ("enforcers", "enforcer", "enforcer"),
    ("consents", "consent", "consent"),
    ("people", "person", "subject"),
];

/// Refuses a document whose members are of another type than they should be, or unknown. `text` is the file that it was
/// read from.
pub(super) fn check(document: &Value, text: &str, path: &Path) -> Result<(), CliError> {
    let sections = document.get("tenants").and_then(Value::as_array).into_iter().flatten();
    for (index, section) in sections.enumerate() {
        let Err(error) = serde_path_to_error::deserialize::<_, TenantSection>(section) else { continue };
        let steps: Vec<_> = error.path().iter().map_while(step).collect();
        let whole = [Step::Member("tenants".into()), Step::Item(index)].into_iter().chain(steps.clone());
        let line = locate(text, whole).map(|(line, column)| format!(":{line}:{column}"));
        let place = format!("{}{}: {}", path.display(), line.unwrap_or_default(), place(section, &steps));
        let refused = CliError::new(format!("{place}: {}", error.inner())).exit_code(CliError::USAGE);
        return Err(match advice(section, &steps) {
            Some(advice) => refused.hint(advice),
            None => refused,
        });
    }
    Ok(())
}

/// One step on the way into a document.
#[derive(Clone)]
enum Step {
    Member(String),
    Item(usize),
}

fn step(segment: &Segment) -> Option<Step> {
    match segment {
        Segment::Map { key } => Some(Step::Member(key.clone())),
        Segment::Seq { index } => Some(Step::Item(*index)),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// `consent triage-support, expires_at`.
fn place(section: &Value, steps: &[Step]) -> String {
    let (entry, rest) = match steps {
        [Step::Member(list), Step::Item(index), rest @ ..] => (entry(section, list, *index), rest),
        _ => (section.get("tenant").and_then(Value::as_str).map(|name| format!("tenant {name}")), steps),
    };
    let mut member = String::new();
    for step in rest {
        match step {
            Step::Member(name) if member.is_empty() => member.push_str(name),
            Step::Member(name) => member.extend([".", name]),
            Step::Item(index) => member.extend(["[", &index.to_string(), "]"]),
        }
    }
    let parts = entry.into_iter().chain(Some(member).filter(|member| !member.is_empty()));
    parts.collect::<Vec<_>>().join(", ")
}

fn entry(section: &Value, list: &str, index: usize) -> Option<String> {
    let (_, word, name) = LISTS.iter().find(|(known, ..)| *known == list)?;
    let name = section.pointer(&format!("/{list}/{index}/{name}")).and_then(Value::as_str);
    Some(name.map_or_else(|| format!("{word} number {}", index + 1), |name| format!("{word} {name}")))
}

/// What belongs there, in the words of the format's own schema.
fn advice(section: &Value, steps: &[Step]) -> Option<String> {
    let schema = registry::json_schema();
    let mut here = schema.pointer("/$defs/TenantSection")?;
    let (mut found, mut name, mut value) = (None, "", section);
    for step in steps {
        here = match step {
            Step::Member(member) => {
                name = member;
                value = value.get(member)?;
                here.pointer("/properties")?.get(member)?
            }
            Step::Item(index) => {
                value = value.get(index)?;
                here.get("items")?
            }
        };
        found = here.get("description").and_then(Value::as_str).or(found);
        here = resolved(&schema, here)?;
    }
    let date = value.as_str().filter(|_| name.ends_with("_at")).and_then(seconds);
    let date = date.map(|seconds| format!(" {} is {seconds}.", value.as_str().unwrap_or_default()));
    found.map(|words| format!("{name}: {words}{}", date.unwrap_or_default()))
}

fn resolved<'a>(schema: &'a Value, here: &'a Value) -> Option<&'a Value> {
    let choices = here.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    let target = std::iter::once(here).chain(choices).find_map(|choice| choice.get("$ref")?.as_str());
    match target {
        Some(target) => schema.pointer(target.strip_prefix('#')?),
        None => Some(here),
    }
}

/// The seconds since 1970 at the beginning of a day that is written `2030-01-01`.
fn seconds(date: &str) -> Option<i64> {
    let mut parts = date.get(..10)?.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years begin in March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400)
}

/// The line and column of what these steps lead to, or of the last step that the file has.
fn locate(text: &str, steps: impl Iterator<Item = Step>) -> Option<(u64, u64)> {
    let mut here = serde_saphyr::from_str::<Spanned<Node>>(text).ok()?;
    let mut last = (here.referenced.line(), here.referenced.column());
    for step in steps {
        let next = match (here.value, step) {
            (Node::Map(members), Step::Member(name)) => {
                members.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
            }
            (Node::List(items), Step::Item(index)) => items.into_iter().nth(index),
            _ => None,
        };
        match next {
            Some(next) => here = next,
            None => break,
        }
        last = (here.referenced.line(), here.referenced.column());
    }
    Some(last)
}

/// YAML with the places of its values.
enum Node {
    Map(Vec<(String, Spanned<Node>)>),
    List(Vec<Spanned<Node>>),
    Scalar,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

macro_rules! scalars {
    ($($visit:ident($kind:ty)),*) => {
        $(fn $visit<E>(self, _: $kind) -> Result<Node, E> {
            Ok(Node::Scalar)
        })*
    };
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any YAML")
    }

    scalars!(
        visit_bool(bool),
        visit_i64(i64),
        visit_u64(u64),
        visit_i128(i128),
        visit_u128(u128),
        visit_f64(f64),
        visit_str(&str)
    );

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Node::Map(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(yaml: &str) -> CliError {
        let document: Value = serde_saphyr::from_str(yaml).unwrap();
        check(&document, yaml, Path::new("registry.yaml")).unwrap_err()
    }

    #[test]
    fn names_the_line_the_entry_and_what_would_be_right() {
        let error = refuse(
            "version: 1\ntenants:\n  - tenant: main\n    consents:\n      - consent: triage-support\n        user: {issuer: i, subject: s}\n        agent: a\n        resource: https://r.example\n        expires_at: 2030-01-01\n",
        );
        assert_eq!(error.exit_code, CliError::USAGE);
        assert_eq!(
            error.message,
            r#"registry.yaml:9:21: consent triage-support, expires_at: invalid type: string "2030-01-01", expected i64"#
        );
        assert_eq!(
            error.hint.unwrap(),
            "expires_at: Until when, in seconds since 1970. 2030-01-01 is 1893456000."
        );
    }

    #[test]
    fn names_what_has_no_name_by_its_place() {
        let error = refuse(
            "tenants:\n  - tenant: main\n    agents:\n      - {agent: a}\n      - {agent: [], tier: 1}\n",
        );
        assert!(error.message.starts_with("registry.yaml:5:"), "{error}");
        assert!(error.message.contains("agent number 2, agent: invalid type"), "{error}");
    }

    #[test]
    fn points_at_unknown_members_and_wrong_lists() {
        let error =
            refuse("tenants:\n  - tenant: main\n    agents:\n      - agent: a\n        shoe_size: 1\n");
        assert!(error.message.contains("agent a") && error.message.contains("shoe_size"), "{error}");
        assert!(error.message.starts_with("registry.yaml:"), "{error}");
        let error = refuse("tenants:\n  - tenant: main\n    agents: triage\n");
        assert!(error.message.starts_with("registry.yaml:3:13: tenant main, agents: "), "{error}");
        let error = refuse(
            "tenants:\n  - tenant: main\n    resources:\n      - {resource: https://r.example, tools: [{name: t, impact: none}]}\n",
        );
        assert!(error.message.contains("resource https://r.example, tools[0].impact: "), "{error}");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (date, at) in [("1970-01-01", 0), ("2000-02-29", 951_782_400), ("2027-01-01", 1_798_761_600)] {
            assert_eq!(seconds(date), Some(at));
        }
        assert_eq!((seconds("soon"), seconds("2030-13-01"), seconds("2030-1-1")), (None, None, None));
    }
}
