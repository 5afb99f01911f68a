//! Reproductions that learn nothing: lattices, glasses and memories beside what is known of them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use candle_boltzmann::hopfield::{
    Hopfield, Rule, Updates, overlap, overlap_in_theory, random_patterns,
};
use candle_boltzmann::learning::{Learner, Learning, Negative, Shape};
use candle_boltzmann::{
    Couplings, Estimate, MarkovField, Measurement, Start, Walk, exact, lattice,
};
use candle_core::{DType, Device};
use candle_dbn::data::{self, ReadOptions};
use candle_dbn::viz::{Mark, Plot, Series};
use indicatif::{MultiProgress, ProgressBar};
use rbm_core::sampling::{SimulatedAnnealing, TemperedSearch};
use rbm_core::state::write_whole;
use rbm_core::stats::mean_and_error;
use rbm_core::{Rng, Units};
use serde::Serialize;

use crate::interrupt::Interrupted;
use crate::{interrupt, output, progress};

/// What a reproduction came to, in its folder.
pub const RESULT: &str = "reproduced.json";

/// One of them.
pub struct MachineExperiment {
    pub name: &'static str,
    pub what: &'static str,
    pub theirs: &'static str,
    pub takes: &'static str,
    pub run: fn(&mut Looking) -> Result<MachineResult>,
}

/// All of them.
pub const KNOWN: &[MachineExperiment] = &[
    MachineExperiment {
        name: "ising",
        what: "energy, heat capacity and magnetisation of the Ising model on tori of 8 to 64 spins a side, against T",
        theirs: "Kaufman's formula; Onsager's and Yang's curves",
        takes: "2 minutes",
        run: ising,
    },
    MachineExperiment {
        name: "spin-glass",
        what: "lowest energies of ±J glasses of 256 and 1024 spins, by annealing and by tempering",
        theirs: "optima by planar matching",
        takes: "10 seconds",
        run: spin_glass,
    },
    MachineExperiment {
        name: "hopfield-capacity",
        what: "how well 1000 units hold random patterns, against the load, of 8 networks each",
        theirs: "the theory of Amit, Gutfreund and Sompolinsky",
        takes: "1 minute",
        run: hopfield_capacity,
    },
    MachineExperiment {
        name: "cliques",
        what: "marginals of a field of four variables in two cliques, sampled, against the temperature",
        theirs: "exact, by elimination",
        takes: "10 seconds",
        run: cliques,
    },
    MachineExperiment {
        name: "bm-bars",
        what: "exact log p(v) of bars and stripes, 4x4, with and without couplings among the visible units",
        theirs: "-3.4012 (the maximum, log 1/30)",
        takes: "5 minutes",
        run: bm_bars,
    },
];

/// What a reproduction works with.
pub struct Looking {
    pub seed: u64,
    /// The data that the user names.
    pub data: Option<String>,
    bar: ProgressBar,
}

/// What it comes to.
pub struct MachineResult {
    pub header: &'static [&'static str],
    pub rows: Vec<Row>,
    pub panels: Vec<Plot>,
    /// What the table amounts to.
    pub verdict: String,
}

/// One number beside the known one.
#[derive(Debug, Serialize)]
pub struct Row {
    pub what: String,
    pub ours: f64,
    /// Its standard error, where it has one.
    pub error: Option<f64>,
    pub known: f64,
    /// Anything else that the table shows.
    pub notes: Vec<String>,
}

#[derive(Serialize)]
struct ReproducedMachine<'a> {
    name: &'a str,
    seed: u64,
    theirs: &'a str,
    rows: &'a [Row],
    verdict: &'a str,
    chart: String,
    seconds: f64,
}

