//! Numbers as they stand in files, and how they become `f32`.

use half::{bf16, f16};

/// A type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementKind {
    /// A byte, 0 or 1.
    Bool,
    /// One byte.
    U8,
    /// One byte with a sign.
    I8,
    /// Two bytes.
    U16,
    /// Two bytes with a sign.
    I16,
    /// Four bytes.
    U32,
    /// Four bytes with a sign.
    I32,
    /// Eight bytes.
    U64,
    /// Eight bytes with a sign.
    I64,
    /// IEEE half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

/// How a number lies in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Its type.
    pub kind: ElementKind,
    /// Whether its highest byte comes first.
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
            ElementKind::Bool | ElementKind::U8 => of!(u8, |x| x.into()),
            ElementKind::I8 => of!(i8, |x| x.into()),
            ElementKind::U16 => of!(u16, |x| x.into()),
            ElementKind::I16 => of!(i16, |x| x.into()),
            ElementKind::U32 => of!(u32, |x| x as $as),
            ElementKind::I32 => of!(i32, |x| x as $as),
            ElementKind::U64 => of!(u64, |x| x as $as),
            ElementKind::I64 => of!(i64, |x| x as $as),
            ElementKind::F16 => of!(f16, |x| x.into()),
            ElementKind::Bf16 => of!(bf16, |x| x.into()),
            ElementKind::F32 => of!(f32, |x| x as $as),
            ElementKind::F64 => of!(f64, |x| x as $as),
        }
    }};
}

impl Element {
    /// A number whose lowest byte comes first, as in every file that this crate writes.
    pub fn little_endian(kind: ElementKind) -> Self {
        Self { kind, is_big_endian: false }
    }

    /// Its bytes.
    pub fn size(self) -> usize {
        match self.kind {
            ElementKind::Bool | ElementKind::U8 | ElementKind::I8 => 1,
            ElementKind::U16 | ElementKind::I16 | ElementKind::F16 | ElementKind::Bf16 => 2,
            ElementKind::U32 | ElementKind::I32 | ElementKind::F32 => 4,
            ElementKind::U64 | ElementKind::I64 | ElementKind::F64 => 8,
        }
    }

    /// Adds the numbers that `bytes` are to the end of `values`, each as the nearest `f32`.
    pub fn append(self, bytes: &[u8], values: &mut Vec<f32>) {
        append!(self, bytes, values, f32);
    }

    /// The numbers that `bytes` are.
    pub fn wide(self, bytes: &[u8]) -> Vec<f64> {
        let mut values = Vec::new();
        append!(self, bytes, values, f64);
        values
    }
}
