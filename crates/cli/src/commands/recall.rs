//! `dbn recall`

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};
use candle_boltzmann::hopfield::{self, Hopfield, Memory, RecallEnd, Updates};
use candle_core::{Device, Tensor};
use candle_dbn::store::HOPFIELD;
use candle_dbn::store::table::TableLayout;
use candle_dbn::viz::images::{self, Contrast, shape_of};
use rbm_core::sampling::GraphChains;
use rbm_core::{Rng, Units};
use serde::Serialize;

use crate::inputs::{self, DataOptions};
use crate::machines;
use crate::output::{self, Usage};

/// How many cues there are in the pictures, and states on the way of each.
const PICTURED: usize = 10;
const STATES: usize = 8;
/// Milliseconds of each picture of an animation.
const FRAME: u64 = 200;

/// Complete patterns that a Hopfield network holds, from a part of them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dbn train digits --model hopfield --limit 5 --rule pseudo-inverse --out runs/memory
  dbn recall runs/memory --noise 0.2                      its own patterns, a fifth of all units turned over
  dbn recall runs/memory digits --limit 10                other cases: which pattern does each end in?
  dbn recall runs/memory --noise 0.3 --animate            the way, as recall.gif
  dbn recall runs/memory --noise 0.2 --temperature 0.2    at a temperature, where false minima are left again
  dbn recall runs/memory --noise 0.4 --synchronous        all units at once: it may end in two states that follow each other")]
