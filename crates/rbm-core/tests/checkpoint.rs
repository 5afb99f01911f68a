//! The laws of files: what is written comes back to the bit, and what is not whole is refused by name.
//!
//! What they would catch: a dtype or shape that changes on the way, a cut file that loads, an old file destroyed by a
//! failed write, a temporary file left behind.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use common::{bits, normal};
use rbm_core::sampling::{Chains, End, Replicas};
use rbm_core::state::{write_new, write_whole, write_whole_by};
use rbm_core::{Checkpoint, Rng, State, state};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    rng: Rng,
    note: String,
    exact: f64,
}

fn checkpoint() -> Checkpoint<Record> {
    let tensors = [
        ("single", normal(3, 5, DType::F32, 1)),
        ("double", normal(2, 2, DType::F64, 2)),
        ("count", Tensor::new(u32::MAX, &Device::Cpu).unwrap()),
        ("whole", Tensor::new(&[(1i64 << 53) - 1, -1], &Device::Cpu).unwrap()),
        ("mark", Tensor::new(&[0u8, 2, 255], &Device::Cpu).unwrap()),
        ("turned", normal(3, 5, DType::F32, 3).t().unwrap()),
        ("odd", Tensor::new(&[f32::MAX, f32::MIN, -0.0, 1e-45], &Device::Cpu).unwrap()),
    ];
    let tensors = tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor));
    let rng = Rng { seed: u64::MAX, counter: u64::MAX - 1 };
    let record = Record { rng, note: "\"ü\"\n".into(), exact: 0.1 + 0.2 };
    Checkpoint { tensors: tensors.collect(), record }
}

fn load(path: &Path) -> rbm_core::Result<Checkpoint<Record>> {
    Checkpoint::load(path, &Device::Cpu)
}

/// Nothing but `names` lies in `folder`.
fn assert_holds(folder: &Path, names: &[&str]) {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut found: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, names);
}

#[test]
fn what_is_saved_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it");
    let saved = checkpoint();
    saved.save(&path).unwrap();
    let loaded = load(&path).unwrap();
    assert_eq!(loaded.record, saved.record);
    let describe = |tensors: &State| -> Vec<_> {
        let one =
            |(name, x): (&String, &Tensor)| (name.clone(), x.dims().to_vec(), x.dtype(), bits(x));
        tensors.iter().map(one).collect()
    };
    assert_eq!(describe(&loaded.tensors), describe(&saved.tensors));
    assert_holds(folder.path(), &["it"]);
    saved.save(&path).unwrap();
    assert_holds(folder.path(), &["it"]);
}

/// Replicas after 2^24 + 1 steps, which no `f32` can count; a mark that means nothing and one too few are refused.
#[test]
fn replicas_and_counts_come_back_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it");
    let rows = |width, seed| normal(3, width, DType::F32, seed);
    let rows = Chains { visible: rows(4, 5), hidden_inputs: rows(2, 6), hidden: rows(2, 7) };
    let steps = (1 << 24) + 1;
    let replicas = Replicas { rows, ends: vec![End::Top, End::Neither, End::Bottom], steps };
    let mut tensors = replicas.state();
    tensors.extend(state::numbers("betas", &[0.0, 0.1 + 0.2, 1.0]));
    tensors.extend(state::numbers::<f64>("nothing", &[]));
    Checkpoint { tensors, record: () }.save(&path).unwrap();

    let Checkpoint { tensors, record: () } = Checkpoint::load(&path, &Device::Cpu).unwrap();
    let found = Replicas::restored(&tensors).unwrap();
    assert_eq!((&found.ends, found.steps), (&replicas.ends, steps));
    for (found, saved) in [
        (&found.rows.visible, &replicas.rows.visible),
        (&found.rows.hidden_inputs, &replicas.rows.hidden_inputs),
        (&found.rows.hidden, &replicas.rows.hidden),
    ] {
        assert_eq!(bits(found), bits(saved));
    }
    assert_eq!(state::get_numbers::<f64>(&tensors, "betas").unwrap(), [0.0, 0.1 + 0.2, 1.0]);
    assert!(state::get_numbers::<f64>(&tensors, "nothing").unwrap().is_empty());
    let message = state::get_numbers::<f32>(&tensors, "betas").unwrap_err().to_string();
    assert!(message.contains("betas") && message.contains("f64"), "{message}");
    let message = state::get_counts::<2>(&tensors, "steps").unwrap_err().to_string();
    assert!(message.contains("steps") && message.contains("2 counts"), "{message}");
    for wrong in [&[0u8, 1, 3][..], &[0, 1]] {
        let mut tensors = tensors.clone();
        tensors.extend(state::numbers("ends", wrong));
        assert!(Replicas::restored(&tensors).is_err(), "{wrong:?}");
    }
}

/// The same contents are the same bytes, so that checkpoints can be compared.
#[test]
fn bytes_do_not_vary_between_saves() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = ["a", "b"].map(|name| {
        let path = folder.path().join(name);
        checkpoint().save(&path).unwrap();
        std::fs::read(path).unwrap()
    });
    assert_eq!(bytes[0], bytes[1]);
}

