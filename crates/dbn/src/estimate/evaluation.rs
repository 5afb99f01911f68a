//! A trained model in numbers, on cases it has not seen.

use rbm_core::estimate::monitor::{self, Monitor};
use rbm_core::ops::device::to_host;
use rbm_core::{Result, Rng, Rows, estimate, rows};
use serde::Serialize;

use crate::learning::Propagated;
use crate::network::dbn::has_own_draws;
use crate::{Examples, Inference, Model, Standardise};

/// What `evaluate` reports. What does not apply is left out.
#[derive(Debug, Clone, Serialize)]
pub struct Evaluation {
    /// How many cases were looked at.
    pub cases: usize,
    /// Cases put into the wrong class, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_percent: Option<f64>,
    /// Cases put into the wrong class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<usize>,
    /// Each class, where there are classes, in the order of their numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassEvaluation>,
    /// How many cases of each class, a row each, were put into which, a column each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub confusion: Vec<Vec<usize>>,
    /// How a network with label units found the classes: `means`, `samples:20`, `gibbs:100`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recognition: Option<Inference>,
    /// Mean cross-entropy of the classifier, nats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_entropy: Option<f64>,
    /// Root of the mean squared error of the regressor's predictions, in the units of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rmse: Option<f64>,
    /// The same of the training cases' mean in place of every prediction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rmse_of_mean: Option<f64>,
    /// Squared error of the autoencoder's reconstruction, summed over the values of a case (standardised, if the model
    /// standardises): the mean over the cases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub squared_error: Option<f64>,
    /// Mean −log p(v | its code) of the autoencoder, nats: for binary units the cross-entropy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconstruction_loss: Option<f64>,
    /// Exact mean log p(v) of the data's own values in nats, for a single machine with a side of at most 25 binary units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_likelihood: Option<f64>,
    /// Exact log Z in nats, where the likelihood is exact (of the standardised values, if the model standardises).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_partition: Option<f64>,
    /// Each layer from the bottom up.
    pub layers: Vec<LayerEvaluation>,
}

/// How well one class is found.
#[derive(Debug, Clone, Serialize)]
pub struct ClassEvaluation {
    /// What it is called.
    pub name: String,
    /// How many of the cases are of this class.
    pub cases: usize,
    /// The share of the cases put into this class that are of it; none where no case was put there.
    pub precision: Option<f64>,
    /// The share of the cases of this class that were put there; none where there is no case of it.
    pub recall: Option<f64>,
}

/// One machine of the stack, on what the layers below make of the cases.
#[derive(Debug, Clone, Serialize)]
pub struct LayerEvaluation {
    /// Its visible units.
    pub visible: String,
    /// Its hidden units.
    pub hidden: String,
    /// Mean squared error per value of the data (standardised, if the model standardises), sent up to this layer and down
    /// again.
    pub data_reconstruction_error: f64,
    /// The machine on its own; none for a layer whose recognition and generation have weights of their own.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub report: Option<monitor::Report>,
}

