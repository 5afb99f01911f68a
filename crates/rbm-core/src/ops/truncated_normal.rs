//! The normal distribution cut off below zero, p(x) ∝ exp(f·x − x²/2) for x ≥ 0: what a noisy rectified unit is.
//!
//! With λ = φ(f)/Φ(f), the mean is f + λ and the variance 1 − λ·(f + λ). Both cancel where f is far below zero; there Mills'
//! ratio is taken from its continued fraction, which gives the differences themselves (Laplace 1805).

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Shape, Tensor};

use super::cpu::{for_chunks, has_fused, with_numbers};
use super::device::to_host;
use super::real::Real;
use crate::rng::{Draw, philox4x32, words};
use crate::{Result, Rng};

/// Where the continued fraction takes over, and how many terms it has there for 1e-15.
const FAR: f64 = -5.0;
const TERMS: usize = 40;

/// log ∫₀^∞ exp(f·x − x²/2) dx, elementwise. Differentiable once.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn rectified_cgf(field: &Tensor) -> Result<Tensor> {
    apply(field, Moment::LogVolume)
}

/// The mean of x, elementwise: above max(f, 0), and like 1/|f| far below zero. Differentiable once.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn rectified_mean(field: &Tensor) -> Result<Tensor> {
    apply(field, Moment::Mean)
}

/// The field with which the mean is this, elementwise; a leaf. Means are positive.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn rectified_field(mean: &Tensor) -> Result<Tensor> {
    let means = to_host(mean)?.flatten_all()?.to_vec1::<f64>()?;
    let fields: Vec<f64> = means.into_iter().map(field_of).collect();
    let fields = Tensor::from_vec(fields, mean.shape(), &Device::Cpu)?;
    Ok(fields.to_dtype(mean.dtype())?.to_device(mean.device())?)
}

/// A number from the distribution for each field, exact by rejection (Robert 1995). A leaf. Away from the CPU it is made
/// there.
///
/// # Errors
///
/// When shapes or types of the tensors do not fit.
pub fn rectified_sample(field: &Tensor, rng: &mut Rng) -> Result<Tensor> {
    let op = TruncatedSampler(rng.draw());
    let host = if has_fused(field) { field.clone() } else { field.to_device(&Device::Cpu)? };
    Ok(host.contiguous()?.apply_op1_no_bwd(&op)?.to_device(field.device())?)
}

/// A derivative of the cumulant generating function, by its order.
#[derive(Clone, Copy)]
pub(super) enum Moment {
    LogVolume,
    Mean,
    Variance,
}

impl Moment {
    fn derivative(self) -> Self {
        match self {
            Self::LogVolume => Self::Mean,
            Self::Mean | Self::Variance => Self::Variance,
        }
    }

    fn of(self, field: f64) -> f64 {
        let (log_volume, mean, variance) = moments(field);
        match self {
            Self::LogVolume => log_volume,
            Self::Mean => mean,
            Self::Variance => variance,
        }
    }
}

/// log volume, mean and variance.
fn moments(f: f64) -> (f64, f64, f64) {
    const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_7;
    if f >= FAR {
        let below = 0.5 * libm::erfc(-f * std::f64::consts::FRAC_1_SQRT_2);
        let ratio = libm::exp(-0.5 * f * f - HALF_LOG_TAU) / below;
        let mean = f + ratio;
        return (0.5 * f * f + HALF_LOG_TAU + libm::log(below), mean, 1.0 - ratio * mean);
    }
    // mean = 1/(t + c) with c = 2/(t + 3/(t + 4/(t + …))).
    let t = -f;
    let c = (2..TERMS).rev().fold(0.0, |rest, k| k as f64 / (t + rest));
    let mean = 1.0 / (t + c);
    (-libm::log(t + mean), mean, (c - mean) / (t + c))
}

/// Newton's method from above: the mean is a convex function of the field, so that no step goes too far.
fn field_of(mean: f64) -> f64 {
    let mut field = mean;
    for _ in 0..100 {
        let (_, found, slope) = moments(field);
        let step = (found - mean) / slope;
        field -= step;
        if step.abs() <= 1e-12 * field.abs().max(1.0) {
            break;
        }
    }
    field
}

fn apply(field: &Tensor, moment: Moment) -> Result<Tensor> {
    if has_fused(field) {
        return Ok(field.contiguous()?.apply_op1(MomentOf(moment))?);
    }
    by_tangent(field, moment)
}

/// Made on the host, with the tangent at the field in place of the function: its derivative is right wherever the field lies.
pub(super) fn by_tangent(field: &Tensor, moment: Moment) -> Result<Tensor> {
    let host = to_host(field)?.contiguous()?;
    let back = |x: Tensor| x.to_dtype(field.dtype())?.to_device(field.device());
    let value = back(host.apply_op1_no_bwd(&MomentOf(moment))?)?;
    let slope = back(host.apply_op1_no_bwd(&MomentOf(moment.derivative()))?)?;
    Ok((value + slope.mul(&(field - field.detach())?)?)?)
}

struct MomentOf(Moment);

