//! Belief nets: explaining away in files, and nets that learn, in every command that takes a run.

use serde_json::Value;

use crate::common::{Place, bars_and_stripes, read_npy};

const FILES: [(&str, &str); 3] = [
    ("house.uai", include_str!("../../../../examples/uai/house.uai")),
    ("alarm.uai", include_str!("../../../../examples/uai/alarm.uai")),
    ("examination.uai", include_str!("../../../../examples/uai/examination.uai")),
];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Numbers of Hinton, Osindero and Teh's house, of Pearl's alarm, and of an examination: one cause, and then another one beside it.
#[test]
fn one_cause_explains_another_away() {
    let place = Place::new();
    FILES.iter().for_each(|(name, text)| place.write(name, text));
    for (words, known) in [
        ("house.uai --query C", 4.5399929669e-5),
        ("house.uai --given C=1 --query A", 0.5),
        ("house.uai --given C=1,B=1 --query A", 9.0791615e-5),
        ("alarm.uai --given D=1,E=1 --query A", 0.2841718354),
        ("alarm.uai --given C=1 --query A", 0.3735512283),
        ("alarm.uai --given C=1,B=1 --query A", 0.0032684236),
        ("alarm.uai --given C=1 --query B", 0.2310087020),
        ("alarm.uai --given C=1,A=1 --query B", 0.0020212336),
        ("examination.uai --query C", 0.07272),
        ("examination.uai --given C=1 --query B", 0.4950495050),
        ("examination.uai --given C=1,A=1 --query B", 0.25),
        ("examination.uai --given C=1,A=0 --query B", 0.9708737864),
    ] {
        let found = json(&place.dbn(&format!("infer {words} --json")).done().out);
        let p = found["marginals"][0][1][1].as_f64().unwrap();
        assert!((p - known).abs() < 1e-9, "{words}: {p}, expected {known}");
    }
    let joint = json(&place.dbn("infer house.uai --given C=1 --query A,B --json").done().out);
    for (at, known) in
        [4.539580774e-5, 0.4999546042, 0.4999546042, 4.539580774e-5].iter().enumerate()
    {
        let p = joint["joint"][at][1].as_f64().unwrap();
        assert!((p - known).abs() < 1e-9, "{at}: {p}");
    }
    let said = place.dbn("reproduce house --out house").done();
    assert!(said.out.contains("P(truck | jump, earthquake)"), "{}", said.out);
    let rows = place.json("house/reproduced.json");
    for row in rows["rows"].as_array().unwrap() {
        let (ours, known) = (row["ours"].as_f64().unwrap(), row["known"].as_f64().unwrap());
        assert!((ours - known).abs() < 1e-9, "{row}");
    }
}

/// A net learns, is sampled and measured, and what was killed goes on to the same bytes.
#[test]
fn a_net_learns_and_is_taken_by_commands() {
    let place = Place::new();
    let train =
        "train bars-and-stripes:3 --model belief --hidden 6,3 --set samples=3 --set epochs=30";
    let said = place.dbn(&format!("{train} --out net")).done();
    assert!(said.out.contains("one-sided") && said.out.contains("at least"), "{}", said.out);
    for name in ["samples.png", "learning.png"] {
        assert_eq!(&place.read(&format!("net/{name}"))[1..4], b"PNG");
    }
    let lines = String::from_utf8(place.read("net/metrics.jsonl")).unwrap();
    let bounds: Vec<f64> =
        lines.lines().map(|line| json(line)["importance_weighted"].as_f64().unwrap()).collect();
    assert!(bounds.len() == 30 && bounds[29] < -2.639, "{bounds:?}");
    let results = place.json("net/results.json");
    assert_eq!(results["measured"][0]["on"]["data"], "bars-and-stripes:3", "{results}");
    place.dbn("sample net --count 20 --binary --out drawn").done();
    let (shape, values) = read_npy(&place.read("drawn/samples.npy"));
    assert_eq!(shape, [20, 9]);
    assert!(values.iter().all(|x| [0.0, 1.0].contains(x)));
    let of = |samples: usize| {
        let words = format!("evaluate net --likelihood --passes {samples} --json");
        json(&place.dbn(&words).done().out)["lower_bound"].as_f64().unwrap()
    };
    let (few, many) = (of(2), of(5000));
    assert!(few < many && many < -2.639, "{few} {many}");
    // So small a net is counted too: what importance weights find is below it, and near.
    let log_p = |given: &str| {
        json(&place.dbn(&format!("infer net {given} --json")).done().out)["log_partition"].clone()
    };
    assert!(log_p("").as_f64().unwrap().abs() < 1e-9);
    let exact: Vec<f64> = bars_and_stripes()
        .map(|picture| {
            let given = picture.iter().enumerate().map(|(pixel, x)| format!("v{pixel}={x}"));
            let given = given.collect::<Vec<_>>().join(",");
            log_p(&format!("--given {given}")).as_f64().unwrap()
        })
        .collect();
    let exact = exact.iter().sum::<f64>() / exact.len() as f64;
    assert!(exact > many - 0.01 && exact < many + 0.1, "{exact} {many}");
    // The same case by case, and what recognition makes of them.
    let lines = place.dbn("score net --passes 5000").done().out;
    let bound = |line: &str| line.split_once(',').unwrap().1.parse::<f64>().unwrap();
    let bounds: Vec<f64> = lines.lines().skip(1).map(bound).collect();
    let mean = bounds.iter().sum::<f64>() / bounds.len() as f64;
    assert!(bounds.len() == 14 && (mean - exact).abs() < 0.05, "{mean} {exact}");
    place.dbn("embed net --layer all --out hidden.npy").done();
    let (shape, values) = read_npy(&place.read("hidden.npy"));
    assert!(shape == [14, 9] && values.iter().all(|p| (0.0..1.0).contains(p)), "{shape:?}");
    let said = json(&place.dbn("inspect net --json").done().out);
    assert_eq!((&said["widths"], &said["parameters"]), (&json("[9, 6, 3]"), &171.into()));
    // And asked for causes.
    let said = place.dbn("infer net --given v0=1,v1=1,v2=1 --query h1.0,h2.2").done().out;
    assert!(said.contains("h1.0") && said.contains("h2.2"), "{said}");
    place.dbn("infer net --query h3.0").misused(&["h3.0", "v0"]);
    // By its recipe, and on from the last checkpoint.
    place.dbn("train --recipe net/recipe.toml --out again").done();
    assert!(place.read("net/belief.safetensors") == place.read("again/belief.safetensors"));
    place.dbn("train --resume net").done();
    assert!(place.read("net/belief.safetensors") == place.read("again/belief.safetensors"));
}

