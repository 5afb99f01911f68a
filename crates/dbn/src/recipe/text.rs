//! Recipes as text: the built-in ones, files, TOML, changes of single keys, and what was perhaps meant by a word that nobody knows.

use std::path::Path;

use rbm_core::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Recipe;

/// Recipes that are part of the program, by name.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("digits", include_str!("../../recipes/digits.toml")),
    ("mnist", include_str!("../../recipes/mnist.toml")),
    ("backpropagation", include_str!("../../recipes/backpropagation.toml")),
    ("dropout", include_str!("../../recipes/dropout.toml")),
    ("classrbm", include_str!("../../recipes/classrbm.toml")),
    ("hybrid", include_str!("../../recipes/hybrid.toml")),
    ("mnist-16", include_str!("../../recipes/mnist-16.toml")),
    ("mnist-500", include_str!("../../recipes/mnist-500.toml")),
    ("bound", include_str!("../../recipes/bound.toml")),
    ("joint", include_str!("../../recipes/joint.toml")),
    ("up-down", include_str!("../../recipes/up-down.toml")),
    ("digits-joint", include_str!("../../recipes/digits-joint.toml")),
    ("few-labels", include_str!("../../recipes/few-labels.toml")),
    ("autoencoder", include_str!("../../recipes/autoencoder.toml")),
    ("autoencoder-2d", include_str!("../../recipes/autoencoder-2d.toml")),
    ("digits-autoencoder", include_str!("../../recipes/digits-autoencoder.toml")),
    ("debd", include_str!("../../recipes/debd.toml")),
    ("default", include_str!("../../recipes/default.toml")),
    ("table", include_str!("../../recipes/table.toml")),
    ("protein", include_str!("../../recipes/protein.toml")),
    ("bars-and-stripes", include_str!("../../recipes/bars-and-stripes.toml")),
    ("bars-and-stripes-pcd", include_str!("../../recipes/bars-and-stripes-pcd.toml")),
    ("shifting-bar", include_str!("../../recipes/shifting-bar.toml")),
    ("shifting-bar-pcd", include_str!("../../recipes/shifting-bar-pcd.toml")),
    ("labelled-shifter", include_str!("../../recipes/labelled-shifter.toml")),
    ("labelled-shifter-pcd", include_str!("../../recipes/labelled-shifter-pcd.toml")),
];

impl Recipe {
    /// The built-in recipe `name`.
    ///
    /// # Errors
    ///
    /// When there is none of that name; the message lists those that there are.
    pub fn named(name: &str) -> Result<Self> {
        match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::parse(text),
            None => {
                let names: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
                Err(Error::invalid(
                    "recipe",
                    format!("one of {}, or a file", names.join(", ")),
                    quoted(name, names),
                ))
            }
        }
    }

    /// Reads a recipe from TOML.
    ///
    /// # Errors
    ///
    /// When a key or a value is wrong; the message says which.
    pub fn parse(text: &str) -> Result<Self> {
        let recipe = Self::draft(text)?;
        recipe.check()?;
        Ok(recipe)
    }

    /// Reads a recipe to which settings are still to come: keys and values are known ones, but perhaps do not go together yet.
    /// [`Recipe::with`] checks that.
    ///
    /// # Errors
    ///
    /// For what is no TOML, and for keys and values that no recipe has; the message names the line.
    pub fn draft(text: &str) -> Result<Self> {
        parsed(text, &RENAMED)
    }

    /// Reads the recipe file `path`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, and as [`Recipe::parse`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        read(path, Self::parse)
    }

    /// The same as [`Recipe::draft`].
    ///
    /// # Errors
    ///
    /// When the file cannot be read, and as [`Recipe::draft`].
    pub fn read_draft(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        read(path, Self::draft)
    }

    /// The recipe as TOML, every default written out.
    ///
    /// # Errors
    ///
    /// When a value cannot be written as TOML; none of a recipe's is such.
    pub fn to_toml(&self) -> Result<String> {
        written(self)
    }
}

/// A recipe of any kind as TOML.
pub(super) fn written(recipe: &impl Serialize) -> Result<String> {
    toml::to_string_pretty(recipe)
        .map_err(|e| Error::invalid("recipe", "plain data", e.to_string()))
}

