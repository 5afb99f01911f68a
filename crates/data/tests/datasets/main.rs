//! Data sets: what is read, and that whatever is damaged is refused by file, place, expected and found.

use std::error::Error;
use std::fmt::Debug;
use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use candle_dbn_data::{Dataset, Examples, LabelColumn, ReadOptions, check_range, hold_out, load};
use flate2::{Compression, write::GzEncoder};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tempfile::TempDir;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// A folder with the files `(name, contents)`.
fn folder(files: &[(&str, &[u8])]) -> Outcome<TempDir> {
    let folder = tempfile::tempdir()?;
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes)?;
    }
    Ok(folder)
}

fn read(path: &Path, options: &ReadOptions) -> rbm_core::Result<Dataset> {
    load(path.to_str().expect("a temporary folder's name is text"), options)
}

/// The data set in a file `name` of these contents.
fn read_file(name: &str, bytes: &[u8], options: &ReadOptions) -> Outcome<Dataset> {
    let folder = folder(&[(name, bytes)])?;
    Ok(read(&folder.path().join(name), options)?)
}

fn rows(part: &Examples) -> Outcome<Vec<Vec<f32>>> {
    Ok(part.cases.tensor()?.to_vec2()?)
}

fn gzip(bytes: &[u8]) -> Outcome<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// Asserts that the refusal is about the file `path` and says these words of its place, the expected and the found.
fn assert_refused<T: Debug>(result: rbm_core::Result<T>, path: &Path, words: [&str; 3]) {
    let error = result.expect_err("a refusal");
    let message = error.to_string();
    let rbm_core::Error::File { path: named, place, expected, found } = error else {
        panic!("not about a file's contents: {message}");
    };
    assert_eq!(named, path, "{message}");
    for (part, word) in [place, expected, found].iter().zip(words) {
        assert!(part.contains(word), "`{word}` is not in `{part}` of: {message}");
        assert!(message.contains(part.as_str()), "{message}");
    }
}

/// One test for each damaged file: `name: "file", contents, options => [place, expected, found]`.
macro_rules! refused {
    ($($test:ident: $file:expr, $bytes:expr, $options:expr => $words:expr;)*) => {$(
        #[test]
        fn $test() -> Outcome {
            let folder = folder(&[($file, $bytes.as_ref())])?;
            let path = folder.path().join($file);
            assert_refused(read(&path, &$options), &path, $words);
            Ok(())
        }
    )*};
}

// After the macro that they use.
mod binarise;
mod counts;
mod one_hot;
mod parquet;
mod populations;
mod suite;
mod tables;
mod validate;
mod weights;

fn plain() -> ReadOptions {
    ReadOptions::default()
}

fn column(column: &str) -> ReadOptions {
    ReadOptions { label_column: column.parse().ok(), ..ReadOptions::default() }
}

mod whole {
    use super::*;

    #[test]
    fn digits_are_those_of_scikit_learn() -> Outcome {
        let digits = load("digits", &plain())?;
        assert_eq!((digits.train.len(), digits.train.width()), (1797, 64));
        assert_eq!(
            (digits.classes, digits.image, digits.name.as_str()),
            (Some(10), Some((8, 8)), "digits")
        );
        assert!(digits.held_out.is_none());
        let first = digits.train.cases.tensor()?.get(0)?.to_vec1::<f32>()?;
        assert_eq!(first[..8], [0.0, 0.0, 5.0, 13.0, 9.0, 1.0, 0.0, 0.0].map(|x: f32| x / 16.0));
        let sum = digits
            .train
            .cases
            .tensor()?
            .to_dtype(candle_core::DType::F64)?
            .sum_all()?
            .to_scalar::<f64>()?;
        assert_eq!(sum * 16.0, 561_718.0, "scikit-learn: load_digits().data.sum()");
        let labels = digits.train.labels.ok_or("no labels")?;
        let counts = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
            .map(|digit| labels.iter().filter(|&&x| x == digit).count());
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        let raw = load("digits", &ReadOptions { scale: Some(1.0), ..plain() })?;
        assert_eq!(raw.train.cases.tensor()?.max_all()?.to_scalar::<f32>()?, 16.0);
        Ok(())
    }

    #[test]
    fn mnist_has_its_known_size_first_label_and_mean() -> Outcome {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/mnist");
        let places = [Some(beside), std::env::var_os("MNIST_DIR").map(PathBuf::from)];
        let Some(path) = places.into_iter().flatten().find(|path| path.is_dir()) else {
            eprintln!("SKIPPED: MNIST is neither in ../shared/data/mnist nor in $MNIST_DIR");
            return Ok(());
        };
        let mnist = read(&path, &plain())?;
        let test = mnist.held_out.ok_or("no test part")?;
        assert_eq!(
            (mnist.train.len(), mnist.train.width(), test.len(), test.width()),
            (60_000, 784, 10_000, 784)
        );
        assert_eq!(
            (mnist.image, mnist.classes, mnist.name.as_str()),
            (Some((28, 28)), Some(10), "mnist")
        );
        let first = |part: &Examples| part.labels.as_ref().map(|labels| labels[0]);
        assert_eq!((first(&mnist.train), first(&test)), (Some(5), Some(7)));
        let mean = f64::from(mnist.train.cases.tensor()?.mean(1)?.mean(0)?.to_scalar::<f32>()?);
        assert!((mean - 0.1307).abs() < 1e-4, "{mean}");
        check_range("mnist", &mnist.train, 0.0, 1.0, "Bernoulli")?;
        Ok(())
    }

