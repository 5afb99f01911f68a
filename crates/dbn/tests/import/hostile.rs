//! Files that were made to hurt: each is an error of one line, quickly and in little memory.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_dbn::import::{Imported, TensorNames, pytorch, rbms, sklearn};
use candle_dbn::{Error, Result};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{assert_fails, file};

/// A file of a state dict from its pickle, and what stands beside it.
struct Pt {
    dir: TempDir,
}

impl Pt {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("x.pt")
    }

    fn write(&self, method: CompressionMethod, pickle: &[u8], storages: &[(&str, &[f32])]) {
        let mut zip = ZipWriter::new(File::create(self.path()).unwrap());
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file("x/data.pkl", options).unwrap();
        zip.write_all(pickle).unwrap();
        for (name, numbers) in storages {
            zip.start_file(format!("x/data/{name}"), options).unwrap();
            let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
            zip.write_all(&bytes).unwrap();
        }
        zip.finish().unwrap();
    }

    /// What becomes of this pickle, stored as `torch.save` does.
    fn import(&self, pickle: &[u8], storages: &[(&str, &[f32])]) -> Result<Imported> {
        self.write(CompressionMethod::Stored, pickle, storages);
        let start = Instant::now();
        let result = pytorch(&self.path(), &TensorNames::default());
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        result
    }
}

/// `X`: text with its length.
fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn numbers(numbers: &[usize]) -> Vec<u8> {
    let ints = numbers.iter().flat_map(|n| [b"J", &(*n as i32).to_le_bytes()[..]].concat());
    [&b"("[..], &ints.collect::<Vec<_>>(), b"t"].concat()
}

/// The call that builds a tensor of the storage `storage` with so many numbers.
fn tensor(
    storage: &str,
    stored: usize,
    offset: usize,
    shape: &[usize],
    strides: &[usize],
) -> Vec<u8> {
    let int = |n: usize| [b"J", &(n as i32).to_le_bytes()[..]].concat();
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text(storage),
        text("cpu"),
        int(stored),
        b"tQ".to_vec(),
        int(offset),
        numbers(shape),
        numbers(strides),
        b"\x89NtR".to_vec(),
    ]
    .concat()
}

fn dict(tensors: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items = tensors.iter().flat_map(|(name, tensor)| [text(name), tensor.clone()].concat());
    [&b"\x80\x02}("[..], &items.collect::<Vec<_>>(), b"u."].concat()
}

#[test]
fn a_pickle_neither_nests_nor_multiplies_nor_lies() {
    let pt = Pt::new();
    // A million tuples in each other, which a reader that walks them has no stack for.
    let nested = [b"\x80\x02)".to_vec(), vec![0x85; 1_000_000], b".".to_vec()].concat();
    assert_fails(pt.import(&nested, &[]), &["x.pt", "no tensors by name"]);
    let longer = [b"\x80\x02)".to_vec(), vec![0x85; 2_000_000], b".".to_vec()].concat();
    assert_fails(pt.import(&longer, &[]), &["data.pkl", "more than 1048576 operations"]);
    // A billion laughs: ten of ten of ten and so on, nine times.
    let mut laughs = b"\x80\x02]q\x00".to_vec();
    for line in 0..20 {
        laughs.push(b'(');
        laughs.extend([b'h', line].repeat(10));
        laughs.extend([b't', b'q', line + 1]);
    }
    laughs.push(b'.');
    assert_fails(pt.import(&laughs, &[]), &["x.pt", "no tensors by name"]);
    assert_fails(
        pt.import(b"\x80\x02X\xff\xff\xff\xff.", &[]),
        &["4294967295 bytes of 1", "byte 2"],
    );
    for (pickle, found) in [
        (&b"\x80\x02"[..], "1 bytes of 0"),
        (b"\x80\x02(", "1 bytes of 0"),
        (b"\x80\x02.", "nothing on the stack"),
        (b"\x80\x02(.", "nothing on the stack"),
        (b"\x80\x02t.", "no mark"),
        (b"\x80\x02h\x05.", "nothing in the memo at 5"),
        (b"\x80\x02}(Nu.", "a key without a value"),
        (b"\x80\x04N.", "protocol 4"),
        (b"\x80\x02cposix\nsystem", "a name without end"),
        (b"\x80\x02(cposix\nsystem\no.", "operation 0x6f"),
    ] {
        assert_fails(pt.import(pickle, &[]), &["data.pkl", found]);
    }
}

