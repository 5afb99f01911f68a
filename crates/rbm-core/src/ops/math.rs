//! Elementary functions written so that the compiler vectorises them and every machine rounds them alike.
//!
//! Only additions, multiplications and divisions in a fixed order, no fused multiply-add: the same bits at every width.

/// exp(x) for `x` clamped to [−87, 88], relative error below 2e-7. Cephes' polynomial on the reduced argument.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding and taking away 1.5·2²³ rounds to the nearest integer in two additions; in between, the lowest bits of the
    // sum are that integer, which saves the conversion.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    p * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// 1 / (1 + exp(−x)).
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// log(1 + y) for `y` in [0, 1], relative error below 3e-7: the series of 2·artanh(y / (2 + y)).
#[inline(always)]
fn log1p_of_unit(y: f32) -> f32 {
    let s = y / (2.0 + y);
    let t = s * s;
    let p = 1.0 / 15.0;
    let p = p * t + 1.0 / 13.0;
    let p = p * t + 1.0 / 11.0;
    let p = p * t + 1.0 / 9.0;
    let p = p * t + 1.0 / 7.0;
    let p = p * t + 1.0 / 5.0;
    let p = p * t + 1.0 / 3.0;
    2.0 * s + 2.0 * s * t * p
}

/// log(1 + exp(x)) = max(x, 0) + log(1 + exp(−|x|)).
#[inline(always)]
pub(super) fn softplus(x: f32) -> f32 {
    x.max(0.0) + log1p_of_unit(exp(-x.abs()))
}

/// 1 / (1 + exp(−x)) in double precision.
#[inline]
pub(super) fn sigmoid_f64(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// log(1 + exp(x)) in double precision.
#[inline]
pub(super) fn softplus_f64(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> impl Iterator<Item = f32> {
        (-8600..=8600).map(|i| i as f32 / 100.0)
    }

    #[test]
    fn exp_and_sigmoid_are_accurate() {
        for x in grid() {
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 2e-7, "exp({x})");
            let exact = 1.0 / (1.0 + (-f64::from(x)).exp());
            assert!((f64::from(sigmoid(x)) / exact - 1.0).abs() < 4e-7, "sigmoid({x})");
        }
    }

    #[test]
    fn softplus_neither_overflows_nor_underflows() {
        for x in grid() {
            let exact = softplus_f64(f64::from(x));
            assert!((f64::from(softplus(x)) / exact - 1.0).abs() < 4e-7, "softplus({x})");
        }
        assert_eq!(softplus(1e30), 1e30);
        assert!(softplus(-1e30) >= 0.0 && softplus(-1e30) < 1e-37);
        assert!(softplus(-80.0) > 0.0);
    }
}
