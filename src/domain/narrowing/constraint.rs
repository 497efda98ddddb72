//! What one argument of a tool call may be: a closed set of keywords, chosen so that "within" can always be decided.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::json;
use crate::protocol::authorization_details::is_exact;

/// The most values of one `enum`.
const MAX_VALUES: usize = 256;

/// The constraint on one argument, in normal form: two constraints that read differently but allow the same are equal
/// in shape, and one that allows nothing can't be built.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Constraint {
    /// The argument must be present. All else applies only if it is.
    pub(super) required: bool,
    pub(super) shape: Shape,
}

/// The values that are allowed. Each keyword implies a type: `minimum` allows only numbers, `prefix` only strings.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// Any value at all.
    Any,
    /// One of these values (`const`, `enum`). Never empty.
    OneOf(Vec<Value>),
    /// A number in a closed range, which holds more than one number.
    Number { minimum: Option<Number>, maximum: Option<Number> },
    /// A string: lengths in Unicode code points, and how it begins.
    Text { min: u64, max: Option<u64>, prefix: String },
    /// An array of at most so many items, which is at least one.
    List { max: u64 },
}

impl Constraint {
    /// Reads the object behind one pointer. Unknown keywords, and keywords that together allow no value, are refused.
    pub(super) fn parse(value: &Value) -> Result<Self, &'static str> {
        let Value::Object(keywords) = value else {
            return Err("an argument constraint must be an object");
        };
        let mut constraint = Self { required: false, shape: Shape::Any };
        for (keyword, value) in keywords {
            if keyword == "required" {
                constraint.required = value.as_bool().ok_or("required must be true or false")?;
                continue;
            }
            let shape = Shape::parse(keyword, value)?;
            constraint.shape =
                constraint.shape.meet(&shape).ok_or("an argument constraint allows no value at all")?;
        }
        Ok(constraint)
    }

    /// Everything that this one allows, the other one allows too.
    pub(super) fn within(&self, parent: &Self) -> bool {
        (self.required || !parent.required) && self.shape.within(&parent.shape)
    }

    /// What both allow, or nothing.
    pub(super) fn meet(&self, other: &Self) -> Option<Self> {
        Some(Self { required: self.required || other.required, shape: self.shape.meet(&other.shape)? })
    }

    pub(super) fn to_json(&self) -> Value {
        let mut keywords = Map::new();
        match &self.shape {
            Shape::Any => {}
            Shape::OneOf(values) => match values.as_slice() {
                [value] => drop(keywords.insert("const".to_owned(), value.clone())),
                values => drop(keywords.insert("enum".to_owned(), values.into())),
            },
            Shape::Number { minimum, maximum } => {
                keywords.extend(minimum.clone().map(|n| ("minimum".to_owned(), Value::Number(n))));
                keywords.extend(maximum.clone().map(|n| ("maximum".to_owned(), Value::Number(n))));
            }
            Shape::Text { min, max, prefix } => {
                keywords.insert("minLength".to_owned(), (*min).into());
                keywords.extend(max.map(|n| ("maxLength".to_owned(), n.into())));
                if !prefix.is_empty() {
                    keywords.insert("prefix".to_owned(), prefix.as_str().into());
                }
            }
            Shape::List { max } => drop(keywords.insert("maxItems".to_owned(), (*max).into())),
        }
        if self.required {
            keywords.insert("required".to_owned(), true.into());
        }
        Value::Object(keywords)
    }
}

