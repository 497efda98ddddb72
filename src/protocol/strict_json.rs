//! JSON as security wants it: one object, no member twice at any depth, bounded depth and size.

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The text is not one JSON object, names a member twice, or nests too deep.
#[derive(Debug, thiserror::Error)]
#[error("not a strict JSON object: {0}")]
pub struct NotStrict(#[from] serde_json::Error);

impl NotStrict {
    /// The line at which reading stopped.
    pub fn line(&self) -> usize {
        self.0.line()
    }
}

/// Parses one JSON object; `depth` is how many levels of nesting are allowed.
pub fn object(bytes: &[u8], depth: usize) -> Result<Map<String, Value>, NotStrict> {
    match value(bytes, depth)? {
        Value::Object(map) => Ok(map),
        _ => Err(NotStrict(serde_json::Error::custom("not an object"))),
    }
}

/// Parses one JSON value under the same rules.
pub fn value(bytes: &[u8], depth: usize) -> Result<Value, NotStrict> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict(depth).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

struct Strict(usize);

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON without repeated members")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Strict(below))? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Strict(below))?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is repeated"));
            }
        }
        Ok(Value::Object(map))
    }
}

impl Strict {
    fn below<E: serde::de::Error>(&self) -> Result<usize, E> {
        self.0.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_twins_depth_and_tails() {
        assert!(object(br#"{"a":{"b":[1]}}"#, 3).is_ok());
        for text in
            [r#"{"a":1,"a":1}"#, r#"{"a":{"b":1,"b":2}}"#, r#"{"a":[[[1]]]}"#, r#"{"a":1} x"#, "[]", "1", ""]
        {
            assert!(object(text.as_bytes(), 3).is_err(), "{text}");
        }
    }
}
