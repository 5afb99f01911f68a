//! The whole way from data to a model, stage by stage; it can stop anywhere and go on.

mod backprop;
mod fine_tune;
mod pretrain;
pub mod search;
mod state;

use std::sync::Arc;

use candle_core::{DType, Device};
use candle_dbn_data as data;
use candle_dbn_data::{Columns, Missing, Parts, Scaling, Standardise, known_moments};
pub use rbm_core::Checkpoint;
pub use rbm_core::learning::train::{
    Command, Cursor, EpochMetrics, Observer, StageKind, StageStart, Step,
};
use rbm_core::sampling::Imputation;
use rbm_core::state::State;
use rbm_core::{Error, Rbm, Result, Rng, Units};

use self::backprop::{BestWeights, Network};
pub use self::state::TrainingState;
use crate::learning::Pass;
use crate::network::labels::with_label_units;
use crate::network::model::MissingValues;
use crate::recipe::one_digit;
use crate::{ConditionalLayer, Dataset, Dbn, Examples, Model, Recipe};

/// The most weights of a machine: eight gigabytes of them.
const MOST_WEIGHTS: usize = 1 << 31;

/// How a call of [`Training::run`] ended.
#[derive(Debug)]
pub enum Outcome {
    /// With the trained model.
    Finished(Box<Model>),
    /// Because the observer answered [`Command::Stop`].
    Stopped,
}

/// Data, a recipe, and how far the work has come.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_dbn::recipe::LayerRecipe;
/// use candle_dbn::training::Outcome;
/// use candle_dbn::{Dataset, Recipe, Training};
/// use rbm_core::{Rng, Units, ops};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // 200 cases of 12 bits.
/// let cases = ops::uniform((200, 12), DType::F32, &Device::Cpu, &mut Rng::new(0))?;
/// let cases = cases.lt(0.3)?.to_dtype(DType::F32)?;
/// let layer = LayerRecipe { hidden: Units::bernoulli(8), epochs: 2, batch_size: 20, ..LayerRecipe::default() };
/// let recipe = Recipe { layers: vec![layer], ..Recipe::default() };
/// let mut training = Training::new(recipe, Dataset::from_tensors(&cases, None)?, &Device::Cpu)?;
/// // What was chosen for want of a word, a sentence each.
/// training.notes.iter().for_each(|note| println!("{note}"));
/// let Outcome::Finished(model) = training.run(&mut ())? else { unreachable!("nobody stops it") };
/// assert_eq!(model.features(&cases)?[0].dims(), [200, 8]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Training {
    /// What is done, with nothing left open.
    pub recipe: Recipe,
    /// What is learned from, as the network sees it: prepared, and so nothing for a [`Model`], which would prepare it again.
    pub train: Examples,
    /// What decides when to stop; never learned from.
    pub validation: Option<Examples>,
    /// What no decision sees: untouched values, for one evaluation at the end.
    pub held_out: Option<Examples>,
    /// Whether to look at the machines after every epoch.
    pub monitor: bool,
    device: Device,
    /// The units of the data layer.
    visible: Units,
    classes: Option<usize>,
    class_names: Option<Vec<String>>,
    /// What the column of the labels is called.
    label: Option<String>,
    /// What the column of the targets is called.
    target: Option<String>,
    columns: Option<Arc<Columns>>,
    image: Option<(usize, usize)>,
    standardise: Option<Standardise>,
    missing: Option<MissingValues>,
    /// How missing values are drawn while learning, where they are.
    imputation: Option<Imputation>,
    /// What every number of the source was divided by.
    scale: f32,
    /// What the indices of sparse rows count from.
    first_index: Option<u32>,
    /// What was decided about the data, a sentence each: whoever trains says it once.
    pub notes: Vec<String>,
    /// The machines so far, the last one perhaps unfinished.
    rbms: Vec<Rbm>,
    /// The way down, once it has weights of its own.
    generative: Vec<ConditionalLayer>,
    /// What is fine-tuned by backpropagation, once its stage has begun.
    network: Option<Network>,
    /// What it gets when it is finished.
    kept: BestWeights,
    /// What a restored stage's trainer must remember.
    memory: State,
    /// What the machines that are learned again begin with, by their names in a checkpoint.
    warm: State,
    record: TrainingState,
}

/// Independent streams of random numbers of each stage, one a purpose.
#[derive(Debug, Clone, Copy)]
enum Stream {
    Init,
    Learn,
    Shuffle,
    Monitor,
    Cache,
    Labelled,
}

