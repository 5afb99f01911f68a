//! A path of machines from independent units (β = 0) to the machine itself (β = 1).
//!
//! Only the couplings are tempered: E_β(v, h) = E_v(v) + E_h(h) − (1 − β)·(a·v + c·h) − β·vᵀWh. At β = 0 the units are
//! independent, under the fields a and c beside their own biases, so that log Z is known and samples are exact. The fields
//! decide how near that beginning is to the data: Salakhutdinov and Murray 2008 start from the data's base rates, and so
//! does [`AnnealingPath::from_cases`], on both sides.

use candle_core::{D, Tensor};

use super::Chains;
use crate::ops::device::to_host;
use crate::{Error, Rbm, Result, Rng, Rows, ops, rows};

/// The fields that stand in for the other layer where couplings are weak: plain data, for machines of one shape.
///
/// Inverse temperatures are columns `(rows, 1)`, so that rows at different ones share every product. Products are vW
/// `(rows, hidden)` and hWᵀ `(rows, visible)`.
#[derive(Debug, Clone)]
pub struct AnnealingPath {
    /// a, `(visible,)`.
    pub visible_field: Tensor,
    /// c, `(hidden,)`.
    pub hidden_field: Tensor,
}

impl AnnealingPath {
    /// From units that have nothing but their own biases: a = 0, c = 0.
    ///
    /// # Errors
    ///
    /// When a bias cannot be read.
    pub fn from_biases(rbm: &Rbm) -> Result<Self> {
        let zeros = |n: usize| Tensor::zeros(n, rbm.dtype(), rbm.device());
        let (visible, hidden) = rbm.weights().dims2()?;
        Ok(Self { visible_field: zeros(visible)?, hidden_field: zeros(hidden)? })
    }

    /// From independent units with these means, `(visible,)` and `(hidden,)`.
    ///
    /// # Errors
    ///
    /// For means of other shapes than the layers'.
    pub fn from_means(rbm: &Rbm, visible: &Tensor, hidden: &Tensor) -> Result<Self> {
        let field = |layer: &dyn crate::Layer, mean: &Tensor| -> Result<Tensor> {
            Ok((layer.bias_for_mean(mean)? - layer.bias()?)?)
        };
        Ok(Self {
            visible_field: field(rbm.visible(), visible)?,
            hidden_field: field(rbm.hidden(), hidden)?,
        })
    }

    /// From independent units with the means that `cases` `(n, visible)` have, and that they cause in the hidden
    /// units.
    ///
    /// # Errors
    ///
    /// When there are no cases.
    pub fn from_cases(rbm: &Rbm, cases: &dyn Rows) -> Result<Self> {
        let mut sums: Option<(Tensor, Tensor)> = None;
        for block in rows::blocks(cases) {
            let block = block?;
            let hidden = ops::sum_rows(&rbm.hidden_mean(&block)?.detach())?;
            let visible = ops::sum_rows(&block)?;
            sums = Some(match sums {
                None => (visible, hidden),
                Some((v, h)) => ((v + visible)?, (h + hidden)?),
            });
        }
        let (visible, hidden) =
            sums.ok_or_else(|| Error::invalid("a path", "at least one case", "none"))?;
        let count = cases.count() as f64;
        Self::from_means(rbm, &(visible / count)?, &(hidden / count)?)
    }

