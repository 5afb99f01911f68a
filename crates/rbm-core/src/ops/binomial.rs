//! How many of n trials succeed, by inverting the distribution function with one uniform number.

use candle_core::{CpuStorage, CustomOp2, Device, Layout, Shape, Tensor};

use super::bernoulli::bernoulli_sample;
use super::cpu::for_blocks;
use super::math;
use super::memory::{check_bias, has_fused, with_numbers};
use super::philox::{BLOCK, block_words, unit};
use super::real::Real;
use super::special::log_factorial;
use crate::rng::Draw;
use crate::{Result, Rng};

/// Binomial numbers of `trials` trials with P(success) = sigmoid(inputs + bias). `inputs` `(batch, width)`, `bias`
/// `(width,)`. A leaf. Away from the CPU it is made there.
pub fn binomial_sample(
    inputs: &Tensor,
    bias: &Tensor,
    trials: usize,
    rng: &mut Rng,
) -> Result<Tensor> {
    if trials == 1 {
        return bernoulli_sample(inputs, bias, rng);
    }
    let log_choices = (0..=trials)
        .map(|k| log_factorial(trials) - log_factorial(k) - log_factorial(trials - k))
        .collect();
    let op = Sampler { draw: rng.draw(), log_choices };
    let (x, b) = if has_fused(inputs) {
        (inputs.clone(), bias.clone())
    } else {
        (inputs.to_device(&Device::Cpu)?, bias.to_device(&Device::Cpu)?)
    };
    let sample = x.contiguous()?.apply_op2_no_bwd(&b.contiguous()?, &op)?;
    Ok(sample.to_device(inputs.device())?)
}

struct Sampler {
    draw: Draw,
    /// log C(n, k) for k from 0 to n.
    log_choices: Vec<f64>,
}

impl CustomOp2 for Sampler {
    fn name(&self) -> &'static str {
        "binomial-sample"
    }

    fn cpu_fwd(
        &self,
        inputs: &CpuStorage,
        inputs_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        check_bias(self.name(), inputs_layout, bias_layout)?;
        let out = with_numbers!(self.name(), (inputs, inputs_layout), (bias, bias_layout)
            => self.sample(inputs, bias));
        Ok((out, inputs_layout.shape().clone()))
    }
}

impl Sampler {
    fn sample<T: Real>(&self, x: &[T], bias: &[T]) -> Vec<T> {
        let mut out = vec![T::default(); x.len()];
        for_blocks(&mut out, |block, out| {
            let (words, start) = (block_words(self.draw, block as u64), block * BLOCK);
            for (i, out) in out.iter_mut().enumerate() {
                let at = start + i;
                let field = (x[at] + bias[at % bias.len()]).to_f64();
                *out = T::from_f64(self.invert(field, f64::from(unit(words[i]))) as f64);
            }
        });
        out
    }

    /// The outcome that `uniform` falls on when outcomes are laid side by side from the most probable one outwards: about
    /// as many steps as the distribution is wide.
    fn invert(&self, field: f64, uniform: f64) -> usize {
        let trials = self.log_choices.len() - 1;
        let n = trials as f64;
        let mode = (((n + 1.0) * math::sigmoid_f64(field)) as usize).min(trials);
        let (on, off) = (math::softplus_f64(-field), math::softplus_f64(field));
        let log_p = self.log_choices[mode] - mode as f64 * on - (trials - mode) as f64 * off;
        let (mut above, mut below) = (libm::exp(log_p), libm::exp(log_p));
        let (odds, inverse_odds) = (libm::exp(field), libm::exp(-field));
        let mut left = uniform - above;
        let (mut high, mut low) = (mode, mode);
        while left >= 0.0 && (high < trials || low > 0) {
            if high < trials {
                above *= (n - high as f64) / (high as f64 + 1.0) * odds;
                high += 1;
                left -= above;
                if left < 0.0 {
                    return high;
                }
            }
            if low > 0 {
                below *= low as f64 / (n - low as f64 + 1.0) * inverse_odds;
                low -= 1;
                left -= below;
                if left < 0.0 {
                    return low;
                }
            }
        }
        // Here too where rounding has left a rest beyond every outcome.
        mode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An even grid of uniform numbers meets every outcome as often as it is probable, up to one grid point a boundary.
    #[test]
    fn outcomes_are_as_long_as_they_are_probable() {
        for (trials, field) in [(5, 0.3), (5, -4.0), (40, 1.5), (2000, 0.0)] {
            let log_choices: Vec<f64> = (0..=trials)
                .map(|k| log_factorial(trials) - log_factorial(k) - log_factorial(trials - k))
                .collect();
            let sampler = Sampler { draw: Draw { seed: 0, stream: 0 }, log_choices };
            const GRID: usize = 100_000;
            let mut counts = vec![0.0; trials + 1];
            for i in 0..GRID {
                counts[sampler.invert(field, (i as f64 + 0.5) / GRID as f64)] += 1.0;
            }
            let p = 1.0 / (1.0 + (-field).exp());
            for (k, count) in counts.iter().enumerate() {
                let log_p = sampler.log_choices[k]
                    + k as f64 * p.ln()
                    + (trials - k) as f64 * (1.0 - p).ln();
                let expected = log_p.exp() * GRID as f64;
                assert!(
                    (count - expected).abs() < 1.01,
                    "{trials} {field} {k}: {count} {expected}"
                );
            }
        }
    }

    #[test]
    fn certainty_is_certain() {
        let log_choices =
            (0..=7).map(|k| log_factorial(7) - log_factorial(k) - log_factorial(7 - k));
        let sampler =
            Sampler { draw: Draw { seed: 0, stream: 0 }, log_choices: log_choices.collect() };
        for u in [1e-7, 0.5, 1.0 - 1e-7] {
            assert_eq!(sampler.invert(1e4, u), 7);
            assert_eq!(sampler.invert(-1e4, u), 0);
        }
    }
}
