//! Numbers of a model that was measured, each with the data it was measured on: `results.json` in a run's folder.

use std::fmt;
use std::fs;
use std::path::Path;

use candle_dbn_data::Binarise;
use candle_dbn_data::settings::or_default;
use rbm_core::state::write_whole;
use rbm_core::{Error, Result};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::Sha256;

use crate::Evaluation;
use crate::estimate::likelihood::{Likelihood, Verdict};
use crate::network::config::weights_in;
use crate::{digest, json};

/// The file in a run's folder.
pub const RESULTS: &str = "results.json";
const OVER_CASES: &str = "standard error of the mean over cases";

/// Everything that was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// SHA-256 of the `model.safetensors` or `machine.safetensors` that was measured.
    pub model: String,
    /// One for each kind of measurement on each data.
    pub measured: Vec<MeasurementSet>,
}

/// Numbers of one kind on the same data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasurementSet {
    /// What was measured.
    pub kind: MeasurementKind,
    /// On which data.
    #[serde(rename = "on")]
    pub dataset: DataVariant,
    /// The numbers.
    pub numbers: Vec<Measurement>,
    /// What they are worth, where that is in question.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "verdict")]
    pub verdict: Option<Verdict>,
    /// The seed of what was drawn for them.
    pub seed: u64,
}

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataPart {
    /// Cases that nothing was learned from.
    HeldOut,
    /// Those that were learned from.
    Train,
    /// Those that settings were chosen by.
    Validation,
    /// All of them.
    All,
}

impl fmt::Display for DataPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeldOut => "held-out",
            Self::Train => "train",
            Self::Validation => "validation",
            Self::All => "all",
        })
    }
}

/// Exactly which data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataVariant {
    /// What the data are called: no path.
    pub data: String,
    /// Which of them.
    pub part: DataPart,
    /// How many cases.
    pub cases: usize,
    /// What values were divided by; written as 0 where the source decides.
    #[serde(with = "or_default")]
    pub scale: Option<f32>,
    /// How zeros and ones were made of them.
    pub binarise: Binarise,
}

/// A number with its error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// Its name, in the field's words.
    pub name: String,
    /// The number.
    pub value: f64,
    /// One standard error, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<f64>,
    /// Its unit.
    pub unit: Unit,
}

/// What kind of numbers these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MeasurementKind {
    /// An [`Evaluation`].
    Evaluation,
    /// A [`Likelihood`].
    Likelihood,
}

/// The unit of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Of all cases.
    #[serde(rename = "%")]
    Percent,
    /// Natural units of information.
    #[serde(rename = "nats")]
    Nats,
    /// The same, the mean over cases.
    #[serde(rename = "nats a case")]
    NatsPerCase,
    /// Summed over a case's values, the mean over cases.
    #[serde(rename = "a case")]
    PerCase,
    /// Squares of errors, summed likewise.
    #[serde(rename = "squared error a case")]
    SquaredErrorPerCase,
    /// The mean over all values.
    #[serde(rename = "a value")]
    PerValue,
    /// That of the target of a regression.
    #[serde(rename = "of the target")]
    OfTarget,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Percent => "%",
            Self::Nats => "nats",
            Self::NatsPerCase => "nats a case",
            Self::PerCase => "a case",
            Self::SquaredErrorPerCase => "squared error a case",
            Self::PerValue => "a value",
            Self::OfTarget => "of the target",
        })
    }
}

/// What stands for a verdict; in files of earlier versions that is the sentence that is shown.
#[derive(Deserialize)]
#[serde(untagged, expecting = "no verdict")]
enum WrittenVerdict {
    Verdict(Verdict),
    Sentence(String),
}

fn verdict<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Verdict>, D::Error> {
    Ok(match Option::<WrittenVerdict>::deserialize(deserializer)? {
        None => None,
        Some(WrittenVerdict::Verdict(verdict)) => Some(verdict),
        Some(WrittenVerdict::Sentence(sentence)) => {
            Some(of_sentence(&sentence).ok_or_else(|| {
                let expected = "exact, agree, DISAGREE, UNMIXED or ONE-SIDED with its numbers";
                D::Error::custom(format!("verdict: expected {expected}, found {sentence:?}"))
            })?)
        }
    })
}

fn of_sentence(sentence: &str) -> Option<Verdict> {
    let between = |start: &str, end: &str| sentence.strip_prefix(start)?.strip_suffix(end);
    if sentence == "exact" {
        return Some(Verdict::Exact);
    }
    if sentence.starts_with("ONE-SIDED: ") {
        return Some(Verdict::OneSided);
    }
    if let Some(within) = between("agree within ", " nats") {
        return Some(Verdict::Agree { within: within.parse().ok()? });
    }
    if let Some(sides) = between("DISAGREE: forward ", ": do not quote") {
        let (forward, reverse) = sides.split_once(", reverse ")?;
        let (forward, reverse) = (forward.parse().ok()?, reverse.parse().ok()?);
        return Some(Verdict::Disagree { forward, reverse });
    }
    let (arrivals, _) = sentence.strip_prefix("UNMIXED: ")?.split_once(" replicas came up")?;
    Some(Verdict::Unmixed { arrivals: arrivals.parse().ok()? })
}

impl Measurement {
    fn new(name: &str, value: f64, error: Option<f64>, unit: Unit) -> Self {
        Self { name: name.into(), value, error, unit }
    }
}

