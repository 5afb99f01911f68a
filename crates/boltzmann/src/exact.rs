//! What is known exactly of the two-dimensional Ising model, E = −Σ s·s' over neighbours, without a field; K = 1/T.

use std::f64::consts::{FRAC_2_PI, PI};

use rbm_core::{Error, Result};

/// The temperature below which an infinite lattice orders, 2/ln(1 + √2).
pub const CRITICAL_TEMPERATURE: f64 = 2.269_185_314_213_022;

/// log Z of a torus of `rows` and `columns` at K (Kaufman 1949).
///
/// # Errors
///
/// For a K that is not above 0, and for sides below 3.
pub fn log_partition(rows: usize, columns: usize, k: f64) -> Result<f64> {
    let is_torus = rows >= 3 && columns >= 3 && k > 0.0 && k.is_finite();
    if !is_torus {
        let found = format!("{rows}x{columns}, {k}");
        return Err(Error::invalid("an Ising torus", "sides of at least 3 and K above 0", found));
    }
    let (m, n) = (rows as f64, columns as f64);
    let gamma = |l: usize| -> f64 {
        if l == 0 {
            return 2.0 * k + k.tanh().ln(); // with its sign
        }
        let cosh = (2.0 * k).cosh() / (2.0 * k).tanh() - (PI * l as f64 / n).cos();
        cosh.acosh()
    };
    // The four products as logarithms and signs: 2cosh and 2sinh of m·γ/2.
    let product = |first: usize, is_cosh: bool| -> (f64, f64) {
        (0..columns).map(|r| 0.5 * m * gamma(2 * r + first)).fold((0.0, 1.0), |(log, sign), x| {
            let smaller = (-2.0 * x.abs()).exp();
            let term = if is_cosh { smaller.ln_1p() } else { (-smaller).ln_1p() };
            let sign_of = if is_cosh { 1.0 } else { x.signum() };
            (log + x.abs() + term, sign * sign_of)
        })
    };
    let products = [product(1, true), product(1, false), product(0, true), product(0, false)];
    let highest = products.iter().map(|(log, _)| *log).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = products.iter().map(|(log, sign)| sign * (log - highest).exp()).sum();
    Ok(-std::f64::consts::LN_2 + 0.5 * m * n * (2.0 * (2.0 * k).sinh()).ln() + highest + sum.ln())
}

/// ⟨E⟩/N and the heat capacity a spin of a torus at temperature `t`: derivatives of [`log_partition`], by differences of fourth order; to
/// eight and five digits.
///
/// # Errors
///
/// As [`log_partition`].
pub fn energy_and_heat_capacity(rows: usize, columns: usize, t: f64) -> Result<(f64, f64)> {
    let (k, step) = (1.0 / t, 1e-3 / t);
    let at = |steps: f64| log_partition(rows, columns, k + steps * step);
    let [far_below, below, here, above, far_above] =
        [at(-2.0)?, at(-1.0)?, at(0.0)?, at(1.0)?, at(2.0)?];
    let first = (far_below - 8.0 * below + 8.0 * above - far_above) / (12.0 * step);
    let second =
        (-far_below + 16.0 * below - 30.0 * here + 16.0 * above - far_above) / (12.0 * step * step);
    let spins = (rows * columns) as f64;
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