    /// What the hidden units are told at inverse temperatures `betas`, from `products` vW.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn hidden_inputs(&self, products: &Tensor, betas: &Tensor) -> Result<Tensor> {
        ops::interpolate_inputs(products, betas, &self.hidden_field)
    }

    /// What the visible units are told at inverse temperatures `betas`, from `products` hWᵀ.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn visible_inputs(&self, products: &Tensor, betas: &Tensor) -> Result<Tensor> {
        ops::interpolate_inputs(products, betas, &self.visible_field)
    }

    /// E_v(v) − F_β(v), `(rows,)`: the part of log p*_β(v) that changes along the path. `products` is vW.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn log_weight(
        &self,
        rbm: &Rbm,
        visible: &Tensor,
        products: &Tensor,
        betas: &Tensor,
    ) -> Result<Tensor> {
        let cgf = rbm.hidden().cgf(&self.hidden_inputs(products, betas)?)?.detach();
        let field = visible.matmul(&self.visible_field.unsqueeze(1)?)?;
        let field = (field * betas.affine(-1.0, 1.0)?)?.squeeze(D::Minus1)?;
        Ok((cgf + field)?)
    }

    /// log Z of the independent units at β = 0, in nats.
    ///
    /// # Errors
    ///
    /// When the path is of another machine.
    pub fn log_partition_at_zero(&self, rbm: &Rbm) -> Result<f64> {
        let of = |layer: &dyn crate::Layer, field: &Tensor| -> Result<f64> {
            Ok(to_host(&layer.cgf(&field.unsqueeze(0)?)?)?.sum_all()?.to_scalar::<f64>()?)
        };
        Ok(of(rbm.visible(), &self.visible_field)? + of(rbm.hidden(), &self.hidden_field)?)
    }

    /// `count` independent samples of β = 0, `(count, visible)`.
    ///
    /// # Errors
    ///
    /// When the path is of another machine.
    pub fn sample_at_zero(&self, rbm: &Rbm, count: usize, rng: &mut Rng) -> Result<Tensor> {
        let width = self.visible_field.elem_count();
        let inputs = self.visible_field.unsqueeze(0)?.broadcast_as((count, width))?;
        rbm.visible().sample(&inputs.contiguous()?, rng)
    }

    /// Chains at `visible` `(rows, visible)`, their hidden units drawn at `betas`.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn chains(
        &self,
        rbm: &Rbm,
        visible: Tensor,
        betas: &Tensor,
        rng: &mut Rng,
    ) -> Result<Chains> {
        let hidden_inputs = rbm.hidden_inputs(&visible)?.detach();
        let hidden = self.sample_hidden(rbm, &hidden_inputs, betas, rng)?;
        Ok(Chains { visible, hidden_inputs, hidden })
    }

    /// Hidden configurations given the products vW, at `betas`.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn sample_hidden(
        &self,
        rbm: &Rbm,
        products: &Tensor,
        betas: &Tensor,
        rng: &mut Rng,
    ) -> Result<Tensor> {
        rbm.hidden().sample(&self.hidden_inputs(products, betas)?, rng)
    }

    /// Chains whose hidden units are `hidden` `(rows, hidden)`, after one Gibbs step at `betas`.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn step(
        &self,
        rbm: &Rbm,
        hidden: &Tensor,
        betas: &Tensor,
        rng: &mut Rng,
    ) -> Result<Chains> {
        let (visible, hidden_inputs) = self.reconstruct(rbm, hidden, betas, rng)?;
        let hidden = self.sample_hidden(rbm, &hidden_inputs, betas, rng)?;
        Ok(Chains { visible, hidden_inputs, hidden })
    }

    /// Visible configurations that hidden ones cause at `betas`, and the products vW that go with them.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn reconstruct(
        &self,
        rbm: &Rbm,
        hidden: &Tensor,
        betas: &Tensor,
        rng: &mut Rng,
    ) -> Result<(Tensor, Tensor)> {
        let products = rbm.visible_inputs(hidden)?.detach();
        let visible = rbm.visible().sample(&self.visible_inputs(&products, betas)?, rng)?;
        let products = rbm.hidden_inputs(&visible)?.detach();
        Ok((visible, products))
    }
}

/// Inverse temperatures as a column `(betas.len(), 1)` of the machine's type, on its device.
///
/// # Errors
///
/// When the parameters cannot be read or copied.
pub fn beta_column(rbm: &Rbm, betas: &[f64]) -> Result<Tensor> {
    let column = Tensor::new(betas, &candle_core::Device::Cpu)?.unsqueeze(1)?;
    Ok(column.to_dtype(rbm.dtype())?.to_device(rbm.device())?)
}
