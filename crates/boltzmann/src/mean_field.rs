//! Mean field: hidden units that are coupled with each other, given the data, as if they were independent.
//!
//! Of all independent distributions q of the hidden units it looks for the one with the largest bound
//! ⟨−E(v, h)⟩_q + H(q) ≤ log Σ_h exp(−E(v, h)) (Peterson and Anderson 1987; Saul, Jaakkola, Jordan 1996).

use rbm_core::units::{States, Support};
use rbm_core::{Error, Result};

/// The most sweeps from a start.
const MOST_SWEEPS: usize = 1000;
/// Means that change by less have settled.
const SETTLED: f64 = 1e-10;

/// Units that are coupled with each other by ½·hᵀUh.
#[derive(Debug, Clone)]
pub struct MeanField {
    bias: Vec<f64>,
    couplings: Vec<f64>,
    support: Vec<Support>,
}

/// The independent units that are found.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanPosterior {
    /// Their means, a number a column.
    pub means: Vec<f64>,
    /// The lower bound on log Σ_h exp(−E(h)) over the units alone, nats.
    pub bound: f64,
    /// Sweeps until nothing changed any more.
    pub sweeps: usize,
    /// Whether the means came to rest. The bound is one either way.
    pub is_settled: bool,
}

impl MeanField {
    /// Units with these biases and couplings U (`bias.len()` squared, symmetric, zero within a unit), of the kinds of `support`.
    ///
    /// # Errors
    ///
    /// For other lengths, and for units that share draws.
    pub fn new(bias: Vec<f64>, couplings: Vec<f64>, support: Vec<Support>) -> Result<Self> {
        let width = bias.len();
        if couplings.len() != width * width {
            let expected = format!("{width} x {width} couplings");
            return Err(Error::invalid("mean field", expected, couplings.len().to_string()));
        }
        let is_drawn_alone =
            |of: &Support| !matches!(of.states, States::Draws(_)) && of.columns.end <= width;
        if !support.iter().all(is_drawn_alone) {
            let expected = format!("units that are drawn one by one, of {width} columns together");
            return Err(Error::invalid("mean field", expected, "others"));
        }
        Ok(Self { bias, couplings, support })
    }

    /// The posterior given what the data say to each unit: unit by unit to a fixed point, once from units that are as probable one way as
    /// another, once from what they would be without couplings. The one with the larger bound is taken. Each step raises the bound.
    ///
    /// # Errors
    ///
    /// For another number of inputs than units.
    pub fn given(&self, inputs: &[f64]) -> Result<MeanPosterior> {
        if inputs.len() != self.bias.len() {
            let expected = format!("{} inputs", self.bias.len());
            return Err(Error::invalid("mean field", expected, inputs.len().to_string()));
        }
        let field: Vec<f64> = self.bias.iter().zip(inputs).map(|(a, b)| a + b).collect();
        let even = self.settled(&field, &vec![0.0; field.len()]);
        let uncoupled = self.settled(&field, &field);
        Ok(if uncoupled.bound > even.bound { uncoupled } else { even })
    }

    /// From the means that units under the fields `start` have by themselves.
    fn settled(&self, field: &[f64], start: &[f64]) -> MeanPosterior {
        let width = field.len();
        let mut means = vec![0.0; width];
        for (columns, states) in self.units() {
            own(start, columns, states, &mut means);
        }
        let mut said = vec![0.0; width];
        for (row, mean) in self.couplings.chunks(width.max(1)).zip(&means) {
            said.iter_mut().zip(row).for_each(|(said, weight)| *said += mean * weight);
        }
        let (mut total, mut new) = (vec![0.0; width], means.clone());
        let (mut sweeps, mut entropy, mut change) = (0, 0.0, f64::INFINITY);
        while sweeps < MOST_SWEEPS && change > SETTLED {
            (sweeps, entropy, change) = (sweeps + 1, 0.0, 0.0);
            for (columns, states) in self.units() {
                for column in columns.clone() {
                    total[column] = field[column] + said[column];
                }
                entropy += own(&total, columns.clone(), states, &mut new);
                for column in columns {
                    let by = new[column] - means[column];
                    if by != 0.0 {
                        let row = &self.couplings[column * width..][..width];
                        said.iter_mut().zip(row).for_each(|(said, weight)| *said += by * weight);
                    }
                    means[column] = new[column];
                    change = change.max(by.abs());
                }
            }
        }
        let told: f64 = means.iter().zip(field).map(|(mean, field)| mean * field).sum();
        let coupled: f64 = means.iter().zip(&said).map(|(mean, said)| mean * said).sum();
        let bound = told + 0.5 * coupled + entropy;
        MeanPosterior { means, bound, sweeps, is_settled: change <= SETTLED }
    }

    /// The columns and the states of each unit.
    fn units(&self) -> impl Iterator<Item = (std::ops::Range<usize>, &States)> {
        self.support.iter().flat_map(|Support { columns, states }| {
            let size = match states {
                States::OneOf(size) => (*size).max(1),
                _ => 1,
            };
            columns.clone().step_by(size).map(move |first| (first..first + size, states))
        })
    }
}

