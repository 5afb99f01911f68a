//! log p(v) of a model: exactly, or from both sides with a verdict on whether they agree; and log Z that stays with a model.

use std::fmt;
use std::path::Path;

use candle_core::Tensor;
use candle_dbn_data::View;
use rbm_core::estimate::{self, AisEstimates, AisOptions, Estimate, pseudo_likelihood_stride};
use rbm_core::ops::device::to_host;
use rbm_core::sampling::AnnealingPath;
use rbm_core::state::write_whole;
use rbm_core::stats::weighted_mean_and_error;
use rbm_core::units::enumerate;
use rbm_core::{Error, Result, Rng, Rows, rows};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::estimate::bound::Bound;
use crate::learning::Propagated;
use crate::network::config::weights_in;
use crate::{Examples, Model, Standardise, digest, json};

/// The largest gap between the two sides, in nats, at which they count as agreeing.
pub const TOLERANCE: f64 = 1.0;
/// The stream of random numbers of a bound's up-passes.
const BOUND: u64 = 0xB0;

/// What a model's log-likelihood was found to be, or for a stack its lower bound. All numbers are in nats, of the data's own
/// values.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_dbn::estimate::likelihood::{Likelihood, Sampling};
/// use candle_dbn::{Dbn, Model, Examples};
/// use rbm_core::{Rbm, Units};
///
/// let data = candle_dbn::data::load("bars-and-stripes:3", &Default::default())?.train;
/// let rbm = Rbm::new(&Units::bernoulli(9), &Units::bernoulli(4), DType::F32, &Device::Cpu)?;
/// let model = Model::from(Dbn::new(vec![rbm])?);
/// let prepared = Examples { cases: model.prepare_cases(&data.cases)?, ..data };
/// // By enumeration, where one side is small; else by rbm_core::estimate::BidirectionalAis and Likelihood::from_sides.
/// let found = Likelihood::exact(&model, &prepared, Sampling::default())?.and_then(|found| found.exact);
/// assert!((found.expect("4 hidden units").log_likelihood + 9.0 * 2f64.ln()).abs() < 1e-6);
/// # Ok::<(), candle_dbn::Error>(())
/// ```
#[derive(Debug, Clone, Serialize)]
pub struct Likelihood {
    /// How many cases were averaged over.
    pub cases: usize,
    /// The standard deviation of log p(v) from case to case, over the root of their number: how much the mean would differ
    /// with as many other cases.
    pub error_over_cases: f64,
    /// Where all means of log p(v) are of a bound: what that rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<BoundBasis>,
    /// log Z and mean log p(v), by enumeration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<Value>,
    /// By annealing forwards: log p(v) too high, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<Value>,
    /// By Bennett's ratio over the ladder of the tempering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<Value>,
    /// By annealing backwards from equilibrium samples: log p(v) too low, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverse: Option<Value>,
    /// The tempering's ladder, and the acceptance over each of its gaps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tempering: Option<TemperingQuality>,
    /// What the numbers are worth.
    pub verdict: Verdict,
}

/// One estimate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Value {
    /// The mean of log p(v) over the cases.
    pub log_likelihood: f64,
    /// log Z (of the standardised values, if the model standardises), and what it rests on. An exact value has error zero.
    pub log_partition: Estimate,
}

impl Value {
    /// The same cases with another log Z.
    pub fn with(self, log_partition: Estimate) -> Self {
        let change = log_partition.value - self.log_partition.value;
        Self { log_likelihood: self.log_likelihood - change, log_partition }
    }
}

/// What a lower bound on log p(v) rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum BoundBasis {
    /// Of a stack, on sampled up-passes.
    Passes(Passes),
    /// Of a machine whose hidden units are coupled with each other, on mean field.
    MeanField {
        /// The most sweeps that a case has taken.
        mean_field_sweeps: usize,
        /// Cases whose means had not settled by then.
        unsettled: usize,
    },
}

/// The sampled up-passes behind a bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Passes {
    /// How many there were of each case.
    pub count: usize,
    /// By how much the importance-weighted estimate of all of a case's passes is higher than the bound, on average: log p(v) is
    /// higher than the bound by at least that.
    pub gain: f64,
    /// The standard error of the bound from its sampling; a single pass does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<f64>,
}

