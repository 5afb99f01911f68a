//! A trained network as the lower part of a candle model: a linear classifier learns on its features.

use candle_core::{D, DType, Device, Tensor};
use candle_dbn::data::{self, Parts};
use candle_dbn::{Model, Recipe, Training, training::Outcome};
use candle_nn::{
    AdamW, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap, linear, loss::cross_entropy, seq,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::Cpu;
    let digits = data::load("digits", &data::ReadOptions::default())?;
    // Every fifth case of each class is held out, as the training does too.
    let Parts { train, held_out, .. } = digits.clone().parts(Some(5), None)?;
    let test = held_out.ok_or("no test cases")?;

    // Train a network without labels and save it. `dbn train --unsupervised` leaves the same two files.
    let recipe = Recipe::named("digits")?.with(&["classifier=none", "layers.*.epochs=20"])?;
    let outcome = Training::new(recipe, digits, &device)?.run(&mut ())?;
    let Outcome::Finished(trained) = outcome else { return Err("stopped".into()) };
    let folder = std::env::temp_dir().join(format!("candle_features-{}", std::process::id()));
    trained.save(&folder)?;

    // Load it. The model scales its data itself; pixels as a file has them go through `encode` first.
    let model = Model::load(&folder, &device)?;
    std::fs::remove_dir_all(&folder)?;
    let pixels = Tensor::full(16f32, (1, 64), &device)?; // 0 to 16, as in the file
    let features = model.forward(&model.encode(&pixels)?)?;
    println!("{} pixels become {} features", pixels.dim(1)?, features.dim(1)?);

    // A layer of candle's learns on the features. The network is frozen: the optimiser has the variables of `head` alone.
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &device);
    let head = linear(features.dim(1)?, 10, vb)?;
    let labels =
        |part: &candle_dbn::Examples| Tensor::new(part.labels.clone().unwrap_or_default(), &device);
    let (x, y) = (model.forward(&train.cases.tensor()?)?.detach(), labels(&train)?);
    let settings = ParamsAdamW { lr: 0.05, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(variables.all_vars(), settings)?;
    for _ in 0..300 {
        optimizer.backward_step(&cross_entropy(&head.forward(&x)?, &y)?)?;
    }

    // Both together are a model of candle's.
    let network = seq().add(model).add(head);
    let found = network.forward(&test.cases.tensor()?)?.argmax(D::Minus1)?;
    let wrong = found.ne(&labels(&test)?)?.to_dtype(DType::F32)?.mean_all()?.to_scalar::<f32>()?;
    println!("test error {:.1} %", 100.0 * wrong);
    Ok(())
}
