//! How values stand in a recipe: a seed, units, and a choice, which is a name or a table of one name with its settings.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// An enum whose variants have usual settings.
pub(super) trait NamedChoice: Sized {
    /// A table of one of them, for advice.
    const EXAMPLE: &'static str;

    /// The variant of this name with its usual settings.
    fn named(name: &str) -> Option<Self>;
}

/// Reads `"pcd"` as `{ pcd = {} }`: for `#[serde(deserialize_with = "name_or_table")]`.
pub(super) fn name_or_table<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: NamedChoice + Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct NameOrTable<T>(PhantomData<T>);

    impl<'de, T: NamedChoice + Deserialize<'de>> Visitor<'de> for NameOrTable<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a name, or a table such as {}", T::EXAMPLE)
        }

        fn visit_str<E: Error>(self, name: &str) -> Result<T, E> {
            // The error of a name that is none lists those that are.
            T::named(name).map_or_else(|| T::deserialize(name.into_deserializer()), Ok)
        }

        fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(table))
        }
    }

    deserializer.deserialize_any(NameOrTable(PhantomData))
}

/// A seed as it stands in a recipe: a number, or above those that TOML knows a text of digits.
pub(super) mod seed {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a seed: a whole number from 0 to 18446744073709551615")]
    enum NumberOrText {
        Number(u64),
        Text(String),
    }

    pub(in crate::recipe) fn serialize<S: Serializer>(
        seed: &u64,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match i64::try_from(*seed) {
            Ok(seed) => serializer.serialize_i64(seed),
            Err(_) => serializer.serialize_str(&seed.to_string()),
        }
    }

    pub(in crate::recipe) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u64, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(seed) => Ok(seed),
            NumberOrText::Text(text) => text.parse().map_err(|_| {
                D::Error::custom(format!(
                    "expected a seed: a whole number from 0 to {}, found {text:?}",
                    u64::MAX
                ))
            }),
        }
    }
}

/// How units stand in a recipe: `500` for Bernoulli units, or `"gaussian:30"`.
pub(super) mod units {
    use rbm_core::Units;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged, expecting = "expected a number of units, or KIND:SIZE")]
    enum SizeOrText {
        Size(usize),
        Text(String),
    }

    pub(in crate::recipe) fn serialize<S: Serializer>(
        units: &Units,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match units {
            Units::Bernoulli { size } => SizeOrText::Size(*size),
            other => SizeOrText::Text(other.to_string()),
        }
        .serialize(serializer)
    }

    pub(in crate::recipe) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Units, D::Error> {
        let text = match SizeOrText::deserialize(deserializer)? {
            SizeOrText::Size(size) => size.to_string(),
            SizeOrText::Text(text) => text,
        };
        text.parse().map_err(D::Error::custom)
    }
}
