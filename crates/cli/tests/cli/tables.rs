//! Tables from the outside: names travel with the model, other tables are read alike, and what is missing is dealt with.

use std::fmt::Write;

use crate::common::{Place, SplitMix, read_npy};

/// Cases of two classes, `ant` and `bee`: a measurement, a colour that tells much, a grade, and one column that says nothing.
fn insects() -> Vec<[String; 5]> {
    let mut random = SplitMix(5);
    let case = |i: usize| {
        let bee = i % 2 == 1;
        let size = 300.0 + 40.0 * f64::from(u8::from(bee)) + 60.0 * random.uniform();
        let colour = match (bee != (random.uniform() < 0.1), random.below(2)) {
            (true, _) => "yellow",
            (false, 0) => "black",
            (false, _) => "red",
        };
        let class = if bee { "bee" } else { "ant" };
        let noise = 1000.0 * random.uniform();
        let grade = 1 + random.below(3);
        [
            format!("{size:.2}"),
            colour.into(),
            grade.to_string(),
            format!("{noise:.1}"),
            class.into(),
        ]
    };
    (0..120).map(case).collect()
}

const NAMES: [&str; 5] = ["size", "colour", "grade", "noise", "class"];

/// The columns `order` as text.
fn text(order: [usize; 5], separator: &str) -> String {
    let line = |cells: Vec<&str>| cells.join(separator) + "\n";
    let mut text = line(order.map(|at| NAMES[at]).to_vec());
    insects().iter().for_each(|case| text += &line(order.map(|at| &case[at][..]).to_vec()));
    text
}

fn trained() -> Place {
    let place = Place::new();
    place.write("insects.csv", text([0, 1, 2, 3, 4], ","));
    let said = place.dbn("train insects.csv --no-pictures --out run").done();
    for words in
        ["the classes are ant, bee", "`colour` of 3", "`grade` of 3", "mean 0 and deviation 1"]
    {
        assert_eq!(said.err.matches(words).count(), 1, "{words:?} is said once: {}", said.err);
    }
    place
}

fn error(place: &Place, words: &str) -> f64 {
    let said = place.dbn(&format!("evaluate {words} --json")).done().out;
    serde_json::from_str::<serde_json::Value>(&said).unwrap()["error_percent"].as_f64().unwrap()
}

#[test]
fn names_travel_with_the_model() {
    let place = trained();
    let config = place.json("run/config.json");
    assert_eq!(config["class_names"], serde_json::json!(["ant", "bee"]));
    assert_eq!(config["columns"][1]["holds"]["category"][2], "yellow");
    let all = error(&place, "run insects.csv --cases all");
    assert!(all < 15.0, "{all} %");
    // Another order, another separator, one column more: the same cases.
    place.write("other.tsv", text([3, 1, 4, 0, 2], "\t"));
    assert_eq!(error(&place, "run other.tsv --cases all"), all);
    let said = place.dbn("evaluate run other.tsv --cases all").done();
    assert!(said.err.contains("order that the model"), "{}", said.err);
    for words in ["ant", "bee", "precision", "recall", "→ bee"] {
        assert!(said.out.contains(words), "{words} is not in {}", said.out);
    }
    // What it never learned is refused by name.
    place.write("purple.csv", text([0, 1, 2, 3, 4], ",").replace("yellow", "purple"));
    place.dbn("evaluate run purple.csv").failed_in_the_end(&[
        "column 2",
        "`black`, `red`, `yellow`",
        "`purple`",
    ]);
    place.write("renamed.csv", text([0, 1, 2, 3, 4], ",").replace("noise", "sound"));
    place.dbn("evaluate run renamed.csv").failed_in_the_end(&["also `noise`", "`sound`"]);
    place.write("cow.csv", text([0, 1, 2, 3, 4], ",").replace("bee\n", "cow\n"));
    place.dbn("evaluate run cow.csv").failed_in_the_end(&["ant, bee", "`cow`"]);
}

