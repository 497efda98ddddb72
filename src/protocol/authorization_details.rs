//! RFC 9396: the `authorization_details` parameter and claim, read strictly and kept exactly as sent.

mod canonical;

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use self::canonical::write_object;

/// The longest text that [`AuthorizationDetails::parse`] reads, in bytes.
pub const MAX_TEXT: usize = 32 * 1024;
/// The most details in one list.
pub const MAX_DETAILS: usize = 64;
/// The deepest nesting of arrays and objects; the list itself is the first level.
pub const MAX_DEPTH: usize = 16;

/// Doubles below this magnitude hold every integer; above it two different texts read as the same number.
const FIRST_INEXACT: f64 = 9_007_199_254_740_992.0;
/// `serde_json` gives members of these names a meaning of their own when it reads a `Value`.
const RESERVED_PREFIX: &str = "$serde_json::private::";

/// Why a text or value isn't a list of authorization details. The messages never repeat the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The text is longer than [`MAX_TEXT`].
    #[error("authorization_details is too long")]
    TooLong,
    /// The text isn't JSON, or holds a number beyond the range of a double.
    #[error("authorization_details is not valid JSON")]
    NotJson,
    /// Some object, at any depth, names a member twice.
    #[error("authorization_details has a duplicate member")]
    DuplicateMember,
    /// Arrays and objects are nested deeper than [`MAX_DEPTH`].
    #[error("authorization_details is nested too deeply")]
    TooDeep,
    /// The list is longer than [`MAX_DETAILS`].
    #[error("authorization_details has too many entries")]
    TooMany,
    /// The value isn't a JSON array.
    #[error("authorization_details is not an array")]
    NotAnArray,
    /// The entry at this index isn't a JSON object.
    #[error("authorization_details entry {0} is not an object")]
    NotAnObject(usize),
    /// The entry at this index has no `type`, or one that isn't a non-empty string.
    #[error("authorization_details entry {0} has no type")]
    TypeMissing(usize),
    /// A number that a double can't tell from its neighbours: a fraction or exponent form of 2^53 or more, or an
    /// integer outside 64 bits. Two readers may disagree on what it says, so it can't carry authority.
    #[error("authorization_details has a number that can not be held exactly")]
    InexactNumber,
    /// A member name that the JSON library keeps for itself.
    #[error("authorization_details has a reserved member name")]
    ReservedMember,
}

/// Whether a number, as parsed, surely equals what was written up to the digits of a double: an integer of 64 bits, or a
/// double below 2^53 in magnitude.
pub fn is_exact(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|n| n.abs() < FIRST_INEXACT)
}

/// One authorization detail: a JSON object with a string `type` (RFC 9396 section 2). The members keep the order and
/// the values in which they came; equality doesn't look at the order.
#[derive(Clone, PartialEq, Debug)]
pub struct AuthorizationDetail {
    kind: String,
    object: Map<String, Value>,
}

impl AuthorizationDetail {
    /// Takes an object as a detail. The index in an error is 0.
    pub fn new(object: Map<String, Value>) -> Result<Self, ParseError> {
        for (name, value) in &object {
            inspect_name(name)?;
            // The detail is the second level of a list.
            inspect(value, 3)?;
        }
        Self::at(0, object)
    }

    fn at(index: usize, object: Map<String, Value>) -> Result<Self, ParseError> {
        // RFC 9396 section 2: "type: An identifier for the authorization details type as a string. […] This field is REQUIRED."
        match object.get("type") {
            Some(Value::String(kind)) if !kind.is_empty() => Ok(Self { kind: kind.clone(), object }),
            _ => Err(ParseError::TypeMissing(index)),
        }
    }

    /// The `type` of this detail.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// All members, `type` among them, in the order in which they came.
    pub fn object(&self) -> &Map<String, Value> {
        &self.object
    }

    /// This detail in canonical form: see [`AuthorizationDetails::canonical`].
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        write_object(&self.object, &mut text);
        text
    }
}

impl Serialize for AuthorizationDetail {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.object.serialize(serializer)
    }
}

/// A list of authorization details. It is a union: whatever one of them grants is granted, and an empty list grants nothing.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct AuthorizationDetails(Vec<AuthorizationDetail>);