/// Errors where the recipe needs labels and `dataset` has none, or the same for all cases.
fn check_labels(recipe: &Recipe, dataset: &Dataset) -> Result<()> {
    let expected = match (recipe.labels, &recipe.classifier) {
        (true, _) => "labels for the top machine (name their column or file, or set labels=false)",
        (false, Some(_)) => {
            "labels for the classifier (name their column or file, or train --unsupervised)"
        }
        (false, None) => return Ok(()),
    };
    let what = format!("the data {:?}", dataset.name);
    let Some(labels) = &dataset.train.labels else {
        return Err(Error::invalid(what, expected, "cases without labels"));
    };
    if labels.windows(2).all(|pair| pair[0] == pair[1]) {
        let found = "the same label for all cases: there is nothing to tell apart";
        return Err(Error::invalid(what, expected, found));
    }
    Ok(())
}

/// Errors where missing values cannot be drawn while learning as the recipe says.
fn check_missing(recipe: &Recipe) -> Result<()> {
    let expected = match recipe.data.read.missing() {
        Missing::Gibbs if recipe.updown.is_some() => "refuse or mean beside up-down",
        Missing::Gibbs if recipe.data.pass == Pass::Sample => {
            "refuse or mean beside data.pass = \"sample\""
        }
        _ => return Ok(()),
    };
    Err(Error::invalid("data.missing", expected, "gibbs"))
}

/// From so many classes on labels may name cases.
const FEW_CLASSES: usize = 10;

impl Training {
    /// A training at its beginning. Splits off held-out and validation cases, standardises if the recipe says so, and checks that
    /// the values fit the units.
    ///
    /// # Errors
    ///
    /// For data that do not fit the recipe.
    pub fn new(recipe: Recipe, dataset: Dataset, device: &Device) -> Result<Self> {
        recipe.check()?;
        let mut recipe = recipe;
        let (classes, image) = (dataset.classes, dataset.image);
        let (class_names, columns) = (dataset.class_names.clone(), dataset.columns.clone());
        let first_index = dataset.first_index;
        let (label, target) = (dataset.label.clone(), dataset.target.clone());
        let (scale, mut notes) = (dataset.scale, Vec::new());
        notes.extend(recipe.set_code_units(dataset.alphabet.as_ref()));
        let classes_of = dataset.classes.filter(|_| recipe.classifier.is_some() || recipe.labels);
        let most = dataset.train.len() / 2;
        if let Some(classes) = classes_of.filter(|classes| *classes > FEW_CLASSES.max(most)) {
            notes.push(format!(
                "warning: {classes} classes of {} cases: these labels name cases, and nothing can be learned about them",
                dataset.train.len()
            ));
        }
        check_labels(&recipe, &dataset)?;
        check_missing(&recipe)?;
        if dataset.train.len() < 2 {
            let what = format!("the data {:?}", recipe.data.source);
            let found = dataset.train.len().to_string();
            return Err(Error::invalid(what, "at least 2 cases to learn from", found));
        }
        let chosen_by: Vec<_> =
            [Some(&dataset.train), dataset.validation.as_ref()].into_iter().flatten().collect();
        let visible = recipe.visible_units(&chosen_by, columns.as_deref())?;
        let scaling = recipe.scaling(&visible)?;
        if scaling == Scaling::Standardise && recipe.standardise == Scaling::Auto {
            let is_rectified = |(_, units): &(_, &Units)| matches!(units, Units::Relu { .. });
            let beside = match visible.groups().iter().any(is_rectified) {
                true => ", those of rectified ones to deviation 1",
                false => "",
            };
            notes.push(format!(
                "columns of Gaussian units are brought to mean 0 and deviation 1{beside} (--no-standardise leaves them)"
            ));
        }
        let (recipe, chosen) = recipe.resolved(&visible);
        notes.extend(chosen);
        let check = |part: &Examples| data::check_units(&recipe.data.source, part, &visible);
        if scaling == Scaling::None {
            // Before the split, so that the place in an error is the place in the file.
            let others = [&dataset.validation, &dataset.held_out].into_iter().flatten();
            std::iter::once(&dataset.train).chain(others).try_for_each(check)?;
        }
        let Parts { train, validation, held_out } = recipe.data.parts(dataset)?;
        let labelled = recipe.classifier.as_ref().and_then(|classifier| classifier.train_on);
        let labelled = labelled.unwrap_or_default();
        if labelled > train.len() {
            let expected = format!("at most the {} training cases", train.len());
            return Err(Error::invalid("classifier.train_on", expected, labelled.to_string()));
        }
        let missing = match recipe.data.read.missing() {
            Missing::Refuse => None,
            how => Some(MissingValues { how, mean: known_moments(&train.cases)?.0 }),
        };
        let filled = |part: Examples| -> Result<Examples> {
            match &missing {
                Some(values) if values.how == Missing::Mean => {
                    Ok(Examples { cases: part.cases.filled(&values.mean)?, ..part })
                }
                _ => Ok(part),
            }
        };
        let (train, validation) = (filled(train)?, validation.map(filled).transpose()?);
        let standardise = match scaling {
            Scaling::Standardise => Some(Standardise::of(&train.cases)?.only(&visible)?),
            Scaling::MinMax => Some(Standardise::min_max(&train.cases)?.only(&visible)?),
            Scaling::None | Scaling::Auto => None,
        };
        let prepare = |part: Examples| -> Result<Examples> {
            let cases = standardise
                .as_ref()
                .map_or(Ok(part.cases.clone()), |s| part.cases.standardised(s))?;
            let part = Examples { cases, ..part };
            check(&part)?;
            Ok(Examples { cases: part.cases.to_device(device)?, ..part })
        };
        let (train, validation) = (prepare(train)?, validation.map(prepare).transpose()?);
        let standardise = standardise.map(|s| s.to_device(device)).transpose()?;
        let imputation = match &missing {
            Some(values) => values.imputation(standardise.as_ref(), device)?,
            None => None,
        };
        Ok(Self {
            record: TrainingState::beginning(&recipe, &train, validation.as_ref())?,
            recipe,
            train,
            validation,
            held_out,
            monitor: true,
            device: device.clone(),
            visible,
            classes,
            class_names,
            label,
            target,
            columns,
            image,
            standardise,
            missing,
            imputation,
            scale,
            first_index,
            notes,
            rbms: Vec::new(),
            generative: Vec::new(),
            network: None,
            kept: BestWeights::default(),
            memory: State::new(),
            warm: State::new(),
        })
    }

