//! Gibbs sampling of some visible units given the others: labels that ask for a picture, a half that asks for the other one.
//!
//! Missing values are drawn so, given the known ones of their case, or by their conditional means (Practical Guide, §17): a missing value is no input; it is one more unit to be sampled while the known ones are held.

use candle_core::{DType, Tensor};

use super::{Chains, Gibbs, Kernel};
use crate::model::Boltzmann;
use crate::ops::device::to_host;
use crate::{Error, Rbm, Result, Rng};

/// Chains in which some visible units stay as they are: the stationary distribution is p(the others, h | these).
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use rbm_core::sampling::Clamped;
/// use rbm_core::{Kernel, Rbm, Rng, Units};
///
/// let rbm = Rbm::new(&Units::bernoulli(4), &Units::bernoulli(3), DType::F32, &Device::Cpu)?;
/// // The first two units are given, the others are drawn.
/// let values = Tensor::new(&[[1f32, 0.0, 0.0, 0.0]], &Device::Cpu)?;
/// let mask = Tensor::new(&[[1f32, 1.0, 0.0, 0.0]], &Device::Cpu)?;
/// let (clamped, mut rng) = (Clamped::new(&values, &mask)?, Rng::new(0));
/// let mut chains = clamped.init(&rbm, values, &mut rng)?;
/// clamped.advance(&rbm, &mut chains, 20, &mut rng)?;
/// assert_eq!(chains.visible.narrow(1, 0, 2)?.to_vec2::<f32>()?, [[1.0, 0.0]]);
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Clamped {
    /// How the free units are set.
    pub gibbs: Gibbs,
    /// What the clamped units are, `(chains, visible)`; zero in the columns of the others.
    values: Tensor,
    /// 1 where a unit is free, 0 where it is clamped, `(chains, visible)`.
    free: Tensor,
}

impl Clamped {
    /// Clamps the units where `mask` `(chains, visible)` is 1 to their `values` of the same shape; 0 leaves them free. A site
    /// of several columns is clamped as a whole or not at all.
    ///
    /// # Errors
    ///
    /// For two different shapes.
    pub fn new(values: &Tensor, mask: &Tensor) -> Result<Self> {
        if values.dims() != mask.dims() {
            let expected = format!("a mask {:?}", values.dims());
            return Err(Error::invalid("clamped units", expected, format!("{:?}", mask.dims())));
        }
        let mask = mask.to_dtype(values.dtype())?;
        let free = mask.affine(-1.0, 1.0)?;
        // Not a product: where a unit is free, its value may be no number.
        let values = mask.ne(0.0)?.where_cond(values, &values.zeros_like()?)?;
        Ok(Self { gibbs: Gibbs::default(), values: values.detach(), free: free.detach() })
    }

    /// `visible` `(chains, visible)` with the clamped units as they must be.
    ///
    /// # Errors
    ///
    /// When there are not as many rows as chains, or they have another width.
    pub fn apply(&self, visible: &Tensor) -> Result<Tensor> {
        Ok(((visible * &self.free)? + &self.values)?)
    }
}

impl Kernel for Clamped {
    type State = Chains;
    type Info = ();

    fn init(&self, machine: &dyn Boltzmann, visible: Tensor, rng: &mut Rng) -> Result<Chains> {
        self.gibbs.init(machine, self.apply(&visible)?, rng)
    }

    fn step(&self, machine: &dyn Boltzmann, chains: &mut Chains, rng: &mut Rng) -> Result<()> {
        if machine.has_interaction() {
            // Units that are coupled with held ones must have inputs from these while they are drawn.
            let Chains { visible, hidden, .. } = &*chains;
            let visible = machine.draw_rest_held(visible, hidden, &self.free, rng)?;
            *chains = self.gibbs.init(machine, visible, rng)?;
            return Ok(());
        }
        let visible =
            self.gibbs.visible_given_hidden(machine, &chains.hidden, Some(&chains.visible), rng)?;
        let visible = self.apply(&visible)?;
        *chains = self.gibbs.init(machine, visible, rng)?;
        Ok(())
    }
}

/// Fills in what is missing of cases, NaN, by Gibbs sampling with the known values held.
#[derive(Debug, Clone)]
pub struct Imputation {
    /// What missing values begin as, `(visible,)`: the means of their columns.
    pub start: Tensor,
    /// Gibbs steps from there.
    pub steps: usize,
}

impl Imputation {
    /// Missing values begin as `start` `(visible,)` and are drawn in `steps` Gibbs steps.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where `steps` is 0.
    pub fn new(start: &Tensor, steps: usize) -> Result<Self> {
        if steps == 0 {
            return Err(Error::invalid("the Gibbs steps of missing values", "at least one", "0"));
        }
        Ok(Self { start: start.detach(), steps })
    }

    /// `visible` `(cases, visible)` with missing values as they begin, and where values are known; `None` where all are. Columns
    /// behind those of `start`, such as labels, are always known.
    fn begun(&self, visible: &Tensor) -> Result<Option<(Tensor, Tensor)>> {
        let known = visible.eq(visible)?;
        let count = to_host(&known.to_dtype(DType::F32)?.sum_all()?)?.to_scalar::<f64>()?;
        if count == visible.elem_count() as f64 {
            return Ok(None);
        }
        let beside = visible.dim(1)?.saturating_sub(self.start.dim(0)?);
        let start = match beside {
            0 => self.start.clone(),
            _ => self.start.pad_with_zeros(0, 0, beside)?,
        };
        let start = start.to_dtype(visible.dtype())?.broadcast_as(visible.shape())?;
        Ok(Some((known.where_cond(visible, &start.contiguous()?)?, known)))
    }

    /// `visible` `(cases, visible)` with missing values as they begin: the means of their columns.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn started(&self, visible: &Tensor) -> Result<Tensor> {
        Ok(self.begun(visible)?.map_or_else(|| visible.clone(), |(filled, _)| filled))
    }

    /// `visible` `(cases, visible)` with every missing value drawn given the known ones of its case. A leaf.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn sample(
        &self,
        machine: &dyn Boltzmann,
        visible: &Tensor,
        rng: &mut Rng,
    ) -> Result<Tensor> {
        let Some((filled, known)) = self.begun(visible)? else { return Ok(visible.clone()) };
        let kernel = Clamped::new(&filled, &known)?;
        let mut chains = kernel.init(machine, filled, rng)?;
        kernel.advance(machine, &mut chains, self.steps, rng)?;
        Ok(chains.visible)
    }

    /// `visible` `(cases, visible)` with every missing value at its mean given the known ones of its case: of `draws` Gibbs steps
    /// after the first [`Imputation::steps`], the mean of what the hidden units then say of it. A leaf.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn mean(&self, rbm: &Rbm, visible: &Tensor, draws: usize, rng: &mut Rng) -> Result<Tensor> {
        let Some((filled, known)) = self.begun(visible)? else { return Ok(visible.clone()) };
        let kernel = Clamped::new(&filled, &known)?;
        let mut chains = kernel.init(rbm, filled, rng)?;
        kernel.advance(rbm, &mut chains, self.steps, rng)?;
        let mut sum = rbm.visible_mean(&chains.hidden)?.detach();
        for _ in 1..draws {
            kernel.step(rbm, &mut chains, rng)?;
            sum = (sum + rbm.visible_mean(&chains.hidden)?.detach())?;
        }
        kernel.apply(&(sum / draws.max(1) as f64)?)
    }
}
