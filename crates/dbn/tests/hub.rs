//! The library's own way to the Hub.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use candle_core::{DType, Device};
use candle_dbn::hub::{Hub, HubOptions, PushOptions, Reference, Snapshot};
use candle_dbn::{Dbn, Model};
use candle_nn::Module;
use loopback_hub::{Server, TOKEN, Transfer};
use rbm_core::model::init::Init;
use rbm_core::{Rbm, Rng, Units};

fn network() -> Dbn {
    let mut rng = Rng::new(1);
    let machine = |visible, hidden, rng: &mut Rng| {
        let (visible, hidden) = (Units::bernoulli(visible), Units::bernoulli(hidden));
        let rbm = Rbm::new(&visible, &hidden, DType::F32, &Device::Cpu).unwrap();
        let init = Init { weight_deviation: 0.5, hidden_bias: 0.0 };
        init.draw_weights(&rbm, rng).unwrap();
        rbm
    };
    Dbn::new(vec![machine(6, 5, &mut rng), machine(5, 3, &mut rng)]).unwrap()
}

fn options(server: &Server, cache: &Path) -> HubOptions {
    HubOptions {
        endpoint: server.endpoint(),
        token: Some(TOKEN.into()),
        cache: cache.into(),
        is_offline: false,
        answer_within: Duration::from_secs(10),
        read_within: Duration::from_secs(10),
    }
}

#[test]
fn a_network_goes_to_the_hub_and_comes_back() {
    let (server, home) = (Server::start(Transfer::Regular), tempfile::tempdir().unwrap());
    let hub = Hub::new(options(&server, home.path())).unwrap();
    let reference = |text: &str| text.parse::<Reference>().unwrap();
    let cases = rbm_core::ops::uniform((4, 6), DType::F32, &Device::Cpu, &mut Rng::new(2)).unwrap();
    let dbn = network();
    let here = dbn.up(&cases).unwrap().to_vec2::<f32>().unwrap();
    let pushed =
        hub.push_model(&Model::from(dbn), &reference("me/small"), &PushOptions::default()).unwrap();
    // A server that has no xet gets the weights as text.
    assert_eq!(pushed.commit.map(|id| id.len()), Some(40));
    assert!(pushed.inline.unwrap() > 4 * (6 * 5 + 5 * 3));
    let dir = hub.pull(&reference("me/small")).unwrap().dir;
    let there = Model::load(&dir, &Device::Cpu).unwrap();
    assert_eq!(there.forward(&cases).unwrap().to_vec2::<f32>().unwrap(), here);
    let wrong = hub.pull(&reference("me/nothing")).unwrap_err().to_string();
    assert!(wrong.contains("me/nothing") && !wrong.contains(TOKEN), "{wrong}");
}

/// A program that waits for other things in the same thread may ask the Hub as well.
#[test]
fn a_hub_is_asked_from_an_asynchronous_program() {
    let (server, home) = (Server::start(Transfer::Regular), tempfile::tempdir().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let wrong = runtime.block_on(async {
        let hub = Hub::new(options(&server, home.path())).unwrap();
        hub.pull(&"me/nothing".parse().unwrap()).unwrap_err().to_string()
    });
    assert!(wrong.contains("a repository that exists"), "{wrong}");
}

/// Wherever a copy is cut short: there is no model, or the old one, or the new one, and no mixture.
#[test]
fn a_copy_that_is_cut_short_leaves_no_mixture() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    std::fs::create_dir(place("old")).unwrap();
    std::fs::create_dir(place("new")).unwrap();
    let old = Model::from(network());
    let new = Model { image: Some((2, 3)), ..Model::from(network()) };
    let weights = |place: &Path| std::fs::read(place.join("model.safetensors")).unwrap();
    for (_, var) in new.dbn.bottom().parameters() {
        var.set(&var.ones_like().unwrap()).unwrap();
    }
    old.save(&place("old")).unwrap();
    new.save(&place("new")).unwrap();
    assert!(weights(&place("old")) != weights(&place("new")));
    std::fs::write(place("new/README.md"), "a card").unwrap();
    let files = ["config.json", "model.safetensors", "README.md"].map(String::from);
    for missing in &files {
        let to = place(&format!("without {missing}"));
        let snapshot = |files: &[String]| Snapshot { dir: place("new"), files: files.to_vec() };
        Snapshot { dir: place("old"), files: files[..2].to_vec() }.copy_to(&to).unwrap();
        // What cannot be read stands for the moment at which the process is killed.
        std::fs::rename(place("new").join(missing), place("aside")).unwrap();
        snapshot(&files).copy_to(&to).unwrap_err();
        assert!(Model::load(&to, &Device::Cpu).is_err(), "a mixture: no {missing}");
        std::fs::rename(place("aside"), place("new").join(missing)).unwrap();
        snapshot(&files).copy_to(&to).unwrap();
        assert_eq!(Model::load(&to, &Device::Cpu).unwrap().image, Some((2, 3)));
        assert!(weights(&to) == weights(&place("new")));
    }
}
