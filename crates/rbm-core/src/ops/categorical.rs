//! Sites of several states side by side: softmax, its normalisation, and draws from it.
//!
//! Functions of counting: factorials and what lies between them.
//!
//! How many of n trials succeed, by inverting the distribution function with one uniform number.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Device, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::bernoulli::bernoulli_sample;
use super::cpu::{check_bias, for_blocks, for_chunks, has_fused, is_small, with_numbers};
use super::random::{block_words, unit};
use super::real::Real;
use super::reference;
use crate::rng::{BLOCK, Draw};
use crate::{Error, Result, Rng};

/// How often each state was drawn in `draws` draws from the softmax of inputs + bias over every `states` neighbouring
/// columns: with one draw, a one in the column of the state. `inputs` `(batch, width)`, `bias` `(width,)`. A leaf.
///
/// One uniform number a draw, by inversion. Away from the CPU several draws are made there.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn multinomial_sample(
    inputs: &Tensor,
    bias: &Tensor,
    states: usize,
    draws: usize,
    rng: &mut Rng,
) -> Result<Tensor> {
    let draw = rng.draw();
    if !has_fused(inputs) && draws == 1 {
        return reference::categorical(&inputs.broadcast_add(bias)?, states, draw);
    }
    sampled(inputs, bias, &MultinomialSampler { draw, states, draws, of_rows: None })
}

/// The same where row i has `draws[i]` draws, and all of its columns are the states of one site.
///
/// # Errors
///
/// For shapes that do not fit together, and for types other than `f32` and `f64`.
pub fn multinomial_sample_of_rows(
    inputs: &Tensor,
    bias: &Tensor,
    draws: &[usize],
    rng: &mut Rng,
) -> Result<Tensor> {
    let (rows, states) = inputs.dims2()?;
    if draws.len() != rows {
        let expected = format!("one for each of {rows} rows");
        return Err(Error::invalid("numbers of draws", expected, draws.len().to_string()));
    }
    let mut next = 0;
    let of_rows = draws.iter().map(|&draws| {
        let first = next;
        next += draws as u64;
        (first, draws)
    });
    let of_rows = Some(of_rows.collect());
    let most = draws.iter().copied().max().unwrap_or(0);
    sampled(inputs, bias, &MultinomialSampler { draw: rng.draw(), states, draws: most, of_rows })
}

/// What `op`, which runs on the CPU alone, draws, on the device of `inputs`.
fn sampled(inputs: &Tensor, bias: &Tensor, op: &impl CustomOp2) -> Result<Tensor> {
    let (x, b) = if has_fused(inputs) {
        (inputs.clone(), bias.clone())
    } else {
        (inputs.to_device(&Device::Cpu)?, bias.to_device(&Device::Cpu)?)
    };
    let sample = x.contiguous()?.apply_op2_no_bwd(&b.contiguous()?, op)?;
    Ok(sample.to_device(inputs.device())?)
}

struct MultinomialSampler {
    draw: Draw,
    states: usize,
    /// How many draws each site has, or at most.
    draws: usize,
    /// Where the uniform numbers of each row begin and how many there are, where rows have draws of their own.
    of_rows: Option<Vec<(u64, usize)>>,
}

impl CustomOp2 for MultinomialSampler {
    fn name(&self) -> &'static str {
        "multinomial-sample"
    }

    fn cpu_fwd(
        &self,
        inputs: &CpuStorage,
        inputs_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        check_bias(self.name(), inputs_layout, bias_layout)?;
        let width = inputs_layout.shape().dims2()?.1;
        if self.states == 0 || !width.is_multiple_of(self.states) {
            candle_core::bail!("{}: {width} columns for {} states", self.name(), self.states);
        }
        let out = with_numbers!(self.name(), (inputs, inputs_layout), (bias, bias_layout)
            => self.sample(inputs, bias));
        Ok((out, inputs_layout.shape().clone()))
    }
}