impl Shape {
    fn parse(keyword: &str, value: &Value) -> Result<Self, &'static str> {
        let length = || value.as_u64().ok_or("a length must be a whole number that is not negative");
        let shape = match keyword {
            "const" => Self::OneOf(vec![value.clone()]),
            "enum" => Self::OneOf(value.as_array().ok_or("enum must be an array")?.clone()),
            "minimum" => Self::Number { minimum: Some(bound(value)?), maximum: None },
            "maximum" => Self::Number { minimum: None, maximum: Some(bound(value)?) },
            "minLength" => Self::Text { min: length()?, max: None, prefix: String::new() },
            "maxLength" => Self::Text { min: 0, max: Some(length()?), prefix: String::new() },
            // Textual on purpose: neither paths nor URLs are resolved, so "/docs/" also lets "/docs/../x" pass. A tool
            // that takes paths has to refuse those itself, or be given an enum.
            "prefix" => {
                let prefix = value.as_str().ok_or("prefix must be a string")?.to_owned();
                Self::Text { min: 0, max: None, prefix }
            }
            "maxItems" => Self::List { max: length()? },
            _ => return Err("an unknown keyword in an argument constraint"),
        };
        if let Self::OneOf(values) = &shape {
            if values.len() > MAX_VALUES {
                return Err("enum has too many values");
            }
            if !values.iter().all(|value| json::equal(value, value)) {
                return Err("a number in an argument constraint can not be held exactly");
            }
        }
        shape.normal().ok_or("an argument constraint allows no value at all")
    }

    /// Whether a value that is present may stand there.
    pub(super) fn allows(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Any, _) => true,
            (Self::OneOf(values), _) => json::contains(values, value),
            // A double of 2^53 or more may have been written as another number than it reads as: no bound can hold it.
            (Self::Number { minimum, maximum }, Value::Number(n)) => {
                is_exact(n)
                    && minimum.as_ref().is_none_or(|minimum| json::compare(minimum, n).is_le())
                    && maximum.as_ref().is_none_or(|maximum| json::compare(n, maximum).is_le())
            }
            (Self::Text { min, max, prefix }, Value::String(text)) => {
                let length = length_of(text);
                *min <= length && max.is_none_or(|max| length <= max) && text.starts_with(prefix.as_str())
            }
            (Self::List { max }, Value::Array(items)) => items.len() as u64 <= *max,
            (Self::Number { .. } | Self::Text { .. } | Self::List { .. }, _) => false,
        }
    }

    fn within(&self, parent: &Self) -> bool {
        match (self, parent) {
            (_, Self::Any) => true,
            (Self::OneOf(values), _) => values.iter().all(|value| parent.allows(value)),
            (
                Self::Number { minimum, maximum },
                Self::Number { minimum: parent_minimum, maximum: parent_maximum },
            ) => {
                bounded(minimum.as_ref(), parent_minimum.as_ref(), Ordering::is_ge)
                    && bounded(maximum.as_ref(), parent_maximum.as_ref(), Ordering::is_le)
            }
            (
                Self::Text { min, max, prefix },
                Self::Text { min: parent_min, max: parent_max, prefix: parent_prefix },
            ) => {
                min >= parent_min
                    && parent_max.is_none_or(|parent| max.is_some_and(|max| max <= parent))
                    && prefix.starts_with(parent_prefix.as_str())
            }
            (Self::List { max }, Self::List { max: parent }) => max <= parent,
            // The rest holds infinitely many values, of which a finite set or another type can't hold all.
            (Self::Any | Self::Number { .. } | Self::Text { .. } | Self::List { .. }, _) => false,
        }
    }

    fn meet(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Any, shape) | (shape, Self::Any) => Some(shape.clone()),
            (Self::OneOf(values), other) | (other, Self::OneOf(values)) => {
                Self::OneOf(values.iter().filter(|value| other.allows(value)).cloned().collect()).normal()
            }
            (
                Self::Number { minimum, maximum },
                Self::Number { minimum: other_minimum, maximum: other_maximum },
            ) => {
                let minimum = tighter(minimum.as_ref(), other_minimum.as_ref(), Ordering::is_ge);
                let maximum = tighter(maximum.as_ref(), other_maximum.as_ref(), Ordering::is_le);
                Self::Number { minimum, maximum }.normal()
            }
            (
                Self::Text { min, max, prefix },
                Self::Text { min: other_min, max: other_max, prefix: other_prefix },
            ) => {
                let prefix = longer(prefix, other_prefix)?.to_owned();
                let max = [*max, *other_max].into_iter().flatten().min();
                Self::Text { min: *min.max(other_min), max, prefix }.normal()
            }
            (Self::List { max: a }, Self::List { max: b }) => Self::List { max: *a.min(b) }.normal(),
            (Self::Number { .. } | Self::Text { .. } | Self::List { .. }, _) => None,
        }
    }

    /// The one way to write this shape, or nothing if no value fits it.
    fn normal(self) -> Option<Self> {
        match self {
            Self::OneOf(values) => {
                let mut distinct = Vec::with_capacity(values.len());
                for value in values {
                    if !json::contains(&distinct, &value) {
                        distinct.push(value);
                    }
                }
                (!distinct.is_empty()).then_some(Self::OneOf(distinct))
            }
            Self::Number { minimum: Some(minimum), maximum: Some(maximum) } => {
                match json::compare(&minimum, &maximum) {
                    Ordering::Less => Some(Self::Number { minimum: Some(minimum), maximum: Some(maximum) }),
                    Ordering::Equal => Some(Self::OneOf(vec![Value::Number(minimum)])),
                    Ordering::Greater => None,
                }
            }
            Self::Text { min, max, prefix } => {
                let length = length_of(&prefix);
                let min = min.max(length);
                match max {
                    Some(max) if max < min => None,
                    Some(max) if max == length => Some(Self::OneOf(vec![prefix.into()])),
                    _ => Some(Self::Text { min, max, prefix }),
                }
            }
            Self::List { max: 0 } => Some(Self::OneOf(vec![Value::Array(Vec::new())])),
            shape => Some(shape),
        }
    }
}

/// A string's length as JSON Schema counts it: in code points.
fn length_of(text: &str) -> u64 {
    text.chars().count() as u64
}

fn bound(value: &Value) -> Result<Number, &'static str> {
    match value {
        Value::Number(number) if is_exact(number) => Ok(number.clone()),
        Value::Number(_) => Err("a number in an argument constraint can not be held exactly"),
        _ => Err("minimum and maximum must be numbers"),
    }
}

/// Whether a child's bound is at least as tight as its parent's.
fn bounded(child: Option<&Number>, parent: Option<&Number>, tight: fn(Ordering) -> bool) -> bool {
    parent.is_none_or(|parent| child.is_some_and(|child| tight(json::compare(child, parent))))
}

fn tighter(a: Option<&Number>, b: Option<&Number>, tight: fn(Ordering) -> bool) -> Option<Number> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if tight(json::compare(a, b)) { a.clone() } else { b.clone() }),
        (one, other) => one.or(other).cloned(),
    }
}

/// The longer of two prefixes, if the other one is a prefix of it.
fn longer<'a>(a: &'a str, b: &'a str) -> Option<&'a str> {
    let (longer, shorter) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    longer.starts_with(shorter).then_some(longer)
}

#[cfg(test)]
mod tests;
