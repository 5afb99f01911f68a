//! Units on a graph, coupled along its edges.

use candle_core::{DType, Device, Tensor, Var};
use rbm_core::model::{Colouring, Coupling, Machine};
use rbm_core::{Error, Result, Units};

/// The most that couplings and fields may be together where numbers are `f32`.
const STRONGEST: f64 = 1e37;
/// Where annealing begins, as a share of the hottest temperature. Of ±J glasses of 12×12 to 24×24 that is 1.2 to 1.7 times as good as 1; of
/// glasses of all pairs and of lattices without frustration nearly the same.
const ANNEALED_FROM: f64 = 0.6;
/// The most units whose couplings are one matrix.
const MOST_LATERAL: usize = 8192;

/// E(x) = −Σ J_ij·x_i·x_j − Σ h_i·x_i, the sums over edges and units: what a machine is made of, as plain data.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Of what kind the units are, and how many.
    pub units: Units,
    /// The two units of each edge, each edge once.
    pub edges: Vec<[u32; 2]>,
    /// J of each edge; above 0 it favours units that are alike.
    pub couplings: Vec<f64>,
    /// h of each unit.
    pub fields: Vec<f64>,
    /// Rows and columns, where the units lie in a rectangle, row by row.
    pub shape: Option<[usize; 2]>,
    /// What the units are called, where they have names: then one for each, each once.
    pub names: Vec<String>,
    /// What the problem in a file adds to every energy; it is in none that is found here.
    pub offset: f64,
}

impl Graph {
    /// The machine, at temperature 1: a layer for each colour of the graph; of spins, Bernoulli units or sites of which a quarter of all pairs of
    /// columns are coupled, one layer with a lateral coupling.
    ///
    /// # Errors
    ///
    /// For edges that are no graph of these units, when a number is missing, and for numbers too large for `dtype`.
    pub fn machine(&self, dtype: DType, device: &Device) -> Result<Machine> {
        if dtype == DType::F32 && self.strength() > STRONGEST {
            let expected = format!("at most {STRONGEST:e} together in single precision");
            let found = format!("{:e}", self.strength());
            return Err(Error::invalid("couplings and fields", expected, found));
        }
        let size = self.units.width();
        if self.is_lateral()
            && self.edges.len() == self.couplings.len()
            && self.fields.len() == size
        {
            return self.lateral_machine(dtype, device);
        }
        Machine::on_graph(&self.units, &self.edges, &self.couplings, &self.fields, dtype, device)
    }

    /// Whether so many pairs are coupled that all of them are best taken together.
    pub(crate) fn is_lateral(&self) -> bool {
        let size = self.units.width();
        let can_be = match self.units {
            Units::Spin { .. } | Units::Bernoulli { .. } => true,
            // Columns of one site are one unit.
            Units::Potts { states, .. } => {
                let site = |column: u32| column as usize / states.max(1);
                self.edges.iter().all(|&[a, b]| site(a) != site(b))
            }
            _ => false,
        };
        can_be && size <= MOST_LATERAL && 8 * self.edges.len() > size * size
    }

    /// One layer, and a coupling of it with itself.
    pub(crate) fn lateral_machine(&self, dtype: DType, device: &Device) -> Result<Machine> {
        let size = self.units.width();
        // Errors for pairs that are no graph.
        Colouring::greedy(size, &self.edges)?;
        let mut weights = vec![0.0; size * size];
        for (&[a, b], &coupling) in self.edges.iter().zip(&self.couplings) {
            let (a, b) = (a as usize, b as usize);
            (weights[a * size + b], weights[b * size + a]) = (coupling, coupling);
        }
        let tensor = |numbers: &[f64], shape: &[usize]| -> Result<Tensor> {
            Ok(Tensor::from_slice(numbers, shape, &Device::Cpu)?
                .to_dtype(dtype)?
                .to_device(device)?)
        };
        let layer = self.units.build(dtype, device)?;
        if let Some((_, bias)) = layer.vars().first() {
            bias.set(&tensor(&self.fields, &[size])?)?;
        }
        let weights = Var::from_tensor(&tensor(&weights, &[size, size])?)?;
        Machine::new(vec![layer], vec![Coupling::Lateral { layer: 0, weights }])
    }

