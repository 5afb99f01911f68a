//! Where a path to a machine begins: the units of a layer as they are where couplings have no say.
//!
//! What other units say to a unit is mostly its average, which a field can stand in for, and it spreads: a measurement that varies little
//! once all others are known may vary much before. So real-valued units have lower precisions where couplings are weak. Scaled by
//! s = √(γ/γ′), units of precision γ are those of γ′: p(x) ∝ exp(f·x − γ′·x²/2) is s times a unit with the input s·f.

use std::ops::Range;

use candle_core::{D, Device, Tensor};

use super::{Layer, Tail};
use crate::ops::device::to_host;
use crate::state::State;
use crate::{Result, Rng, ops};

/// What stands in for the couplings of a layer's units at the inverse temperature β = 0, and 1 − β times on the way to β = 1.
///
/// Inverse temperatures are columns `(rows, 1)`, one for each row. What the couplings say, `(rows, width)`, is that of β = 1.
#[derive(Debug, Clone)]
pub struct BaseUnits {
    /// What is said in place of what the couplings say, `(width,)`.
    pub field: Tensor,
    widening: Option<Widening>,
}

/// The least share of its own precision that a unit begins with: single precision holds what is far above it.
const LEAST_SHARE: f64 = 1e-4;

/// How much lower the precisions are.
#[derive(Debug, Clone)]
struct Widening {
    /// The share of its own precision γ that each unit has, `(width,)`: at most 1, and 1 where it keeps all.
    share: Tensor,
    shares: Vec<f64>,
    /// What that adds to γ: (share − 1)·γ.
    added: Tensor,
}

impl BaseUnits {
    /// Units with the input `field` `(width,)` and their own precisions.
    pub fn of_field(field: Tensor) -> Self {
        Self { field, widening: None }
    }

    /// Whether these are [`BaseUnits::of_field`] of `field` `(width,)`.
    pub(crate) fn is_field(&self, field: &Tensor) -> Result<bool> {
        let host = |x: &Tensor| -> Result<Vec<f64>> { Ok(to_host(&x.detach())?.to_vec1()?) };
        Ok(self.widening.is_none() && host(&self.field)? == host(field)?)
    }

    /// The units of `layer`, under nothing but their own biases.
    ///
    /// # Errors
    ///
    /// When a bias cannot be read.
    pub fn of_biases(layer: &dyn Layer) -> Result<Self> {
        Ok(Self::of_field(layer.bias()?.zeros_like()?))
    }

    /// Units of `layer` with these means `(width,)`; where `variance` `(width,)` says more than the layer's own precisions, real-valued units that
    /// may be negative have it too.
    ///
    /// # Errors
    ///
    /// For means and variances of another shape than the layer's.
    pub fn of_moments(layer: &dyn Layer, mean: &Tensor, variance: Option<&Tensor>) -> Result<Self> {
        let (own, bias) = (layer.bias_for_mean(mean)?, layer.bias()?);
        let Some(variance) = variance else { return Ok(Self::of_field((own - bias)?)) };
        let variances = to_host(variance)?.to_vec1::<f64>()?;
        let (mut added, mut shares) = (Vec::new(), Vec::new());
        for (tail, variance) in layer.tails()?.into_iter().zip(variances) {
            let share = (tail.precision * variance).recip().max(LEAST_SHARE);
            let is_wider = tail.is_any_number() && variance.is_finite() && share < 1.0;
            shares.push(if is_wider { share } else { 1.0 });
            added.push(if is_wider { tail.precision * (share - 1.0) } else { 0.0 });
        }
        if shares.iter().all(|share| *share == 1.0) {
            return Ok(Self::of_field((own - bias)?));
        }
        let tensor = |numbers: &[f64]| -> Result<Tensor> {
            let tensor = Tensor::new(numbers, &Device::Cpu)?.to_dtype(bias.dtype())?;
            Ok(tensor.to_device(bias.device())?)
        };
        let (added, share) = (tensor(&added)?, tensor(&shares)?);
        // f·x − γ′·x²/2 is greatest at f/γ′, where the bias for a mean is that of γ.
        let field = ((own * &share)? - bias)?;
        Ok(Self { field, widening: Some(Widening { share, shares, added }) })
    }

    /// The units of these columns.
    ///
    /// # Errors
    ///
    /// For columns that there are not.
    pub fn narrow(&self, columns: &Range<usize>) -> Result<Self> {
        let part = |x: &Tensor| x.narrow(0, columns.start, columns.len());
        let widening = match &self.widening {
            Some(Widening { share, shares, added }) => Some(Widening {
                share: part(share)?,
                shares: shares.get(columns.clone()).unwrap_or_default().to_vec(),
                added: part(added)?,
            }),
            None => None,
        };
        Ok(Self { field: part(&self.field)?, widening })
    }

