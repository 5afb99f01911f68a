//! Greedy pre-training of deep Boltzmann machines: restricted machines learn layer by layer, and are composed (Salakhutdinov and Hinton 2009,
//! §3.1).
//!
//! A hidden layer of a deep machine has input from the layers on both sides of it. While its restricted machine learns it has that of one of them, so
//! that one counts twice. The lowest machine has two copies of each visible unit, the topmost two copies of each unit of the top layer. Copies share their
//! weights, and given the other side they are independent. Their sum is a binomial unit of two trials: both machines are restricted
//! machines, with an energy, and the data of the lowest are 2·v. Machines between them have no copies.
//!
//! Composed, weights of the lowest and of the topmost machine stay as they are, those between are halved, and a hidden layer has the mean of the
//! biases that it has in the machines below and above it. What is exact of it: p(h | below, above) of the deep machine is the
//! normalised geometric mean of p(h | below) in the machine below and p(h | above) in the machine above; p(v | h) is that of the
//! lowest machine, and the top layer is given what lies below it as a copy is in the topmost machine. A label unit has input from both copies of the
//! top layer while this is learned, and one in the deep machine: there it is not exact. Nothing follows for p(v) itself. Learning of all layers
//! together goes on from here.
//!
//! Two things differ from the authors' program. There both copies of a reconstruction are one sample; here they are drawn independently, as the
//! model says. There the gradient leaves out the factor 2 of a product with copies, so a rate of 0.05 there is one of 0.025 here. The gradient may
//! be centred: without that nine in ten of 1,000 units above 500 of MNIST were never on after the first epoch. On small data it learns them by heart (the
//! digits, 100 and 100 units, have −19.6 nats on the cases held out with it, and −17.5 without).

use std::ops::ControlFlow;

use candle_core::{DType, Device, Tensor};
use rbm_core::estimate::monitor::{self, Monitor};
use rbm_core::learning::train::{
    self, Cursor, EpochMetrics, Observer, Stage, StageKind, StageStart,
};
use rbm_core::learning::trainer::{BatchSource, Fit, Mapped, Plan};
use rbm_core::learning::transform::{Centre, WeightDecay};
use rbm_core::model::Machine;
use rbm_core::model::init::{Init, moments_of_blocks};
use rbm_core::state::{State, get, with_prefix};
use rbm_core::{
    Batches, Checkpoint, ContrastiveDivergence, Error, Layer, Rbm, Result, Rng, Rows, Schedule,
    Sgd, Stateful, Trainer, Units, rows,
};

use crate::settings::{CENTRE_RATE, Learning};
use crate::shape::Shape;

/// How often the layer at an end of the stack counts.
const COPIES: usize = 2;
/// The decay of weights.
const L2: f64 = 1e-3;
/// The momentum: at first, and from this epoch on.
const MOMENTUM: [(usize, f64); 2] = [(0, 0.5), (5, 0.9)];
/// Epochs after which machines above the lowest take one more Gibbs step.
const EPOCHS_A_STEP: usize = 20;
/// Cases that are looked at after every epoch.
const MEASURED: usize = 1000;
/// What stands before the names of the parameters in a file.
const PREFIX: &str = "pretraining";

/// The restricted machines of a deep one, from the bottom up, with parameters of zero. The visible units of the topmost are those of the layer
/// below it, and beside these the labels, where there are any.
///
/// # Errors
///
/// Unless the layers are Bernoulli units, at least two of them hidden.
pub fn restricted_machines(shape: &Shape) -> Result<Vec<Rbm>> {
    let layers: Vec<&Units> = std::iter::once(&shape.visible).chain(&shape.hidden).collect();
    let top = shape.hidden.len();
    let is_bernoulli = |units: &&Units| matches!(units, Units::Bernoulli { .. });
    if top < 2 || !layers.iter().all(is_bernoulli) {
        let found: Vec<_> = layers.iter().map(|units| units.to_string()).collect();
        let expected = "Bernoulli units, in at least two hidden layers";
        return Err(Error::invalid("pre-training", expected, found.join(", ")));
    }
    let copies = |units: &Units| Units::Binomial { size: units.width(), trials: COPIES };
    let machine = |k: usize| {
        let visible = match (k, shape.labels) {
            (0, _) => copies(layers[0]),
            (k, Some(states)) if k + 1 == top => {
                Units::Concat { groups: vec![layers[k].clone(), Units::Potts { sites: 1, states }] }
            }
            _ => layers[k].clone(),
        };
        let hidden = if k + 1 == top { copies(layers[top]) } else { layers[k + 1].clone() };
        Rbm::new(&visible, &hidden, DType::F32, &Device::Cpu)
    };
    (0..top).map(machine).collect()
}

