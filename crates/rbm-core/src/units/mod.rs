//! Layers: the trait of all units, a file for each kind, and several kinds side by side.

pub mod base_units;
mod bernoulli;
mod binomial;
mod concat;
pub mod enumerate;
mod gaussian;
mod kind;
mod layer;
mod multinomial;
mod potts;
mod relu;
mod spin;

pub use base_units::BaseUnits;
pub use bernoulli::Bernoulli;
pub use binomial::Binomial;
pub use concat::Concat;
pub use gaussian::Gaussian;
pub use kind::{Units, Variance};
pub use layer::{Discrete, Layer, NoUnits, States, Support, Tail, add_to_biases, first_columns};
pub use multinomial::Multinomial;
pub use potts::Potts;
pub use relu::Relu;
pub use spin::Spin;

use candle_core::{DType, Device, Tensor};

use self::layer::cat;
use crate::{Error, Result};

impl Units {
    /// A layer of these units with neutral parameters.
    ///
    /// # Errors
    ///
    /// For an empty layer, for units of one's own ([`Units::Other`]), and for types other than `f32` and `f64`.
    pub fn build(&self, dtype: DType, device: &Device) -> Result<Box<dyn Layer>> {
        Ok(match self {
            Self::Bernoulli { size } => Box::new(Bernoulli::new(*size, dtype, device)?),
            Self::Spin { size } => Box::new(Spin::new(*size, dtype, device)?),
            Self::Binomial { size, trials } => {
                Box::new(Binomial::new(*size, *trials, dtype, device)?)
            }
            Self::Potts { sites, states } => Box::new(Potts::new(*sites, *states, dtype, device)?),
            Self::Multinomial { size, draws } => {
                Box::new(Multinomial::new(*size, *draws, dtype, device)?)
            }
            Self::Relu { size } => Box::new(Relu::new(*size, dtype, device)?),
            Self::Gaussian { size, variance } => {
                Box::new(Gaussian::new(*size, *variance, dtype, device)?)
            }
            Self::Concat { groups } => {
                let build = |units: &Self| units.build(dtype, device);
                Box::new(Concat::new(groups.iter().map(build).collect::<Result<_>>()?)?)
            }
            Self::Other { name, .. } => {
                let expected = "units of the library (for a layer of your own: Layer::try_clone and Rbm::from_parts)";
                return Err(Error::invalid("the units of a layer", expected, name));
            }
        })
    }

    /// The configurations nearest to `x` `(batch, width)`, which may be means or grey values. Continuous units have none nearer than
    /// `x` itself.
    ///
    /// # Errors
    ///
    /// When the shape does not fit, and for units that are not built from this.
    pub fn nearest(&self, x: &Tensor) -> Result<Tensor> {
        let parts = self.groups().into_iter().map(|(columns, units)| -> Result<Tensor> {
            let part = x.narrow(1, columns.start, columns.len())?.contiguous()?;
            match units.build(x.dtype(), x.device())?.discrete() {
                Some(layer) => layer.nearest(&part),
                None => Ok(part),
            }
        });
        cat(&parts.collect::<Result<Vec<_>>>()?, 1)
    }
}

/// Asks whether a file can say what `layer` is.
///
/// # Errors
///
/// Unless `layer` is what [`Units::build`] makes of its units: what a file can say.
pub fn check_storable(layer: &dyn Layer) -> Result<()> {
    let units = layer.units();
    let is_own = match &units {
        Units::Other { .. } => true,
        units => {
            let dtype = layer.vars().first().map_or(DType::F32, |(_, var)| var.dtype());
            units.build(dtype, &Device::Cpu)?.type_name() != layer.type_name()
        }
    };
    if !is_own {
        return Ok(());
    }
    let expected = "units of the library, which a file can name: save Layer::vars yourself, as tensors by name, and make the \
                    machine again with Rbm::from_parts";
    Err(Error::invalid(format!("a layer of {}", layer.type_name()), expected, "a type of your own"))
}
