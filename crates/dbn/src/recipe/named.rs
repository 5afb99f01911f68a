//! Choices in a recipe: a name where their settings are the usual ones, or a table of one name with settings.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// An enum whose variants have usual settings.
pub(super) trait Named: Sized {
    /// A table of one of them, for advice.
    const EXAMPLE: &'static str;

    /// The variant of this name with its usual settings.
    fn named(name: &str) -> Option<Self>;
}

/// Reads `"pcd"` as `{ pcd = {} }`: for `#[serde(deserialize_with = "named::deserialize")]`.
pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Named + Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct NameOrTable<T>(PhantomData<T>);

    impl<'de, T: Named + Deserialize<'de>> Visitor<'de> for NameOrTable<T> {
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
