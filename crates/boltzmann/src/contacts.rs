//! Direct coupling analysis: which sites of an alignment are coupled most, and so probably in contact.
//!
//! Couplings between the states of two sites are not unique: what depends on one of the states alone can be moved into the fields. So they
//! are brought to the zero-sum gauge, of which the Frobenius norm is the smallest, and the norms are corrected for what sites have with
//! all others (Dunn, Wahl, Gloor 2008; Ekeberg et al. 2013).

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use rbm_core::model::{Coupling, Machine};
use rbm_core::ops::device::to_host;
use rbm_core::units::first_columns;
use rbm_core::{Error, Layer, Result, Rows, Units, rows};
use serde::Serialize;

use crate::Graph;

/// J_ij(a, b) between all states of all sites.
#[derive(Debug, Clone, PartialEq)]
pub struct PottsCouplings {
    sites: usize,
    states: usize,
    /// `(sites * states, sites * states)`, row by row: symmetric.
    weights: Vec<f32>,
}

/// Cases, and how much each counts.
#[derive(Debug, Clone, Copy)]
pub struct WeightedCases<'a> {
    /// `(n, visible)`.
    pub values: &'a dyn Rows,
    /// One a case; all alike without any.
    pub weights: Option<&'a [f32]>,
}

/// Two sites and how strongly they are coupled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Contact {
    /// The sites, from 0, the lower one first.
    pub sites: [usize; 2],
    /// The Frobenius norm less what the average product correction takes away.
    pub score: f64,
    /// The Frobenius norm of J_ij in the zero-sum gauge.
    pub norm: f64,
}

impl PottsCouplings {
    /// Of `sites` sites of `states` states, the matrix `weights` `(sites * states, sites * states)`, symmetric; what lies within a site is
    /// passed over.
    ///
    /// # Errors
    ///
    /// For a matrix of another shape, and fewer than 3 sites or 2 states: nothing is to be compared there.
    pub fn new(units: &Units, weights: &Tensor) -> Result<Self> {
        let Units::Potts { sites, states } = *units else {
            return Err(Error::invalid("contacts", "Potts units", units.to_string()));
        };
        if sites < 3 || states < 2 {
            let expected = "at least 3 sites of at least 2 states";
            return Err(Error::invalid("contacts", expected, units.to_string()));
        }
        let width = sites * states;
        if weights.dims() != [width, width] {
            let found = format!("{:?}", weights.dims());
            return Err(Error::invalid("couplings", format!("({width}, {width})"), found));
        }
        let weights = weights.detach().to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        Ok(Self { sites, states, weights: weights.flatten_all()?.to_vec1()? })
    }

    /// Those of a graph of Potts units, as of a `_params.dat` of adabmDCA.
    ///
    /// # Errors
    ///
    /// As [`PottsCouplings::new`].
    pub fn of_graph(graph: &Graph) -> Result<Self> {
        let width = graph.units.width();
        let none = Tensor::zeros((0, 0), DType::F32, &Device::Cpu)?;
        let mut couplings = match graph.units {
            Units::Potts { sites, states } if sites >= 3 && states >= 2 => {
                Self { sites, states, weights: vec![0.0; width * width] }
            }
            _ => return Self::new(&graph.units, &none),
        };
        for (&[a, b], &coupling) in graph.edges.iter().zip(&graph.couplings) {
            let (a, b) = (a as usize, b as usize);
            if a.max(b) < width {
                let number = coupling as f32;
                if !number.is_finite() {
                    let expected = format!("numbers of at most {:e}", f32::MAX);
                    return Err(Error::invalid("couplings", expected, format!("{coupling:e}")));
                }
                couplings.weights[a * width + b] += number;
                couplings.weights[b * width + a] += number;
            }
        }
        Ok(couplings)
    }

    /// Those between the units of the first layer of `machine`: what is coupled directly, and what hidden units make of `cases`
    /// ([`PottsCouplings::through_hidden`]).
    ///
    /// # Errors
    ///
    /// As [`PottsCouplings::new`], for hidden units that are coupled with each other, and where hidden units are and there are no cases.
    pub fn of_machine(machine: &Machine, cases: Option<&WeightedCases>) -> Result<Self> {
        let layers = machine.layers();
        let units = layers[0].0.units();
        let width = units.width();
        let mut sum = Tensor::zeros((width, width), DType::F32, &Device::Cpu)?;
        for coupling in machine.couplings() {
            let weights = coupling.weights().as_detached_tensor();
            match (coupling, cases) {
                (Coupling::Lateral { layer: 0, .. }, _) => sum = (sum + weights)?,
                (Coupling::Dense { layers: [0, 1], .. }, Some(cases)) if layers.len() == 2 => {
                    sum = (sum + through(&weights, layers[1].0, cases)?)?;
                }
                (Coupling::Dense { .. }, None) => {
                    let expected = "cases, for what hidden units couple";
                    return Err(Error::invalid("contacts", expected, "none"));
                }
                _ => {
                    let expected = "hidden units that are not coupled with each other";
                    return Err(Error::invalid("contacts", expected, "a coupling among them"));
                }
            }
        }
        Self::new(&units, &sum)
    }

