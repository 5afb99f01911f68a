//! A model: a network, what was fine-tuned from it, how data reach it, and what stands for missing values.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{D, DType, Device, Tensor, Var};
use candle_dbn_data as data;
use candle_dbn_data::{Binarise, Columns, Known, Missing, Standardise, View};
use candle_nn::Module;
use rbm_core::sampling::Imputation;
use rbm_core::{Error, Rbm, Result, Rng, Rows, rows};

use crate::network::autoencoder::Autoencoder;
use crate::network::classifier::Classifier;
use crate::network::classifier::Regressor;
use crate::network::config::{Config, FORMAT, Preprocessing, VERSION};
use crate::network::dbn::Dbn;
use crate::network::inference::Inference;
use rbm_core::model::ConditionalLayer;

/// What is taken from the data first, in the file.
pub(crate) const MEAN: &str = "standardise.mean";
/// What stands for missing values, in the file.
pub(crate) const MISSING: &str = "missing.mean";
/// What the data are divided by then, in the file.
pub(crate) const DEVIATION: &str = "standardise.deviation";

/// The least scale of which is clear that it belongs to whole numbers: that of the embedded digits.
const LEAST_PIXEL: f32 = 16.0;

/// A network, what was fine-tuned from it, and how data reach it: what takes data as they are.
///
/// View `(batch, width)` are in the values that a [`Dataset`](crate::Dataset) has; the model shifts and scales them and fills in what
/// is missing, as while it learned. Numbers as their file has them, pixels up to 255 or codes, go through [`Model::encode`] first.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_nn::Module;
/// use candle_dbn::{Dataset, Model, Recipe, Training, training::Outcome};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let digits = candle_dbn::data::load("digits", &Default::default())?;
/// let x = digits.train.cases.thinned(100)?;
/// let recipe = Recipe::named("digits")?.with(&["layers.*.epochs=1", "classifier.epochs=1"])?;
/// # let recipe = recipe.with(&["layers.*.hidden=8"])?;
/// let Outcome::Finished(model) = Training::new(recipe, digits, &Device::Cpu)?.run(&mut ())? else {
///     return Err("stopped".into());
/// };
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("model");
/// model.save(&folder)?;
///
/// let model = Model::load(&folder, &Device::Cpu)?;
/// let features = model.forward(&x)?;                    // (100, units of the top layer)
/// let pixels = (&x * 16.0)?;                            // as the file has them, 0 to 16
/// let same = model.forward(&model.encode(&pixels)?)?;
/// assert_eq!(features.to_vec2::<f32>()?, same.to_vec2::<f32>()?);
/// assert!(model.forward(&pixels).is_err(), "these are no probabilities");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Model {
    /// The generative network.
    pub dbn: Dbn,
    /// The fine-tuned classifier, if there is one.
    pub classifier: Option<Classifier>,
    /// The fine-tuned predictor of a measurement, if there is one.
    pub regressor: Option<Regressor>,
    /// The fine-tuned autoencoder, if there is one.
    pub autoencoder: Option<Autoencoder>,
    /// How data are shifted and scaled first, if they are.
    pub standardise: Option<Standardise>,
    /// Height and width, if the data are pictures.
    pub image: Option<(usize, usize)>,
    /// What the data went through before, where that is known.
    pub preprocessing: Option<Preprocessing>,
    /// The columns of the table that it learned from, where they have names or hold categories.
    pub columns: Option<Arc<Columns>>,
    /// What the classes are called, where they are not called by their numbers.
    pub class_names: Option<Vec<String>>,
    /// What the column of the labels is called in the table that it learned from.
    pub label: Option<String>,
    /// What stands for missing values, where some may be missing.
    pub missing: Option<MissingValues>,
}

/// A network and nothing beside it.
impl From<Dbn> for Model {
    fn from(dbn: Dbn) -> Self {
        Self {
            dbn,
            classifier: None,
            regressor: None,
            autoencoder: None,
            standardise: None,
            image: None,
            preprocessing: None,
            columns: None,
            class_names: None,
            label: None,
            missing: None,
        }
    }
}

