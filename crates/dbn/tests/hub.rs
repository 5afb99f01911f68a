//! The library's own way to the Hub. One test, because it sets the environment of its process.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device};
use candle_nn::Module;
use dbn::hub::Push;
use dbn::{Dbn, Model};
use loopback_hub::{Server, TOKEN, Transfer};
use rbm_core::init::Init;
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

#[test]
fn a_network_goes_to_the_hub_and_comes_back() {
    let (server, home) = (Server::start(Transfer::Xet), tempfile::tempdir().unwrap());
    // SAFETY: this process has no other thread that looks at its environment.
    unsafe {
        std::env::set_var("HF_ENDPOINT", server.endpoint());
        std::env::set_var("HF_TOKEN", TOKEN);
        std::env::set_var("HF_HOME", home.path());
        std::env::set_var("HF_XET_CACHE", home.path().join("xet"));
        std::env::remove_var("HF_HUB_OFFLINE");
    }
    let cases = rbm_core::ops::normal((4, 6), DType::F32, &Device::Cpu, &mut Rng::new(2)).unwrap();
    let dbn = network();
    let here = dbn.forward(&cases).unwrap().to_vec2::<f32>().unwrap();
    let pushed = Model::from(dbn).push_to_hub("me/small", &Push::default()).unwrap();
    assert_eq!((pushed.commit.map(|id| id.len()), pushed.inline), (Some(40), None));
    let there = Dbn::from_hub("me/small", &Device::Cpu).unwrap();
    assert_eq!(there.forward(&cases).unwrap().to_vec2::<f32>().unwrap(), here);
    let wrong = Dbn::from_hub("me/nothing", &Device::Cpu).unwrap_err().to_string();
    assert!(wrong.contains("me/nothing") && !wrong.contains(TOKEN), "{wrong}");
}
