//! Pictures on demand: of a class, or to complete what is given.
//!
//! Hinton, Osindero, Teh 2006, §7: the top machine runs by Gibbs sampling with its label units held fast, and the layers below
//! show what it has in mind.

use candle_core::Tensor;
use rbm_core::sampling::{Chains, Clamped};
use rbm_core::{Error, Gibbs, Kernel, Result, Rng};

use crate::Dbn;
use crate::network::dbn::{join_labels, label_codes};

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
    /// What holds units of the top machine.
    top: Option<Clamped>,
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
        let codes = match (&given.labels, dbn.classes) {
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
        let top = Self::clamped(dbn, given.data.filter(|_| dbn.rbms.len() == 1), codes, &chains)?;
        let mut new = Self { dbn, top, data, chains };
        let visible = new.chains.visible.clone();
        new.restart(visible, rng)?;
        Ok(new)
    }

    /// What to hold of the top machine's visible units.
    fn clamped(
        dbn: &Dbn,
        data: Option<(Tensor, Tensor)>,
        codes: Option<Tensor>,
        chains: &Chains,
    ) -> Result<Option<Clamped>> {
        if data.is_none() && codes.is_none() {
            return Ok(None);
        }
        let nothing = chains.visible.zeros_like()?;
        let width = nothing.dim(1)? - dbn.classes.unwrap_or(0);
        let free = nothing.narrow(1, 0, width)?;
        let (values, mask) = data.unwrap_or((free.clone(), free));
        if dbn.classes.is_none() {
            return Ok(Some(Clamped::new(&values, &mask)?));
        }
        let free = nothing.narrow(1, width, dbn.classes.unwrap_or(0))?;
        let held = codes.as_ref().map_or(Ok(free.clone()), Tensor::ones_like)?;
        let codes = codes.unwrap_or(free);
        let (values, mask) = (join_labels(&values, &codes)?, join_labels(&mask, &held)?);
        Ok(Some(Clamped::new(&values, &mask)?))
    }

    /// Chains at `visible` of the top machine, with what is held in its place.
    fn restart(&mut self, visible: Tensor, rng: &mut Rng) -> Result<()> {
        self.chains = match &self.top {
            Some(kernel) => kernel.init(self.dbn.top(), visible, rng)?,
            None => Gibbs::default().init(self.dbn.top(), visible, rng)?,
        };
        Ok(())
    }

    /// One Gibbs step of the top machine. Where values of the data layer are held above which there are directed layers, the
    /// picture comes down first, what is given is put into it, and it goes up again, sampled both ways.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn step(&mut self, rng: &mut Rng) -> Result<()> {
        if let Some(data) = self.data.as_ref().filter(|_| self.dbn.rbms.len() > 1) {
            let picture = data.apply(&self.dbn.ancestral_sample(&self.chains.hidden, rng)?)?;
            let x = self.dbn.sample_penultimate(&picture, rng)?;
            let visible = match self.dbn.classes {
                Some(classes) => {
                    let width = x.dim(1)?;
                    join_labels(&x, &self.chains.visible.narrow(1, width, classes)?)?
                }
                None => x,
            };
            self.restart(visible, rng)?;
        }
        match &self.top {
            Some(kernel) => kernel.step(self.dbn.top(), &mut self.chains, rng),
            None => Gibbs::default().step(self.dbn.top(), &mut self.chains, rng),
        }
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