/// A recipe from TOML.
///
/// # Errors
///
/// For what is no TOML, and for keys and values that no recipe has; the message names the line, and what a key of earlier recipes is called now.
pub(super) fn parsed<T: DeserializeOwned>(text: &str, renamed: &[Renamed]) -> Result<T> {
    toml::from_str(text).map_err(|e| {
        let line = e.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        let expected = "TOML with known keys and fitting values";
        let found = with_advice(&one_line(e.message()), renamed);
        let own = text.lines().nth(line - 1).unwrap_or_default().trim();
        refused(format!("line {line}"), expected, found, &format!("`{own}`"))
    })
}

/// What `parse` makes of the file `path`.
///
/// # Errors
///
/// Where it cannot be read, and as `parse`, with the file's name.
pub(super) fn read<T>(path: &Path, parse: fn(&str) -> Result<T>) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    parse(&text).map_err(|e| match e {
        Error::Invalid { what, expected, found } => Error::file(path, what, expected, found),
        other => other,
    })
}

/// What stands at the key `model`, as it is written, before the tables of the file `path`; nothing where there is no such key.
pub(super) fn model_in(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let keys = text.lines().take_while(|line| !line.trim_start().starts_with('['));
    let mut pairs = keys.filter_map(|line| line.split('#').next()?.split_once('='));
    let (_, value) = pairs.find(|(key, _)| key.trim() == "model")?;
    Some(value.trim().to_owned())
}

/// What TOML calls its types, and what people do.
const TYPES: [(&str, &str); 6] = [
    ("expected usize", "expected a whole number, 0 or more"),
    ("expected u64", "expected a whole number, 0 or more"),
    ("expected a nonzero usize", "expected a whole number, 1 or more"),
    ("expected f64", "expected a number"),
    ("expected a boolean", "expected true or false"),
    ("expected a sequence", "expected a list"),
];

/// What TOML or serde says, in one line and in plain words.
fn one_line(text: &str) -> String {
    let text = text.trim().replace('\n', "; ");
    let text = TYPES.iter().fold(text, |text, (name, words)| text.replace(name, words));
    match text.split_once("expected struct ") {
        Some((before, after)) => {
            let after = after.trim_start_matches(char::is_alphanumeric);
            format!("{before}expected a table{after}")
        }
        None => text,
    }
}

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
        made_with(self, settings, Self::check, &RENAMED)
    }
}

/// A recipe of any kind with `key=value` settings made, in order, and only then checked.
///
/// # Errors
///
/// When the recipe is wrong; the message names the setting that is wrong by itself, if one is.
pub(super) fn made_with<T: Serialize + DeserializeOwned, S: AsRef<str>>(
    recipe: &T,
    settings: &[S],
    check: fn(&T) -> Result<()>,
    renamed: &[Renamed],
) -> Result<T> {
    let settings: Vec<&str> = settings.iter().map(AsRef::as_ref).collect();
    let table = toml::Table::try_from(recipe)
        .map_err(|e| Error::invalid("recipe", "plain data", e.to_string()))?;
    let made = with_all(&table, &settings, check, renamed);
    made.map_err(|error| {
        let alone = |setting: &str| with_all(&table, &[setting], check, renamed).err();
        let is_sound = with_all(&table, &[], check, renamed).is_ok();
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

/// No key of a recipe has so many parts.
const DEEPEST: usize = 8;

/// The recipe of `table` with all of `settings`.
fn with_all<T: DeserializeOwned>(
    written: &toml::Table,
    settings: &[&str],
    check: fn(&T) -> Result<()>,
    renamed: &[Renamed],
) -> Result<T> {
    let mut table = toml::Value::Table(written.clone());
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
    let recipe: T = table.try_into().map_err(|e: toml::de::Error| {
        let found = with_advice(&one_line(&e.to_string()), renamed);
        let expected = match of_layers(written, settings) {
            Some(key) => format!("known keys and fitting values (of layers: layers.*.{key})"),
            None => "known keys and fitting values".into(),
        };
        refused("recipe".into(), &expected, found, "another value")
    })?;
    check(&recipe)?;
    Ok(recipe)
}

/// The first of `settings` of the recipe `table` that names a key of its layers without saying so.
fn of_layers<'a>(table: &toml::Table, settings: &[&'a str]) -> Option<&'a str> {
    let keys = table.get("layers")?.as_array()?.first()?.as_table()?;
    let mut names = settings.iter().filter_map(|setting| Some(setting.split_once('=')?.0.trim()));
    names.find(|name| keys.contains_key(*name) && !table.contains_key(*name))
}

