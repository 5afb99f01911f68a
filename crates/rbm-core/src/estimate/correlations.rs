//! How two units vary together: connected correlations of data and of samples, and how far they agree.

use crate::{Error, Result, Rows, Units, rows};
use candle_core::{DType, Device, Tensor};

/// ⟨x_i·x_j⟩ − ⟨x_i⟩⟨x_j⟩ of all pairs of columns.
#[derive(Debug, Clone)]
pub struct Correlations {
    /// `(width, width)`, row by row.
    connected: Vec<f32>,
    width: usize,
    /// Columns of one unit.
    states: usize,
}

impl Correlations {
    /// Those of `cases` `(n, width)`, configurations of `units`, each of which counts as much as its weight says; without weights all count
    /// alike.
    ///
    /// # Errors
    ///
    /// Without cases, for cases of another width, and for weights of another number of cases.
    pub fn of(units: &Units, cases: &dyn Rows, weights: Option<&[f32]>) -> Result<Self> {
        let (n, width) = (cases.count(), units.width());
        let states = match units {
            Units::Potts { states, .. } => (*states).max(1),
            _ => 1,
        };
        if n == 0 || cases.width() != width || weights.is_some_and(|weights| weights.len() != n) {
            let expected = format!("cases of {width} columns, with a weight each or none");
            let found = format!("{n} of {}", cases.width());
            return Err(Error::invalid("correlations", expected, found));
        }
        let mut means = Tensor::zeros((1, width), DType::F32, &Device::Cpu)?;
        let mut products = Tensor::zeros((width, width), DType::F32, &Device::Cpu)?;
        let (mut total, mut start) = (0.0, 0);
        for block in rows::blocks(cases) {
            let block = block?.detach();
            let count = block.dim(0)?;
            let weights = match weights {
                Some(weights) => weights[start..start + count].to_vec(),
                None => vec![1.0; count],
            };
            start += count;
            total += weights.iter().map(|&weight| f64::from(weight)).sum::<f64>();
            let weighted =
                block.broadcast_mul(&Tensor::from_vec(weights, (count, 1), &Device::Cpu)?)?;
            means = (means + weighted.sum_keepdim(0)?)?;
            products = (products + weighted.t()?.matmul(&block)?)?;
        }
        let (means, products) = ((means / total)?, (products / total)?);
        let connected = (products - means.t()?.matmul(&means)?)?;
        let connected = connected.flatten_all()?.to_vec1()?;
        Ok(Self { connected, width, states })
    }

    /// Those of both for every pair of columns of different units. Both orders of a pair have the same.
    ///
    /// # Errors
    ///
    /// For correlations of other units.
    pub fn pairs(&self, other: &Self) -> Result<Vec<(f64, f64)>> {
        let Self { width, states, .. } = *self;
        if (width, states) != (other.width, other.states) {
            let expected = format!("those of {width} columns, {states} a unit");
            let found = format!("{} columns, {} a unit", other.width, other.states);
            return Err(Error::invalid("correlations", expected, found));
        }
        let rows = (0..width).flat_map(|i| {
            let next = (i / states + 1) * states;
            (next..width).map(move |j| i * width + j)
        });
        let both = |at: usize| (f64::from(self.connected[at]), f64::from(other.connected[at]));
        Ok(rows.map(both).collect())
    }

    /// Pearson's correlation between these and `other`, over [`Correlations::pairs`]; 0 where one of both does not vary.
    ///
    /// # Errors
    ///
    /// For correlations of other units.
    pub fn pearson(&self, other: &Self) -> Result<f64> {
        Ok(regression(&self.pairs(other)?).0)
    }
}