impl Evaluation {
    /// Looks at `model` through `part`, whose values are as the data source gives them. `recognition` is how label units find
    /// classes; `seed` chooses the units of the stochastic pseudo-likelihood, and what recognition draws.
    ///
    /// ```
    /// use candle_dbn::{Dbn, Evaluation, Inference, Model};
    /// use rbm_core::{Rbm, Units};
    ///
    /// let data = candle_dbn::data::load("bars-and-stripes:3", &Default::default())?.train;
    /// let (visible, hidden) = (Units::bernoulli(9), Units::bernoulli(4));
    /// let rbm = Rbm::new(&visible, &hidden, candle_core::DType::F32, &candle_core::Device::Cpu)?;
    /// let model = Model::from(Dbn::new(vec![rbm])?);
    /// let found = Evaluation::of(&model, &data, Inference::Means, 0)?;
    /// // Every configuration is as probable as any other: log p = −9 log 2.
    /// let log_likelihood = found.log_likelihood.unwrap_or_default();
    /// assert!((log_likelihood + 9.0 * 2f64.ln()).abs() < 1e-4);
    /// # Ok::<(), candle_dbn::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// For cases of another width, labels that the model has not, and rows that cannot be read.
    pub fn of(model: &Model, part: &Examples, recognition: Inference, seed: u64) -> Result<Self> {
        let cases = model.prepare_cases(&part.cases)?;
        let prepared = Examples { cases: cases.clone(), ..part.clone() };
        let scores = match &model.classifier {
            Some(classifier) if prepared.labels.is_some() => {
                Some(classifier.errors_and_loss(&prepared)?)
            }
            _ => None,
        };
        let found = match (&prepared.labels, &model.classifier, model.dbn.classes()) {
            (Some(labels), Some(classifier), _) => Some((labels, classifier.predict(&cases)?)),
            (Some(labels), None, Some(_)) => {
                model.dbn.check_labels(labels)?;
                Some((labels, model.dbn.recognise(&cases, recognition, &mut Rng::new(seed))?))
            }
            _ => None,
        };
        let confusion = match (&found, model.classes()) {
            (Some((labels, found)), Some(classes)) => confusion(labels, found, classes),
            _ => Vec::new(),
        };
        let predicted = match (&model.regressor, &prepared.targets) {
            (Some(regressor), Some(_)) => Some(regressor.errors(&prepared)?),
            _ => None,
        };
        let autoencoder = model.autoencoder.as_ref();
        let reconstructed = autoencoder.map(|network| network.errors(&cases)).transpose()?;
        let errors = found
            .as_ref()
            .map(|(labels, found)| found.iter().zip(*labels).filter(|(a, b)| a != b).count());
        let is_recognised = found.is_some() && model.classifier.is_none();
        let mut layers = Vec::with_capacity(model.dbn.depth());
        // Where not all cases count as much, a layer is looked at through as many draws of them.
        let drawn = match &prepared.weights {
            Some(_) => prepared.select(&prepared.representative(prepared.len()))?,
            None => prepared.clone(),
        };
        for (i, rbm) in model.dbn.rbms().enumerate() {
            let (cases, labels) = (&drawn.cases, drawn.labels.as_deref());
            let train = Propagated { cases, labels, dbn: &model.dbn, layer: i };
            let monitor = Monitor { train, held_out: None, rng: Rng::new(seed) };
            layers.push(LayerEvaluation {
                visible: rbm.visible().units().to_string(),
                hidden: rbm.hidden().units().to_string(),
                data_reconstruction_error: reconstruction_error(model, cases, i + 1)?,
                report: match model.dbn.is_machine(i) {
                    true => Some(monitor.report(rbm)?),
                    false => None,
                },
            });
        }
        // Of a case that is not known as a whole there is no probability.
        let exact = !part.cases.may_miss()
            && model.dbn.depth() == 1
            && model.dbn.classes().is_none()
            && !has_own_draws(&model.dbn.visible_units())
            && [model.dbn.top().visible(), model.dbn.top().hidden()]
                .iter()
                .any(|layer| rbm_core::units::enumerate::count(*layer).is_some());
        let (log_likelihood, log_partition) = if exact {
            let top = model.dbn.top();
            let log_jacobian =
                model.standardise.as_ref().map_or(Ok(0.0), Standardise::log_volume)?;
            let log_partition = estimate::log_partition(top)?;
            let log_likelihood = match &prepared.weights {
                None => estimate::log_likelihood(top, &cases)?,
                Some(weights) => -mean_free_energy(model, &cases, weights)? - log_partition,
            };
            (Some(log_likelihood - log_jacobian), Some(log_partition))
        } else {
            (None, None)
        };
        Ok(Self {
            cases: part.len(),
            error_percent: errors.map(|errors| 100.0 * errors as f64 / part.len().max(1) as f64),
            errors,
            classes: classes(model, &confusion),
            confusion,
            recognition: is_recognised.then_some(recognition),
            cross_entropy: scores.map(|(_, loss)| loss),
            rmse: predicted.map(|(error, _)| error),
            rmse_of_mean: predicted.map(|(_, error)| error),
            squared_error: reconstructed.map(|(error, _)| error),
            reconstruction_loss: reconstructed.map(|(_, loss)| loss),
            log_likelihood,
            log_partition,
            layers,
        })
    }
}

/// How many cases with each of `labels` were put into which class.
fn confusion(labels: &[u32], found: &[u32], classes: usize) -> Vec<Vec<usize>> {
    let mut confusion = vec![vec![0; classes]; classes];
    for (&label, &found) in labels.iter().zip(found) {
        let row = confusion.get_mut(label as usize);
        if let Some(count) = row.and_then(|row| row.get_mut(found as usize)) {
            *count += 1;
        }
    }
    confusion
}

fn classes(model: &Model, confusion: &[Vec<usize>]) -> Vec<ClassEvaluation> {
    let share = |part: usize, of: usize| (of > 0).then(|| part as f64 / of as f64);
    let class = |(class, row): (usize, &Vec<usize>)| {
        let cases = row.iter().sum();
        let found = confusion.iter().map(|row| row[class]).sum();
        ClassEvaluation {
            name: model.class_name(class),
            cases,
            precision: share(row[class], found),
            recall: share(row[class], cases),
        }
    };
    confusion.iter().enumerate().map(class).collect()
}

/// The mean free energy of cases, each counting as much as its weight says, in nats.
fn mean_free_energy(model: &Model, cases: &dyn Rows, weights: &[f32]) -> Result<f64> {
    let (mut sum, mut total) = (0.0, 0.0);
    let mut weights = weights.iter();
    for block in rows::blocks(cases) {
        let energies = to_host(&model.dbn.free_energy(&block?)?)?.to_vec1::<f64>()?;
        for (energy, &weight) in energies.into_iter().zip(weights.by_ref()) {
            sum += f64::from(weight) * energy;
            total += f64::from(weight);
        }
    }
    Ok(sum / total)
}

/// Mean squared error per value of `cases`, sent up through the first `layers` machines and down again.
fn reconstruction_error(model: &Model, cases: &dyn Rows, layers: usize) -> Result<f64> {
    let mut total = 0.0;
    for block in rows::blocks(cases) {
        let block = block?;
        let reconstruction = model.dbn.reconstruct(&block, layers)?.detach();
        total += block.dim(0)? as f64 * monitor::reconstruction_error(&block, &reconstruction)?;
    }
    Ok(total / cases.count().max(1) as f64)
}
