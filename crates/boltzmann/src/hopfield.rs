//! Hopfield networks: patterns that are stored as minima of the energy, and found again from a part (Hopfield 1982).
//!
//! It is a Boltzmann machine of spins at temperature 0: E(x) = −½·xᵀWx.

use std::path::Path;
use std::str::FromStr;

use candle_core::{DType, Device, Tensor};
use nalgebra::DMatrix;
use rayon::prelude::*;
use rbm_core::state::{State, get};
use rbm_core::{Checkpoint, Error, Result, Rng, Units};
use serde::{Deserialize, Serialize};

use crate::Graph;

/// The most units: W takes half a GiB.
const MAX_UNITS: usize = 8192;
/// A coupling so small beside the strongest that a rule makes is what rounding has left of 0; so is a field beside the sum of a unit's couplings.
const ROUNDING_OF_COUPLINGS: f64 = 1e-9;
const ROUNDING_OF_FIELDS: f64 = 4e-12;
const MODEL: &str = "hopfield";
const COUPLINGS: &str = "couplings.0.weight";
const PATTERNS: &str = "patterns";

/// How patterns ξ become couplings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// W = ξᵀξ/N, with zeros on the diagonal (Hebb 1949). Holds about 0.138·N random patterns (Amit, Gutfreund, Sompolinsky 1985).
    #[default]
    Hebb,
    /// The projection on what the patterns span, with zeros on the diagonal (Personnaz, Guyon, Dreyfus 1985): patterns that are alike do
    /// not disturb each other.
    PseudoInverse,
}

impl FromStr for Rule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "hebb" => Ok(Self::Hebb),
            "pseudo-inverse" => Ok(Self::PseudoInverse),
            _ => Err(Error::invalid("a rule", "hebb or pseudo-inverse", text)),
        }
    }
}

/// Which units are set at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Updates {
    /// One after the other, so that the energy never rises.
    #[default]
    Asynchronous,
    /// All together: the network may go to and fro between two states for ever.
    Synchronous,
}

/// Where a recall ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecallEnd {
    /// No unit changes any more.
    FixedPoint,
    /// Two states follow each other: with synchronous updates alone.
    TwoCycle,
    /// Neither, in as many sweeps as were allowed.
    Unsettled,
}

/// The way from a cue.
#[derive(Debug, Clone, PartialEq)]
pub struct Recall {
    /// The cue, and the state after every sweep.
    pub states: Vec<Vec<f64>>,
    /// The energy of each of them.
    pub energies: Vec<f64>,
    /// How it ended.
    pub end: RecallEnd,
}

impl Recall {
    /// The state in which it ended.
    pub fn result(&self) -> &[f64] {
        self.states.last().map_or(&[], |state| state)
    }
}

/// Couplings that store patterns.
///
/// ```
/// use candle_boltzmann::hopfield::{RecallEnd, Hopfield, Rule, Updates};
///
/// let pattern: Vec<f64> = (0..20).map(|i| if i % 3 == 0 { 1.0 } else { -1.0 }).collect();
/// let network = Hopfield::store(&[pattern.clone()], Rule::Hebb)?;
/// let mut cue = pattern.clone();
/// cue[0] = -1.0;
/// let recall = network.recall(&cue, Updates::Asynchronous, 100)?;
/// assert_eq!((recall.result(), recall.end), (&pattern[..], RecallEnd::FixedPoint));
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Hopfield {
    size: usize,
    /// W, row by row.
    weights: Vec<f64>,
    /// What rounding may have left of a field that is 0, of each unit.
    least_fields: Vec<f64>,
}

impl Hopfield {
    /// Stores patterns of −1 and 1.
    ///
    /// # Errors
    ///
    /// Without a pattern, for other values, for patterns of different lengths and for more than 8,192 units.
    pub fn store(patterns: &[Vec<f64>], rule: Rule) -> Result<Self> {
        let size = patterns.first().map_or(0, Vec::len);
        for (number, pattern) in patterns.iter().enumerate() {
            if let Some(x) = pattern.iter().find(|x| x.abs() != 1.0) {
                return Err(Error::invalid(
                    format!("pattern {number}"),
                    "values of −1 and 1",
                    x.to_string(),
                ));
            }
            if pattern.len() != size {
                let expected = format!("{size} units");
                return Err(Error::invalid(
                    format!("pattern {number}"),
                    expected,
                    pattern.len().to_string(),
                ));
            }
        }
        if size == 0 || size > MAX_UNITS {
            let found = format!("{} patterns of {size}", patterns.len());
            return Err(Error::invalid(
                "patterns",
                format!("at least one, of 1 to {MAX_UNITS} units"),
                found,
            ));
        }
        let xi = DMatrix::from_fn(patterns.len(), size, |row, column| patterns[row][column]);
        let mut w = match rule {
            Rule::Hebb => xi.tr_mul(&xi) / size as f64,
            Rule::PseudoInverse => {
                // The right singular vectors span what the patterns do; those of no weight are of patterns that depend on others.
                let svd = xi.svd(false, true);
                let Some(v) = svd.v_t else {
                    return Err(Error::invalid(
                        "patterns",
                        "a singular value decomposition",
                        "none",
                    ));
                };
                let least = svd.singular_values.max() * 1e-9;
                let kept = (0..v.nrows()).filter(|&i| svd.singular_values[i] > least);
                let v = v.select_rows(&kept.collect::<Vec<_>>());
                v.tr_mul(&v)
            }
        };
        // What rounding has left of couplings that are 0 would decide for units without a field.
        let least = ROUNDING_OF_COUPLINGS * w.diagonal().max();
        w.apply(|coupling| {
            if coupling.abs() <= least {
                *coupling = 0.0;
            }
        });
        w.fill_diagonal(0.0);
        Ok(Self::of(size, w.iter().copied().collect()))
    }