/// A TOML value, or the text itself.
fn parse_value(text: &str) -> toml::Value {
    let parsed = format!("value = {text}").parse::<toml::Table>();
    let value = parsed.ok().and_then(|mut table| table.remove("value"));
    // Numbers as people write them and TOML does not: `.5`.
    let is_number = text.contains('.') && !text.contains(char::is_alphabetic);
    let number = || text.parse().ok().filter(|_| is_number).map(toml::Value::Float);
    value.or_else(number).unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

/// What is wrong with `what`: `found`, which may say itself what was expected: `KEY: expected A, found B` or `expected A`, where `written` is
/// what was found.
fn refused(what: String, expected: &str, found: String, written: &str) -> Error {
    let (own, place) = match found.split_once("; in ") {
        Some((own, place)) => (own, format!(" in {place}")),
        None => (&found[..], String::new()),
    };
    let sentence = own.split_once(": expected ").filter(|(key, _)| !key.starts_with("invalid "));
    let parts = sentence.and_then(|(key, rest)| Some((key, rest.rsplit_once(", found ")?)));
    match (parts, own.strip_prefix("expected ")) {
        (Some((key, (expected, found))), _) => {
            Error::invalid(format!("{what}: {key}"), expected, found)
        }
        (None, Some(own)) => Error::invalid(what, own, format!("{written}{place}")),
        (None, None) => Error::invalid(what, expected, found),
    }
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

/// How alike two words must be: the share of their letters that need not be changed.
const ALIKE: f64 = 0.5;

/// A key of earlier recipes, and how it is written now.
pub(super) type Renamed = (&'static str, &'static str);

const RENAMED: [Renamed; 12] = [
    ("chains", "a setting of its method, `method.pcd.chains`, and so for fpcd, pt and ptt"),
    ("fast_rate", "`method.fpcd.rate`"),
    ("fast_decay", "`method.fpcd.decay`"),
    ("replicas", "`method.pt.replicas`"),
    ("damping", "`method.mean-field.damping`"),
    ("generative", "`method.hybrid.generative`"),
    ("visible_step", "`method.cd.visible_step`, or `method.hybrid.visible_step`"),
    ("sparsity_target", "`sparsity.target`"),
    ("sparsity_cost", "`sparsity.cost`; without a pull `sparsity = \"none\"`"),
    ("sparsity_decay", "`sparsity.decay`"),
    ("line_searches", "`optimizer.cg.line_searches`"),
    ("virtual_adversarial", "`adversarial.virtual`"),
];

/// The one of `known` that is most like `word`, if any is.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    // Letters that have changed places count once.
    let likeness = |other: &str| strsim::normalized_damerau_levenshtein(&word, other);
    let scored = known.into_iter().map(|other| (likeness(other), other));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(likeness, _)| *likeness >= ALIKE).map(|(_, other)| other)
}

/// `found` in quotes, and what was perhaps meant: `"digts" (did you mean digits?)`.
pub fn quoted<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(found, known) {
        Some(meant) => format!("{found:?} (did you mean {meant}?)"),
        None => format!("{found:?}"),
    }
}

/// What serde says of a word that it does not know, ``unknown field `a`, expected one of `b`, `c` ``, with the one of those
/// that was perhaps meant at its end. Other texts stay as they are.
fn with_advice(text: &str, renamed: &[Renamed]) -> String {
    let Some((_, unknown)) = text.split_once("unknown ") else { return text.to_owned() };
    let words: Vec<_> = unknown.split('`').skip(1).step_by(2).collect();
    if let Some((old, new)) =
        words.first().and_then(|word| renamed.iter().find(|(old, _)| old == word))
    {
        return format!("unknown field `{old}`, which is now {new}");
    }
    match words.split_first().and_then(|(found, known)| nearest(found, known.iter().copied())) {
        Some(meant) => format!("{text} (did you mean {meant}?)"),
        None => text.to_owned(),
    }
}
