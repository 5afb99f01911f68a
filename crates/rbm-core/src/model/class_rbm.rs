//! The label of a joint machine: what the machine says of every class that a case may have, without drawing anything.
//!
//! The visible layer of a joint machine is the data and, after them, one site whose state is the class (the ClassRBM of
//! Larochelle and Bengio 2008; the top of the network of Hinton, Osindero, Teh 2006). For every class the hidden units
//! see the same xW_x and another row of W_y: one product serves all classes.
//!
//! What hidden units are for each of the labels is their layer under every sum of one input and one shift.

use std::borrow::Borrow;

use candle_core::{D, Tensor, Var};

use crate::{Error, Layer, Phase, Rbm, Result, Units, ops};

/// A machine whose visible layer ends in a label: units side by side of which the last are `potts(CLASSES):1`. It owns the
/// machine, as a network does, or borrows it (`ClassRbm<&Rbm>`), as learning does.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use rbm_core::model::init::Init;
/// use rbm_core::{ClassRbm, Rbm, Rng};
///
/// let units = ("bernoulli:4+potts(3):1".parse()?, "bernoulli:5".parse()?); // four bits and one of three classes
/// let rbm = Rbm::new(&units.0, &units.1, DType::F32, &Device::Cpu)?;
/// Init { weight_deviation: 1.0, hidden_bias: 0.0 }.draw_weights(&rbm, &mut Rng::new(0))?;
/// let cases = Tensor::new(&[[1f32, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]], &Device::Cpu)?;
/// let p = ClassRbm::of(&rbm)?.log_probabilities(&cases)?.exp()?; // p(class | bits), (2, 3)
/// assert!(p.sum(1)?.to_vec1::<f32>()?.iter().all(|sum| (sum - 1.0).abs() < 1e-5));
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ClassRbm<R = Rbm> {
    rbm: R,
    width: usize,
    classes: usize,
}

impl<R: Borrow<Rbm>> ClassRbm<R> {
    /// The machine, as one of data and their label.
    ///
    /// # Errors
    ///
    /// With its visible units when they do not end in a label, or hold nothing else.
    pub fn of(rbm: R) -> Result<Self> {
        let units = rbm.borrow().visible().units();
        match &units.groups()[..] {
            [.., (data, _), (_, Units::Potts { sites: 1, states })] => {
                Ok(Self { rbm, width: data.end, classes: *states })
            }
            _ => {
                let expected = "units side by side, the last of them the label, potts(CLASSES):1";
                Err(Error::invalid(
                    "the visible layer of a joint machine",
                    expected,
                    units.to_string(),
                ))
            }
        }
    }

    /// The machine itself.
    pub fn rbm(&self) -> &Rbm {
        self.rbm.borrow()
    }

    /// The same, given away.
    pub fn into_rbm(self) -> R {
        self.rbm
    }

    /// How many columns the data have.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The units of the data: the visible ones without the label.
    pub fn data_units(&self) -> Units {
        let units = self.rbm().visible().units();
        let mut groups: Vec<Units> =
            units.groups().into_iter().map(|(_, units)| units.clone()).collect();
        groups.pop();
        match &groups[..] {
            [only] => only.clone(),
            _ => Units::Concat { groups },
        }
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// `visible` `(cases, visible)` as data `(cases, width)` and labels `(cases, classes)`.
    ///
    /// # Errors
    ///
    /// When the rows have another width.
    pub fn split(&self, visible: &Tensor) -> Result<(Tensor, Tensor)> {
        let (_, found) = visible.dims2()?;
        if found != self.width + self.classes {
            let expected = format!("{} columns and {} of the label", self.width, self.classes);
            return Err(Error::invalid("cases of a joint machine", expected, found.to_string()));
        }
        let labels = visible.narrow(1, self.width, self.classes)?.contiguous()?;
        Ok((visible.narrow(1, 0, self.width)?, labels))
    }

    /// Data `(cases, width)` and labels `(cases, classes)` side by side.
    ///
    /// # Errors
    ///
    /// When the two have different numbers of rows or types.
    pub fn join(&self, data: &Tensor, labels: &Tensor) -> Result<Tensor> {
        join_labels(data, labels)
    }

    /// The visible row of every label without data, `(classes, visible)`.
    pub(crate) fn label_rows(&self) -> Result<Tensor> {
        let weights = self.rbm().weights();
        let none = Tensor::zeros((self.classes, self.width), weights.dtype(), weights.device())?;
        self.join(&none, &Tensor::eye(self.classes, weights.dtype(), weights.device())?)
    }

    /// W_y, what each class says to the hidden units, `(classes, hidden)`. Differentiable.
    ///
    /// # Errors
    ///
    /// When the weights cannot be read.
    pub fn label_weights(&self) -> Result<Tensor> {
        Ok(self.rbm().weights().narrow(0, self.width, self.classes)?)
    }

    /// The machine of the data alone where the class is `class`: p(x, h | y) is that of a machine without label units
    /// whose hidden biases are those of this one and the class's weights W_y together. Its parameters are copies.
    ///
    /// # Errors
    ///
    /// For a class that there is not.
    pub fn given(&self, class: u32) -> Result<Rbm> {
        if class as usize >= self.classes {
            let expected = format!("below the machine's {} classes", self.classes);
            return Err(Error::invalid("a class", expected, class.to_string()));
        }
        let visible = self.data_units();
        let (weights, hidden) = (self.rbm().weights(), self.rbm().hidden());
        let of_data = weights.as_detached_tensor().narrow(0, 0, self.width)?.copy()?;
        let given = Rbm::from_parts(
            visible.build(weights.dtype(), weights.device())?,
            hidden.try_clone()?,
            Var::from_tensor(&of_data.contiguous()?)?,
        )?;
        // Of the visible layer's parameters those of the label are the last ones.
        for ((_, from), (_, to)) in
            self.rbm().visible().vars().into_iter().zip(given.visible().vars())
        {
            to.set(&from.as_detached_tensor())?;
        }
        let weights = self.label_weights()?.get(class as usize)?.detach();
        let vars = given.hidden().vars();
        for (k, columns) in given.hidden().biases() {
            if let Some((_, bias)) = vars.get(k) {
                let weights = weights.narrow(0, columns.start, columns.len())?;
                bias.set(&(bias.as_detached_tensor() + weights.reshape(bias.shape())?)?)?;
            }
        }
        Ok(given)
    }

    /// xW_x, what `data` `(cases, width)` say to the hidden units, `(cases, hidden)`. Differentiable.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn data_inputs(&self, data: &Tensor) -> Result<Tensor> {
        ops::product(data, &self.rbm().weights().narrow(0, 0, self.width)?)
    }

