//! Whole populations: as many rows as the literature counts, and its best log-likelihoods.

use std::collections::BTreeMap;

use super::*;

/// Σ log p(row) with p a row's share of all rows: no machine can do better.
fn best(rows: &[Vec<u8>]) -> f64 {
    let mut counts = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(row).or_insert(0.0) += 1.0);
    counts.values().map(|count: &f64| count * (count / rows.len() as f64).ln()).sum()
}

fn population(source: &str) -> Outcome<(Dataset, Vec<Vec<u8>>)> {
    let set = load(source, &plain())?;
    let rows = rows(&set.train)?.iter().map(|row| row.iter().map(|&x| x as u8).collect()).collect();
    Ok((set, rows))
}

/// The sums are those of Fischer and Igel (2010) and Melchior et al. (2016), where they have them.
#[test]
fn the_best_log_likelihoods_are_those_of_the_literature() -> Outcome {
    for (source, count, width, expected) in [
        ("bars-and-stripes:2:all", 8, 4, -13.8629),
        ("bars-and-stripes:3:all", 16, 9, -41.5888),
        ("bars-and-stripes:3", 14, 9, -36.9468),
        ("bars-and-stripes:4", 30, 16, -102.0359),
        ("bars-and-stripes:4:all", 32, 16, -108.1310),
        ("bars-and-stripes:5:all", 64, 25, -263.3959),
        ("shifting-bar:9", 9, 9, -19.7750),
        ("shifting-bar:9:8", 9, 9, -19.7750),
        ("labelled-shifter:4", 48, 11, -185.8176),
        ("labelled-shifter:8", 768, 19, -5102.4305),
    ] {
        let (set, rows) = population(source)?;
        assert_eq!((set.train.len(), set.train.width()), (count, width), "{source}");
        assert!((best(&rows) - expected).abs() < 5e-5, "{source}: {}", best(&rows));
        assert!(set.is_population && set.name == source && set.held_out.is_none());
        assert_eq!((set.classes, set.train.labels), (None, None));
        let side = source.starts_with("bars").then(|| (width as f64).sqrt() as usize);
        assert_eq!(set.image, side.map(|side| (side, side)), "{source}");
    }
    Ok(())
}

/// The sums alone would be right of any distinct rows.
#[test]
fn every_row_is_of_its_kind() -> Outcome {
    for row in population("bars-and-stripes:4")?.1 {
        let lines: Vec<_> = row.chunks(4).collect();
        let is_striped = lines.iter().all(|line| line.iter().all(|x| x == &line[0]));
        let is_barred = lines.iter().all(|line| line == &lines[0]);
        assert!(is_striped || is_barred, "{row:?}");
    }
    for (source, length) in [("shifting-bar:9", 1), ("shifting-bar:9:4", 4)] {
        for row in population(source)?.1 {
            assert_eq!(row.iter().map(|&x| usize::from(x)).sum::<usize>(), length);
            let edges = (0..9).filter(|&i| row[i] != row[(i + 1) % 9]).count();
            assert_eq!(edges, 2, "one bar: {row:?}");
        }
    }
    for row in population("labelled-shifter:8")?.1 {
        let (plain, shifted, labels) = (&row[..8], &row[8..16], &row[16..]);
        let mut expected = plain.to_vec();
        match labels {
            [1, 0, 0] => expected.rotate_left(1),
            [0, 1, 0] => {}
            [0, 0, 1] => expected.rotate_right(1),
            _ => panic!("{labels:?}"),
        }
        assert_eq!(expected, shifted, "{labels:?}");
    }
    Ok(())
}

#[test]
fn nothing_of_a_population_is_held_out() -> Outcome {
    let parts = load("bars-and-stripes:4", &plain())?.parts(Some(5), Some(10))?;
    assert_eq!(parts.train.len(), 30);
    assert!(parts.held_out.is_none() && parts.validation.is_none());
    Ok(())
}

#[test]
fn sizes_and_options_that_make_no_sense_are_refused() -> Outcome {
    for source in [
        "bars-and-stripes",
        "bars-and-stripes:0",
        "bars-and-stripes:13",
        "bars-and-stripes:4:some",
        "bars-and-stripes:x",
        "shifting-bar:9:9",
        "shifting-bar:9:0",
        "shifting-bar:1",
        "labelled-shifter:2",
        "labelled-shifter:8:2",
    ] {
        let error = load(source, &plain()).err().ok_or("accepted")?.to_string();
        assert!(error.starts_with("source of the data: expected bars-and-stripes:N"), "{error}");
        assert!(error.contains(&format!("found {source:?}")), "{error}");
    }
    let scaled = ReadOptions { scale: Some(2.0), ..plain() };
    let labelled = ReadOptions { labels: Some("y.txt".into()), ..plain() };
    for (options, word) in [(scaled, "no measurement"), (labelled, "no labels")] {
        let error = load("shifting-bar:9", &options).err().ok_or("accepted")?.to_string();
        assert!(error.contains("none for `shifting-bar:9`, which"), "{error}");
        assert!(error.contains(word), "{error}");
    }
    Ok(())
}
