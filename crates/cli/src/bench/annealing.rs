//! A step of annealing, as annealed importance sampling makes thousands of.

use std::hint::black_box;

use anyhow::Result;
use rbm_core::sampling::Chains;
use rbm_core::{Gibbs, Kernel, Rbm, Rng};

use super::measure::Work;
use super::subject::{Densities, Subject, density};
use super::warm::Cases;

/// Two neighbouring inverse temperatures.
const BETAS: [f64; 2] = [0.5, 0.501];

/// A Gibbs step of every chain, and the part of its log-weight that depends on the chain.
pub struct Annealing {
    rbm: Rbm,
    chains: Chains,
    data: String,
    density: f64,
    rng: Rng,
}

impl Annealing {
    /// A chain for each case of a mini-batch.
    pub fn new(rbm: Rbm, mut cases: Cases) -> Result<Self> {
        let (batch, mut rng) = (cases.next(), Rng::new(7));
        let density = density(&batch)?;
        let chains = Gibbs::default().init(&rbm, batch, &mut rng)?;
        Ok(Self { rbm, chains, data: cases.name, density, rng })
    }
}

impl Work for Annealing {
    fn step(&mut self) -> Result<()> {
        Gibbs::default().step(&self.rbm, &mut self.chains, &mut self.rng)?;
        let [low, high] =
            BETAS.map(|beta| self.rbm.hidden().cgf(&(&self.chains.hidden_inputs * beta)?));
        black_box((high?.detach() - low?.detach())?);
        Ok(())
    }

    fn products(&mut self) -> Result<()> {
        let weights = self.rbm.weights().as_detached_tensor();
        black_box(self.chains.hidden.matmul(&weights.t()?)?);
        black_box(self.chains.visible.matmul(&weights)?);
        Ok(())
    }
}

impl Subject for Annealing {
    fn data(&self) -> &str {
        &self.data
    }

    fn densities(&mut self) -> Result<Densities> {
        let Chains { visible, hidden, .. } = &self.chains;
        let (fantasies, hidden) = (Some(density(visible)?), Some(density(hidden)?));
        Ok(Densities { data: self.density, fantasies, hidden })
    }
}