    #[test]
    fn every_scale_divides_what_the_source_has() -> Outcome {
        let half = ReadOptions { scale: Some(2.0), ..plain() };
        assert_eq!(
            rows(&read_file("x.csv", b"1,2\n3,4\n", &half)?.train)?,
            [[0.5, 1.0], [1.5, 2.0]]
        );
        assert_eq!(
            rows(&read_file("x.npy", &npy("|u1", "(1, 2)", &[3, 255]), &half)?.train)?,
            [[1.5, 127.5]]
        );
        let tensors = tensors(&[("x", Dtype::U8, &[1, 2], &[3, 255])])?;
        assert_eq!(rows(&read_file("x.safetensors", &tensors, &half)?.train)?, [[1.5, 127.5]]);
        for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let error = load("digits", &ReadOptions { scale: Some(scale), ..plain() })
                .err()
                .ok_or("accepted")?;
            assert_eq!(
                error.to_string(),
                format!("scale: expected a finite number above 0, found {scale}")
            );
        }
        Ok(())
    }

    #[test]
    fn a_missing_source_and_an_unknown_ending_say_what_is_accepted() -> Outcome {
        let folder = folder(&[("cases.xlsx", b"1"), ("cases", b"1")])?;
        let missing = folder.path().join("digit");
        let forms = "or a file ending in .npy, .npz, .csv";
        assert_refused(read(&missing, &plain()), &missing, ["source", forms, "no file or folder"]);
        for (name, found) in [("cases.xlsx", ".xlsx"), ("cases", "no ending")] {
            let path = folder.path().join(name);
            assert_refused(read(&path, &plain()), &path, ["ending", forms, found]);
        }
        Ok(())
    }

    #[test]
    fn options_that_do_not_fit_the_source_are_refused() -> Outcome {
        let folder = folder(&[
            ("x.csv", b"1,2\n"),
            ("x.npy", &npy("|u1", "(1, 1)", &[1])),
            ("y.txt", b"1\n"),
        ])?;
        let labels = Some(folder.path().join("y.txt"));
        let both = ReadOptions { labels: labels.clone(), ..column("last") };
        let error = read(&folder.path().join("x.csv"), &both).err().ok_or("accepted")?;
        assert_eq!(
            error.to_string(),
            "labels: expected one place to take them from, found a column and a file"
        );
        for source in ["digits".into(), folder.path().join("x.npy")] {
            let error = read(&source, &column("last")).err().ok_or("accepted")?;
            assert!(error.to_string().contains("only a table has one, found Last"), "{error}");
        }
        let error = load("digits", &ReadOptions { labels, ..plain() }).err().ok_or("accepted")?;
        assert!(error.to_string().contains("has labels of its own, found /"), "{error}");
        Ok(())
    }

    #[test]
    fn a_file_that_is_a_folder_inside_is_an_io_error_not_a_panic() -> Outcome {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("labels.txt"))?;
        std::fs::write(folder.path().join("x.csv"), "1,2\n")?;
        let labels = folder.path().join("labels.txt");
        let options = ReadOptions { labels: Some(labels.clone()), ..plain() };
        let error = read(&folder.path().join("x.csv"), &options).err().ok_or("accepted")?;
        assert!(matches!(&error, rbm_core::Error::Io { path, .. } if *path == labels), "{error}");
        Ok(())
    }
}

mod parts {
    use super::*;

    fn part(labels: Option<Vec<u32>>) -> Outcome<Examples> {
        let cases = Tensor::arange(0f32, 12.0, &Device::Cpu)?.reshape((6, 2))?;
        Ok(Examples::new(cases, labels)?)
    }

    #[test]
    fn a_part_has_a_label_for_each_case() -> Outcome {
        let error = part(Some(vec![1; 5])).err().ok_or("accepted")?;
        assert_eq!(error.to_string(), "labels: expected one for each of 6 cases, found 5 labels");
        let flat =
            Examples::new(Tensor::new(&[1f32], &Device::Cpu)?, None).err().ok_or("accepted")?;
        assert_eq!(flat.to_string(), "cases: expected a matrix (n, width), found shape [1]");
        let double = Examples::new(Tensor::new(&[[1f64, 2.0]], &Device::Cpu)?, None)?;
        assert_eq!(rows(&double)?, [[1.0, 2.0]]);
        assert!(!double.is_empty());
        Ok(())
    }

    #[test]
    fn selected_cases_keep_their_order_and_labels() -> Outcome {
        let part = part(Some(vec![10, 11, 12, 13, 14, 15]))?;
        let selected = part.select(&[4, 0, 4])?;
        assert_eq!(rows(&selected)?, [[8.0, 9.0], [0.0, 1.0], [8.0, 9.0]]);
        assert_eq!(selected.labels, Some(vec![14, 10, 14]));
        let error = part.select(&[0, 6]).err().ok_or("accepted")?;
        assert_eq!(error.to_string(), "index: expected below 6, the number of cases, found 6");
        assert!(part.select(&[]).is_err());
        Ok(())
    }