#[test]
fn an_archive_is_stored_and_whole() {
    let pt = Pt::new();
    let bytes: Vec<f32> = vec![0.0; 1 << 20];
    let tensors = dict(&[("W", tensor("0", 1 << 20, 0, &[1 << 20], &[1]))]);
    pt.write(CompressionMethod::Deflated, &tensors, &[]);
    let result = pytorch(&pt.path(), &TensorNames::default());
    assert_fails(result, &["x/data.pkl", "compressed bytes"]);
    pt.write(CompressionMethod::Stored, &tensors, &[("0", &bytes)]);
    let whole = fs::read(pt.path()).unwrap();
    // The size of an entry stands twice in the end of the file: there it lies.
    let at = whole.windows(4).rposition(|four| *four == (4u32 << 20).to_le_bytes()).unwrap();
    let mut lying = whole.clone();
    lying[at..at + 4].copy_from_slice(&(1u32 << 31).to_le_bytes());
    lying[at - 4..at].copy_from_slice(&(1u32 << 31).to_le_bytes());
    fs::write(pt.path(), lying).unwrap();
    assert!(pytorch(&pt.path(), &TensorNames::default()).is_err());
}

/// Many tensors of one storage cost no more than they have numbers.
#[test]
fn tensors_stay_within_their_storage_and_the_file_within_its_size() {
    let pt = Pt::new();
    let stored: Vec<f32> = (0..12).map(|i| i as f32).collect();
    let storages = [("0", &stored[..])];
    let refused = |tensor: Vec<u8>, words: &[&str]| {
        let mut all = vec!["tensor \"W\""];
        all.extend(words);
        assert_fails(pt.import(&dict(&[("W", tensor)]), &storages), &all);
    };
    refused(tensor("0", 12, 0, &[13], &[1]), &["its storage has", "12 numbers"]);
    refused(tensor("0", 12, 8, &[3, 2], &[2, 1]), &["its storage has"]);
    refused(tensor("0", 12, 0, &[100_000, 100_000], &[0, 0]), &["its storage has"]);
    refused(tensor("0", 12, 0, &[1 << 30, 1 << 30, 1 << 30], &[1, 1, 1]), &["its storage has"]);
    let result = pt.import(&dict(&[("W", tensor("0", 13, 0, &[13], &[1]))]), &storages);
    assert_fails(result, &["data/0", "13 numbers of 4 bytes", "48 bytes"]);

    let wide: Vec<f32> = vec![0.0; 1 << 16];
    let many: Vec<_> = (0..1000).map(|i| format!("t{i}")).collect();
    let all = tensor("0", 1 << 16, 0, &[1 << 16], &[1]);
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), all.clone())).collect();
    assert_fails(pt.import(&dict(&many), &[("0", &wide)]), &["at most 16777216 numbers"]);
}

/// Parts of one storage, in whatever order their numbers lie.
#[test]
fn views_are_read_as_they_look() {
    let pt = Pt::new();
    let stored: Vec<f32> = (0..12).map(|i| i as f32).collect();
    // W is (hidden, visible) = (2, 3), a transposed view from number 5 on.
    let pickle = dict(&[
        ("W", tensor("0", 12, 5, &[2, 3], &[1, 2])),
        ("v_bias", tensor("0", 12, 0, &[3], &[1])),
        ("h_bias", tensor("0", 12, 3, &[2], &[2])),
    ]);
    let model = pt.import(&pickle, &[("0", &stored)]).unwrap().model;
    let weights = model.dbn.bottom().weights().to_vec2::<f32>().unwrap();
    assert_eq!(weights, [[5.0, 6.0], [7.0, 8.0], [9.0, 10.0]]);
    let biases =
        |layer: &dyn rbm_core::Layer| layer.vars()[0].1.as_tensor().to_vec1::<f32>().unwrap();
    assert_eq!(biases(model.dbn.bottom().visible()), [0.0, 1.0, 2.0]);
    assert_eq!(biases(model.dbn.bottom().hidden()), [3.0, 5.0]);
}

