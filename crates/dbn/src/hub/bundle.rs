//! What goes to the Hub: files of a run, and its model card.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use rbm_core::{Error, Result};

use super::Reference;
use super::card::{Card, CardModel};
use crate::network::config::{BELIEF, CONFIG, MACHINE, WEIGHTS};
use crate::recipe::{BeliefRecipe, MachineRecipe};
use crate::store::model_config::ModelConfig;
use crate::store::results::{RESULTS, Results};
use crate::store::run::RECIPE;
use crate::viz::gallery::{self, FILTERS, SAMPLES};
use crate::{Model, Run};

/// A file's contents.
#[derive(Debug, Clone)]
pub enum FileContent {
    /// Those of a file.
    File(PathBuf),
    /// These.
    Bytes(Vec<u8>),
}

impl FileContent {
    /// How many bytes.
    ///
    /// # Errors
    ///
    /// Where the file cannot be looked at.
    pub fn size(&self) -> Result<u64> {
        match self {
            Self::File(path) => Ok(fs::metadata(path).map_err(|e| Error::io(path, e))?.len()),
            Self::Bytes(bytes) => Ok(bytes.len() as u64),
        }
    }
}

/// What goes to the Hub.
#[derive(Debug, Clone)]
pub struct ModelBundle {
    /// Files by their names there, but for the card.
    pub files: Vec<(String, FileContent)>,
    /// What the card says; what somebody wrote beside it on the Hub stays.
    pub card: Card,
}

impl ModelBundle {
    /// The model in the folder `dir`, with what a run has left beside it. The recipe goes without the paths of this machine.
    ///
    /// # Errors
    ///
    /// Whatever [`Model::load`] finds wrong.
    pub fn of(dir: impl AsRef<Path>, reference: &Reference) -> Result<Self> {
        let dir = dir.as_ref();
        if [MACHINE, BELIEF].iter().any(|name| dir.join(name).is_file()) {
            return Self::of_machine(dir, reference);
        }
        let model = Model::load(dir, &candle_core::Device::Cpu)?;
        let mut files: Vec<(String, FileContent)> = [CONFIG, WEIGHTS]
            .map(|name| (name.to_owned(), FileContent::File(dir.join(name))))
            .into();
        let recipe = match Run::open(dir) {
            Ok(run) => Some(run.recipe()?.without_paths()),
            Err(_) => None,
        };
        let results = Results::read(dir)?;
        files.extend(pictures_in(dir)?);
        let recipe = recipe.map(|recipe| recipe.to_toml()).transpose()?;
        Self::with(files, Self::network(&model)?, recipe, results, reference)
    }

    /// The Boltzmann machine or belief net in the folder `dir`. Whether its numbers are whole is for whoever knows them to say.
    fn of_machine(dir: &Path, reference: &Reference) -> Result<Self> {
        let config = ModelConfig::read(dir.join(CONFIG))?;
        let (weights, (least, most)) = (config.weights(), config.weights_size());
        let (model, recipe) = match config {
            ModelConfig::Machine(config) => {
                let read = |path: &Path| MachineRecipe::read(path)?.without_paths().to_toml();
                (CardModel::Machine(config), recipe_in(dir, read)?)
            }
            ModelConfig::Belief(config) => {
                let read = |path: &Path| BeliefRecipe::read(path)?.without_paths().to_toml();
                (CardModel::Belief(config), recipe_in(dir, read)?)
            }
            ModelConfig::Network(_) => {
                let expected = "that of the Boltzmann machine or belief net beside it";
                return Err(Error::file(dir.join(CONFIG), "model", expected, "a network's"));
            }
        };
        let path = dir.join(weights);
        let size = FileContent::File(path.clone()).size()?;
        if !(least..=most).contains(&size) {
            let expected = format!("{least} to {most} bytes, as its {CONFIG} says");
            return Err(Error::file(&path, "contents", expected, size.to_string()));
        }
        let mut files: Vec<(String, FileContent)> = [CONFIG, weights]
            .map(|name| (name.to_owned(), FileContent::File(dir.join(name))))
            .into();
        files.extend(pictures_in(dir)?);
        Self::with(files, model, recipe, Results::read(dir)?, reference)
    }

