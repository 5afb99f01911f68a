//! Data that cannot be configurations of the units are refused, with the place and what would help.

use candle_dbn_data::{Examples, check_units};
use rbm_core::Units;

use crate::Outcome;

/// Units, cases, and what the refusal says.
type Refused<'a> = (&'a str, &'a [&'a [f32]], &'a [&'a str]);

fn check(units: &str, rows: &[&[f32]]) -> Outcome<Result<(), String>> {
    let width = rows.first().map_or(0, |row| row.len());
    let cases = candle_core::Tensor::from_vec(
        rows.concat(),
        (rows.len(), width),
        &candle_core::Device::Cpu,
    )?;
    let units: Units = units.parse()?;
    Ok(check_units("x.npy", &Examples::new(cases, None)?, &units)
        .map_err(|error| error.to_string()))
}

#[test]
fn configurations_and_means_are_accepted() -> Outcome {
    let accepted: [(&str, &[&[f32]]); 8] = [
        ("bernoulli:2", &[&[0.0, 1.0], &[0.3, 0.7]]),
        ("spin:2", &[&[-1.0, 1.0], &[1.0, 1.0]]),
        ("binomial(4):2", &[&[0.0, 4.0], &[2.5, 1.0]]),
        ("potts(3):2", &[&[0.0, 1.0, 0.0, 0.0, 0.0, 1.0], &[0.2, 0.3, 0.5, 1.0, 0.0, 0.0]]),
        ("multinomial(5):3", &[&[0.0, 2.0, 3.0], &[5.0, 0.0, 0.0]]),
        ("relu:2", &[&[0.0, 1e6]]),
        ("gaussian:2", &[&[-1e6, 1e6]]),
        ("spin:1+potts(2):1+gaussian:1", &[&[-1.0, 0.0, 1.0, -7.0]]),
    ];
    for (units, rows) in accepted {
        assert_eq!(check(units, rows)?, Ok(()), "{units}");
    }
    Ok(())
}

#[test]
fn what_units_cannot_be_is_refused_with_its_place() -> Outcome {
    let refused: [Refused; 12] = [
        (
            "spin:2",
            &[&[1.0, -1.0], &[1.0, 0.0]],
            &["case 2, value 2", "-1 or 1", "bernoulli", "found 0"],
        ),
        ("spin:2", &[&[1.0, f32::NAN]], &["case 1, value 2", "NaN"]),
        ("binomial(4):2", &[&[0.0, 5.0]], &["case 1, value 2", "[0, 4]", "found 5"]),
        ("potts(3):1", &[&[0.0, 1.0, 1.0]], &["case 1, value 1", "one in one of them", "sum to 2"]),
        ("potts(2):2", &[&[0.0, 1.0, 0.0, 0.0]], &["case 1, value 3", "sum to 0"]),
        ("potts(3):1", &[&[0.0, 2.0, -1.0]], &["case 1, value 2", "[0, 1]", "found 2"]),
        (
            "multinomial(5):2",
            &[&[2.0, 3.0], &[2.0, 2.0]],
            &["case 2, value 1", "sum to 5", "sum to 4"],
        ),
        ("multinomial(5):2", &[&[-1.0, 6.0]], &["case 1, value 1", "found -1"]),
        ("relu:2", &[&[3.0, -0.5]], &["case 1, value 2", "at least 0", "relu", "found -0.5"]),
        ("relu:2", &[&[3.0, f32::NAN]], &["case 1, value 2", "NaN"]),
        (
            "bernoulli:1+potts(2):1+spin:1",
            &[&[1.0, 0.0, 1.0, 1.0], &[1.0, 0.0, 1.0, 0.0]],
            &["case 2, value 4", "-1 or 1"],
        ),
        ("bernoulli:1+spin:1", &[&[1.0, 1.0, 1.0]], &["2 values", "found 3"]),
    ];
    for (units, rows, words) in refused {
        let message = check(units, rows)?.expect_err(units);
        for word in words {
            assert!(message.contains(word), "{units}: {word:?} is not in {message:?}");
        }
    }
    Ok(())
}