/// How well the tempering mixed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TemperingQuality {
    /// Inverse temperatures.
    pub ladder: Vec<f64>,
    /// How probable swaps were over each gap.
    pub acceptance: Vec<f64>,
    /// How many replicas came from β = 0 to β = 1 while samples were taken.
    pub arrivals: usize,
    /// In how many sweeps of all replicas.
    pub sweeps: usize,
}

/// Mean and spread of the free energy of cases; of a stack, of what stands for it in the bound.
#[derive(Debug, Clone, Copy)]
struct FreeEnergy {
    mean: f64,
    error: f64,
    bound: Option<BoundBasis>,
}

impl Likelihood {
    /// With log Z by enumeration, of the cases `prepared` by the model. `None` where neither side of the top machine can be
    /// enumerated.
    ///
    /// # Errors
    ///
    /// Where the top machine is no distribution, and for cases that are no configurations.
    pub fn exact(model: &Model, prepared: &Examples, passes: Sampling) -> Result<Option<Self>> {
        let Some(estimate) = exact_log_partition(model)? else { return Ok(None) };
        let free_energy = free_energy(model, prepared, passes)?;
        let mut found = Self::of(free_energy, prepared.len(), Verdict::Exact);
        found.exact = Some(free_energy.value(estimate, log_jacobian(model)?));
        Ok(Some(found))
    }

    /// From what was `found` of log Z, for the cases `prepared` by the model. BidirectionalAis that are at most `tolerance` nats apart
    /// agree.
    ///
    /// # Errors
    ///
    /// For cases that are no configurations of the visible units.
    pub fn from_sides(
        model: &Model,
        prepared: &Examples,
        passes: Sampling,
        found: &AisEstimates,
        tolerance: f64,
    ) -> Result<Self> {
        let free_energy = free_energy(model, prepared, passes)?;
        let log_jacobian = log_jacobian(model)?;
        Ok(Self::with_sides(free_energy, prepared.len(), found, log_jacobian, tolerance))
    }

    /// Of any machine, by the free energies of cases, nats, as they count, and by what is known of log Z: `exact`, or what was `found` from
    /// one side or both. Where free energies are upper bounds, log p(v) has the lower `bound`.
    pub fn of_free_energies(
        free_energies: &[f64],
        weights: Option<&[f32]>,
        bound: Option<BoundBasis>,
        exact: Option<Estimate>,
        found: &AisEstimates,
        tolerance: f64,
    ) -> Self {
        let (mean, error) = weighted_mean_and_error(free_energies, weights);
        let free_energy = FreeEnergy { mean, error, bound };
        let sides = Self::with_sides(free_energy, free_energies.len(), found, 0.0, tolerance);
        let exact = exact.map(|log_partition| free_energy.value(log_partition, 0.0));
        let is_estimated = found.forward.is_some();
        let verdict = if is_estimated || exact.is_none() { sides.verdict } else { Verdict::Exact };
        Self { exact, verdict, ..sides }
    }

    fn with_sides(
        free_energy: FreeEnergy,
        cases: usize,
        found: &AisEstimates,
        log_jacobian: f64,
        tolerance: f64,
    ) -> Self {
        let [forward, bridge, reverse] = [found.forward, found.bridge, found.reverse]
            .map(|estimate| estimate.map(|estimate| free_energy.value(estimate, log_jacobian)));
        let of = |value: Option<Value>| value.map(|value| value.log_likelihood);
        let verdict = Verdict::of(of(forward), of(reverse), found, tolerance);
        let tempering = (!found.ladder.is_empty()).then(|| TemperingQuality {
            ladder: found.ladder.clone(),
            acceptance: found.acceptance.clone(),
            arrivals: found.arrivals,
            sweeps: found.sweeps,
        });
        let none = Self::of(free_energy, cases, verdict);
        Self { forward, bridge, reverse, tempering, ..none }
    }

