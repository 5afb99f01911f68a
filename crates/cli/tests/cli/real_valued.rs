//! Measurements work without knowing anything: rates that nobody named, the recipe of tables, and what is said of a training that
//! came to nothing.

use crate::common::{Place, SplitMix, csv, data, metrics};

/// The seeds of the acceptance.
const SEEDS: std::ops::Range<u64> = 0..5;

/// A table: cases of measurements, and the class of each.
struct Table {
    rows: Vec<Vec<f64>>,
    labels: Vec<usize>,
    classes: usize,
}

/// A normal number (Box and Muller 1958).
fn normal(random: &mut SplitMix) -> f64 {
    let radius = (-2.0 * (1.0 - random.uniform()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.uniform()).cos()
}

impl Table {
    /// As the wines of UCI: 178 cases of 13 measurements on scales of their own, three classes that lie apart.
    fn like_wine() -> Self {
        let mut random = SplitMix(1);
        let centres: Vec<Vec<f64>> =
            (0..3).map(|_| (0..13).map(|_| 1.1 * normal(&mut random)).collect()).collect();
        Self::of(178, 3, &mut random, |class, random| {
            (0..13).map(|j| centres[class][j] + normal(random)).collect()
        })
    }

    /// As the breast cancers of UCI: 569 cases of 30 measurements that are mostly three, two classes that overlap a little.
    fn like_cancer() -> Self {
        let mut random = SplitMix(2);
        let loads: Vec<[f64; 3]> = (0..30).map(|_| [(); 3].map(|()| normal(&mut random))).collect();
        Self::of(569, 2, &mut random, |class, random| {
            let factors = [2.4 * class as f64 + normal(random), normal(random), normal(random)];
            let value = |load: &[f64; 3], random: &mut SplitMix| {
                load.iter().zip(factors).map(|(a, b)| a * b).sum::<f64>() + 0.7 * normal(random)
            };
            loads.iter().map(|load| value(load, random)).collect()
        })
    }

    /// Four classes of four Gaussian clusters each, which no plane tells apart.
    fn of_clusters() -> Self {
        let mut random = SplitMix(3);
        let centres: Vec<Vec<f64>> =
            (0..16).map(|_| (0..6).map(|_| 2.5 * normal(&mut random)).collect()).collect();
        Self::of(1000, 4, &mut random, |class, random| {
            let centre = &centres[class + 4 * random.below(4) as usize];
            centre.iter().map(|x| x + normal(random)).collect()
        })
    }

    /// `cases` of `classes` in turn, every column brought to a scale and place of its own.
    fn of(
        cases: usize,
        classes: usize,
        random: &mut SplitMix,
        mut draw: impl FnMut(usize, &mut SplitMix) -> Vec<f64>,
    ) -> Self {
        let labels: Vec<usize> = (0..cases).map(|i| i % classes).collect();
        let mut rows: Vec<Vec<f64>> = labels.iter().map(|&class| draw(class, random)).collect();
        for j in 0..rows[0].len() {
            let (scale, place) = (10f64.powf(3.0 * random.uniform() - 1.0), 20.0 * normal(random));
            rows.iter_mut().for_each(|row| row[j] = scale * row[j] + place);
        }
        Self { rows, labels, classes }
    }

    fn csv(&self) -> String {
        let header = (0..self.rows[0].len()).map(|j| format!("x{j},")).collect::<String>();
        let lines = self.rows.iter().zip(&self.labels).map(|(row, label)| {
            row.iter().map(|x| format!("{x:.5},")).collect::<String>() + &format!("{label}\n")
        });
        format!("{header}label\n{}", lines.collect::<String>())
    }

    /// The error, in percent, of a logistic regression on standardised columns that learns from all but every fifth case of each
    /// class, on these: gradient ascent with a little decay.
    fn error_of_logistic_regression(&self) -> f64 {
        let (n, width, classes) = (self.rows.len(), self.rows[0].len(), self.classes);
        let mut seen = vec![0; classes];
        let is_held_out: Vec<bool> = self
            .labels
            .iter()
            .map(|&label| {
                seen[label] += 1;
                seen[label] % 5 == 0
            })
            .collect();
        let learned: Vec<usize> = (0..n).filter(|&i| !is_held_out[i]).collect();
        let mut x = self.rows.clone();
        for j in 0..width {
            let of = |f: &dyn Fn(f64) -> f64| {
                learned.iter().map(|&i| f(self.rows[i][j])).sum::<f64>() / learned.len() as f64
            };
            let mean = of(&|x| x);
            let deviation = of(&|x| (x - mean).powi(2)).sqrt();
            x.iter_mut().for_each(|row| row[j] = (row[j] - mean) / deviation);
        }
        x.iter_mut().for_each(|row| row.push(1.0));
        let mut weights = vec![vec![0.0; width + 1]; classes];
        let scores = |weights: &[Vec<f64>], row: &[f64]| -> Vec<f64> {
            weights.iter().map(|w| w.iter().zip(row).map(|(a, b)| a * b).sum()).collect()
        };
        for _ in 0..300 {
            let mut step = vec![vec![0.0; width + 1]; classes];
            for &i in &learned {
                let scores = scores(&weights, &x[i]);
                let largest = scores.iter().copied().fold(f64::MIN, f64::max);
                let total: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
                for (class, score) in scores.iter().enumerate() {
                    let p = (score - largest).exp() / total;
                    let slope = f64::from(u8::from(self.labels[i] == class)) - p;
                    step[class].iter_mut().zip(&x[i]).for_each(|(s, x)| *s += slope * x);
                }
            }
            for (w, s) in weights.iter_mut().flatten().zip(step.iter().flatten()) {
                *w += 0.3 * (s / learned.len() as f64 - 1e-3 * *w);
            }
        }
        let held_out: Vec<usize> = (0..n).filter(|&i| is_held_out[i]).collect();
        let is_wrong = |&&i: &&usize| {
            let scores = scores(&weights, &x[i]);
            (0..classes).any(|class| scores[class] > scores[self.labels[i]])
        };
        100.0 * held_out.iter().filter(is_wrong).count() as f64 / held_out.len() as f64
    }
}

/// The mean held-out error of the seeds, with no options but the file.
fn error_of(place: &Place, file: &str) -> f64 {
    let errors = SEEDS.map(|seed| {
        let fixed = "--no-pictures --no-monitor";
        let said =
            place.dbn(&format!("train {file} --seed {seed} --out {file}-{seed} {fixed}")).done();
        let (_, error) =
            said.out.split_once("held-out error ").unwrap_or_else(|| panic!("{said:?}"));
        error.trim_end_matches(['%', ' ', '\n']).parse::<f64>().unwrap()
    });
    errors.sum::<f64>() / SEEDS.count() as f64
}

/// At most logistic regression and two points where a plane does it, ten points better where none does.
#[test]
fn a_table_is_learned_without_any_options() {
    let place = Place::new();
    for (name, table, at_most) in [
        ("wine.csv", Table::like_wine(), 2.0),
        ("cancer.csv", Table::like_cancer(), 2.0),
        ("clusters.csv", Table::of_clusters(), -10.0),
    ] {
        place.write(name, table.csv());
        let (plain, ours) = (table.error_of_logistic_regression(), error_of(&place, name));
        println!("{name}: {ours:.2} %, logistic regression {plain:.2} %");
        assert!(ours <= plain + at_most, "{name}: {ours} against {plain}");
    }
}

/// The breast cancers themselves, where the files are.
#[test]
fn breast_cancers_are_told_apart() {
    let file =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases/cancer.csv");
    let Ok(text) = std::fs::read_to_string(&file) else {
        return println!("skipped: there is no {}", file.display());
    };
    let place = Place::new();
    let parsed: Vec<Vec<f64>> =
        text.lines().skip(1).map(|l| l.split(',').map(|x| x.parse().unwrap()).collect()).collect();
    let (rows, labels) = parsed.iter().map(|row| (row[..30].to_vec(), row[30] as usize)).unzip();
    let plain = Table { rows, labels, classes: 2 }.error_of_logistic_regression();
    place.write("cancer.csv", text);
    let ours = error_of(&place, "cancer.csv");
    assert!(ours <= plain + 2.0, "{ours} against {plain}");
}

/// The last line of a layer in the metrics of a run.
fn last_of_layer(place: &Place, run: &str) -> serde_json::Value {
    let lines = metrics(&place.path(run));
    lines.into_iter().rfind(|line| line["stage"] == "layer 1").unwrap()
}

/// Catches a rate that was made for other units or another method, and one that is chosen without a word.
#[test]
fn rates_follow_units_and_method_unless_somebody_names_them() {
    let place = Place::new();
    let fixed = "train digits --unsupervised --no-pictures --no-evaluation";
    let said = place
        .dbn(&format!(
            "{fixed} --visible gaussian --layers 100 --set layers.0.epochs=3 --out gaussian"
        ))
        .done();
    assert_eq!(said.err.matches("learning rates by units and method").count(), 1, "{said:?}");
    let recipe: toml::Value = toml::from_str(&place.text("gaussian/recipe.toml")).unwrap();
    let layer = &recipe["layers"][0];
    assert_eq!(layer["learning_rate"].as_float(), Some(0.01));
    assert_eq!(layer["centre"].as_bool(), Some(true));
    let found = last_of_layer(&place, "gaussian");
    let (error, means) = (found["reconstruction_error"].as_f64(), found["means_error"].as_f64());
    assert!(error < means, "{found}");

    // At the rate of contrastive divergence persistent chains fall behind, and units die.
    let words = "--layers 60 --set layers.*.method=pcd --set layers.*.epochs=20";
    place.dbn(&format!("{fixed} {words} --out pcd")).done();
    let found = last_of_layer(&place, "pcd");
    assert!(found["dead_units"].as_u64().unwrap() < 6, "{found}");
    assert!(found["pseudo_likelihood"].as_f64().unwrap() > -23.0, "{found}");
    let named =
        place.dbn(&format!("{fixed} {words} --set layers.*.learning_rate=0.05 --out named"));
    assert!(!named.done().err.contains("learning rates by"), "somebody named it");

    // What was made for its own units is left alone.
    let own = place.dbn(&format!("{fixed} --set layers.*.epochs=1 --out own")).done();
    assert!(!own.err.contains("learning rates by"), "{own:?}");
    let recipe: toml::Value = toml::from_str(&place.text("own/recipe.toml")).unwrap();
    assert_eq!(recipe["layers"][0]["learning_rate"].as_float(), Some(0.05));
    assert_eq!(recipe["layers"][0]["centre"].as_bool(), Some(false));
}

/// Weights that are still numbers, and a machine that means nothing.
/// Moments in double precision, and where single precision does not hold the differences, an error that names the column.
#[test]
fn the_largest_numbers_are_standardised_or_refused_by_column() {
    let place = Place::new();
    let mut random = SplitMix(6);
    let mut table = |size: f64| -> String {
        let case = |_| format!("{:.3},{:e}\n", random.uniform(), size * (random.uniform() - 0.5));
        (0..60).map(case).collect()
    };
    place.write("large.csv", table(1e30));
    place.write("too-large.csv", table(6.5e38));
    let words = "--unsupervised --no-pictures --out";
    place.dbn(&format!("train large.csv {words} large")).done();
    place.dbn("evaluate large").done();
    for scaling in ["--standardise", "--min-max"] {
        place
            .dbn(&format!("train too-large.csv {scaling} {words} no"))
            .failed_in_the_end(&["column 2", "apart"]);
    }
}

#[test]
fn energies_and_losses_beyond_all_measure_are_divergence() {
    let place = Place::new();
    let mut random = SplitMix(5);
    let mut family = vec![String::new(); 100];
    for sequence in &mut family {
        let letters = (0..48).map(|_| b"ACDEFGHIKLMNPQRSTVWY"[random.below(20) as usize]);
        sequence.extend(letters.map(char::from));
    }
    let fasta = family.iter().enumerate().map(|(i, sequence)| format!(">{i}\n{sequence}\n"));
    place.write("family.fasta", fasta.collect::<String>());
    let fixed = "--unsupervised --no-pictures --no-evaluation";
    let rate = "--set layers.0.learning_rate=0.3 --set layers.0.momentum=0.9";
    let words = "--visible potts(21) --hidden gaussian:50 --set layers.0.epochs=2 --set layers.0.steps=1 \
                 --set layers.0.method.pcd.chains=10 --set layers.0.batch_size=10";
    let answer = place.dbn(&format!("train family.fasta {fixed} {words} {rate} --out potts"));
    answer.failed_in_the_end(&[
        "diverged in layer 1",
        "lower the learning rate",
        "layers.0.learning_rate=",
    ]);
    // With the rate that is chosen it does not.
    place.dbn(&format!("train family.fasta {fixed} {words} --out chosen")).done();

    let words = "--visible gaussian --no-standardise --layers 8,gaussian:8 --set layers.*.epochs=1 \
                 --set layers.*.learning_rate=0.0001 --set autoencoder.epochs=1 --set autoencoder.optimizer=sgd \
                 --set autoencoder.learning_rate=30";
    let answer =
        place.dbn(&format!("train data.csv --unsupervised --no-pictures {words} --out loss"));
    answer.failed_in_the_end(&["diverged in autoencoder", "loss", "autoencoder.learning_rate="]);
}

/// Catches a training that comes to nothing without a word: dead units, and a reconstruction that is worse than the means.
#[test]
fn a_layer_that_has_learned_nothing_is_warned_of() {
    let place = Place::new();
    let mut cases = data(2, 0.1);
    for (values, _) in &mut cases {
        values
            .iter_mut()
            .enumerate()
            .for_each(|(j, value)| *value = 700.0 * *value + 40.0 * j as f32);
    }
    place.write("wide.csv", csv(&cases));
    let words = "--no-standardise --visible gaussian --layers 20 --set layers.0.epochs=3 --no-pictures \
                 --set layers.0.learning_rate=0.5 --set layers.0.centre=false";
    let said = place.dbn(&format!("train wide.csv {words} --out run")).done();
    let warnings: Vec<_> = said.err.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert!(warnings.iter().any(|line| line.contains("layer 1: ")), "{said:?}");
    assert!(said.err.contains("of 20 hidden units are dead"), "{said:?}");
    let last = last_of_layer(&place, "run");
    assert!(!last["warnings"].as_array().unwrap().is_empty(), "{last}");
    // Standardised, there is nothing to warn of.
    let said = place.dbn("train wide.csv --layers 20 --no-pictures --out standardised").done();
    assert!(!said.err.contains("warning"), "{said:?}");
}

/// Labels that do not follow from the data, nine tenths of them the same.
#[test]
fn a_classifier_that_knows_nothing_is_warned_of() {
    let place = Place::new();
    let mut cases = data(2, 0.5);
    cases.iter_mut().enumerate().for_each(|(i, (_, label))| *label = usize::from(i % 10 == 0));
    place.write("noise.csv", csv(&cases));
    let words = "--no-pictures --set layers.0.epochs=2 --set classifier.epochs=5";
    let said = place.dbn(&format!("train noise.csv {words} --out run")).done();
    assert!(said.err.contains("no better than naming the most frequent class"), "{said:?}");
}
