//! The two types of numbers that parameters have, and their elementary functions, which every machine rounds alike.
//!
//! The compiler vectorises these functions. They are additions, multiplications and divisions in a fixed order, with no fused
//! multiply-add: the same bits at every width.

use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Sub};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, Result};

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
fn sigmoid_f64(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// log(1 + exp(x)) in double precision.
#[inline]
fn softplus_f64(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

/// `f32` or `f64`.
pub(super) trait Real:
    Copy
    + Default
    + PartialEq
    + PartialOrd
    + From<bool>
    + From<i8>
    + From<f32>
    + Add<Output = Self>
    + Sub<Output = Self>
    + AddAssign
    + Mul<Output = Self>
    + MulAssign
    + Div<Output = Self>
    + Send
    + Sync
    + 'static
{
    fn from_f64(x: f64) -> Self;
    fn sqrt(self) -> Self;
    fn exp(self) -> Self;
    /// m and e with self = m·2ᵉ and m at least 1 and below 2; for numbers of at least one.
    fn binary_parts(self) -> (Self, i32);
    /// 1 / (1 + exp(−self)).
    fn sigmoid(self) -> Self;
    /// log(1 + exp(self)).
    fn softplus(self) -> Self;
    fn to_f64(self) -> f64;

    /// The numbers that a storage of this type holds; `name` is for the error.
    fn numbers<'a>(name: &str, storage: &'a CpuStorage) -> Result<&'a [Self]>;
    /// The same, to be written.
    fn numbers_mut<'a>(name: &str, storage: &'a mut CpuStorage) -> Result<&'a mut [Self]>;
    /// The same numbers, where this type is `f32`: for instructions that are of one type.
    #[cfg(target_arch = "x86_64")]
    fn as_f32(numbers: &[Self]) -> Option<&[f32]>;
    /// The same, to be written.
    #[cfg(target_arch = "x86_64")]
    fn as_f32_mut(numbers: &mut [Self]) -> Option<&mut [f32]>;
    /// A storage that holds these numbers.
    fn storage(numbers: Vec<Self>) -> CpuStorage;

    fn sign(self) -> Self {
        let zero = Self::default();
        Self::from(i8::from(self > zero) - i8::from(self < zero))
    }
}

/// Of numbers that are no `f32`.
#[cfg(target_arch = "x86_64")]
fn never<Numbers, F32s>(_: Numbers) -> Option<F32s> {
    None
}

/// The error for storage of another type.
pub(super) fn unsupported(name: &str, storage: &CpuStorage) -> candle_core::Error {
    candle_core::Error::Msg(format!(
        "{name}: expected two tensors of dtype F32 or F64, found {:?}",
        storage.dtype()
    ))
}

macro_rules! real {
    ($type:ty, $storage:ident, $from:expr, $bits:ty, $exp:path, $sigmoid:path, $softplus:path, $as_f32:path) => {
        impl Real for $type {
            fn from_f64(x: f64) -> Self {
                $from(x)
            }

            fn sqrt(self) -> Self {
                self.sqrt()
            }

            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }

            #[inline(always)]
            fn binary_parts(self) -> (Self, i32) {
                const DIGITS: u32 = <$type>::MANTISSA_DIGITS - 1;
                let bits = self.to_bits();
                let exponent = (bits >> DIGITS) as i32 - (<$type>::MAX_EXP - 1);
                let mantissa =
                    bits & ((1 << DIGITS) - 1) | ((<$type>::MAX_EXP - 1) as $bits) << DIGITS;
                (Self::from_bits(mantissa), exponent)
            }

            #[inline(always)]
            fn sigmoid(self) -> Self {
                $sigmoid(self)
            }

            #[inline(always)]
            fn softplus(self) -> Self {
                $softplus(self)
            }

            fn to_f64(self) -> f64 {
                self.into()
            }

            fn numbers<'a>(name: &str, storage: &'a CpuStorage) -> Result<&'a [Self]> {
                match storage {
                    CpuStorage::$storage(numbers) => Ok(numbers),
                    other => Err(unsupported(name, other)),
                }
            }

            fn numbers_mut<'a>(name: &str, storage: &'a mut CpuStorage) -> Result<&'a mut [Self]> {
                match storage {
                    CpuStorage::$storage(numbers) => Ok(numbers),
                    other => Err(unsupported(name, other)),
                }
            }

            #[cfg(target_arch = "x86_64")]
            fn as_f32(numbers: &[Self]) -> Option<&[f32]> {
                $as_f32(numbers)
            }

            #[cfg(target_arch = "x86_64")]
            fn as_f32_mut(numbers: &mut [Self]) -> Option<&mut [f32]> {
                $as_f32(numbers)
            }

            fn storage(numbers: Vec<Self>) -> CpuStorage {
                CpuStorage::$storage(numbers)
            }
        }
    };
}

real!(f32, F32, |x| x as f32, u32, exp, sigmoid, softplus, Some);
real!(f64, F64, |x| x, u64, libm::exp, sigmoid_f64, softplus_f64, never);

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
