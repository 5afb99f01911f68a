//! A training with data of one's own, and its progress.

use candle_core::{DType, Device, Tensor};
use candle_dbn::recipe::{Backpropagation, ClassifierRecipe, LayerRecipe};
use candle_dbn::training::{Command, EpochMetrics, Observer, Outcome, StageStart, Step};
use candle_dbn::{Dataset, Evaluation, Model, Recipe, Training};
use rbm_core::{Rng, Units, ops};

/// 600 cases of 30 bits: one of three patterns, of which a quarter of the bits is turned.
fn cases() -> Result<(Tensor, Tensor), candle_dbn::Error> {
    let mut rng = Rng::new(1);
    let mut bits = |rows: usize, share: f64| {
        let uniform = ops::uniform((rows, 30), DType::F32, &Device::Cpu, &mut rng)?;
        Ok::<_, candle_dbn::Error>(uniform.lt(share)?.to_dtype(DType::F32)?)
    };
    let (patterns, noise) = (bits(3, 0.5)?, bits(600, 0.25)?);
    let labels = Tensor::from_iter((0..600).map(|case| case % 3u32), &Device::Cpu)?;
    let patterns = patterns.index_select(&labels, 0)?;
    Ok(((&patterns - &noise)?.abs()?, labels))
}

/// Prints a line for every fifth epoch, and stops after a given number of mini-batches.
struct Progress {
    steps: usize,
    most: usize,
}

impl Observer for Progress {
    fn stage(&mut self, stage: &StageStart) -> candle_dbn::Result<()> {
        println!("{}: {}, {} cases", stage.kind, stage.shape, stage.cases);
        Ok(())
    }

    fn step(&mut self, _: &Step) -> candle_dbn::Result<Command> {
        self.steps += 1;
        Ok(if self.steps == self.most { Command::Stop } else { Command::Continue })
    }

    fn epoch(&mut self, metrics: &EpochMetrics) -> candle_dbn::Result<()> {
        if !metrics.epoch.is_multiple_of(5) {
            return Ok(());
        }
        print!("  epoch {}/{}", metrics.epoch, metrics.epochs);
        if let Some(report) = &metrics.report {
            print!(", reconstruction error {:.4}", report.reconstruction_error);
        }
        if let Some(error) = metrics.validation_error {
            print!(", validation error {error:.1} %");
        }
        println!();
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (cases, labels) = cases()?;
    // A fifth of the cases is held out, and a tenth of the others decides when to stop.
    let data = Dataset::from_tensors(&cases, Some(&labels))?;

    let layer = LayerRecipe { epochs: 10, batch_size: 20, ..LayerRecipe::default() };
    let usual = ClassifierRecipe::default().backpropagation;
    let backpropagation = Backpropagation { epochs: 20, batch_size: 20, ..usual };
    let recipe = Recipe {
        seed: 3,
        layers: vec![
            LayerRecipe { hidden: Units::bernoulli(24), ..layer.clone() },
            LayerRecipe { hidden: Units::bernoulli(12), ..layer },
        ],
        classifier: Some(ClassifierRecipe { backpropagation, ..ClassifierRecipe::default() }),
        ..Recipe::default()
    };

    let mut training = Training::new(recipe, data, &Device::Cpu)?;
    for note in &training.notes {
        println!("note: {note}");
    }
    let mut progress = Progress { steps: 0, most: 100_000 };
    let Outcome::Finished(model) = training.run(&mut progress)? else {
        return Err("stopped: run the training again to go on".into());
    };

    let held_out = training.held_out.as_ref().ok_or("nothing was held out")?;
    let found = Evaluation::of(&model, held_out, Default::default(), 0)?;
    println!("held-out error {:.1} %", found.error_percent.ok_or("there is no classifier")?);

    // The folder is made. `dbn evaluate`, `dbn sample` and the others take it.
    let folder = std::env::temp_dir().join(format!("own_data-{}", std::process::id()));
    model.save(&folder)?;
    let again = Model::load(&folder, &Device::Cpu)?;
    println!("{} numbers saved and read", again.parameters()?);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
