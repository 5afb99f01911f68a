//! Recipes as text: the built-in ones, files, TOML.

use std::path::Path;

use rbm_core::{Error, Result};

use super::{Recipe, nearest};

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
                    nearest::quoted(name, names),
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
        toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let expected = "TOML with known keys and fitting values";
            let found = nearest::with_advice(&one_line(e.message()));
            Error::invalid(format!("line {line}"), expected, found)
        })
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
        toml::to_string_pretty(self)
            .map_err(|e| Error::invalid("recipe", "plain data", e.to_string()))
    }
}

fn read(path: &Path, parse: fn(&str) -> Result<Recipe>) -> Result<Recipe> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    parse(&text).map_err(|e| match e {
        Error::Invalid { what, expected, found } => Error::file(path, what, expected, found),
        other => other,
    })
}

pub(super) fn one_line(text: &str) -> String {
    text.trim().replace('\n', "; ")
}
