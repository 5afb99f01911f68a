//! A trained model in numbers, on cases it has not seen.

use rbm_core::monitor::{self, Monitor};
use rbm_core::{Result, Rng, Rows, data, likelihood};
use serde::Serialize;

use crate::arriving::Arriving;
use crate::{Model, Part, Recognition, Standardise};

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
    /// How a network with label units found the classes: `means`, `samples:20`, `gibbs:100`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recognition: Option<Recognition>,
    /// Mean cross-entropy of the classifier, nats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_entropy: Option<f64>,
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
    pub fn of(model: &Model, part: &Part, recognition: Recognition, seed: u64) -> Result<Self> {
        let cases = model.prepare_cases(&part.cases)?;
        let prepared = Part { cases: cases.clone(), ..part.clone() };
        let scores = match &model.classifier {
            Some(classifier) if prepared.labels.is_some() => {
                Some(classifier.errors_and_loss(&prepared)?)
            }
            _ => None,
        };
        let recognised = match model.dbn.classes.and(prepared.labels.as_ref()) {
            Some(_) if scores.is_none() => {
                Some(model.dbn.label_errors(&prepared, recognition, &mut Rng::new(seed))?)
            }
            _ => None,
        };
        let autoencoder = model.autoencoder.as_ref();
        let reconstructed = autoencoder.map(|network| network.errors(&cases)).transpose()?;
        let errors = scores.map(|(errors, _)| errors).or(recognised);
        let mut layers = Vec::with_capacity(model.dbn.rbms.len());
        for (i, rbm) in model.dbn.rbms.iter().enumerate() {
            let labels = part.labels.as_deref();
            let train = Arriving { cases: &cases, labels, dbn: &model.dbn, layer: i };
            let monitor = Monitor { train, held_out: None, rng: Rng::new(seed) };
            layers.push(LayerEvaluation {
                visible: rbm.visible().units().to_string(),
                hidden: rbm.hidden().units().to_string(),
                data_reconstruction_error: reconstruction_error(model, &cases, i + 1)?,
                report: match model.dbn.is_machine(i) {
                    true => Some(monitor.report(rbm)?),
                    false => None,
                },
            });
        }
        let exact = model.dbn.rbms.len() == 1
            && model.dbn.classes.is_none()
            && [model.dbn.top().visible(), model.dbn.top().hidden()]
                .iter()
                .any(|layer| rbm_core::enumerate::count(*layer).is_some());
        let (log_likelihood, log_partition) = if exact {
            let top = model.dbn.top();
            let stretch = model.standardise.as_ref().map_or(Ok(0.0), Standardise::log_volume)?;
            (
                Some(likelihood::log_likelihood(top, &cases)? - stretch),
                Some(likelihood::log_partition(top)?),
            )
        } else {
            (None, None)
        };
        Ok(Self {
            cases: part.len(),
            error_percent: errors.map(|errors| 100.0 * errors as f64 / part.len().max(1) as f64),
            errors,
            recognition: recognised.map(|_| recognition),
            cross_entropy: scores.map(|(_, loss)| loss),
            squared_error: reconstructed.map(|(error, _)| error),
            reconstruction_loss: reconstructed.map(|(_, loss)| loss),
            log_likelihood,
            log_partition,
            layers,
        })
    }
}

/// Mean squared error per value of `cases`, sent up through the first `layers` machines and down again.
fn reconstruction_error(model: &Model, cases: &dyn Rows, layers: usize) -> Result<f64> {
    let mut total = 0.0;
    for block in data::blocks(cases) {
        let block = block?;
        let reconstruction = model.dbn.reconstruct(&block, layers)?.detach();
        total += block.dim(0)? as f64 * monitor::reconstruction_error(&block, &reconstruction)?;
    }
    Ok(total / cases.count().max(1) as f64)
}
