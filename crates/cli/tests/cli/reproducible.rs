//! The same seed makes the same model, to the byte.

use crate::common::{Place, answer, tensors};

/// Products and passes that are large enough to be shared between threads: candle's `gemm` from 48·48·256 products on, the
/// elementwise passes from a few hundred numbers on. CD, PCD with chains of their own, and dropout.
const TRAIN: &str = "train --layers 160,96 --set layers.*.epochs=2 --set layers.*.batch_size=120 \
                     --set layers.1.method.pcd.chains=110 --set layers.1.steps=2 --set layers.0.sparsity.cost=0.01 \
                     --set classifier.epochs=2 --set classifier.batch_size=120";

fn model(place: &Place, run: &str, words: &str, threads: Option<usize>) -> Vec<u8> {
    let mut command = place.command(&format!("{TRAIN} {words} --out {run}"));
    if let Some(threads) = threads {
        command.env("RAYON_NUM_THREADS", threads.to_string());
    }
    answer(&mut command).done();
    place.model(run)
}

#[test]
fn the_model_does_not_depend_on_the_number_of_threads() {
    let place = Place::new();
    let one = model(&place, "one", "--no-pictures", Some(1));
    for (run, threads) in [("two", Some(2)), ("four", Some(4)), ("unset", None)] {
        assert!(one == model(&place, run, "--no-pictures", threads), "{run}");
    }
}

#[test]
fn the_model_does_not_depend_on_being_watched() {
    let place = Place::new();
    let watched = model(&place, "watched", "", None);
    for (run, words) in [
        ("blind", "--no-monitor --no-pictures --no-evaluation"),
        ("kept", "--checkpoint-every 0 --no-pictures"),
        ("told", "--no-pictures -vvv --log-json"),
    ] {
        assert!(watched == model(&place, run, words, None), "{run}");
    }
}

/// Every tensor that learns must follow from the seed, the softmax layer too.
#[test]
fn another_seed_makes_another_model() {
    let place = Place::new();
    let [a, b] = [0, 1].map(|seed| {
        tensors(&model(
            &place,
            &format!("run{seed}"),
            &format!("--no-pictures --seed {seed}"),
            None,
        ))
    });
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, numbers) in &a {
        assert!(numbers != &b[name], "{name} is the same for two seeds");
    }
}