/// The deep machine of restricted ones, which are those of [`restricted_machines`].
///
/// # Errors
///
/// When they are not those of this shape.
pub fn compose(shape: &Shape, machines: &[Rbm]) -> Result<Machine> {
    let deep = shape.machine()?;
    let expected = restricted_machines(shape)?;
    let units = |rbm: &Rbm| [rbm.visible().units(), rbm.hidden().units()];
    if !expected.iter().map(units).eq(machines.iter().map(units)) {
        let list = |machines: &[Rbm]| {
            let of = |rbm: &Rbm| units(rbm).map(|units| units.to_string()).join(" → ");
            machines.iter().map(of).collect::<Vec<_>>().join(", ")
        };
        return Err(Error::invalid("machines to compose", list(&expected), list(machines)));
    }
    let top = shape.hidden.len();
    for (k, (rbm, coupling)) in machines.iter().zip(deep.couplings()).enumerate() {
        let weights = rbm.weights().as_detached_tensor().narrow(0, 0, width_below(shape, k))?;
        let is_between = k > 0 && k + 1 < top;
        coupling.weights().set(&(weights * if is_between { 0.5 } else { 1.0 })?.contiguous()?)?;
    }
    let layers = deep.layers();
    for (k, place) in shape.places().into_iter().enumerate().take(top + 1) {
        let below = machines.get(k.wrapping_sub(1)).map(|rbm| first_bias(rbm.hidden()));
        let above = machines.get(k).map(|rbm| first_bias(rbm.visible()));
        let bias = match (below.transpose()?, above.transpose()?) {
            (Some(below), Some(above)) => ((below + above)? * 0.5)?,
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => continue,
        };
        set_bias(layers[place].0, &bias)?;
    }
    if let (Some(classes), Some(topmost)) = (shape.labels, machines.last()) {
        let below = width_below(shape, top - 1);
        let of_labels = topmost.weights().as_detached_tensor().narrow(0, below, classes)?;
        deep.couplings()[top].weights().set(&of_labels.t()?.contiguous()?)?;
        let bias = topmost.visible().bias()?.detach().narrow(0, below, classes)?;
        set_bias(layers[shape.places()[top + 1]].0, &bias)?;
    }
    drop(layers);
    Ok(deep)
}

/// How many units the layer has that the machine with number `k` stands on.
fn width_below(shape: &Shape, k: usize) -> usize {
    match k {
        0 => shape.visible.width(),
        k => shape.hidden[k - 1].width(),
    }
}

/// The bias of the first group of units.
fn first_bias(layer: &dyn Layer) -> Result<Tensor> {
    match layer.vars().first() {
        Some((_, bias)) => Ok(bias.as_detached_tensor()),
        None => Err(Error::invalid("pre-training", "units with a bias", layer.units().to_string())),
    }
}

fn set_bias(layer: &dyn Layer, bias: &Tensor) -> Result<()> {
    layer.vars().first().map_or(Ok(()), |(_, var)| Ok(var.set(&bias.contiguous()?)?))
}

/// `cases` `(rows, data and labels)` sent up to the machine above `below`: by samples where there is a generator, else by means.
fn send_up(
    shape: &Shape,
    below: &[Rbm],
    cases: &Tensor,
    mut rng: Option<&mut Rng>,
) -> Result<Tensor> {
    let visible = shape.visible.width();
    let mut x = (cases.narrow(1, 0, visible)? * COPIES as f64)?.contiguous()?;
    for rbm in below {
        x = match rng.as_deref_mut() {
            Some(rng) => rbm.sample_hidden(&x, rng)?,
            None => rbm.hidden_mean(&x)?.detach(),
        };
    }
    match shape.labels {
        Some(classes) if below.len() + 1 == shape.hidden.len() => {
            Ok(Tensor::cat(&[&x, &cases.narrow(1, visible, classes)?], 1)?)
        }
        _ => Ok(x),
    }
}