    /// The share of its own precision that each unit has at β = 0; none where all keep theirs.
    pub fn precision_shares(&self) -> Option<&[f64]> {
        self.widening.as_ref().map(|widening| &widening.shares[..])
    }

    /// The inputs of the units `(rows, width)`, where the couplings say `products`.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit.
    pub fn inputs(&self, products: &Tensor, betas: &Tensor) -> Result<Tensor> {
        match self.field.elem_count() {
            0 => Ok(products.clone()),
            _ => ops::interpolate_inputs(products, betas, &self.field),
        }
    }

    /// The inputs of units with the layer's own precisions, and by how much these are to be scaled, if at all.
    fn scaled_inputs(
        &self,
        layer: &dyn Layer,
        products: &Tensor,
        betas: &Tensor,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let inputs = self.inputs(products, betas)?;
        let Some(Widening { share, .. }) = &self.widening else { return Ok((inputs, None)) };
        let begun = betas.affine(-1.0, 1.0)?.broadcast_mul(&share.unsqueeze(0)?)?;
        let scale = begun.broadcast_add(betas)?.sqrt()?.recip()?;
        let bias = scale.affine(1.0, -1.0)?.broadcast_mul(&layer.bias()?.unsqueeze(0)?)?;
        Ok((((inputs * &scale)? + bias)?, Some(scale)))
    }

    /// Configurations `(rows, width)` of the units.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit.
    pub fn sample(
        &self,
        layer: &dyn Layer,
        products: &Tensor,
        betas: &Tensor,
        rng: &mut Rng,
    ) -> Result<Tensor> {
        let (inputs, scale) = self.scaled_inputs(layer, products, betas)?;
        let drawn = layer.sample(&inputs, rng)?;
        Ok(match scale {
            Some(scale) => (drawn * scale)?,
            None => drawn,
        })
    }

    /// log Σₓ exp(inputs·x − E(x)) of the units (an integral for real-valued ones), `(rows,)`. Differentiable in the inputs.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit.
    pub fn cgf(&self, layer: &dyn Layer, products: &Tensor, betas: &Tensor) -> Result<Tensor> {
        let (inputs, scale) = self.scaled_inputs(layer, products, betas)?;
        let cgf = layer.cgf(&inputs)?;
        Ok(match scale {
            Some(scale) => (cgf + scale.log()?.sum(D::Minus1)?)?,
            None => cgf,
        })
    }

    /// What stands in for the couplings, of configurations `x` `(rows, width)`: what it takes from the energy at β = 0, `(rows, 1)`.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit.
    pub fn instead_of_couplings(&self, x: &Tensor) -> Result<Tensor> {
        let along = x.matmul(&self.field.unsqueeze(1)?)?;
        match &self.widening {
            Some(Widening { added, .. }) => {
                Ok((along - (x.sqr()?.matmul(&added.unsqueeze(1)?)? * 0.5)?)?)
            }
            None => Ok(along),
        }
    }

    /// log Z of the units at β = 0, in nats.
    ///
    /// # Errors
    ///
    /// When they are of another layer.
    pub fn log_partition(&self, layer: &dyn Layer) -> Result<f64> {
        let (nothing, zero) = self.at_zero(1)?;
        Ok(to_host(&self.cgf(layer, &nothing, &zero)?)?.sum_all()?.to_scalar::<f64>()?)
    }

    /// `count` independent configurations of β = 0, `(count, width)`.
    ///
    /// # Errors
    ///
    /// When they are of another layer.
    pub fn sample_at_zero(&self, layer: &dyn Layer, count: usize, rng: &mut Rng) -> Result<Tensor> {
        let (nothing, zero) = self.at_zero(count)?;
        self.sample(layer, &nothing, &zero, rng)
    }

    /// What couplings say that have no say, and β = 0.
    fn at_zero(&self, count: usize) -> Result<(Tensor, Tensor)> {
        let zeros = |width: usize| -> Result<Tensor> {
            Ok(Tensor::zeros((count, width), self.field.dtype(), self.field.device())?)
        };
        Ok((zeros(self.field.elem_count())?, zeros(1)?))
    }

    /// Everything as named tensors.
    pub fn state(&self) -> State {
        let added = self.widening.iter().map(|w| ("precision".to_owned(), w.added.clone()));
        std::iter::once(("field".to_owned(), self.field.clone())).chain(added).collect()
    }
}

/// Whether some of the units of `layer` are any number.
///
/// # Errors
///
/// When the precisions cannot be read.
pub fn has_numbers(layer: &dyn Layer) -> Result<bool> {
    Ok(layer.tails()?.iter().any(Tail::is_any_number))
}
