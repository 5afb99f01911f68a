//! The cases of a data set, wherever they lie, and mini-batches of them: an order in which to go through them, cut into parts.

use std::fmt::{self, Debug};
use std::ops::Range;

use candle_core::{DType, Tensor};
use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, Rng};

/// The cases of a data set, one a row. They need not be in memory: what is asked for is formed when it is asked for. A
/// matrix `(n, width)` is one such set.
pub trait Rows: Debug + Send + Sync {
    /// The number of cases.
    fn count(&self) -> usize;

    /// The number of values of a case.
    fn width(&self) -> usize;

    /// The cases with these numbers, in this order, `(indices, width)`.
    ///
    /// # Errors
    ///
    /// For a number that is not below the count.
    fn rows(&self, indices: &[u32]) -> Result<Tensor>;

    /// The cases `range` in their own order, `(range, width)`.
    ///
    /// # Errors
    ///
    /// For a range that ends behind the last case.
    fn block(&self, range: Range<usize>) -> Result<Tensor>;
}

impl Rows for Tensor {
    fn count(&self) -> usize {
        self.dims().first().copied().unwrap_or(0)
    }

    fn width(&self) -> usize {
        self.dims().get(1).copied().unwrap_or(0)
    }

    fn rows(&self, indices: &[u32]) -> Result<Tensor> {
        Ok(self.index_select(&Tensor::new(indices, self.device())?, 0)?)
    }

    fn block(&self, range: Range<usize>) -> Result<Tensor> {
        Ok(self.narrow(0, range.start, range.len())?)
    }
}

/// Cases that are looked at together where all of them are gone through.
pub const BLOCK: usize = 1000;

/// All cases `(rows, width)` in order, in blocks of at most a thousand, so that neither they nor what is made of them need
/// fit into memory at once.
pub fn blocks(cases: &dyn Rows) -> impl Iterator<Item = Result<Tensor>> + '_ {
    let n = cases.count();
    (0..n).step_by(BLOCK).map(move |start| cases.block(start..n.min(start + BLOCK)))
}

/// Enough of cases to notice that they are no longer the same: a training goes on with those that it began with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// How many.
    pub cases: usize,
    /// The number of values of each.
    pub width: usize,
    /// CRC-32 of all values, and of what counts beside them.
    pub checksum: u32,
}

impl Fingerprint {
    /// Of every value of `cases`, in their order.
    ///
    /// # Errors
    ///
    /// Where the cases cannot be read.
    pub fn of(cases: &dyn Rows) -> Result<Self> {
        let none = Self { cases: cases.count(), width: cases.width(), checksum: 0 };
        none.and(cases)
    }

    /// The same with the values of `others`.
    ///
    /// # Errors
    ///
    /// Where they cannot be read.
    pub fn and(mut self, others: &dyn Rows) -> Result<Self> {
        for block in blocks(others) {
            let values = block?.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            self = self.beside(values.into_iter().map(f32::to_le_bytes));
        }
        Ok(self)
    }