    fn of(free_energy: FreeEnergy, cases: usize, verdict: Verdict) -> Self {
        Self {
            cases,
            error_over_cases: free_energy.error,
            bound: free_energy.bound,
            exact: None,
            forward: None,
            bridge: None,
            reverse: None,
            tempering: None,
            verdict,
        }
    }
}

impl FreeEnergy {
    fn value(self, log_partition: Estimate, log_jacobian: f64) -> Value {
        let log_likelihood = -self.mean - log_partition.value - log_jacobian;
        Value { log_likelihood, log_partition }
    }
}

/// log Z of the top machine by enumeration; `None` where neither of its sides can be enumerated.
///
/// # Errors
///
/// Where the top machine is no distribution.
pub fn exact_log_partition(model: &Model) -> Result<Option<Estimate>> {
    let rbm = model.dbn.top();
    if [rbm.visible(), rbm.hidden()].iter().all(|layer| enumerate::count(*layer).is_none()) {
        return Ok(None);
    }
    let value = estimate::log_partition(rbm)?;
    Ok(Some(Estimate { value, error: 0.0, effective_samples: 1.0, samples: 1 }))
}

/// Checks that every case is a configuration of the machine's visible units: of a grey value no probability is known.
///
/// # Errors
///
/// [`Error::Invalid`] for the first value that is none.
pub fn check_configurations(model: &Model, prepared: &View) -> Result<()> {
    let units = model.dbn.visible_units();
    let mut row = 0;
    for block in rows::blocks(prepared) {
        let block = block?;
        let differs =
            to_host(&(units.nearest(&block)? - &block)?.abs()?.max(1)?)?.to_vec1::<f64>()?;
        if let Some(at) = differs.iter().position(|distance| *distance > 1e-6 || distance.is_nan())
        {
            let found = format!("other values in case {}", row + at + 1);
            let expected = format!(
                "configurations of {} units (--binarise threshold:0.5 or sample:0 makes zeros and ones)",
                units.kind()
            );
            return Err(Error::invalid("the log-likelihood", expected, found));
        }
        row += differs.len();
    }
    Ok(())
}

/// How the bound of a stack is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// Up-passes of each case.
    pub passes: usize,
    /// Where they come from.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { passes: 10, seed: 0 }
    }
}

/// The path of the top machine from independent units with the averages of the cases `prepared` by the model and sent up.
///
/// # Errors
///
/// As `cases` where rows cannot be read, and for another width.
pub fn path(model: &Model, prepared: &View) -> Result<AnnealingPath> {
    let dbn = &model.dbn;
    let layer = dbn.depth() - 1;
    AnnealingPath::from_cases(dbn.top(), &Propagated { cases: prepared, labels: None, dbn, layer })
}

/// What a model says of each case, in nats.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// F(v), of the values that the network sees: −log p(v) but for log Z. Of a stack the variational free energy: minus the mean of
    /// the log-weights of sampled up-passes.
    pub free_energy: Vec<f64>,
    /// Σᵢ log p(vᵢ | the other v); of single machines of discrete units.
    pub pseudo_likelihood: Option<Vec<f64>>,
}

impl Scores {
    /// Of the cases `prepared` `(batch, width)` by the model; of a stack by `sampling`.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn of(model: &Model, prepared: &Tensor, sampling: Sampling) -> Result<Self> {
        let rbm = model.dbn.top();
        if model.dbn.depth() > 1 {
            let mut rng = Rng::new(sampling.seed).split(BOUND);
            let found = Bound::of(&model.dbn, prepared, sampling.passes, &mut rng)?;
            let free_energy = found.mean.into_iter().map(|weight| -weight).collect();
            return Ok(Self { free_energy, pseudo_likelihood: None });
        }
        let Self { free_energy, .. } = Self::free_energies(model, prepared)?;
        let is_alone = model.dbn.classes().is_none() && rbm.visible().discrete().is_some();
        let is_short = is_alone && pseudo_likelihood_stride(rbm, prepared.dim(0)?) == 1;
        let pseudo_likelihood = match is_short {
            true => Some(estimate::pseudo_likelihoods(rbm, prepared)?),
            false => None,
        };
        Ok(Self { free_energy, pseudo_likelihood })
    }

    /// Nothing but the free energies of the cases `prepared` `(batch, width)` by the model, a single machine: much quicker.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn free_energies(model: &Model, prepared: &Tensor) -> Result<Self> {
        let free_energy = to_host(&model.dbn.free_energy(prepared)?)?.to_vec1::<f64>()?;
        Ok(Self { free_energy, pseudo_likelihood: None })
    }

    /// log p of each case, of the data's own values, where log Z of the top machine is this; of a stack a lower bound on it.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn log_likelihood(&self, model: &Model, log_partition: &Estimate) -> Result<Vec<f64>> {
        let constant = log_partition.value + log_jacobian(model)?;
        Ok(self.free_energy.iter().map(|free_energy| -free_energy - constant).collect())
    }
}