/// How a checkpoint of the whole is made of one of this: the tensors, and where they go on.
pub(crate) type KeepsPretraining<'a> =
    &'a dyn Fn(PretrainingProgress, Cursor, Rng) -> Result<Checkpoint>;

/// Where pre-training is.
pub(crate) struct PretrainingProgress {
    /// Layers that have learned.
    pub layers: usize,
    /// `pretraining.{layer}.{name}`.
    pub parameters: State,
    /// What the one that learns remembers.
    pub memory: State,
}

/// A stack in pre-training.
pub(crate) struct Greedy {
    machines: Vec<Rbm>,
    layer: usize,
    cursor: Cursor,
    trainer: Trainer<ContrastiveDivergence, Sgd>,
}

impl Greedy {
    pub fn new(shape: &Shape, learning: &Learning) -> Result<Self> {
        let (machines, cursor) = (restricted_machines(shape)?, Cursor::default());
        Ok(Self { machines, layer: 0, cursor, trainer: trainer(learning) })
    }

    /// Goes on where a checkpoint was taken: so many layers had learned, and the next was at `cursor`.
    pub fn restored(
        shape: &Shape,
        learning: &Learning,
        (layer, cursor): (usize, Cursor),
        tensors: &State,
        memory: &State,
    ) -> Result<Self> {
        let mut greedy = Self { layer, cursor, ..Self::new(shape, learning)? };
        if layer >= greedy.machines.len() {
            let expected = format!("a layer below {}", greedy.machines.len());
            return Err(Error::invalid("pre-training", expected, layer.to_string()));
        }
        for (k, rbm) in greedy.machines.iter().enumerate() {
            for (name, var) in rbm.parameters() {
                let found = get(tensors, &format!("{PREFIX}.{k}.{name}"))?;
                if found.dims() != var.dims() || found.dtype() != var.dtype() {
                    let expected = format!("{:?} of f32", var.dims());
                    return Err(Error::invalid(name, expected, format!("{found:?}")));
                }
                var.set(&found)?;
            }
        }
        greedy.trainer.restore(memory)?;
        Ok(greedy)
    }

    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Epochs of all layers that are done.
    pub fn epochs(&self, learning: &Learning) -> usize {
        self.layer * learning.pretraining_epochs + self.cursor.epoch
    }

    pub fn progress(&self) -> PretrainingProgress {
        let (layers, memory) = (self.layer, self.trainer.state());
        PretrainingProgress { layers, parameters: parameters(&self.machines), memory }
    }

