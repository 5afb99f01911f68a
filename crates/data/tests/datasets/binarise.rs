//! Zeros and ones made of other values: by a threshold, or drawn once for all.

use candle_dbn_data::{Binarise, View};
use rbm_core::Rows;

use super::*;

fn as_bits(binarise: Binarise) -> ReadOptions {
    ReadOptions { binarise: Some(binarise), ..plain() }
}

/// 3,000 cases of 140 bytes (more than a block of random words), which are 255 times a probability.
fn probabilities() -> Vec<u8> {
    (0..3000 * 140).map(|i: usize| (i.wrapping_mul(2_654_435_761) >> 7) as u8).collect()
}

fn bytes_file() -> Outcome<TempDir> {
    folder(&[("x.npy", &npy("|u1", "(3000, 140)", &probabilities()))])
}

fn drawn(folder: &TempDir, seed: u64) -> Outcome<Dataset> {
    let options = ReadOptions { scale: Some(255.0), ..as_bits(Binarise::Sample(seed)) };
    Ok(read(&folder.path().join("x.npy"), &options)?)
}

#[test]
fn a_threshold_is_passed_from_above() -> Outcome {
    let options = ReadOptions { scale: Some(4.0), ..as_bits("threshold:0.5".parse()?) };
    let set = read_file("x.csv", b"0,1,2,3,4,-9,9\n", &options)?;
    assert_eq!(rows(&set.train)?, [[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0]]);
    check_range("x.csv", &set.train, 0.0, 1.0, "Bernoulli")?;
    Ok(())
}

/// Catches bits that are drawn from something else than the value.
#[test]
fn a_value_is_the_probability_of_its_bit() -> Outcome {
    let folder = bytes_file()?;
    let bits = drawn(&folder, 3)?.train.cases.tensor()?.flatten_all()?.to_vec1::<f32>()?;
    // Of the cases of every probability, how many are 1: within 5 sigma, all 256 of them.
    let (mut ones, mut all) = ([0f64; 256], [0f64; 256]);
    for (bit, byte) in bits.iter().zip(probabilities()) {
        assert!(*bit == 0.0 || *bit == 1.0);
        ones[usize::from(byte)] += f64::from(*bit);
        all[usize::from(byte)] += 1.0;
    }
    for byte in 0..256 {
        let p = byte as f64 / 255.0;
        let sigma = (all[byte] * p * (1.0 - p)).sqrt();
        assert!((ones[byte] - all[byte] * p).abs() <= 5.0 * sigma, "{byte}: {}", ones[byte]);
    }
    Ok(())
}

/// The draws of one value are independent from seed to seed, and those of a case from those of its neighbours: catches a
/// seed or a row number that does not reach the generator.
#[test]
fn the_mean_over_seeds_is_the_value_and_neighbours_do_not_follow_each_other() -> Outcome {
    let folder = folder(&[("x.npy", &npy("|u1", "(40, 5)", &[77; 200]))])?;
    let (seeds, p) = (400, 77.0 / 255.0);
    let (mut sum, mut both) = ([0f64; 200], 0f64);
    for seed in 0..seeds {
        let bits = drawn(&folder, seed)?.train.cases.tensor()?.flatten_all()?.to_vec1::<f32>()?;
        sum.iter_mut().zip(&bits).for_each(|(sum, bit)| *sum += f64::from(*bit));
        both += bits.iter().zip(&bits[5..]).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    }
    let sigma = (seeds as f64 * p * (1.0 - p)).sqrt();
    for sum in sum {
        assert!((sum - seeds as f64 * p).abs() < 5.0 * sigma, "{sum}");
    }
    let pairs = seeds as f64 * 195.0;
    // Neighbouring pairs share a case: their variance is at most three times that of independent ones.
    let sigma = (3.0 * pairs * p * p * (1.0 - p * p)).sqrt();
    assert!((both - pairs * p * p).abs() < 4.0 * sigma, "{both} of {}", pairs * p * p);
    Ok(())
}