/// Runs one, prints its table, and leaves the table and the chart in a folder.
pub fn run(
    known: &MachineExperiment,
    (seed, data): (u64, Option<&str>),
    out: Option<&Path>,
    is_json: bool,
    bars: &MultiProgress,
) -> Result<()> {
    let folder = || PathBuf::from(format!("runs/reproduce-{}-{seed}", known.name));
    let dir = out.map_or_else(folder, Path::to_path_buf);
    output::make_folder(&dir)?;
    let (_caught, start) = (interrupt::catch()?, std::time::Instant::now());
    let mut looking =
        Looking { seed, data: data.map(str::to_owned), bar: progress::bar(bars, 100) };
    let found = (known.run)(&mut looking);
    looking.bar.finish_and_clear();
    let found = found?;
    let chart = dir.join(format!("{}.png", known.name));
    Plot::write_panels(&chart, &found.panels)?;
    let reproduced = ReproducedMachine {
        name: known.name,
        seed,
        theirs: known.theirs,
        rows: &found.rows,
        verdict: &found.verdict,
        chart: chart.display().to_string(),
        seconds: start.elapsed().as_secs_f64(),
    };
    write_whole(&dir.join(RESULT), &serde_json::to_vec_pretty(&reproduced)?)?;
    if is_json {
        return output::json(&reproduced);
    }
    output::line(output::table(found.header, found.rows.iter().map(Row::cells).collect()))?;
    output::line(&found.verdict)?;
    output::line(chart.display().to_string())
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let known = if self.known.is_nan() { "–".into() } else { short(self.known) };
        let ours = match self.error {
            Some(error) => format!("{} ± {}", short(self.ours), short(error)),
            None => short(self.ours),
        };
        [vec![self.what.clone(), ours, known], self.notes.clone()].concat()
    }

    /// How many standard errors it is away.
    fn distance(&self) -> Option<f64> {
        Some((self.ours - self.known).abs() / self.error?).filter(|z| z.is_finite())
    }
}

