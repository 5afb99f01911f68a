//! A trained network as the lower part of a candle model: a linear classifier learns on its features.

use candle_core::{D, DType, Device, Tensor};
use candle_nn::{
    AdamW, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap, linear, loss::cross_entropy, seq,
};
use dbn::{Model, Recipe, Training, datasets, training::Outcome};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::Cpu;
    let digits = datasets::load("digits", &datasets::Options::default())?;

    // Train a network without labels and save it. `dbn train --unsupervised` leaves the same two files.
    let recipe = Recipe::named("digits")?.with(&["classifier=none", "layers.*.epochs=10"])?;
    let mut training = Training::new(recipe, digits, &device)?;
    let Outcome::Finished(trained) = training.run(&mut ())? else { return Err("stopped".into()) };
    let folder = std::env::temp_dir().join(format!("candle_features-{}", std::process::id()));
    trained.save(&folder)?;

    // Load it. The model scales its data itself; pixels as a file has them go through `encode` first.
    let model = Model::load(&folder, &device)?;
    std::fs::remove_dir_all(&folder)?;
    let pixels = Tensor::full(16f32, (1, 64), &device)?; // 0 to 16, as in the file
    let features = model.forward(&model.encode(&pixels)?)?;
    println!("{} pixels become {} features", pixels.dim(1)?, features.dim(1)?);

    // A layer of candle's on top: the network is frozen, because the optimiser has the variables of `linear` alone.
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &device);
    let head = linear(features.dim(1)?, 10, vb)?;
    let network = seq().add(model).add(head);

    let (train, test) = (&training.train, training.held_out.as_ref().ok_or("no test cases")?);
    let labels = |part: &dbn::Part| Tensor::new(part.labels.clone().unwrap_or_default(), &device);
    let (x, y) = (train.cases.tensor()?, labels(train)?);
    let settings = ParamsAdamW { lr: 0.01, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(variables.all_vars(), settings)?;
    for _ in 0..100 {
        optimizer.backward_step(&cross_entropy(&network.forward(&x)?, &y)?)?;
    }

    let found = network.forward(&test.cases.tensor()?)?.argmax(D::Minus1)?;
    let wrong = found.ne(&labels(test)?)?.to_dtype(DType::F32)?.mean_all()?.to_scalar::<f32>()?;
    println!("test error {:.1} %", 100.0 * wrong);
    Ok(())
}