/// Catches bits that depend on what is asked for beside a case, or on how often.
#[test]
fn a_case_has_the_same_bits_however_it_is_asked_for() -> Outcome {
    let folder = bytes_file()?;
    let set = drawn(&folder, 9)?;
    let whole = rows(&set.train)?;
    let of = |cases: &View, indices: &[u32]| -> Outcome<Vec<Vec<f32>>> {
        Ok(cases.rows(indices)?.to_vec2()?)
    };
    for batch in [1, 7, 100] {
        let order: Vec<u32> = (0..3000).map(|i| i * 7 % 3000).collect();
        for indices in order.chunks(batch).take(5) {
            let expected: Vec<_> = indices.iter().map(|&i| whole[i as usize].clone()).collect();
            assert_eq!(of(&set.train.cases, indices)?, expected);
        }
    }
    assert_eq!(set.train.cases.block(1500..1503)?.to_vec2::<f32>()?, whole[1500..1503]);
    let (train, held_out) = hold_out(&set.train, 3)?;
    assert_eq!(rows(&held_out)?[..2], [whole[2].clone(), whole[5].clone()]);
    assert_eq!(of(&train.cases, &[2])?, whole[3..4]);
    let joined = View::joined(&held_out.cases, &train.cases)?;
    assert_eq!(of(&joined, &[1002, 1])?, [whole[3].clone(), whole[5].clone()]);
    assert_eq!(rows(&drawn(&folder, 9)?.train)?, whole, "another reading of the file");
    assert_ne!(rows(&drawn(&folder, 10)?.train)?, whole, "another seed");
    Ok(())
}

/// The two parts of a folder hold the same values here: catches parts that draw the same bits.
#[test]
fn the_parts_of_a_source_draw_bits_of_their_own() -> Outcome {
    let mut pictures = vec![0, 0, 8, 3, 0, 0, 0, 50, 0, 0, 0, 2, 0, 0, 0, 4];
    pictures.extend([128; 400]);
    let mut labels = vec![0, 0, 8, 1, 0, 0, 0, 50];
    labels.extend([0; 50]);
    let folder = folder(&[
        ("train-images-idx3-ubyte", &pictures),
        ("train-labels-idx1-ubyte", &labels),
        ("t10k-images-idx3-ubyte", &pictures),
        ("t10k-labels-idx1-ubyte", &labels),
    ])?;
    let set = read(folder.path(), &as_bits(Binarise::Sample(1)))?;
    let test = rows(set.held_out.as_ref().ok_or("no test part")?)?;
    let train = rows(&set.train)?;
    let differing = train.concat().iter().zip(test.concat()).filter(|(a, b)| **a != *b).count();
    // Half of 400 within 4 sigma.
    assert!((160..=240).contains(&differing), "{differing}");
    Ok(())
}

#[test]
fn what_is_no_probability_is_refused_by_its_place() -> Outcome {
    let folder = folder(&[("x.csv", b"0,1\n0.5,1.5\n")])?;
    let path = folder.path().join("x.csv");
    let words = ["case 2, value 2", "a value in [0, 1] to draw bits by", "1.5"];
    assert_refused(read(&path, &as_bits(Binarise::Sample(0))), &path, words);
    let bytes = bytes_file()?;
    let path = bytes.path().join("x.npy");
    let words = ["case 1, value", "a value in [0, 1] to draw bits by", ""];
    assert_refused(read(&path, &as_bits(Binarise::Sample(0))), &path, words);
    Ok(())
}

#[test]
fn it_is_read_and_written_as_a_word() -> Outcome {
    for (word, binarise) in [
        ("none", Binarise::None),
        ("threshold:0.25", Binarise::Threshold(0.25)),
        ("sample:18446744073709551615", Binarise::Sample(u64::MAX)),
    ] {
        assert_eq!((word.parse::<Binarise>()?, binarise.to_string()), (binarise, word.to_owned()));
    }
    for word in ["", "sample", "threshold", "sample:-1", "sample:1:2", "threshold:nan", "mean"] {
        let error = word.parse::<Binarise>().err().ok_or("accepted")?.to_string();
        let expected = "binarise: expected none, threshold:NUMBER or sample:SEED, found";
        assert!(error.starts_with(expected), "{error}");
    }
    Ok(())
}