#[test]
fn classes_and_probabilities_are_written_by_name() {
    let place = trained();
    place.dbn("embed run --layer classes --out classes.csv").done();
    let classes = place.text("classes.csv");
    let right = classes.lines().skip(1).filter(|line| {
        let cells: Vec<_> = line.split(',').collect();
        assert!(["ant", "bee"].contains(&cells[2]), "{line}");
        cells[1] == cells[2]
    });
    assert!(right.count() > 100);
    place.dbn("embed run --layer probabilities --out p.csv").done();
    let text = place.text("p.csv");
    assert!(text.starts_with("row,label,probability_ant,probability_bee\n"), "{text}");
    for line in text.lines().skip(1) {
        let shares: Vec<f64> = line.split(',').skip(2).map(|cell| cell.parse().unwrap()).collect();
        assert!((shares[0] + shares[1] - 1.0).abs() < 1e-5, "{line}");
    }
    place.dbn("embed run --layer classes --out classes.parquet").done();
    place.dbn("embed run --layer 1 --out features.parquet").done();
    // What embed writes is a table again, with its labels by name.
    let said = place.dbn("train features.parquet --no-pictures --out again --set layers.0.epochs=1 --set classifier.epochs=1").done();
    assert!(said.err.contains("the classes are ant, bee"), "{}", said.err);
    place
        .dbn("embed run --layer prediction --out x.csv")
        .failed(&["a model that predicts a target"]);
}

#[test]
fn pictures_in_a_table_need_no_options() {
    let place = Place::new();
    let mut random = SplitMix(3);
    let header: String = (0..16).fold("label".into(), |text, i| text + &format!(",pixel{i}"));
    let mut text = header + "\n";
    for i in 0..100usize {
        write!(text, "{}", i % 2).unwrap();
        for j in 0..16 {
            let lit = (j < 8) == (i % 2 == 0);
            write!(text, ",{}", random.below(60) + if lit { 190 } else { 0 }).unwrap();
        }
        text += "\n";
    }
    place.write("digits.csv", &text);
    let settings = "--set layers.*.hidden=8 --set layers.*.epochs=5 --set classifier.epochs=20";
    let said = place.dbn(&format!("train digits.csv --out run {settings}")).done();
    assert!(
        said.err.contains("taken for pixels, of pictures of 4 × 4, and divided by 255"),
        "{}",
        said.err
    );
    let config = place.json("run/config.json");
    assert_eq!(
        (&config["image"], &config["preprocessing"]["scale"]),
        (&serde_json::json!([4, 4]), &serde_json::json!(255.0))
    );
    let own = error(&place, "run --cases all");
    let said = place.dbn("evaluate run digits.csv --cases all --json").done();
    assert_eq!(said.err.matches("divided by 255").count(), 1, "{}", said.err);
    assert_eq!(error(&place, "run digits.csv --cases all"), own);
    assert!(own < 10.0, "{own}");
}

#[test]
fn what_was_done_to_the_columns_is_done_again() {
    let place = Place::new();
    place.write("insects.csv", text([0, 1, 2, 3, 4], ","));
    place.dbn("train insects.csv --min-max --no-pictures --out run --set layers.*.epochs=3 --set classifier.epochs=3").done();
    let reconstruction = |words: &str| {
        let said = place.dbn(&format!("evaluate {words} --cases all --json")).done().out;
        let json: serde_json::Value = serde_json::from_str(&said).unwrap();
        json["layers"][0]["data_reconstruction_error"].as_f64().unwrap()
    };
    let own = reconstruction("run");
    assert_eq!(reconstruction("run insects.csv"), own);
    assert!(own < 0.3, "{own}");
    let config = place.json("run/config.json");
    assert_eq!(
        (&config["min_max"], config["visible"].to_string().contains("gaussian")),
        (&serde_json::json!(true), false)
    );
    // Beyond the extremes of the training cases values are cut off, not refused.
    place.write("large.csv", text([0, 1, 2, 3, 4], ",").replace("\n3", "\n93"));
    place.dbn("evaluate run large.csv").done();
}