fn short(number: f64) -> String {
    let text = format!("{number:.5}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

impl Looking {
    /// Shows how much is done.
    pub fn show(&self, done: usize, of: usize) {
        self.bar.set_length(of as u64);
        self.bar.set_position(done as u64);
    }

    /// Shows how much is done; an error where it shall stop.
    pub fn at(&self, done: usize, of: usize) -> Result<()> {
        self.show(done, of);
        match interrupt::is_requested() {
            true => Err(Interrupted("nothing was written".to_owned()).into()),
            false => Ok(()),
        }
    }
}

/// How many are as near as their errors say.
fn verdict(rows: &[Row]) -> String {
    let distances: Vec<f64> = rows.iter().filter_map(Row::distance).collect();
    let within = |errors: f64| distances.iter().filter(|z| **z <= errors).count();
    let farthest = distances.iter().copied().fold(0.0, f64::max);
    format!(
        "of {} numbers {} lie within one standard error of the exact one, {} within two; the farthest is {farthest:.1} away",
        distances.len(),
        within(1.0),
        within(2.0)
    )
}

fn ising(looking: &mut Looking) -> Result<MachineResult> {
    const SIDES: [usize; 4] = [8, 16, 32, 64];
    let steps = (0..18).map(|i| 1.6 + 0.1 * f64::from(i));
    let mut temperatures: Vec<f64> =
        steps.chain([2.15, 2.25, exact::CRITICAL_TEMPERATURE, 2.35, 2.45]).collect();
    temperatures.sort_by(f64::total_cmp);
    let mut rng = Rng::new(looking.seed);
    let (mut rows, mut curves) = (Vec::new(), Vec::new());
    let of = SIDES.len() * temperatures.len();
    for (i, &side) in SIDES.iter().enumerate() {
        let graph = lattice::ising(side, side)?;
        let mut curve: Vec<Measurement> = Vec::new();
        for (j, &temperature) in temperatures.iter().enumerate() {
            looking.at(i * temperatures.len() + j, of)?;
            // Below the critical temperature chains from elsewhere may stay between two domains.
            let is_ordered = temperature < exact::CRITICAL_TEMPERATURE;
            let start = if is_ordered { Start::Alike } else { Start::Even };
            let walk = Walk { chains: 64, burn_in: 1500, sweeps: 3000, start };
            let measured = graph.measure(temperature, &walk, &Device::Cpu, &mut rng, |_| true)?.0;
            let (energy, heat) = exact::energy_and_heat_capacity(side, side, temperature)?;
            let shown = [1.6, 2.0, exact::CRITICAL_TEMPERATURE, 2.5, 3.0];
            if shown.iter().any(|t| (t - temperature).abs() < 1e-9) {
                let of = |what: &str, ours: Estimate, known| Row {
                    what: format!("{what}, {side}x{side}, T = {}", short(temperature)),
                    ours: ours.value,
                    error: Some(ours.error),
                    known,
                    notes: Vec::new(),
                };
                rows.push(of("energy", measured.energy, energy));
                rows.push(of("heat capacity", measured.heat_capacity, heat));
                // Far larger than its domains the largest lattice is as good as an infinite one.
                if side == SIDES[3] && temperature < 2.1 {
                    let known = exact::magnetisation_of_infinite_lattice(temperature);
                    rows.push(of("|m| beside an infinite lattice", measured.magnetisation, known));
                }
            }
            curve.push(measured);
        }
        curves.push((side, curve));
    }
    let verdict = verdict(&rows);
    let fine: Vec<f64> = (0..400).map(|i| 1.6 + 1.7 * f64::from(i) / 399.0).collect();
    let panel =
        |title: &str, y: &str, theory: Vec<Series>, of: &dyn Fn(&Measurement) -> Estimate| {
            let mut series = theory;
            for (side, curve) in &curves {
                let points = curve.iter().map(|m| (m.temperature, of(m).value)).collect();
                let mut of_side = Series::new(format!("{side}x{side}"), Mark::Points, points);
                of_side.errors = curve.iter().map(|m| of(m).error).collect();
                series.push(of_side);
            }
            Plot {
                title: title.into(),
                x: "temperature".into(),
                y: y.into(),
                is_log_x: false,
                y_range: None,
                series,
            }
        };
    let line = |name: &str, of: &dyn Fn(f64) -> f64| {
        Series::new(name, Mark::Line, fine.iter().map(|t| (*t, of(*t))).collect())
    };
    let heat = |t: f64| {
        let step = 1e-4;
        (exact::energy_of_infinite_lattice(t + step) - exact::energy_of_infinite_lattice(t - step))
            / (2.0 * step)
    };
    let panels = vec![
        panel(
            "Magnetisation of the Ising model",
            "|m|",
            vec![line("Yang", &exact::magnetisation_of_infinite_lattice)],
            &|m| m.magnetisation,
        ),
        panel(
            "Energy of the Ising model",
            "E/N",
            vec![line("Onsager", &exact::energy_of_infinite_lattice)],
            &|m| m.energy,
        ),
        panel(
            "Heat capacity of the Ising model",
            "C/N",
            vec![line("Onsager", &|t| heat(t).min(4.0))],
            &|m| m.heat_capacity,
        ),
        panel("Binder's cumulant of the Ising model", "U", Vec::new(), &|m| m.binder),
    ];
    Ok(MachineResult { header: &["of the Ising model", "ours", "exact"], rows, panels, verdict })
}

fn spin_glass(looking: &mut Looking) -> Result<MachineResult> {
    const GLASSES: [(usize, u64, f64); 5] =
        [(16, 1, -342.0), (16, 2, -350.0), (16, 3, -352.0), (32, 1, -1396.0), (32, 2, -1372.0)];
    const READS: usize = 1024;
    let mut rows = Vec::new();
    let mut successes = Vec::new();
    for (i, (side, glass, optimum)) in GLASSES.into_iter().enumerate() {
        let graph = lattice::plus_minus(side, side, lattice::Boundary::Open, glass)?;
        let machine = graph.machine(DType::F32, &Device::Cpu)?;
        let range = graph.annealing_temperatures().context("a glass without couplings")?;
        let [hottest, coldest] = range;
        let mut points = Vec::new();
        let mut solution = f64::INFINITY;
        let lengths = if side == 16 { &[10, 30, 100, 300, 1000, 3000][..] } else { &[1000][..] };
        for (j, &sweeps) in lengths.iter().enumerate() {
            looking.at(10 * i + j, 10 * GLASSES.len())?;
            let start = std::time::Instant::now();
            let annealing = SimulatedAnnealing::between(hottest, coldest, sweeps)?;
            let reads = if side == 16 { READS } else { READS / 8 };
            let best = annealing.run(&machine, reads, &mut Rng::new(looking.seed))?;
            let seconds = start.elapsed().as_secs_f64() / reads as f64;
            let success = best.energies.hits(optimum, 1e-3) as f64 / reads as f64;
            points.push((sweeps as f64, success));
            if let Some(repeats) = best.energies.repeats(optimum, 1e-3, 0.99) {
                solution = solution.min(seconds * repeats);
            }
        }
        if side == 16 {
            successes.push(Series::new(format!("seed {glass}"), Mark::Points, points));
        }
        looking.at(10 * i + 8, 10 * GLASSES.len())?;
        let start = std::time::Instant::now();
        let search = TemperedSearch { coldest, hottest, sweeps: 100_000, has_clusters: true };
        let best = search.run(&machine, 2, &mut Rng::new(looking.seed), |_, lowest| {
            lowest > optimum + 1e-3 && !interrupt::is_requested()
        })?;
        let ours = best.energies.lowest().context("no search was made")?;
        let annealed = match solution.is_finite() {
            true => format!("{:.1} ms", 1e3 * solution),
            false => "never".to_owned(),
        };
        rows.push(Row {
            what: format!("pmj:{side}x{side}:seed={glass}"),
            ours,
            error: None,
            known: optimum,
            notes: vec![annealed, format!("{:.1} ms", 1e3 * start.elapsed().as_secs_f64())],
        });
    }
    let reached = rows.iter().filter(|row| row.ours <= row.known + 1e-3).count();
    let verdict = format!("{reached} of {} optima are reached, and none is passed", rows.len());
    let verdict = match rows.iter().any(|row| row.ours < row.known - 1e-3) {
        true => "an energy below the optimum: something is wrong".to_owned(),
        false => verdict,
    };
    let panels = vec![Plot {
        title: "Reads of annealing that end in an optimum, 16x16".into(),
        x: "sweeps of a read".into(),
        y: "share of reads".into(),
        is_log_x: true,
        y_range: None,
        series: successes,
    }];
    let header = &["glass", "lowest energy", "optimum", "annealing, 99 %", "tempering"];
    Ok(MachineResult { header, rows, panels, verdict })
}

fn hopfield_capacity(looking: &mut Looking) -> Result<MachineResult> {
    const LOADS: [f64; 10] = [0.05, 0.08, 0.1, 0.11, 0.12, 0.13, 0.138, 0.15, 0.16, 0.17];
    const SIZES: [usize; 2] = [250, 1000];
    const NETWORKS: usize = 8;
    const CUES: usize = 25;
    let mut rows = Vec::new();
    // Of units that are right with an overlap of m, so many are wrong.
    let wrong = |m: f64| 0.5 * (1.0 - m);
    let theory = (1..=1379).filter_map(|i| {
        let load = f64::from(i) * 1e-4;
        overlap_in_theory(load).map(|m| (load, wrong(m)))
    });
    let mut series =
        vec![Series::new("theory, infinitely many units", Mark::Line, theory.collect())];
    for (i, size) in SIZES.into_iter().enumerate() {
        let (mut points, mut errors) = (Vec::new(), Vec::new());
        for (j, load) in LOADS.into_iter().enumerate() {
            looking.at(i * LOADS.len() + j, SIZES.len() * LOADS.len())?;
            let count = (load * size as f64).round() as usize;
            let rng = Rng::new(looking.seed).split((1000 * size + count) as u64);
            let (mut means, mut overlaps) = (Vec::new(), Vec::new());
            for network in 0..NETWORKS {
                let patterns = random_patterns(count, size, &mut rng.split(network as u64));
                let network = Hopfield::store(&patterns, Rule::Hebb)?;
                let cues = &patterns[..count.min(CUES)];
                let recalled = network.recall_all(cues, Updates::Asynchronous, 1000)?;
                let of_cues = recalled.iter().zip(cues);
                let of_cues: Vec<f64> =
                    of_cues.map(|(recall, cue)| overlap(recall.result(), cue)).collect();
                means.push(mean_and_error(&of_cues).0);
                overlaps.extend(of_cues);
            }
            // The patterns of one network disturb each other: networks are what is independent.
            let (mean, error) = mean_and_error(&means);
            points.push((load, wrong(mean)));
            errors.push(0.5 * error);
            if size == 1000 {
                let held = overlaps.iter().filter(|m| **m > 0.9).count();
                rows.push(Row {
                    what: format!("{load}"),
                    ours: mean,
                    error: Some(error),
                    known: overlap_in_theory(load).unwrap_or(f64::NAN),
                    notes: vec![format!("{held} of {}", overlaps.len())],
                });
            }
        }
        let mut of_size = Series::new(format!("{size} units"), Mark::Points, points);
        of_size.errors = errors;
        series.push(of_size);
    }
    let panels = vec![Plot {
        title: "How well a Hopfield network holds random patterns".into(),
        x: "load (patterns a unit)".into(),
        y: "share of wrong units".into(),
        is_log_x: false,
        y_range: None,
        series,
    }];
    let verdict = "up to a load of 0.12 patterns are held nearly bit for bit; above 0.138 the theory of infinitely many units has them lost, \
                   and a thousand units lose them gradually"
        .to_owned();
    let header = &["load", "overlap, 1000 units", "theory", "held (above 0.9)"];
    Ok(MachineResult { header, rows, panels, verdict })
}

/// φ(A, B, C)·φ(A, D): the temperature is the power 1/T of the potentials.
fn cliques(looking: &mut Looking) -> Result<MachineResult> {
    const TEMPERATURES: [f64; 7] = [0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0];
    const CHAINS: u64 = 16;
    const ABC: [f64; 8] = [1.0, 2.0, 0.5, 3.0, 4.0, 0.25, 1.5, 6.0];
    const AD: [f64; 4] = [4.0, 0.23, 5.0, 9.45];
    let field = MarkovField::of_potentials(&[2; 4], &[(&[0, 1, 2], &ABC), (&[0, 3], &AD)])?;
    let names = ["A", "B", "C", "D"];
    let known: [&[(usize, usize)]; 2] = [&[], &[(1, 1), (2, 0)]];
    let mut rows = Vec::new();
    let mut points = vec![(Vec::new(), Vec::new()); 5];
    for (i, tau) in TEMPERATURES.into_iter().enumerate() {
        looking.at(i, TEMPERATURES.len())?;
        let mut at = 0;
        for given in known {
            let exact = field.infer(tau, given)?;
            let chains = (0..CHAINS).map(|chain| {
                let mut rng =
                    Rng::new(looking.seed).split(1000 * i as u64 + 10 * chain + given.len() as u64);
                field.sample(tau, given, [1, 20_000], &mut rng, |_| true).map(|found| found.beliefs)
            });
            let chains = chains.collect::<rbm_core::Result<Vec<_>>>()?;
            let variables = if given.is_empty() { 0..4 } else { 3..4 };
            for variable in variables {
                let ours: Vec<f64> =
                    chains.iter().map(|chain| chain.marginals[variable][1]).collect();
                let (mean, error) = mean_and_error(&ours);
                points[at].0.push((tau, mean));
                points[at].1.push(error);
                at += 1;
                if [0.5, 1.0, 2.0].contains(&tau) {
                    let condition = if given.is_empty() { "" } else { " | B=1, C=0" };
                    rows.push(Row {
                        what: format!("P({}=1{condition}), T = {tau}", names[variable]),
                        ours: mean,
                        error: Some(error),
                        known: exact.marginals[variable][1],
                        notes: Vec::new(),
                    });
                }
            }
        }
    }
    let fine: Vec<f64> = (0..100).map(|i| 0.25 * 16f64.powf(f64::from(i) / 99.0)).collect();
    let mut series = Vec::new();
    for (at, (points, errors)) in points.into_iter().enumerate() {
        let (variable, given, name) = match at {
            4 => (3, known[1], "P(D=1 | B=1, C=0)".to_owned()),
            at => (at, known[0], format!("P({}=1)", names[at])),
        };
        let exact =
            fine.iter().map(|tau| Ok((*tau, field.infer(*tau, given)?.marginals[variable][1])));
        let exact = exact.collect::<rbm_core::Result<Vec<_>>>()?;
        series.push(Series::new(name, Mark::Line, exact));
        let mut sampled = Series::new("", Mark::Measured, points);
        sampled.errors = errors;
        series.push(sampled);
    }
    let panels = vec![Plot {
        title: "Four variables in two cliques".into(),
        x: "temperature".into(),
        y: "probability (lines: exact; points: sampled)".into(),
        is_log_x: true,
        y_range: None,
        series,
    }];
    let verdict = verdict(&rows);
    Ok(MachineResult { header: &["marginal", "sampled", "exact"], rows, panels, verdict })
}

/// The exact gradient, so that nothing but the machine decides.
fn bm_bars(looking: &mut Looking) -> Result<MachineResult> {
    const EPOCHS: usize = 1500;
    const EVERY: usize = 25;
    let rows_of =
        data::load("bars-and-stripes:4", &ReadOptions::default())?.train.cases.tensor()?;
    let shape = |hidden: Option<usize>, couplings| Shape {
        visible: Units::Bernoulli { size: 16 },
        hidden: hidden.map(|size| Units::Bernoulli { size }).into_iter().collect(),
        labels: None,
        couplings,
    };
    let machines = [
        ("16 visible units, coupled", shape(None, Couplings::Visible)),
        ("16 and 4 hidden, restricted", shape(Some(4), Couplings::None)),
        ("16 and 4 hidden, visible ones coupled", shape(Some(4), Couplings::Visible)),
        ("16 and 8 hidden, restricted", shape(Some(8), Couplings::None)),
        ("16 and 8 hidden, visible ones coupled", shape(Some(8), Couplings::Visible)),
    ];
    let best = -(rows_of.dim(0)? as f64).ln();
    let mut series = vec![Series::new(
        "the best there can be",
        Mark::Line,
        vec![(0.0, best), (EPOCHS as f64, best)],
    )];
    let mut rows = Vec::new();
    let of = machines.len() * EPOCHS;
    for (i, (name, shape)) in machines.into_iter().enumerate() {
        let learning = Learning {
            negative: Negative::Exact,
            epochs: EPOCHS,
            batch_size: Some(30),
            learning_rate: 0.5,
            l2: 0.0,
            seed: looking.seed,
            ..Learning::default()
        };
        let mut learner = Learner::new(shape, learning, &rows_of)?;
        let mut points = Vec::new();
        while learner.epoch() < EPOCHS {
            looking.at(i * EPOCHS + learner.epoch(), of)?;
            if learner.epoch().is_multiple_of(EVERY) {
                points.push((learner.epoch() as f64, learner.log_likelihood(&rows_of)?.value));
            }
            learner.learn(&rows_of)?;
        }
        let found = learner.log_likelihood(&rows_of)?;
        points.push((EPOCHS as f64, found.value));
        rows.push(Row {
            what: name.into(),
            ours: found.value,
            error: (!found.is_exact).then_some(found.error),
            known: best,
            notes: vec![learner.parameters().to_string()],
        });
        series.push(Series::new(name, Mark::Line, points));
    }
    let panels = vec![Plot {
        title: "Bars and stripes, 4x4, by the exact gradient".into(),
        x: "updates".into(),
        y: "log p(v) (nats a case)".into(),
        is_log_x: false,
        y_range: None,
        series,
    }];
    let gain = |with: usize, without: usize| rows[with].ours - rows[without].ours;
    let verdict = format!(
        "couplings among the visible units add {:.2} nats to 4 hidden units, and {:.2} to 8",
        gain(2, 1),
        gain(4, 3)
    );
    Ok(MachineResult {
        header: &["machine", "log p(v)", "maximum", "parameters"],
        rows,
        panels,
        verdict,
    })
}