impl Model {
    /// What `config.json` holds.
    pub fn config(&self) -> Config {
        Config {
            format: FORMAT.into(),
            version: VERSION,
            visible: self.dbn.visible_units(),
            hidden: self.dbn.rbms().map(|rbm| rbm.hidden().units()).collect(),
            classes: self.classifier.as_ref().map(Classifier::classes),
            labels: self.dbn.classes(),
            untied: !self.dbn.generative.is_empty(),
            target: self.regressor.as_ref().map(|regressor| regressor.target.clone()),
            autoencoder: self.autoencoder.is_some(),
            image: self.image,
            standardise: self.standardise.is_some(),
            min_max: self.standardise.as_ref().is_some_and(|standardise| standardise.cuts),
            preprocessing: self.preprocessing.clone(),
            columns: self.columns.as_deref().cloned(),
            class_names: self.class_names.clone(),
            label: self.label.clone(),
            missing: self.missing.as_ref().map(|values| values.how),
        }
    }

    /// The values of cases whose numbers `(batch, columns)` are as their file has them: divided as those that the model learned
    /// from, categories and codes as zeros and a one, zeros and ones by a threshold. What [`data::load`]
    /// reads has gone through this already.
    ///
    /// # Errors
    ///
    /// Where there are not as many numbers as columns, for a category or a code that there is not, where zeros and ones were drawn
    /// (these depend on a case's place in its file), and for pixels that have been divided already: fractions where whole numbers up
    /// to 16 or more belong.
    pub fn encode(&self, numbers: &Tensor) -> Result<Tensor> {
        self.check_undivided(numbers)?;
        let values = match &self.preprocessing {
            Some(Preprocessing { scale, binarise, one_hot, .. }) => {
                let columns = self.columns.as_ref();
                data::encoded(numbers, *scale, columns, *one_hot, *binarise)?
            }
            None => data::encoded(numbers, 1.0, self.columns.as_ref(), None, Binarise::None)?,
        };
        self.check_width(values.dim(1)?)?;
        Ok(values)
    }

    fn check_undivided(&self, numbers: &Tensor) -> Result<()> {
        let scale = self.preprocessing.as_ref().map_or(1.0, |done| done.scale);
        let (low, high) = self.dbn.visible_units().range();
        if scale < LEAST_PIXEL || !high.is_finite() {
            return Ok(());
        }
        let values = numbers.detach().to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        let values = values.flatten_all()?.to_vec1::<f32>()?;
        let is_divided = values.iter().all(|x| (low..=high).contains(x));
        match values.iter().find(|x| x.fract() != 0.0).filter(|_| is_divided) {
            Some(fraction) => {
                let expected = format!(
                    "numbers up to {scale}, as their file has them (what is divided already needs no Model::encode)"
                );
                let found = format!("numbers in [{low}, {high}], such as {fraction}");
                Err(Error::invalid("the data", expected, found))
            }
            None => Ok(()),
        }
    }

    /// The mean activities of every hidden layer from the bottom up, `(batch, hidden)` each, of cases `x` `(batch, width)` as a
    /// [`Dataset`](crate::Dataset) has them: what `dbn embed` writes, to the bit. Differentiable.
    ///
    /// # Errors
    ///
    /// For the wrong width, and for values that the units of the data layer cannot have.
    pub fn features(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        self.dbn.features(&self.checked(x)?)
    }

    /// The class of each case of `x` `(batch, width)`, in the values of [`Model::features`]: what the classifier says,
    /// or the label units by means.
    ///
    /// # Errors
    ///
    /// As there, and for a model that tells no classes apart.
    pub fn predict(&self, x: &Tensor) -> Result<Vec<u32>> {
        let prepared = self.checked(x)?;
        match &self.classifier {
            Some(classifier) => classifier.predict(&prepared),
            None => Ok(self.class_probabilities(&prepared)?.argmax(D::Minus1)?.to_vec1()?),
        }
    }

