//! Sites of several states side by side: softmax, its normalisation, and draws from it.

use candle_core::{CpuStorage, CustomOp2, D, Device, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::cpu::is_small;
use super::memory::{check_bias, has_fused, with_numbers};
use super::philox::{BLOCK, block_words, unit};
use super::real::Real;
use super::reference;
use crate::rng::Draw;
use crate::{Error, Result, Rng};

/// The softmax over every `states` neighbouring columns of `x` `(batch, width)`. Differentiable.
pub fn softmax_of_sites(x: &Tensor, states: usize) -> Result<Tensor> {
    let (exponentials, _) = exponentials(x, states)?;
    let shares = exponentials.broadcast_div(&exponentials.sum_keepdim(D::Minus1)?)?;
    Ok(shares.reshape(x.shape())?)
}

/// log Σ exp(x) over every `states` neighbouring columns of `x` `(batch, width)`: `(batch, sites)`. Differentiable.
pub fn log_sum_exp_of_sites(x: &Tensor, states: usize) -> Result<Tensor> {
    let (exponentials, highest) = exponentials(x, states)?;
    Ok((exponentials.sum(D::Minus1)?.log()? + highest.squeeze(D::Minus1)?)?)
}

/// exp(x − highest) and the highest of each site, `(batch, sites, states)` and `(batch, sites, 1)`. The highest is a leaf:
/// it cancels in the derivatives.
fn exponentials(x: &Tensor, states: usize) -> Result<(Tensor, Tensor)> {
    let (batch, width) = x.dims2()?;
    if states == 0 || !width.is_multiple_of(states) {
        let expected = format!("a multiple of {states} columns");
        return Err(Error::invalid("sites", expected, width.to_string()));
    }
    let x = x.reshape((batch, width / states, states))?;
    let highest = x.detach().max_keepdim(D::Minus1)?;
    Ok((x.broadcast_sub(&highest)?.exp()?, highest))
}

/// How often each state was drawn in `draws` draws from the softmax of inputs + bias over every `states` neighbouring
/// columns: with one draw, a one in the column of the state. `inputs` `(batch, width)`, `bias` `(width,)`. A leaf.
///
/// One uniform number a draw, by inversion. Away from the CPU several draws are made there.
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
    sampled(inputs, bias, Sampler { draw, states, draws, of_rows: None })
}

/// The same where row i has `draws[i]` draws, and all of its columns are the states of one site.
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
    sampled(inputs, bias, Sampler { draw: rng.draw(), states, draws: most, of_rows })
}

fn sampled(inputs: &Tensor, bias: &Tensor, op: Sampler) -> Result<Tensor> {
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
    states: usize,
    /// How many draws each site has, or at most.
    draws: usize,
    /// Where the uniform numbers of each row begin and how many there are, where rows have draws of their own.
    of_rows: Option<Vec<(u64, usize)>>,
}

impl CustomOp2 for Sampler {
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

impl Sampler {
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