    /// [`Training::new`] with `rbms` in the place of pre-training: it begins where the last layer of the recipe has learned.
    ///
    /// # Errors
    ///
    /// Unless these are the machines of the recipe, and as [`Training::new`].
    pub fn of_machines(
        recipe: Recipe,
        dataset: Dataset,
        rbms: Vec<Rbm>,
        device: &Device,
    ) -> Result<Self> {
        let mut training = Self::new(recipe, dataset, device)?;
        let units = |rbm: &Rbm| format!("{} → {}", rbm.visible().units(), rbm.hidden().units());
        let layers = 0..training.recipe.layers.len();
        let expected = layers.clone().map(|layer| Ok(units(&training.new_rbm(layer)?)));
        let expected = expected.collect::<Result<Vec<_>>>()?.join(", ");
        let found = rbms.iter().map(units).collect::<Vec<_>>().join(", ");
        if expected != found {
            return Err(Error::invalid("the machines of a training", expected, found));
        }
        layers.for_each(|_| training.record.close_stage(&training.recipe));
        training.rbms = rbms;
        Ok(training)
    }

    /// Where the training stands.
    pub fn record(&self) -> &TrainingState {
        &self.record
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.stage().is_none()
    }

    /// Works until everything is done or the observer stops it.
    ///
    /// # Errors
    ///
    /// When learning diverges; the message names the stage and epoch, and the last checkpoint was taken before it.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        while let Some(kind) = self.stage() {
            let flow = match kind {
                StageKind::Layer(layer) => self.pretrain(layer, observer),
                StageKind::UpDown => self.up_down(observer),
                network => self.fine_tune(network, observer),
            };
            if flow.map_err(|error| self.locate(error))?.is_break() {
                return Ok(Outcome::Stopped);
            }
            tracing::info!(stage = %kind, epochs = self.record.cursor.epoch, "stage done");
            self.record.close_stage(&self.recipe);
            if !matches!(self.stage(), Some(StageKind::Layer(_))) {
                self.warm.clear();
            }
            self.memory = State::new();
            observer.checkpoint(&self.checkpoint().untyped()?)?;
        }
        Ok(Outcome::Finished(Box::new(self.model()?)))
    }

    /// What is to be done now; none at the end.
    fn stage(&self) -> Option<StageKind> {
        self.recipe.stages().get(self.record.stage).copied()
    }

    fn stream(&self, purpose: Stream) -> Rng {
        Rng::new(self.recipe.seed).split(self.record.stage as u64).split(purpose as u64)
    }

    fn new_rbm(&self, layer: usize) -> Result<Rbm> {
        let layers = &self.recipe.layers;
        let visible = match layer {
            0 => self.visible.clone(),
            _ => layers[layer - 1].hidden.clone(),
        };
        let visible = match self.classes.filter(|_| self.recipe.is_joint(layer)) {
            Some(classes) => with_label_units(&visible, classes),
            None => visible,
        };
        let hidden = &layers[layer].hidden;
        if visible.width().saturating_mul(hidden.width()) > MOST_WEIGHTS {
            let found = format!("{} x {}", visible.width(), hidden.width());
            return Err(Error::invalid(
                format!("the weights of layer {}", layer + 1),
                "at most 2^31",
                found,
            ));
        }
        Rbm::new(&visible, hidden, DType::F32, &self.device)
    }

    /// The stack so far.
    fn take_dbn(&mut self) -> Result<Dbn> {
        let rbms = std::mem::take(&mut self.rbms);
        let mut dbn = match self.classes.filter(|_| self.recipe.labels) {
            Some(classes) => Dbn::with_labels(rbms, classes)?,
            None => Dbn::new(rbms)?,
        };
        dbn.generative = std::mem::take(&mut self.generative);
        Ok(dbn)
    }

    /// The finished model; the training gives its parameters away.
    fn model(&mut self) -> Result<Model> {
        let network = self.network.take();
        if let Some(network) = &network {
            self.kept.apply(network.unrolled())?;
        }
        let (classifier, regressor, autoencoder) = match network {
            Some(Network::Classifier(classifier)) => (Some(classifier), None, None),
            Some(Network::Regressor(regressor)) => (None, Some(regressor), None),
            Some(Network::Autoencoder(autoencoder)) => (None, None, Some(autoencoder)),
            None => (None, None, None),
        };
        let dbn = self.take_dbn()?;
        let (standardise, image) = (self.standardise.clone(), self.image);
        let preprocessing = Some(self.recipe.preprocessing(self.scale, self.first_index));
        // Without names, columns of one kind are nothing that the units do not say.
        let columns = self.columns.clone().filter(|columns| columns.tells_more());
        let class_names = self.class_names.clone();
        Ok(Model {
            dbn,
            classifier,
            regressor,
            autoencoder,
            standardise,
            image,
            preprocessing,
            columns,
            class_names,
            label: self.label.clone(),
            missing: self.missing.clone(),
        })
    }
}