    /// The effective couplings of Potts units through the `hidden` units of a restricted machine with `weights` `(visible, hidden)`:
    /// J_ij(a, b) = Σ_μν ⟨Cov(h_μ, h_ν | v)⟩ w_iμ(a) w_jν(b), the mean over `cases`, where μ and ν are columns of one site. It is the second-order term of −F in the
    /// weights (Tubiana, Cocco, Monasson 2019; Decelle et al. 2024 have all orders).
    ///
    /// # Errors
    ///
    /// When shapes do not fit, without cases, and as [`PottsCouplings::new`].
    pub fn through_hidden(
        visible: &Units,
        weights: &Tensor,
        hidden: &dyn Layer,
        cases: &WeightedCases,
    ) -> Result<Self> {
        Self::new(visible, &through(weights, hidden, cases)?)
    }

    /// The same in the zero-sum gauge: each row and each column of each J_ij sums to 0. The energies of configurations stay as they are if
    /// the fields take up the rest.
    pub fn zero_sum(&self) -> Self {
        let Self { sites, states, .. } = *self;
        let width = sites * states;
        let mut weights = self.weights.clone();
        weights.par_chunks_mut(width * states).for_each(|rows| {
            for j in 0..sites {
                let at = |a: usize, b: usize| a * width + j * states + b;
                let mean =
                    |terms: &mut dyn Iterator<Item = f64>| terms.sum::<f64>() / states as f64;
                let of_rows: Vec<f64> = (0..states)
                    .map(|a| mean(&mut (0..states).map(|b| f64::from(rows[at(a, b)]))))
                    .collect();
                let of_columns: Vec<f64> = (0..states)
                    .map(|b| mean(&mut (0..states).map(|a| f64::from(rows[at(a, b)]))))
                    .collect();
                let all = mean(&mut of_rows.iter().copied());
                for (a, of_row) in of_rows.iter().enumerate() {
                    for (b, of_column) in of_columns.iter().enumerate() {
                        let number = &mut rows[at(a, b)];
                        *number = (f64::from(*number) - of_row - of_column + all) as f32;
                    }
                }
            }
        });
        Self { sites, states, weights }
    }

    /// All pairs of sites that are at least `separation` apart in the sequence, the strongest coupled first. What concerns the state
    /// `without`, the gap, is left out of the norms.
    ///
    /// The correction is by the means over all pairs: score_ij = F_ij − F_i·F_j/F.
    ///
    /// # Errors
    ///
    /// For a state that there is not.
    pub fn contacts(&self, separation: usize, without: Option<usize>) -> Result<Vec<Contact>> {
        let Self { sites, states, .. } = *self;
        if let Some(state) = without.filter(|state| *state >= states) {
            let expected = format!("below {states}");
            return Err(Error::invalid("the state of a gap", expected, state.to_string()));
        }
        let (width, gauged) = (sites * states, self.zero_sum());
        let counted: Vec<usize> = (0..states).filter(|state| Some(*state) != without).collect();
        let norm = |i: usize, j: usize| -> f64 {
            let cells = counted.iter().flat_map(|a| counted.iter().map(move |b| (a, b)));
            let square = |(a, b): (&usize, &usize)| {
                f64::from(gauged.weights[(i * states + a) * width + j * states + b]).powi(2)
            };
            if i == j { 0.0 } else { cells.map(square).sum::<f64>().sqrt() }
        };
        let norms: Vec<f64> = (0..sites * sites)
            .into_par_iter()
            .map(|at| norm((at / sites).min(at % sites), (at / sites).max(at % sites)))
            .collect();
        Ok(corrected(&norms, sites, separation))
    }
}

