//! What stands for missing values in data that a model learns from or is shown.

use candle_core::{Device, Tensor};
use candle_dbn_data::{Missing, View};
use rbm_core::sampling::Imputation;
use rbm_core::{Rbm, Result, Rng, rows};

use crate::Standardise;

/// Gibbs steps from the means of the columns to a drawn value.
const STEPS: usize = 5;
/// Gibbs steps that a conditional mean is over, after those that it forgets.
const DRAWS: usize = 50;

/// What a model knows of values that are missing.
#[derive(Debug, Clone, PartialEq)]
pub struct MissingValues {
    /// What becomes of them: [`Missing::Mean`] or [`Missing::Gibbs`].
    pub how: Missing,
    /// The means of the columns `(width,)` over the known values of the training cases, before they are standardised.
    pub mean: Vec<f32>,
}

impl MissingValues {
    /// How they are drawn, if they are, among values that `standardise` gives.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn imputation(
        &self,
        standardise: Option<&Standardise>,
        device: &Device,
    ) -> Result<Option<Imputation>> {
        if self.how != Missing::Gibbs {
            return Ok(None);
        }
        let mean = Tensor::from_slice(&self.mean, (1, self.mean.len()), device)?;
        let start = match standardise {
            Some(standardise) => standardise.apply(&mean)?,
            None => mean,
        };
        Ok(Some(Imputation::new(&start.squeeze(0)?, STEPS)?))
    }
}

/// `cases` with what is missing at its conditional mean under the machine `bottom`: the same whenever it is asked for.
///
/// # Errors
///
/// As `cases` where rows cannot be read, and for another width.
pub fn complete(cases: &View, imputation: &Imputation, bottom: &Rbm) -> Result<View> {
    if !cases.may_miss() {
        return Ok(cases.clone());
    }
    let mut rng = Rng::new(0);
    let blocks = rows::blocks(cases).map(|block| {
        let block = block?.to_device(bottom.device())?;
        Ok(completed(&block, imputation, bottom, &mut rng)?.to_device(&Device::Cpu)?)
    });
    let blocks: Vec<Tensor> = blocks.collect::<Result<_>>()?;
    cases.with_values(&Tensor::cat(&blocks, 0)?)
}

/// The same for a tensor of cases `(batch, width)` on the machine's device.
///
/// # Errors
///
/// For cases of another width, or on another device.
pub fn completed(
    cases: &Tensor,
    imputation: &Imputation,
    bottom: &Rbm,
    rng: &mut Rng,
) -> Result<Tensor> {
    imputation.mean(bottom, cases, DRAWS, rng)
}