    #[test]
    fn thinned_cases_are_from_all_over_them() -> Outcome {
        let cases = part(None)?.cases;
        let firsts = |most: usize| -> Outcome<Vec<f32>> {
            Ok(cases.thinned(most)?.to_vec2::<f32>()?.iter().map(|case| case[0]).collect())
        };
        for most in [6, 7, usize::MAX] {
            assert_eq!(firsts(most)?, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0], "{most}");
        }
        assert_eq!(firsts(5)?, [0.0, 4.0, 8.0]);
        assert_eq!(firsts(2)?, [0.0, 6.0]);
        assert_eq!(firsts(1)?, [0.0]);
        Ok(())
    }

    /// Catches a row taken from the wrong one of two sources, and a selection of a selection that forgets the first.
    #[test]
    fn joined_and_chosen_cases_are_the_rows_that_they_name() -> Outcome {
        use candle_dbn_data::View;
        use rbm_core::Rows;
        let stored =
            read_file("x.npy", &npy("|u1", "(3, 2)", &[20, 21, 22, 23, 24, 25]), &plain())?;
        let first = part(None)?.select(&[5, 3, 1])?.cases; // 10 11, 6 7, 2 3
        let both = View::joined(&first, &stored.train.cases)?;
        assert_eq!((both.count(), both.width()), (6, 2));
        let of = |indices: &[u32]| -> Outcome<Vec<f32>> {
            Ok(both.rows(indices)?.flatten_all()?.to_vec1()?)
        };
        assert_eq!(of(&[4, 0, 3, 2])?, [22.0, 23.0, 10.0, 11.0, 20.0, 21.0, 2.0, 3.0]);
        assert_eq!(of(&[5, 3])?, [24.0, 25.0, 20.0, 21.0]);
        assert_eq!(of(&[2, 0])?, [2.0, 3.0, 10.0, 11.0]);
        let block =
            |from, to| -> Outcome<Vec<f32>> { Ok(both.block(from..to)?.flatten_all()?.to_vec1()?) };
        assert_eq!(block(0, 2)?, [10.0, 11.0, 6.0, 7.0]);
        assert_eq!(block(2, 4)?, [2.0, 3.0, 20.0, 21.0]);
        assert_eq!(block(4, 6)?, [22.0, 23.0, 24.0, 25.0]);
        let chosen = both.select(&[5, 4, 0])?.select(&[2, 0])?;
        assert_eq!(chosen.tensor()?.to_vec2::<f32>()?, [[10.0, 11.0], [24.0, 25.0]]);
        assert!(
            both.rows(&[6]).is_err() && both.block(5..7).is_err() && chosen.rows(&[2]).is_err()
        );
        let narrow = read_file("x.npy", &npy("|u1", "(1, 1)", &[1]), &plain())?.train.cases;
        assert!(View::joined(&first, &narrow).is_err());
        Ok(())
    }

    #[test]
    fn the_last_of_each_group_of_a_class_is_held_out() -> Outcome {
        let (train, held_out) = hold_out(&part(Some(vec![0, 1, 0, 0, 1, 0]))?, 2)?;
        // Class 0 is cases 0, 2, 3, 5 and class 1 is cases 1, 4.
        assert_eq!(rows(&held_out)?, [[4.0, 5.0], [8.0, 9.0], [10.0, 11.0]]);
        assert_eq!(held_out.labels, Some(vec![0, 1, 0]));
        assert_eq!(rows(&train)?, [[0.0, 1.0], [2.0, 3.0], [6.0, 7.0]]);
        let (train, held_out) = hold_out(&part(None)?, 3)?;
        assert_eq!(rows(&held_out)?, [[4.0, 5.0], [10.0, 11.0]]);
        assert_eq!((train.len(), train.labels), (4, None));
        Ok(())
    }

    #[test]
    fn as_many_cases_of_each_class_are_left_as_can_be() -> Outcome {
        let labelled = part(Some(vec![0, 0, 0, 1, 0, 2]))?;
        for (most, expected) in [
            (1, vec![0]),
            (2, vec![0, 1]),
            (3, vec![0, 1, 2]),
            (5, vec![0, 0, 0, 1, 2]),
            (6, vec![0, 0, 0, 1, 0, 2]),
            (100, vec![0, 0, 0, 1, 0, 2]),
        ] {
            assert_eq!(labelled.limited(most)?.labels, Some(expected), "{most}");
        }
        // Of the first class the first ones.
        assert_eq!(rows(&labelled.limited(3)?)?, [[0.0, 1.0], [6.0, 7.0], [10.0, 11.0]]);
        assert_eq!(rows(&part(None)?.limited(3)?)?, [[0.0, 1.0], [4.0, 5.0], [8.0, 9.0]]);
        assert!(labelled.limited(0).is_err());
        Ok(())
    }

    #[test]
    fn a_split_that_leaves_one_side_empty_is_refused() -> Outcome {
        for one_in in [0, 1] {
            let error = hold_out(&part(None)?, one_in).err().ok_or("accepted")?;
            assert!(error.to_string().starts_with("one_in: expected at least 2"), "{error}");
        }
        let error = hold_out(&part(Some(vec![0, 0, 1, 1, 2, 2]))?, 3).err().ok_or("accepted")?;
        assert_eq!(
            error.to_string(),
            "one_in: expected at most 2, the number of cases in the largest class, found 3"
        );
        Ok(())
    }

    #[test]
    fn digits_are_split_within_each_class_and_always_alike() -> Outcome {
        let digits = load("digits", &plain())?.train;
        let (train, held_out) = hold_out(&digits, 5)?;
        let again = hold_out(&digits, 5)?;
        let count = |part: &Examples, digit| {
            part.labels.iter().flatten().filter(|&&label| label == digit).count()
        };
        for digit in 0..10 {
            assert_eq!(count(&held_out, digit), count(&digits, digit) / 5);
            assert_eq!(count(&held_out, digit) + count(&train, digit), count(&digits, digit));
        }
        assert_eq!((held_out.len(), train.len()), (355, 1442));
        assert_eq!((rows(&held_out)?, rows(&train)?), (rows(&again.1)?, rows(&again.0)?));
        let mut together = [rows(&train)?, rows(&held_out)?].concat();
        let mut all = rows(&digits)?;
        together.sort_by(|a, b| a.partial_cmp(b).expect("finite"));
        all.sort_by(|a, b| a.partial_cmp(b).expect("finite"));
        assert_eq!(together, all, "every case is on one side");
        Ok(())
    }

    #[test]
    fn a_value_out_of_range_is_named_by_case_and_place() -> Outcome {
        let part = part(None)?;
        check_range("x.npy", &part, 0.0, 11.0, "Binomial")?;
        let words = [
            "case 3, value 1",
            "[0, 3] for Bernoulli units (divide by the maximum with --scale",
            "4",
        ];
        assert_refused(check_range("x.npy", &part, 0.0, 3.0, "Bernoulli"), "x.npy".as_ref(), words);
        let nan = Examples::new(Tensor::new(&[[0f32, f32::NAN]], &Device::Cpu)?, None)?;
        assert_refused(
            check_range("x", &nan, 0.0, 1.0, "Bernoulli"),
            "x".as_ref(),
            ["case 1, value 2", "[0, 1]", "NaN"],
        );
        Ok(())
    }
}

mod csv {
    use super::*;

    #[test]
    fn lines_are_cases_with_or_without_a_header() -> Outcome {
        for text in ["1,2.5\n-3e2,4\n", "a, b\n1,2.5\n-3e2 , 4", "\u{feff}1,2.5\r\n\r\n-3e2,4\r\n"]
        {
            let set = read_file("some.data.csv", text.as_bytes(), &plain())?;
            assert_eq!(rows(&set.train)?, [[1.0, 2.5], [-300.0, 4.0]], "{text:?}");
            assert_eq!((set.train.labels, set.classes, set.image), (None, None, None));
            assert_eq!(set.name, "some.data");
        }
        Ok(())
    }

    /// What `dbn embed` writes is read again, without the numbers of its cases. A table that merely has a `row` keeps it.
    #[test]
    fn the_numbers_of_cases_are_no_features() -> Outcome {
        for text in ["row,label,codes_0,codes_1\n7,1,5,6\n9,0,7,8\n", "row,a_0,a_1\n7,5,6\n9,7,8\n"]
        {
            let set = read_file("x.csv", text.as_bytes(), &plain())?;
            assert_eq!(rows(&set.train)?, [[5.0, 6.0], [7.0, 8.0]], "{text:?}");
        }
        let one = read_file("x.csv", b"row,codes\n7,5\n9,7\n", &plain())?;
        assert_eq!(rows(&one.train)?, [[5.0], [7.0]]);
        for text in ["row,column,b\n7,5,6\n", "b_0,row,b_1\n7,5,6\n", "7,5,6\n"] {
            let set = read_file("x.csv", text.as_bytes(), &plain())?;
            assert_eq!(rows(&set.train)?, [[7.0, 5.0, 6.0]], "{text:?}");
        }
        Ok(())
    }

