//! The network: machines on top of each other.

use candle_core::Tensor;
use rbm_core::model::ConditionalLayer;
use rbm_core::sampling::Chains;
use rbm_core::{ClassRbm, Error, Gibbs, Kernel, Rbm, Result, Rng, Units};

use super::top::Top;

/// A deep belief network: the hidden units of each machine are the visible ones of the next.
///
/// The top machine is undirected; below it the network generates downwards and recognises upwards (Hinton, Osindero, Teh 2006):
/// with the same weights after greedy learning, with weights of their own where [`Dbn::generative`] has them.
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
    below: Vec<Rbm>,
    top: Top,
    /// What makes layer i of the layer above it, one for each machine below the top; none while the machines' own weights do.
    pub generative: Vec<ConditionalLayer>,
}

impl Dbn {
    /// A stack of these machines, from the bottom up.
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

    fn of(mut rbms: Vec<Rbm>, classes: Option<usize>) -> Result<Self> {
        let Some(top) = rbms.pop() else {
            return Err(Error::invalid("a deep belief network", "at least one layer", "none"));
        };
        let visible = |layer: usize| format!("the visible units of layer {}", layer + 1);
        for (i, pair) in rbms.windows(2).enumerate() {
            let (expected, found) = (pair[0].hidden().units(), pair[1].visible().units());
            if expected != found {
                return Err(Error::invalid(
                    visible(i + 1),
                    expected.to_string(),
                    found.to_string(),
                ));
            }
        }
        let below = rbms.last().map(|rbm| rbm.hidden().units());
        let top = Top::new(top, below.as_ref(), classes, &visible(rbms.len()))?;
        Ok(Self { below: rbms, top, generative: Vec::new() })
    }