impl MultinomialSampler {
    fn sample<T: Real>(&self, x: &[T], bias: &[T]) -> Vec<T> {
        let mut out = vec![T::default(); x.len()];
        let width = bias.len();
        let row = |(i, out): (usize, &mut [T])| {
            let x = x[i * width..].iter().zip(bias);
            let field: Vec<f64> = x.map(|(x, bias)| (*x + *bias).to_f64()).collect();
            let own = self.of_rows.as_ref().and_then(|of_rows| of_rows.get(i).copied());
            let (first, draws) =
                own.unwrap_or(((i * width / self.states * self.draws) as u64, self.draws));
            let mut uniforms = Uniforms::from(self.draw, first);
            let mut cumulated = Vec::with_capacity(self.states);
            for (field, out) in field.chunks(self.states).zip(out.chunks_mut(self.states)) {
                let highest = field.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let mut total = 0.0;
                cumulated.clear();
                cumulated.extend(field.iter().map(|field| {
                    total += libm::exp(field - highest);
                    total
                }));
                for _ in 0..draws {
                    let mark = uniforms.next() * total;
                    let state = cumulated.partition_point(|&below| below <= mark);
                    if let Some(count) = out.get_mut(state) {
                        *count += T::from(1i8);
                    }
                }
            }
        };
        if is_small(x.len() * self.draws.max(4)) {
            out.chunks_mut(width.max(1)).enumerate().for_each(row);
        } else {
            out.par_chunks_mut(width.max(1)).enumerate().for_each(row);
        }
        out
    }
}

/// The uniform numbers of a draw, from one of them on.
struct Uniforms {
    draw: Draw,
    at: u64,
    block: u64,
    words: [u32; BLOCK],
}

impl Uniforms {
    fn from(draw: Draw, at: u64) -> Self {
        let block = at / BLOCK as u64;
        Self { draw, at, block, words: block_words(draw, block) }
    }

    fn next(&mut self) -> f64 {
        let block = self.at / BLOCK as u64;
        if block != self.block {
            (self.block, self.words) = (block, block_words(self.draw, block));
        }
        let word = self.words[(self.at % BLOCK as u64) as usize];
        self.at += 1;
        f64::from(unit(word))
    }
}

/// log n!
pub fn log_factorial(n: usize) -> f64 {
    libm::lgamma(n as f64 + 1.0)
}

/// log |Γ(x)|, elementwise; a leaf.
///
/// # Errors
///
/// For shapes that do not fit together, and for types other than `f32` and `f64`.
pub fn log_gamma(x: &Tensor) -> Result<Tensor> {
    let host = if has_fused(x) { x.detach() } else { x.detach().to_device(&Device::Cpu)? };
    Ok(host.contiguous()?.apply_op1_no_bwd(&LogGamma)?.to_device(x.device())?)
}

struct LogGamma;

impl CustomOp1 for LogGamma {
    fn name(&self) -> &'static str {
        "log-gamma"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = with_numbers!(self.name(), (x, layout) => log_gammas(x));
        Ok((out, layout.shape().clone()))
    }
}

fn log_gammas<T: Real>(x: &[T]) -> Vec<T> {
    let mut out = vec![T::default(); x.len()];
    for_chunks(&mut out, |start, out| {
        for (out, x) in out.iter_mut().zip(&x[start..]) {
            let x = x.to_f64();
            // The commonest arguments: 0! and 1!.
            *out = T::from_f64(if x == 1.0 || x == 2.0 { 0.0 } else { libm::lgamma(x) });
        }
    });
    out
}

/// Binomial numbers of `trials` trials with P(success) = sigmoid(inputs + bias). `inputs` `(batch, width)`, `bias`
/// `(width,)`. A leaf. Away from the CPU it is made there.
///
/// # Errors
///
/// For shapes that do not fit together, and for types other than `f32` and `f64`.
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
    sampled(inputs, bias, &BinomialSampler { draw: rng.draw(), log_choices })
}

struct BinomialSampler {
    draw: Draw,
    /// log C(n, k) for k from 0 to n.
    log_choices: Vec<f64>,
}

impl CustomOp2 for BinomialSampler {
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

impl BinomialSampler {
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
        let mode = (((n + 1.0) * field.sigmoid()) as usize).min(trials);
        let (on, off) = ((-field).softplus(), field.softplus());
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
            let sampler = BinomialSampler { draw: Draw { seed: 0, stream: 0 }, log_choices };
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
        let sampler = BinomialSampler {
            draw: Draw { seed: 0, stream: 0 },
            log_choices: log_choices.collect(),
        };
        for u in [1e-7, 0.5, 1.0 - 1e-7] {
            assert_eq!(sampler.invert(1e4, u), 7);
            assert_eq!(sampler.invert(-1e4, u), 0);
        }
    }
}