    /// The layer whose turn it is learns `cases`, of which `source` makes mini-batches, to its end or for `epochs` more; or until the observer
    /// stops it.
    pub fn learn(
        &mut self,
        (shape, learning): (&Shape, &Learning),
        (cases, source): (&dyn Rows, Box<dyn BatchSource + '_>),
        epochs: Option<usize>,
        rng: &mut Rng,
        observer: &mut dyn Observer,
        kept: KeepsPretraining,
    ) -> Result<ControlFlow<()>> {
        let (layer, until) = (self.layer, learning.pretraining_epochs);
        let Self { machines, cursor, trainer, .. } = self;
        let (below, machine) = (&machines[..layer], &machines[layer]);
        if *cursor == Cursor::default() {
            Init::default().draw_weights(machine, rng)?;
            let blocks = || rows::blocks(cases).map(|block| send_up(shape, below, &block?, None));
            let (mean, variance) = moments_of_blocks(blocks)?;
            machine.visible().fit_moments(&mean, &variance)?;
        }
        // Mini-batches of the data, sent up through the machines below.
        let map = |batch: Tensor, rng: &mut Rng| send_up(shape, below, &batch, Some(rng));
        let source = Mapped { source, map };
        let measured: Vec<u32> = (0..cases.count().min(MEASURED) as u32).collect();
        let rng_of_monitor = Rng::new(learning.seed).split(4).split(layer as u64);
        let mut draws = Rng::new(learning.seed).split(6).split(layer as u64);
        let seen = learning.pass.of_probabilities(&cases.rows(&measured)?, &mut draws)?;
        let monitor = Monitor {
            train: send_up(shape, below, &seen, None)?,
            held_out: None,
            rng: rng_of_monitor,
        };
        let plan = plan(learning, layer);
        let mut stage = PretrainingStage {
            layer,
            until: epochs.map_or(until, |epochs| (cursor.epoch + epochs).min(until)),
            fit: Fit::new(trainer, machine, &source, &plan),
            source: &source,
            machines,
            monitor,
            kept,
        };
        let ended = train::run(&mut stage, cursor, rng, observer)?;
        if ended.is_continue() && self.cursor.epoch >= until {
            (self.layer, self.cursor) = (layer + 1, Cursor::default());
            self.trainer = self::trainer(learning);
        }
        Ok(ended)
    }

    /// The machines, where all have learned.
    pub fn finished(&self) -> Option<&[Rbm]> {
        (self.layer == self.machines.len()).then_some(&self.machines)
    }
}

fn trainer(learning: &Learning) -> Trainer<ContrastiveDivergence, Sgd> {
    let mut trainer =
        Trainer::new(ContrastiveDivergence::new(1), Sgd::new(learning.pretraining_rate));
    trainer.transforms.push(Box::new(WeightDecay { l1: 0.0, l2: L2 }));
    if learning.pretraining_centre {
        trainer.transforms.push(Box::new(Centre::new(CENTRE_RATE)));
    }
    trainer
}

/// CD-1 for the lowest machine; k rises for those above it, and the rate is divided by it.
fn plan(learning: &Learning, layer: usize) -> Plan {
    let epochs = learning.pretraining_epochs;
    let steps: Vec<_> = (0..epochs.max(1))
        .step_by(EPOCHS_A_STEP)
        .map(|epoch| (epoch, if layer == 0 { 1 } else { 1 + epoch / EPOCHS_A_STEP }))
        .collect();
    let rates = steps.iter().map(|(epoch, k)| (*epoch, learning.pretraining_rate / *k as f64));
    Plan {
        epochs,
        learning_rate: Schedule::Steps(rates.collect()),
        momentum: Schedule::Steps(MOMENTUM.to_vec()),
        steps: Schedule::Steps(steps.iter().map(|(epoch, k)| (*epoch, *k as f64)).collect()),
    }
}

fn parameters(machines: &[Rbm]) -> State {
    let of = |(k, rbm): (usize, &Rbm)| {
        let parameters = rbm.parameters().into_iter();
        let state = parameters.map(|(name, var)| (name, var.as_detached_tensor())).collect();
        with_prefix(&format!("{PREFIX}.{k}"), state).collect::<Vec<_>>()
    };
    machines.iter().enumerate().flat_map(of).collect()
}

/// One layer in the loop of training.
struct PretrainingStage<'a> {
    layer: usize,
    /// The epochs after which it is over for now.
    until: usize,
    fit: Fit<'a, ContrastiveDivergence, Sgd>,
    source: &'a dyn BatchSource,
    machines: &'a [Rbm],
    monitor: Monitor,
    kept: KeepsPretraining<'a>,
}

impl Stage for PretrainingStage<'_> {
    fn start(&self, from: usize) -> StageStart {
        StageStart { kind: StageKind::Layer(self.layer), ..self.fit.start(from) }
    }

    fn is_over(&self, epochs: usize) -> bool {
        epochs >= self.until
    }

    fn order(&self, epoch: usize) -> Batches {
        self.source.order(epoch)
    }

    fn start_epoch(&mut self, epoch: usize, batches: usize) -> Result<()> {
        self.fit.start_epoch(epoch, batches)
    }

    fn step(&mut self, indices: &[u32], at: Cursor, rng: &mut Rng) -> Result<()> {
        self.fit.step(indices, at, rng)
    }

    fn end_epoch(&mut self, metrics: EpochMetrics) -> Result<EpochMetrics> {
        let metrics = self.fit.end_epoch(metrics)?;
        let report = Some(self.monitor.report(&self.machines[self.layer])?);
        Ok(EpochMetrics { report, ..metrics })
    }

    fn checkpoint(&mut self, cursor: Cursor, rng: Rng) -> Result<Checkpoint> {
        monitor::check(&self.machines[self.layer])?;
        let (layers, memory) = (self.layer, self.fit.memory());
        let progress =
            PretrainingProgress { layers, parameters: parameters(self.machines), memory };
        (self.kept)(progress, cursor, rng)
    }
}