    #[test]
    fn gzipped_text_is_known_by_its_first_bytes() -> Outcome {
        for name in ["x.csv.gz", "x.csv", "x.train.data.gz"] {
            assert_eq!(
                rows(&read_file(name, &gzip(b"1,0\n0,1\n")?, &plain())?.train)?,
                [[1.0, 0.0], [0.0, 1.0]]
            );
        }
        assert_eq!(read_file("x.csv.gz", b"1,0\n", &plain())?.name, "x");
        Ok(())
    }

    #[test]
    fn labels_stand_in_the_column_that_is_named_or_called_for() -> Outcome {
        let text = b"Label,a,b\n2,5,6\n0,7,8\n";
        let labelled = |options: &ReadOptions| -> Outcome<_> {
            let set = read_file("x.csv", text, options)?;
            Ok((rows(&set.train)?.concat(), set.train.labels, set.classes))
        };
        let by_header = (vec![5.0, 6.0, 7.0, 8.0], Some(vec![2, 0]), Some(3));
        assert_eq!(labelled(&plain())?, by_header);
        assert_eq!(labelled(&column("first"))?, by_header);
        assert_eq!(labelled(&column("label"))?, by_header);
        assert_eq!(
            labelled(&column("last"))?,
            (vec![2.0, 5.0, 0.0, 7.0], Some(vec![0, 1]), Some(2)),
            "the classes 6 and 8"
        );
        assert_eq!(labelled(&column("a"))?, (vec![2.0, 6.0, 0.0, 8.0], Some(vec![0, 1]), Some(2)));
        assert_eq!(labelled(&column("2"))?, (vec![2.0, 6.0, 0.0, 8.0], Some(vec![0, 1]), Some(2)));
        assert_eq!(labelled(&column("none"))?, (vec![2.0, 5.0, 6.0, 0.0, 7.0, 8.0], None, None));
        assert_eq!("y".parse::<LabelColumn>()?, LabelColumn::Name("y".into()));
        Ok(())
    }

    refused! {
        empty: "x.csv", b"", plain() => ["byte 0", "comma-separated", "an empty file"];
        only_blank_lines: "x.csv", b"\n\n", plain() => ["line 1", "comma-separated", "an empty file"];
        only_a_header: "x.csv", b"a,b\n", plain() => ["after the header", "at least one case", "the end"];
        ragged: "x.csv", b"1,2\n3\n", plain() => ["line 2", "2 values, as in the first line", "1"];
        too_long_a_line: "x.csv", b"a,b\n1,2\n3,4,5\n", plain() => ["line 3", "2 values", "3"];
        a_word: "x.csv", b"1,2\n\n3,four\n", plain() => ["line 3, column 2", "a finite number", "`four`"];
        a_word_after_carriage_returns: "x.csv", "\u{feff}a,b\r\n1,2\r\n3,4\r\n5,six\r\n", plain()
            => ["line 4, column 2", "a finite number", "`six`"];
        a_missing_value: "x.csv", b"1,2\n,4\n", plain() => ["line 2, column 1", "a finite number", "an empty cell"];
        a_missing_value_in_the_first_line: "x.csv", b"1,\n3,4\n", plain() => ["line 1, column 2", "finite", "empty"];
        nan: "x.csv", b"1,2\n3,NaN\n", plain() => ["line 2, column 2", "a finite number", "`NaN`"];
        nan_in_the_first_line: "x.csv", b"1,nan\n3,4\n", plain() => ["line 1, column 2", "a finite number", "`nan`"];
        infinite: "x.csv", b"1,2\n3,-inf\n", plain() => ["line 2, column 2", "a finite number", "`-inf`"];
        beyond_single_precision: "x.csv", b"1,1e39\n", plain() => ["line 1, column 2", "a finite number", "`1e39`"];
        not_text: "x.csv", b"1,2\n\xff\xfe,4\n", plain() => ["line 2", "comma-separated", "invalid UTF-8"];
        truncated_gzip: "x.csv.gz", {
            let mut bytes = gzip(b"1,2\n3,4\n5,6\n")?;
            bytes.truncate(bytes.len() - 9);
            bytes
        }, plain() => ["unzipped byte", "a whole gzip stream", "truncated"];
        damaged_gzip: "x.csv.gz", {
            let mut bytes = gzip(b"1,2\n3,4\n5,6\n")?;
            let checksum = bytes.len() - 8;
            bytes[checksum] ^= 1;
            bytes
        }, plain() => ["unzipped byte 12", "a whole gzip stream", "corrupt"];
        gzipped_nothing: "x.csv.gz", gzip(b"")?, plain() => ["unzipped byte 0", "comma-separated", "an empty file"];
        a_fractional_label: "x.csv", b"y,a\n0.5,1\n", column("y") => ["line 2, column 1", "whole number or a word", "0.5"];
        a_label_nan: "x.csv", b"1,nan\n", column("last") => ["line 1, column 2", "a label", "nan"];
        a_missing_label_among_words: "x.csv", b"a,class\n1,cat\n2,\n", plain() => ["line 3, column 2", "a label", "an empty cell"];
        nothing_but_labels: "x.csv", b"1\n2\n", column("last") => ["cases", "at least one value", "none"];
        no_such_column: "x.csv", b"a,b\n1,2\n", column("c") => ["line 1", "a column named `c`", "`a`, `b`"];
        no_header_to_name: "x.csv", b"1,2\n", column("c") => ["line 1", "a column named `c`", "no header"];
    }
}

mod labels {
    use super::*;

    fn labelled(
        name: &str,
        labels: &[u8],
    ) -> Outcome<(TempDir, PathBuf, rbm_core::Result<Dataset>)> {
        let folder = folder(&[("x.csv", b"1,2\n3,4\n5,6\n"), (name, labels)])?;
        let file = folder.path().join(name);
        let set = read(
            &folder.path().join("x.csv"),
            &ReadOptions { labels: Some(file.clone()), ..plain() },
        );
        Ok((folder, file, set))
    }