    /// A network with its own copy of every parameter.
    ///
    /// # Errors
    ///
    /// Where a tensor operation fails: for want of memory, or for tensors on several devices.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            below: self.below.iter().map(Rbm::try_clone).collect::<Result<_>>()?,
            top: self.top.try_clone()?,
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
            self.below.iter().map(ConditionalLayer::downwards).collect::<Result<_>>()?;
        Ok(())
    }

    /// The width of the data.
    pub fn width(&self) -> usize {
        self.visible_units().width()
    }

    /// The units of the data layer, without labels.
    pub fn visible_units(&self) -> Units {
        match (&self.below[..], self.class_rbm()) {
            ([], Some(top)) => top.data_units(),
            _ => self.bottom().visible().units(),
        }
    }

    /// How many machines there are, at least 1.
    pub fn depth(&self) -> usize {
        self.below.len() + 1
    }

    /// The machines from the bottom up.
    pub fn rbms(&self) -> impl DoubleEndedIterator<Item = &Rbm> {
        self.below.iter().chain([self.top()])
    }

    /// The same, given away.
    pub fn into_rbms(self) -> Vec<Rbm> {
        self.below.into_iter().chain([self.top.into_rbm()]).collect()
    }

    /// Machine `layer`, of which 0 is the lowest; `None` above the highest.
    pub fn rbm(&self, layer: usize) -> Option<&Rbm> {
        self.rbms().nth(layer)
    }

    /// The same with the machines below it.
    ///
    /// # Errors
    ///
    /// Where there is no such machine.
    pub(crate) fn machine(&self, layer: usize) -> Result<(&[Rbm], &Rbm)> {
        self.below.get(..layer).zip(self.rbm(layer)).ok_or_else(|| {
            let expected = format!("below {}, the number of machines", self.depth());
            Error::invalid("a layer", expected, layer.to_string())
        })
    }

    /// The layer that data are clamped to, as part of its machine.
    pub fn bottom(&self) -> &Rbm {
        self.below.first().unwrap_or(self.top())
    }

    /// The undirected machine on top.
    pub fn top(&self) -> &Rbm {
        self.top.rbm()
    }

    /// The same as a machine of data and their label, where it has label units.
    pub fn class_rbm(&self) -> Option<&ClassRbm> {
        self.top.class_rbm()
    }

    /// How many classes the label units tell apart, if there are any.
    pub fn classes(&self) -> Option<usize> {
        self.class_rbm().map(ClassRbm::classes)
    }

    /// The machines below the top.
    pub fn below_top(&self) -> &[Rbm] {
        &self.below
    }

    /// F(v) of the lowest machine, in nats, `(batch,)`; where it has label units, these are summed out. Where recognition and
    /// generation have weights of their own, the top machine is the only one: F of what comes up to it, by means. Differentiable.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn free_energy(&self, v: &Tensor) -> Result<Tensor> {
        match &self.below[..] {
            [bottom, ..] if self.is_machine(0) => bottom.free_energy(v),
            below => self.top_free_energy(&up(below, v)?),
        }
    }

    /// Whether layer `layer` is a machine: the top always is, those below it as long as their weights serve both ways.
    pub fn is_machine(&self, layer: usize) -> bool {
        layer + 1 == self.depth() || self.generative.is_empty()
    }

    /// The free energy of the top machine for its cases `x`; labels are summed out.
    pub(crate) fn top_free_energy(&self, x: &Tensor) -> Result<Tensor> {
        self.top.free_energy(x)
    }

    /// The mean activities of every hidden layer from the bottom up, `(batch, hidden)` each, for `v` `(batch, width)`:
    /// the deterministic up-pass. Where there are label units, those of the top layer are means over the labels that the
    /// machine believes in. Differentiable.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn features(&self, v: &Tensor) -> Result<Vec<Tensor>> {
        let mut features: Vec<Tensor> = Vec::with_capacity(self.depth());
        for rbm in &self.below {
            features.push(rbm.hidden_mean(features.last().unwrap_or(v))?);
        }
        features.push(self.top.hidden_mean(features.last().unwrap_or(v))?);
        Ok(features)
    }

    /// The mean activities of the top layer, `(batch, hidden)`.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn up(&self, v: &Tensor) -> Result<Tensor> {
        self.top.hidden_mean(&up(&self.below, v)?)
    }

    /// `v` `(batch, width)` sent up to the top machine, by means, without labels.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn penultimate(&self, v: &Tensor) -> Result<Tensor> {
        Ok(up(&self.below, v)?.detach())
    }

    /// The visible units of the top machine given `v` `(batch, width)`, by means; its label units have the probabilities of their states.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn top_visible(&self, v: &Tensor) -> Result<Tensor> {
        self.top.with_probable_labels(self.penultimate(v)?)
    }

    /// The mean of the data layer, `(batch, width)`, for top-layer activities `h`: the deterministic down-pass.
    ///
    /// # Errors
    ///
    /// For activities of another width.
    pub fn down(&self, h: &Tensor) -> Result<Tensor> {
        (0..self.depth()).rev().try_fold(h.clone(), |h, layer| self.mean_below(layer, &h, None))
    }

    /// `v` sent up and down again through the first `layers` machines, by means.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn reconstruct(&self, v: &Tensor, layers: usize) -> Result<Tensor> {
        let layers = layers.min(self.depth());
        let top = match self.below.get(..layers) {
            None => self.up(v)?,
            Some(below) => up(below, v)?,
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
                let (_, rbm) = self.machine(layer)?;
                let mean = rbm.visible_mean_like(h, like.unwrap_or(&one))?;
                self.without_labels(layer, mean)
            }
        }
    }

    /// A sample of the same.
    fn sample_below(&self, layer: usize, h: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        match self.generative.get(layer) {
            Some(generative) => generative.sample(h, rng),
            None => {
                let (_, rbm) = self.machine(layer)?;
                self.without_labels(layer, rbm.sample_visible(h, rng)?)
            }
        }
    }

    /// The visible units `x` of machine `layer` `(batch, visible)` but for the label units.
    pub(crate) fn without_labels(&self, layer: usize, x: Tensor) -> Result<Tensor> {
        if layer + 1 == self.depth() { self.top.without_labels(x) } else { Ok(x) }
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
        let x = self.sample_penultimate(v, rng)?;
        let visible = self.top.with_sampled_labels(x, rng)?;
        Gibbs::default().init(self.top(), visible, rng)
    }

    /// `v` `(batch, width)` sent up to the top machine by samples, without labels.
    ///
    /// # Errors
    ///
    /// For cases of another width, or on another device.
    pub fn sample_penultimate(&self, v: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        self.below.iter().try_fold(v.clone(), |v, rbm| rbm.sample_hidden(&v, rng))
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
        let x = self.top.without_labels(x.clone())?;
        (0..self.below.len()).rev().try_fold(x, |x, layer| self.sample_below(layer, &x, rng))
    }

    fn fall_to_first_hidden(&self, h: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        (1..self.depth()).rev().try_fold(h.clone(), |h, layer| self.sample_below(layer, &h, rng))
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
