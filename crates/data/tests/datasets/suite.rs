//! Three files of zeros and ones, the form of the data sets of density estimation.

use super::*;

const TRAIN: &[u8] = b"0,1,1\n1,0,0\n1,1,1\n";
const VALID: &[u8] = b"0,0,1\n";
const TEST: &[u8] = b"1,1,0\n0,0,0\n";

#[test]
fn the_three_files_are_the_three_parts() -> Outcome {
    let zipped = gzip(TRAIN)?;
    let folder = folder(&[
        ("a.train.data.gz", &zipped),
        ("a.valid.data", VALID),
        ("a.test.data", TEST),
        ("notes.txt", b"about them"),
    ])?;
    let named = folder.path().join("a");
    for source in [folder.path(), &named] {
        let set = read(source, &plain())?;
        assert_eq!((set.name.as_str(), set.image, set.classes), ("a", None, None));
        assert!(!set.is_population);
        assert!(candle_dbn_data::is_suite(&source.display().to_string()));
        // However much the recipe would hold out.
        let parts = set.parts(Some(2), Some(2))?;
        assert_eq!(rows(&parts.train)?, [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]);
        assert_eq!(rows(parts.validation.as_ref().ok_or("no validation")?)?, [[0.0, 0.0, 1.0]]);
        let test = rows(parts.held_out.as_ref().ok_or("no test part")?)?;
        assert_eq!(test, [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]);
        check_range("a", &parts.train, 0.0, 1.0, "Bernoulli")?;
    }
    Ok(())
}

#[test]
fn of_several_in_a_folder_one_is_named() -> Outcome {
    let folder = folder(&[
        ("a.train.data", TRAIN),
        ("b.train.data", b"1\n0\n"),
        ("b.valid.data", b"1\n"),
        ("b.test.data", b"1\n"),
    ])?;
    let words = ["*.train.data", "one name: choose one with FOLDER/NAME", "those of a, b"];
    assert_refused(read(folder.path(), &plain()), folder.path(), words);
    let set = read(&folder.path().join("b"), &plain())?;
    assert_eq!((set.train.len(), set.train.width()), (2, 1));
    let words = ["folder of three parts", "a file a.valid.data, plain or with .gz", "no such file"];
    assert_refused(read(&folder.path().join("a"), &plain()), folder.path(), words);
    Ok(())
}

#[test]
fn what_is_not_a_bit_is_refused_by_file_and_line() -> Outcome {
    for (name, text, words) in [
        ("a.train.data", "0,1\n\n0,2\n", ["line 3, column 2", "0 or 1", "`2`"]),
        ("a.train.data", "0,1\n0\n", ["line 2", "2 values, as in the first line", "1"]),
        ("a.valid.data", "x,y\n0,1\n", ["line 1, column 1", "0 or 1", "`x`"]),
        ("a.test.data", "0,1,1\n", ["line 1", "2 values, as for training", "3"]),
        ("a.test.data", "", ["byte 0", "zeros and ones", "an empty file"]),
        ("a.test.data", "\n\n", ["line 1", "zeros and ones", "an empty file"]),
        ("a.valid.data", "0,0.5\n", ["line 1, column 2", "0 or 1", "`0.5`"]),
    ] {
        let whole = b"0,1\n1,1\n";
        let folder =
            folder(&[("a.train.data", whole), ("a.valid.data", whole), ("a.test.data", whole)])?;
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        assert_refused(read(folder.path(), &plain()), &path, words);
    }
    Ok(())
}

#[test]
fn nltcs_has_the_numbers_of_the_literature() -> Outcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/debd/nltcs");
    if !path.is_dir() {
        eprintln!("SKIPPED: NLTCS is not in ../shared/data/debd");
        return Ok(());
    }
    let parts = read(&path, &plain())?.parts(Some(5), Some(10))?;
    let sizes = [Some(&parts.train), parts.validation.as_ref(), parts.held_out.as_ref()]
        .map(|part| part.map(|part| (part.len(), part.width())));
    assert_eq!(sizes, [Some((16181, 16)), Some((2157, 16)), Some((3236, 16))]);
    Ok(())
}