pub struct Recall {
    /// Folder of the network
    pub run: PathBuf,
    /// Data whose cases are the cues [default: the stored patterns]
    pub cues: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// The chance with which each unit of a cue is turned over
    #[arg(long, value_name = "CHANCE", default_value_t = 0.0)]
    pub noise: f64,
    /// Sample at this temperature in place of going downhill
    #[arg(long, value_name = "T", conflicts_with = "synchronous")]
    pub temperature: Option<f64>,
    /// Set all units at once
    #[arg(long)]
    pub synchronous: bool,
    /// The most sweeps; at a temperature, all of them
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sweeps: u32,
    /// Seed of the noise
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Write the way as recall.gif too
    #[arg(long, help_heading = "Output")]
    pub animate: bool,
    /// Folder for recall.png [default: the network's]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub out: Option<PathBuf>,
    /// Replace pictures that lie in the folder
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// What became of a cue.
#[derive(Debug, Serialize)]
struct Recalled {
    cue: usize,
    /// The stored pattern that the result is most like, from 0; mirrored where the overlap is below 0.
    pattern: usize,
    overlap_of_cue: f64,
    overlap: f64,
    sweeps: usize,
    energies: Vec<f64>,
    end: &'static str,
}

/// A way from a cue.
struct Way {
    states: Vec<Vec<f64>>,
    energies: Vec<f64>,
    end: &'static str,
}

/// Prints a row for each cue, and draws the first of them.
pub fn run(args: &Recall) -> Result<()> {
    if !(0.0..=1.0).contains(&args.noise) {
        return Err(Usage::of(anyhow!("--noise {}: expected a chance from 0 to 1", args.noise)));
    }
    args.temperature.map_or(Ok(()), inputs::check_temperature)?;
    ensure!(
        !machines::is_learned(&args.run),
        "{}: expected a Hopfield network, found a Boltzmann machine that has learned",
        args.run.display()
    );
    let reads_cues = args.data_options != DataOptions::default();
    output::refuse(
        &[("--limit, --scale and the like", args.cues.is_none() && reads_cues)],
        "expected with CUES",
    )?;
    ensure!(
        args.run.join(HOPFIELD).is_file(),
        "{}: expected the folder of a Hopfield network (dbn train PATTERNS --model hopfield makes one), found none",
        args.run.display()
    );
    let memory = Memory::load(args.run.join(HOPFIELD))?;
    let dir = args.out.as_deref().unwrap_or(&args.run);
    let pictures = [dir.join("recall.png"), dir.join("recall.gif")];
    // Pictures beside the network are those of the last recall.
    if args.out.is_some() {
        output::check_free(&pictures[..1 + usize::from(args.animate)], args.force)?;
        output::make_folder(dir)?;
    }
    let cues = match &args.cues {
        Some(source) => {
            let cues =
                machines::patterns(source, &args.data_options, TableLayout::read(&args.run)?)?
                    .patterns;
            let (units, found) = (memory.network.size(), cues.first().map_or(0, Vec::len));
            ensure!(
                units == found,
                "{source}: expected cues of {units} units, as the network has, found {found}"
            );
            cues
        }
        None => memory.patterns.clone(),
    };
    let mut rng = Rng::new(args.seed);
    let cues: Vec<_> =
        cues.iter().map(|cue| hopfield::disturbed(cue, args.noise, &mut rng)).collect();
    let ways = ways(args, &memory.network, &cues, &mut rng)?;
    let recalled: Vec<_> =
        ways.iter().enumerate().map(|(cue, way)| Recalled::of(cue, way, &memory)).collect();
    draw(&pictures[0], &memory, &ways)?;
    if args.animate {
        animate(&pictures[1], &memory, &ways)?;
    }
    if args.json {
        return output::json(&recalled);
    }
    let rows = recalled.iter().map(Recalled::row).collect();
    let header =
        ["cue", "pattern", "overlap before", "after", "sweeps", "energy before", "after", "end"];
    output::line(output::table(&header, rows))?;
    let right = recalled.iter().filter(|recall| recall.overlap == 1.0).count();
    let own =
        recalled.iter().filter(|recall| recall.overlap == 1.0 && recall.pattern == recall.cue);
    let own = match args.cues {
        Some(_) => String::new(),
        None => format!(", {} in the one that its cue was made of", own.count()),
    };
    let all = recalled.len();
    output::line(format!("{right} of {all} ended in a stored pattern, bit for bit{own}"))?;
    let written = pictures.iter().take(1 + usize::from(args.animate));
    written.map(|path| path.display().to_string()).try_for_each(output::line)
}

fn ways(args: &Recall, network: &Hopfield, cues: &[Vec<f64>], rng: &mut Rng) -> Result<Vec<Way>> {
    let Some(temperature) = args.temperature else {
        let updates = if args.synchronous { Updates::Synchronous } else { Updates::Asynchronous };
        let recalls = network.recall_all(cues, updates, args.sweeps as usize)?;
        let way = |hopfield::Recall { states, energies, end }| {
            let end = match end {
                RecallEnd::FixedPoint => "stable",
                RecallEnd::TwoCycle => "two in turn",
                RecallEnd::Unsettled => "still moving",
            };
            Way { states, energies, end }
        };
        return Ok(recalls.into_iter().map(way).collect());
    };
    let graph = network.graph();
    let machine = graph.machine(candle_core::DType::F32, &Device::Cpu)?;
    let Some(binary) = rbm_core::model::Boltzmann::binary_graph(&machine)? else {
        return Err(anyhow!("spins on a graph: expected of a Hopfield network"));
    };
    let start: Vec<Vec<f32>> =
        cues.iter().map(|cue| cue.iter().map(|x| *x as f32).collect()).collect();
    let mut chains = GraphChains::at(&binary, &start)?;
    let first = |cue: &Vec<f64>| -> Result<Way> {
        Ok(Way { states: vec![cue.clone()], energies: vec![network.energy(cue)?], end: "sampled" })
    };
    let mut ways = cues.iter().map(first).collect::<Result<Vec<_>>>()?;
    for _ in 0..args.sweeps {
        chains.sweep(&[1.0 / temperature], rng);
        let states = chains.configurations()?.to_vec2::<f32>()?;
        for ((way, state), energy) in ways.iter_mut().zip(states).zip(chains.energies()) {
            way.states.push(state.into_iter().map(f64::from).collect());
            way.energies.push(energy);
        }
    }
    Ok(ways)
}

impl Recalled {
    fn of(cue: usize, way: &Way, memory: &Memory) -> Self {
        let (first, last) = (&way.states[0], &way.states[way.states.len() - 1]);
        let overlaps = memory.patterns.iter().map(|pattern| hopfield::overlap(last, pattern));
        // Of a pattern and its mirror image, both of which may be stored, the pattern; of the same ones the first.
        let nearest = overlaps.enumerate().max_by(|(i, a), (j, b)| {
            a.abs().total_cmp(&b.abs()).then((a > &0.0).cmp(&(b > &0.0))).then(j.cmp(i))
        });
        let (pattern, overlap) = nearest.unwrap_or((0, 0.0));
        Self {
            cue,
            pattern,
            overlap_of_cue: hopfield::overlap(first, &memory.patterns[pattern]),
            overlap,
            sweeps: way.states.len() - 1,
            energies: way.energies.clone(),
            end: way.end,
        }
    }

