//! Settings in text: options, which are a value or the word that says that there is none; and tables that are read key by key.
//!
//! `#[serde(with = "or_auto")]` writes an absent value as `"auto"`, for what the program then chooses; `or_none` writes it as
//! `"none"`, for what there then is not; `or_default` writes it as the type's default. An empty text and the number 0 are refused by
//! the first two with the word that stands for them.
//!
//! [`Keyed`] tables let the keys of one struct stand among those of another. It is what `#[serde(flatten)]` is for. Behind that,
//! errors would no longer know their line, and unknown keys would pass.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

macro_rules! or_word {
    ($module:ident, $word:literal, $meaning:literal) => {
        #[doc = concat!("A value, or `\"", $word, "\"` where ", $meaning, ".")]
        pub mod $module {
            use std::marker::PhantomData;

            use serde::{Deserialize, Deserializer, Serialize, Serializer};

            use crate::settings::ValueOr;

            /// Writes the value, or the word.
            ///
            /// # Errors
            ///
            /// As the value or the serializer says.
            pub fn serialize<T: Serialize, S: Serializer>(
                value: &Option<T>,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                match value {
                    Some(value) => value.serialize(serializer),
                    None => serializer.serialize_str($word),
                }
            }

            /// Reads a value, or the word.
            ///
            /// # Errors
            ///
            /// For what is no such value, and for 0 and an empty text.
            pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Option<T>, D::Error> {
                deserializer.deserialize_any(ValueOr {
                    word: $word,
                    meaning: $meaning,
                    value: PhantomData,
                })
            }
        }
    };
}

or_word!(or_auto, "auto", "the program chooses");
or_word!(or_none, "none", "there is none");

/// A value, which is written as its type's default where there is none.
pub mod or_default {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes the value, or the default.
    ///
    /// # Errors
    ///
    /// As the value or the serializer says.
    pub fn serialize<T: Serialize + Default, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => value.serialize(serializer),
            None => T::default().serialize(serializer),
        }
    }

    /// Reads a value; the default is none.
    ///
    /// # Errors
    ///
    /// For what is no such value.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: Deserialize<'de> + Default + PartialEq,
        D: Deserializer<'de>,
    {
        let value = T::deserialize(deserializer)?;
        Ok(Some(value).filter(|value| *value != T::default()))
    }
}

/// Reads a value, or the word for its absence.
struct ValueOr<T> {
    word: &'static str,
    meaning: &'static str,
    value: PhantomData<T>,
}

impl<T> ValueOr<T> {
    /// `found` was the old word for an absent value.
    fn refused<E: Error>(&self, found: &str) -> E {
        let Self { word, meaning, .. } = self;
        E::custom(format_args!("{found}: write \"{word}\" where {meaning}"))
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ValueOr<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value, or \"{}\"", self.word)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        match text {
            "" => Err(self.refused("an empty text")),
            word if word == self.word => Ok(None),
            text => T::deserialize(text.into_deserializer()).map(Some),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        match number {
            0 => Err(self.refused("0")),
            number => T::deserialize(number.into_deserializer()).map(Some),
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        match number {
            0 => Err(self.refused("0")),
            number => T::deserialize(number.into_deserializer()).map(Some),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        match number {
            0.0 => Err(self.refused("0")),
            number => T::deserialize(number.into_deserializer()).map(Some),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        T::deserialize(value.into_deserializer()).map(Some)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        T::deserialize(SeqAccessDeserializer::new(list)).map(Some)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(table)).map(Some)
    }
}

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
pub fn read_keyed<'de, T: Keyed, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(KeyedTable(PhantomData))
}

struct KeyedTable<T>(PhantomData<T>);

impl<'de, T: Keyed> Visitor<'de> for KeyedTable<T> {
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

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Options {
        #[serde(with = "super::or_auto")]
        width: Option<usize>,
        #[serde(with = "super::or_none")]
        target: Option<String>,
        #[serde(with = "super::or_auto")]
        scale: Option<f32>,
    }

    #[test]
    fn absent_values_are_words() {
        let absent = Options::default();
        let written = serde_json::to_string(&absent).expect("plain data");
        assert_eq!(written, r#"{"width":"auto","target":"none","scale":"auto"}"#);
        assert_eq!(serde_json::from_str::<Options>(&written).expect("written"), absent);
        let read: Options =
            serde_json::from_str(r#"{"width":3,"target":"price","scale":255}"#).expect("values");
        let target = Some("price".into());
        assert_eq!(read, Options { width: Some(3), target, scale: Some(255.0) });
    }

    #[test]
    fn zero_and_nothing_are_refused_with_the_word() {
        for (text, word) in [
            (r#"{"width":0}"#, "0: write \"auto\""),
            (r#"{"scale":0.0}"#, "0: write \"auto\""),
            (r#"{"target":""}"#, "an empty text: write \"none\""),
        ] {
            let error = serde_json::from_str::<Options>(text).expect_err(text).to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!(serde_json::from_str::<Options>(r#"{"width":-1}"#).is_err());
        assert!(serde_json::from_str::<Options>(r#"{"width":"many"}"#).is_err());
    }
}
