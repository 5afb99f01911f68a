//! How a gradient becomes a step: gradient ascent with momentum, Adam, conjugate gradients. All memory is visible and can be saved.
//!
//! Conjugate gradients are an optimiser that may ask for the objective of the same cases as often as it likes. Each search goes along the gradient and a part of the direction before it, after Polak and Ribière (1969), which part is
//! never below zero (Powell 1984; Nocedal and Wright 2006, §5.2). Hinton and Salakhutdinov 2006 fine-tuned with three line
//! searches in every thousand cases.
//!
//! A line search ends at a step that meets the strong Wolfe conditions (Nocedal and Wright 2006, §3.5), uphill.

use candle_core::{Device, Tensor, Var};

use crate::model::Boltzmann;
use crate::ops::device::to_host;
use crate::ops::{self, Ascent};
use crate::state::{State, get, get_numbered, numbered};
use crate::{Error, Gradient, Result, Stateful};

/// Moves parameters along a gradient of ascent.
pub trait Optimizer: Stateful {
    /// One step of all `parameters`, in place; `ascents` has a direction of the same shape for each. The same parameters,
    /// in the same order, must be given every time.
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    fn ascend(&mut self, parameters: &[&Var], ascents: &[Ascent]) -> Result<()>;

    /// One step of a machine: [`Optimizer::ascend`], then [`Boltzmann::constrain`].
    ///
    /// # Errors
    ///
    /// When shapes or types do not fit the machine.
    fn step(&mut self, machine: &dyn Boltzmann, gradient: &Gradient) -> Result<()> {
        let parameters: Vec<_> = machine.parameters().into_iter().map(|(_, var)| var).collect();
        self.ascend(&parameters, &gradient.ascents())?;
        machine.constrain()
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
        let steps = Tensor::new(self.steps, &Device::Cpu).ok();
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

/// Polak and Ribière's conjugate gradients, uphill.
#[derive(Debug, Clone)]
pub struct ConjugateGradient {
    /// Line searches in every [`ConjugateGradient::climb`].
    pub line_searches: usize,
    /// How each of them is made.
    pub search: LineSearch,
    /// How much the objective's first slope promised at the step that the first search of the last climb ended with; `None`
    /// before the first climb. Other cases want a step of the same order.
    pub predicted_gain: Option<f64>,
}

/// An objective at the parameters as they are, and its gradient for each of them, in tensors of its own.
pub type ValueAndGradient = (f64, Vec<Tensor>);

impl ConjugateGradient {
    /// With so many line searches in every climb.
    pub fn new(line_searches: usize) -> Self {
        Self { line_searches, search: LineSearch::default(), predicted_gain: None }
    }

    /// Moves `parameters` to where `objective` is higher, in place, and returns what it was before, at the first look.
    /// `objective` must give the same answer for the same parameters while this runs. A search that finds no higher place
    /// leaves them where they are; the next one starts from the gradient alone, and where that has failed there is no next.
    ///
    /// # Errors
    ///
    /// Those of `objective`, and [`Error::Invalid`] where it gives another number of gradients than there are parameters.
    pub fn climb(
        &mut self,
        parameters: &[&Var],
        objective: &mut dyn FnMut() -> Result<ValueAndGradient>,
    ) -> Result<f64> {
        let mut look = || {
            let (value, gradient) = objective()?;
            if gradient.len() == parameters.len() {
                return Ok((value, gradient));
            }
            let expected = format!("{}, one a parameter", parameters.len());
            Err(Error::invalid("the gradients", expected, gradient.len().to_string()))
        };
        let (mut value, mut gradient) = look()?;
        let before = value;
        let mut direction = gradient.clone();
        let (mut is_gradient, mut predicted_gain) = (true, self.predicted_gain);
        for search in 0..self.line_searches {
            let mut slope = dot(&gradient, &direction)?;
            if !is_gradient && slope <= 0.0 {
                direction = gradient.clone();
                (slope, is_gradient) = (dot(&gradient, &gradient)?, true);
            }
            if !(slope > 0.0 && slope.is_finite() && value.is_finite()) {
                break;
            }
            // Before anything is known: a step about as long as the gradient where that is short, of length below one else.
            let first =
                predicted_gain.map_or(1.0 / (1.0 + slope), |predicted_gain| predicted_gain / slope);
            let origin: Vec<_> = parameters
                .iter()
                .map(|var| var.as_detached_tensor().copy())
                .collect::<std::result::Result<_, _>>()?;
            let at = |step: f64| -> Result<LinePoint<Vec<Tensor>>> {
                move_to(parameters, &origin, &direction, step)?;
                let (value, gradient) = look()?;
                let slope = dot(&gradient, &direction)?;
                Ok(LinePoint { step, value, slope, known: gradient })
            };
            let start = LinePoint { step: 0.0, value, slope, known: gradient.clone() };
            let Some(found) = self.search.run(start, first, at)? else {
                move_to(parameters, &origin, &direction, 0.0)?;
                if is_gradient {
                    break;
                }
                (direction, is_gradient, predicted_gain) = (gradient.clone(), true, None);
                continue;
            };
            move_to(parameters, &origin, &direction, found.step)?;
            predicted_gain = Some(found.step * slope);
            if search == 0 {
                self.predicted_gain = predicted_gain;
            }
            let kept = kept(&gradient, &found.known)?;
            (value, gradient) = (found.value, found.known);
            for (direction, gradient) in direction.iter_mut().zip(&gradient) {
                *direction = ((&*direction * kept)? + gradient)?;
            }
            is_gradient = kept == 0.0;
        }
        Ok(before)
    }
}

impl Stateful for ConjugateGradient {
    fn state(&self) -> State {
        let predicted_gain = self
            .predicted_gain
            .and_then(|predicted_gain| Tensor::new(predicted_gain, &Device::Cpu).ok());
        predicted_gain
            .map(|predicted_gain| ("promise".to_owned(), predicted_gain))
            .into_iter()
            .collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.predicted_gain = match state.is_empty() {
            true => None,
            false => Some(to_host(&get(state, "promise")?)?.to_scalar()?),
        };
        Ok(())
    }
}

/// How much of the last direction goes into the next: max(0, g·(g − g')/g'·g') for gradients g' and then g.
fn kept(before: &[Tensor], now: &[Tensor]) -> Result<f64> {
    let rise = dot(now, now)? - dot(now, before)?;
    let kept = rise / dot(before, before)?;
    Ok(if kept.is_finite() { kept.max(0.0) } else { 0.0 })
}

/// parameters ← origin + step·direction.
fn move_to(parameters: &[&Var], origin: &[Tensor], direction: &[Tensor], step: f64) -> Result<()> {
    for ((var, origin), direction) in parameters.iter().zip(origin).zip(direction) {
        var.set(origin)?;
        ops::add_scaled(var, direction, step)?;
    }
    Ok(())
}

/// Σ a·b over all elements of all tensors.
fn dot(a: &[Tensor], b: &[Tensor]) -> Result<f64> {
    let products =
        a.iter().zip(b).map(|(a, b)| Ok(to_host(&(a * b)?.sum_all()?)?.to_scalar::<f64>()?));
    products.sum()
}

/// The least and the largest share of an interval that is known to hold a maximum, at which it is looked into.
const INSIDE: (f64, f64) = (0.1, 0.9);
/// By what factors the last step may be lengthened at least and at most while no maximum is known to be passed.
const BEYOND: (f64, f64) = (1.5, 10.0);

/// What is found at one place of the line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinePoint<T> {
    /// How far along the line, in lengths of its direction.
    pub step: f64,
    /// The objective there.
    pub value: f64,
    /// Its derivative by the step.
    pub slope: f64,
    /// Whatever else is known of the place, such as the whole gradient.
    pub known: T,
}

/// When a step is long enough, and when it is close enough to a maximum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LineSearch {
    /// The least share of what the first slope promises by which the objective must rise.
    pub increase: f64,
    /// The largest share of the first slope that may be left.
    pub curvature: f64,
    /// The most places to look at.
    pub evaluations: usize,
}

