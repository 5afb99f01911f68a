//! The laws of schedules: tables of values, what is refused, and their three forms as text.
//!
//! What they would catch: a step that comes an epoch late, a ramp that misses its end or runs past it, k rounded down
//! to zero, a form read as another.
#![allow(clippy::unwrap_used)]

use rbm_core::Schedule;
use rbm_core::learning::schedule::{Curve, Per};

fn steps(steps: &[(usize, f64)]) -> Schedule {
    Schedule::Steps(steps.to_vec())
}

fn ramp(from: f64, to: f64, curve: Curve) -> Schedule {
    Schedule::Ramp { from, to, curve, per: Per::Epoch }
}

#[test]
fn values_by_epoch() {
    let late = steps(&[(2, 0.5), (4, 0.9)]);
    let (linear, exponential) =
        (ramp(1.0, 0.0, Curve::Linear), ramp(1.0, 1e-4, Curve::Exponential));
    // Schedule, number of epochs, values in epochs 0, 1, ...; the last ones lie beyond the end.
    let table: [(Schedule, usize, &[f64]); 7] = [
        (0.1.into(), 3, &[0.1, 0.1, 0.1, 0.1]),
        (late, 6, &[0.5, 0.5, 0.5, 0.5, 0.9, 0.9, 0.9]),
        (steps(&[]), 3, &[0.0, 0.0]),
        (linear.clone(), 5, &[1.0, 0.75, 0.5, 0.25, 0.0, 0.0, 0.0]),
        (exponential.clone(), 5, &[1.0, 0.1, 0.01, 0.001, 0.0001, 0.0001]),
        (linear, 1, &[1.0, 1.0]),
        (exponential, 0, &[1.0]),
    ];
    for (schedule, epochs, values) in table {
        for (epoch, expected) in values.iter().enumerate() {
            let found = schedule.at(epoch, epochs);
            // A power in `f64`: a few units in the last place.
            assert!(
                (found - expected).abs() <= 1e-14,
                "{schedule:?} at {epoch} of {epochs}: {found}"
            );
        }
    }
}

/// Ten updates of two epochs: the first has the first value, none has the last; one by epoch keeps its value within each.
#[test]
fn values_by_update() {
    let of = |curve, per, to| -> Vec<f64> {
        let ramp = Schedule::Ramp { from: 1.0, to, curve, per };
        (0..10).map(|update| ramp.at_update(update / 5, (update % 5, 5), 2)).collect()
    };
    let near = |found: &[f64], value: fn(i32) -> f64| {
        found.iter().zip(0..).all(|(found, i)| (found - value(i)).abs() < 1e-14)
    };
    assert!(near(&of(Curve::Linear, Per::Update, 0.0), |i| 1.0 - 0.1 * f64::from(i)));
    assert!(
        near(&of(Curve::Exponential, Per::Update, 0.001), |i| 0.001f64.powf(0.1 * f64::from(i)))
    );
    assert!(near(&of(Curve::Linear, Per::Epoch, 0.0), |i| if i < 5 { 1.0 } else { 0.0 }));
    let ramp = Schedule::Ramp { from: 1.0, to: 0.0, curve: Curve::Linear, per: Per::Update };
    // At the first update of an epoch, and no further than the end.
    assert_eq!([0, 1, 2, 3].map(|epoch| ramp.at(epoch, 2)), [1.0, 0.5, 0.0, 0.0]);
}

#[test]
fn steps_are_whole_and_at_least_one() {
    let k = |value: f64| Schedule::from(value).steps_at(0, 1);
    let found = [0.0, 0.4, 1.4, 1.5, 25.0, -3.0, f64::NAN].map(k);
    assert_eq!(found, [1, 1, 1, 2, 25, 1, 1]);
    let grows = ramp(1.0, 5.0, Curve::Linear);
    assert_eq!([0, 1, 2, 3, 4].map(|epoch| grows.steps_at(epoch, 5)), [1, 2, 3, 4, 5]);
}

#[test]
fn problems_are_named() {
    let good = [
        0.0.into(),
        steps(&[(0, 0.5), (5, 0.9)]),
        ramp(0.1, 0.0, Curve::Linear),
        ramp(0.1, 0.001, Curve::Exponential),
    ];
    assert!(good.iter().all(|schedule| schedule.problem().is_none()));
    let table: [(Schedule, &str); 9] = [
        ((-1.0).into(), "-1"),
        (f64::NAN.into(), "NaN"),
        (f64::INFINITY.into(), "inf"),
        (steps(&[]), "empty"),
        (steps(&[(5, 0.5), (0, 0.9)]), "rise"),
        (steps(&[(0, f64::NAN)]), "value"),
        (ramp(-0.1, 1.0, Curve::Linear), "-0.1"),
        (ramp(0.1, 0.0, Curve::Exponential), "above 0"),
        (ramp(0.0, 0.1, Curve::Exponential), "above 0"),
    ];
    for (schedule, word) in table {
        let problem = schedule.problem().unwrap_or_default();
        assert!(problem.contains(word), "{schedule:?}: {problem:?} does not say {word:?}");
    }
}

#[test]
fn three_forms_survive_json() {
    let table = [
        ("0.1", 0.1.into()),
        ("[[0, 0.5], [5, 0.9]]", steps(&[(0, 0.5), (5, 0.9)])),
        (r#"{"from": 0.1, "to": 0.01}"#, ramp(0.1, 0.01, Curve::Linear)),
        (r#"{"from": 1, "to": 2, "curve": "exponential"}"#, ramp(1.0, 2.0, Curve::Exponential)),
        (
            r#"{"from": 0.1, "to": 0, "per": "update"}"#,
            Schedule::Ramp { from: 0.1, to: 0.0, curve: Curve::Linear, per: Per::Update },
        ),
        ("1", 1.0.into()),
    ];
    for (text, schedule) in table {
        assert_eq!(serde_json::from_str::<Schedule>(text).unwrap(), schedule, "{text}");
        let written = serde_json::to_string(&schedule).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&written).unwrap(), schedule, "{written}");
    }
    for wrong in [
        r#""fast""#,
        r#"{"from": 1}"#,
        r#"{"from": 1, "to": 2, "curve": "round"}"#,
        r#"{"from": 1, "to": 2, "per": "day"}"#,
    ] {
        assert!(serde_json::from_str::<Schedule>(wrong).is_err(), "{wrong}");
    }
}
