//! Changes of single keys: `--set layers.0.epochs=5`.

use rbm_core::{Error, Result};

use super::Recipe;
use super::text::one_line;

impl Recipe {
    /// The recipe with `key=value` settings made, in order. Keys are paths such as `seed`, `layers.0.epochs`,
    /// `layers.*.learning_rate` or `classifier.epochs`; values are TOML, and a bare word is taken for a string.
    pub fn with(&self, settings: &[String]) -> Result<Self> {
        settings.iter().try_fold(self.clone(), |recipe, setting| {
            recipe.with_one(setting).map_err(|error| match error {
                Error::Invalid { what, expected, found } => {
                    Error::invalid(format!("{setting}: {what}"), expected, found)
                }
                other => other,
            })
        })
    }

    fn with_one(&self, setting: &str) -> Result<Self> {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(Error::invalid("setting", "key=value", "no ="));
        };
        let (key, value) = (key.trim(), parse_value(value.trim()));
        let mut table = toml::Value::Table(self.to_table()?);
        set(&mut table, key, &key.split('.').collect::<Vec<_>>(), &value)?;
        match table {
            toml::Value::Table(table) => Self::from_table(table),
            _ => Err(Error::invalid("recipe", "a table", "something else")),
        }
    }

    fn from_table(table: toml::Table) -> Result<Self> {
        let recipe: Self = table.try_into().map_err(|e: toml::de::Error| {
            let found = one_line(&e.to_string());
            Error::invalid("recipe", "known keys and fitting values", found)
        })?;
        recipe.check()?;
        Ok(recipe)
    }

    fn to_table(&self) -> Result<toml::Table> {
        toml::Table::try_from(self)
            .map_err(|e| Error::invalid("recipe", "plain data", e.to_string()))
    }
}

/// A TOML value, or the text itself.
fn parse_value(text: &str) -> toml::Value {
    let parsed = format!("value = {text}").parse::<toml::Table>();
    let value = parsed.ok().and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

fn set(at: &mut toml::Value, key: &str, path: &[&str], value: &toml::Value) -> Result<()> {
    let unknown = |found: &str| {
        Error::invalid(format!("setting {key:?}"), "the key of a recipe", found.to_owned())
    };
    let Some((first, rest)) = path.split_first() else {
        *at = value.clone();
        return Ok(());
    };
    match at {
        toml::Value::Table(table) if rest.is_empty() => {
            table.insert((*first).to_owned(), value.clone());
            Ok(())
        }
        toml::Value::Table(table) => {
            // `classifier.epochs=5` makes a classifier where the recipe has none.
            let entry = table
                .entry((*first).to_owned())
                .or_insert_with(|| toml::Value::Table(toml::Table::new()));
            set(entry, key, rest, value)
        }
        toml::Value::Array(items) if *first == "*" => {
            items.iter_mut().try_for_each(|item| set(item, key, rest, value))
        }
        toml::Value::Array(items) => {
            let count = items.len();
            let item = first.parse::<usize>().ok().and_then(|i| items.get_mut(i));
            set(
                item.ok_or_else(|| {
                    unknown(&format!("{first:?} of {count} layers, counted from 0"))
                })?,
                key,
                rest,
                value,
            )
        }
        _ => Err(unknown(&format!("{first:?} below a plain value"))),
    }
}