impl Default for LineSearch {
    /// 1e-4; 0.1, as conjugate gradients want it; 20 places.
    fn default() -> Self {
        Self { increase: 1e-4, curvature: 0.1, evaluations: 20 }
    }
}

impl LineSearch {
    /// Looks for a step from `start`, where the slope is above zero, first at the step `first`. It is `None` where no place
    /// that was looked at is high enough, and the highest that is where the last one did not end the search.
    ///
    /// # Errors
    ///
    /// As `look`.
    pub fn run<T>(
        &self,
        start: LinePoint<T>,
        first: f64,
        mut look: impl FnMut(f64) -> Result<LinePoint<T>>,
    ) -> Result<Option<LinePoint<T>>> {
        let (height, slope) = (start.value, start.slope);
        let mut step = first;
        // The best place so far that is high enough, and the other end of the interval that must hold a maximum.
        let (mut low, mut end): (LinePoint<T>, Option<LinePoint<()>>) = (start, None);
        for _ in 0..self.evaluations {
            let place = look(step)?;
            let is_high = place.value >= height + self.increase * place.step * slope;
            if !(is_high && place.value > low.value && place.slope.is_finite()) {
                end = Some(place.alone());
            } else if place.slope.abs() <= self.curvature * slope {
                return Ok(Some(place));
            } else {
                let before = std::mem::replace(&mut low, place);
                let is_end_ahead = end.is_none_or(|end| end.step > low.step);
                // From the new place it is uphill towards the old one.
                if (low.slope < 0.0) == is_end_ahead {
                    end = Some(before.alone());
                }
                if end.is_none() {
                    step = beyond(&before.alone(), &low.alone());
                    continue;
                }
            }
            let Some(end) = &end else { break };
            step = between(&low.alone(), end);
        }
        Ok((low.step > 0.0).then_some(low))
    }
}

