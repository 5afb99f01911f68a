//! The whole of learning, written by hand: persistent contrastive divergence on bars and stripes.

use candle_core::{DType, Device};
use rbm_core::estimate::log_likelihood;
use rbm_core::model::init::Init;
use rbm_core::{
    Batches, Gradient, NegativePhase, Optimizer, Persistent, Phase, Rbm, Rng, Sgd, Units,
};

const EPOCHS: usize = 6_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // All 14 pictures of 3×3 pixels whose columns, or whose rows, are of one colour. The best mean log-likelihood is -ln 14.
    let data =
        candle_dbn::data::load("bars-and-stripes:3", &Default::default())?.train.cases.tensor()?;
    let cases = data.dim(0)?;

    // Two layers and the weights between them. The first biases are those of the data's means.
    let mut rng = Rng::new(1);
    let rbm = Rbm::new(&Units::bernoulli(9), &Units::bernoulli(12), DType::F32, &Device::Cpu)?;
    Init::default().apply(&rbm, &data, &mut rng)?;

    // Where fantasies come from: 100 chains that never begin anew, a Gibbs step for each update. And what makes a step of a gradient.
    let mut pcd = Persistent::new(1, 100);
    let mut sgd = Sgd::new(0.05);
    for epoch in 0..EPOCHS {
        // The rate falls to nothing, or the chains cannot follow.
        sgd.set_rates(0.05 * (1.0 - epoch as f64 / EPOCHS as f64), 0.0);
        for batch in Batches::new(cases, 7).shuffled(&mut rng).of(&data) {
            let positive = Phase::of(&rbm, &batch?)?;
            let negative = pcd.fantasy(&rbm, &positive, &mut rng)?;
            let gradient = Gradient::between(&rbm, &positive, &negative)?;
            sgd.step(&rbm, &gradient)?;
        }
        if epoch % 1000 == 0 {
            println!("epoch {epoch:4}: log-likelihood {:.3}", log_likelihood(&rbm, &data)?);
        }
    }
    // Exact: the machine is small enough that all its configurations can be counted.
    println!("at the end: log-likelihood {:.3}", log_likelihood(&rbm, &data)?);
    println!("the best:   log-likelihood {:.3}", -(cases as f64).ln());
    Ok(())
}