/// J through hidden units, `(visible, visible)`: w·⟨Cov(h | v)⟩·wᵀ, the mean over `cases`.
fn through(weights: &Tensor, hidden: &dyn Layer, cases: &WeightedCases) -> Result<Tensor> {
    let count = cases.values.count();
    if let Some(found) = cases.weights.map(<[f32]>::len).filter(|found| *found != count) {
        return Err(Error::invalid(
            "weights",
            format!("one for each of {count} cases"),
            found.to_string(),
        ));
    }
    let weights = to_host(&weights.detach())?;
    let bias = hidden.bias()?;
    let means = |inputs: &Tensor| -> Result<Tensor> {
        let inputs = inputs.to_dtype(bias.dtype())?.to_device(bias.device())?;
        to_host(&hidden.mean(&inputs)?.detach())
    };
    // Columns of a site lie next to each other; those of different sites are independent given v.
    let sites = first_columns(&hidden.support());
    let offsets: Vec<usize> =
        sites.iter().enumerate().map(|(column, first)| column - first).collect();
    let several = offsets.iter().max().map_or(0, |most| most + 1);
    let mut sums: Vec<Option<Tensor>> = vec![None; several];
    let (mut start, mut total) = (0, 0.0);
    for block in rows::blocks(cases.values) {
        let inputs = to_host(&block?.detach())?.matmul(&weights)?;
        let rows = inputs.dim(0)?;
        let counts: Vec<f64> = match cases.weights {
            Some(weights) => weights[start..start + rows].iter().map(|w| f64::from(*w)).collect(),
            None => vec![1.0; rows],
        };
        (start, total) = (start + rows, total + counts.iter().sum::<f64>());
        let counts = Tensor::from_vec(counts, (1, rows), &Device::Cpu)?;
        for (offset, sum) in sums.iter_mut().enumerate() {
            // Cov(h, h_k | I) is the derivative of E[h | I] by I_k, taken for one column of every site at once.
            let by = offsets.iter().map(|own| if *own == offset { STEP } else { 0.0 });
            let by = Tensor::from_iter(by, &Device::Cpu)?.to_dtype(inputs.dtype())?;
            let above = means(&inputs.broadcast_add(&by)?)?;
            let slope = ((above - means(&inputs.broadcast_sub(&by)?)?)? / (2.0 * STEP))?;
            let slope = counts.matmul(&slope)?;
            *sum = Some(sum.take().map_or(Ok(slope.clone()), |sum| sum + slope)?);
        }
    }
    if total <= 0.0 {
        return Err(Error::invalid("contacts", "at least one case", "none"));
    }
    let width = sites.len();
    let mut covariance = vec![0.0; width * width];
    for (offset, sum) in sums.iter().enumerate() {
        let Some(sum) = sum else { continue };
        for (row, slope) in sum.flatten_all()?.to_vec1::<f64>()?.into_iter().enumerate() {
            let column = sites[row] + offset;
            if column < width && sites[column] == sites[row] {
                covariance[row * width + column] = slope / total;
            }
        }
    }
    let covariance = Tensor::from_vec(covariance, (width, width), &Device::Cpu)?;
    Ok(weights.matmul(&covariance)?.matmul(&weights.t()?)?.to_dtype(DType::F32)?)
}

/// Half the distance of the inputs between which the slope of a mean is taken.
const STEP: f64 = 1e-2;

/// The pairs of `norms` `(sites, sites)`, corrected and ranked.
fn corrected(norms: &[f64], sites: usize, separation: usize) -> Vec<Contact> {
    let others = (sites - 1).max(1) as f64;
    let of_sites: Vec<f64> =
        norms.chunks(sites).map(|row| row.iter().sum::<f64>() / others).collect();
    let all = of_sites.iter().sum::<f64>() / sites as f64;
    let pairs = (0..sites).flat_map(|i| (i + separation.max(1)..sites).map(move |j| [i, j]));
    let contact = |[i, j]: [usize; 2]| {
        let norm = norms[i * sites + j];
        let shared = if all > 0.0 { of_sites[i] * of_sites[j] / all } else { 0.0 };
        Contact { sites: [i, j], score: norm - shared, norm }
    };
    let mut contacts: Vec<Contact> = pairs.map(contact).collect();
    contacts.sort_by(|a, b| b.score.total_cmp(&a.score));
    contacts
}

