//! The laws of documents of different lengths: replicated softmax, in which each case has a number of draws of its own (Salakhutdinov
//! and Hinton 2009).
//!
//! What they would catch: a hidden bias that counts once whatever the length, a gradient that forgets that, samples of another length
//! than their case, a pseudo-likelihood that takes all cases for equally long.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor};
use common::{assert_close, assert_mean, flat, log_sum_exp, machine, matrix, rows};
use rbm_core::estimate::{pseudo_likelihood, stochastic_pseudo_likelihood};
use rbm_core::learning::transform::{PerDraw, Transform};
use rbm_core::{
    Averages, ContrastiveDivergence, Gibbs, Gradient, Kernel, NegativePhase, Phase, Rbm, Rng, Units,
};

const F64: DType = DType::F64;
const ROUNDING: f64 = 1e-9;

/// Documents of 1, 2, 5 and 9 words out of three.
fn documents() -> Tensor {
    let counts = [[0.0, 1.0, 0.0], [2.0, 0.0, 0.0], [1.0, 3.0, 1.0], [0.0, 4.0, 5.0]];
    matrix(&counts.map(|row| row.to_vec()), F64)
}

/// The machine for documents of `draws` words that this one is for them: its hidden biases count `draws` times.
fn of_length(rbm: &Rbm, draws: usize) -> Rbm {
    let units = Units::Multinomial { size: 3, draws };
    let same = Rbm::new(&units, &rbm.hidden().units(), F64, &Device::Cpu).unwrap();
    for ((name, to), (_, from)) in same.parameters().into_iter().zip(rbm.parameters()) {
        let from = from.as_detached_tensor();
        let is_bias = name == "hidden_bias";
        to.set(&if is_bias { (from * draws as f64).unwrap() } else { from }).unwrap();
    }
    same
}

#[test]
fn a_case_is_what_it_is_in_the_machine_for_its_length() {
    for hidden in ["bernoulli:4", "spin:3", "gaussian:2", "relu:2", "potts(3):2"] {
        let rbm = machine("multinomial:3", hidden, F64, 1);
        let documents = documents();
        let free = flat(&rbm.free_energy(&documents).unwrap());
        let mean = rows(&rbm.hidden_mean(&documents).unwrap());
        let below = rbm.visible_mean_like(&rbm.hidden_mean(&documents).unwrap(), &documents);
        let below = rows(&below.unwrap());
        for (i, counts) in rows(&documents).into_iter().enumerate() {
            let same = of_length(&rbm, counts.iter().sum::<f64>() as usize);
            let one = matrix(&[counts], F64);
            assert_close(hidden, &[free[i]], &flat(&same.free_energy(&one).unwrap()), ROUNDING);
            let h = same.hidden_mean(&one).unwrap();
            assert_close(hidden, &mean[i], &flat(&h), ROUNDING);
            let back = flat(&same.visible_mean(&h).unwrap());
            assert_close(hidden, &below[i], &back, ROUNDING);
            // One document alone: its pseudo-likelihood is that of its length.
            let [own, fixed] = [&rbm, &same].map(|rbm| pseudo_likelihood(rbm, &one).unwrap());
            assert_close(hidden, &[own], &[fixed], ROUNDING);
        }
        let exact = pseudo_likelihood(&rbm, &documents).unwrap();
        let mut rng = Rng::new(3);
        let estimate = |_| stochastic_pseudo_likelihood(&rbm, &documents, &mut rng).unwrap();
        assert_mean(hidden, &(0..2000).map(estimate).collect::<Vec<_>>(), exact);
    }
}

/// The positive phase is the derivative of −F by every parameter.
#[test]
fn averages_are_the_slopes_of_the_free_energy() {
    for hidden in ["bernoulli:4", "gaussian:2", "bernoulli:2+spin:1"] {
        let rbm = machine("multinomial:3", hidden, F64, 2);
        let documents = documents();
        let averages = Averages::of(&rbm, &Phase::of(&rbm, &documents).unwrap()).unwrap();
        let slopes = rbm.free_energy(&documents).unwrap().mean_all().unwrap().backward().unwrap();
        let biases = averages.visible.iter().chain(&averages.hidden);
        for ((name, var), average) in rbm.parameters().into_iter().skip(1).zip(biases) {
            let slope = slopes.get(var).unwrap().neg().unwrap();
            assert_close(&format!("{hidden} {name}"), &flat(average), &flat(&slope), ROUNDING);
        }
    }
}

/// Chains keep the length of the case that they began at, and visit its documents as often as the machine for that length says.
#[test]
fn chains_keep_their_lengths() {
    let rbm = machine("multinomial:3", "bernoulli:2", F64, 3);
    let start = Tensor::cat(&vec![documents(); 500], 0).unwrap();
    let mut rng = Rng::new(4);
    let mut chains = Gibbs::default().init(&rbm, start.clone(), &mut rng).unwrap();
    for _ in 0..20 {
        Gibbs::default().step(&rbm, &mut chains, &mut rng).unwrap();
    }
    let lengths = |x: &Tensor| flat(&x.sum(1).unwrap());
    assert_eq!(lengths(&chains.visible), lengths(&start));
    // Two words: six documents.
    let same = of_length(&rbm, 2);
    let all = same.visible().discrete().unwrap().configuration(0..6).unwrap();
    let weights: Vec<f64> = flat(&same.free_energy(&all).unwrap()).iter().map(|f| -f).collect();
    let log_z = log_sum_exp(&weights);
    let visited = rows(&chains.visible);
    for (document, weight) in rows(&all).iter().zip(weights) {
        let hits = visited.iter().skip(1).step_by(4).map(|v| f64::from(u8::from(v == document)));
        assert_mean(&format!("{document:?}"), &hits.collect::<Vec<_>>(), (weight - log_z).exp());
    }
    let positive = Phase::of(&rbm, &start).unwrap();
    let fantasy = ContrastiveDivergence::new(2).fantasy(&rbm, &positive, &mut rng).unwrap();
    assert_eq!(lengths(&fantasy.visible), lengths(&start));
    // Whoever does not know the length is refused by name.
    let message = rbm.sample_visible(&chains.hidden, &mut rng).unwrap_err().to_string();
    assert!(message.contains("number of draws"), "{message}");
}

/// What hidden biases move by is the slope over the mean length, and nothing else is changed.
#[test]
fn steps_of_hidden_biases_are_by_draw() {
    let rbm = machine("multinomial:3", "bernoulli:4", F64, 6);
    let documents = documents();
    let positive = Phase::of(&rbm, &documents).unwrap();
    let mut rng = Rng::new(1);
    let negative = ContrastiveDivergence::new(1).fantasy(&rbm, &positive, &mut rng).unwrap();
    let gradient = Gradient::between(&rbm, &positive, &negative).unwrap();
    let changed = PerDraw.apply(gradient.clone(), &rbm, &positive).unwrap();
    // 1, 2, 5 and 9 words.
    let expected: Vec<f64> = flat(&gradient.hidden[0]).iter().map(|x| x / 4.25).collect();
    assert_close("hidden bias", &flat(&changed.hidden[0]), &expected, ROUNDING);
    assert_close("bias", &flat(&changed.visible[0]), &flat(&gradient.visible[0]), ROUNDING);
}
