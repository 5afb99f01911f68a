//! The undirected machine on top of a network, with or without label units.
//!
//! Label units are a site of one-hot units on the visible side of that machine, after those of the layer below. It learns
//! pictures and their labels together, so that it can be asked for either by the other (Hinton, Osindero, Teh 2006, §5 and
//! §6.1). What it says of the labels is [`ClassRbm`]'s.

use candle_core::Tensor;
use rbm_core::{ClassRbm, Error, Rbm, Result, Rng, Units};

use super::labels::with_label_units;

/// The machine on top of a network.
#[derive(Debug)]
pub(crate) enum Top {
    /// Of the layer below alone.
    Plain(Rbm),
    /// Of the layer below and the label.
    Labelled(ClassRbm),
}

impl Top {
    /// A machine that sees `below`, the units of the layer below, and after them label units of so many classes if any are
    /// told. `what` names its visible units.
    ///
    /// # Errors
    ///
    /// With the visible units of a machine that has others.
    pub fn new(
        rbm: Rbm,
        below: Option<&Units>,
        classes: Option<usize>,
        what: &str,
    ) -> Result<Self> {
        let found = rbm.visible().units();
        let labelled = |below: &Units| match classes {
            Some(classes) => with_label_units(below, classes),
            None => below.clone(),
        };
        if let Some(expected) = below.map(labelled).filter(|expected| *expected != found) {
            return Err(Error::invalid(what, expected.to_string(), found.to_string()));
        }
        let Some(states) = classes else { return Ok(Self::Plain(rbm)) };
        match ClassRbm::of(rbm) {
            Ok(top) if top.classes() == states => Ok(Self::Labelled(top)),
            _ => {
                let site = Units::Potts { sites: 1, states };
                let expected = format!("others and {site} after them");
                Err(Error::invalid(what, expected, found.to_string()))
            }
        }
    }

    /// The machine with its own copy of every parameter.
    pub fn try_clone(&self) -> Result<Self> {
        let rbm = self.rbm().try_clone()?;
        Ok(match self {
            Self::Plain(_) => Self::Plain(rbm),
            Self::Labelled(_) => Self::Labelled(ClassRbm::of(rbm)?),
        })
    }

    /// The machine itself, its label units among the visible ones.
    pub fn rbm(&self) -> &Rbm {
        match self {
            Self::Plain(rbm) => rbm,
            Self::Labelled(top) => top.rbm(),
        }
    }

    /// The same, given away.
    pub fn into_rbm(self) -> Rbm {
        match self {
            Self::Plain(rbm) => rbm,
            Self::Labelled(top) => top.into_rbm(),
        }
    }

    /// The machine as one of data and their label, if it is.
    pub fn class_rbm(&self) -> Option<&ClassRbm> {
        match self {
            Self::Plain(_) => None,
            Self::Labelled(top) => Some(top),
        }
    }

    /// F of what comes from below, `x` `(batch, width)`, in nats, `(batch,)`; labels are summed out. Differentiable.
    pub fn free_energy(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Plain(rbm) => rbm.free_energy(x),
            Self::Labelled(top) => top.free_energy(x),
        }
    }

    /// E[h | x], `(batch, hidden)`, for the same; labels are averaged over. Differentiable.
    pub fn hidden_mean(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Plain(rbm) => rbm.hidden_mean(x),
            Self::Labelled(top) => top.hidden_mean(x),
        }
    }

    /// `x` `(batch, width)` with the probabilities of the labels beside it, `(batch, visible)`. A leaf.
    pub fn with_probable_labels(&self, x: Tensor) -> Result<Tensor> {
        match self {
            Self::Plain(_) => Ok(x),
            Self::Labelled(top) => top.join(&x, &top.probabilities(&x)?),
        }
    }

    /// `x` `(batch, width)` with labels beside it that are drawn from the same.
    pub fn with_sampled_labels(&self, x: Tensor, rng: &mut Rng) -> Result<Tensor> {
        match self {
            Self::Plain(_) => Ok(x),
            Self::Labelled(top) => {
                let site = Units::Potts { sites: 1, states: top.classes() };
                let log_probabilities = top.log_probabilities(&x)?.detach();
                let labels = site.build(x.dtype(), x.device())?.sample(&log_probabilities, rng)?;
                top.join(&x, &labels)
            }
        }
    }

    /// The visible units `(batch, visible)` but for the labels, `(batch, width)`.
    pub fn without_labels(&self, visible: Tensor) -> Result<Tensor> {
        match self {
            Self::Plain(_) => Ok(visible),
            Self::Labelled(top) => Ok(top.split(&visible)?.0.contiguous()?),
        }
    }
}