#[test]
fn missing_values_are_refused_or_learned_from() {
    let place = Place::new();
    let mut random = SplitMix(8);
    let holed: String = text([0, 1, 2, 3, 4], ",")
        .lines()
        .enumerate()
        .map(|(i, line)| {
            let mut cells: Vec<_> = line.split(',').collect();
            if i > 0 && random.below(4) == 0 {
                cells[random.below(3) as usize] = "NA";
            }
            cells.join(",") + "\n"
        })
        .collect();
    place.write("holed.csv", holed);
    place.dbn("train holed.csv").failed(&["empty cells in 120 cases", "--missing gibbs"]);
    for how in ["mean", "gibbs"] {
        place.dbn(&format!("train holed.csv --missing {how} --out {how}")).done();
        assert!(error(&place, &format!("{how} --cases all")) < 20.0, "{how}");
        let said = place.dbn(&format!("evaluate {how} holed.csv")).done();
        assert!(said.err.contains("missing values are filled in"), "{}", said.err);
        place.dbn(&format!("embed {how} --layer data --out {how}.csv")).done();
        assert!(!place.text(&format!("{how}.csv")).contains("NaN"));
    }
    place.dbn("evaluate gibbs --likelihood").failed_in_the_end(&["without missing values"]);
}

#[test]
fn a_target_is_predicted_in_its_own_units() {
    let place = Place::new();
    let mut random = SplitMix(2);
    let mut table = String::from("a,b,price\n");
    for _ in 0..150 {
        let (a, b) = (random.uniform(), random.uniform());
        writeln!(table, "{:.4},{:.4},{:.3}", 10.0 * a, b, 5000.0 + 300.0 * a - 200.0 * b).unwrap();
    }
    place.write("prices.csv", &table);
    let said = place.dbn("train prices.csv --target price --no-pictures --out run").done().out;
    let numbers: Vec<f64> = said
        .split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .filter_map(|word| word.parse().ok())
        .collect();
    let [rmse, of_mean] = numbers[numbers.len() - 2..] else { panic!("{said}") };
    assert!(rmse < 0.5 * of_mean && of_mean > 50.0, "{said}");
    let evaluated = place.dbn("evaluate run --json").done().out;
    let evaluated: serde_json::Value = serde_json::from_str(&evaluated).unwrap();
    assert!((evaluated["rmse"].as_f64().unwrap() - rmse).abs() < 1e-3, "{evaluated}");
    let kept = place.json("run/results.json")["measured"][0]["numbers"][0].clone();
    assert_eq!(
        (&kept["name"], &kept["unit"]),
        (&"root mean squared error".into(), &"of the target".into())
    );
    assert!((kept["value"].as_f64().unwrap() - rmse).abs() < 1e-3, "{kept}");
    place.dbn("embed run --layer prediction --out p.csv").done();
    let squares: f64 = table
        .lines()
        .zip(place.text("p.csv").lines())
        .skip(1)
        .map(|(case, line)| {
            let last = |text: &str| text.rsplit(',').next().unwrap().parse::<f64>().unwrap();
            (last(case) - last(line)).powi(2)
        })
        .sum();
    assert!((squares / 150.0).sqrt() < 0.5 * of_mean);
    // Scores tell the same of each case.
    place.dbn("score run --out s.csv").done();
    let predictions = |name: &str| -> Vec<String> {
        let text = place.text(name);
        text.lines().map(|line| line.rsplit(',').next().unwrap().to_owned()).collect()
    };
    assert_eq!(predictions("s.csv")[1..], predictions("p.csv")[1..]);
    assert_eq!(predictions("s.csv")[0], "prediction");
    // Found by its name and its fractions; and told apart from a label.
    place.write("y.csv", table.replace("price", "y"));
    let said = place.dbn("train y.csv --no-pictures --out found --set layers.0.epochs=1").done();
    assert!(
        said.err.contains("column `y` holds measurements") && said.out.contains("RMSE"),
        "{said:?}"
    );
    // Whoever predicts a column learns from all others, whatever they are called.
    let classed: String = table
        .lines()
        .enumerate()
        .map(|(i, line)| {
            format!("{line},{}\n", if i == 0 { "class".into() } else { (i % 3).to_string() })
        })
        .collect();
    place.write("classed.csv", classed);
    let said = place
        .dbn("train classed.csv --target price --no-pictures --out classed --set layers.0.epochs=1")
        .done();
    assert!(said.err.contains("`class` of 3") && !said.err.contains("is the label"), "{said:?}");
    // Cases without it are predicted too.
    place.write("new.csv", "b,a\n0.5,5\n");
    place.dbn("embed run new.csv --layer prediction --out new-p.csv").done();
}

