//! How two units vary together: connected correlations of data and of samples, and how far they agree.

use candle_core::{DType, Device, Tensor};
use rbm_core::{Error, Result, Rows, Units, rows};

use crate::shape::sites_of;

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
        Ok(Self { connected, width, states: sites_of(units).1 })
    }

    /// Pearson's correlation between these and `other`, over all pairs of columns of different units; 0 where one of both does not vary.
    ///
    /// # Errors
    ///
    /// For correlations of other units.
    pub fn pearson(&self, other: &Self) -> Result<f64> {
        let Self { width, states, .. } = *self;
        if (width, states) != (other.width, other.states) {
            let expected = format!("those of {width} columns, {states} a unit");
            let found = format!("{} columns, {} a unit", other.width, other.states);
            return Err(Error::invalid("correlations", expected, found));
        }
        let (mut count, mut sums, mut squares) = (0.0, [0.0; 2], [0.0; 3]);
        for i in 0..width {
            // Both orders of a pair have the same correlation.
            let next = (i / states + 1) * states;
            for at in i * width + next..(i + 1) * width {
                let [x, y] = [&self.connected, &other.connected].map(|all| f64::from(all[at]));
                count += 1.0;
                sums = [sums[0] + x, sums[1] + y];
                squares = [squares[0] + x * x, squares[1] + y * y, squares[2] + x * y];
            }
        }
        let [x, y] = sums.map(|sum| sum / f64::max(count, 1.0));
        let variances = (squares[0] - count * x * x) * (squares[1] - count * y * y);
        let covariance = squares[2] - count * x * y;
        Ok(if variances > 0.0 { covariance / variances.sqrt() } else { 0.0 })
    }
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
}
