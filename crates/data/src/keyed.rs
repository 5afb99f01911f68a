//! Tables that are read key by key, so that the keys of one struct may stand among those of another.
//!
//! It is what `#[serde(flatten)]` is for. Behind that, errors would no longer know their line, and unknown keys would pass.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::optional::{or_auto, or_default, or_none};

/// What is read from a table, with the default for every key that is left out.
pub trait Keyed: Default {
    /// What the table is called in errors.
    const TABLE: &'static str;
    /// Its keys, a list for each struct that has some of them.
    const KEYS: &'static [&'static [&'static str]];

    /// Takes the value of `key`, which is one of [`Keyed::KEYS`], from `table`.
    ///
    /// # Errors
    ///
    /// For a value that the key cannot have.
    fn read_key<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        table: &mut A,
    ) -> Result<(), A::Error>;
}

/// Reads a table.
///
/// # Errors
///
/// For a key that is none of [`Keyed::KEYS`], with all of these, and for a value that a key cannot have.
pub fn deserialize<'de, T: Keyed, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Table(PhantomData))
}

struct Table<T>(PhantomData<T>);

impl<'de, T: Keyed> Visitor<'de> for Table<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::TABLE)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<T, A::Error> {
        let mut found = T::default();
        while let Some(key) = table.next_key_seed(KeyOf(T::KEYS))? {
            found.read_key(key, &mut table)?;
        }
        Ok(found)
    }
}

/// Reads one of these keys.
struct KeyOf(&'static [&'static [&'static str]]);

impl<'de> DeserializeSeed<'de> for KeyOf {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static str, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for KeyOf {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<&'static str, E> {
        let all = || self.0.iter().flat_map(|keys| keys.iter());
        all().find(|known| **known == key).copied().ok_or_else(|| {
            let names: Vec<_> = all().map(|name| format!("`{name}`")).collect();
            E::custom(format_args!("unknown field `{key}`, expected one of {}", names.join(", ")))
        })
    }
}

/// A value, or `"auto"`: [`or_auto`].
#[derive(Debug, Deserialize)]
#[serde(transparent, bound = "T: Deserialize<'de>")]
pub struct OrAuto<T>(#[serde(with = "or_auto")] pub Option<T>);

/// A value, or `"none"`: [`or_none`].
#[derive(Debug, Deserialize)]
#[serde(transparent, bound = "T: Deserialize<'de>")]
pub struct OrNone<T>(#[serde(with = "or_none")] pub Option<T>);

/// A value that is no default: [`or_default`].
#[derive(Debug, Deserialize)]
#[serde(transparent, bound = "T: Deserialize<'de> + Default + PartialEq")]
pub struct OrDefault<T>(#[serde(with = "or_default")] pub Option<T>);