impl CustomOp1 for MomentOf {
    fn name(&self) -> &'static str {
        "rectified"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = with_numbers!(self.name(), (x, layout) => self.run(x));
        Ok((out, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let slope = x.detach().contiguous()?.apply_op1_no_bwd(&Self(self.0.derivative()))?;
        Ok(Some((slope * grad)?))
    }
}

impl MomentOf {
    fn run<T: Real>(&self, x: &[T]) -> Vec<T> {
        let mut out = vec![T::default(); x.len()];
        for_chunks(&mut out, |start, out| {
            for (out, x) in out.iter_mut().zip(&x[start..]) {
                *out = T::from_f64(self.0.of(x.to_f64()));
            }
        });
        out
    }
}

struct TruncatedSampler(Draw);

impl CustomOp1 for TruncatedSampler {
    fn name(&self) -> &'static str {
        "rectified-sample"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = with_numbers!(self.name(), (x, layout) => self.run(x));
        Ok((out, layout.shape().clone()))
    }
}

impl TruncatedSampler {
    fn run<T: Real>(&self, x: &[T]) -> Vec<T> {
        let mut out = vec![T::default(); x.len()];
        for_chunks(&mut out, |start, out| {
            for (i, (out, x)) in out.iter_mut().zip(&x[start..]).enumerate() {
                *out = T::from_f64(rectified_number(self.0, (start + i) as u64, x.to_f64()));
            }
        });
        out
    }
}

/// Value `i` of the draw. Its attempts have counters of their own, so that no value depends on another's.
pub(super) fn rectified_number(draw: Draw, i: u64, field: f64) -> f64 {
    /// So many that the chance of needing more is 2⁻²⁵⁶.
    const ATTEMPTS: u32 = 128;
    let ([i0, i1], [s0, s1]) = (words(i), words(draw.stream));
    for attempt in 0..ATTEMPTS {
        let random = philox4x32([i0, i1 | attempt << 24, s0, s1], words(draw.seed));
        let pairs = [[random[0], random[1]], [random[2], random[3]]].map(|pair| pair.map(unit));
        let found = pairs.into_iter().find_map(|pair| {
            if field >= 0.0 { from_normal(field, pair) } else { from_exponential(field, pair) }
        });
        if let Some(number) = found {
            return number;
        }
    }
    // Only where the field is not a number.
    field
}

/// All 32 bits, so that the tails are there.
fn unit(word: u32) -> f64 {
    (f64::from(word) + 0.5) / 4_294_967_296.0
}

/// One of two normal numbers around the field (Box and Muller 1958), if it is not below zero.
fn from_normal(field: f64, [radius, angle]: [f64; 2]) -> Option<f64> {
    let radius = libm::sqrt(-2.0 * libm::log(radius));
    let (sin, cos) = libm::sincos(angle * std::f64::consts::TAU);
    [field + radius * cos, field + radius * sin].into_iter().find(|&x| x >= 0.0)
}

/// A number from the exponential distribution of rate |f| + δ, accepted with probability exp(−(x − δ)²/2).
fn from_exponential(field: f64, [place, chance]: [f64; 2]) -> Option<f64> {
    let delta = 2.0 / (libm::sqrt(field * field + 4.0) - field);
    let x = -libm::log(place) / (delta - field);
    let miss = x - delta;
    (chance < libm::exp(-0.5 * miss * miss)).then_some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// log ∫, mean and variance by the trapezoid rule in y with x = exp(y − exp(−y)): it falls off doubly exponentially on
    /// both sides, and the rule errs by less than rounding.
    fn by_quadrature(f: f64) -> (f64, f64, f64) {
        let points = (-4000..=6000).map(|i| {
            let y = f64::from(i) / 1000.0;
            let x = (y - (-y).exp()).exp();
            (x, f * x - 0.5 * x * x + y - (-y).exp() + (1.0 + (-y).exp()).ln())
        });
        let points: Vec<_> = points.collect();
        let highest = points.iter().fold(f64::NEG_INFINITY, |a, (_, w)| a.max(*w));
        let sum = |g: &dyn Fn(f64) -> f64| -> f64 {
            points.iter().map(|(x, w)| g(*x) * (w - highest).exp()).sum()
        };
        let total = sum(&|_| 1.0);
        let mean = sum(&|x| x) / total;
        let variance = sum(&|x| (x - mean).powi(2)) / total;
        (highest + (total / 1000.0).ln(), mean, variance)
    }

    #[test]
    fn moments_are_the_integrals() {
        for f in [-80.0, -12.0, -5.1, -5.0, -4.9, -3.0, -1.0, 0.0, 0.5, 3.0, 20.0] {
            let (found, expected) = (moments(f), by_quadrature(f));
            let close = |a: f64, b: f64| (a - b).abs() <= 2e-11 * b.abs();
            assert!(close(found.0, expected.0), "log volume at {f}: {found:?} {expected:?}");
            assert!(close(found.1, expected.1), "mean at {f}: {found:?} {expected:?}");
            assert!(close(found.2, expected.2), "variance at {f}: {found:?} {expected:?}");
        }
    }

    #[test]
    fn extremes_are_those_of_the_asymptotic_forms() {
        let (log_volume, mean, variance) = moments(-1e4);
        assert!((log_volume + 1e4f64.ln()).abs() < 1e-7);
        assert!((mean * 1e4 - 1.0).abs() < 1e-7 && (variance * 1e8 - 1.0).abs() < 1e-7);
        assert_eq!((moments(1e4).1, moments(1e4).2), (1e4, 1.0));
    }

    #[test]
    fn the_field_of_a_mean_gives_that_mean() {
        for mean in [1e-3, 0.01, 0.3, 0.8, 2.0, 1e3] {
            let found = moments(field_of(mean)).1;
            assert!((found / mean - 1.0).abs() < 1e-9, "{mean}: {found}");
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        assert!(rectified_number(Draw { seed: 0, stream: 0 }, 0, f64::NAN).is_nan());
    }
}