    /// The same of a phase, from the inputs that it carries: those less what its labels say. A leaf.
    ///
    /// # Errors
    ///
    /// When the phase is of another machine.
    pub fn data_inputs_of(&self, phase: &Phase) -> Result<Tensor> {
        let (_, labels) = self.split(&phase.visible)?;
        let of_labels = ops::product(&labels, &self.label_weights()?.detach())?;
        Ok((&phase.hidden_inputs - of_labels)?.detach())
    }

    /// −F(x, y) + E(x) of every class y, in nats: what of −F differs between classes, from xW_x `(cases, hidden)`;
    /// `(cases, classes)`. Differentiable.
    fn scores(&self, data_inputs: &Tensor) -> Result<Tensor> {
        let hidden = pairwise_cgf(self.rbm().hidden(), data_inputs, &self.label_weights()?)?;
        let vars = self.rbm().visible().vars();
        let label = self.rbm().visible().biases().last().and_then(|(k, _)| vars.get(*k));
        let Some((_, bias)) = label else {
            return Err(Error::invalid("the label", "a bias for each class", "none"));
        };
        ops::add_bias(&hidden, bias)
    }

    /// F(x, y) of `data` x `(cases, width)` with every class y, in nats, `(cases, classes)`: what [`Rbm::free_energy`] says
    /// of the joined rows, by one product. Differentiable.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn free_energies(&self, data: &Tensor) -> Result<Tensor> {
        let scores = self.scores(&self.data_inputs(data)?)?;
        // A label without a class has no energy: what remains is E(x).
        let none = Tensor::zeros((data.dim(0)?, self.classes), data.dtype(), data.device())?;
        let energy = self.rbm().visible().energy(&self.join(data, &none)?)?;
        Ok(scores.neg()?.broadcast_add(&energy.unsqueeze(1)?)?)
    }

    /// F(x) of `data` x `(cases, width)`, in nats, `(cases,)`: the label is summed out. Differentiable.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn free_energy(&self, data: &Tensor) -> Result<Tensor> {
        Ok(self.free_energies(data)?.neg()?.log_sum_exp(1)?.neg()?)
    }

    /// log p(y | x) of every class y, in nats, for `data` x `(cases, width)`: `(cases, classes)` (Larochelle and Bengio 2008,
    /// §2). Differentiable.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn log_probabilities(&self, data: &Tensor) -> Result<Tensor> {
        self.log_probabilities_from(&self.data_inputs(data)?)
    }

    /// p(y | x) of every class y for `data` x `(cases, width)`: `(cases, classes)`. A leaf.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn probabilities(&self, data: &Tensor) -> Result<Tensor> {
        Ok(self.log_probabilities(data)?.exp()?.detach())
    }

    /// log p(y | x) from xW_x `(cases, hidden)`. Differentiable.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn log_probabilities_from(&self, data_inputs: &Tensor) -> Result<Tensor> {
        let scores = self.scores(data_inputs)?;
        let shifted = scores.broadcast_sub(&scores.detach().max_keepdim(D::Minus1)?)?;
        Ok(shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)?)
    }

    /// E[h | x] = Σ_y p(y | x)·E[h | x, y] for `data` x `(cases, width)`, `(cases, hidden)`: what the hidden units do where the
    /// label is not known. Differentiable.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    pub fn hidden_mean(&self, data: &Tensor) -> Result<Tensor> {
        let inputs = self.data_inputs(data)?;
        let shares = self.log_probabilities_from(&inputs)?.exp()?;
        let label_weights = self.label_weights()?;
        let mut mean = inputs.zeros_like()?;
        for label in 0..self.classes {
            let inputs = ops::add_bias(&inputs, &label_weights.get(label)?)?;
            let share = shares.narrow(1, label, 1)?;
            mean = (mean + self.rbm().hidden().mean(&inputs)?.broadcast_mul(&share)?)?;
        }
        Ok(mean)
    }
}