    /// The network of the couplings `(size, size)`, row by row.
    ///
    /// # Errors
    ///
    /// When they are not finite and symmetric with zeros on the diagonal.
    pub fn new(size: usize, weights: Vec<f64>) -> Result<Self> {
        if size == 0 || size > MAX_UNITS || weights.len() != size * size {
            let expected = format!("{size} x {size} of at most {MAX_UNITS} units");
            return Err(Error::invalid("couplings", expected, weights.len().to_string()));
        }
        for i in 0..size {
            for j in 0..=i {
                let w = weights[i * size + j];
                let is_right = if i == j { w == 0.0 } else { w == weights[j * size + i] };
                if !is_right || !w.is_finite() {
                    let expected = "finite, symmetric, and zero on the diagonal";
                    return Err(Error::invalid(format!("W[{i}][{j}]"), expected, w.to_string()));
                }
            }
        }
        Ok(Self::of(size, weights))
    }

    fn of(size: usize, weights: Vec<f64>) -> Self {
        let least = |row: &[f64]| ROUNDING_OF_FIELDS * row.iter().map(|w| w.abs()).sum::<f64>();
        Self { size, least_fields: weights.chunks(size).map(least).collect(), weights }
    }

    /// How many units there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// W, row by row.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// E of a state.
    ///
    /// # Errors
    ///
    /// When it is not of as many units.
    pub fn energy(&self, x: &[f64]) -> Result<f64> {
        self.check(x)?;
        Ok(-0.5 * (0..self.size).map(|i| x[i] * self.field(x, i)).sum::<f64>())
    }

    /// Lets the network go from `cue` downhill, for at most so many sweeps. A unit without a field stays as it is, also where rounding has left
    /// something of it.
    ///
    /// # Errors
    ///
    /// For a cue that is not −1 and 1, a number for each unit.
    pub fn recall(&self, cue: &[f64], updates: Updates, sweeps: usize) -> Result<Recall> {
        self.check(cue)?;
        let mut recall = Recall {
            states: vec![cue.to_vec()],
            energies: vec![self.energy(cue)?],
            end: RecallEnd::Unsettled,
        };
        let mut x = cue.to_vec();
        for _ in 0..sweeps {
            let before = x.clone();
            for i in 0..self.size {
                let seen = if updates == Updates::Synchronous { &before } else { &x };
                let field = self.field(seen, i);
                if field.abs() > self.least_fields[i] {
                    x[i] = field.signum();
                }
            }
            if x == before {
                recall.end = RecallEnd::FixedPoint;
                break;
            }
            let two_ago = recall.states.len().checked_sub(2).map(|at| &recall.states[at]);
            let is_cycle = updates == Updates::Synchronous && two_ago == Some(&x);
            recall.energies.push(self.energy(&x)?);
            recall.states.push(x.clone());
            if is_cycle {
                recall.end = RecallEnd::TwoCycle;
                break;
            }
        }
        Ok(recall)
    }

    /// [`Hopfield::recall`] of many cues, on all cores.
    ///
    /// # Errors
    ///
    /// As [`Hopfield::recall`].
    pub fn recall_all(
        &self,
        cues: &[Vec<f64>],
        updates: Updates,
        sweeps: usize,
    ) -> Result<Vec<Recall>> {
        cues.par_iter().map(|cue| self.recall(cue, updates, sweeps)).collect()
    }

    /// The network as spins on a graph, whose couplings are W: for temperatures above 0.
    pub fn graph(&self) -> Graph {
        let size = self.size as u32;
        let pairs = (0..size).flat_map(|i| (i + 1..size).map(move |j| [i, j]));
        let coupling = |[i, j]: [u32; 2]| self.weights[i as usize * self.size + j as usize];
        let (edges, couplings) =
            pairs.map(|pair| (pair, coupling(pair))).filter(|(_, w)| *w != 0.0).unzip();
        let units = Units::Spin { size: self.size };
        Graph {
            units,
            edges,
            couplings,
            fields: vec![0.0; self.size],
            shape: None,
            names: Vec::new(),
            offset: 0.0,
        }
    }

    fn field(&self, x: &[f64], unit: usize) -> f64 {
        let row = &self.weights[unit * self.size..][..self.size];
        row.iter().zip(x).map(|(w, x)| w * x).sum()
    }

