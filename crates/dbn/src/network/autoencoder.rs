//! The stack unrolled into a network that describes each case by a short code, and finds the case again from its code.
//!
//! Hinton and Salakhutdinov 2006: up through the machines and down again, each way with weights of its own from then on,
//! fine-tuned by backpropagation. A code layer of Gaussian units is linear. With values left out of the data it is a denoising
//! autoencoder (Vincent et al. 2008).

use candle_core::{DType, Device, Tensor, Var};
use rbm_core::ops::device::to_host;
use rbm_core::ops::{self, Ascent, Connection, Deferred};
use rbm_core::{Error, Rbm, Result, Rng, Rows, Units, rows};

use crate::Examples;
use crate::network::fine_tune::{Batch, Dropout, FineTune, Gradients, Score, mean_above};
use rbm_core::model::ConditionalLayer;

/// Layers to the code and back, that answer with their means.
#[derive(Debug)]
pub struct Autoencoder {
    /// From the data to the code.
    pub encoder: Vec<ConditionalLayer>,
    /// From the code to the data.
    pub decoder: Vec<ConditionalLayer>,
}

impl Autoencoder {
    /// Copies of `rbms`, upwards and then downwards.
    ///
    /// # Errors
    ///
    /// When there are none, or when two neighbours do not fit.
    pub fn unroll(rbms: &[Rbm]) -> Result<Self> {
        if rbms.is_empty() {
            return Err(Error::invalid("an autoencoder", "at least one layer", "none"));
        }
        for pair in rbms.windows(2) {
            let (below, above) = (pair[0].hidden().units(), pair[1].visible().units());
            if below != above {
                let what = "an autoencoder: the units between two machines";
                return Err(Error::invalid(what, below.to_string(), above.to_string()));
            }
        }
        Ok(Self {
            encoder: rbms.iter().map(ConditionalLayer::upwards).collect::<Result<_>>()?,
            decoder: rbms.iter().rev().map(ConditionalLayer::downwards).collect::<Result<_>>()?,
        })
    }

