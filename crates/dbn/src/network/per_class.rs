//! A classifier of one machine a class: the class is that whose machine thinks a case most probable.
//!
//! Practical Guide §16, the second way: log p(v) of machine y is −F_y(v) − log Z_y. The log Z_y are not known, and need not be:
//! the offsets in their place are learned by the classes of the training cases.

use candle_core::{D, Tensor, Var};
use rbm_core::ops::device::to_host;
use rbm_core::stats::relative_weights;
use rbm_core::{Error, Rbm, Result, Rows, rows};

use crate::Examples;

/// Offsets count as found when none moves by more than this many nats.
const SETTLED: f64 = 1e-6;
/// The most times they are moved.
const MAX_STEPS: usize = 10_000;

/// One machine a class, each learned from the cases of its class alone, and an offset for each.
#[derive(Debug)]
pub struct PerClass {
    /// In the order of the classes.
    pub rbms: Vec<Rbm>,
    /// −log Z of each up to a constant of all, and the log of the class's share; `(classes,)`.
    pub offsets: Var,
}

impl PerClass {
    /// With offsets of zero.
    ///
    /// # Errors
    ///
    /// When there are no machines, or their data are not of the same units.
    pub fn new(rbms: Vec<Rbm>) -> Result<Self> {
        let Some(first) = rbms.first() else {
            return Err(Error::invalid("machines of classes", "at least one", "none"));
        };
        let expected = first.visible().units();
        if let Some(other) = rbms.iter().find(|rbm| rbm.visible().units() != expected) {
            let found = other.visible().units().to_string();
            return Err(Error::invalid(
                "machines of classes: visible units",
                expected.to_string(),
                found,
            ));
        }
        let offsets = Var::zeros(rbms.len(), first.dtype(), first.device())?;
        Ok(Self { rbms, offsets })
    }

    /// Log-probabilities of the classes up to a constant of each row, `(batch, classes)`, for `v` `(batch, width)`. Differentiable.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn logits(&self, v: &Tensor) -> Result<Tensor> {
        let energies = self.rbms.iter().map(|rbm| rbm.free_energy(v));
        let energies = Tensor::stack(&energies.collect::<Result<Vec<_>>>()?, 1)?;
        Ok(energies.neg()?.broadcast_add(&self.offsets)?)
    }

    /// Learns the offsets from labelled cases, all other parameters as they are: those of the highest likelihood of the
    /// classes, by iterative scaling (Darroch and Ratcliff 1972), which needs no rate and has no other maximum.
    ///
    /// # Errors
    ///
    /// For labels that are missing or unknown, and for classes without cases.
    pub fn fit_offsets(&self, part: &Examples) -> Result<()> {
        let labels = self.labels_of(part)?;
        let classes = self.rbms.len();
        let mut counts = vec![0.0; classes];
        labels.iter().for_each(|&label| counts[label as usize] += 1.0);
        if let Some(class) = counts.iter().position(|&count| count == 0.0) {
            return Err(Error::invalid("offsets", format!("cases of class {class}"), "none"));
        }
        let (mut energies, mut offsets) = (Vec::new(), vec![0.0; classes]);
        for block in rows::blocks(&part.cases) {
            let block = block?.to_device(self.offsets.device())?;
            let logits = self.logits(&block)?.broadcast_sub(&self.offsets)?;
            energies.extend(to_host(&logits.detach())?.to_vec2::<f64>()?);
        }
        let mut has_settled = false;
        for _ in 0..MAX_STEPS {
            let mut expected = vec![0.0; classes];
            for row in &energies {
                let logits: Vec<f64> = row.iter().zip(&offsets).map(|(a, b)| a + b).collect();
                let (weights, _) = relative_weights(&logits);
                let sum: f64 = weights.iter().sum();
                expected.iter_mut().zip(weights).for_each(|(e, w)| *e += w / sum);
            }
            let moves: Vec<f64> = counts
                .iter()
                .zip(&expected)
                .map(|(n, e)| (n / e.max(f64::MIN_POSITIVE)).ln())
                .collect();
            offsets.iter_mut().zip(&moves).for_each(|(offset, by)| *offset += by);
            has_settled = moves.iter().all(|by| by.abs() < SETTLED);
            if has_settled {
                break;
            }
        }
        if !has_settled {
            let expected = "finite free energies that overlap between classes";
            return Err(Error::invalid(
                "offsets",
                expected,
                format!("no end after {MAX_STEPS} rounds"),
            ));
        }
        let offsets = Tensor::new(offsets, &candle_core::Device::Cpu)?;
        Ok(self
            .offsets
            .set(&offsets.to_dtype(self.offsets.dtype())?.to_device(self.offsets.device())?)?)
    }

    /// How many cases of `part` are put into the wrong class.
    ///
    /// # Errors
    ///
    /// As [`PerClass::fit_offsets`] does.
    pub fn errors(&self, part: &Examples) -> Result<usize> {
        let labels = self.labels_of(part)?;
        let mut found = Vec::with_capacity(labels.len());
        for block in rows::blocks(&part.cases) {
            let block = block?.to_device(self.offsets.device())?;
            found.extend(self.logits(&block)?.argmax(D::Minus1)?.to_vec1::<u32>()?);
        }
        Ok(found.iter().zip(labels).filter(|(a, b)| a != b).count())
    }

    fn labels_of<'a>(&self, part: &'a Examples) -> Result<&'a [u32]> {
        let Some(labels) = part.labels.as_deref().filter(|_| part.cases.count() > 0) else {
            return Err(Error::invalid(
                "a classifier of one machine a class",
                "labelled cases",
                "none",
            ));
        };
        match labels.iter().find(|&&label| label as usize >= self.rbms.len()) {
            Some(label) => {
                let expected = format!("classes below {}", self.rbms.len());
                Err(Error::invalid("labels", expected, label.to_string()))
            }
            None => Ok(labels),
        }
    }
}
