//! Details of types that the operator registered, by their JSON Schema; and those of types that nobody registered.

use serde_json::Value;

use super::{Detail, Member};
use crate::domain::registry::Registry;
use crate::protocol::authorization_details::AuthorizationDetail;

pub(super) fn describe(detail: &AuthorizationDetail, registry: &Registry) -> Detail {
    let kind = detail.kind();
    let registered = registry.section.detail_types.iter().find(|known| known.name == kind);
    let schema = registered.map_or(&Value::Null, |registered| &registered.schema);
    Detail {
        kind: kind.to_owned(),
        title: text(schema, "title").unwrap_or(kind).to_owned(),
        description: text(schema, "description").unwrap_or_default().to_owned(),
        places: Vec::new(),
        groups: Vec::new(),
        known_groups: Vec::new(),
        members: detail
            .object()
            .iter()
            .filter(|(name, _)| *name != "type")
            .map(|(name, value)| member(name, value, &schema["properties"][name]))
            .collect(),
        canonical: detail.canonical(),
    }
}

fn member(name: &str, value: &Value, schema: &Value) -> Member {
    Member {
        label: text(schema, "title").unwrap_or(name).to_owned(),
        name: name.to_owned(),
        description: text(schema, "description").unwrap_or_default().to_owned(),
        values: values(value),
    }
}

/// A list of plain values is shown item by item; anything else as one text. A string stands as it is if nobody could take
/// it for another kind of value, or for more than one; else as JSON.
fn values(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) if !items.is_empty() && !items.iter().any(is_nested) => {
            items.iter().map(plain).collect()
        }
        _ => vec![plain(value)],
    }
}

fn is_nested(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if is_unmistakable(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_unmistakable(text: &str) -> bool {
    text.trim() == text && serde_json::from_str::<Value>(text).is_err() && !text.is_empty()
}

fn text<'a>(schema: &'a Value, keyword: &str) -> Option<&'a str> {
    schema[keyword].as_str().filter(|text| !text.trim().is_empty())
}