/// Which share of the first n of `ranked` are among `known`, for every n: positive predictive values.
pub fn precision(ranked: &[Contact], known: &[[usize; 2]]) -> Vec<f64> {
    let known: std::collections::BTreeSet<[usize; 2]> =
        known.iter().map(|[i, j]| [*i.min(j), *i.max(j)]).collect();
    let mut hits = 0;
    let of_first = |(n, contact): (usize, &Contact)| {
        hits += usize::from(known.contains(&contact.sites));
        hits as f64 / (n + 1) as f64
    };
    ranked.iter().enumerate().map(of_first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rbm_core::Rng;
    use rbm_core::ops::normal;

    const UNITS: Units = Units::Potts { sites: 6, states: 3 };

    /// Random couplings, and between sites 1 and 4 stronger ones.
    fn planted() -> Result<Tensor> {
        let width = UNITS.width();
        let noise = normal((width, width), DType::F32, &Device::Cpu, &mut Rng::new(1))?;
        let mut rows = ((&noise + noise.t()?)? * 0.1)?.to_vec2::<f32>()?;
        for state in 0..3 {
            rows[3 + state][12 + state] += 2.0;
            rows[12 + state][3 + state] += 2.0;
        }
        Ok(Tensor::new(rows, &Device::Cpu)?)
    }

    #[test]
    fn a_planted_pair_comes_first() -> Result<()> {
        let contacts = PottsCouplings::new(&UNITS, &planted()?)?.contacts(1, None)?;
        assert_eq!((contacts[0].sites, contacts.len()), ([1, 4], 15));
        assert!(contacts[0].score > 3.0 * contacts[1].score.abs());
        let apart = PottsCouplings::new(&UNITS, &planted()?)?.contacts(4, None)?;
        assert!(apart.iter().all(|contact| contact.sites[1] - contact.sites[0] >= 4));
        assert_eq!(apart.len(), 3);
        Ok(())
    }

    #[test]
    fn a_gauge_changes_no_score() -> Result<()> {
        let mut moved = planted()?.to_vec2::<f32>()?;
        // u(a) of the site i against every state of the site j.
        for (i, row) in moved.iter_mut().enumerate() {
            for (j, cell) in row.iter_mut().enumerate() {
                let (low, high) = (i.min(j), i.max(j));
                let of = |own: usize, other: usize| ((own * 7 + other / 3 * 5) % 11) as f32 * 0.3;
                *cell += of(low, high) + of(high, low);
            }
        }
        let plain = PottsCouplings::new(&UNITS, &planted()?)?;
        let moved = PottsCouplings::new(&UNITS, &Tensor::new(moved, &Device::Cpu)?)?;
        for without in [None, Some(0)] {
            let pairs = plain.contacts(1, without)?.into_iter().zip(moved.contacts(1, without)?);
            for (x, y) in pairs {
                assert_eq!(x.sites, y.sites);
                assert!((x.score - y.score).abs() < 1e-5, "{x:?} {y:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_coupling_of_gaps_is_seen_unless_left_out() -> Result<()> {
        let mut rows = vec![vec![0f32; 18]; 18];
        (rows[0][6], rows[6][0]) = (1.0, 1.0);
        let couplings = PottsCouplings::new(&UNITS, &Tensor::new(rows, &Device::Cpu)?)?;
        // In the zero-sum gauge the cell has 4/9, its row and column −2/9, the others 1/9.
        let [all, some] = [None, Some(0)].map(|without| couplings.contacts(1, without));
        assert!((all?[0].norm - 6.0 / 9.0).abs() < 1e-6);
        assert!((some?[0].norm - 2.0 / 9.0).abs() < 1e-6);
        Ok(())
    }

    /// The strongest pairs of seven sites of four states, J from words of splitmix64 along the upper triangle, as a program in NumPy has them.
    #[test]
    fn scores_are_those_of_another_program() -> Result<()> {
        let units = Units::Potts { sites: 7, states: 4 };
        let width = units.width();
        let mut weights = vec![0f32; width * width];
        let pairs = (0..width).flat_map(|i| (i + 1..width).map(move |j| (i, j)));
        for (k, (i, j)) in pairs.enumerate().filter(|(_, (i, j))| i / 4 != j / 4) {
            let share = (crate::lattice::word(51, k as u64) >> 11) as f64 / 2f64.powi(53);
            weights[i * width + j] = (2.0 * share - 1.0) as f32;
            weights[j * width + i] = weights[i * width + j];
        }
        let weights = Tensor::from_vec(weights, (width, width), &Device::Cpu)?;
        let couplings = PottsCouplings::new(&units, &weights)?;
        let all = [
            ([1, 3], 2.3662663730, 0.5836957705),
            ([4, 6], 1.9627092652, 0.2936160355),
            ([4, 5], 1.7715943867, 0.2743748342),
            ([0, 6], 1.8288276858, 0.2017981989),
        ];
        let without_the_first = [
            ([1, 3], 1.9341389301, 0.6392155633),
            ([4, 5], 1.5041220812, 0.4592921863),
            ([2, 6], 1.4601688197, 0.4303222927),
            ([0, 6], 1.5131725804, 0.3170912348),
        ];
        for (without, expected) in [(None, all), (Some(0), without_the_first)] {
            for (contact, (sites, norm, score)) in
                couplings.contacts(1, without)?.into_iter().zip(expected)
            {
                assert_eq!(contact.sites, sites);
                assert!((contact.norm - norm).abs() < 1e-6, "{contact:?}");
                assert!((contact.score - score).abs() < 1e-6, "{contact:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn the_correction_is_that_by_hand() {
        // Norms 3, 1, 2 of the pairs 01, 02, 12: means of the sites 2, 5/2, 3/2, of all 2.
        let norms = [0., 3., 1., 3., 0., 2., 1., 2., 0.];
        let found = corrected(&norms, 3, 1);
        let expected = [([0, 1], 3.0 - 2.5), ([1, 2], 2.0 - 1.875), ([0, 2], 1.0 - 1.5)];
        for (contact, (sites, score)) in found.iter().zip(expected) {
            assert_eq!(contact.sites, sites);
            assert!((contact.score - score).abs() < 1e-12);
        }
    }

    #[test]
    fn precision_counts_hits_among_the_first() {
        let contact = |sites| Contact { sites, score: 0.0, norm: 0.0 };
        let ranked = [contact([0, 5]), contact([1, 7]), contact([2, 9])];
        assert_eq!(precision(&ranked, &[[5, 0], [2, 9]]), [1.0, 0.5, 2.0 / 3.0]);
    }

    #[test]
    fn a_hidden_unit_couples_by_its_variance() -> Result<()> {
        // Bernoulli units at inputs of 0 have a variance of ¼.
        let hidden = Units::bernoulli(1).build(DType::F32, &Device::Cpu)?;
        let weights = Tensor::new(&[[1f32], [-1.], [1.], [-1.], [0.], [0.]], &Device::Cpu)?;
        let units = Units::Potts { sites: 3, states: 2 };
        let cases = Tensor::new(&[[1f32, 0., 0., 1., 1., 0.]], &Device::Cpu)?;
        let cases = WeightedCases { values: &cases, weights: None };
        let couplings = PottsCouplings::through_hidden(&units, &weights, &*hidden, &cases)?;
        let first = couplings.contacts(1, None)?[0];
        assert_eq!(first.sites, [0, 1]);
        assert!((first.norm - 0.5).abs() < 1e-4, "{}", first.norm); // √(4·(¼)²)
        Ok(())
    }

    /// A softmax that is moved as a whole does not change: the variance of its columns alone would be none.
    #[test]
    fn a_hidden_site_of_two_states_couples_as_a_bit_does() -> Result<()> {
        let units = Units::Potts { sites: 4, states: 3 };
        let draw = |width: usize| {
            Ok::<_, Error>(
                (normal((12, width), DType::F32, &Device::Cpu, &mut Rng::new(4))? * 0.7)?,
            )
        };
        let (bits, none) = (draw(2)?, Tensor::zeros((12, 1), DType::F32, &Device::Cpu)?);
        let [one, other] = [bits.narrow(1, 0, 1)?, bits.narrow(1, 1, 1)?];
        let sites = Tensor::cat(&[&none, &one, &none, &other], 1)?;
        let cases = units.build(DType::F32, &Device::Cpu)?;
        let inputs = Tensor::zeros((9, 12), DType::F32, &Device::Cpu)?;
        let cases = cases.sample(&inputs, &mut Rng::new(5))?;
        let weights: Vec<f32> = (1..=9).map(|i| i as f32).collect();
        let of = |weights_of: &Tensor, hidden: Units, counts: Option<&[f32]>| -> Result<_> {
            let hidden = hidden.build(DType::F32, &Device::Cpu)?;
            let cases = WeightedCases { values: &cases, weights: counts };
            PottsCouplings::through_hidden(&units, weights_of, &*hidden, &cases)?.contacts(1, None)
        };
        let potts = Units::Potts { sites: 2, states: 2 };
        for counts in [None, Some(&weights[..])] {
            let known = of(&bits, Units::bernoulli(2), counts)?;
            let found = of(&sites, potts.clone(), counts)?;
            assert!(known[0].norm > 0.05, "{known:?}");
            for (known, found) in known.iter().zip(&found) {
                assert_eq!(known.sites, found.sites);
                assert!((known.norm - found.norm).abs() < 1e-5, "{known:?} {found:?}");
            }
        }
        assert!(of(&bits, Units::bernoulli(2), Some(&weights[1..])).is_err());
        // Cases that count differently couple differently.
        let all = of(&bits, Units::bernoulli(2), None)?;
        let weighed = of(&bits, Units::bernoulli(2), Some(&weights))?;
        assert!(all.iter().zip(weighed).any(|(one, other)| (one.norm - other.norm).abs() > 1e-4));
        Ok(())
    }
}
