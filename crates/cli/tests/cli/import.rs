//! Machines of other programs as folders that every command takes. What they say is tested in `crates/dbn/tests/import`.

use std::fs;
use std::path::Path;

use crate::commands::{assert_near, linear, sigmoid};
use crate::common::{Place, npy, read_npy, tensors};

/// A place with the files that the other programs wrote.
fn place() -> Place {
    let place = Place::new();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dbn/tests/import");
    for name in ["sklearn.npz", "bernoulli.h5", "potts.h5", "stack.pt", "linear.safetensors"] {
        place.write(name, fs::read(files.join(name)).unwrap());
    }
    place
}

#[test]
fn an_imported_model_is_one_of_ours() {
    let place = place();
    let cases = [vec![1.0, 0.0, 1.0, 1.0, 0.0, 0.0], vec![0.0; 6]];
    place.write("cases.npy", npy(&cases));
    let answer = place.dbn("import stack.pt --out models/stack --image 2x3").done();
    assert_eq!(answer.out, "models/stack: bernoulli:6 → bernoulli:4 → bernoulli:3\n");
    assert_eq!(answer.err, "left aside: head.weight\n");
    assert_eq!(place.json("models/stack/config.json")["image"], serde_json::json!([2, 3]));
    let weights = tensors(&place.model("models/stack"));
    let features = cases.iter().flat_map(|case| {
        let x: Vec<_> = case.iter().map(|&x| f64::from(x)).collect();
        let first = sigmoid(linear(&weights, "rbms.0.weight", "rbms.0.hidden_bias", &x));
        sigmoid(linear(&weights, "rbms.1.weight", "rbms.1.hidden_bias", &first))
    });
    place.dbn("embed models/stack cases.npy --out f.npy").done();
    assert_near(&read_npy(&place.read("f.npy")).1, features);
    place.dbn("inspect models/stack").done();
    place.dbn("sample models/stack --count 4 --out s").done();

    place.dbn("import sklearn.npz --out models/sk").done();
    let evaluated = place.dbn("evaluate models/sk cases.npy --likelihood --json").done();
    assert!(evaluated.out.contains("exact"), "{evaluated:?}");
    let answer =
        place.dbn("import bernoulli.h5 --from rbms --update 12 --out models/sk --force").done();
    assert_eq!(answer.err, "update 12 of 1, 12, 300\n");
    place.dbn("import potts.h5 --out models/potts").done();
    place
        .dbn("import linear.safetensors --map W=fc.weight --map h_bias=fc.bias --map v_bias=visible --out m")
        .done();
}

#[test]
fn what_cannot_be_imported_leaves_nothing() {
    let place = place();
    for (words, said) in [
        ("stack.pt --update 3", &["--update", "--from rbms"][..]),
        ("sklearn.npz --transpose", &["--transpose", "--from pytorch"]),
        ("data.csv", &["--from", "sklearn, rbms, adabmdca or pytorch", "data.csv"]),
        ("data.csv --from rbms", &["data.csv", "HDF5"]),
        ("none.npz", &["none.npz", "No such file"]),
        ("bernoulli.h5 --update 2", &["bernoulli.h5", "update_2", "1, 12, 300"]),
        ("linear.safetensors", &["linear.safetensors", "--map W=NAME", "fc.weight"]),
        ("stack.pt --visible strange", &["--visible", "strange"]),
        ("stack.pt --image 3x3", &["--image", "6 pixels", "3 x 3"]),
    ] {
        place.dbn(&format!("import {words} --out new")).failed(said);
        assert!(!place.path("new").exists(), "{words}");
    }
    place.dbn("import sklearn.npz --out new").done();
    place.dbn("import sklearn.npz --out new").failed(&["new", "--force"]);
    // A folder holds one model, of whatever kind.
    place.write("x_params.dat", "J 0 1 A B 2\nh 0 A 1\nh 0 B 0\nh 1 A 0\nh 1 B 0\n");
    place.dbn("import x_params.dat --out new").failed(&["new", "--force"]);
    place.dbn("import x_params.dat --out new --force").done();
    assert!(!place.path("new/model.safetensors").exists());
    place.dbn("inspect new").done();
    place.dbn("import sklearn.npz --out new --force").done();
    assert!(!place.path("new/machine.safetensors").exists());
    place.dbn("inspect new").done();
    // A small file is no large machine: 60,000 columns would be 3.6e9 couplings.
    let fields: String = (0..30_000).map(|site| format!("h {site} A 0\nh {site} B 1\n")).collect();
    place.write("long_params.dat", format!("J 0 1 A B 2\n{fields}"));
    place
        .dbn("import long_params.dat --out long")
        .failed(&["long_params.dat", "couplings in a file of this length"]);
    assert!(!place.path("long").exists());
    assert_eq!(place.dbn("import stack.pt --map W --out other").code, Some(2));
}
