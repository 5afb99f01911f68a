//! Ratings with holes: films as Potts units, learned from what each person has seen (Salakhutdinov, Mnih, Hinton 2007).
#![allow(clippy::unwrap_used)]

use std::fmt::Write;

use candle_core::Device;
use candle_dbn::data::{self, Content};
use candle_dbn::training::Outcome;
use candle_dbn::{Recipe, Training};
use rbm_core::Rng;

const FILMS: usize = 8;

/// 600 people of two tastes; a film is seen by half of them, and rated about 4.3 or 1.7 as the taste is.
fn ratings() -> Vec<Vec<Option<f64>>> {
    let draws = rbm_core::ops::uniform(
        (600, 1 + 2 * FILMS),
        candle_core::DType::F64,
        &Device::Cpu,
        &mut Rng::new(1),
    );
    let draws = draws.unwrap().to_vec2::<f64>().unwrap();
    let rating = |u: &[f64], film: usize| {
        let likes = (u[0] < 0.5) == film.is_multiple_of(2);
        let least = if likes { 3.4 } else { 0.8 };
        (u[1 + FILMS + film] < 0.5).then(|| (least + 1.8 * u[1 + film]).round().clamp(1.0, 5.0))
    };
    draws.iter().map(|u| (0..FILMS).map(|film| rating(u, film)).collect()).collect()
}

#[test]
fn held_out_ratings_are_predicted_better_than_by_the_film_s_mean() {
    let all = ratings();
    // One known rating of each person is hidden.
    let hidden: Vec<Option<usize>> = all
        .iter()
        .enumerate()
        .map(|(i, row)| (0..FILMS).map(|k| (i + k) % FILMS).find(|&k| row[k].is_some()))
        .collect();
    let mut text = String::new();
    for (row, hidden) in all.iter().zip(&hidden) {
        let cells: Vec<_> = row
            .iter()
            .enumerate()
            .map(|(k, x)| x.filter(|_| Some(k) != *hidden).map_or(String::new(), |x| x.to_string()))
            .collect();
        writeln!(text, "{}", cells.join(",")).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ratings.csv");
    std::fs::write(&file, text).unwrap();
    let settings = [
        format!("data.source=\"{}\"", file.display()),
        "data.missing=gibbs".into(),
        "data.hold_out_one_in=none".into(),
        "layers=[{ hidden = 10, epochs = 60, learning_rate = 0.05, batch_size = 20 }]".into(),
        "classifier=none".into(),
    ];
    let recipe = Recipe::named("table").unwrap().with(&settings).unwrap();
    let data = data::load(&recipe.data.source, &recipe.read_options()).unwrap();
    let columns = data.columns.clone().unwrap();
    assert_eq!(columns.units().to_string(), "potts(5):8");
    let cases = data.train.cases.tensor().unwrap();
    let mut training = Training::new(recipe, data, &Device::Cpu).unwrap();
    let Outcome::Finished(model) = training.run(&mut ()).unwrap() else { panic!("stopped") };
    let filled = model.prepare(&cases).unwrap().to_vec2::<f32>().unwrap();
    let (mut squares, mut of_mean, mut count) = (0.0, 0.0, 0.0);
    for (i, film) in hidden.iter().enumerate().filter_map(|(i, film)| Some((i, (*film)?))) {
        let truth = all[i][film].unwrap();
        let Content::Codes(codes) = &columns.0[film].holds else { panic!("no codes") };
        let shares = &filled[i][5 * film..5 * film + 5];
        let expected: f64 = codes.iter().zip(shares).map(|(x, p)| f64::from(x * p)).sum();
        let seen: Vec<f64> = (0..all.len())
            .filter(|&p| hidden[p] != Some(film))
            .filter_map(|p| all[p][film])
            .collect();
        let mean = seen.iter().sum::<f64>() / seen.len() as f64;
        squares += (expected - truth).powi(2);
        of_mean += (mean - truth).powi(2);
        count += 1.0;
    }
    let (rmse, of_mean) = ((squares / count).sqrt(), (of_mean / count).sqrt());
    // Two tastes are told apart by three or four ratings: a third of the mean's error is noise that nobody can predict.
    assert!(rmse < 0.7 * of_mean, "{rmse} and {of_mean} of the mean");
}