/// One bit that is another, anywhere: refused, or what it says is what was saved.
#[test]
fn no_flipped_bit_is_read_as_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it");
    let saved = checkpoint();
    saved.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let of = |tensors: &State| -> Vec<_> {
        tensors.iter().map(|(name, x)| (name.clone(), x.dims().to_vec(), bits(x))).collect()
    };
    let mut refused = 0;
    for at in (0..bytes.len()).flat_map(|byte| (0..8).map(move |bit| (byte, bit))).step_by(7) {
        let mut flipped = bytes.clone();
        flipped[at.0] ^= 1 << at.1;
        std::fs::write(&path, &flipped).unwrap();
        match load(&path) {
            Err(_) => refused += 1,
            Ok(found) => {
                assert_eq!(
                    (found.record, of(&found.tensors)),
                    (saved.record.clone(), of(&saved.tensors)),
                    "{at:?}"
                );
            }
        }
    }
    assert!(
        refused as f64 > 0.9 * (bytes.len() * 8 / 7) as f64,
        "{refused} of {}",
        bytes.len() * 8 / 7
    );
}

#[test]
fn what_is_not_finite_is_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it");
    checkpoint().save(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut wrong = checkpoint();
        wrong.tensors.insert("odd".into(), Tensor::new(&[1.0, x, 2.0], &Device::Cpu).unwrap());
        let message = wrong.save(&path).unwrap_err().to_string();
        assert!(message.contains("odd is no longer finite"), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

/// What a killed process left is taken away by the next one that writes there; what another one is writing is not, nor is a folder.
#[test]
fn what_nobody_writes_any_more_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it");
    std::fs::write(folder.path().join(".writing-abc"), "half").unwrap();
    std::fs::create_dir(folder.path().join(".writing-dir")).unwrap();
    let written = write_whole_by(&path, |file| {
        file.write_all(b"first").unwrap();
        // Another one writes beside it.
        write_whole(&folder.path().join("other"), b"second")
    });
    written.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"first");
    assert_holds(folder.path(), &[".writing-dir", "it", "other"]);
}

#[test]
fn of_two_that_begin_the_same_file_one_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it");
    write_new(&path, b"first").unwrap();
    assert!(write_new(&path, b"second").is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"first");
    assert_holds(folder.path(), &["it"]);
}

fn assert_refused(path: &Path, what: &str) {
    let message = load(path).unwrap_err().to_string();
    assert!(message.contains(&path.display().to_string()), "{what}: {message}");
}

#[test]
fn a_file_that_is_not_whole_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it");
    checkpoint().save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for length in (0..bytes.len()).step_by(97).chain([1, 7, 8, 9, bytes.len() - 1]) {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert_refused(&path, &format!("{length} of {} bytes", bytes.len()));
    }
    std::fs::write(&path, [&bytes[..], b"more"].concat()).unwrap();
    assert_refused(&path, "too long");
}

#[test]
fn a_file_that_is_something_else_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it");
    assert_refused(&path, "missing");
    assert_refused(folder.path(), "a folder");
    for other in [&b""[..], b"hello, world", &[0; 64], &[0xff; 64]] {
        std::fs::write(&path, other).unwrap();
        assert_refused(&path, "not safetensors");
    }
    let tensors = std::collections::HashMap::from([("x", normal(2, 2, DType::F32, 4))]);
    candle_core::safetensors::save(&tensors, &path).unwrap();
    assert_refused(&path, "safetensors without a record");
    Checkpoint { tensors: State::new(), record: "a text".to_owned() }.save(&path).unwrap();
    assert_refused(&path, "a record of another kind");
}

#[test]
fn a_failed_write_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("it");
    let message = write_whole(&path, b"new").unwrap_err().to_string();
    assert!(message.contains(&path.display().to_string()), "{message}");
    assert_holds(folder.path(), &[]);

    let taken = folder.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("inside"), b"old").unwrap();
    assert!(write_whole(&taken, b"new").is_err(), "a folder is in the way");
    assert_holds(folder.path(), &["taken"]);
    assert_holds(&taken, &["inside"]);
}

/// Where the folder may not be written to. The superuser may write everywhere, so there is nothing to see for it.
#[cfg(unix)]
#[test]
fn a_read_only_folder_keeps_its_old_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it");
    write_whole(&path, b"old").unwrap();
    let mode = |mode| std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(mode));
    mode(0o500).unwrap();
    let writable = std::fs::write(folder.path().join("probe"), b"").is_ok();
    let result = write_whole(&path, b"new");
    mode(0o700).unwrap();
    if !writable {
        assert!(result.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_holds(folder.path(), &["it"]);
    }
}

/// Whoever reads while another writes finds one of the two contents, whole.
#[test]
fn readers_see_the_old_or_the_new() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it");
    let contents = [vec![1u8; 300_000], vec![2u8; 500_000]];
    write_whole(&path, &contents[0]).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 0..20 {
                write_whole(&path, &contents[i % 2]).unwrap();
            }
        });
        while !writer.is_finished() {
            assert!(contents.contains(&std::fs::read(&path).unwrap()));
        }
    });
    assert_holds(folder.path(), &["it"]);
}