    fn row(&self) -> Vec<String> {
        let energy = |energy: Option<&f64>| energy.map_or(String::new(), |e| format!("{e:.2}"));
        let mirrored = if self.overlap < 0.0 { " mirrored" } else { "" };
        vec![
            self.cue.to_string(),
            format!("{}{mirrored}", self.pattern),
            format!("{:.3}", self.overlap_of_cue),
            format!("{:.3}", self.overlap),
            self.sweeps.to_string(),
            energy(self.energies.first()),
            energy(self.energies.last()),
            self.end.to_owned(),
        ]
    }
}

/// The numbers of `count` states of a way, the cue first and the result last: one after the other, where it has no more, so that what has
/// settled stays; else evenly.
fn stages(way: &Way, count: usize) -> impl Iterator<Item = usize> {
    let last = way.states.len() - 1;
    (0..count).map(move |i| if last < count { i.min(last) } else { i * last / (count - 1).max(1) })
}

/// A row for each of the first cues: the cue, the way, the result with its overlap m, and the pattern that this is most like, or its mirror
/// image.
fn draw(path: &Path, memory: &Memory, ways: &[Way]) -> Result<()> {
    let longest = ways.iter().map(|way| way.states.len()).max().unwrap_or(1).clamp(2, STATES);
    let (mut tiles, mut captions) = (Vec::new(), Vec::new());
    for (number, way) in ways.iter().enumerate().take(PICTURED) {
        let Recalled { pattern, overlap, .. } = Recalled::of(number, way, memory);
        let (sign, name) = if overlap < 0.0 { (-1.0, "mirror") } else { (1.0, "pattern") };
        for (column, state) in stages(way, longest).enumerate() {
            tiles.extend_from_slice(&way.states[state]);
            captions.push(match column {
                0 => format!("cue {number}"),
                _ if column + 1 == longest => format!("m = {overlap:.2}"),
                _ => format!("sweep {state}"),
            });
        }
        tiles.extend(memory.patterns[pattern].iter().map(|x| sign * x));
        captions.push(format!("{name} {pattern}"));
    }
    let size = memory.network.size();
    let tiles = Tensor::from_vec(tiles, (captions.len(), size), &Device::Cpu)?;
    let tiles = images::grey(&Units::Spin { size }, &tiles)?;
    let image = shape_of(size, memory.image);
    Ok(images::write_grid(path, &tiles, &captions, image, longest + 1, Contrast::Unit)?)
}

/// The first cues side by side, a picture for each stage.
fn animate(path: &Path, memory: &Memory, ways: &[Way]) -> Result<()> {
    let shown = &ways[..ways.len().min(PICTURED)];
    let longest = shown.iter().map(|way| way.states.len()).max().unwrap_or(1);
    let frames = (0..longest).map(|sweep| {
        let states = shown.iter().flat_map(|way| &way.states[sweep.min(way.states.len() - 1)]);
        let states: Vec<f64> = states.copied().collect();
        let size = memory.network.size();
        let tiles = Tensor::from_vec(states, (shown.len(), size), &Device::Cpu)?;
        Ok((format!("sweep {sweep}"), images::grey(&Units::Spin { size }, &tiles)?))
    });
    let frames = frames.collect::<Result<Vec<_>>>()?;
    let image = shape_of(memory.network.size(), memory.image);
    Ok(images::write_animation(path, &frames, image, 5.min(shown.len()), Contrast::Unit, FRAME)?)
}