impl Training {
    /// `error` with the stage and epoch of a divergence, and with what to do about it.
    pub(super) fn locate(&self, error: Error) -> Error {
        match error {
            Error::Diverged { what, hint, .. } => {
                let hint = self.advice().unwrap_or(hint);
                let Cursor { epoch, batch } = self.record.cursor;
                let epoch = epoch + usize::from(batch > 0);
                let stage = self.stage().map_or_else(String::new, String::from);
                let place = format!("{stage}, epoch {epoch}");
                Error::Diverged { place, what, hint }
            }
            other => other,
        }
    }

    /// Which key to set to what where learning has diverged.
    fn advice(&self) -> Option<String> {
        let recipe = &self.recipe;
        let (name, rate, epochs) = match self.stage()? {
            StageKind::Layer(i) => {
                let layer = &recipe.layers[i];
                (format!("layers.{i}"), layer.learning_rate.as_ref()?, layer.epochs)
            }
            StageKind::UpDown => {
                let table = recipe.updown.as_ref()?;
                ("updown".into(), &table.learning_rate, table.epochs)
            }
            network => {
                let table = recipe.backpropagation(network)?;
                (network.to_string(), &table.learning_rate, table.epochs)
            }
        };
        let now = rate.at(self.record.cursor.epoch, epochs);
        let usual = match self.stage()? {
            StageKind::Layer(i) => recipe.usual_rate(i, &self.visible),
            _ => 0.1,
        };
        let lower = one_digit(usual.min(0.1 * now));
        Some(format!("lower the learning rate, {name}.learning_rate={lower} in place of {now}"))
    }
}
