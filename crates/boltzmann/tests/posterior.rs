//! What a machine that has learned says of the data, beside enumeration.
#![allow(clippy::unwrap_used)]

use candle_boltzmann::learning::{Learner, Learning, Negative, Shape};
use candle_boltzmann::{Couplings, Summation};
use candle_core::{Device, Tensor};
use rbm_core::estimate::log_partition;
use rbm_core::{Rng, Units};

fn learned(visible: &str, hidden: &str, couples_hidden: bool) -> (Learner, Tensor) {
    let [visible, hidden]: [Units; 2] = [visible, hidden].map(|units| units.parse().unwrap());
    let width = visible.width();
    let shape = Shape {
        visible,
        hidden: vec![hidden],
        labels: None,
        couplings: if couples_hidden { Couplings::Lateral } else { Couplings::Visible },
    };
    let learning = Learning {
        negative: Negative::Persistent,
        epochs: 20,
        batch_size: Some(10),
        learning_rate: 0.3,
        l2: 0.0,
        sweeps: 3,
        chains: 40,
        seed: 3,
        ..Learning::default()
    };
    let mut rng = Rng::new(5);
    let uniform =
        rbm_core::ops::uniform((40, width), candle_core::DType::F32, &Device::Cpu, &mut rng);
    let cases = uniform.unwrap().gt(0.4).unwrap().to_dtype(candle_core::DType::F32).unwrap();
    let mut learner = Learner::new(shape, learning, &cases).unwrap();
    while learner.epoch() < 20 {
        learner.learn(&cases).unwrap();
    }
    (learner, cases)
}

/// −F − log Z is log p(v) as it is counted, with hidden units that are coupled and with ones that are not.
#[test]
fn free_energies_are_those_of_enumeration() {
    for couples_hidden in [false, true] {
        let (learner, cases) = learned("5", "4", couples_hidden);
        let found = learner.posterior(&cases).unwrap();
        assert_eq!(found.summation, Summation::Exact);
        let log_z = log_partition(learner.machine()).unwrap();
        let mean = -found.free_energies.iter().sum::<f64>() / 40.0 - log_z;
        let counted = learner.log_likelihood(&cases).unwrap();
        assert!(counted.is_exact && (counted.value - mean).abs() < 1e-4, "{mean} {counted:?}");
        let means = found.means.unwrap().to_vec2::<f32>().unwrap();
        assert!(means.iter().flatten().all(|mean| (0.0..=1.0).contains(mean)));
        assert!(learner.posterior(&cases.narrow(1, 0, 4).unwrap()).is_err());
    }
}

/// Of hidden units that are too many to be counted for each case, mean field gives a lower bound, and a near one where couplings are weak.
#[test]
fn mean_field_bounds_from_below() {
    let (learner, cases) = learned("3", "15", true);
    let found = learner.posterior(&cases).unwrap();
    assert!(matches!(found.summation, Summation::MeanField { unsettled: 0, .. }));
    let bound =
        -found.free_energies.iter().sum::<f64>() / 40.0 - log_partition(learner.machine()).unwrap();
    let exact = learner.log_likelihood(&cases).unwrap().value;
    assert!(bound <= exact + 1e-4 && bound > exact - 0.3, "{bound} {exact}");
    let summary = learner.summary(4).unwrap();
    assert_eq!(summary.parameters, 3 + 15 + 3 * 15 + 3 + 15 * 14 / 2);
    let strongest: Vec<f64> =
        summary.couplings[0].largest.iter().map(|it| it.value.abs()).collect();
    assert!(strongest.len() == 4 && strongest.windows(2).all(|pair| pair[0] >= pair[1]));
}