    fn network(model: &Model) -> Result<CardModel> {
        let (config, parameters) = (Box::new(model.config()), model.parameters()?);
        Ok(CardModel::Network { config, parameters })
    }

    /// The first `count` layers of the model in the folder `dir`, without what was fine-tuned on top of all of them: their
    /// pictures are made for them, and numbers of the whole say nothing about them.
    ///
    /// # Errors
    ///
    /// As [`ModelBundle::of`], and where there are not so many layers.
    pub fn of_first_layers(
        dir: impl AsRef<Path>,
        reference: &Reference,
        count: usize,
    ) -> Result<Self> {
        let dir = dir.as_ref();
        let model = Model::load(dir, &candle_core::Device::Cpu)?;
        if count == model.dbn.depth() {
            return Self::of(dir, reference);
        }
        let model = model.first_layers(count)?;
        let folder = tempfile::tempdir().map_err(|e| Error::io(dir, e))?;
        model.save(folder.path())?;
        gallery::filters(&folder.path().join(FILTERS), &model)?;
        gallery::fantasies(&folder.path().join(SAMPLES), &model, 0)?;
        let mut files = Vec::new();
        for name in [CONFIG, WEIGHTS, FILTERS, SAMPLES] {
            let path = folder.path().join(name);
            let bytes = fs::read(&path).map_err(|e| Error::io(&path, e))?;
            files.push((name.to_owned(), FileContent::Bytes(bytes)));
        }
        let recipe = match Run::open(dir) {
            Ok(run) => Some(run.recipe()?.without_paths().of_first_layers(count).to_toml()?),
            Err(_) => None,
        };
        Self::with(files, Self::network(&model)?, recipe, Results::default(), reference)
    }

    fn with(
        mut files: Vec<(String, FileContent)>,
        model: CardModel,
        recipe: Option<String>,
        results: Results,
        reference: &Reference,
    ) -> Result<Self> {
        if let Some(recipe) = &recipe {
            files.push((RECIPE.into(), FileContent::Bytes(recipe.clone().into_bytes())));
        }
        if !results.measured.is_empty() {
            files.push((RESULTS.into(), FileContent::Bytes(results.to_json()?)));
        }
        let pictures = [FILTERS, SAMPLES].into_iter();
        let pictures = pictures.filter(|name| files.iter().any(|(file, _)| file == name));
        let card = Card {
            repository: reference.repository(),
            pictures: pictures.map(str::to_owned).collect(),
            model,
            recipe,
            results,
        };
        Ok(Self { files, card })
    }
}

/// The recipe in the folder `dir`, where there is one, as `read` has it.
fn recipe_in(dir: &Path, read: impl Fn(&Path) -> Result<String>) -> Result<Option<String>> {
    let path = dir.join(RECIPE);
    path.is_file().then(|| read(&path)).transpose()
}

/// The pictures of a model in the folder `dir`.
fn pictures_in(dir: &Path) -> Result<Vec<(String, FileContent)>> {
    let mut files = Vec::new();
    for name in [FILTERS, SAMPLES] {
        let path = dir.join(name);
        if is_picture(&path)? {
            files.push((name.into(), FileContent::File(path)));
        }
    }
    Ok(files)
}

/// Whether there is a picture at `path`, and not something else that goes by the name of one.
fn is_picture(path: &Path) -> Result<bool> {
    let mut signature = [0; 8];
    match fs::File::open(path).and_then(|mut file| file.read_exact(&mut signature)) {
        Ok(()) => Ok(signature == *b"\x89PNG\r\n\x1a\n"),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io(path, e)),
    }
}