impl AuthorizationDetails {
    /// Reads the text of the request parameter.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.len() > MAX_TEXT {
            return Err(ParseError::TooLong);
        }
        let refusal = Cell::new(None);
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let value = Strict { level: 0, refusal: &refusal }
            .deserialize(&mut deserializer)
            .and_then(|value| deserializer.end().map(|()| value))
            .map_err(|_| refusal.take().unwrap_or(ParseError::NotJson))?;
        Self::from_value(value)
    }

    /// Takes a parsed value. Duplicate members can no longer be seen in it: use [`Self::parse`] on text from outside.
    pub fn from_value(value: Value) -> Result<Self, ParseError> {
        let Value::Array(entries) = value else {
            return Err(ParseError::NotAnArray);
        };
        if entries.len() > MAX_DETAILS {
            return Err(ParseError::TooMany);
        }
        let mut details = Vec::with_capacity(entries.len());
        for (index, entry) in entries.into_iter().enumerate() {
            inspect(&entry, 2)?;
            let Value::Object(object) = entry else {
                return Err(ParseError::NotAnObject(index));
            };
            details.push(AuthorizationDetail::at(index, object)?);
        }
        Ok(Self(details))
    }

    /// Makes a list of details. More than [`MAX_DETAILS`] are refused.
    pub fn from_details(details: Vec<AuthorizationDetail>) -> Result<Self, ParseError> {
        if details.len() > MAX_DETAILS { Err(ParseError::TooMany) } else { Ok(Self(details)) }
    }

    /// True if there is no detail at all: nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many details there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The details in order.
    pub fn iter(&self) -> std::slice::Iter<'_, AuthorizationDetail> {
        self.0.iter()
    }

    /// The list as a JSON value, exactly as it was parsed.
    pub fn to_value(&self) -> Value {
        Value::Array(self.0.iter().map(|detail| Value::Object(detail.object.clone())).collect())
    }

    /// Canonical JSON after RFC 8785: members sorted by UTF-16 code units, minimal escapes, no space, doubles as ECMAScript
    /// prints them. One departure: integers keep all their digits, where RFC 8785 would round those beyond 2^53.
    pub fn canonical(&self) -> String {
        let mut text = String::from("[");
        for (index, detail) in self.0.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            write_object(&detail.object, &mut text);
        }
        text.push(']');
        text
    }
}

impl<'a> IntoIterator for &'a AuthorizationDetails {
    type Item = &'a AuthorizationDetail;
    type IntoIter = std::slice::Iter<'a, AuthorizationDetail>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'de> Deserialize<'de> for AuthorizationDetails {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Strict { level: 0, refusal: &Cell::new(None) }.deserialize(deserializer)?;
        Self::from_value(value).map_err(de::Error::custom)
    }
}

fn inspect_name(name: &str) -> Result<(), ParseError> {
    if name.starts_with(RESERVED_PREFIX) { Err(ParseError::ReservedMember) } else { Ok(()) }
}

/// Checks depth, numbers and names of a value that stands at `level`.
fn inspect(value: &Value, level: usize) -> Result<(), ParseError> {
    match value {
        Value::Array(_) | Value::Object(_) if level > MAX_DEPTH => Err(ParseError::TooDeep),
        Value::Array(items) => items.iter().try_for_each(|item| inspect(item, level + 1)),
        Value::Object(members) => members.iter().try_for_each(|(name, member)| {
            inspect_name(name)?;
            inspect(member, level + 1)
        }),
        Value::Number(number) if !is_exact(number) => Err(ParseError::InexactNumber),
        _ => Ok(()),
    }
}

/// Reads any JSON value, and refuses duplicate members and deep nesting while it reads. `serde_json::Value` would keep the
/// last of two members of one name, another reader the first. serde's errors are texts, so the reason goes into `refusal`.
#[derive(Clone, Copy)]
struct Strict<'a> {
    level: usize,
    refusal: &'a Cell<Option<ParseError>>,
}

impl Strict<'_> {
    fn refuse<E: de::Error>(self, why: ParseError) -> E {
        self.refusal.set(Some(why));
        E::custom(why)
    }

    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.level >= MAX_DEPTH {
            return Err(self.refuse(ParseError::TooDeep));
        }
        Ok(Self { level: self.level + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| self.refuse(ParseError::InexactNumber))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            inspect_name(&name).map_err(|why| self.refuse::<A::Error>(why))?;
            // RFC 8259 section 4: "The names within an object SHOULD be unique." Here they must be.
            if members.contains_key(&name) {
                return Err(self.refuse(ParseError::DuplicateMember));
            }
            let value = access.next_value_seed(inner)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests;
