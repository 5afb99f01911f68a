//! The network: machines on top of each other, and label units beside the units of the top one.
//!
//! Label units are a site of one-hot units on the visible side of the top machine, after those of the layer below. It learns
//! pictures and their labels together, so that it can be asked for either by the other (Hinton, Osindero, Teh 2006, §5 and
//! §6.1). What it says of the labels is [`ClassRbm`]'s.

use candle_core::{DType, Device, Tensor};
use rbm_core::sampling::Chains;
use rbm_core::{ClassRbm, Error, Gibbs, Kernel, Rbm, Result, Rng, Units};

use rbm_core::model::ConditionalLayer;

/// A deep belief network: the hidden units of each machine are the visible ones of the next.
///
/// The top machine is undirected; below it the network generates downwards and recognises upwards (Hinton, Osindero, Teh 2006):
/// with the same weights after greedy learning, with weights of their own where [`Dbn::generative`] has them. `rbms[0]` is the
/// lowest.
///
/// It sees data as they are prepared: shifted and scaled. A [`Model`](crate::Model) prepares them, and is what files hold.
///
/// ```
/// use candle_core::{DType, Device};
/// use candle_dbn::Dbn;
/// use rbm_core::{Rbm, Rng, Units};
///
/// let rng = &mut Rng::new(0);
/// let machine = |visible, hidden| {
///     let (visible, hidden) = (Units::bernoulli(visible), Units::bernoulli(hidden));
///     Rbm::new(&visible, &hidden, DType::F32, &Device::Cpu)
/// };
/// let dbn = Dbn::new(vec![machine(64, 32)?, machine(32, 8)?])?;
/// let x = candle_dbn::data::load("digits", &Default::default())?.train.cases.thinned(10)?;
/// let features = dbn.features(&x)?;                   // of both layers
/// assert_eq!(features[1].dims(), [x.dim(0)?, 8]);
/// let samples = dbn.sample(5, 100, rng)?;             // 100 Gibbs steps in the top machine, then down
/// assert_eq!(samples.dims(), [5, 64]);
/// # Ok::<(), candle_dbn::Error>(())
/// ```
#[derive(Debug)]
pub struct Dbn {
    /// The machines from the bottom up; at least one, and neighbours agree on their common layer's width.
    pub rbms: Vec<Rbm>,
    /// How many classes the label units beside the top machine's other visible units tell apart, if there are any.
    pub classes: Option<usize>,
    /// What makes layer i of the layer above it, one for each machine below the top; none while the machines' own weights do.
    pub generative: Vec<ConditionalLayer>,
}

impl Dbn {
    /// A stack of these machines.
    ///
    /// # Errors
    ///
    /// When there are none, or when two neighbours do not fit.
    pub fn new(rbms: Vec<Rbm>) -> Result<Self> {
        Self::of(rbms, None)
    }

    /// A stack whose top machine has a site of `classes` label units after its other visible units.
    ///
    /// # Errors
    ///
    /// As [`Dbn::new`] does, and when there are no such units.
    pub fn with_labels(rbms: Vec<Rbm>, classes: usize) -> Result<Self> {
        Self::of(rbms, Some(classes))
    }

    fn of(rbms: Vec<Rbm>, classes: Option<usize>) -> Result<Self> {
        let Some(top) = rbms.last() else {
            return Err(Error::invalid("a deep belief network", "at least one layer", "none"));
        };
        let layers = rbms.len();
        if let Some(classes) = classes {
            let units = top.visible().units();
            let site = Units::Potts { sites: 1, states: classes };
            if units.groups().len() < 2
                || units.groups().last().map(|(_, last)| *last) != Some(&site)
            {
                let what = format!("the visible units of layer {layers}");
                return Err(Error::invalid(
                    what,
                    format!("others and {site} after them"),
                    units.to_string(),
                ));
            }
        }
        for (i, pair) in rbms.windows(2).enumerate() {
            let (below, above) = (pair[0].hidden().units(), pair[1].visible().units());
            let expected = match classes {
                Some(classes) if i + 2 == layers => with_label_units(&below, classes),
                _ => below,
            };
            if expected != above {
                let what = format!("the visible units of layer {}", i + 2);
                return Err(Error::invalid(what, expected.to_string(), above.to_string()));
            }
        }
        Ok(Self { rbms, classes, generative: Vec::new() })
    }

