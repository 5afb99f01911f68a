//! Conjugate gradients: an optimiser that may ask for the objective of the same cases as often as it likes.
//!
//! Each search goes along the gradient and a part of the direction before it, after Polak and Ribière (1969), which part is
//! never below zero (Powell 1984; Nocedal and Wright 2006, §5.2). Hinton and Salakhutdinov 2006 fine-tuned with three line
//! searches in every thousand cases.

use candle_core::{Device, Tensor, Var};

use crate::line_search::{LineSearch, Place};
use crate::ops::device::to_host;
use crate::state::{State, take};
use crate::{Error, Result, Stateful, ops};

/// Polak and Ribière's conjugate gradients, uphill.
#[derive(Debug, Clone)]
pub struct ConjugateGradient {
    /// Line searches in every [`ConjugateGradient::climb`].
    pub line_searches: usize,
    /// How each of them is made.
    pub search: LineSearch,
    /// How much the objective's first slope promised at the step that the first search of the last climb ended with; `None`
    /// before the first climb. Other cases want a step of the same order.
    pub promise: Option<f64>,
}

/// An objective at the parameters as they are, and its gradient for each of them, in tensors of its own.
pub type Slope = (f64, Vec<Tensor>);

impl ConjugateGradient {
    /// With so many line searches in every climb.
    pub fn new(line_searches: usize) -> Self {
        Self { line_searches, search: LineSearch::default(), promise: None }
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
        objective: &mut dyn FnMut() -> Result<Slope>,
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
        let (mut is_gradient, mut promise) = (true, self.promise);
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
            let first = promise.map_or(1.0 / (1.0 + slope), |promise| promise / slope);
            let origin: Vec<_> = parameters
                .iter()
                .map(|var| var.as_detached_tensor().copy())
                .collect::<std::result::Result<_, _>>()?;
            let at = |step: f64| -> Result<Place<Vec<Tensor>>> {
                move_to(parameters, &origin, &direction, step)?;
                let (value, gradient) = look()?;
                let slope = dot(&gradient, &direction)?;
                Ok(Place { step, value, slope, known: gradient })
            };
            let start = Place { step: 0.0, value, slope, known: gradient.clone() };
            let Some(found) = self.search.run(start, first, at)? else {
                move_to(parameters, &origin, &direction, 0.0)?;
                if is_gradient {
                    break;
                }
                (direction, is_gradient, promise) = (gradient.clone(), true, None);
                continue;
            };
            move_to(parameters, &origin, &direction, found.step)?;
            promise = Some(found.step * slope);
            if search == 0 {
                self.promise = promise;
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
        let promise = self.promise.and_then(|promise| Tensor::new(promise, &Device::Cpu).ok());
        promise.map(|promise| ("promise".to_owned(), promise)).into_iter().collect()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.promise = match state.is_empty() {
            true => None,
            false => Some(to_host(&take(state, "promise")?)?.to_scalar()?),
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