/// How much log p of a case falls by undoing the standardisation, in nats.
fn log_jacobian(model: &Model) -> Result<f64> {
    model.standardise.as_ref().map_or(Ok(0.0), Standardise::log_volume)
}

/// The free energies of the cases, a block at a time, averaged in `f64` as they count; of a stack, what stands for them in its bound.
fn free_energy(model: &Model, part: &Examples, sampling: Sampling) -> Result<FreeEnergy> {
    let (cases, weights) = (&part.cases, part.weights.as_deref());
    if cases.count() == 0 {
        return Err(Error::invalid("a likelihood", "at least one case", "none"));
    }
    if model.dbn.depth() > 1 {
        let mut rng = Rng::new(sampling.seed).split(BOUND);
        let found = Bound::of(&model.dbn, cases, sampling.passes, &mut rng)?;
        let gains = found.weighted.iter().zip(&found.mean).map(|(weighted, mean)| weighted - mean);
        let (gain, _) = weighted_mean_and_error(&gains.collect::<Vec<_>>(), weights);
        let passes = Passes { count: sampling.passes, gain, error: found.error };
        let (mean, error) = weighted_mean_and_error(&found.mean, weights);
        let bound = Some(BoundBasis::Passes(passes));
        return Ok(FreeEnergy { mean: -mean, error, bound });
    }
    let mut all = Vec::with_capacity(cases.count());
    for block in rows::blocks(cases) {
        all.extend(to_host(&model.dbn.free_energy(&block?)?)?.to_vec1::<f64>()?);
    }
    let (mean, error) = weighted_mean_and_error(&all, weights);
    Ok(FreeEnergy { mean, error, bound: None })
}

/// What the numbers are worth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Verdict {
    /// By enumeration: nothing was estimated.
    Exact,
    /// Both sides agree.
    Agree {
        /// How far they are apart, in nats.
        within: f64,
    },
    /// The two sides disagree: neither is to be quoted.
    Disagree {
        /// Mean log p(v), or log Z, by annealing forwards.
        forward: f64,
        /// The same by annealing backwards.
        reverse: f64,
    },
    /// Fewer replicas came up from β = 0 than samples were wanted: what the reverse side starts from is not known to be in
    /// equilibrium, and is not to be quoted.
    Unmixed {
        /// How many came up.
        arrivals: usize,
    },
    /// Only one side was looked at: not to be quoted.
    OneSided,
}

impl Verdict {
    /// Of numbers that follow from the two sides of log Z that were `found`: they agree where they are at most `tolerance` nats
    /// apart.
    pub fn of(
        forward: Option<f64>,
        reverse: Option<f64>,
        found: &AisEstimates,
        tolerance: f64,
    ) -> Self {
        let (Some(forward), Some(reverse)) = (forward, reverse) else { return Self::OneSided };
        let within = (forward - reverse).abs();
        // How many equilibrium samples the reverse side has started from.
        let samples = found.reverse.map_or(0, |estimate| estimate.samples);
        if within > tolerance || within.is_nan() {
            Self::Disagree { forward, reverse }
        } else if !found.ladder.is_empty() && found.arrivals < samples {
            Self::Unmixed { arrivals: found.arrivals }
        } else {
            Self::Agree { within }
        }
    }