    #[test]
    fn a_file_of_labels_may_have_any_form() -> Outcome {
        let idx = [&[0, 0, 8, 1, 0, 0, 0, 3], &[4u8, 0, 2][..]].concat();
        let text = b"4\n0\n2\n";
        let forms: [(&str, Vec<u8>); 8] = [
            ("y.txt", text.to_vec()),
            ("y.csv", b"label\n4\n0.0\n2\n".to_vec()),
            ("y.csv.gz", gzip(text)?),
            ("y.npy", npy("<i8", "(3,)", &[4i64, 0, 2].map(i64::to_le_bytes).concat())),
            ("y2.npy", npy("<f4", "(3, 1)", &[4f32, 0.0, 2.0].map(f32::to_le_bytes).concat())),
            ("y-idx1-ubyte", idx.clone()),
            ("y.idx1-ubyte.gz", gzip(&idx)?),
            ("y.idx", idx),
        ];
        for (name, bytes) in forms {
            let set = labelled(name, &bytes)?.2?;
            assert_eq!((set.train.labels, set.classes), (Some(vec![4, 0, 2]), Some(5)), "{name}");
        }
        Ok(())
    }

    #[test]
    fn a_damaged_file_of_labels_is_refused() -> Outcome {
        let fractions = npy("<f8", "(3,)", &[4f64, 0.0, 2.5].map(f64::to_le_bytes).concat());
        let matrix = npy("|u1", "(1, 3)", &[4, 0, 2]);
        let cases: [(&str, &[u8], [&str; 3]); 8] = [
            ("y.txt", b"4\n0\n", ["number of labels", "one for each of 3 cases", "2"]),
            ("y.txt", b"4,1\n0,1\n2,1\n", ["line 1", "one label a line", "2 values"]),
            ("y.txt", b"", ["byte 0", "one label a line", "an empty file"]),
            ("y.npy", &fractions, ["label 3", "a whole number", "2.5"]),
            ("y.npy", &matrix, ["shape", "(n,) or (n, 1)", "[1, 3]"]),
            ("y.idx", &[0, 0, 8, 1, 0, 0, 0, 3, 1, 2], ["byte 8", "3 bytes", "2 bytes"]),
            (
                "y.idx",
                b"4\n0\n2\n",
                ["byte 0", "magic number [00, 00, 08, 01]", "[34, 0a, 30, 0a]"],
            ),
            ("y.labels", b"4\n0\n2\n", ["ending", "a .csv or .txt file", ".labels"]),
        ];
        for (name, bytes, words) in cases {
            let (_folder, file, set) = labelled(name, bytes)?;
            assert_refused(set, &file, words);
        }
        let (folder, _, _) = labelled("y.txt", b"")?;
        let missing = folder.path().join("z.txt");
        let options = ReadOptions { labels: Some(missing.clone()), ..plain() };
        let set = read(&folder.path().join("x.csv"), &options);
        assert_refused(set, &missing, ["file of labels", ".npy file, an IDX file", "no file"]);
        Ok(())
    }
}

/// A .npy file in NumPy's own layout.
fn npy(kind: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    npy_with_header(
        &format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n"),
        data,
    )
}

fn npy_with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(header.len()).expect("a short header").to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
}

mod npy {
    use super::*;

    fn of(kind: &str, data: &[u8]) -> Outcome<Vec<Vec<f32>>> {
        rows(&read_file("x.npy", &npy(kind, "(2, 2)", data), &plain())?.train)
    }

    #[test]
    fn numbers_of_every_type_are_read() -> Outcome {
        let expected = [[0.0, 1.0], [1.0, 0.0]];
        let bits = [0u8, 1, 1, 0];
        assert_eq!(of("|b1", &bits)?, expected);
        assert_eq!(of("|u1", &bits)?, expected);
        assert_eq!(of("|i1", &bits)?, expected);
        assert_eq!(of("<u2", &bits.map(|x| u16::from(x).to_le_bytes()).concat())?, expected);
        assert_eq!(of(">u2", &bits.map(|x| u16::from(x).to_be_bytes()).concat())?, expected);
        assert_eq!(of("<i2", &bits.map(|x| i16::from(x).to_le_bytes()).concat())?, expected);
        assert_eq!(of("<u4", &bits.map(|x| u32::from(x).to_le_bytes()).concat())?, expected);
        assert_eq!(of("<i4", &bits.map(|x| i32::from(x).to_le_bytes()).concat())?, expected);
        assert_eq!(of("<u8", &bits.map(|x| u64::from(x).to_le_bytes()).concat())?, expected);
        assert_eq!(of("<i8", &bits.map(|x| i64::from(x).to_le_bytes()).concat())?, expected);
        assert_eq!(of("<f4", &bits.map(|x| f32::from(x).to_le_bytes()).concat())?, expected);
        assert_eq!(of(">f8", &bits.map(|x| f64::from(x).to_be_bytes()).concat())?, expected);
        assert_eq!(of("|i1", &[255, 0, 0, 128])?, [[-1.0, 0.0], [0.0, -128.0]]);
        Ok(())
    }

