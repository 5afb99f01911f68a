//! The two types of numbers that parameters have.

use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Sub};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, Result};

use super::math;

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
    /// A storage that holds these numbers.
    fn storage(numbers: Vec<Self>) -> CpuStorage;

    fn sign(self) -> Self {
        let zero = Self::default();
        Self::from(i8::from(self > zero) - i8::from(self < zero))
    }
}

/// The error for storage of another type.
pub(super) fn unsupported(name: &str, storage: &CpuStorage) -> candle_core::Error {
    candle_core::Error::Msg(format!(
        "{name}: expected two tensors of dtype F32 or F64, found {:?}",
        storage.dtype()
    ))
}

macro_rules! real {
    ($type:ty, $storage:ident, $from:expr, $bits:ty, $exp:path, $sigmoid:path, $softplus:path) => {
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

            fn storage(numbers: Vec<Self>) -> CpuStorage {
                CpuStorage::$storage(numbers)
            }
        }
    };
}

real!(f32, F32, |x| x as f32, u32, math::exp, math::sigmoid, math::softplus);
real!(f64, F64, |x| x, u64, libm::exp, math::sigmoid_f64, math::softplus_f64);
