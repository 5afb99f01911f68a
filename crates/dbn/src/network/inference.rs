//! What a network with label units is asked for: the class of a case, or a case of a class.
//!
//! The class of a case (Hinton, Osindero, Teh 2006, §6.2): the data go up, and the top machine says how probable each label is beside them:
//! exactly, by the free energies of all labels, or by what its label units do when they are set free.
//!
//! A case of a class, or one that completes what is given (§7): the top machine runs by Gibbs sampling with its label units held fast, and the layers below
//! show what it has in mind.

use std::fmt;
use std::str::FromStr;

use candle_core::{D, Tensor};
use rbm_core::sampling::{Chains, Clamped};
use rbm_core::{Error, Gibbs, Kernel, Result, Rng, Rows, rows};
use serde::{Serialize, Serializer};

use crate::network::dbn::up;
use crate::network::labels::{join_labels, label_codes};
use crate::{Dbn, Examples};

/// How labels are found. As text `means`, `samples:20`, `gibbs:100`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Inference {
    /// One deterministic up-pass, then the exact free energy of each label.
    #[default]
    Means,
    /// So many sampled up-passes; the exact label probabilities of all are averaged.
    Samples(usize),
    /// One sampled up-pass, then so many Gibbs steps of the label units with what has arrived held fast; how often each was on.
    Gibbs(usize),
}

impl fmt::Display for Inference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Means => f.write_str("means"),
            Self::Samples(passes) => write!(f, "samples:{passes}"),
            Self::Gibbs(steps) => write!(f, "gibbs:{steps}"),
        }
    }
}

impl FromStr for Inference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, number) = text.split_once(':').unwrap_or((text, ""));
        let count = number.parse().ok().filter(|n| (1..=1_000_000).contains(n));
        match (kind, number, count) {
            ("means", "", _) => Ok(Self::Means),
            ("samples", _, Some(passes)) => Ok(Self::Samples(passes)),
            ("gibbs", _, Some(steps)) => Ok(Self::Gibbs(steps)),
            _ => Err(Error::invalid(
                "a way to recognise",
                "means, samples:PASSES or gibbs:STEPS",
                format!("{text:?}"),
            )),
        }
    }
}

impl Serialize for Inference {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Dbn {
    /// How probable each label is, `(batch, classes)`, for `v` `(batch, width)`. A leaf.
    ///
    /// # Errors
    ///
    /// Where there are no label units.
    pub fn label_probabilities(&self, v: &Tensor, how: Inference, rng: &mut Rng) -> Result<Tensor> {
        let Some(top) = self.class_rbm() else {
            let expected = "a network with label units (train it with labels = true)";
            return Err(Error::invalid("recognition by labels", expected, "none"));
        };
        match how {
            Inference::Means => top.probabilities(&up(self.below_top(), v)?),
            Inference::Samples(passes) => {
                let mut sum = top.probabilities(&self.sample_penultimate(v, rng)?)?;
                for _ in 1..passes {
                    sum = (sum + top.probabilities(&self.sample_penultimate(v, rng)?)?)?;
                }
                Ok((sum / passes as f64)?)
            }
            Inference::Gibbs(steps) => self.label_shares(v, top.classes(), steps, rng),
        }
    }

    /// How often each label unit is on in `steps` Gibbs steps, the other visible units of the top machine being a sampled
    /// up-pass of `v`.
    fn label_shares(
        &self,
        v: &Tensor,
        classes: usize,
        steps: usize,
        rng: &mut Rng,
    ) -> Result<Tensor> {
        let x = self.sample_penultimate(v, rng)?;
        let (batch, width) = x.dims2()?;
        let free = Tensor::zeros((batch, classes), x.dtype(), x.device())?;
        let mask = join_labels(&x.ones_like()?, &free)?;
        // From no label at all.
        let kernel = Clamped::new(&join_labels(&x, &free)?, &mask)?;
        let mut chains = Gibbs::default().init(self.top(), join_labels(&x, &free)?, rng)?;
        let mut shares = free;
        for _ in 0..steps {
            kernel.step(self.top(), &mut chains, rng)?;
            shares = (shares + chains.visible.narrow(1, width, classes)?)?;
        }
        Ok((shares / steps as f64)?)
    }

    /// How many cases of `part`, prepared for the network, are taken for another class than theirs.
    ///
    /// # Errors
    ///
    /// When there are no labels, or one is unknown to the network.
    pub fn label_errors(&self, part: &Examples, how: Inference, rng: &mut Rng) -> Result<usize> {
        let Some(labels) = &part.labels else {
            return Err(Error::invalid("errors of recognition", "labels", "none"));
        };
        self.check_labels(labels)?;
        let found = self.recognise(&part.cases, how, rng)?;
        Ok(found.iter().zip(labels).filter(|(a, b)| a != b).count())
    }

    /// Errors for a label that is none of the network's classes.
    pub(crate) fn check_labels(&self, labels: &[u32]) -> Result<()> {
        let classes = self.classes().unwrap_or(0) as u32;
        match labels.iter().find(|&&label| label >= classes) {
            None => Ok(()),
            Some(label) => {
                let expected = format!("classes below {classes}, as the network knows");
                Err(Error::invalid("labels", expected, label.to_string()))
            }
        }
    }