/// Pearson's correlation of pairs, and the slope of the line through them by least squares. Both are 0 where nothing varies.
pub fn regression(pairs: &[(f64, f64)]) -> (f64, f64) {
    let n = pairs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for pair in pairs {
        let (dx, dy) = (pair.0 - x, pair.1 - y);
        (xx, xy, yy) = (xx + dx * dx, xy + dx * dy, yy + dy * dy);
    }
    let or_zero = |ratio: f64| if ratio.is_finite() { ratio } else { 0.0 };
    (or_zero(xy / (xx * yy).sqrt()), or_zero(xy / xx))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cases: &[[f32; 4]], weights: Option<&[f32]>) -> Result<Correlations> {
        let rows = cases.iter().map(|row| row.to_vec()).collect::<Vec<_>>();
        let cases = Tensor::new(rows, &Device::Cpu)?;
        Correlations::of(&Units::Potts { sites: 2, states: 2 }, &cases, weights)
    }

    #[test]
    fn a_case_of_weight_two_is_two_cases() -> Result<()> {
        let (a, b) = ([1., 0., 1., 0.], [0., 1., 0., 1.]);
        let c = [1., 0., 0., 1.];
        let (once, twice) = (of(&[a, b, c], Some(&[1., 2., 1.]))?, of(&[a, b, b, c], None)?);
        for (x, y) in once.connected.iter().zip(&twice.connected) {
            assert!((x - y).abs() < 1e-6, "{x} and {y}");
        }
        // ⟨x_1·x_3⟩ − ⟨x_1⟩⟨x_3⟩ of four cases: 1/4 − 1/2·1/4.
        assert!((twice.connected[2] - 0.125).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn pairs_within_a_site_do_not_count() -> Result<()> {
        // Sites that agree, and sites that disagree: all pairs have the opposite sign, those within a site the same.
        let agree = of(&[[1., 0., 1., 0.], [0., 1., 0., 1.]], None)?;
        let differ = of(&[[1., 0., 0., 1.], [0., 1., 1., 0.]], None)?;
        assert!((agree.pearson(&differ)? + 1.0).abs() < 1e-9);
        assert!((agree.pearson(&agree)? - 1.0).abs() < 1e-9);
        Ok(())
    }

    /// Three sites of two letters: the last follows the first, the one between is alone.
    #[test]
    fn pairs_of_letters_vary_together() -> Result<()> {
        let [a, b] = [[1f32, 0.0], [0.0, 1.0]];
        let cases = [[a, a, a], [a, b, a], [b, a, b], [b, b, b]];
        let cases: Vec<f32> = cases.as_flattened().as_flattened().to_vec();
        let cases = Tensor::from_vec(cases, (4, 6), &Device::Cpu)?;
        let units = Units::Potts { sites: 3, states: 2 };
        let found = Correlations::of(&units, &cases, None)?;
        let pairs: Vec<f64> = found.pairs(&found)?.into_iter().map(|(x, _)| x).collect();
        // f(A, A) − f(A) f(A) = 1/2 − 1/4 of the first and the last, f(A, B) − f(A) f(B) = 0 − 1/4, and 0 with the other.
        assert_eq!(pairs[..4], [0.0, 0.0, 0.25, -0.25]);
        assert_eq!(pairs[4..8], [0.0, 0.0, -0.25, 0.25]);
        assert_eq!(pairs.len(), 12);
        assert!(Correlations::of(&units, &cases.narrow(1, 0, 4)?.contiguous()?, None).is_err());
        Ok(())
    }

    #[test]
    fn a_line_is_found() {
        let (r, slope) = regression(&[(0.0, 1.0), (1.0, 1.5), (2.0, 2.0)]);
        assert!((r - 1.0).abs() < 1e-12 && (slope - 0.5).abs() < 1e-12, "{r} {slope}");
        let (r, _) = regression(&[(-1.0, 1.0), (0.0, -2.0), (1.0, 1.0)]);
        assert!(r.abs() < 1e-12, "{r}");
        assert_eq!(regression(&[(1.0, 2.0), (1.0, 2.0)]), (0.0, 0.0));
    }
}