    /// Errors unless these are the cases that a training `began_with`, where that is known.
    ///
    /// # Errors
    ///
    /// Then.
    pub fn check(&self, began_with: Option<&Self>) -> Result<()> {
        match began_with {
            Some(known) if known != self => {
                Err(Error::invalid("the data", known.to_string(), self.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// [`Fingerprint::check`]; and these are what it `began_with`, where that was not known.
    ///
    /// # Errors
    ///
    /// As that.
    pub fn check_or_keep(self, began_with: &mut Option<Self>) -> Result<()> {
        self.check(began_with.as_ref())?;
        *began_with = Some(self);
        Ok(())
    }

    /// The same with numbers that stand beside the cases: labels, targets, weights.
    pub fn beside(mut self, numbers: impl IntoIterator<Item = [u8; 4]>) -> Self {
        let mut checksum = crc32fast::Hasher::new_with_initial(self.checksum);
        checksum.update(&numbers.into_iter().flatten().collect::<Vec<_>>());
        self.checksum = checksum.finalize();
        self
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cases, width, checksum } = self;
        write!(f, "{cases} cases of width {width}, checksum {checksum:08x}")
    }
}

/// An order in which to go through the cases, cut into mini-batches. The last one may be smaller.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use rbm_core::{Batches, Rng};
///
/// let cases = Tensor::arange(0f32, 10.0, &Device::Cpu)?.reshape((5, 2))?;
/// let batches = Batches::new(5, 2).shuffled(&mut Rng::new(0));
/// let rows: Vec<_> = batches.of(&cases).map(|batch| Ok(batch?.dim(0)?)).collect::<Result<_, rbm_core::Error>>()?;
/// assert_eq!(rows, [2, 2, 1]);
/// # Ok::<(), rbm_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Batches {
    order: Vec<u32>,
    size: usize,
}

impl Batches {
    /// The cases `0..count` in their own order, `size` at a time (at least 1).
    pub fn new(count: usize, size: usize) -> Self {
        Self { order: (0..count as u32).collect(), size: size.max(1) }
    }

    /// In random order.
    pub fn shuffled(mut self, rng: &mut Rng) -> Self {
        self.order.shuffle(rng);
        self
    }

    /// As many draws as there are cases, in random order, each case as often as its share of the sum of `weights` says.
    pub fn weighted(weights: &[f32], size: usize, rng: &mut Rng) -> Self {
        let offset = rng.random_range(0.0..1.0);
        Self::drawn(weights, weights.len(), size, offset).shuffled(rng)
    }

    /// `count` draws of cases with these `weights`, `size` at a time, in the order of the cases: each as often as its share of the
    /// sum says, rounded up or down (systematic resampling; Kitagawa 1996). `offset`, from 0 to 1, decides about the rounding;
    /// drawn evenly, it makes the mean over the draws an unbiased estimate of the weighted mean.
    pub fn drawn(weights: &[f32], count: usize, size: usize, offset: f64) -> Self {
        let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        let apart = total / count.max(1) as f64;
        let (mut order, mut sum) = (Vec::with_capacity(count), 0.0);
        for (case, &weight) in (0u32..).zip(weights) {
            sum += f64::from(weight);
            while order.len() < count && (order.len() as f64 + offset) * apart < sum {
                order.push(case);
            }
        }
        // What rounding has left at the very end.
        let last = weights.len().saturating_sub(1) as u32;
        order.resize(if weights.is_empty() { 0 } else { count }, last);
        Self { order, size: size.max(1) }
    }

    /// In random order with the classes spread evenly, so that every mini-batch holds about as many cases of each class
    /// as the whole does (Practical Guide §4). `labels` has one entry a case; cases beyond its end count as one class.
    pub fn balanced(mut self, labels: &[u32], rng: &mut Rng) -> Self {
        use std::collections::BTreeMap;
        self.order.shuffle(rng);
        let mut classes: BTreeMap<Option<u32>, Vec<u32>> = BTreeMap::new();
        for &case in &self.order {
            classes.entry(labels.get(case as usize).copied()).or_default().push(case);
        }
        let mut placed: Vec<(f64, u32)> = Vec::with_capacity(self.order.len());
        for (class, cases) in classes.values().enumerate() {
            let spacing = 1.0 / cases.len() as f64;
            let offset = (class as f64 + 0.5) / (classes.len() as f64) * spacing;
            placed.extend(
                cases.iter().enumerate().map(|(i, &case)| (i as f64 * spacing + offset, case)),
            );
        }
        placed.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.order = placed.into_iter().map(|(_, case)| case).collect();
        self
    }

    /// How many mini-batches there are.
    pub fn len(&self) -> usize {
        self.order.len().div_ceil(self.size)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The numbers of the cases of every mini-batch.
    pub fn indices(&self) -> impl Iterator<Item = &[u32]> {
        self.order.chunks(self.size)
    }

    /// The rows of `cases` `(count, width)` of every mini-batch, each `(size, width)`.
    pub fn of<'a>(&'a self, cases: &'a dyn Rows) -> impl Iterator<Item = Result<Tensor>> + 'a {
        self.indices().map(|indices| cases.rows(indices))
    }
}
