//! Gibbs sampling of some visible units given the others: labels that ask for a picture, a half that asks for the other one.

use candle_core::Tensor;

use super::{Chains, Gibbs, Kernel};
use crate::model::Boltzmann;
use crate::{Error, Result, Rng};

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
        let visible =
            self.gibbs.visible_given_hidden(machine, &chains.hidden, Some(&chains.visible), rng)?;
        let visible = self.apply(&visible)?;
        *chains = self.gibbs.init(machine, visible, rng)?;
        Ok(())
    }
}
