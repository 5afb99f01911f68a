//! How units stand in a recipe: `500` for Bernoulli units, or `"gaussian:30"`.

use rbm_core::Units;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of units, or KIND:SIZE")]
enum Written {
    Size(usize),
    Text(String),
}

///
/// # Errors
///
/// As the serializer says.
pub fn serialize<S: Serializer>(units: &Units, serializer: S) -> Result<S::Ok, S::Error> {
    match units {
        Units::Bernoulli { size } => Written::Size(*size),
        other => Written::Text(other.to_string()),
    }
    .serialize(serializer)
}

///
/// # Errors
///
/// For what is neither a number of units nor `KIND:SIZE`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Units, D::Error> {
    let text = match Written::deserialize(deserializer)? {
        Written::Size(size) => size.to_string(),
        Written::Text(text) => text,
    };
    text.parse().map_err(D::Error::custom)
}