    /// An autoencoder of this shape with neutral parameters, to be filled by a reader; the last of `hidden` is the code.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn empty(visible: &Units, hidden: &[Units], dtype: DType, device: &Device) -> Result<Self> {
        let widths: Vec<_> = std::iter::once(visible).chain(hidden).collect();
        let up = widths.windows(2).map(|pair| (pair[0].width(), pair[1]));
        let down = widths.windows(2).rev().map(|pair| (pair[1].width(), pair[0]));
        let build =
            |(below, units): (usize, &Units)| ConditionalLayer::zeros(below, units, dtype, device);
        Ok(Self {
            encoder: up.map(build).collect::<Result<_>>()?,
            decoder: down.map(build).collect::<Result<_>>()?,
        })
    }

    /// All layers in the order in which the data pass them.
    pub fn layers(&self) -> impl DoubleEndedIterator<Item = &ConditionalLayer> {
        self.encoder.iter().chain(&self.decoder)
    }

    /// How many numbers a code has.
    pub fn code_width(&self) -> usize {
        self.encoder.last().map_or(0, |layer| layer.units.units().width())
    }

    /// The codes `(batch, code)` of `v` `(batch, width)`: the mean activities of the code layer. Differentiable.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn encode(&self, v: &Tensor) -> Result<Tensor> {
        through(&self.encoder, v, "the cases to encode")
    }

    /// What the data layer expects `(batch, width)` for `codes` `(batch, code)`. Differentiable.
    ///
    /// # Errors
    ///
    /// For codes of another width.
    pub fn decode(&self, codes: &Tensor) -> Result<Tensor> {
        through(&self.decoder, codes, "the codes")
    }

    /// [`Autoencoder::decode`] of [`Autoencoder::encode`].
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn reconstruct(&self, v: &Tensor) -> Result<Tensor> {
        self.decode(&self.encode(v)?)
    }

    /// The mean log p(v | its code), in nats, of the rows of `v` `(batch, width)`: for binary units less the cross-entropy, for
    /// Gaussian ones half the squared error and a constant. The backward pass leaves the gradient of the `i`th weights in
    /// `gradient(i)`.
    fn forward_train(
        &self,
        v: &Tensor,
        dropout: Dropout,
        rng: &mut Rng,
        gradient: impl Fn(usize) -> Option<Deferred>,
    ) -> Result<Tensor> {
        let layers: Vec<_> = self.layers().collect();
        let Some((last, others)) = layers.split_last() else {
            return Err(Error::invalid("an autoencoder", "at least one layer", "none"));
        };
        let mut x = v.clone();
        for (i, layer) in others.iter().enumerate() {
            let connection = dropout.connection(i, &layer.weights, gradient(i), rng)?;
            x = mean_above(&*layer.units, &x, &connection)?;
        }
        let i = others.len();
        let inputs = dropout.connection(i, &last.weights, gradient(i), rng)?.inputs(&x)?;
        Ok(last.units.log_probability(&inputs, v)?.mean_all()?)
    }

    /// The mean squared error of a reconstruction, summed over its values, and the mean of −log p(v | its code) in nats, over
    /// `cases` `(n, width)`, a block at a time.
    ///
    /// # Errors
    ///
    /// As `cases` where rows cannot be read, and for another width.
    pub fn errors(&self, cases: &dyn Rows) -> Result<(f64, f64)> {
        let (mut error, mut loss) = (0.0, 0.0);
        let Some((last, others)) = self.decoder.split_last() else { return Ok((error, loss)) };
        for block in rows::blocks(cases) {
            let v = block?.to_device(last.weights.device())?;
            let below = through(others, &self.encode(&v)?, "the codes")?;
            let inputs = ops::product(&below, &last.weights)?.detach();
            let difference = (&v - last.units.mean(&inputs)?)?.detach();
            error += to_host(&ops::sum_within_rows(&difference.sqr()?)?)?
                .sum_all()?
                .to_scalar::<f64>()?;
            let nats = last.units.log_probability(&inputs, &v)?;
            loss -= to_host(&nats)?.sum_all()?.to_scalar::<f64>()?;
        }
        let count = cases.count().max(1) as f64;
        Ok((error / count, loss / count))
    }
}

impl FineTune for Autoencoder {
    fn vars(&self) -> Vec<&Var> {
        self.layers().flat_map(|layer| layer.parameters().into_iter().map(|(_, var)| var)).collect()
    }

    /// The mean log p(v | its code), nats.
    fn ascents(&self, batch: &Batch, rng: &mut Rng) -> Result<(Tensor, Vec<Ascent>)> {
        let deferred: Vec<_> = self.layers().map(|_| Deferred::default()).collect();
        let objective =
            self.forward_train(batch.cases, batch.dropout, rng, |i| deferred.get(i).cloned())?;
        let slopes = Gradients::of(&objective, &self.vars(), &deferred, batch.cases)?;
        Ok((slopes.objective, slopes.ascents))
    }

    fn constrain(&self) -> Result<()> {
        self.layers().try_for_each(|layer| layer.units.constrain())
    }

    fn score(&self, part: &Examples) -> Result<Score> {
        let (error, loss) = self.errors(&part.cases)?;
        Ok(Score { error, loss })
    }
}

/// The means that `x` `(batch, width)` ends in above `layers`; `what` is what to call it where it has another width.
fn through(layers: &[ConditionalLayer], x: &Tensor, what: &str) -> Result<Tensor> {
    // Between the code of a single layer and the data there is nothing.
    let Some(first) = layers.first() else { return Ok(x.clone()) };
    let (width, found) = (first.weights.dims()[0], x.dims2()?.1);
    if found != width {
        let expected = format!("{width} numbers each, as the autoencoder has");
        return Err(Error::invalid(what, expected, found.to_string()));
    }
    layers.iter().try_fold(x.clone(), |x, layer| {
        mean_above(&*layer.units, &x, &Connection::new(&layer.weights))
    })
}