#[test]
fn nets_stand_beside_each_other() {
    let place = Place::new();
    let train = "train bars-and-stripes:3 --model belief --no-pictures";
    place.dbn(&format!("{train} --hidden 4 --set epochs=2 --no-evaluation --out small")).done();
    place.dbn(&format!("{train} --hidden 6,3 --set epochs=3 --out large")).done();
    let found = json(&place.dbn("compare small large --json --out curves.png").done().out);
    let keys: Vec<_> =
        found["recipes"].as_array().unwrap().iter().map(|line| &line["key"]).collect();
    assert_eq!(keys, ["hidden", "learning.epochs"], "{found}");
    let results = found["results"].as_array().unwrap();
    let of = |name: &str| {
        let line = results.iter().find(|line| line["name"].as_str().unwrap().starts_with(name));
        &line.unwrap()["values"]
    };
    assert_eq!((&of("epochs")[0]["value"], &of("epochs")[1]["value"]), (&2.0.into(), &3.0.into()));
    assert!(of("log p(v) from below, at the end")[0]["value"].as_f64().unwrap() < 0.0);
    let own = place.json("large/results.json")["measured"][0]["numbers"][0].clone();
    let measured = of(own["name"].as_str().unwrap());
    assert!(measured[0].is_null() && measured[1]["value"] == own["value"], "{measured}");
    assert_eq!(&place.read("curves.png")[1..4], b"PNG");
}

#[test]
fn what_a_net_has_not_is_refused_in_a_line() {
    let place = Place::new();
    let train = "train bars-and-stripes:3 --model belief --no-pictures --no-evaluation";
    place.dbn(&format!("{train} --hidden 4 --set epochs=1 --out net")).done();
    place.dbn("anneal net").failed(&["net", "belief net", "push, inspect, compare and infer"]);
    place.dbn("score net --scan").misused(&["--mutants, --scan", "belief net"]);
    place.dbn("embed net --layer 2 --out h.npy").failed(&["1 to 1", "\"2\""]);
    place.dbn("evaluate net").failed(&["net", "--likelihood"]);
    place.dbn("evaluate net --likelihood --both").misused(&["--both", "belief net"]);
    place.dbn("sample net --clamp digits").misused(&["--clamp", "belief net"]);
    place
        .dbn(&format!("{train} --hidden 5 --set epochs=1 --out net"))
        .failed(&["net", "other layers"]);
    place.dbn(&format!("{train} --hidden relu:5")).misused(&["relu:5", "Bernoulli"]);
    place.dbn(&format!("{train} --set steps=2")).misused(&["steps=2", "steps", "`samples`"]);
    place.dbn(&format!("{train} --set samples=1")).misused(&["at least 2"]);
    let said = place.dbn(&format!("{train} --hidden 6,3 --set epochs=20 --dry-run")).done();
    for words in ["model = \"belief\"", "9 ← 6 ← 3", "171", "nothing was written"] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    assert!(!place.path("runs").exists());
    place.dbn(&format!("{train} --set samples=1 --dry-run")).misused(&["at least 2"]);
    place.dbn("reproduce belief").failed(&["belief", "--data"]);
}
