//! A seed as it stands in a recipe: a number, or above those that TOML knows a text of digits.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a seed: a whole number from 0 to 18446744073709551615")]
enum Written {
    Number(u64),
    Text(String),
}

pub(super) fn serialize<S: Serializer>(seed: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    match i64::try_from(*seed) {
        Ok(seed) => serializer.serialize_i64(seed),
        Err(_) => serializer.serialize_str(&seed.to_string()),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match Written::deserialize(deserializer)? {
        Written::Number(seed) => Ok(seed),
        Written::Text(text) => text.parse().map_err(|_| {
            D::Error::custom(format!(
                "expected a seed: a whole number from 0 to {}, found {text:?}",
                u64::MAX
            ))
        }),
    }
}
