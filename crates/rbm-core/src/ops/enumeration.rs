//! Averages over every configuration of a machine of zeros and ones, without a matrix product.
//!
//! The configurations x of one side are cut into upper and lower bits. The input of a unit j of the other side is then a sum of
//! two numbers out of small tables, and exp of it a product of two; Σ_y exp(−E(x, y)) = exp(x·b) Π_j (1 + exp of it). So a
//! configuration costs a multiplication and an addition a unit, and a division where it counts.

use rayon::prelude::*;

use super::cpu::Simd;

/// Lower bits: so many configurations are looked at side by side, and a table of them fits into the cache.
const LOWER: usize = 8;
/// Into how many parts the upper bits are cut: the same for any number of threads, so that sums are.
const PARTS: usize = 16;
/// The largest logarithm in a table: the product of two numbers is finite, and one added to it.
const MAX_LOG: f64 = 300.0;
/// Of weights so much below the largest one, in logarithms, nothing is left after rounding.
const NEGLIGIBLE: f64 = 60.0;
/// Neighbours that are added up side by side.
const LANES: usize = 8;

/// Averages over a machine's distribution.
#[derive(Debug, Clone, PartialEq)]
pub struct BinaryAverages {
    /// The logarithm of the partition function, nats.
    pub log_partition: f64,
    /// ⟨x⟩, `(side,)`.
    pub side: Vec<f64>,
    /// ⟨y⟩, `(other,)`.
    pub other: Vec<f64>,
    /// ⟨x yᵀ⟩, `(side, other)`, row by row.
    pub correlation: Vec<f64>,
}

/// Averages over all x and y in {0, 1} with p(x, y) ∝ exp(x·`side` + y·`other` + xᵀ`weights`y), going through every x;
/// `weights` `(side, other)` lie row by row. `None` where numbers are so large that exp of them would not be finite.
pub fn binary_averages(weights: &[f64], side: &[f64], other: &[f64]) -> Option<BinaryAverages> {
    let lower = side.len().min(LOWER);
    let tables = Tables::new(weights, side, other, lower)?;
    let uppers = 1usize << (side.len() - lower);
    let part = uppers.div_ceil(PARTS);
    let parts: Vec<StateSums> = (0..uppers.div_ceil(part))
        .into_par_iter()
        .map(|at| {
            let mut sums = StateSums::new(tables.low_rows, other.len(), side.len() - lower);
            Simd::best().run(
                #[inline(always)]
                || {
                    for upper in at * part..uppers.min((at + 1) * part) {
                        sums.add(&tables, upper);
                    }
                },
            );
            sums
        })
        .collect();
    let all = parts.into_iter().reduce(StateSums::plus)?;
    Some(all.averages(side.len(), lower))
}

/// What the lower bits alone, and each upper bit, say.
struct Tables {
    low_rows: usize,
    /// exp of what the lower bits say to unit j, `(other, low_rows)`.
    low: Vec<f64>,
    /// What they say to themselves, `(low_rows,)`.
    low_bias: Vec<f64>,
    /// What the upper bits say to each unit, `(upper bits, other)`, and to themselves.
    upper: Vec<f64>,
    upper_bias: Vec<f64>,
    other: Vec<f64>,
}

impl Tables {
    fn new(weights: &[f64], side: &[f64], other: &[f64], lower: usize) -> Option<Self> {
        let (low_rows, units) = (1usize << lower, other.len());
        let on = |row: usize| (0..lower).filter(move |bit| row >> bit & 1 == 1);
        let mut low = Vec::with_capacity(units * low_rows);
        for unit in 0..units {
            low.extend(
                (0..low_rows)
                    .map(|row| -> f64 { on(row).map(|bit| weights[bit * units + unit]).sum() }),
            );
        }
        let low_bias = (0..low_rows).map(|row| on(row).map(|bit| side[bit]).sum()).collect();
        let (upper, upper_bias) = (weights[lower * units..].to_vec(), side[lower..].to_vec());
        // The most that upper bits and the bias can say.
        let most = (0..units).map(|unit| {
            let of_bits = upper.iter().skip(unit).step_by(units.max(1)).map(|w| w.abs());
            of_bits.sum::<f64>() + other[unit].abs()
        });
        let is_small = |x: f64| x.abs() <= MAX_LOG;
        let fits = most.map(is_small).chain(low.iter().map(|&x| is_small(x))).all(|fits| fits);
        if !fits || !side.iter().all(|bias| bias.is_finite()) {
            return None;
        }
        low.iter_mut().for_each(|x| *x = x.exp());
        Some(Self { low_rows, low, low_bias, upper, upper_bias, other: other.to_vec() })
    }
}

/// StateSums over some of the configurations, each weight divided by exp(`highest`).
struct StateSums {
    highest: f64,
    total: f64,
    /// Of the weights of each row of lower bits, `(low_rows,)`, and of each upper bit.
    low: Vec<f64>,
    upper: Vec<f64>,
    /// Of y over these, `(other, low_rows)` and `(upper bits, other)`.
    low_other: Vec<f64>,
    upper_other: Vec<f64>,
    /// Where a block is worked on: exp of what the upper bits say, mantissas and exponents of products, weights.
    says: Vec<f64>,
    mantissas: Vec<f64>,
    exponents: Vec<u64>,
}

