//! Charts of what a run has left, drawn where there is something to draw.
#![allow(clippy::unwrap_used)]

use dbn::report;

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