    /// The class that each of `cases`, prepared for the network, is taken for, a block at a time.
    ///
    /// # Errors
    ///
    /// As [`Dbn::label_probabilities`], and where rows cannot be read.
    pub fn recognise(&self, cases: &dyn Rows, how: Inference, rng: &mut Rng) -> Result<Vec<u32>> {
        let mut classes = Vec::with_capacity(cases.count());
        for block in rows::blocks(cases) {
            let block = block?.to_device(self.top().device())?;
            let found = self.label_probabilities(&block, how, rng)?.argmax(D::Minus1)?;
            classes.extend(found.to_vec1::<u32>()?);
        }
        Ok(classes)
    }
}

/// What is held fast while the network fantasies; what is not asked for is free.
#[derive(Debug, Clone, Default)]
pub struct Condition {
    /// The label of each chain, where the network has label units.
    pub labels: Option<Vec<u32>>,
    /// Data-layer values and where to hold them (1; elsewhere 0), both `(chains, width)`.
    pub data: Option<(Tensor, Tensor)>,
}

/// Chains of the top machine with the layers below them.
#[derive(Debug)]
pub struct ConditionalSampler<'a> {
    dbn: &'a Dbn,
    /// What moves the top machine, and holds what is given there.
    kernel: Box<dyn Kernel<State = Chains, Info = ()>>,
    /// What holds values of the data layer.
    data: Option<Clamped>,
    /// Where the top machine is.
    pub chains: Chains,
}

impl<'a> ConditionalSampler<'a> {
    /// From `chains` of the top machine.
    ///
    /// # Errors
    ///
    /// For labels where there are no label units, or of another number than chains.
    pub fn new(dbn: &'a Dbn, given: Condition, chains: Chains, rng: &mut Rng) -> Result<Self> {
        let count = chains.hidden.dim(0)?;
        let is_of = |found: usize| match found == count {
            true => Ok(()),
            false => Err(Error::invalid(
                "what is given",
                format!("{count}, one for each chain"),
                found.to_string(),
            )),
        };
        let data = match &given.data {
            Some((values, mask)) => {
                is_of(values.dim(0)?)?;
                Some(Clamped::new(values, mask)?)
            }
            None => None,
        };
        let codes = match (&given.labels, dbn.classes()) {
            (None, _) => None,
            (Some(labels), Some(classes)) => {
                is_of(labels.len())?;
                Some(label_codes(labels, classes, dbn.top().dtype(), dbn.top().device())?)
            }
            (Some(_), None) => {
                let expected = "a network with label units (train it with labels = true)";
                return Err(Error::invalid("a label to generate", expected, "none"));
            }
        };
        let kernel = Self::kernel(dbn, given.data.filter(|_| dbn.depth() == 1), codes, &chains)?;
        let mut new = Self { dbn, kernel, data, chains };
        let visible = new.chains.visible.clone();
        new.restart(visible, rng)?;
        Ok(new)
    }

    /// Gibbs sampling of the top machine, with what is given of its visible units held.
    fn kernel(
        dbn: &Dbn,
        data: Option<(Tensor, Tensor)>,
        codes: Option<Tensor>,
        chains: &Chains,
    ) -> Result<Box<dyn Kernel<State = Chains, Info = ()>>> {
        if data.is_none() && codes.is_none() {
            return Ok(Box::new(Gibbs::default()));
        }
        let nothing = chains.visible.zeros_like()?;
        let classes = dbn.classes().unwrap_or(0);
        let width = nothing.dim(1)? - classes;
        let free = nothing.narrow(1, 0, width)?;
        let (values, mask) = data.unwrap_or((free.clone(), free));
        if classes == 0 {
            return Ok(Box::new(Clamped::new(&values, &mask)?));
        }
        let free = nothing.narrow(1, width, classes)?;
        let held = codes.as_ref().map_or(Ok(free.clone()), Tensor::ones_like)?;
        let codes = codes.unwrap_or(free);
        let (values, mask) = (join_labels(&values, &codes)?, join_labels(&mask, &held)?);
        Ok(Box::new(Clamped::new(&values, &mask)?))
    }

    /// Chains at `visible` of the top machine, with what is held in its place.
    fn restart(&mut self, visible: Tensor, rng: &mut Rng) -> Result<()> {
        self.chains = self.kernel.init(self.dbn.top(), visible, rng)?;
        Ok(())
    }

    /// One Gibbs step of the top machine. Where values of the data layer are held above which there are directed layers, the
    /// picture comes down first, what is given is put into it, and it goes up again, sampled both ways.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn step(&mut self, rng: &mut Rng) -> Result<()> {
        if let Some(data) = self.data.as_ref().filter(|_| self.dbn.depth() > 1) {
            let picture = data.apply(&self.dbn.ancestral_sample(&self.chains.hidden, rng)?)?;
            let x = self.dbn.sample_penultimate(&picture, rng)?;
            let visible = match self.dbn.classes() {
                Some(classes) => {
                    let width = x.dim(1)?;
                    join_labels(&x, &self.chains.visible.narrow(1, width, classes)?)?
                }
                None => x,
            };
            self.restart(visible, rng)?;
        }
        self.kernel.step(self.dbn.top(), &mut self.chains, rng)
    }

    /// What the network believes: the means of the data layer `(chains, width)`, with what is given in its place; with
    /// `is_sampled` a configuration of it.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn picture(&self, is_sampled: bool, rng: &mut Rng) -> Result<Tensor> {
        let fall = if is_sampled { Dbn::ancestral_sample } else { Dbn::decode };
        let picture = fall(self.dbn, &self.chains.hidden, rng)?;
        self.data.as_ref().map_or(Ok(picture.clone()), |data| data.apply(&picture))
    }
}
