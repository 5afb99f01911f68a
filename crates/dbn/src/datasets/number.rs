//! Numbers as they stand in files, and how they become `f32`.

use half::{bf16, f16};

/// A type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    Bf16,
    F32,
    F64,
}

/// How a number lies in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    pub kind: Kind,
    pub is_big_endian: bool,
}

/// Adds the numbers of `bytes` to the end of `values`, as `$as`.
macro_rules! append {
    ($number:expr, $bytes:expr, $values:expr, $as:ty) => {{
        macro_rules! of {
            ($type:ty, $convert:expr) => {{
                let convert: fn($type) -> $as = $convert;
                let (numbers, _) = $bytes.as_chunks::<{ size_of::<$type>() }>();
                if $number.is_big_endian {
                    $values.extend(numbers.iter().map(|x| convert(<$type>::from_be_bytes(*x))));
                } else {
                    $values.extend(numbers.iter().map(|x| convert(<$type>::from_le_bytes(*x))));
                }
            }};
        }
        match $number.kind {
            Kind::Bool | Kind::U8 => of!(u8, |x| x.into()),
            Kind::I8 => of!(i8, |x| x.into()),
            Kind::U16 => of!(u16, |x| x.into()),
            Kind::I16 => of!(i16, |x| x.into()),
            Kind::U32 => of!(u32, |x| x as $as),
            Kind::I32 => of!(i32, |x| x as $as),
            Kind::U64 => of!(u64, |x| x as $as),
            Kind::I64 => of!(i64, |x| x as $as),
            Kind::F16 => of!(f16, |x| x.into()),
            Kind::Bf16 => of!(bf16, |x| x.into()),
            Kind::F32 => of!(f32, |x| x as $as),
            Kind::F64 => of!(f64, |x| x as $as),
        }
    }};
}

impl Number {
    /// A number whose lowest byte comes first, as in every file that this crate writes.
    pub(crate) fn little_endian(kind: Kind) -> Self {
        Self { kind, is_big_endian: false }
    }

    /// Its bytes.
    pub(crate) fn size(self) -> usize {
        match self.kind {
            Kind::Bool | Kind::U8 | Kind::I8 => 1,
            Kind::U16 | Kind::I16 | Kind::F16 | Kind::Bf16 => 2,
            Kind::U32 | Kind::I32 | Kind::F32 => 4,
            Kind::U64 | Kind::I64 | Kind::F64 => 8,
        }
    }

    /// Adds the numbers that `bytes` are to the end of `values`, each as the nearest `f32`.
    pub(crate) fn append(self, bytes: &[u8], values: &mut Vec<f32>) {
        append!(self, bytes, values, f32);
    }

    /// The numbers that `bytes` are.
    pub(crate) fn wide(self, bytes: &[u8]) -> Vec<f64> {
        let mut values = Vec::new();
        append!(self, bytes, values, f64);
        values
    }
}