/// Sets the means of one unit under `field`; its entropy, with the logarithm of how many ways there are to each state.
fn own(field: &[f64], columns: std::ops::Range<usize>, states: &States, means: &mut [f64]) -> f64 {
    let first = columns.start;
    let logits: Vec<f64> = match states {
        States::Values(values) => {
            values.iter().map(|(value, ways)| field[first] * value + ways).collect()
        }
        _ => field[columns.clone()].to_vec(),
    };
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - highest).exp()).sum();
    let log_sum = highest + sum.ln();
    let p = |logit: &f64| (logit - log_sum).exp();
    match states {
        States::Values(values) => {
            means[first] = values.iter().zip(&logits).map(|((value, _), l)| value * p(l)).sum();
            // −Σ p·(log p − ways), where log p = field·value + ways − log Σ.
            log_sum - field[first] * means[first]
        }
        _ => {
            means[columns].iter_mut().zip(&logits).for_each(|(mean, logit)| *mean = p(logit));
            let mean: f64 = logits.iter().map(|logit| logit * p(logit)).sum();
            log_sum - mean
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from −scale to scale, by splitmix64.
    fn numbers(seed: u64, count: u64, scale: f64) -> Vec<f64> {
        let word = |k: u64| {
            let z = seed.wrapping_add((k + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ z >> 31
        };
        let unit = |k| 2.0 * (word(k) >> 11) as f64 * 2f64.powi(-53) - 1.0;
        (0..count).map(|k| scale * unit(k)).collect()
    }

    fn symmetric(upper: &[f64], width: usize) -> Vec<f64> {
        let (mut all, mut upper) = (vec![0.0; width * width], upper.iter());
        for i in 0..width {
            for j in i + 1..width {
                let x = upper.next().copied().unwrap_or(f64::NAN);
                (all[i * width + j], all[j * width + i]) = (x, x);
            }
        }
        all
    }

    /// 6 visible and 4 hidden Bernoulli units, all coupled, given v = 10101₂: the numbers of another program, by enumeration and by mean field.
    #[test]
    fn known_means_and_bound() {
        let (w, v) = (numbers(3, 24, 1.0), symmetric(&numbers(4, 15, 0.8), 6));
        let u = symmetric(&numbers(5, 6, 0.8), 4);
        let (a, c) = (numbers(6, 6, 0.5), numbers(7, 4, 0.5));
        let on = [0, 2, 4];
        let inputs: Vec<f64> = (0..4).map(|j| on.iter().map(|i| w[i * 4 + j]).sum()).collect();
        let bernoulli = Support::of_values(4, [(0.0, 0.0), (1.0, 0.0)]);
        let field = MeanField::new(c.clone(), u.clone(), vec![bernoulli]).expect("it fits");
        let found = field.given(&inputs).expect("it fits");
        let known = [0.215965523, 0.338795844, 0.542186135, 0.368965300];
        for (mean, known) in found.means.iter().zip(known) {
            assert!((mean - known).abs() < 1e-9, "{:?}", found.means);
        }
        assert!(found.is_settled);
        // log p(v) takes what the visible units say among themselves, and log Z.
        let among = |i: &usize| -> f64 { on.iter().map(|j| 0.5 * v[i * 6 + j]).sum() };
        let own: f64 = on.iter().map(|i| a[*i] + among(i)).sum();
        let log_z = 8.0492553695;
        let bound = own + found.bound - log_z;
        assert!((bound + 5.0000603981).abs() < 1e-9, "{bound}");
        let counted: f64 = (0..16usize)
            .map(|state| {
                let h: Vec<f64> = (0..4).map(|j| (state >> j & 1) as f64).collect();
                let told: f64 = (0..4).map(|j| h[j] * (inputs[j] + c[j])).sum();
                let among: f64 = (0..16).map(|at| 0.5 * u[at] * h[at / 4] * h[at % 4]).sum();
                (told + among).exp()
            })
            .sum();
        assert!((own + counted.ln() - log_z + 4.9739829610).abs() < 1e-9);
    }

    /// Without couplings the bound is the value itself, whatever the units.
    #[test]
    fn uncoupled_units_leave_no_gap() {
        let fields = numbers(8, 6, 2.0);
        let spins = Support::of_values(6, [(-1.0, 0.0), (1.0, 0.0)]);
        let potts = Support { columns: 0..6, states: States::OneOf(3) };
        let of_spins: f64 = fields.iter().map(|x| (x.exp() + (-x).exp()).ln()).sum();
        let of_potts: f64 =
            fields.chunks(3).map(|site| site.iter().map(|x| x.exp()).sum::<f64>().ln()).sum();
        for (support, log_sum) in [(spins, of_spins), (potts, of_potts)] {
            let field = MeanField::new(vec![0.0; 6], vec![0.0; 36], vec![support]).expect("fits");
            let found = field.given(&fields).expect("fits");
            assert!((found.bound - log_sum).abs() < 1e-12, "{} {log_sum}", found.bound);
        }
        assert!(MeanField::new(vec![0.0; 2], vec![0.0; 3], vec![]).is_err());
    }

    /// Two spins under no field that pull each other strongly: started evenly they would stay at mean 0, where the bound is far too low.
    #[test]
    fn the_better_start_is_taken() {
        let spins = Support::of_values(2, [(-1.0, 0.0), (1.0, 0.0)]);
        let pull = vec![0.0, 3.0, 3.0, 0.0];
        let field = MeanField::new(vec![0.0; 2], pull, vec![spins]).expect("fits");
        let found = field.given(&[1e-9, 1e-9]).expect("fits");
        let exact = (2.0 * 3f64.exp() + 2.0 * (-3f64).exp()).ln();
        assert!(found.bound <= exact && found.bound > exact - 0.8, "{} {exact}", found.bound);
    }
}
