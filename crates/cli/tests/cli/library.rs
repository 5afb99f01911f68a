//! The library gives what the program does: a model's features are those of `dbn embed`, whatever is done to data first.

use candle_core::{Device, Module, Tensor};
use candle_dbn::Model;

use crate::common::{Place, SplitMix, npy, read_npy};

const CASES: usize = 40;

/// The numbers of `data.csv`, but for its header.
fn rows(csv: &str) -> Vec<Vec<f32>> {
    let values = |line: &str| line.split(',').map(|x| x.parse().unwrap_or(f32::NAN)).collect();
    csv.lines().skip(1).map(values).collect()
}

fn tensor(rows: &[Vec<f32>]) -> Tensor {
    let shape = (rows.len(), rows[0].len());
    Tensor::from_vec(rows.concat(), shape, &Device::Cpu).unwrap()
}

fn bits(x: &Tensor) -> Vec<u32> {
    let values = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

/// `CASES` rows of what `value` makes of a row's and a column's number and of a random number below one.
fn made(columns: usize, value: impl Fn(usize, usize, f64) -> f64) -> Vec<Vec<f32>> {
    let mut random = SplitMix(5);
    let mut case = |i| (0..columns).map(|j| value(i, j, random.uniform()) as f32).collect();
    (0..CASES).map(&mut case).collect()
}

/// Trains on `rows` with `words`, and holds what the library makes of the same numbers against `dbn embed`, on `more` words.
fn agrees(rows: &[Vec<f32>], words: &str, more: &str) -> Model {
    let place = Place::new();
    place.write("x.npy", npy(rows));
    agrees_at(&place, "x.npy", rows, words, more)
}

fn agrees_at(place: &Place, file: &str, rows: &[Vec<f32>], words: &str, more: &str) -> Model {
    let quick = "--unsupervised --layers 7,5 --set layers.*.epochs=2 --no-pictures --out run";
    place.dbn(&format!("train {file} {quick} {words}")).done();
    place.dbn(&format!("embed run {file} {more} --cases all --layer all --out f.npy")).done();
    place.dbn(&format!("embed run {file} {more} --cases all --layer top --out top.npy")).done();
    let model = Model::load(place.path("run"), &Device::Cpu).unwrap();
    let values = model.encode(&tensor(rows)).unwrap();
    let features = model.features(&values).unwrap();
    let (shape, expected) = read_npy(&place.read("f.npy"));
    assert_eq!(shape, [rows.len() as u64, 12], "{words}");
    let expected: Vec<u32> = expected.into_iter().map(f32::to_bits).collect();
    assert_eq!(bits(&Tensor::cat(&features, 1).unwrap()), expected, "{words}");
    let top: Vec<u32> = read_npy(&place.read("top.npy")).1.into_iter().map(f32::to_bits).collect();
    assert_eq!(bits(&model.forward(&values).unwrap()), top, "{words}");
    // Features of the network alone are others where anything is done first.
    let without = model.dbn.features(&values).unwrap();
    let is_other = bits(&Tensor::cat(&without, 1).unwrap()) != expected;
    assert_eq!(is_other, model.standardise.is_some() || model.missing.is_some(), "{words}");
    model
}

#[test]
fn features_are_those_of_embed_to_the_bit() {
    // Nothing is done to zeros and ones.
    let binary = made(9, |i, j, u| f64::from(u8::from(u < 0.2 + 0.5 * ((i + j) % 2) as f64)));
    agrees(&binary, "", "");

    // Measurements are standardised, or brought between their extremes.
    let measured = made(6, |i, j, u| ((i % 3) as f64 + u) * 10f64.powi(j as i32 - 2) - 3.0);
    assert!(agrees(&measured, "", "").standardise.is_some());
    assert!(agrees(&measured, "--min-max", "").config().min_max);

    // Pixels are divided by what the model learned, whether it was found or said; numbers that are not are refused.
    let pixels = made(64, |_, j, u| (256.0 * u).floor().min(255.0) * f64::from(u8::from(j != 3)));
    for words in ["", "--scale 255"] {
        let model = agrees(&pixels, words, "");
        assert_eq!(model.preprocessing.as_ref().unwrap().scale, 255.0, "{words}");
        let refused = model.forward(&tensor(&pixels)).unwrap_err().to_string();
        assert!(refused.contains("Model::encode") && refused.contains("[0, 1]"), "{refused}");
        let divided = model.encode(&tensor(&pixels)).unwrap();
        let refused = model.encode(&divided).unwrap_err().to_string();
        assert!(refused.contains("divided already"), "{refused}");
    }

    // Codes become Potts units: said for all, or found in a table's columns.
    let codes = made(5, |i, _, u| (3.0 * (0.5 * u + 0.5 * (i % 2) as f64)).floor());
    let model = agrees(&codes, "--one-hot 3 --visible potts(3)", "--one-hot 3");
    let refused = model.forward(&tensor(&codes)).unwrap_err().to_string();
    assert!(refused.contains("15 values a case"), "{refused}");
    let wrong = model.encode(&tensor(&[vec![7.0; 5]])).unwrap_err().to_string();
    assert!(wrong.contains("from 0 to 2") && wrong.contains('7'), "{wrong}");
    let mixed = made(4, |i, j, u| match j {
        0 => (4.0 * u).floor() + f64::from(u8::from(i == 0)) * 0.0,
        _ => u * 100.0,
    });
    let place = Place::new();
    let lines = mixed
        .iter()
        .map(|row| row.iter().map(ToString::to_string).collect::<Vec<_>>().join(",") + "\n");
    place.write("t.csv", format!("kind,a,b,c\n{}", lines.collect::<String>()));
    let model = agrees_at(&place, "t.csv", &rows(&place.text("t.csv")), "--categories kind", "");
    assert_eq!(model.config().visible.width(), 7);
}

/// A table of words, in another order of its columns: the model reads it as it learned, and says the same classes.
#[test]
fn another_table_is_read_as_the_model_learned() {
    let place = Place::new();
    let line = |i: usize, is_turned: bool| {
        let (colour, size) =
            (["red", "green", "blue"][i % 3], (i * 7 % 11) as f64 + (i % 3) as f64 * 9.0);
        let class = ["ash", "oak", "elm"][i % 3];
        match is_turned {
            true => format!("{size},{colour}\n"),
            false => format!("{colour},{size},{class}\n"),
        }
    };
    let text = |is_turned| (0..60).map(|i| line(i, is_turned)).collect::<String>();
    place.write("t.csv", format!("colour,size,label\n{}", text(false)));
    place.write("new.csv", format!("size,colour\n{}", text(true)));
    let quick = "--layers 7 --set layers.*.epochs=3 --set classifier.batch_size=5 --set classifier.epochs=60 --no-pictures --out run";
    place.dbn(&format!("train t.csv {quick}")).done();
    place.dbn("embed run new.csv --layer all --out f.npy").done();
    place.dbn("embed run new.csv --layer classes --out classes.npy").done();
    let model = Model::load(place.path("run"), &Device::Cpu).unwrap();
    let source = place.path("new.csv").display().to_string();
    let data =
        candle_dbn::data::load(&source, &model.options(&source, Default::default())).unwrap();
    let x = data.train.cases.tensor().unwrap();
    let expected: Vec<u32> =
        read_npy(&place.read("f.npy")).1.into_iter().map(f32::to_bits).collect();
    assert_eq!(bits(&model.forward(&x).unwrap()), expected);
    let classes: Vec<u32> =
        read_npy(&place.read("classes.npy")).1.into_iter().map(|x| x as u32).collect();
    assert_eq!(model.predict(&x).unwrap(), classes);
    assert!(classes.iter().any(|&class| class != classes[0]), "{classes:?}");
}

/// What is missing is filled in as while learning; without that it is refused.
#[test]
fn missing_values_are_filled_in_as_by_embed() {
    let place = Place::new();
    let measured = made(5, |i, j, u| ((i % 3) as f64 + u) * (j + 1) as f64);
    let line = |(i, row): (usize, &Vec<f32>)| -> String {
        let cell = |(j, x): (usize, &f32)| {
            if (i + j) % 11 == 3 { String::new() } else { x.to_string() }
        };
        row.iter().enumerate().map(cell).collect::<Vec<_>>().join(",") + "\n"
    };
    let text: String = measured.iter().enumerate().map(line).collect();
    place.write("t.csv", format!("a,b,c,d,e\n{text}"));
    let rows = rows(&place.text("t.csv"));
    assert!(rows.iter().flatten().any(|x| x.is_nan()));
    for how in ["mean", "gibbs"] {
        let model = agrees_at(&place, "t.csv", &rows, &format!("--missing {how}"), "");
        assert!(model.missing.is_some());
        std::fs::remove_dir_all(place.path("run")).unwrap();
        for name in ["f.npy", "top.npy"] {
            std::fs::remove_file(place.path(name)).unwrap();
        }
    }
    let whole = agrees(&measured, "", "");
    let refused = whole.forward(&tensor(&rows)).unwrap_err().to_string();
    assert!(refused.contains("NaN"), "{refused}");
}