    #[test]
    fn pictures_are_flattened_and_their_size_kept() -> Outcome {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255];
        let set = read_file("x.npy", &npy("|u1", "(2, 2, 3)", &bytes), &plain())?;
        assert_eq!(set.image, Some((2, 3)));
        assert_eq!(
            rows(&set.train)?,
            [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [7.0, 8.0, 9.0, 10.0, 11.0, 255.0]]
        );
        let square = read_file("x.npy", &npy("|u1", "(1, 4)", &bytes[..4]), &plain())?;
        assert_eq!(square.image, None);
        Ok(())
    }

    #[test]
    fn columns_first_is_turned_into_rows_first() -> Outcome {
        let fortran =
            |shape| format!("{{'descr': '|u1', 'fortran_order': True, 'shape': {shape}}}");
        let set = read_file(
            "x.npy",
            &npy_with_header(&fortran("(2, 3)"), &[1, 4, 2, 5, 3, 6]),
            &plain(),
        )?;
        assert_eq!(rows(&set.train)?, [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        let set =
            read_file("x.npy", &npy_with_header(&fortran("(1, 2, 2)"), &[1, 3, 2, 4]), &plain())?;
        assert_eq!(rows(&set.train)?, [[1.0, 2.0, 3.0, 4.0]]);
        Ok(())
    }

    #[test]
    fn what_npyz_writes_is_read() -> Outcome {
        use npyz::WriterBuilder;
        let mut bytes = Vec::new();
        let options = npyz::WriteOptions::<f64>::new().default_dtype().shape(&[3, 2]);
        let mut writer = options.writer(&mut bytes).begin_nd()?;
        writer.extend([0.5, -1.0, 2.0, 3.0, 4.0, 5.0])?;
        writer.finish()?;
        let set = read_file("x.npy", &bytes, &plain())?;
        assert_eq!(rows(&set.train)?, [[0.5, -1.0], [2.0, 3.0], [4.0, 5.0]]);
        Ok(())
    }

    refused! {
        empty: "x.npy", b"", plain() => ["byte 0", "a NumPy .npy file", "an empty file"];
        wrong_magic: "x.npy", b"PK\x03\x04rest", plain() => ["byte 0", "the magic number", "[50, 4b, 03, 04"];
        only_the_magic: "x.npy", b"\x93NUMPY", plain() => ["byte 6", "version 1, 2 or 3", "[]"];
        a_future_version: "x.npy", b"\x93NUMPY\x09\x00\x00\x00\x00\x00", plain() => ["byte 6", "version 1, 2 or 3", "[09, 00, 00, 00, 00, 00]"];
        truncated_header: "x.npy", &npy("|u1", "(2, 2)", &[])[..40], plain() => ["header", "all of them", "in a file of 40"];
        a_header_of_gigabytes: "x.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", plain() => ["header", "at most 10000", "4294967295"];
        a_header_that_nests: "x.npy", npy_with_header(&"(".repeat(5000), &[]), plain() => ["header", "'fortran_order': False", "((((("];
        sixteen_brackets: "x.npy", npy_with_header(&"{".repeat(16), &[]), plain() => ["header", "'fortran_order': False", "{{{{"];
        a_header_of_something_else: "x.npy", npy_with_header("{'shape': 3}", &[]), plain() => ["header", "NumPy", "{'shape': 3}"];
        a_key_twice: "x.npy", npy_with_header("{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (1,)}", &[]), plain() => ["header", "'fortran_order': False", "'descr': '|u1'"];
        a_record: "x.npy", npy_with_header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", &[0; 4]), plain() => ["header", "one type for all numbers", "[('a'"];
        truncated: "x.npy", npy("<f4", "(2, 2)", &[0; 15]), plain() => ["byte ", "16 bytes for shape [2, 2]", "15 bytes"];
        trailing: "x.npy", npy("<f4", "(2, 2)", &[0; 17]), plain() => ["byte ", "16 bytes for shape [2, 2]", "17 bytes"];
        terabytes_declared: "x.npy", npy("<f8", "(1000000, 1000000)", &[0; 8]), plain() => ["byte ", "8000000000000 bytes", "8 bytes"];
        a_shape_that_overflows: "x.npy", npy("<f8", "(4294967296, 4294967296)", &[0; 8]), plain() => ["shape", "fits", "4294967296"];
        strides_that_overflow: "x.npy", npy("<f8", "(0, 4294967296, 4294967296)", &[]), plain() => ["shape", "fits", "4294967296"];
        a_shape_of_sums: "x.npy", npy("<f8", "(1 + 4294967295, 1 + 4294967295)", &[]), plain() => ["shape", "whole numbers", "'shape': ("];
        a_negative_shape: "x.npy", npy("<f8", "(-1, 2)", &[]), plain() => ["shape", "whole numbers", "'shape': ("];
        a_hexadecimal_shape: "x.npy", npy("<f8", "(0xffffffffffffffff, 2)", &[]), plain() => ["shape", "fits", "0xff"];
        no_rows: "x.npy", npy("<f4", "(0, 4)", &[]), plain() => ["shape", "at least one case", "[0, 4]"];
        no_columns: "x.npy", npy("<f4", "(4, 0)", &[]), plain() => ["shape", "at least one value", "[4, 0]"];
        a_vector: "x.npy", npy("|u1", "(2,)", &[1, 2]), plain() => ["shape", "(n, width) or (n, height, width)", "[2]"];
        three_channels: "x.npy", npy("|u1", "(1, 2, 2, 3)", &[1; 12]), plain() => ["shape", "one channel", "[1, 2, 2, 3]"];
        nan: "x.npy", npy("<f4", "(2, 2)", &[0f32, 0.0, 0.0, f32::NAN].map(f32::to_le_bytes).concat()), plain()
            => ["case 2, value 2", "a finite number", "NaN"];
        infinite: "x.npy", npy("<f8", "(1, 2)", &[0f64, f64::NEG_INFINITY].map(f64::to_le_bytes).concat()), plain()
            => ["case 1, value 2", "a finite number", "-inf"];
        text: "x.npy", npy("<U1", "(1, 1)", &[65, 0, 0, 0]), plain() => ["type", "booleans, integers", "<U1"];
        complex: "x.npy", npy("<c8", "(1, 1)", &[0; 8]), plain() => ["type", "float32 or float64", "<c8"];
        objects: "x.npy", npy("|O", "(1, 1)", &[0; 8]), plain() => ["type", "float32 or float64", "|O"];
        neither_true_nor_false: "x.npy", npy("|b1", "(1, 2)", &[1, 2]), plain() => ["number 2", "booleans", "2"];
    }
}

mod idx {
    use super::*;

    fn pictures(dimensions: [u32; 3], pixels: &[u8]) -> Vec<u8> {
        [&[0, 0, 8, 3], dimensions.map(u32::to_be_bytes).as_flattened(), pixels].concat()
    }

    fn classes(labels: &[u8]) -> Vec<u8> {
        [&[0, 0, 8, 1], &(labels.len() as u32).to_be_bytes()[..], labels].concat()
    }

    #[test]
    fn all_four_files_are_read_under_either_name_plain_or_gzipped() -> Outcome {
        let train = pictures([2, 1, 3], &[0, 51, 255, 102, 0, 0]);
        let test = pictures([1, 1, 3], &[255, 255, 0]);
        let folder = folder(&[
            ("train-images-idx3-ubyte", &train),
            ("train-labels.idx1-ubyte.gz", &gzip(&classes(&[0, 1]))?),
            ("t10k-images.idx3-ubyte", &test),
            ("t10k-labels-idx1-ubyte.gz", &gzip(&classes(&[6]))?),
        ])?;
        let set = read(folder.path(), &plain())?;
        assert_eq!(rows(&set.train)?, [[0.0, 0.2, 1.0], [0.4, 0.0, 0.0]]);
        assert_eq!(
            (set.image, set.classes, set.train.labels),
            (Some((1, 3)), Some(7), Some(vec![0, 1]))
        );
        let test = set.held_out.ok_or("no test part")?;
        assert_eq!((rows(&test)?, test.labels), (vec![vec![1.0, 1.0, 0.0]], Some(vec![6])));
        Ok(())
    }

    #[test]
    fn a_folder_may_have_only_the_training_files() -> Outcome {
        let train = pictures([1, 2, 2], &[1, 2, 3, 4]);
        let folder = folder(&[
            ("train-images-idx3-ubyte", &train),
            ("train-labels-idx1-ubyte", &classes(&[3])),
        ])?;
        let raw = read(folder.path(), &ReadOptions { scale: Some(1.0), ..plain() })?;
        assert_eq!(rows(&raw.train)?, [[1.0, 2.0, 3.0, 4.0]]);
        assert!(raw.held_out.is_none());
        Ok(())
    }

    #[test]
    fn a_missing_file_is_asked_for_by_its_names() -> Outcome {
        let one = pictures([1, 1, 1], &[9]);
        let train: [(&str, &[u8]); 2] =
            [("train-images-idx3-ubyte", &one), ("train-labels-idx1-ubyte", &classes(&[3]))];
        let some = folder(&[("train-labels-idx1-ubyte", &classes(&[3]))])?;
        let words = [
            "folder of IDX files",
            "train-images-idx3-ubyte or train-images.idx3-ubyte, plain or with .gz",
            "no such",
        ];
        assert_refused(read(some.path(), &plain()), some.path(), words);
        // A folder in which there is none says what it was looked through for, and what is there.
        for (name, found) in [
            (None, "an empty folder"),
            (Some("1.JPG"), "1 .jpg files (make them PNG files)"),
            (Some("1.png"), "1 .png files that are in no folder of a class"),
        ] {
            let files: Vec<(&str, &[u8])> = name.iter().map(|name| (*name, &b"x"[..])).collect();
            let some = folder(&files)?;
            let words = ["folder", "or PNG files in a folder for each class", found];
            assert_refused(read(some.path(), &plain()), some.path(), words);
        }
        let some = folder(&train[..1])?;
        assert_refused(
            read(some.path(), &plain()),
            some.path(),
            ["folder", "train-labels-idx1-ubyte or", "no such"],
        );
        let some = folder(&[train[0], train[1], ("t10k-images-idx3-ubyte", &one)])?;
        assert_refused(
            read(some.path(), &plain()),
            some.path(),
            ["folder", "t10k-labels-idx1-ubyte or", "no such"],
        );
        let some = folder(&[train[0], train[1], ("t10k-labels-idx1-ubyte.gz", &classes(&[3]))])?;
        assert_refused(
            read(some.path(), &plain()),
            some.path(),
            ["folder", "t10k-images-idx3-ubyte or", "no such"],
        );
        Ok(())
    }

    #[test]
    fn test_pictures_have_the_size_of_the_training_pictures() -> Outcome {
        let folder = folder(&[
            ("train-images-idx3-ubyte", &pictures([1, 2, 3], &[0; 6])),
            ("train-labels-idx1-ubyte", &classes(&[3])),
            ("t10k-images-idx3-ubyte", &pictures([1, 3, 2], &[0; 6])),
            ("t10k-labels-idx1-ubyte", &classes(&[3])),
        ])?;
        let file = folder.path().join("t10k-images-idx3-ubyte");
        assert_refused(
            read(folder.path(), &plain()),
            &file,
            ["dimensions", "2 × 3 pixels", "3 × 2"],
        );
        Ok(())
    }

    #[test]
    fn damaged_pictures_and_labels_are_refused() -> Outcome {
        let whole = pictures([2, 2, 2], &[7; 8]);
        let zipped = gzip(&whole)?;
        let two = classes(&[0, 1]);
        let too_many = pictures([u32::MAX; 3], &[0]);
        let empty = ["byte 0", "an IDX file of images", "an empty file"];
        let images: [(&[u8], [&str; 3]); 12] = [
            (b"", empty),
            (&whole[..3], ["byte 0", "magic number [00, 00, 08, 03]", "[00, 00, 08]"]),
            (&two, ["byte 0", "magic number [00, 00, 08, 03] of images", "[00, 00, 08, 01]"]),
            (&[0, 0, 13, 3, 0, 0, 0, 1], ["byte 0", "unsigned bytes", "[00, 00, 0d, 03]"]),
            (&whole[..15], ["byte 4", "a header of 16 bytes", "15 bytes: it is truncated"]),
            (&whole[..23], ["byte 16", "8 bytes for dimensions [2, 2, 2]", "7 bytes"]),
            (
                &[whole.as_slice(), &[0]].concat(),
                ["byte 16", "8 bytes for dimensions [2, 2, 2]", "9 bytes"],
            ),
            (
                &too_many,
                [
                    "byte 16",
                    "more bytes for dimensions [4294967295, 4294967295, 4294967295]",
                    "1 bytes",
                ],
            ),
            (&pictures([0, 28, 28], &[]), ["byte 4", "at least one of the images", "[0, 28, 28]"]),
            (&pictures([2, 0, 28], &[]), ["byte 4", "at least one of the images", "[2, 0, 28]"]),
            (&zipped[..zipped.len() - 10], ["unzipped byte", "a whole gzip stream", "truncated"]),
            (&gzip(b"")?, ["unzipped byte 0", "an IDX file of images", "an empty file"]),
        ];
        for (bytes, words) in images {
            let folder = folder(&[
                ("train-images-idx3-ubyte.gz", bytes),
                ("train-labels-idx1-ubyte", &two),
            ])?;
            assert_refused(
                read(folder.path(), &plain()),
                &folder.path().join("train-images-idx3-ubyte.gz"),
                words,
            );
        }
        let labels: [(&[u8], [&str; 3]); 5] = [
            (b"", ["byte 0", "an IDX file of labels", "an empty file"]),
            (&whole, ["byte 0", "magic number [00, 00, 08, 01] of labels", "[00, 00, 08, 03]"]),
            (&classes(&[1]), ["number of labels", "one for each of 2 cases", "1"]),
            (&[&two[..], &[9]].concat(), ["byte 8", "2 bytes for dimensions [2]", "3 bytes"]),
            (&classes(&[]), ["byte 4", "at least one of the labels", "[0]"]),
        ];
        for (bytes, words) in labels {
            let folder =
                folder(&[("train-images.idx3-ubyte", &whole), ("train-labels.idx1-ubyte", bytes)])?;
            assert_refused(
                read(folder.path(), &plain()),
                &folder.path().join("train-labels.idx1-ubyte"),
                words,
            );
        }
        Ok(())
    }
}

type Stored<'a> = (&'a str, Dtype, &'a [usize], &'a [u8]);

fn tensors(tensors: &[Stored<'_>]) -> Outcome<Vec<u8>> {
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .map(|&(name, kind, shape, data)| {
            TensorView::new(kind, shape.to_vec(), data).map(|view| (name, view))
        })
        .collect();
    Ok(safetensors::serialize(views?, None)?)
}

mod tensor_files {
    use super::*;

    const X: Stored<'static> = ("x", Dtype::U8, &[2, 2], &[1, 2, 3, 4]);
    const PIXELS: Stored<'static> = ("pixels", Dtype::U8, &[2, 2, 1], &[1, 2, 3, 4]);

    fn of(stored: &[Stored<'_>]) -> Outcome<Dataset> {
        read_file("x.safetensors", &tensors(stored)?, &plain())
    }

    #[test]
    fn cases_are_found_by_name_or_because_there_is_no_other_matrix() -> Outcome {
        let weights: Stored<'_> = ("a", Dtype::U8, &[1, 1], &[9]);
        let vector: Stored<'_> = ("b", Dtype::U8, &[2], &[9, 9]);
        for name in ["cases", "data", "x", "samples", "images"] {
            assert_eq!(
                rows(&of(&[weights, (name, X.1, X.2, X.3)])?.train)?,
                [[1.0, 2.0], [3.0, 4.0]],
                "{name}"
            );
        }
        let set = of(&[PIXELS, vector])?;
        assert_eq!(rows(&set.train)?, [[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!((set.image, set.train.labels, set.name.as_str()), (Some((2, 1)), None, "x"));
        Ok(())
    }

    #[test]
    fn labels_and_every_type_of_number_are_read() -> Outcome {
        let double = [0.5f64, 1.0, 2.0, 3.0].map(f64::to_le_bytes).concat();
        let whole = [3i64, 0].map(i64::to_le_bytes).concat();
        let set =
            of(&[("cases", Dtype::F64, &[2, 2], &double), ("labels", Dtype::I64, &[2], &whole)])?;
        assert_eq!(rows(&set.train)?, [[0.5, 1.0], [2.0, 3.0]]);
        assert_eq!((set.train.labels, set.classes), (Some(vec![3, 0]), Some(4)));
        let half = [0x3c00u16, 0xc000].map(u16::to_le_bytes).concat();
        let set = of(&[("rows", Dtype::F16, &[1, 2], &half), ("y", Dtype::U8, &[1, 1], &[7])])?;
        assert_eq!((rows(&set.train)?, set.train.labels), (vec![vec![1.0, -2.0]], Some(vec![0])));
        assert_eq!(set.class_names, Some(vec!["7".into()]));
        let brain = [0x3f80u16, 0xc000].map(u16::to_le_bytes).concat();
        let set = of(&[("rows", Dtype::BF16, &[1, 2], &brain)])?;
        assert_eq!(rows(&set.train)?, [[1.0, -2.0]]);
        Ok(())
    }

    #[test]
    fn what_candle_writes_is_read() -> Outcome {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("sampled.safetensors");
        let samples = Tensor::new(&[[0f32, 1.0, 0.25]], &Device::Cpu)?;
        candle_core::safetensors::save(&[("samples", samples)].into(), &path)?;
        assert_eq!(rows(&read(&path, &plain())?.train)?, [[0.0, 1.0, 0.25]]);
        Ok(())
    }

    refused! {
        empty: "x.safetensors", b"", plain() => ["byte 0", "a .safetensors file", "an empty file"];
        wrong_magic: "x.safetensors", b"\x93NUMPY\x01\x00etc", plain() => ["header", "a whole .safetensors file", "header"];
        truncated_header: "x.safetensors", &tensors(&[X])?[..30], plain() => ["header", "whole", "invalid header length"];
        truncated: "x.safetensors", { let mut file = tensors(&[X])?; file.pop(); file }, plain() => ["header", "whole", ""];
        trailing: "x.safetensors", { let mut file = tensors(&[X])?; file.push(0); file }, plain() => ["header", "whole", ""];
        no_tensor: "x.safetensors", tensors(&[])?, plain() => ["tensors", "`cases`, `data`", "no tensor"];
        two_matrices: "x.safetensors", tensors(&[PIXELS, ("w", X.1, X.2, X.3)])?, plain()
            => ["tensors", "or only one matrix", "`pixels` [2, 2, 1], `w` [2, 2]"];
        only_a_vector: "x.safetensors", tensors(&[("w", Dtype::U8, &[4], &[0; 4])])?, plain() => ["tensors", "`x`", "`w` [4]"];
        wrong_shape: "x.safetensors", tensors(&[("x", Dtype::U8, &[4], &[0; 4])])?, plain()
            => ["tensor `x`", "(n, width) or (n, height, width)", "[4]"];
        no_rows: "x.safetensors", tensors(&[("x", Dtype::F32, &[0, 4], &[])])?, plain()
            => ["tensor `x`", "at least one case", "[0, 4]"];
        no_rows_of_much: "x.safetensors", tensors(&[("x", Dtype::U8, &[0, 1 << 40, 1 << 40], &[])])?, plain()
            => ["tensor `x`", "at least one case", "[0, 1099511627776, 1099511627776]"];
        wrong_type: "x.safetensors", tensors(&[("x", Dtype::BOOL, &[1, 2], &[0, 1])])?, plain()
            => ["tensor `x`", "F64, F32", "BOOL"];
        nan: "x.safetensors", tensors(&[("x", Dtype::F32, &[1, 2], &[0f32, f32::NAN].map(f32::to_le_bytes).concat())])?, plain()
            => ["case 1, value 2", "a finite number", "NaN"];
        too_few_labels: "x.safetensors", tensors(&[X, ("y", Dtype::U8, &[1], &[1])])?, plain()
            => ["number of labels", "one for each of 2 cases", "1"];
        misshapen_labels: "x.safetensors", tensors(&[X, ("labels", Dtype::U8, &[1, 2], &[1, 2])])?, plain()
            => ["tensor `labels`", "(n,) or (n, 1)", "[1, 2]"];
        labels_of_another_type: "x.safetensors", tensors(&[X, ("y", Dtype::BOOL, &[2], &[1, 0])])?, plain()
            => ["tensor `y`", "U8", "BOOL"];
    }
}