impl<T> LinePoint<T> {
    fn alone(&self) -> LinePoint<()> {
        let Self { step, value, slope, .. } = *self;
        LinePoint { step, value, slope, known: () }
    }
}

/// Where to look next between the best place and the other end.
fn between(best: &LinePoint<()>, end: &LinePoint<()>) -> f64 {
    let share = (maximum(best, end) - best.step) / (end.step - best.step);
    // Where the objective is not a number the end is far out.
    let share = if share.is_finite() { share.clamp(INSIDE.0, INSIDE.1) } else { INSIDE.0 };
    best.step + share * (end.step - best.step)
}

/// Where to look next behind the best place, where it is still uphill.
fn beyond(before: &LinePoint<()>, best: &LinePoint<()>) -> f64 {
    let factor = maximum(before, best) / best.step;
    // A cubic that rises for ever has no maximum ahead.
    let is_ahead = factor.is_finite() && factor > 1.0;
    best.step * if is_ahead { factor.clamp(BEYOND.0, BEYOND.1) } else { BEYOND.1 }
}

/// Where the cubic through both places with their slopes has its maximum (Nocedal and Wright 2006, eq. 3.59); not a number
/// where it has none.
fn maximum(a: &LinePoint<()>, b: &LinePoint<()>) -> f64 {
    let width = b.step - a.step;
    // That equation is for minima: values and slopes change their signs.
    let (slope_a, slope_b) = (-a.slope, -b.slope);
    let d1 = slope_a + slope_b - 3.0 * (b.value - a.value) / -width;
    let d2 = (d1 * d1 - slope_a * slope_b).sqrt().copysign(width);
    b.step - width * (slope_b + d2 - d1) / (slope_b - slope_a + 2.0 * d2)
}