    /// A network with its own copy of every parameter.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            rbms: self.rbms.iter().map(Rbm::try_clone).collect::<Result<_>>()?,
            classes: self.classes,
            generative: self
                .generative
                .iter()
                .map(ConditionalLayer::try_clone)
                .collect::<Result<_>>()?,
        })
    }

    /// Gives the way down weights of its own, which begin as those of the machines.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn untie(&mut self) -> Result<()> {
        self.generative =
            self.below_top().iter().map(ConditionalLayer::downwards).collect::<Result<_>>()?;
        Ok(())
    }

    /// The width of the data.
    pub fn width(&self) -> usize {
        let units = self.bottom().visible().units().width();
        if self.rbms.len() == 1 { units - self.classes.unwrap_or(0) } else { units }
    }

    /// The units of the data layer, without labels.
    pub fn visible_units(&self) -> Units {
        let units = self.bottom().visible().units();
        let mut groups: Vec<Units> =
            units.groups().into_iter().map(|(_, units)| units.clone()).collect();
        if self.rbms.len() > 1 || self.classes.is_none() {
            return units;
        }
        groups.pop();
        match groups.pop() {
            Some(only) if groups.is_empty() => only,
            last => Units::Concat { groups: groups.into_iter().chain(last).collect() },
        }
    }

    /// The layer that data are clamped to, as part of its machine.
    pub fn bottom(&self) -> &Rbm {
        &self.rbms[0]
    }

    /// The undirected machine on top.
    pub fn top(&self) -> &Rbm {
        &self.rbms[self.rbms.len() - 1]
    }

    /// The machines below it.
    pub fn below_top(&self) -> &[Rbm] {
        &self.rbms[..self.rbms.len() - 1]
    }

    /// F(v) of the lowest machine, in nats, `(batch,)`; where it has label units, these are summed out. Where recognition and
    /// generation have weights of their own, the top machine is the only one: F of what comes up to it, by means. Differentiable.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn free_energy(&self, v: &Tensor) -> Result<Tensor> {
        match self.rbms.len() {
            1 => self.top_free_energy(v),
            _ if self.is_machine(0) => self.bottom().free_energy(v),
            _ => self.top_free_energy(&up(self.below_top(), v)?),
        }
    }

    /// Whether layer `layer` is a machine: the top always is, those below it as long as their weights serve both ways.
    pub fn is_machine(&self, layer: usize) -> bool {
        layer + 1 == self.rbms.len() || self.generative.is_empty()
    }

    /// The top machine as one of data and their labels.
    ///
    /// # Errors
    ///
    /// Where the network has no label units.
    pub fn class_rbm(&self) -> Result<ClassRbm<'_>> {
        ClassRbm::of(self.top())
    }

    /// p(label | x), `(batch, classes)`, for the cases `x` `(batch, width)` of the top machine. A leaf.
    pub(crate) fn label_posterior(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.class_rbm()?.log_probabilities(x)?.exp()?.detach())
    }

    /// The free energy of the top machine for its cases `x`; labels are summed out.
    pub(crate) fn top_free_energy(&self, x: &Tensor) -> Result<Tensor> {
        match self.classes {
            Some(_) => {
                let energies = self.class_rbm()?.free_energies(x)?;
                Ok(energies.neg()?.log_sum_exp(1)?.neg()?)
            }
            None => self.top().free_energy(x),
        }
    }

    /// The mean activities of every hidden layer from the bottom up, `(batch, hidden)` each, for `v` `(batch, width)`:
    /// the deterministic up-pass. Where there are label units, those of the top layer are means over the labels that the
    /// machine believes in. Differentiable.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn features(&self, v: &Tensor) -> Result<Vec<Tensor>> {
        let mut features: Vec<Tensor> = Vec::with_capacity(self.rbms.len());
        for rbm in self.below_top() {
            features.push(rbm.hidden_mean(features.last().unwrap_or(v))?);
        }
        features.push(self.top_mean(features.last().unwrap_or(v))?);
        Ok(features)
    }

    /// The mean activities of the top layer, `(batch, hidden)`.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn up(&self, v: &Tensor) -> Result<Tensor> {
        self.top_mean(&up(self.below_top(), v)?)
    }

    /// `v` `(batch, width)` sent up to the top machine, by means, without labels.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn penultimate(&self, v: &Tensor) -> Result<Tensor> {
        Ok(up(self.below_top(), v)?.detach())
    }

    /// The visible units of the top machine given `v` `(batch, width)`, by means; its label units have the probabilities of their states.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn top_visible(&self, v: &Tensor) -> Result<Tensor> {
        let x = self.penultimate(v)?;
        if self.classes.is_none() {
            return Ok(x);
        }
        join_labels(&x, &self.label_posterior(&x)?)
    }

    /// E[h | x] of the top machine, whose other visible units are `x`.
    fn top_mean(&self, x: &Tensor) -> Result<Tensor> {
        match self.classes {
            Some(_) => self.class_rbm()?.hidden_mean(x),
            None => self.top().hidden_mean(x),
        }
    }

    /// The mean of the data layer, `(batch, width)`, for top-layer activities `h`: the deterministic down-pass.
    ///
    /// # Errors
    ///
    /// For activities of another width.
    pub fn down(&self, h: &Tensor) -> Result<Tensor> {
        (0..self.rbms.len()).rev().try_fold(h.clone(), |h, layer| self.mean_below(layer, &h, None))
    }

    /// `v` sent up and down again through the first `layers` machines, by means.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn reconstruct(&self, v: &Tensor, layers: usize) -> Result<Tensor> {
        let layers = layers.min(self.rbms.len());
        let top = match layers == self.rbms.len() {
            true => self.up(v)?,
            false => up(&self.rbms[..layers], v)?,
        };
        (0..layers).rev().try_fold(top, |h, layer| self.mean_below(layer, &h, Some(v)))
    }

    /// The mean of what machine `layer` makes of its hidden units `h`, without labels: where cases have numbers of draws of their own,
    /// those of `like` or else one draw.
    fn mean_below(&self, layer: usize, h: &Tensor, like: Option<&Tensor>) -> Result<Tensor> {
        match self.generative.get(layer) {
            Some(generative) => generative.mean(h),
            None => {
                let one = Tensor::ones((h.dim(0)?, 1), h.dtype(), h.device())?;
                let mean = self.rbms[layer].visible_mean_like(h, like.unwrap_or(&one))?;
                self.without_labels(layer, mean)
            }
        }
    }

    /// A sample of the same.
    fn sample_below(&self, layer: usize, h: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        match self.generative.get(layer) {
            Some(generative) => generative.sample(h, rng),
            None => self.without_labels(layer, self.rbms[layer].sample_visible(h, rng)?),
        }
    }

    /// The visible units `x` of machine `layer` `(batch, visible)` but for the label units.
    pub(crate) fn without_labels(&self, layer: usize, x: Tensor) -> Result<Tensor> {
        match self.classes {
            Some(classes) if layer + 1 == self.rbms.len() => {
                Ok(x.narrow(1, 0, x.dim(1)? - classes)?.contiguous()?)
            }
            _ => Ok(x),
        }
    }

    /// `count` samples `(count, width)`: `steps` Gibbs steps of the top machine, then one directed pass down, sampled in
    /// every layer but the lowest, whose means are returned (what the network believes, not binary noise).
    ///
    /// # Errors
    ///
    /// For no samples, and as [`Dbn::decode`].
    pub fn sample(&self, count: usize, steps: usize, rng: &mut Rng) -> Result<Tensor> {
        let mut chains = self.start_chains(count, rng)?;
        Gibbs::default().advance(self.top(), &mut chains, steps, rng)?;
        self.decode(&chains.hidden, rng)
    }

    /// Chains of the top machine that start at its visible units' own biases.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn start_chains(&self, count: usize, rng: &mut Rng) -> Result<Chains> {
        let top = self.top();
        let width = top.visible().units().width();
        let silence = Tensor::zeros((count, width), top.dtype(), top.device())?;
        let visible = top.visible().sample(&silence, rng)?;
        Gibbs::default().init(top, visible, rng)
    }

    /// Chains of the top machine that start where a sampled up-pass of `v` `(chains, width)` ends; label units start at a
    /// sample of what the machine believes.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn start_chains_at(&self, v: &Tensor, rng: &mut Rng) -> Result<Chains> {
        let visible = self.sample_penultimate(v, rng)?;
        let visible = match self.classes {
            Some(classes) => {
                let labels =
                    Units::Potts { sites: 1, states: classes }.build(v.dtype(), v.device())?;
                let log_probabilities = self.class_rbm()?.log_probabilities(&visible)?;
                join_labels(&visible, &labels.sample(&log_probabilities.detach(), rng)?)?
            }
            None => visible,
        };
        Gibbs::default().init(self.top(), visible, rng)
    }

    /// `v` `(batch, width)` sent up to the top machine by samples, without labels.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn sample_penultimate(&self, v: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        self.below_top().iter().try_fold(v.clone(), |v, rbm| rbm.sample_hidden(&v, rng))
    }

    /// The data-layer means below top-layer configurations `h` `(count, hidden)`, sampling the layers between.
    ///
    /// # Errors
    ///
    /// For activities of another width.
    pub fn decode(&self, h: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        Ok(self.mean_below(0, &self.fall_to_first_hidden(h, rng)?, None)?.detach())
    }

    /// Data-layer configurations below top-layer ones: [`Dbn::decode`], with the data layer sampled too.
    ///
    /// # Errors
    ///
    /// For activities of another width.
    pub fn ancestral_sample(&self, h: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        let h = self.fall_to_first_hidden(h, rng)?;
        self.sample_below(0, &h, rng)
    }

    /// What data-layer configurations `x`, visible ones of the top machine `(count, visible)`, cause: themselves but for labels
    /// where that is the only machine.
    ///
    /// # Errors
    ///
    /// For activities of another width.
    pub fn decode_from_top(&self, x: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        let top = self.rbms.len() - 1;
        let x = self.without_labels(top, x.clone())?;
        (0..top).rev().try_fold(x, |x, layer| self.sample_below(layer, &x, rng))
    }

    fn fall_to_first_hidden(&self, h: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        (1..self.rbms.len()).rev().try_fold(h.clone(), |h, layer| self.sample_below(layer, &h, rng))
    }
}

