//! How far to go along a line: a step that meets the strong Wolfe conditions (Nocedal and Wright 2006, §3.5), uphill.

use crate::Result;

/// The least and the largest share of an interval that is known to hold a maximum, at which it is looked into.
const INSIDE: (f64, f64) = (0.1, 0.9);
/// By what factors the last step may be lengthened at least and at most while no maximum is known to be passed.
const BEYOND: (f64, f64) = (1.5, 10.0);

/// What is found at one place of the line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place<T> {
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
    pub fn run<T>(
        &self,
        start: Place<T>,
        first: f64,
        mut look: impl FnMut(f64) -> Result<Place<T>>,
    ) -> Result<Option<Place<T>>> {
        let (height, slope) = (start.value, start.slope);
        let mut step = first;
        // The best place so far that is high enough, and the other end of the interval that must hold a maximum.
        let (mut low, mut end): (Place<T>, Option<Place<()>>) = (start, None);
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

impl<T> Place<T> {
    fn alone(&self) -> Place<()> {
        let Self { step, value, slope, .. } = *self;
        Place { step, value, slope, known: () }
    }
}

/// Where to look next between the best place and the other end.
fn between(best: &Place<()>, end: &Place<()>) -> f64 {
    let share = (maximum(best, end) - best.step) / (end.step - best.step);
    // Where the objective is not a number the end is far out.
    let share = if share.is_finite() { share.clamp(INSIDE.0, INSIDE.1) } else { INSIDE.0 };
    best.step + share * (end.step - best.step)
}

/// Where to look next behind the best place, where it is still uphill.
fn beyond(before: &Place<()>, best: &Place<()>) -> f64 {
    let factor = maximum(before, best) / best.step;
    // A cubic that rises for ever has no maximum ahead.
    let is_ahead = factor.is_finite() && factor > 1.0;
    best.step * if is_ahead { factor.clamp(BEYOND.0, BEYOND.1) } else { BEYOND.1 }
}

/// Where the cubic through both places with their slopes has its maximum (Nocedal and Wright 2006, eq. 3.59); not a number
/// where it has none.
fn maximum(a: &Place<()>, b: &Place<()>) -> f64 {
    let width = b.step - a.step;
    // That equation is for minima: values and slopes change their signs.
    let (slope_a, slope_b) = (-a.slope, -b.slope);
    let d1 = slope_a + slope_b - 3.0 * (b.value - a.value) / -width;
    let d2 = (d1 * d1 - slope_a * slope_b).sqrt().copysign(width);
    b.step - width * (slope_b + d2 - d1) / (slope_b - slope_a + 2.0 * d2)
}
