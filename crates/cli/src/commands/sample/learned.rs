//! `dbn sample` of a Boltzmann machine that has learned: configurations of its visible units, free or with a part held.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use candle_boltzmann::{samples, set_temperature};
use candle_core::{DType, Device, Tensor};
use candle_dbn::network::labels::label_codes;
use candle_dbn::store::table::TableLayout;
use candle_dbn::viz::images::{self, Contrast};
use indicatif::MultiProgress;
use rbm_core::estimate::{exact_samples_given, is_integrable};
use rbm_core::model::Boltzmann;
use rbm_core::sampling::{AnnealingPath, Clamped};
use rbm_core::state::write_whole;
use rbm_core::units::base_units::has_numbers;
use rbm_core::{Kernel, Rng, Rows};

use super::mask::{ClampMask, DataLayer};
use crate::commands::evaluate::machine::path;
use crate::inputs::{Cases, DataOptions};
use crate::interrupt::Interrupted;
use crate::machine_data;
use crate::machines::LearnedMachine;
use crate::{interrupt, output, progress, tables};

/// The most samples in the picture.
const PICTURED: usize = 400;
/// Milliseconds of a picture of an animation.
const FRAME: u64 = 100;
/// The most units of all chains together.
const MAX_UNITS: usize = 1 << 28;

/// What is sampled, and how.
pub struct LearnedSampling<'a> {
    pub run: &'a Path,
    /// The chains start at cases of these data.
    pub from: Option<&'a str>,
    /// A part of the cases of these data is held.
    pub clamp: Option<&'a str>,
    pub keep: &'a ClampMask,
    /// Classes whose label is held, so many samples of each.
    pub classes: &'a [u32],
    pub data_options: &'a DataOptions,
    pub count: usize,
    pub steps: usize,
    /// Whether the user says how many.
    pub is_walk: bool,
    /// Pictures of the animation; 0 for none.
    pub frames: usize,
    /// The energies are divided by it.
    pub temperature: f64,
    /// Whether sequences are written too.
    pub is_fasta: bool,
    /// The most sweeps of tempering, where that is asked for.
    pub tempered: Option<usize>,
    pub dir: PathBuf,
    pub bars: &'a MultiProgress,
}

/// What was drawn.
struct LearnedSamples {
    /// `(count, visible)`
    samples: Tensor,
    /// The cases of which a part was held.
    held: Option<Tensor>,
    /// Pictures on the way, after so many steps each.
    frames: Vec<(usize, Tensor)>,
    image: Option<(usize, usize)>,
}