#[test]
fn one_class_is_nothing_to_tell_apart() {
    let place = Place::new();
    place.write("one.csv", "a,label\n".to_owned() + &"0.5,3\n2.5,3\n".repeat(20));
    let said = place.dbn("train one.csv --no-pictures --out run --set layers.0.epochs=1").done();
    assert!(
        said.err.contains("the same label") && !said.out.contains("held-out error"),
        "{said:?}"
    );
    place.dbn("train one.csv --recipe mnist").failed_in_the_end(&["the same label for all cases"]);
}

#[test]
fn a_class_is_asked_for_by_its_name() {
    let place = Place::new();
    place.write("insects.csv", text([0, 1, 2, 3, 4], ","));
    let words = "--set labels=true --set layers.0.epochs=2 --no-pictures --out run";
    place.dbn(&format!("train insects.csv {words}")).done();
    place.dbn("sample run --label bee --count 3 --steps 5 --out samples").done();
    place.dbn("sample run --label cow --out no").failed(&["one of ant, bee", "found cow"]);
}

#[test]
fn counts_are_documents() {
    let place = Place::new();
    let mut random = SplitMix(6);
    let line = |i: usize| {
        let words: Vec<_> =
            (0..3).map(|j| 1 + 5 * (i % 2) as u64 + j + random.below(2) * 2).collect();
        let mut counts = std::collections::BTreeMap::new();
        words.iter().for_each(|word| *counts.entry(word).or_insert(1) += 1);
        let pairs: String = counts.iter().map(|(word, count)| format!(" {word}:{count}")).collect();
        format!("{}{pairs}\n", i % 2)
    };
    place.write("docs.svm", (0..80).map(line).collect::<String>());
    let said = place
        .dbn("train docs.svm --no-pictures --out run --layers 10 --set layers.*.epochs=2")
        .done();
    assert!(said.err.contains("--visible multinomial"), "{}", said.err);
    assert_eq!(place.json("run/config.json")["visible"]["kind"], "multinomial");
}

#[test]
fn a_part_of_a_table_is_held_by_the_names_of_its_columns() {
    let place = trained();
    let sample = |keep: &str| {
        place.dbn(&format!(
            "sample run --clamp insects.csv --count 4 --steps 3 --out s --force --keep {keep}"
        ))
    };
    // `size` is one value, `colour` three, `grade` three.
    for keep in ["colour,grade", "1..3"] {
        sample(keep).done();
        let (_, values) = read_npy(&place.read("s/samples.npy"));
        for (case, row) in insects().iter().zip(values.chunks(8)) {
            let colour =
                ["black", "red", "yellow"].map(|colour| f32::from(u8::from(colour == case[1])));
            let grade = ["1", "2", "3"].map(|grade| f32::from(u8::from(grade == case[2])));
            assert_eq!((&row[1..4], &row[4..7]), (&colour[..], &grade[..]), "{keep}");
        }
    }
    sample("color").misused(&["--keep", "\"color\"", "colour=red"]);
    sample("0..9").failed_in_the_end(&["columns below 4"]);
}

#[test]
fn one_case_is_nothing_to_learn_from() {
    let place = Place::new();
    place.write("one.csv", "a,b\n1.5,2\n");
    place.dbn("train one.csv --out run").failed_in_the_end(&["at least 2 cases", "found 1"]);
    assert!(!place.path("run").exists());
}