    /// Of log Z itself.
    pub fn of_log_partition(found: &AisEstimates, tolerance: f64) -> Self {
        let value = |side: Option<Estimate>| side.map(|estimate| estimate.value);
        Self::of(value(found.forward), value(found.reverse), found, tolerance)
    }

    /// Whether what it is of may be quoted.
    pub fn may_be_quoted(&self) -> bool {
        matches!(self, Self::Exact | Self::Agree { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => write!(f, "exact"),
            Self::Agree { within } => write!(f, "agree within {within:.2} nats"),
            Self::Disagree { forward, reverse } => {
                write!(f, "DISAGREE: forward {forward:.2}, reverse {reverse:.2}: do not quote")
            }
            Self::Unmixed { arrivals } => {
                write!(
                    f,
                    "UNMIXED: {arrivals} replicas came up, too few: do not quote (give more sweeps)"
                )
            }
            Self::OneSided => {
                write!(f, "ONE-SIDED: forward annealing overstates, if anything: do not quote")
            }
        }
    }
}

/// The file in a model's folder.
pub const KEPT: &str = "log_partition.json";
/// The version of what stands in it: what 1 says of measurements has one of their kinds alone.
const VERSION: u32 = 2;

/// What was found of log Z of a model's top machine, in nats, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptPartition {
    version: u32,
    /// The SHA-256 of the weights' file, in hexadecimal digits.
    weights: String,
    /// How it was found: chains, temperatures, effort, seed.
    pub options: AisOptions,
    /// From both sides, or from one.
    pub found: AisEstimates,
}

impl KeptPartition {
    /// Keeps what was `found` with these `options` of the model in the folder `model`, in the folder `place`: most often the same.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn keep(
        place: impl AsRef<Path>,
        model: impl AsRef<Path>,
        options: AisOptions,
        found: &AisEstimates,
    ) -> Result<()> {
        let (place, model) = (place.as_ref(), model.as_ref());
        let weights = weights(model)?;
        let kept = Self { version: VERSION, weights, options, found: found.clone() };
        write_whole(&place.join(KEPT), &json::bytes(&kept, KEPT)?)
    }

    /// What is kept in the folder `place` of the model in the folder `model`; `None` where nothing is, or it is of other weights or of an earlier
    /// version.
    ///
    /// # Errors
    ///
    /// [`Error::File`] for a file that is not one of these.
    pub fn of(place: impl AsRef<Path>, model: impl AsRef<Path>) -> Result<Option<Self>> {
        let (place, model) = (place.as_ref(), model.as_ref());
        let path = place.join(KEPT);
        if !path.is_file() {
            return Ok(None);
        }
        let text = std::fs::read(&path).map_err(|e| Error::io(&path, e))?;
        let expected = "what dbn evaluate --likelihood keeps (delete the file to estimate anew)";
        let kept: Self = serde_json::from_slice(&text)
            .map_err(|e| Error::file(&path, "contents", expected, e.to_string()))?;
        let numbers = [kept.found.forward, kept.found.bridge, kept.found.reverse];
        let is_number = |estimate: &Estimate| estimate.value.is_finite() && estimate.error >= 0.0;
        if (1..VERSION).contains(&kept.version) {
            return Ok(None);
        }
        if kept.version != VERSION || !numbers.iter().flatten().all(is_number) {
            return Err(Error::file(&path, "contents", expected, "something else"));
        }
        Ok((kept.weights == weights(model)?).then_some(kept))
    }

    /// log Z as it may be quoted: of two sides that are at most `tolerance` nats apart the higher, by which log p(v) is the lower.
    /// `None` where there is one side only, or where they disagree.
    pub fn quotable(&self, tolerance: f64) -> Option<Estimate> {
        let (forward, reverse) = (self.found.forward?, self.found.reverse?);
        let higher = if forward.value > reverse.value { forward } else { reverse };
        Verdict::of_log_partition(&self.found, tolerance).may_be_quoted().then_some(higher)
    }
}

fn weights(dir: &Path) -> Result<String> {
    let path = weights_in(dir);
    digest::of_file::<Sha256>(&path, "").map_err(|e| Error::io(&path, e))
}