impl LearnedSampling<'_> {
    /// Writes `samples.npy`, of a table `samples.csv`, where they can be drawn `samples.png`, and perhaps `animation.gif`; the files.
    pub fn run(&self, rng: &mut Rng) -> Result<Vec<PathBuf>> {
        let machine = LearnedMachine::open(self.run)?;
        let letters = match self.is_fasta {
            true => Some(machine.letters("--fasta")?),
            false => None,
        };
        set_temperature(machine.learner.machine(), self.temperature).context("--temperature")?;
        self.check_classes(&machine)?;
        ensure!(
            self.frames == 0 || !machine_data::is_unbounded(machine.visible()),
            "--animate: expected units that can be drawn, found {}",
            machine.visible()
        );
        let data = self.clamp.or(self.from);
        ensure!(
            data.is_some() || *self.data_options == DataOptions::default(),
            "--scale, --binarise and the like: expected with --from or --clamp"
        );
        let units = machine.learner.machine().rest().units().width();
        let most = (MAX_UNITS / units.max(1)).max(1);
        ensure!(
            self.count <= most,
            "--count {}: expected at most {most} samples of {units} units",
            self.count
        );
        let _caught = interrupt::catch()?;
        let is_exact = is_integrable(machine.learner.machine())?;
        let is_plain = data.is_none() && self.frames == 0 && self.classes.is_empty();
        let has_numbers = has_numbers(machine.learner.machine().rest())?;
        let tempered = match self.tempered {
            None if has_numbers && !is_exact && is_plain && !self.is_walk && self.count > 1 => {
                output::note(
                    "measurements that cannot be integrated: drawn as by --tempered, since chains stay with the kind that they begin with (--steps walks)",
                );
                Some(progress::TEMPERED_SWEEPS as usize)
            }
            asked => asked,
        };
        let drawn = match (tempered, data) {
            (Some(sweeps), _) if !is_exact => self.temper(&machine, sweeps, rng)?,
            (None, Some(data)) => self.start_at_data(&machine, data, rng)?,
            (Some(_), _) | (None, None) if self.frames == 0 && self.classes.is_empty() => {
                let (of, width) = (machine.learner.machine(), machine.visible().width());
                if is_exact {
                    output::note("measurements are integrated: samples are exact, without steps");
                }
                let bar = progress::bar(self.bars, self.steps as u64);
                let size = [self.count, self.steps];
                let samples = samples(of, width, size, rng, &mut |done| {
                    bar.set_position(done as u64);
                    !interrupt::is_requested()
                });
                bar.finish_and_clear();
                if interrupt::is_requested() {
                    return Err(Interrupted("nothing was written".to_owned()).into());
                }
                let samples = samples?;
                LearnedSamples { samples, held: None, frames: Vec::new(), image: machine.image() }
            }
            _ => {
                let of = machine.learner.machine();
                let start = AnnealingPath::from_biases(of)?.sample_at_zero(of, self.count, rng)?;
                let none = start.zeros_like()?;
                let (start, held) = self.with_classes(&machine, start, none)?;
                let (samples, frames) = self.walk(&machine, start, &held, rng)?;
                LearnedSamples { samples, held: None, frames, image: machine.image() }
            }
        };
        let mut written = self.write(&machine, &drawn)?;
        if let Some(letters) = &letters {
            let sequences = self.dir.join("samples.fasta");
            write_whole(&sequences, tables::fasta(&drawn.samples, letters)?.as_bytes())?;
            written.push(sequences);
        }
        Ok(written)
    }

    /// Chains that start at cases, with a part of them held where that is asked for.
    fn start_at_data(
        &self,
        machine: &LearnedMachine,
        data: &str,
        rng: &mut Rng,
    ) -> Result<LearnedSamples> {
        let cases = machine.cases(Some(data), self.data_options, None)?;
        let (of, image) = (cases.values.count(), cases.image.or_else(|| machine.image()));
        let rows: Vec<u32> = (0..self.count).map(|i| (i % of) as u32).collect();
        let visible = cases.values.rows(&rows)?;
        let hidden_columns = machine.learner.machine().rest().units().width() - visible.dim(1)?;
        let mask = match self.clamp {
            Some(_) => {
                let columns = cases.columns.as_deref();
                let layer = DataLayer { units: machine.visible().clone(), columns, image };
                self.keep.mask(&rows, of, &layer)?.to_dtype(DType::F32)?
            }
            None => visible.zeros_like()?,
        };
        // What is not held begins as it is at the units' own biases.
        let begun = match self.clamp {
            Some(_) => {
                let layer = machine.learner.machine().layers()[0].0;
                let drawn = layer.sample(&visible.zeros_like()?, rng)?;
                mask.ne(0.0)?.where_cond(&visible, &drawn)?
            }
            None => visible.clone(),
        };
        let (mut start, mut held) = (begun, mask);
        if hidden_columns > 0 {
            let rest = machine.learner.machine().rest();
            let none = Tensor::zeros((self.count, rest.units().width()), DType::F32, &Device::Cpu)?;
            let drawn = rest.sample(&none, rng)?.narrow(1, visible.dim(1)?, hidden_columns)?;
            let none = drawn.zeros_like()?;
            start = Tensor::cat(&[start, drawn], 1)?;
            held = Tensor::cat(&[held, none], 1)?;
        }
        let (start, held) = self.with_classes(machine, start, held)?;
        let of = machine.learner.machine();
        let (samples, frames) = match self.clamp {
            Some(_) if self.frames == 0 && is_integrable(of)? => {
                (self.conditional(machine, &start, &held, rng)?, Vec::new())
            }
            _ => self.walk(machine, start, &held, rng)?,
        };
        let held = self.clamp.map(|_| visible);
        Ok(LearnedSamples { samples, held, frames, image })
    }

    /// Samples given what is held, without chains: measurements are integrated.
    fn conditional(
        &self,
        machine: &LearnedMachine,
        start: &Tensor,
        held: &Tensor,
        rng: &mut Rng,
    ) -> Result<Tensor> {
        output::note("measurements are integrated: samples are exact, without steps");
        let (of, width) = (machine.learner.machine(), machine.visible().width());
        let held = held.to_vec2::<f32>()?;
        let mut parts = Vec::new();
        let mut first = 0;
        for same in held.chunk_by(|a, b| a == b) {
            let free: Vec<bool> = same[0].iter().map(|held| *held == 0.0).collect();
            let rows = start.narrow(0, first, same.len())?;
            let drawn = exact_samples_given(of, &rows, &free, rng)?;
            parts.push(drawn.context("samples: expected measurements that can be integrated")?);
            first += same.len();
        }
        Ok(Tensor::cat(&parts, 0)?.narrow(1, 0, width)?.contiguous()?)
    }

    /// Errors unless the machine has a label with these classes, where any are named.
    fn check_classes(&self, machine: &LearnedMachine) -> Result<()> {
        if self.classes.is_empty() {
            return Ok(());
        }
        let known = machine.learner.shape().labels;
        let known = known
            .context("--label: expected a machine with labels (train it with --set labels=true)")?;
        let wrong = self.classes.iter().find(|class| **class as usize >= known);
        wrong
            .map_or(Ok(()), |class| bail!("--label: expected a class below {known}, found {class}"))
    }

    /// The label of each row of `start` `(count, rest)` as its class is, and held: a row of `held` is 1 where a unit is.
    fn with_classes(
        &self,
        machine: &LearnedMachine,
        start: Tensor,
        held: Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let (Some(states), false) = (machine.learner.shape().labels, self.classes.is_empty())
        else {
            return Ok((start, held));
        };
        let rows = self.count;
        let each = rows.div_ceil(self.classes.len()).max(1);
        let labels: Vec<u32> = (0..rows).map(|row| self.classes[row / each]).collect();
        let codes = label_codes(&labels, states, DType::F32, &Device::Cpu)?;
        let at = machine.visible().width();
        let put = |x: &Tensor, codes: &Tensor| -> Result<Tensor> {
            let after = x.dim(1)? - at - states;
            Ok(Tensor::cat(&[&x.narrow(1, 0, at)?, codes, &x.narrow(1, at + states, after)?], 1)?)
        };
        Ok((put(&start, &codes)?, put(&held, &codes.ones_like()?)?))
    }

    /// Visible configurations after the steps, and those on the way.
    fn walk(
        &self,
        machine: &LearnedMachine,
        start: Tensor,
        held: &Tensor,
        rng: &mut Rng,
    ) -> Result<(Tensor, Vec<(usize, Tensor)>)> {
        let of = machine.learner.machine();
        let width = machine.visible().width();
        let clamped = Clamped::new(&start, held)?;
        let mut chains = clamped.init(of, start, rng)?;
        let pictures = self.frames.min(self.steps + 1);
        let bar = progress::bar(self.bars, self.steps as u64);
        let mut frames = Vec::new();
        for step in 0..=self.steps {
            let is_due = frames.len() * self.steps <= step * pictures.saturating_sub(1);
            if is_due && frames.len() < pictures {
                let shown = chains.visible.narrow(0, 0, self.count.min(PICTURED))?;
                frames.push((step, shown.narrow(1, 0, width)?.contiguous()?));
            }
            if interrupt::is_requested() {
                bar.finish_and_clear();
                return Err(Interrupted("nothing was written".to_owned()).into());
            }
            if step < self.steps {
                clamped.advance(of, &mut chains, 1, rng)?;
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        Ok((chains.visible.narrow(1, 0, width)?.contiguous()?, frames))
    }

    /// Samples in equilibrium, by parallel tempering from the averages of the data.
    fn temper(
        &self,
        machine: &LearnedMachine,
        sweeps: usize,
        rng: &mut Rng,
    ) -> Result<LearnedSamples> {
        let of = machine.learner.machine();
        if self.count < 2 {
            bail!("--count: expected at least 2 samples with --tempered, found {}", self.count);
        }
        let cases = match (self.from, &machine.recipe) {
            (Some(data), _) => Some(machine.cases(Some(data), self.data_options, None)?),
            (None, Some(_)) if crate::inputs::work_dir(self.run) == self.run => {
                Some(machine.cases(None, self.data_options, Some(Cases::Train))?)
            }
            _ => None,
        };
        let path = match &cases {
            Some(cases) => {
                path(machine, &cases.values, &machine.learner.posterior(&cases.values)?)?
            }
            None => {
                output::note(
                    "no data are named with --from: the ladder begins at the units' own biases",
                );
                AnnealingPath::from_biases(of)?
            }
        };
        let samples =
            progress::equilibrium_samples(of, path, [self.count, sweeps], self.bars, rng)?;
        let samples = samples.narrow(1, 0, machine.visible().width())?.contiguous()?;
        let image = cases.and_then(|cases| cases.image).or_else(|| machine.image());
        Ok(LearnedSamples { samples, held: None, frames: Vec::new(), image })
    }

    fn write(&self, machine: &LearnedMachine, drawn: &LearnedSamples) -> Result<Vec<PathBuf>> {
        let LearnedSamples { samples, held, frames, image } = drawn;
        let dir = &self.dir;
        output::make_folder(dir)?;
        let (array, picture) = (dir.join("samples.npy"), dir.join("samples.png"));
        let table = TableLayout::read(self.run)?.unwrap_or_default();
        let values = match machine_data::standardise_of(&table)? {
            Some(standardise) => standardise.undo(samples)?,
            None => samples.clone(),
        };
        write_whole(&array, &tables::npy_bytes(&values)?)?;
        let mut written = vec![array];
        if let Some(columns) = &table.columns {
            let rows = dir.join("samples.csv");
            write_whole(&rows, tables::csv_of(&values, columns)?.as_bytes())?;
            written.push(rows);
        }
        let units = machine.visible();
        if machine_data::is_unbounded(units) {
            return Ok(written);
        }
        let tiles = |x: &Tensor| -> Result<_> {
            let some = x.narrow(0, 0, x.dim(0)?.min(PICTURED))?;
            Ok(images::tiles(units, &some, *image)?)
        };
        let (shown, image) = tiles(samples)?;
        let count = shown.dim(0)?;
        let columns = images::columns(image, (count as f64).sqrt().ceil() as usize);
        match held {
            Some(cases) => {
                let caption = "above: cases; below: filled in";
                images::write_pairs(&picture, &tiles(cases)?.0, &shown, image, columns, caption)?;
            }
            None => images::write_grid(&picture, &shown, &[], image, columns, Contrast::Unit)?,
        }
        written.insert(0, picture);
        if !frames.is_empty() {
            let animation = dir.join("animation.gif");
            let frames = frames.iter().map(|(step, x)| Ok((format!("step {step}"), tiles(x)?.0)));
            let frames = frames.collect::<Result<Vec<_>>>()?;
            images::write_animation(&animation, &frames, image, columns, Contrast::Unit, FRAME)?;
            written.push(animation);
        }
        Ok(written)
    }
}
