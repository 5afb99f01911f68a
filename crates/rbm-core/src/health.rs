//! What the numbers of a report say of a machine: that it has diverged, or that it has learned little.

use candle_core::Tensor;

use crate::monitor::{Report, diverged, mean};
use crate::{Rbm, Result, Units};

/// How many times worse than knowing nothing a machine may be before it counts as diverged.
const ABSURD: f64 = 1e3;

/// How much worse than the columns' means a reconstruction is before it is worth a warning.
const TOLERANCE: f64 = 1.05;

impl Report {
    /// Errors with a hint when the energies, the reconstruction or the pseudo-likelihood are so far from anything that learning
    /// can lead to that the machine has diverged, though its parameters are still numbers; `fantasies` are the machine's own
    /// chains, where it has some.
    pub fn check<'a>(
        &self,
        rbm: &Rbm,
        fantasies: impl IntoIterator<Item = &'a Tensor>,
    ) -> Result<()> {
        let (visible, hidden) = (rbm.visible().units(), rbm.hidden().units());
        let scale = 1.0 + self.means_error;
        let units = (visible.size() + hidden.size()) as f64;
        for (what, value, most) in [
            ("the error of the reconstruction", Some(self.reconstruction_error), scale * ABSURD),
            (
                "the pseudo-likelihood of the cases",
                self.pseudo_likelihood,
                even_nats(&visible).max(1.0) * ABSURD,
            ),
            (
                "the mean free energy of the cases",
                Some(self.free_energy),
                units * scale * ABSURD * ABSURD,
            ),
            ("the gap of the free energies", self.free_energy_gap, units * scale * ABSURD * ABSURD),
        ] {
            if let Some(value) = value.filter(|value| value.is_nan() || value.abs() > most) {
                return Err(diverged(format!("{what} is {value:.3e}")));
            }
        }
        for chains in fantasies {
            let size = mean(&chains.sqr()?)?;
            if size.is_nan()
                || size > scale * ABSURD * ABSURD * (1.0 + self.hidden_activity.powi(2))
            {
                return Err(diverged(format!("the mean square of the fantasies is {size:.3e}")));
            }
        }
        Ok(())
    }

    /// What is wrong with a machine that has learned, though it has not diverged, a sentence each: more than a quarter of the
    /// hidden units dead or stuck, or a reconstruction worse than the columns' means.
    pub fn warnings(&self, hidden: &Units) -> Vec<String> {
        let (size, mut warnings) = (hidden.size(), Vec::new());
        for (count, what) in [
            (self.dead_units, "dead (off for nearly every case)"),
            (self.stuck_units, "stuck (on for nearly every case)"),
        ] {
            if 4 * count > size {
                warnings.push(format!("{count} of {size} hidden units are {what}"));
            }
        }
        if self.reconstruction_error > TOLERANCE * self.means_error {
            warnings.push(format!(
                "the reconstruction is worse than the columns' means (squared error {:.3e} against {:.3e})",
                self.reconstruction_error, self.means_error
            ));
        }
        warnings
    }
}

/// Nats that it takes to guess a configuration of which nothing is known; none for continuous units.
fn even_nats(units: &Units) -> f64 {
    let groups = units.groups().into_iter();
    let nats = groups.map(|(_, units)| match units {
        Units::Bernoulli { size } | Units::Spin { size } => *size as f64 * 2f64.ln(),
        Units::Binomial { size, trials } => *size as f64 * (*trials as f64 + 1.0).ln(),
        Units::Potts { sites, states } => *sites as f64 * (*states as f64).ln(),
        // Of documents whose lengths are their own, that of a long one.
        Units::Multinomial { size, draws: 0 } => 1e3 * (*size as f64).ln(),
        Units::Multinomial { size, draws } => *draws as f64 * (*size as f64).ln(),
        _ => 0.0,
    });
    nats.sum()
}