/// Every byte of a state dict with one bit turned: an error, or the same machine.
#[test]
fn a_turned_bit_never_makes_another_machine() {
    let pt = Pt::new();
    let whole = fs::read(file("rbm.pt")).unwrap();
    let weights = |imported: Imported| {
        let rbm = &imported.model.dbn.rbm(0).unwrap();
        let numbers = rbm.weights().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        numbers.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let right = weights(pytorch(&file("rbm.pt"), &TensorNames::default()).unwrap());
    let mut errors = 0;
    for at in 0..whole.len() {
        let mut turned = whole.clone();
        turned[at] ^= 1 << (at % 8);
        fs::write(pt.path(), turned).unwrap();
        match pytorch(&pt.path(), &TensorNames::default()) {
            Ok(imported) => assert_eq!(weights(imported), right, "byte {at}"),
            Err(Error::Io { .. }) => panic!("byte {at}"),
            Err(_) => errors += 1,
        }
    }
    assert!(errors > whole.len() / 4, "{errors} of {}", whole.len());
}

/// A `.npz` of arrays of zeros, compressed, of these shapes.
fn npz(pt: &Pt, arrays: &[(&str, &str, usize)]) -> PathBuf {
    let path = pt.dir.path().join("x.npz");
    let mut zip = ZipWriter::new(File::create(&path).unwrap());
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, shape, numbers) in arrays {
        zip.start_file(format!("{name}.npy"), options).unwrap();
        let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
        zip.write_all(b"\x93NUMPY\x01\x00").unwrap();
        zip.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
        zip.write_all(header.as_bytes()).unwrap();
        zip.write_all(&vec![0; *numbers]).unwrap();
    }
    zip.finish().unwrap();
    path
}

#[test]
fn a_small_file_does_not_become_a_large_machine() {
    let pt = Pt::new();
    let start = Instant::now();
    // As its header says, and more than such a file may have.
    let path = npz(
        &pt,
        &[
            ("components_", "(5000, 4000)", 20_000_000),
            ("intercept_hidden_", "(5000,)", 5000),
            ("intercept_visible_", "(4000,)", 4000),
        ],
    );
    assert_fails(sklearn(&path), &["\"components_\"", "at most 16777216 numbers", "20000000 more"]);
    // Of another size than the header says, and of another than the other arrays.
    let path = npz(&pt, &[("components_", "(5, 4)", 20_000_000)]);
    assert_fails(sklearn(&path), &["\"components_\"", "20 bytes for shape [5, 4]", "20000000"]);
    let biases = [("intercept_hidden_", "(5,)", 5), ("intercept_visible_", "(3,)", 3)];
    let path = npz(&pt, &[&[("components_", "(5, 4)", 20)], &biases[..]].concat());
    assert_fails(sklearn(&path), &["intercept_visible_", "shape [4], as components_", "[3]"]);
    // Labels of another number than cases, which are not read.
    let path = npz(&pt, &[("x", "(5000, 4000)", 20_000_000), ("y", "(4,)", 4)]);
    let read = candle_dbn::data::load(&path.to_string_lossy(), &Default::default());
    assert_fails(read.map(|_| unreachable!()), &["5000", "4"]);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// 144 million weights that nothing was written of, in 6 kB.
#[test]
fn an_hdf5_file_of_nothing_is_no_machine() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/hdf5/found-sparse");
    let result = rbms(&corpus, None);
    assert_fails(result, &["found-sparse", "weight_matrix", "at most 16777216 numbers"]);
    let pt = Pt::new();
    let empty = pt.dir.path().join("empty.h5");
    fs::write(&empty, b"").unwrap();
    assert_fails(rbms(&empty, None), &["empty.h5", "an HDF5 file of rbms"]);
}