impl StateSums {
    fn new(low_rows: usize, units: usize, uppers: usize) -> Self {
        Self {
            highest: f64::NEG_INFINITY,
            total: 0.0,
            low: vec![0.0; low_rows],
            upper: vec![0.0; uppers],
            low_other: vec![0.0; units * low_rows],
            upper_other: vec![0.0; uppers * units],
            says: vec![0.0; units],
            mantissas: vec![0.0; low_rows],
            exponents: vec![0; low_rows],
        }
    }

    /// Takes in all configurations with these upper bits.
    #[inline(always)]
    fn add(&mut self, tables: &Tables, upper: usize) {
        const EXPONENT: u32 = 52;
        const ONE: u64 = 1023 << EXPONENT;
        let (rows, units) = (tables.low_rows, tables.other.len());
        let bits = || (0..tables.upper_bias.len()).filter(move |bit| upper >> bit & 1 == 1);
        self.says.copy_from_slice(&tables.other);
        for bit in bits() {
            let row = &tables.upper[bit * units..][..units];
            self.says.iter_mut().zip(row).for_each(|(says, w)| *says += w);
        }
        self.says.iter_mut().for_each(|says| *says = says.exp());
        self.mantissas.fill(1.0);
        self.exponents.fill(0);
        for (says, low) in self.says.iter().zip(tables.low.chunks_exact(rows)) {
            let products = self.mantissas.iter_mut().zip(&mut self.exponents);
            for ((mantissa, exponent), low) in products.zip(low) {
                // The product in two parts, so that it never overflows; its exponent counts from 1023.
                let product = (*mantissa * (1.0 + says * low)).to_bits();
                *exponent += product >> EXPONENT;
                *mantissa = f64::from_bits(product & ((1 << EXPONENT) - 1) | ONE);
            }
        }
        let bias: f64 = bits().map(|bit| tables.upper_bias[bit]).sum();
        let weights = &mut self.mantissas;
        for ((weight, exponent), low) in
            weights.iter_mut().zip(&self.exponents).zip(&tables.low_bias)
        {
            let exponent = *exponent as f64 - 1023.0 * units as f64;
            *weight = weight.ln() + exponent * std::f64::consts::LN_2 + low + bias;
        }
        let top = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if top < self.highest - NEGLIGIBLE {
            return;
        }
        if top > self.highest {
            self.scale((self.highest - top).exp());
            self.highest = top;
        }
        let highest = self.highest;
        self.mantissas.iter_mut().for_each(|weight| *weight = (*weight - highest).exp());
        let weights = &self.mantissas;
        self.low.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight);
        let here: f64 = weights.iter().sum();
        self.total += here;
        bits().for_each(|bit| self.upper[bit] += here);
        let tables_of_units =
            tables.low.chunks_exact(rows).zip(self.low_other.chunks_exact_mut(rows));
        for (unit, (low, sums)) in tables_of_units.enumerate() {
            let says = self.says[unit];
            let mut lanes = [0.0; LANES];
            let blocks = low.chunks(LANES).zip(sums.chunks_mut(LANES)).zip(weights.chunks(LANES));
            for ((low, sums), weights) in blocks {
                let terms = low.iter().zip(sums).zip(weights).zip(&mut lanes);
                for (((low, sum), weight), lane) in terms {
                    let odds = says * low;
                    let mean = weight * odds / (1.0 + odds);
                    *sum += mean;
                    *lane += mean;
                }
            }
            let sum: f64 = lanes.iter().sum();
            bits().for_each(|bit| self.upper_other[bit * units + unit] += sum);
        }
    }

    fn scale(&mut self, factor: f64) {
        self.total *= factor;
        let sums = [&mut self.low, &mut self.upper, &mut self.low_other, &mut self.upper_other];
        sums.into_iter().flatten().for_each(|sum| *sum *= factor);
    }

    fn plus(mut self, mut more: Self) -> Self {
        let highest = self.highest.max(more.highest);
        for sums in [&mut self, &mut more] {
            let factor = (sums.highest - highest).exp();
            sums.scale(factor);
            sums.highest = highest;
        }
        self.total += more.total;
        for (sums, more) in [
            (&mut self.low, &more.low),
            (&mut self.upper, &more.upper),
            (&mut self.low_other, &more.low_other),
            (&mut self.upper_other, &more.upper_other),
        ] {
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        self
    }

    fn averages(&self, width: usize, lower: usize) -> BinaryAverages {
        let (rows, units) = (self.low.len(), self.says.len());
        let of_rows = |sums: &[f64], bit: usize| -> f64 {
            let on = sums.iter().enumerate().filter(|(row, _)| row >> bit & 1 == 1);
            on.map(|(_, sum)| sum).sum::<f64>() / self.total
        };
        let (mut side, mut correlation) = (Vec::new(), Vec::new());
        for bit in 0..lower {
            side.push(of_rows(&self.low, bit));
            correlation.extend(self.low_other.chunks_exact(rows).map(|sums| of_rows(sums, bit)));
        }
        for bit in 0..width - lower {
            side.push(self.upper[bit] / self.total);
            let row = &self.upper_other[bit * units..][..units];
            correlation.extend(row.iter().map(|sum| sum / self.total));
        }
        let other = self.low_other.chunks_exact(rows);
        let other = other.map(|sums| sums.iter().sum::<f64>() / self.total).collect();
        let log_partition = self.highest + self.total.ln();
        BinaryAverages { log_partition, side, other, correlation }
    }
}
