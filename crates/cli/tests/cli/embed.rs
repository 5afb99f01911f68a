//! Features in the files of other programs: the same numbers in all of them, with the rows and labels that they belong to.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use safetensors::SafeTensors;

use crate::common::{CASES, Place, WIDTH, data, idx, npy, read_npy};

/// Columns by name, in their order, as the file has them.
#[derive(Debug, PartialEq)]
struct Columns {
    names: Vec<String>,
    row: Vec<i64>,
    label: Vec<i64>,
    features: Vec<Vec<f32>>,
}

fn of_csv(bytes: &[u8]) -> Columns {
    let mut reader = csv::Reader::from_reader(bytes);
    let names: Vec<_> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let rest = names.iter().position(|name| name.contains("layer")).unwrap();
    let mut columns = Columns { names, row: vec![], label: vec![], features: vec![] };
    for line in reader.records() {
        let line = line.unwrap();
        columns.row.push(line[0].parse().unwrap());
        columns.label.extend((1..rest).map(|i| line[i].parse::<i64>().unwrap()));
        columns.features.push(line.iter().skip(rest).map(|x| x.parse().unwrap()).collect());
    }
    columns
}

fn of_parquet(bytes: Vec<u8>) -> Columns {
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    let fields = reader.metadata().file_metadata().schema().get_fields().to_vec();
    let names = fields.iter().map(|field| field.name().to_owned()).collect();
    let mut columns = Columns { names, row: vec![], label: vec![], features: vec![] };
    for row in reader.get_row_iter(None).unwrap() {
        let mut features = vec![];
        for (name, field) in row.unwrap().into_columns() {
            match (name.as_str(), field) {
                ("row", Field::Long(number)) => columns.row.push(number),
                ("label", Field::Long(number)) => columns.label.push(number),
                (_, Field::Float(number)) => features.push(number),
                other => panic!("{other:?}"),
            }
        }
        columns.features.push(features);
    }
    columns
}

/// The tensors of a file: 64-bit integers, and `f32` as their bits.
fn of_safetensors(bytes: &[u8]) -> BTreeMap<String, Vec<i64>> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensors = file.tensors().into_iter().map(|(name, view)| {
        let size = view.data().len() / view.shape().iter().product::<usize>();
        let number = |bytes: &[u8]| match size {
            8 => i64::from_le_bytes(bytes.try_into().unwrap()),
            _ => u32::from_le_bytes(bytes.try_into().unwrap()).into(),
        };
        (name, view.data().chunks(size).map(number).collect())
    });
    tensors.collect()
}

#[test]
fn every_form_has_the_same_numbers_with_their_rows_and_labels() {
    let place = Place::new();
    place.train("");
    // Every fifth case of each class is held out, and the classes take turns.
    let rows: Vec<_> = (0..CASES).filter(|i| i / 2 % 5 == 4).map(|i| i as i64).collect();
    let labels: Vec<_> = rows.iter().map(|&i| data(2, 0.1)[i as usize].1 as i64).collect();
    let mut names = vec!["row".to_owned(), "label".to_owned()];
    names.extend(
        (0..24).map(|i| format!("layer1_{i}")).chain((0..12).map(|i| format!("layer2_{i}"))),
    );
    for form in ["npy", "csv", "parquet", "safetensors"] {
        place.dbn(&format!("embed run --cases held-out --layer all --out f.{form}")).done();
    }
    let (shape, numbers) = read_npy(&place.read("f.npy"));
    assert_eq!(shape, [rows.len() as u64, 36]);
    let features: Vec<_> = numbers.chunks(36).map(<[f32]>::to_vec).collect();
    let expected = Columns { names, row: rows.clone(), label: labels.clone(), features };
    assert_eq!(of_csv(&place.read("f.csv")), expected);
    assert_eq!(of_parquet(place.read("f.parquet")), expected);

    let tensors = of_safetensors(&place.read("f.safetensors"));
    assert_eq!((&tensors["rows"], &tensors["labels"]), (&rows, &labels));
    let bits = |columns: std::ops::Range<usize>| -> Vec<i64> {
        let of_case = |case: &Vec<f32>| case[columns.clone()].to_vec();
        let bits = expected.features.iter().flat_map(of_case).map(|x| x.to_bits().into());
        bits.collect()
    };
    assert_eq!((&tensors["layer1"], &tensors["layer2"]), (&bits(0..24), &bits(24..36)));
}

