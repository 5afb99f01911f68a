//! Changes of single keys: `--set layers.0.epochs=5`.

use rbm_core::{Error, Result};

use super::text::one_line;
use super::{Recipe, nearest};

/// The tables that a recipe may be without.
const OPTIONAL: [&str; 4] = ["updown", "classifier", "regressor", "autoencoder"];

/// The keys that hold a name, or a table of one name with its settings.
const CHOICES: [&str; 3] = ["method", "optimizer", "adversarial"];

/// Leaves nothing in a choice but the settings of `name`.
fn choose(choice: &mut toml::Value, name: &str) {
    let settings = choice.get(name).cloned();
    let settings = settings.unwrap_or_else(|| toml::Value::Table(toml::Table::new()));
    *choice = toml::Value::Table(toml::Table::from_iter([(name.to_owned(), settings)]));
}

impl Recipe {
    /// The recipe with `key=value` settings made, in order, and only then checked. Keys are paths such as `seed`,
    /// `layers.0.epochs`, `layers.*.learning_rate` or `classifier.epochs`; values are TOML, and a bare word is taken for a
    /// string. `classifier=none` takes the classifier away, and so for `autoencoder` and `updown`.
    ///
    /// # Errors
    ///
    /// When the recipe is wrong; the message names the setting that is wrong by itself, if one is.
    pub fn with<S: AsRef<str>>(&self, settings: &[S]) -> Result<Self> {
        let settings: Vec<&str> = settings.iter().map(AsRef::as_ref).collect();
        let table = self.to_table()?;
        let made = with_all(&table, &settings);
        made.map_err(|error| {
            let alone = |setting: &str| with_all(&table, &[setting]).err();
            let is_sound = with_all(&table, &[]).is_ok();
            let wrong = settings.iter().filter(|_| is_sound);
            let wrong = wrong.filter_map(|setting| Some((setting, alone(setting)?))).next();
            match wrong {
                Some((setting, Error::Invalid { what, expected, found })) => {
                    Error::invalid(format!("{setting}: {what}"), expected, found)
                }
                _ => error,
            }
        })
    }

    fn to_table(&self) -> Result<toml::Table> {
        toml::Table::try_from(self)
            .map_err(|e| Error::invalid("recipe", "plain data", e.to_string()))
    }
}

/// No key of a recipe has so many parts.
const DEEPEST: usize = 8;

/// The recipe of `table` with all of `settings`.
fn with_all(table: &toml::Table, settings: &[&str]) -> Result<Recipe> {
    let mut table = toml::Value::Table(table.clone());
    for setting in settings {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(Error::invalid("setting", "key=value", "no ="));
        };
        let (key, value) = (key.trim(), parse_value(value.trim()));
        let parts = key.split('.').count();
        if parts > DEEPEST {
            let found = format!("{parts} of them");
            let expected = format!("at most {DEEPEST} names with points between them");
            return Err(Error::invalid("a setting's key", expected, found));
        }
        set(&mut table, key, &key.split('.').collect::<Vec<_>>(), &value)?;
    }
    let recipe: Recipe = table.try_into().map_err(|e: toml::de::Error| {
        let found = nearest::with_advice(&one_line(&e.to_string()));
        Error::invalid("recipe", "known keys and fitting values", found)
    })?;
    recipe.check()?;
    Ok(recipe)
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
        toml::Value::Table(table)
            if path.len() == key.split('.').count()
                && rest.is_empty()
                && OPTIONAL.contains(first)
                && value.as_str() == Some("none") =>
        {
            table.remove(*first);
            Ok(())
        }
        toml::Value::Table(table) if rest.is_empty() => {
            table.insert((*first).to_owned(), value.clone());
            Ok(())
        }
        toml::Value::Table(table) => {
            // `classifier.epochs=5` makes a classifier where the recipe has none, `method.pcd.chains=5` another method.
            let entry = table
                .entry((*first).to_owned())
                .or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if CHOICES.contains(first) {
                choose(entry, rest[0]);
            } else if entry.as_str() == Some("none") {
                *entry = toml::Value::Table(toml::Table::new());
            }
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
