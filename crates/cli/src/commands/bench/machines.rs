//! Sweeps of general machines: attempted draws of units in a nanosecond, beside what a sweep cannot do without: the dense product of its couplings,
//! or, where units have few neighbours, reading and writing each unit once.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use candle_boltzmann::Graph;
use candle_core::{DType, Device, Tensor, Var};
use rayon::prelude::*;
use rbm_core::model::{Boltzmann, Coupling, Machine};
use rbm_core::sampling::{GraphChains, SimulatedAnnealing};
use rbm_core::{Rng, Units, ops};
use serde::Serialize;

use super::workloads::median;
use crate::output;

/// The rows, in their order.
pub const ROWS: [&str; 4] = ["ising-256", "pmj-32-anneal", "sk-1000", "potts-rf00379"];

/// Chains side by side, of all rows but the last.
const CHAINS: usize = 64;
/// The shortest time that is measured at once.
const ROUND: Duration = Duration::from_millis(20);
const FEWEST: usize = 5;
const MOST_SWEEPS: usize = 1 << 16;
/// Sweeps of a read from hot to cold.
const ANNEALING: usize = 1000;

/// What was measured of one machine.
#[derive(Debug, Serialize)]
pub struct MachineLine {
    pub name: &'static str,
    /// Units that a sweep draws in each chain.
    pub units: usize,
    pub chains: usize,
    /// Of all chains together: the median over rounds.
    pub ms_per_sweep: f64,
    /// Attempted draws of a unit in a nanosecond.
    pub flips_per_ns: f64,
    /// What the sweep is measured beside: `product` or `copy`.
    pub beside: &'static str,
    /// Of that, in the same rounds.
    pub beside_ms: f64,
    /// The sweep's time divided by that next to it: the median over rounds.
    pub ratio: f64,
    pub rounds: usize,
}

/// What every sweep must do.
enum Beside {
    /// The product of all chains with the couplings.
    Product { x: Tensor, couplings: Tensor },
    /// The values of all units, and where they go.
    Copy { from: Vec<f32>, to: Vec<f32> },
}

impl Beside {
    fn product(units: usize, chains: usize) -> Result<Self> {
        let of = |shape| Tensor::ones(shape, DType::F32, &Device::Cpu);
        Ok(Self::Product { x: of((chains, units))?, couplings: of((units, units))? })
    }

    fn copy(units: usize, chains: usize) -> Self {
        Self::Copy { from: vec![1.0; units * chains], to: vec![0.0; units * chains] }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Product { .. } => "product",
            Self::Copy { .. } => "copy",
        }
    }

    fn make(&mut self) -> Result<()> {
        match self {
            Self::Product { x, couplings } => {
                black_box(x.matmul(couplings)?);
            }
            Self::Copy { from, to } => {
                let share = from.len().div_ceil(rayon::current_num_threads());
                let parts = to.par_chunks_mut(share).zip(from.par_chunks(share));
                parts.for_each(|(to, from)| to.copy_from_slice(from));
                black_box(to);
            }
        }
        Ok(())
    }
}

/// Measures the row `name` for about `seconds`, on the CPU.
pub fn measure(name: &'static str, seconds: f64) -> Result<MachineLine> {
    let (beta, mut rng) = (0.44, Rng::new(1));
    if name == "potts-rf00379" {
        let (machine, mut x) = sites(&mut rng)?;
        let chains = x.dim(0)?;
        let none = Tensor::zeros((chains, 0), DType::F32, &Device::Cpu)?;
        let sweep = |sweeps| {
            for _ in 0..sweeps {
                x = machine.draw_rest(Some(&x), &none, None, &mut rng)?;
            }
            Ok(sweeps)
        };
        let beside = Beside::product(SITES * STATES, chains)?;
        return timed(name, (SITES, chains), seconds, beside, sweep);
    }
    let graph: Graph = match name {
        "ising-256" => "ising:256x256",
        "pmj-32-anneal" => "pmj:32x32:seed=1",
        "sk-1000" => "sk:1000:seed=1",
        _ => bail!("expected {}, found {name:?}", ROWS.join(", ")),
    }
    .parse()?;
    let (machine, units) = (graph.machine(DType::F32, &Device::Cpu)?, graph.units.width());
    if name == "pmj-32-anneal" {
        let annealing = SimulatedAnnealing::between(3.0, 0.1, ANNEALING)?;
        let read = |sweeps: usize| {
            let reads = sweeps.div_ceil(ANNEALING);
            for _ in 0..reads {
                black_box(annealing.run(&machine, CHAINS, &mut rng)?);
            }
            Ok(reads * ANNEALING)
        };
        return timed(name, (units, CHAINS), seconds, Beside::copy(units, CHAINS), read);
    }
    let binary = machine.binary_graph()?.context("a machine of two-valued units")?;
    let mut chains = GraphChains::evenly(&binary, CHAINS, &mut rng)?;
    let sweep = |sweeps| {
        chains.sweep(&vec![beta; sweeps], &mut rng);
        Ok(sweeps)
    };
    let beside = match name {
        "sk-1000" => Beside::product(units, CHAINS)?,
        _ => Beside::copy(units, CHAINS),
    };
    timed(name, (units, CHAINS), seconds, beside, sweep)
}