impl Results {
    /// What was measured of the model in the folder `dir`: nothing where there is no such file, or where it is about another
    /// model that lay there before.
    ///
    /// # Errors
    ///
    /// Where the weights or `results.json` cannot be read, and where the latter holds no measured numbers.
    pub fn read(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let path = dir.join(RESULTS);
        let weights = weights_in(dir);
        let model = digest::of_file::<Sha256>(&weights, "").map_err(|e| Error::io(&weights, e))?;
        let none = Self { model: model.clone(), measured: Vec::new() };
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(none),
            text => text.map_err(|e| Error::io(&path, e))?,
        };
        let found: Self = serde_json::from_str(&text).map_err(|e| {
            let place = format!("line {}, column {}", e.line(), e.column());
            Error::file(
                &path,
                place,
                "measured numbers",
                format!("{e} (delete the file, and evaluate again)"),
            )
        })?;
        Ok(if found.model == model { found } else { none })
    }

    /// As the file holds it.
    ///
    /// # Errors
    ///
    /// For numbers that JSON cannot hold.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        json::bytes(self, RESULTS)
    }

    /// Adds `measured` to what the folder `dir` has, in place of what was measured in the same way on the same data.
    ///
    /// # Errors
    ///
    /// As [`Results::read`], and where the file cannot be written.
    pub fn record(dir: impl AsRef<Path>, measured: MeasurementSet) -> Result<()> {
        let dir = dir.as_ref();
        let mut results = Self::read(dir)?;
        results.measured.retain(|old| old.kind != measured.kind || old.dataset != measured.dataset);
        results.measured.push(measured);
        write_whole(&dir.join(RESULTS), &results.to_json()?)
    }
}

impl MeasurementSet {
    /// What an evaluation says. An error rate has the binomial distribution's error.
    pub fn of_evaluation(evaluation: &Evaluation, dataset: DataVariant, seed: u64) -> Self {
        let cases = evaluation.cases.max(1) as f64;
        let mut numbers = Vec::new();
        let mut add = |name, value: Option<f64>, error, unit| {
            numbers.extend(value.map(|value| Measurement::new(name, value, error, unit)));
        };
        let share = evaluation.error_percent.map(|percent| percent / 100.0);
        let error = share.map(|share| 100.0 * (share * (1.0 - share) / cases).sqrt());
        add("error rate", evaluation.error_percent, error, Unit::Percent);
        add("root mean squared error", evaluation.rmse, None, Unit::OfTarget);
        let of_mean = evaluation.rmse_of_mean;
        add("root mean squared error of the mean", of_mean, None, Unit::OfTarget);
        add("cross-entropy", evaluation.cross_entropy, None, Unit::NatsPerCase);
        add("squared error of the reconstruction", evaluation.squared_error, None, Unit::PerCase);
        add("log-likelihood, exact", evaluation.log_likelihood, None, Unit::NatsPerCase);
        if evaluation.layers.len() == 1 || evaluation.error_percent.is_none() {
            let error = evaluation.layers.last().map(|layer| layer.data_reconstruction_error);
            add("mean squared reconstruction error", error, None, Unit::PerValue);
        }
        Self { kind: MeasurementKind::Evaluation, dataset, numbers, verdict: None, seed }
    }

    /// What the importance weights of `samples` guesses a case say of log p(v): the mean over cases and its standard error.
    pub fn of_importance_weights(
        (mean, error): (f64, f64),
        samples: usize,
        dataset: DataVariant,
        seed: u64,
    ) -> Self {
        let name = format!("lower bound on log p(v), {samples} importance-weighted samples");
        let numbers = vec![
            Measurement::new(&name, mean, None, Unit::NatsPerCase),
            Measurement::new(OVER_CASES, error, None, Unit::Nats),
        ];
        Self { kind: MeasurementKind::Likelihood, dataset, numbers, verdict: None, seed }
    }

    /// What an estimation of the likelihood says. Its errors are those of log Z; the last number is how far cases differ.
    pub fn of_likelihood(found: &Likelihood, dataset: DataVariant, seed: u64) -> Self {
        let what = if found.bound.is_some() { "lower bound on log p(v)" } else { "log p(v)" };
        let sides = [
            ("exact log Z", found.exact),
            ("forward annealing", found.forward),
            ("bridge", found.bridge),
            ("reverse annealing", found.reverse),
        ];
        let mut numbers: Vec<Measurement> = sides
            .into_iter()
            .filter_map(|(side, value)| {
                let value = value?;
                let error = Some(value.log_partition.error).filter(|error| *error > 0.0);
                let name = format!("{what}, {side}");
                Some(Measurement::new(&name, value.log_likelihood, error, Unit::NatsPerCase))
            })
            .collect();
        numbers.push(Measurement::new(OVER_CASES, found.error_over_cases, None, Unit::Nats));
        let verdict = Some(found.verdict);
        Self { kind: MeasurementKind::Likelihood, dataset, numbers, verdict, seed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written is read back, and so is the sentence that earlier versions wrote.
    #[test]
    fn verdicts_are_read_back() -> serde_json::Result<()> {
        #[derive(Serialize, Deserialize)]
        struct Holds(#[serde(deserialize_with = "verdict")] Option<Verdict>);
        for verdict in [
            Verdict::Exact,
            Verdict::Agree { within: 0.125 },
            Verdict::Disagree { forward: -85.5, reverse: -90.0 },
            Verdict::Unmixed { arrivals: 3 },
            Verdict::OneSided,
        ] {
            let Holds(read) = serde_json::from_str(&serde_json::to_string(&Holds(Some(verdict)))?)?;
            assert_eq!(read, Some(verdict));
            let sentence = serde_json::to_string(&verdict.to_string())?;
            let Holds(read) = serde_json::from_str(&sentence)?;
            assert_eq!(read.map(|read| read.to_string()), Some(verdict.to_string()));
        }
        assert!(serde_json::from_str::<Holds>("\"agreed\"").is_err());
        Ok(())
    }
}
