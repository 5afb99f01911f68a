//! Charts of what a run has left, drawn where there is something to draw.
#![allow(clippy::unwrap_used)]

use candle_dbn::viz::report;
use candle_dbn::viz::{self, Convergence};

/// The files that [`report::acceptance`] leaves for these lines of metrics.
fn drawn(metrics: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    report::acceptance(folder.path(), metrics).unwrap();
    let entries = std::fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Catches an empty chart where no layer was learned by tempering, and a layer's chart under another's name.
#[test]
fn swaps_are_drawn_only_where_there_were_any() {
    let without = r#"
{"stage":"layer 1","epoch":1,"k":1,"singular_values":[2.0,1.0]}
{"stage":"layer 2","epoch":1,"round_trips":0,"swap_acceptance":[]}
{"stage":"classifier","epoch":1,"train_loss":0.5}
{"stage":"layer 1","epo"#;
    assert!(drawn("").is_empty());
    assert!(drawn(without).is_empty(), "{:?}", drawn(without));
    let with = r#"{"stage":"layer 2","epoch":2,"swap_acceptance":[0.5,0.25]}"#;
    assert_eq!(drawn(&format!("{with}\n{without}")), ["acceptance_2.png"]);
    let lowest = with.replace("layer 2", "layer 1");
    assert_eq!(drawn(&format!("{lowest}\n{with}")), ["acceptance.png", "acceptance_2.png"]);
}

/// The last point of the upper side lies in the corner of the legend: catches a legend that is drawn over it.
#[test]
fn the_legend_covers_no_point() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("estimates.png");
    let row = |betas, forward, reverse| Convergence {
        betas,
        forward: (forward, 0.01),
        reverse: Some((reverse, 0.01)),
    };
    let rows = [row(145, -5.0, -6.0), row(1450, -4.2, -4.6), row(14500, -4.0, -4.3)];
    viz::estimates(&path, &rows, Some(-4.1), false).unwrap();
    let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    // Right of the middle of the legend's names there are points, and no samples of the legend's lines.
    let right = |colour: [u8; 3]| {
        let inks = pixels[..info.buffer_size()].chunks_exact(3).enumerate();
        let width = info.width as usize;
        inks.filter(|(i, ink)| i % width > width * 9 / 10 && *ink == colour).count()
    };
    for colour in [[0, 114, 178], [213, 94, 0]] {
        assert!(right(colour) > 30, "{} pixels of {colour:?}", right(colour));
    }
}

/// Of two runs one alone has a number: catches its curve in the colour of the other one.
#[test]
fn a_name_has_one_colour_in_all_panels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("comparison.png");
    let one = r#"{"stage":"classifier","epoch":1,"validation_error":5.0}
{"stage":"classifier","epoch":2,"validation_error":4.0}"#;
    let other = one.replace('}', r#","validation_rmse":0.5}"#);
    assert!(report::comparison(&path, &[("one", one), ("other", &other)]).unwrap());
    let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let right = |colour: [u8; 3]| {
        let inks = pixels[..info.buffer_size()].chunks_exact(3).enumerate();
        let width = info.width as usize;
        inks.filter(|(i, ink)| i % width > width / 2 && *ink == colour).count()
    };
    assert_eq!(right([0, 114, 178]), 0, "the colour of the run that has no such number");
    assert!(right([213, 94, 0]) > 30);
}
