//! Options in text: a value, or the word that says that there is none.
//!
//! `#[serde(with = "or_auto")]` writes an absent value as `"auto"`, for what the program then chooses; `or_none` writes it as
//! `"none"`, for what there then is not; `or_default` writes it as the type's default. An empty text and the number 0 are refused by
//! the first two with the word that stands for them.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};

macro_rules! or_word {
    ($module:ident, $word:literal, $meaning:literal) => {
        #[doc = concat!("A value, or `\"", $word, "\"` where ", $meaning, ".")]
        pub mod $module {
            use std::marker::PhantomData;

            use serde::{Deserialize, Deserializer, Serialize, Serializer};

            use crate::optional::ValueOr;

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