    /// How to read the cases of `source` as those that the model learned from: what is `given`, and the columns, categories, names of
    /// classes and letters that the model knows. [`data::load`] takes it; what it divides by is the source's
    /// own, unless it is given.
    pub fn options(&self, source: &str, given: data::ReadOptions) -> data::ReadOptions {
        let alphabet = given.alphabet.clone().or_else(|| {
            let known = self.preprocessing.as_ref()?.alphabet.clone();
            known.filter(|_| data::is_alignment(source))
        });
        let classes =
            self.classes().map(|classes| (0..classes).map(|class| self.class_name(class)));
        let known_width = Some(self.dbn.width()).filter(|_| data::is_sparse(source));
        data::ReadOptions {
            width: given.width.or(known_width),
            finds_kinds: false,
            missing: self.missing.as_ref().map(|values| values.how).or(given.missing),
            alphabet,
            known: Known {
                label: self.label.clone(),
                target: self.regressor.as_ref().map(|regressor| regressor.target.name.clone()),
                columns: self.columns.clone(),
                class_names: classes.map(Iterator::collect),
                first_index: self.preprocessing.as_ref().and_then(|done| done.first_index),
            },
            ..given
        }
    }

    /// [`Model::prepare`], where the data layer can have these values.
    fn checked(&self, x: &Tensor) -> Result<Tensor> {
        let prepared = self.prepare(x)?;
        let hint = self.preprocessing.as_ref().map_or("", |done| done.hint());
        data::check_values(&prepared, &self.dbn.visible_units(), hint)?;
        Ok(prepared)
    }

    /// Data as the network wants them: on its device, standardised if it was trained so, with what is missing filled
    /// in: by the means of the columns, or by the conditional means.
    ///
    /// # Errors
    ///
    /// For the wrong width.
    pub fn prepare(&self, cases: &Tensor) -> Result<Tensor> {
        self.check_width(cases.dim(1)?)?;
        let device = self.dbn.bottom().device();
        let mut cases = cases.to_device(device)?;
        if let Some(values) = self.missing.as_ref().filter(|values| values.how == Missing::Mean) {
            let mean = Tensor::from_slice(&values.mean, values.mean.len(), device)?;
            cases = Imputation::new(&mean, 1)?.started(&cases)?;
        }
        if let Some(standardise) = &self.standardise {
            cases = standardise.apply(&cases)?;
        }
        match self.imputation()? {
            Some(imputation) => completed(&cases, &imputation, self.dbn.bottom(), &mut Rng::new(0)),
            None => Ok(cases),
        }
    }

    /// [`Model::prepare`] for cases that stay where they are until rows of them are formed; but where values are missing and drawn
    /// given the others, all are in memory.
    ///
    /// # Errors
    ///
    /// For cases of another width, and where missing values are drawn and rows cannot be read.
    pub fn prepare_cases(&self, cases: &View) -> Result<View> {
        self.check_width(cases.width())?;
        let mut cases = cases.clone();
        if let Some(values) = self.missing.as_ref().filter(|values| values.how == Missing::Mean) {
            cases = cases.filled(&values.mean)?;
        }
        if let Some(standardise) = &self.standardise {
            cases = cases.standardised(standardise)?;
        }
        self.complete(&cases)?.to_device(self.dbn.bottom().device())
    }

    /// Prepared cases with what is missing at its conditional mean, where it is drawn while learning.
    ///
    /// # Errors
    ///
    /// Where rows cannot be read.
    pub fn complete(&self, prepared: &View) -> Result<View> {
        match self.imputation()? {
            Some(imputation) => complete(prepared, &imputation, self.dbn.bottom()),
            None => Ok(prepared.clone()),
        }
    }

    fn imputation(&self) -> Result<Option<Imputation>> {
        let device = self.dbn.bottom().device();
        match &self.missing {
            Some(values) => values.imputation(self.standardise.as_ref(), device),
            None => Ok(None),
        }
    }