/// Sites of the family RF00379, and the states of each.
const SITES: usize = 136;
const STATES: usize = 5;

/// A Potts machine of the shape of RF00379 with random couplings, and 2,000 chains.
fn sites(rng: &mut Rng) -> Result<(Machine, Tensor)> {
    let width = SITES * STATES;
    let rough = ops::normal((width, width), DType::F32, &Device::Cpu, rng)?;
    let even = ((&rough + rough.t()?)? * (0.5 / (width as f64).sqrt()))?;
    let is_apart = |at: usize| u8::from(at / width / STATES != at % width / STATES);
    let apart = Tensor::from_iter((0..width * width).map(is_apart), &Device::Cpu)?;
    let apart = apart.to_dtype(DType::F32)?.reshape((width, width))?;
    let layer = Units::Potts { sites: SITES, states: STATES }.build(DType::F32, &Device::Cpu)?;
    let weights = Var::from_tensor(&(even * apart)?)?;
    let machine = Machine::new(vec![layer], vec![Coupling::Lateral { layer: 0, weights }])?;
    let inputs = Tensor::zeros((2000, width), DType::F32, &Device::Cpu)?;
    let x = machine.rest().sample(&inputs, rng)?;
    Ok((machine, x))
}

/// Measures `sweep`, which makes at least as many sweeps as it is asked for, and returns how many it made.
fn timed(
    name: &'static str,
    (units, chains): (usize, usize),
    seconds: f64,
    mut beside: Beside,
    mut sweep: impl FnMut(usize) -> Result<usize>,
) -> Result<MachineLine> {
    let name_beside = beside.name();
    let mut once = |sweeps: usize| -> Result<f64> {
        let start = Instant::now();
        let made = sweep(sweeps)?;
        Ok(start.elapsed().as_secs_f64().max(1e-9) / made.max(1) as f64)
    };
    once(1)?;
    let sweeps = (ROUND.as_secs_f64() / once(1)?).ceil().clamp(1.0, MOST_SWEEPS as f64) as usize;
    let mut once_beside = |times: usize| -> Result<f64> {
        let start = Instant::now();
        (0..times).try_for_each(|_| beside.make())?;
        Ok(start.elapsed().as_secs_f64().max(1e-9) / times as f64)
    };
    once_beside(1)?;
    let times = (ROUND.as_secs_f64() / once_beside(1)?).ceil().clamp(1.0, 1e5) as usize;
    let (start, mut rounds) = (Instant::now(), Vec::new());
    while rounds.len() < FEWEST || start.elapsed().as_secs_f64() < seconds {
        rounds.push([once(sweeps)?, once_beside(times)?]);
    }
    let time = median(rounds.iter().map(|round| round[0]));
    Ok(MachineLine {
        name,
        units,
        chains,
        ms_per_sweep: 1e3 * time,
        flips_per_ns: (units * chains) as f64 / (1e9 * time),
        beside_ms: 1e3 * median(rounds.iter().map(|round| round[1])),
        ratio: median(rounds.iter().map(|round| round[0] / round[1])),
        beside: name_beside,
        rounds: rounds.len(),
    })
}

/// The rows as a table.
pub fn table(lines: &[MachineLine]) -> String {
    let rows = lines.iter().map(|line| {
        vec![
            line.name.to_owned(),
            output::grouped(line.units as u64),
            output::grouped(line.chains as u64),
            format!("{:.3}", line.ms_per_sweep),
            format!("{:.3}", line.flips_per_ns),
            format!("{} {:.3}", line.beside, line.beside_ms),
            format!("{:.2}", line.ratio),
        ]
    });
    output::table(
        &["", "units", "chains", "ms/sweep", "flips/ns", "beside, ms", "ratio"],
        rows.collect(),
    )
}