    fn check(&self, x: &[f64]) -> Result<()> {
        if x.len() != self.size || x.iter().any(|x| x.abs() != 1.0) {
            let odd = x.iter().find(|x| x.abs() != 1.0);
            let found = match odd.filter(|_| x.len() == self.size) {
                Some(odd) => format!("{odd} among them"),
                None => format!("{} of them", x.len()),
            };
            return Err(Error::invalid(
                "a state",
                format!("−1 or 1 for {} units", self.size),
                found,
            ));
        }
        Ok(())
    }
}

/// A network, and what was stored in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// The network.
    pub network: Hopfield,
    /// The patterns, ±1.
    pub patterns: Vec<Vec<f64>>,
    /// By which rule they were stored.
    pub rule: Rule,
    /// Height and width, where patterns are pictures.
    pub image: Option<(usize, usize)>,
}

/// What stands beside the numbers of a [`Memory`].
#[derive(Debug, Serialize, Deserialize)]
struct MemoryRecord {
    model: String,
    rule: Rule,
    image: Option<(usize, usize)>,
}

impl Memory {
    /// Writes it to one safetensors file, `couplings.0.weight` and `patterns`, whole or not at all.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let size = self.network.size;
        let rows: Vec<f64> = self.patterns.iter().flatten().copied().collect();
        let tensors = State::from([
            (
                COUPLINGS.to_owned(),
                Tensor::from_slice(&self.network.weights, (size, size), &Device::Cpu)?,
            ),
            (
                PATTERNS.to_owned(),
                Tensor::from_vec(rows, (self.patterns.len(), size), &Device::Cpu)?,
            ),
        ]);
        let record = MemoryRecord { model: MODEL.to_owned(), rule: self.rule, image: self.image };
        Checkpoint { tensors, record }.save(path)
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// When the file is missing, damaged, or of another model.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let Checkpoint { tensors, record } = Checkpoint::<MemoryRecord>::load(path, &Device::Cpu)?;
        let wrong =
            |place: &str, expected: &str, found: String| Error::file(path, place, expected, found);
        if record.model != MODEL {
            return Err(wrong("record", "a Hopfield network", format!("{:?}", record.model)));
        }
        let table = |name: &str| -> Result<Vec<Vec<f64>>> {
            let table = get(&tensors, name)?;
            match (table.rank(), table.dtype()) {
                (2, DType::F64) => Ok(table.to_vec2()?),
                _ => Err(wrong(name, "a table of f64", format!("{table:?}"))),
            }
        };
        let (weights, patterns) = (table(COUPLINGS)?, table(PATTERNS)?);
        let network = Hopfield::new(weights.len(), weights.concat())?;
        let is_state = |pattern: &Vec<f64>| network.check(pattern).is_ok();
        if patterns.is_empty() || !patterns.iter().all(is_state) {
            let expected = format!("at least one, of {} units", network.size);
            return Err(wrong(
                PATTERNS,
                &expected,
                format!("{} of other values or length", patterns.len()),
            ));
        }
        let area =
            |(height, width): &(usize, usize)| height.checked_mul(*width) == Some(network.size);
        let image = record.image.filter(area);
        Ok(Self { network, patterns, rule: record.rule, image })
    }
}

/// How much two states are alike: 1 where they are the same, −1 where one is the other's mirror image.
pub fn overlap(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / a.len().max(1) as f64
}

/// `x` with each unit turned over with the chance `noise`.
pub fn disturbed(x: &[f64], noise: f64, rng: &mut Rng) -> Vec<f64> {
    use rand::RngExt;
    x.iter().map(|x| if rng.random::<f64>() < noise { -x } else { *x }).collect()
}

/// `count` patterns of `size` units, ±1 with equal chances.
pub fn random_patterns(count: usize, size: usize, rng: &mut Rng) -> Vec<Vec<f64>> {
    use rand::RngExt;
    let mut unit = || if rng.random::<bool>() { 1.0 } else { -1.0 };
    (0..count).map(|_| (0..size).map(|_| unit()).collect()).collect()
}

/// The overlap with which a network of infinitely many units holds `load`·N random patterns by Hebb's rule, the largest root of
/// m = erf y, y·(√(2·load) + (2/√π)·exp(−y²)) = erf y (Amit, Gutfreund, Sompolinsky 1985). `None` above the load of 0.1379, where there is
/// none but 0.
pub fn overlap_in_theory(load: f64) -> Option<f64> {
    if load <= 0.0 {
        return (load == 0.0).then_some(1.0);
    }
    let difference = |y: f64| {
        y * ((2.0 * load).sqrt() + std::f64::consts::FRAC_2_SQRT_PI * (-y * y).exp()) - libm::erf(y)
    };
    // Far out the difference is above 0; the first place from there inwards where it is not has the root before it.
    let steps = (1..=6000).rev().map(|step| f64::from(step) * 1e-3);
    let mut low = steps.into_iter().find(|y| *y > 0.5 && difference(*y) <= 0.0)?;
    let mut high = low + 1e-3;
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if difference(middle) <= 0.0 { low = middle } else { high = middle }
    }
    Some(libm::erf(low))
}