/// The deterministic up-pass through `rbms`.
pub(crate) fn up(rbms: &[Rbm], v: &Tensor) -> Result<Tensor> {
    rbms.iter().try_fold(v.clone(), |v, rbm| rbm.hidden_mean(&v))
}

/// Whether each case has a number of draws of its own: documents of different lengths.
pub fn has_own_draws(units: &Units) -> bool {
    matches!(units, Units::Multinomial { draws: 0, .. })
}

/// `units` with a site of `classes` label units after them.
pub fn with_label_units(units: &Units, classes: usize) -> Units {
    let mut groups: Vec<Units> =
        units.groups().into_iter().map(|(_, units)| units.clone()).collect();
    groups.push(Units::Potts { sites: 1, states: classes });
    Units::Concat { groups }
}

/// One-hot codes `(labels.len(), classes)`.
///
/// # Errors
///
/// For a label that is not below `classes`.
pub fn label_codes(
    labels: &[u32],
    classes: usize,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let mut values = vec![0f32; labels.len() * classes];
    for (row, &label) in values.chunks_mut(classes.max(1)).zip(labels) {
        match row.get_mut(label as usize) {
            Some(value) => *value = 1.0,
            None => {
                let expected = format!("below the model's {classes} classes");
                return Err(Error::invalid("a label", expected, label.to_string()));
            }
        }
    }
    let codes = Tensor::from_vec(values, (labels.len(), classes), &Device::Cpu)?;
    Ok(codes.to_dtype(dtype)?.to_device(device)?)
}

/// The visible side of the top machine, `(batch, width + classes)`, from the data, sent up, and the labels' codes.
///
/// # Errors
///
/// Where there are not as many rows of both.
pub fn join_labels(x: &Tensor, codes: &Tensor) -> Result<Tensor> {
    Ok(Tensor::cat(&[x, codes], 1)?.contiguous()?)
}
