//! One sweep through units that are coupled with each other: each is drawn given all others as they are by then.

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::ops::device::to_host;
use crate::units::{States, Support};
use crate::{Error, Result, Rng, ops};

/// Units of a layer that are coupled with each other.
#[derive(Debug, Clone, Copy)]
pub struct LateralUnits<'a> {
    /// W, `(width, width)`, symmetric, zero within a unit.
    pub weights: &'a Tensor,
    /// Their biases, `(width,)`.
    pub bias: &'a Tensor,
    /// What each unit can be.
    pub support: &'a [Support],
}

/// `x` `(rows, width)` after every unit has been drawn once, in the order of the columns, from p(x_i | inputs, all others) at
/// the inverse temperature of its row (Geman and Geman 1984). `inputs` `(rows, width)` is what others say, tempered already;
/// `betas`, one a row, temper W alone. The arithmetic is that of `f64` on the host, whatever the type and the device.
///
/// # Errors
///
/// When shapes do not fit, and for units that share draws.
pub fn lateral_sweep(
    x: &Tensor,
    inputs: &Tensor,
    betas: &[f64],
    units: LateralUnits,
    rng: &mut Rng,
) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let fits = inputs.dims() == [rows, width]
        && units.weights.dims() == [width, width]
        && units.bias.dims() == [width]
        && betas.len() == rows;
    if !fits {
        let found = format!("{:?}, {:?}", inputs.dims(), units.weights.dims());
        let expected = format!("inputs ({rows}, {width}) and weights ({width}, {width})");
        return Err(Error::invalid("coupled units", expected, found));
    }
    if units.support.iter().any(|support| matches!(support.states, States::Draws(_))) {
        let expected = "units that are drawn one by one";
        return Err(Error::invalid("coupled units", expected, "units that share draws"));
    }
    let host = |x: &Tensor| -> Result<Vec<f64>> {
        Ok(to_host(&x.detach())?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
    };
    let weights = to_host(&units.weights.detach())?.to_dtype(DType::F64)?.contiguous()?;
    let mut values = host(x)?;
    let state = Tensor::from_slice(&values, (rows, width), &Device::Cpu)?;
    let (said, weights) = (host(&ops::product(&state, &weights)?)?, host(&weights)?);
    let (inputs, bias) = (host(inputs)?, host(units.bias)?);
    let chance = host(&ops::uniform((rows, width), DType::F64, &Device::Cpu, rng)?)?;
    values.par_chunks_mut(width.max(1)).enumerate().for_each(|(row, values)| {
        let (start, beta) = (row * width, betas[row]);
        let field = (0..width).map(|j| inputs[start + j] + bias[j] + beta * said[start + j]);
        let mut row = Row { values, field: field.collect(), weights: &weights, beta };
        for support in units.support {
            row.draw(support, &chance[start..start + width]);
        }
    });
    let drawn = Tensor::from_vec(values, (rows, width), &Device::Cpu)?;
    Ok(drawn.to_dtype(x.dtype())?.to_device(x.device())?)
}

/// One configuration, and what each of its columns is told by everything else.
struct Row<'a> {
    values: &'a mut [f64],
    field: Vec<f64>,
    weights: &'a [f64],
    beta: f64,
}

impl Row<'_> {
    fn draw(&mut self, support: &Support, chance: &[f64]) {
        match &support.states {
            States::Values(values) => {
                for column in support.columns.clone() {
                    let field = self.field[column];
                    let logits = values.iter().map(|(value, ways)| field * value + ways);
                    let drawn = categorical(logits, chance[column]);
                    self.set(column, values[drawn].0);
                }
            }
            States::OneOf(states) => {
                for first in support.columns.clone().step_by((*states).max(1)) {
                    let logits = self.field[first..first + states].iter().copied();
                    let drawn = first + categorical(logits, chance[first]);
                    for column in first..first + states {
                        self.set(column, f64::from(u8::from(column == drawn)));
                    }
                }
            }
            States::Draws(_) => {}
        }
    }

    fn set(&mut self, column: usize, value: f64) {
        let change = self.beta * (value - self.values[column]);
        if value == self.values[column] {
            return;
        }
        self.values[column] = value;
        let weights = &self.weights[column * self.field.len()..][..self.field.len()];
        self.field.iter_mut().zip(weights).for_each(|(field, weight)| *field += change * weight);
    }
}

/// The number of the state that `chance`, uniform on (0, 1), picks by the logarithms of the states' weights.
fn categorical(logits: impl Iterator<Item = f64> + Clone, chance: f64) -> usize {
    let highest = logits.clone().fold(f64::NEG_INFINITY, f64::max);
    let mut left = chance * logits.clone().map(|logit| (logit - highest).exp()).sum::<f64>();
    let mut last = 0;
    for (state, logit) in logits.enumerate() {
        last = state;
        left -= (logit - highest).exp();
        if left < 0.0 {
            break;
        }
    }
    last
}
