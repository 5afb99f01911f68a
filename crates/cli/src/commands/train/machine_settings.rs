//! The keys of `--set` of `dbn train --model bm`: what is usual for a machine, and what the user changes of it.

use anyhow::{Result, anyhow};
use candle_boltzmann::learning::{Learning, Negative};
use candle_dbn::recipe::{ALL, MEAN_FIELD_STEPS, MachineRecipe};
use rbm_core::PositivePhase;
use rbm_core::learning::positive::Start;
use rbm_core::learning::schedule::Curve;

use crate::machine_data;
use crate::output::Usage;

/// The usual learning rate of a deep machine, by the centred gradient.
const DEEP_RATE: f64 = 0.2;
/// The keys of `--set`.
const KEYS: &str = "method, posterior, centre, pretraining_epochs, pretraining_rate, pretraining_centre, epochs, batch_size, sweeps, chains, learning_rate, final_learning_rate, learning_curve, momentum, l2, target_pearson, data.pass, labels and classifier.KEY";

/// The usual settings, and what the user changes of them.
pub fn settings_of(
    settings: &[String],
    recipe: &MachineRecipe,
    hidden_layers: usize,
) -> Result<Learning> {
    let (seed, pass) = (recipe.seed, recipe.data.0.pass);
    let mut learning = Learning {
        negative: match hidden_layers {
            0 => Negative::PseudoLikelihood,
            _ => Negative::Persistent,
        },
        centre: hidden_layers > 1,
        learning_rate: if hidden_layers > 1 {
            DEEP_RATE
        } else {
            Learning::default().learning_rate
        },
        pass,
        seed,
        ..Learning::default()
    };
    // A target changes what is usual.
    let target = settings.iter().rev().find_map(|setting| setting.strip_prefix("target_pearson="));
    if let Some(target) = target.and_then(|target| target.parse().ok()) {
        learning = Learning { pass, seed, ..Learning::to_target(target) };
    }
    let mut mean_field = (hidden_layers > 1).then_some(MEAN_FIELD_STEPS);
    for setting in settings {
        let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
        let wrong = |expected: &str| Usage::of(anyhow!("--set {setting}: expected {expected}"));
        let count = || value.parse::<usize>().map_err(|_| wrong("a whole number"));
        let number = || value.parse::<f64>().map_err(|_| wrong("a number"));
        let is_so = || value.parse().map_err(|_| wrong("true or false"));
        match key {
            "method" => {
                learning.negative = match value {
                    "cd" => Negative::Contrastive,
                    "pcd" => Negative::Persistent,
                    "pt" => Negative::Tempered,
                    "ptt" => Negative::Trajectory,
                    "exact" => Negative::Exact,
                    "pseudo-likelihood" => Negative::PseudoLikelihood,
                    _ => return Err(wrong("cd, pcd, pt, ptt, exact or pseudo-likelihood")),
                }
            }
            "posterior" => {
                let steps = value.strip_prefix("mean-field:").map(str::parse::<usize>);
                mean_field = match (value, steps) {
                    ("mean-field", _) => Some(MEAN_FIELD_STEPS),
                    ("sampled", _) => None,
                    (_, Some(Ok(steps))) if steps > 0 => Some(steps),
                    _ => return Err(wrong("mean-field, mean-field:STEPS or sampled")),
                }
            }
            "data.pass" => {
                learning.pass = machine_data::pass(value).ok_or_else(|| wrong("mean or sample"))?
            }
            "centre" => learning.centre = is_so()?,
            "pretraining_centre" => learning.pretraining_centre = is_so()?,
            "pretraining_epochs" => learning.pretraining_epochs = count()?,
            "pretraining_rate" => learning.pretraining_rate = number()?,
            "epochs" => learning.epochs = count()?,
            "batch_size" if value == ALL => learning.batch_size = 0,
            "batch_size" => {
                learning.batch_size = count()
                    .ok()
                    .filter(|size| *size > 0)
                    .ok_or_else(|| wrong("a whole number from 1, or all"))?
            }
            "final_learning_rate" => learning.final_learning_rate = Some(number()?),
            "learning_curve" => {
                learning.learning_curve = match value {
                    "exponential" => Curve::Exponential,
                    "linear" => Curve::Linear,
                    _ => return Err(wrong("exponential or linear")),
                }
            }
            "target_pearson" => learning.target_pearson = Some(number()?),
            "sweeps" => learning.sweeps = count()?,
            "chains" => learning.chains = count()?,
            "learning_rate" => learning.learning_rate = number()?,
            "momentum" => learning.momentum = number()?,
            "l2" => learning.l2 = number()?,
            _ => return Err(wrong(&format!("one of the keys {KEYS} of a Boltzmann machine"))),
        }
    }
    learning.posterior = match mean_field {
        Some(steps) => {
            let start = match learning.pretraining_epochs {
                0 => Start::Biases,
                _ => Start::UpPass,
            };
            PositivePhase::MeanField { steps, tolerance: 1e-4, start }
        }
        None => PositivePhase::Sampled { sweeps: learning.sweeps },
    };
    Ok(learning)
}