#[test]
fn rows_of_several_files_are_counted_on_and_labels_may_be_missing() {
    let place = Place::new();
    place.train("");
    let pixels = |count: usize| vec![255u8; count * WIDTH];
    place.write("pics/train-images-idx3-ubyte", idx(&[12, 4, 4], &pixels(12)));
    place.write("pics/train-labels-idx1-ubyte", idx(&[12], &[1; 12]));
    place.write("pics/t10k-images-idx3-ubyte", idx(&[5, 4, 4], &pixels(5)));
    place.write("pics/t10k-labels-idx1-ubyte", idx(&[5], &[0; 5]));
    for (cases, rows) in [("held-out", 12..17), ("train", 0..12), ("all", 0..17)] {
        place.dbn(&format!("embed run pics --cases {cases} --out f.csv --force")).done();
        assert_eq!(of_csv(&place.read("f.csv")).row, rows.collect::<Vec<_>>(), "{cases}");
    }
    place.write("new.npy", npy(&[vec![0.0; WIDTH], vec![1.0; WIDTH]]));
    place.dbn("embed run new.npy --out new.csv").done();
    place.dbn("embed run new.npy --out new.parquet").done();
    let columns = of_csv(&place.read("new.csv"));
    assert_eq!(columns.names[..2], ["row", "layer2_0"]);
    assert_eq!((columns.row.len(), columns.label.len()), (2, 0));
    assert_eq!(of_parquet(place.read("new.parquet")), columns);
    place.dbn("embed run new.npy --layer classes --out classes.csv").done();
    assert_eq!(place.text("classes.csv").lines().next(), Some("row,classes"));
}

/// More cases than a block, so that blocks go where they belong.
#[test]
fn blocks_stand_one_after_the_other() {
    let place = Place::new();
    place.train("");
    let case = |i: usize| (0..WIDTH).map(|bit| (i >> bit & 1) as f32).collect();
    place.write("many.npy", npy(&(0..2500).map(case).collect::<Vec<Vec<f32>>>()));
    for form in ["npy", "csv", "parquet", "safetensors"] {
        place.dbn(&format!("embed run many.npy --layer all --out f.{form}")).done();
    }
    let features: Vec<_> =
        read_npy(&place.read("f.npy")).1.chunks(36).map(<[f32]>::to_vec).collect();
    assert_ne!(features[999], features[1999]);
    let columns = of_csv(&place.read("f.csv"));
    assert_eq!(columns.row, (0..2500).collect::<Vec<_>>());
    assert_eq!(columns.features, features);
    assert_eq!(of_parquet(place.read("f.parquet")), columns);
    let first: Vec<i64> =
        features.iter().flat_map(|f| &f[..24]).map(|x| x.to_bits().into()).collect();
    assert_eq!(of_safetensors(&place.read("f.safetensors"))["layer1"], first);
}

/// A file has its name only when it is whole, however the program ends.
#[test]
fn a_kill_leaves_no_part_of_a_file() {
    let place = Place::new();
    place.train("");
    place.write("many.npy", npy(&vec![vec![1.0; WIDTH]; 400_000]));
    for form in ["csv", "parquet", "safetensors"] {
        let out = format!("out/f.{form}");
        place.write("out/keep", "");
        let mut child =
            place.command(&format!("embed run many.npy --layer all --out {out}")).spawn().unwrap();
        let begun = Instant::now();
        let is_writing = || {
            let files = fs::read_dir(place.path("out")).unwrap().map(|file| file.unwrap());
            let mut files = files.filter(|file| file.file_name() != "keep");
            files.any(|file| file.metadata().is_ok_and(|file| file.len() > 1 << 20))
        };
        while !is_writing() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{form}: nothing is written");
            assert!(child.try_wait().unwrap().is_none(), "{form}: it is done already");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!place.path(&out).exists(), "{form}");
        fs::remove_dir_all(place.path("out")).unwrap();
    }
}
