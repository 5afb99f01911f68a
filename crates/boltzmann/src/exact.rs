//! What is known exactly of the two-dimensional Ising model, E = −Σ s·s' over neighbours, without a field; K = 1/T.

use std::f64::consts::{FRAC_2_PI, LN_2, PI};
use std::ops::{Add, Mul};

use rbm_core::{Error, Result};

/// The temperature below which an infinite lattice orders, 2/ln(1 + √2).
pub const CRITICAL_TEMPERATURE: f64 = 2.269_185_314_213_022;

/// A function of K with its first and second derivative.
#[derive(Debug, Clone, Copy)]
struct Jet([f64; 3]);

impl Jet {
    fn constant(value: f64) -> Self {
        Self([value, 0.0, 0.0])
    }

    /// f of it, by f and its derivatives there.
    fn then(self, [f, first, second]: [f64; 3]) -> Self {
        let [_, d, dd] = self.0;
        Self([f, first * d, second * d * d + first * dd])
    }

    fn times(self, factor: f64) -> Self {
        Self(self.0.map(|x| factor * x))
    }

    fn exp(self) -> Self {
        self.then([self.0[0].exp(); 3])
    }

    fn ln(self) -> Self {
        let x = self.0[0];
        self.then([x.ln(), 1.0 / x, -1.0 / (x * x)])
    }
}

impl Add for Jet {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
}

impl Mul for Jet {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let ([x, dx, ddx], [y, dy, ddy]) = (self.0, other.0);
        Self([x * y, dx * y + x * dy, ddx * y + 2.0 * dx * dy + x * ddy])
    }
}

/// log Z of a torus of `rows` and `columns` at K (Kaufman 1949).
///
/// # Errors
///
/// For a K that is not above 0, and for sides below 3.
pub fn log_partition(rows: usize, columns: usize, k: f64) -> Result<f64> {
    Ok(kaufman(rows, columns, k)?.0[0])
}

/// The same with its derivatives by K.
fn kaufman(rows: usize, columns: usize, k: f64) -> Result<Jet> {
    let is_torus = rows >= 3 && columns >= 3 && k > 0.0 && k.is_finite();
    if !is_torus {
        let found = format!("{rows}x{columns}, {k}");
        return Err(Error::invalid("an Ising torus", "sides of at least 3 and K above 0", found));
    }
    let (m, n) = (rows as f64, columns as f64);
    let (sinh, cosh) = ((2.0 * k).sinh(), (2.0 * k).cosh());
    // cosh 2K·coth 2K is sinh 2K + 1/sinh 2K.
    let sum = Jet([sinh + 1.0 / sinh, 2.0 * cosh * (1.0 - sinh.powi(-2)), {
        4.0 * (sinh + (1.0 + cosh * cosh) / sinh.powi(3))
    }]);
    let gamma = |l: usize| -> Jet {
        if l == 0 {
            // With its sign.
            return Jet([2.0 * k + k.tanh().ln(), 2.0 + 2.0 / sinh, -4.0 * cosh / (sinh * sinh)]);
        }
        let of = sum + Jet::constant(-(PI * l as f64 / n).cos());
        let (y, squared) = (of.0[0], (of.0[0] - 1.0) * (of.0[0] + 1.0));
        of.then([y.acosh(), squared.powf(-0.5), -y * squared.powf(-1.5)])
    };
    // The four products, of 2cosh or 2sinh of m·γ/2, as a logarithm and a factor beside it: that of a small angle, which may be 0.
    let product = |first: usize, is_cosh: bool| -> (Jet, Jet) {
        let one = Jet::constant(1.0);
        let angles = (0..columns).map(|r| gamma(2 * r + first).times(0.5 * m));
        angles.fold((Jet::constant(0.0), one), |(log, factor), angle| {
            let (x, sign) = (angle.0[0], angle.0[0].signum());
            let (cosh, sinh) = (2.0 * x.cosh(), 2.0 * x.sinh());
            if x.abs() < 1.0 {
                let own = if is_cosh { [cosh, sinh, cosh] } else { [sinh, cosh, sinh] };
                return (log, factor * angle.then(own));
            }
            let of = if is_cosh { 1.0 } else { -1.0 };
            let smaller = of * (-2.0 * x.abs()).exp();
            let share = smaller / (1.0 + smaller);
            let term = [
                x.abs() + smaller.ln_1p(),
                sign * (1.0 - 2.0 * share),
                4.0 * share / (1.0 + smaller),
            ];
            let sign = if is_cosh { 1.0 } else { sign };
            (log + angle.then(term), factor.times(sign))
        })
    };
    let products = [product(1, true), product(1, false), product(0, true), product(0, false)];
    let highest = products.iter().map(|(log, _)| log.0[0]).fold(f64::NEG_INFINITY, f64::max);
    let parts = products.map(|(log, factor)| factor * (log + Jet::constant(-highest)).exp());
    let [a, b, c, d] = parts;
    // ln(2·sinh 2K) and its derivatives.
    let bonds = Jet([(2.0 * sinh).ln(), 2.0 * cosh / sinh, -4.0 / (sinh * sinh)]);
    Ok(bonds.times(0.5 * m * n) + (a + b + c + d).ln() + Jet::constant(highest - LN_2))
}

/// ⟨E⟩/N and the heat capacity a spin of a torus at temperature `t`: derivatives of [`log_partition`].
///
/// # Errors
///
/// As [`log_partition`].
pub fn energy_and_heat_capacity(rows: usize, columns: usize, t: f64) -> Result<(f64, f64)> {
    let (k, spins) = (1.0 / t, (rows * columns) as f64);
    let Jet([_, first, second]) = kaufman(rows, columns, k)?;
    Ok((-first / spins, k * k * second / spins))
}

/// ⟨E⟩/N of an infinite lattice at temperature `t` (Onsager 1944).
pub fn energy_of_infinite_lattice(t: f64) -> f64 {
    let k = 1.0 / t;
    let (sinh, cosh, tanh) = ((2.0 * k).sinh(), (2.0 * k).cosh(), (2.0 * k).tanh());
    let modulus = 2.0 * sinh / (cosh * cosh);
    // At the critical point the integral is infinite, and what it is multiplied with is 0.
    let factor = 2.0 * tanh * tanh - 1.0;
    let term = if factor.abs() < 1e-12 { 0.0 } else { FRAC_2_PI * factor * elliptic(modulus) };
    -(1.0 + term) / tanh
}

/// The magnetisation of an infinite lattice at temperature `t` (Yang 1952); 0 above the critical one.
pub fn magnetisation_of_infinite_lattice(t: f64) -> f64 {
    (1.0 - (2.0 / t).sinh().powi(-4)).max(0.0).powf(0.125)
}

/// The complete elliptic integral of the first kind, by the arithmetic-geometric mean (Gauss).
fn elliptic(modulus: f64) -> f64 {
    let (mut a, mut b) = (1.0f64, ((1.0 - modulus) * (1.0 + modulus)).max(0.0).sqrt());
    for _ in 0..40 {
        (a, b) = (0.5 * (a + b), (a * b).sqrt());
    }
    0.5 * PI / a
}