    /// How many classes the model tells apart, if it does.
    pub fn classes(&self) -> Option<usize> {
        self.classifier.as_ref().map(Classifier::classes).or(self.dbn.classes())
    }

    /// What the class with this number, from 0, is called.
    pub fn class_name(&self, class: usize) -> String {
        let name = self.class_names.as_ref().and_then(|names| names.get(class));
        name.cloned().unwrap_or_else(|| class.to_string())
    }

    /// How probable each class is, `(batch, classes)`, for cases as [`Model::prepare`] gives them ([`Model::predict`]
    /// takes them as they are): what the classifier says, or the label units by means. A leaf.
    ///
    /// # Errors
    ///
    /// For a model that tells no classes apart.
    pub fn class_probabilities(&self, prepared: &Tensor) -> Result<Tensor> {
        match &self.classifier {
            Some(classifier) => {
                let logits = classifier.logits(prepared)?.detach();
                Ok(candle_nn::ops::softmax(&logits, D::Minus1)?)
            }
            None => self.dbn.label_probabilities(prepared, Inference::Means, &mut Rng::new(0)),
        }
    }

    /// Checks that cases of the network have `found` values.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where they have another number.
    pub fn check_width(&self, found: usize) -> Result<()> {
        candle_dbn_data::check_width(found, &self.dbn.visible_units())
    }

    /// What the network says `(n, width)` in the values of the data, on the CPU: the way back from [`Model::prepare`].
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn in_data_values(&self, values: &Tensor) -> Result<Tensor> {
        let values = match &self.standardise {
            Some(standardise) => standardise.undo(values)?,
            None => values.clone(),
        };
        Ok(values.detach().to_device(&Device::Cpu)?)
    }

    /// Every parameter under its name in the file; matrices are marked, because they are transposed there.
    pub(crate) fn vars<'a>(&'a self) -> Vec<(String, &'a Var)> {
        let mut vars = Vec::new();
        for (i, rbm) in self.dbn.rbms().enumerate() {
            let name =
                |name: &str| if name == "weights" { "weight".into() } else { name.to_owned() };
            vars.extend(
                rbm.parameters()
                    .into_iter()
                    .map(|(n, var)| (format!("rbms.{i}.{}", name(&n)), var)),
            );
        }
        let mut directed = |name: &str, layers: &'a [ConditionalLayer]| {
            for (i, layer) in layers.iter().enumerate() {
                let parameters = layer.parameters().into_iter();
                vars.extend(
                    parameters.map(|(of_layer, var)| (format!("{name}.{i}.{of_layer}"), var)),
                );
            }
        };
        directed("generative", &self.dbn.generative);
        if let Some(autoencoder) = &self.autoencoder {
            directed("autoencoder.encoder", &autoencoder.encoder);
            directed("autoencoder.decoder", &autoencoder.decoder);
        }
        if let Some(classifier) = &self.classifier {
            directed("classifier.layers", &classifier.layers);
        }
        if let Some(Regressor { network, .. }) = &self.regressor {
            directed("regressor.layers", &network.layers);
        }
        let regressor = self.regressor.as_ref().map(|regressor| &regressor.network);
        for (name, network) in [("classifier", self.classifier.as_ref()), ("regressor", regressor)]
        {
            if let Some(Classifier { weights, bias, .. }) = network {
                vars.extend([(format!("{name}.weight"), weights), (format!("{name}.bias"), bias)]);
            }
        }
        vars
    }

    /// Every tensor as it stands in the file.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut tensors = BTreeMap::new();
        for (name, var) in self.vars() {
            let tensor = var.as_detached_tensor();
            let tensor = if tensor.rank() == 2 { tensor.t()?.contiguous()? } else { tensor };
            tensors.insert(name, tensor);
        }
        if let Some(Standardise { mean, deviation, .. }) = &self.standardise {
            tensors.insert(MEAN.into(), mean.clone());
            tensors.insert(DEVIATION.into(), deviation.clone());
        }
        if let Some(values) = &self.missing {
            let mean = Tensor::from_slice(&values.mean, values.mean.len(), &Device::Cpu)?;
            tensors.insert(MISSING.into(), mean);
        }
        Ok(tensors)
    }

    /// How many numbers were learned.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn parameters(&self) -> Result<usize> {
        Ok(self.tensors()?.values().map(Tensor::elem_count).sum())
    }

    /// The first `count` layers alone, without what was fine-tuned on top of all of them; all of them are the model as
    /// it is.
    ///
    /// # Errors
    ///
    /// Unless there are so many, and for fewer than all of a network whose way down has weights of its own.
    pub fn first_layers(mut self, count: usize) -> Result<Self> {
        let layers = self.dbn.depth();
        if !(1..=layers).contains(&count) {
            let expected = format!("from 1 to {layers}");
            return Err(Error::invalid("layers", expected, count.to_string()));
        }
        if count < layers {
            if !self.dbn.generative.is_empty() {
                let expected = "all of them: after up-down the lower layers are no machines";
                return Err(Error::invalid("layers", expected, count.to_string()));
            }
            self.dbn = Dbn::new(self.dbn.into_rbms().into_iter().take(count).collect())?;
            (self.classifier, self.regressor, self.autoencoder) = (None, None, None);
        }
        Ok(self)
    }
}