/// What a machine of data and labels sees, `(cases, width + classes)`: data `(cases, width)` and the labels' codes `(cases, classes)`.
///
/// # Errors
///
/// When the two have different numbers of rows or types.
pub fn join_labels(data: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Ok(Tensor::cat(&[data, labels], 1)?.contiguous()?)
}

/// Weighted sums of what a layer expects under inputs_i + shifts_k.
#[derive(Debug, Clone)]
pub struct PairwiseStatistics {
    /// Σ_k weights_ik·E[T | inputs_i + shifts_k], one `(batch, width)` for each parameter, in the order of [`Layer::vars`].
    pub by_input: Vec<Tensor>,
    /// Σ_i weights_ik·E[x | inputs_i + shifts_k], `(count, width)`.
    pub by_shift: Tensor,
}

/// [`Layer::cgf`] of inputs_i + shifts_k for every row i of `inputs` `(batch, width)` and every row k of `shifts`
/// `(count, width)`: `(batch, count)`. Differentiable.
///
/// # Errors
///
/// When the shapes do not fit the layer.
pub fn pairwise_cgf(layer: &dyn Layer, inputs: &Tensor, shifts: &Tensor) -> Result<Tensor> {
    if let Units::Bernoulli { .. } = layer.units() {
        let bias = bias_of(layer)?;
        return ops::bernoulli_cgf_pairwise(inputs, &ops::add_bias(shifts, &bias)?);
    }
    let column = |k| layer.cgf(&shifted(inputs, shifts, k)?);
    let columns = (0..shifts.dim(0)?).map(column).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::stack(&columns, D::Minus1)?)
}

/// What `layer` expects under the same sums, each weighted by one of `weights` `(batch, count)`; leaves.
///
/// # Errors
///
/// When the shapes do not fit the layer, or there are no shifts.
pub fn pairwise_statistics(
    layer: &dyn Layer,
    inputs: &Tensor,
    shifts: &Tensor,
    weights: &Tensor,
) -> Result<PairwiseStatistics> {
    if let Units::Bernoulli { .. } = layer.units() {
        let shifts = ops::add_bias(&shifts.detach(), &bias_of(layer)?.detach())?;
        let (by_input, by_shift) = ops::bernoulli_means_pairwise(inputs, &shifts, weights)?;
        return Ok(PairwiseStatistics { by_input: vec![by_input], by_shift });
    }
    let mut by_input: Vec<Tensor> = Vec::new();
    let mut by_shift = Vec::new();
    for k in 0..shifts.dim(0)? {
        let weights = weights.narrow(1, k, 1)?.detach();
        let expected = layer.expected_statistics(&shifted(inputs, shifts, k)?.detach())?;
        by_shift.push(weights.t()?.matmul(&layer.mean_among(&expected)?.detach())?);
        let weighted = expected.iter().map(|x| Ok(x.detach().broadcast_mul(&weights)?));
        let weighted = weighted.collect::<Result<Vec<_>>>()?;
        by_input = match k {
            0 => weighted,
            _ => by_input
                .iter()
                .zip(weighted)
                .map(|(sum, x)| Ok((sum + x)?))
                .collect::<Result<_>>()?,
        };
    }
    if by_shift.is_empty() {
        return Err(Error::invalid("shifts of a layer's inputs", "at least one", "none"));
    }
    Ok(PairwiseStatistics { by_input, by_shift: Tensor::cat(&by_shift, 0)? })
}

/// `inputs` `(batch, width)` with row `k` of `shifts` added to each of them.
fn shifted(inputs: &Tensor, shifts: &Tensor, k: usize) -> Result<Tensor> {
    ops::add_bias(inputs, &shifts.get(k)?)
}

/// The bias of a layer that has no other parameter.
fn bias_of(layer: &dyn Layer) -> Result<Tensor> {
    match layer.vars().first() {
        Some((_, bias)) => Ok(bias.as_tensor().clone()),
        None => Err(Error::invalid("a layer's parameters", "at least a bias", "none")),
    }
}