    /// Temperatures at which this is anything between random and frozen, the hottest first. There the couplings of the unit that is most strongly coupled
    /// are about as strong as the noise, √(ΣJ² + h²); at the coldest, a change by half of the units' weakest couplings has one chance
    /// in a thousand, but never below a hundredth of the hottest. Units of 0 and 1 count as the spins that they are, x = (1 + s)/2. `None` without
    /// couplings and fields.
    pub fn temperatures(&self) -> Option<[f64; 2]> {
        let (gap, share) = match self.units {
            Units::Spin { .. } => (2.0, 1.0),
            Units::Bernoulli { .. } => (2.0, 0.25),
            _ => (1.0, 1.0),
        };
        let mut squares = vec![0.0; self.fields.len()];
        let mut weakest = vec![f64::INFINITY; self.fields.len()];
        for (edge, coupling) in self.edges.iter().zip(&self.couplings) {
            let coupling = share * coupling.abs();
            for unit in edge.map(|unit| unit as usize).into_iter().filter(|_| coupling != 0.0) {
                if let (Some(square), Some(weakest)) =
                    (squares.get_mut(unit), weakest.get_mut(unit))
                {
                    *square += coupling * coupling;
                    *weakest = weakest.min(coupling);
                }
            }
        }
        for (unit, field) in self.fields_of_spins().into_iter().enumerate() {
            if field != 0.0 {
                squares[unit] += field * field;
                weakest[unit] = f64::min(weakest[unit], field.abs());
            }
        }
        let strongest = squares.into_iter().fold(0.0, f64::max).sqrt();
        weakest.retain(|strength| strength.is_finite());
        weakest.sort_by(f64::total_cmp);
        let weakest = weakest.get(weakest.len() / 2)?;
        let hottest = 0.5 * gap * strongest;
        Some([hottest, (gap * weakest / 1000f64.ln()).clamp(0.01 * hottest, hottest)])
    }

    /// A range of temperatures to anneal through, the hottest first: that of [`Graph::temperatures`], without its hottest part, where nothing is
    /// found yet.
    pub fn annealing_temperatures(&self) -> Option<[f64; 2]> {
        let [hottest, coldest] = self.temperatures()?;
        Some([(ANNEALED_FROM * hottest).max(coldest), coldest])
    }

    /// The graph at temperature `tau`: E/τ is the energy of one with couplings and fields that are so much weaker.
    pub fn at(&self, tau: f64) -> Self {
        let weaker = |numbers: &[f64]| numbers.iter().map(|number| number / tau).collect();
        Self { couplings: weaker(&self.couplings), fields: weaker(&self.fields), ..self.clone() }
    }

    /// The fields; of units of 0 and 1 those of the spins that they are, ½h + ¼ΣJ, where what is left by rounding alone is 0.
    fn fields_of_spins(&self) -> Vec<f64> {
        let Units::Bernoulli { .. } = self.units else { return self.fields.clone() };
        let mut sums: Vec<[f64; 2]> =
            self.fields.iter().map(|field| [0.5 * field, 0.5 * field.abs()]).collect();
        for (edge, coupling) in self.edges.iter().zip(&self.couplings) {
            for unit in edge {
                if let Some([sum, size]) = sums.get_mut(*unit as usize) {
                    *sum += 0.25 * coupling;
                    *size += 0.25 * coupling.abs();
                }
            }
        }
        let is_left = |sum: f64, size: f64| sum.abs() > 1e-12 * size;
        sums.into_iter().map(|[sum, size]| if is_left(sum, size) { sum } else { 0.0 }).collect()
    }

    /// E of one configuration, a number a unit.
    ///
    /// # Errors
    ///
    /// When there is not one number for each unit, and for an edge of a unit that there is not.
    pub fn energy(&self, x: &[f64]) -> Result<f64> {
        if x.len() != self.fields.len() {
            let expected = format!("{} numbers", self.fields.len());
            return Err(Error::invalid("a configuration", expected, x.len().to_string()));
        }
        let mut couplings = 0.0;
        for (edge, coupling) in self.edges.iter().zip(&self.couplings) {
            let [Some(a), Some(b)] = edge.map(|unit| x.get(unit as usize)) else {
                let expected = format!("two of the units 0 to {}", x.len().saturating_sub(1));
                return Err(Error::invalid("an edge", expected, format!("{edge:?}")));
            };
            couplings += coupling * a * b;
        }
        let fields: f64 = self.fields.iter().zip(x).map(|(field, x)| field * x).sum();
        Ok(0.0 - couplings - fields)
    }

    /// E of each of `configurations` `(rows, units)`, in double precision whatever they are in: a machine keeps couplings and sums in its own.
    ///
    /// # Errors
    ///
    /// As [`Graph::energy`].
    pub fn energies(&self, configurations: &Tensor) -> Result<Vec<f64>> {
        let row = |row: usize| {
            let x = configurations.get(row)?.to_dtype(DType::F64)?.to_device(&Device::Cpu)?;
            self.energy(&x.to_vec1()?)
        };
        (0..configurations.dim(0)?).map(row).collect()
    }

    /// Σ|J| + Σ|h|: no energy of two-state units is farther from zero.
    pub fn strength(&self) -> f64 {
        self.couplings.iter().chain(&self.fields).map(|number| number.abs()).sum()
    }

    /// Whether couplings and fields are whole numbers, of which single precision does not hold all sums.
    pub fn is_beyond_single_precision(&self) -> bool {
        let mut numbers = self.couplings.iter().chain(&self.fields);
        self.strength() > f64::from(1u32 << f32::MANTISSA_DIGITS)
            && numbers.all(|number| number.fract() == 0.0)
    }
}