/// The mean activities of the top layer `(batch, hidden)` of cases `(batch, width)` as a [`Dataset`](crate::Dataset) has them: the
/// last of [`Model::features`].
impl Module for Model {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let prepared = self.checked(x).map_err(candle_core::Error::wrap)?;
        self.dbn.up(&prepared).map_err(candle_core::Error::wrap)
    }
}

/// Gibbs steps from the means of the columns to a drawn value.
const STEPS: usize = 5;
/// Gibbs steps that a conditional mean is over, after those that it forgets.
const DRAWS: usize = 50;

/// What a model knows of values that are missing.
#[derive(Debug, Clone, PartialEq)]
pub struct MissingValues {
    /// What becomes of them: [`Missing::Mean`] or [`Missing::Gibbs`].
    pub how: Missing,
    /// The means of the columns `(width,)` over the known values of the training cases, before they are standardised.
    pub mean: Vec<f32>,
}

impl MissingValues {
    /// How they are drawn, if they are, among values that `standardise` gives.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn imputation(
        &self,
        standardise: Option<&Standardise>,
        device: &Device,
    ) -> Result<Option<Imputation>> {
        if self.how != Missing::Gibbs {
            return Ok(None);
        }
        let mean = Tensor::from_slice(&self.mean, (1, self.mean.len()), device)?;
        let start = match standardise {
            Some(standardise) => standardise.apply(&mean)?,
            None => mean,
        };
        Ok(Some(Imputation::new(&start.squeeze(0)?, STEPS)?))
    }
}

/// `cases` with what is missing at its conditional mean under the machine `bottom`: the same whenever it is asked for.
///
/// # Errors
///
/// As `cases` where rows cannot be read, and for another width.
pub fn complete(cases: &View, imputation: &Imputation, bottom: &Rbm) -> Result<View> {
    if !cases.may_miss() {
        return Ok(cases.clone());
    }
    let mut rng = Rng::new(0);
    let blocks = rows::blocks(cases).map(|block| {
        let block = block?.to_device(bottom.device())?;
        Ok(completed(&block, imputation, bottom, &mut rng)?.to_device(&Device::Cpu)?)
    });
    let blocks: Vec<Tensor> = blocks.collect::<Result<_>>()?;
    cases.with_values(&Tensor::cat(&blocks, 0)?)
}

/// The same for a tensor of cases `(batch, width)` on the machine's device.
///
/// # Errors
///
/// For cases of another width, or on another device.
pub fn completed(
    cases: &Tensor,
    imputation: &Imputation,
    bottom: &Rbm,
    rng: &mut Rng,
) -> Result<Tensor> {
    imputation.mean(bottom, cases, DRAWS, rng)
}
