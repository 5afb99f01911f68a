//! How a gradient becomes a step. All memory is visible and can be saved.

use candle_core::{Tensor, Var};

use crate::ops::{self, Ascent};
use crate::state::{State, get, get_numbered, numbered};
use crate::{Error, Gradient, Rbm, Result, Stateful};

/// Moves parameters along a gradient of ascent.
pub trait Optimizer: Stateful {
    /// One step of all `parameters`, in place; `ascents` has a direction of the same shape for each. The same parameters,
    /// in the same order, must be given every time.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    fn ascend(&mut self, parameters: &[&Var], ascents: &[Ascent]) -> Result<()>;

    /// One step of a machine: [`Optimizer::ascend`], then [`Rbm::constrain`].
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    fn step(&mut self, rbm: &Rbm, gradient: &Gradient) -> Result<()> {
        let parameters: Vec<_> = rbm.parameters().into_iter().map(|(_, var)| var).collect();
        self.ascend(&parameters, &gradient.ascents())?;
        rbm.constrain()
    }

    /// Sets what schedules change: the learning rate, and the momentum where there is one.
    fn set_rates(&mut self, learning_rate: f64, momentum: f64);

    /// Forgets the steps made so far, as after one that was undone; the rates stay.
    fn forget(&mut self);
}

impl<O: Optimizer + ?Sized> Optimizer for Box<O> {
    fn ascend(&mut self, parameters: &[&Var], ascents: &[Ascent]) -> Result<()> {
        (**self).ascend(parameters, ascents)
    }

    fn set_rates(&mut self, learning_rate: f64, momentum: f64) {
        (**self).set_rates(learning_rate, momentum);
    }

    fn forget(&mut self) {
        (**self).forget();
    }
}

/// Stochastic gradient ascent with momentum (Practical Guide §9): Δ ← momentum·Δ + rate·gradient.
#[derive(Debug, Clone)]
pub struct Sgd {
    /// The learning rate.
    pub learning_rate: f64,
    /// The fraction of the last step that is repeated; 0.5 at first, 0.9 later.
    pub momentum: f64,
    /// The last step Δ of each parameter, in their order; empty before the first.
    pub velocity: Vec<Tensor>,
}

impl Sgd {
    /// Plain ascent at `learning_rate`, without momentum.
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, momentum: 0.0, velocity: Vec::new() }
    }
}

impl Optimizer for Sgd {
    fn ascend(&mut self, parameters: &[&Var], ascents: &[Ascent]) -> Result<()> {
        if self.velocity.is_empty() {
            self.velocity = zeros(parameters)?;
        }
        check("velocity", &self.velocity, parameters, ascents)?;
        for ((var, velocity), ascent) in parameters.iter().zip(&self.velocity).zip(ascents) {
            ops::momentum_step(var, velocity, ascent, self.learning_rate, self.momentum)?;
        }
        Ok(())
    }

    fn set_rates(&mut self, learning_rate: f64, momentum: f64) {
        (self.learning_rate, self.momentum) = (learning_rate, momentum);
    }

    fn forget(&mut self) {
        self.velocity.clear();
    }
}

impl Stateful for Sgd {
    fn state(&self) -> State {
        numbered("velocity", &self.velocity).collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.velocity = get_numbered("velocity", state)?;
        Ok(())
    }
}

/// Adam (Kingma and Ba 2015), ascending.
#[derive(Debug, Clone)]
pub struct Adam {
    /// The learning rate.
    pub learning_rate: f64,
    /// How slowly the running means of the gradient and of its square forget.
    pub betas: (f64, f64),
    /// Added to the root of the second mean.
    pub epsilon: f64,
    /// Steps made.
    pub steps: u32,
    /// Running means of the gradient, in their order; empty before the first step.
    pub first: Vec<Tensor>,
    /// Running means of the squared gradient.
    pub second: Vec<Tensor>,
}

impl Adam {
    /// Adam with β = (0.9, 0.999), ε = 1e-8.
    pub fn new(learning_rate: f64) -> Self {
        Self {
            learning_rate,
            betas: (0.9, 0.999),
            epsilon: 1e-8,
            steps: 0,
            first: vec![],
            second: vec![],
        }
    }
}

impl Optimizer for Adam {
    fn ascend(&mut self, parameters: &[&Var], ascents: &[Ascent]) -> Result<()> {
        if self.first.is_empty() {
            (self.first, self.second) = (zeros(parameters)?, zeros(parameters)?);
        }
        check("first moments", &self.first, parameters, ascents)?;
        check("second moments", &self.second, parameters, ascents)?;
        self.steps += 1;
        let (b1, b2) = self.betas;
        let bias = |beta: f64| 1.0 - beta.powi(self.steps as i32);
        for (i, (var, ascent)) in parameters.iter().zip(ascents).enumerate() {
            let gradient = ascent.tensor(var)?;
            ops::average_in(&self.first[i], &gradient, b1)?;
            ops::average_square_in(&self.second[i], &gradient, b2)?;
            let (rate, scale) = (self.learning_rate / bias(b1), 1.0 / bias(b2));
            ops::adam_step(var, &self.first[i], &self.second[i], rate, scale, self.epsilon)?;
        }
        Ok(())
    }

    fn set_rates(&mut self, learning_rate: f64, _momentum: f64) {
        self.learning_rate = learning_rate;
    }

    fn forget(&mut self) {
        self.steps = 0;
        self.first.clear();
        self.second.clear();
    }
}

impl Stateful for Adam {
    fn state(&self) -> State {
        let steps = Tensor::new(self.steps, &candle_core::Device::Cpu).ok();
        let steps = steps.map(|steps| ("steps".to_owned(), steps));
        numbered("first", &self.first)
            .chain(numbered("second", &self.second))
            .chain(steps)
            .collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.steps = get(state, "steps")?.to_scalar()?;
        (self.first, self.second) = (get_numbered("first", state)?, get_numbered("second", state)?);
        Ok(())
    }
}

fn zeros(parameters: &[&Var]) -> Result<Vec<Tensor>> {
    parameters.iter().map(|var| Ok(var.as_detached_tensor().zeros_like()?)).collect()
}

/// Errors unless there is one of everything for each parameter.
fn check(name: &str, memory: &[Tensor], parameters: &[&Var], ascents: &[Ascent]) -> Result<()> {
    let expected = format!("{}, one a parameter", parameters.len());
    for (what, count) in [(name, memory.len()), ("gradient", ascents.len())] {
        if count != parameters.len() {
            return Err(Error::invalid(
                format!("the optimiser's {what}"),
                expected,
                count.to_string(),
            ));
        }
    }
    Ok(())
}
