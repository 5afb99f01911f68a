//! Tables as they are found: what is guessed is right, and said.

use super::*;
use candle_dbn_data::{Column, Columns, Content, Known, Missing};

/// ReadOptions under which the columns are told apart, as a training reads them.
fn known_by(known: Known) -> ReadOptions {
    ReadOptions { known, ..plain() }
}

fn auto() -> ReadOptions {
    ReadOptions { finds_kinds: true, ..plain() }
}

fn table(text: &str) -> Outcome<Dataset> {
    read_file("t.csv", text.as_bytes(), &auto())
}

fn has_note(set: &Dataset, words: &str) -> bool {
    set.notes.iter().any(|note| note.contains(words))
}

fn names(set: &Dataset) -> Vec<String> {
    let columns = set.columns.iter().flat_map(|columns| columns.0.iter());
    columns.filter_map(|column| column.name.clone()).collect()
}

fn units(set: &Dataset) -> String {
    set.columns.as_ref().map(|columns| columns.units().to_string()).unwrap_or_default()
}

#[test]
fn an_index_is_no_feature() -> Outcome {
    for first in ["", "Unnamed: 0"] {
        let set = table(&format!("{first},a,class\n0,0.5,0\n1,2.5,1\n2,0.25,0\n"))?;
        assert_eq!(rows(&set.train)?, [[0.5], [2.5], [0.25]], "{first:?}");
        assert_eq!((names(&set), has_note(&set, "counts the cases")), (vec!["a".into()], true));
    }
    // Shuffled or thinned out it is an index still; one that has a name, or in which numbers come again, is a feature.
    let set = table(",a,class\n7,0.5,0\n3,2.5,1\n12,0.25,0\n")?;
    assert_eq!((names(&set), has_note(&set, "counts the cases")), (vec!["a".into()], true));
    let known = known_by(Known { columns: set.columns.clone(), ..Known::default() });
    assert_eq!(rows(&read_file("u.csv", b",a\n1,4.5\n", &known)?.train)?, [[4.5]]);
    for text in ["n,a\n0,0.5\n1,2.5\n", ",a\n2,0.5\n2,2.5\n"] {
        let set = table(text)?;
        assert_eq!((set.train.width(), has_note(&set, "counts the cases")), (2, false), "{text:?}");
    }
    // R's row names: a header one shorter than the cases.
    let set = table("a b\n1 0.5 2\n2 2.5 3\n3 1.5 1\n")?;
    assert_eq!(rows(&set.train)?, [[0.5, 2.0], [2.5, 3.0], [1.5, 1.0]]);
    Ok(())
}

#[test]
fn the_first_line_is_a_header_or_a_case() -> Outcome {
    let cases = |text: &str| -> Outcome<usize> { Ok(table(text)?.train.len()) };
    assert_eq!(cases("0,1,2,3\n0.5,1,2,1\n1.5,0,0,1\n")?, 2, "columns that are counted");
    assert!(has_note(&table("0,1,2,3\n0.5,1,2,1\n1.5,0,0,1\n")?, "counts the columns"));
    assert_eq!(cases(",0,1,2\n0,1,1,0\n1,0,1,0\n")?, 2);
    assert_eq!(cases("0,1,2\n1,1,0\n0,1,1\n")?, 3, "a case may count by chance");
    assert_eq!(cases("red,round,1\nblue,round,2\nred,flat,1\n")?, 3, "words that come again");
    assert_eq!(cases("colour,shape\nred,round\nblue,round\nred,flat\n")?, 3, "words that do not");
    let options = ReadOptions { missing: Some(Missing::Mean), ..auto() };
    let set = read_file("q.csv", b"?,0,1\n1,1,0\n0,1,1\n", &options)?;
    assert_eq!((set.train.len(), names(&set).len()), (3, 0), "what is missing is no name");
    Ok(())
}

#[test]
fn labels_have_many_names() -> Outcome {
    for name in ["# label", "Labels", "TARGET", "class", "y", "classes", " Label"] {
        let set = table(&format!("{name},a,b\n1,1,0.5\n0,0,2.5\n"))?;
        assert_eq!((set.train.width(), set.train.labels), (2, Some(vec![1, 0])), "{name}");
    }
    Ok(())
}

#[test]
fn the_separator_is_found_and_said() -> Outcome {
    for (separator, said) in [(";", "semicolons"), ("\t", "tabs"), ("|", "bars"), ("  ", "blanks")]
    {
        let text = ["a,b,label", "1.5,2,0", "2.5,3,1"].join("\n").replace(',', separator);
        let set = table(&text)?;
        assert_eq!(rows(&set.train)?, [[1.5, 2.0], [2.5, 3.0]], "{said}");
        assert_eq!((set.train.labels.clone(), has_note(&set, said)), (Some(vec![0, 1]), true));
    }
    let set = table("a;b\n1,5;2\n2,5;-3\n")?;
    assert_eq!(rows(&set.train)?, [[1.5, 2.0], [2.5, -3.0]]);
    assert!(has_note(&set, "decimals"));
    Ok(())
}

#[test]
fn words_are_categories_and_classes() -> Outcome {
    let set = table("colour,size,kind\nred,1.5,cat\nblue,2.5,dog\nred,-1,cat\ngreen,4,ant\n")?;
    let set_of = |column: &str| {
        read_file(
            "t.csv",
            b"colour,size,kind\nred,1.5,cat\nblue,2.5,dog\nred,-1,cat\ngreen,4,ant\n",
            &ReadOptions { label_column: Some(LabelColumn::Name(column.into())), ..auto() },
        )
    };
    assert_eq!(units(&set), "potts(3):1+gaussian:1+potts(3):1");
    assert_eq!(rows(&set.train)?[1], [1.0, 0.0, 0.0, 2.5, 0.0, 0.0, 1.0]);
    let set = set_of("kind")?;
    assert_eq!(set.train.labels, Some(vec![1, 2, 1, 0]));
    let words = |words: &[&str]| Some(words.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!((set.classes, set.class_names), (Some(3), words(&["ant", "cat", "dog"])));
    // A few words among numbers are mistakes, and names of cases are no categories.
    let refused = read_file("t.csv", b"a,b\n1,2\n2,3\nx,4\n", &auto());
    let message = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.contains("line 4, column 1") && message.contains("`x`"), "{message}");
    let named: String = (0..50).map(|i| format!("case-{i},{}\n", i % 7)).collect();
    let set = table(&format!("who,n\n{named}"))?;
    assert_eq!((names(&set), has_note(&set, "names cases")), (vec!["n".into()], true));
    Ok(())
}

#[test]
fn columns_are_told_apart() -> Outcome {
    let lines: String = (0..60)
        .map(|i| format!("{},{},{},{}\n", i % 2, i % 4, 1 + i % 3, f64::from(i) / 7.0))
        .collect();
    let text = format!("bit,code,grade,size\n{lines}");
    let set = table(&text)?;
    assert_eq!(units(&set), "bernoulli:1+potts(4):1+potts(3):1+gaussian:1");
    assert_eq!(rows(&set.train)?[5], [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 5.0 / 7.0]);
    assert!(has_note(&set, "`code` of 4, `grade` of 3"), "{:?}", set.notes);
    let options =
        ReadOptions { numbers: vec!["code".into()], categories: vec!["1".into()], ..auto() };
    let set = read_file("t.csv", text.as_bytes(), &options)?;
    assert_eq!(units(&set), "potts(2):1+gaussian:1+potts(3):1+gaussian:1");
    let options = ReadOptions { drop: vec!["code".into(), "3".into()], ..auto() };
    assert_eq!(names(&read_file("t.csv", text.as_bytes(), &options)?), ["bit", "size"]);
    let wrong = ReadOptions { categories: vec!["cod".into()], ..auto() };
    let message = read_file("t.csv", text.as_bytes(), &wrong).err().ok_or("accepted")?.to_string();
    assert!(message.contains("one of bit, code") && message.contains("\"cod\""), "{message}");
    // Numbers that were not asked about stay as they are.
    assert_eq!(read_file("t.csv", text.as_bytes(), &plain())?.train.width(), 4);
    Ok(())
}

/// A model's columns: what other tables call otherwise, or have elsewhere, is brought into order or refused.
#[test]
fn another_table_is_read_as_the_one_that_was_learned() -> Outcome {
    let learned = table("a,colour,b\n1.5,red,2\n2.5,blue,3\n3.5,red,9.5\n")?;
    let known = known_by(Known { columns: learned.columns.clone(), ..Known::default() });
    let other = |text: &str| read_file("u.csv", text.as_bytes(), &known);
    let set = other("b,extra,a,colour\n20,7,10,blue\n")?;
    assert_eq!(rows(&set.train)?, [[10.0, 1.0, 0.0, 20.0]]);
    assert!(has_note(&set, "order that the model") && has_note(&set, "`extra`"), "{:?}", set.notes);
    assert_eq!(rows(&other("10,blue,20\n")?.train)?, [[10.0, 1.0, 0.0, 20.0]], "without a header");
    for (text, words) in [
        ("a,color,b\n1,red,2\n", ["also `colour`", "`color`"]),
        ("a,colour,b\n1,pink,2\n", ["`blue`, `red`", "`pink`"]),
        ("1,red\n", ["3 values", "2"]),
    ] {
        let message = other(text).err().ok_or("accepted")?.to_string();
        assert!(words.iter().all(|words| message.contains(words)), "{message}");
    }
    let classes: Vec<String> = vec!["cat".into(), "dog".into()];
    let options = known_by(Known { class_names: Some(classes.into()), ..Known::default() });
    assert_eq!(
        read_file("l.csv", b"a,label\n1,dog\n2,dog\n", &options)?.train.labels,
        Some(vec![1, 1])
    );
    let message =
        read_file("l.csv", b"a,label\n1,dog\n2,cow\n", &options).err().ok_or("accepted")?;
    assert!(message.to_string().contains("`cow`"), "{message}");
    Ok(())
}

#[test]
fn labels_are_numbered_without_large_gaps() -> Outcome {
    let labelled = |labels: [i64; 4]| {
        let line = |(i, label): (usize, &i64)| format!("{label},0.{}\n", i + 1);
        let lines: String = labels.iter().enumerate().map(line).collect();
        table(&format!("label,a\n{lines}"))
    };
    let set = labelled([-1, 1, 1, -1])?;
    assert_eq!((set.train.labels.clone(), set.classes), (Some(vec![0, 1, 1, 0]), Some(2)));
    let set = labelled([3, 1, 2, 1])?;
    assert_eq!((set.train.labels.clone(), set.classes), (Some(vec![2, 0, 1, 0]), Some(3)));
    assert!(has_note(&set, "the labels are 1, 2, 3"));
    let set = labelled([0, 65535, 0, 65535])?;
    assert_eq!(
        (set.classes, set.class_names.clone()),
        (Some(2), Some(vec!["0".into(), "65535".into()]))
    );
    let set = labelled([0, 3, 0, 1])?;
    assert_eq!((set.classes, has_note(&set, "no case has the label 2")), (Some(4), true));
    Ok(())
}

#[test]
fn measurements_under_a_label_s_name_are_a_target() -> Outcome {
    let set = table("a,target\n1,0.5\n2,1.25\n")?;
    assert_eq!(
        (set.train.labels.clone(), set.train.targets.clone()),
        (None, Some(vec![0.5, 1.25]))
    );
    assert_eq!((set.target.as_deref(), set.train.width()), (Some("target"), 1));
    let options = ReadOptions { target: Some("a".into()), ..auto() };
    let set = read_file("t.csv", b"a,b\n1,0.5\n2,1.25\n", &options)?;
    assert_eq!((set.train.targets.clone(), names(&set)), (Some(vec![1.0, 2.0]), vec!["b".into()]));
    assert_eq!(set.train.select(&[1])?.targets, Some(vec![2.0]));
    Ok(())
}

#[test]
fn pictures_in_tables_are_scaled() -> Outcome {
    let header: Vec<_> = (0..16).map(|i| format!("pixel{i}")).collect();
    let line = |i: usize, high: usize| -> String {
        (0..16)
            .map(|j| format!(",{}", if j % 5 == 4 { 0 } else { (i * 37 + j * 53) % (high + 1) }))
            .collect()
    };
    let of = |high: usize| {
        let lines: String = (0..40).map(|i| format!("{}{}\n", i % 2, line(i, high))).collect();
        table(&format!("label,{}\n{lines}", header.join(",")))
    };
    for high in [255, 16] {
        let set = of(high)?;
        assert_eq!((set.image, set.scale), (Some((4, 4)), high as f32));
        assert_eq!(rows(&set.train)?[1][1], ((37 + 53) % (high + 1)) as f32 / high as f32);
        assert_eq!(
            (units(&set), has_note(&set, "taken for pixels")),
            ("bernoulli:16".into(), true)
        );
    }
    // Other numbers are no pixels.
    assert_eq!((of(100)?.scale, of(2000)?.scale), (1.0, 1.0));
    Ok(())
}

#[test]
fn missing_values_are_counted_and_refused_or_kept() -> Outcome {
    let text = b"a,colour,b\n1,red,\n,blue,3\n2,?,NA\n3,red,nan\n";
    let message = read_file("t.csv", text, &auto()).err().ok_or("accepted")?.to_string();
    for words in
        ["line 2, column 3", "5 empty cells in 4 cases", "--missing gibbs", "an empty cell"]
    {
        assert!(message.contains(words), "{words} is not in {message}");
    }
    let set = read_file("t.csv", text, &ReadOptions { missing: Some(Missing::Gibbs), ..auto() })?;
    assert_eq!(units(&set), "gaussian:1+potts(2):1+gaussian:1");
    let found = rows(&set.train)?;
    let known: Vec<Vec<bool>> =
        found.iter().map(|row| row.iter().map(|x| !x.is_nan()).collect()).collect();
    assert_eq!(known[0], [true, true, true, false]);
    assert_eq!(known[2], [true, false, false, false]);
    let filled = set.train.cases.filled(&[9.0, 0.25, 0.75, 8.0])?;
    assert_eq!(filled.tensor()?.to_vec2::<f32>()?[2], [2.0, 0.25, 0.75, 8.0]);
    assert!(set.train.cases.may_miss() && !filled.may_miss());
    Ok(())
}

#[test]
fn arrays_of_keras_are_read_by_their_names() -> Outcome {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let pixels: Vec<u8> = (0..80).map(|i| (i * 11 % 256) as u8).collect();
    for (name, array) in [
        ("x_train", npy("|u1", "(4, 4, 4)", &pixels[..64])),
        ("y_train", npy("|u1", "(4,)", &[0, 1, 1, 0])),
        ("x_test", npy("|u1", "(1, 4, 4)", &pixels[64..])),
        ("y_test", npy("|u1", "(1,)", &[1])),
    ] {
        zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default())?;
        zip.write_all(&array)?;
    }
    let bytes = zip.finish()?.into_inner();
    let set = read_file("mnist.npz", &bytes, &auto())?;
    assert_eq!((set.image, set.classes, set.scale), (Some((4, 4)), Some(2), 255.0));
    assert_eq!(rows(&set.train)?[0][1], 11.0 / 255.0);
    let test = set.held_out.ok_or("no test part")?;
    assert_eq!((test.len(), test.labels), (1, Some(vec![1])));
    Ok(())
}

#[test]
fn arrays_may_have_one_channel_and_half_precision() -> Outcome {
    for shape in ["(1, 2, 3, 1)", "(1, 1, 2, 3)"] {
        let set = read_file("x.npy", &npy("|u1", shape, &[1, 2, 3, 4, 5, 6]), &plain())?;
        assert_eq!((set.image, set.train.width()), (Some((2, 3)), 6), "{shape}");
    }
    let halves = [0x3c00u16, 0xc000].map(u16::to_le_bytes).concat();
    let set = read_file("x.npy", &npy("<f2", "(1, 2)", &halves), &plain())?;
    assert_eq!(rows(&set.train)?, [[1.0, -2.0]]);
    let words: Vec<u8> = "boa\0bo".chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
    let folder = folder(&[
        ("x.npy", &npy("|u1", "(3, 1)", &[1, 0, 1])),
        ("codes.npy", &npy("|u1", "(3, 3)", &[0, 0, 1, 1, 0, 0, 0, 0, 1])),
        ("words.npy", &npy("<U2", "(3,)", &words)),
    ])?;
    let labelled = |name: &str| {
        let labels = Some(folder.path().join(name));
        read(&folder.path().join("x.npy"), &ReadOptions { labels, ..plain() })
    };
    assert_eq!(labelled("codes.npy")?.train.labels, Some(vec![2, 0, 2]));
    let set = labelled("words.npy")?;
    assert_eq!(
        (set.train.labels, set.class_names.map(|names| names.len())),
        (Some(vec![1, 0, 1]), Some(2))
    );
    Ok(())
}

#[test]
fn pictures_in_folders_have_the_folders_names() -> Outcome {
    let folder = tempfile::tempdir()?;
    let png = |path: PathBuf, colour: png::ColorType, pixels: &[u8]| -> Outcome {
        let mut encoder = png::Encoder::new(std::fs::File::create(path)?, 2, 1);
        encoder.set_color(colour);
        encoder.write_header()?.write_image_data(pixels)?;
        Ok(())
    };
    for (class, grey) in [("dog", 255), ("cat", 51)] {
        std::fs::create_dir(folder.path().join(class))?;
        png(folder.path().join(class).join("a.png"), png::ColorType::Grayscale, &[grey, 0])?;
    }
    png(folder.path().join("cat/b.png"), png::ColorType::Rgb, &[255, 255, 255, 255, 0, 0])?;
    let set = read(folder.path(), &plain())?;
    assert_eq!(set.class_names, Some(vec!["cat".into(), "dog".into()]));
    assert_eq!((set.image, set.train.labels.clone()), (Some((1, 2)), Some(vec![0, 0, 1])));
    assert_eq!(rows(&set.train)?, [[0.2, 0.0], [1.0, 76.0 / 255.0], [1.0, 0.0]]);
    assert!(has_note(&set, "1 coloured"), "{:?}", set.notes);
    Ok(())
}

#[test]
fn emnist_s_names_are_known() -> Outcome {
    let pictures = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1][..], &[0, 255]].concat();
    let labels = [&[0, 0, 8, 1, 0, 0, 0, 2][..], &[1, 2]].concat();
    let name = |kind: &str, part: &str, what: &str| format!("emnist-{kind}-{part}-{what}-ubyte");
    let mut files = Vec::new();
    for kind in ["letters", "digits"] {
        for part in ["train", "test"] {
            files.push((name(kind, part, "images-idx3"), pictures.clone()));
            files.push((name(kind, part, "labels-idx1"), labels.clone()));
        }
    }
    let files: Vec<(&str, &[u8])> =
        files.iter().map(|(name, bytes)| (&name[..], &bytes[..])).collect();
    let both = folder(&files)?;
    let set = read(&both.path().join("emnist-letters"), &plain())?;
    assert_eq!((set.name.as_str(), set.train.labels.clone()), ("emnist-letters", Some(vec![0, 1])));
    assert_eq!(set.held_out.map(|part| part.len()), Some(2));
    let message = read(both.path(), &plain()).err().ok_or("accepted")?.to_string();
    assert!(message.contains("emnist-digits, emnist-letters"), "{message}");
    assert_eq!(read(folder(&files[..4])?.path(), &plain())?.train.len(), 2);
    Ok(())
}

#[test]
fn columns_survive_their_file() -> Outcome {
    let columns = Columns(vec![
        Column { name: Some("a".into()), holds: Content::Number },
        Column { name: None, holds: Content::Codes(vec![1.0, 2.0]) },
        Column { name: None, holds: Content::Category(vec!["x".into(), "y".into(), "z".into()]) },
    ]);
    let read: Columns = serde_json::from_str(&serde_json::to_string(&columns)?)?;
    assert_eq!((read.width(), &read), (6, &columns));
    Ok(())
}

/// A column without a name is known by the name that it was given.
#[test]
fn a_nameless_column_is_found_again() -> Outcome {
    let text = b"a,,class\n0.5,1.5,0\n2.5,1.5,1\n";
    let learned = read_file("t.csv", text, &auto())?;
    let known = known_by(Known { columns: learned.columns.clone(), ..Known::default() });
    assert_eq!(rows(&read_file("t.csv", text, &known)?.train)?, rows(&learned.train)?);
    Ok(())
}

#[test]
fn numbers_that_are_written_otherwise_are_refused() -> Outcome {
    for cell in ["1.037,05", "$3.50", "12%", "1 037"] {
        let line = |i: usize| {
            format!("{i}.5;{}\n", cell.replacen(|c: char| c.is_ascii_digit(), &i.to_string(), 1))
        };
        let text: String = (0..30).map(line).collect();
        let message = read_file("t.csv", format!("a;b\n{text}").as_bytes(), &auto());
        let message = message.err().ok_or("accepted")?.to_string();
        assert!(message.contains("column `b`") && message.contains("1234.5"), "{message}");
    }
    Ok(())
}

#[test]
fn labels_of_which_hardly_any_comes_again_are_a_target() -> Outcome {
    let text: String = (0..70).map(|i| format!("{},{}\n", i % 7, 100 + 3 * i)).collect();
    let set = table(&format!("a,y\n{text}"))?;
    assert_eq!((set.train.labels.is_none(), set.target.as_deref()), (true, Some("y")));
    Ok(())
}

#[test]
fn both_parts_of_an_archive_have_the_same_classes() -> Outcome {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, array) in [
        ("x_train", npy("|u1", "(3, 2)", &[0, 1, 1, 0, 1, 1])),
        ("y_train", npy("|i1", "(3,)", &[0, 1, 2])),
        ("x_test", npy("|u1", "(2, 2)", &[0, 1, 1, 0])),
        ("y_test", npy("|i1", "(2,)", &[255, 1])),
    ] {
        zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default())?;
        zip.write_all(&array)?;
    }
    let set = read_file("a.npz", &zip.finish()?.into_inner(), &plain())?;
    let names: Vec<String> = ["-1", "0", "1", "2"].map(ToOwned::to_owned).to_vec();
    assert_eq!((set.class_names, set.train.labels), (Some(names), Some(vec![1, 2, 3])));
    assert_eq!(set.held_out.and_then(|part| part.labels), Some(vec![0, 2]));
    Ok(())
}

/// A model that learned from indices from 0 reads a file that happens to have no index 0 by them.
#[test]
fn what_indices_count_from_is_remembered() -> Outcome {
    let learned = read_file("a.svm", b"0 0:1 2:3\n1 1:2\n", &plain())?;
    assert_eq!(learned.first_index, Some(0));
    let known = Known { first_index: learned.first_index, ..Known::default() };
    let known = ReadOptions { width: Some(3), ..known_by(known) };
    let set = read_file("b.svm", b"0 1:5\n1 2:7\n", &known)?;
    assert_eq!(rows(&set.train)?, [[0.0, 5.0, 0.0], [0.0, 0.0, 7.0]]);
    Ok(())
}

#[test]
fn words_and_codes_that_a_model_never_saw_are_refused_or_missing() -> Outcome {
    let lines: String =
        (0..40).map(|i| format!("{},{}\n", ["red", "blue"][i % 2], i % 3)).collect();
    let learned = table(&format!("colour,code\n{lines}"))?;
    assert_eq!(units(&learned), "potts(2):1+potts(3):1");
    let known = |missing| {
        let known = Known { columns: learned.columns.clone(), ..Known::default() };
        ReadOptions { missing: Some(missing), ..known_by(known) }
    };
    for text in ["colour,code\npink,1\n", "colour,code\nred,7\n"] {
        assert!(read_file("u.csv", text.as_bytes(), &known(Missing::Refuse)).is_err(), "{text}");
        let set = read_file("u.csv", text.as_bytes(), &known(Missing::Mean))?;
        let gone = rows(&set.train)?[0].iter().filter(|x| x.is_nan()).count();
        assert_eq!(gone, if text.contains("pink") { 2 } else { 3 }, "{text}");
    }
    Ok(())
}

#[test]
fn columns_that_say_nothing_are_said() -> Outcome {
    let options = ReadOptions { missing: Some(Missing::Mean), ..auto() };
    let set = read_file("t.csv", b"a,b,c\n1.5,,7\n2.5,,7\n4.5,,7\n", &options)?;
    assert_eq!((names(&set), has_note(&set, "`b` is empty")), (vec!["a".into(), "c".into()], true));
    assert!(
        has_note(
            &set,
            "the same in every case, to the seven digits of f32, so that they say nothing: `c`"
        ),
        "{:?}",
        set.notes
    );
    // Beside one number all others are the same: most likely it is none.
    let lone = "`b` holds 1e30, a million times any other of its numbers";
    for (number, is_said) in [("1e30", true), ("1e3", false)] {
        let text = format!("a,b\n1.5,0.25\n2.5,{number}\n4.5,-0.5\n3.5,0\n");
        let set = read_file("t.csv", text.as_bytes(), &auto())?;
        assert_eq!(has_note(&set, lone), is_said, "{:?}", set.notes);
    }
    let dropped = ReadOptions { drop: vec!["label".into()], ..auto() };
    assert_eq!(read_file("t.csv", b"a,label\n1,0\n2,1\n", &dropped)?.train.labels, None);
    let both = ReadOptions { label_column: Some(LabelColumn::Last), ..dropped };
    assert!(read_file("t.csv", b"a,label\n1,0\n2,1\n", &both).is_err());
    Ok(())
}

#[test]
fn lines_before_a_table_are_passed_over_and_said() -> Outcome {
    let whole = "# a title, with a comma\n#\na,b,label\n1.5,2,0\n2.5,3,1\n";
    let set = table(whole)?;
    assert_eq!(
        (rows(&set.train)?, names(&set)),
        (vec![vec![1.5, 2.0], vec![2.5, 3.0]], vec!["a".into(), "b".into()])
    );
    assert!(has_note(&set, "comments (#) before the table, passed over: 2"), "{:?}", set.notes);
    // A header that is a comment stays one, between commas and between blanks.
    for text in ["# made by us\n# a,b,label\n1.5,2,0\n2.5,3,1\n", "# a b label\n1.5 2 0\n2.5 3 1\n"]
    {
        let set = table(text)?;
        assert_eq!(
            (names(&set), set.train.labels),
            (vec!["a".into(), "b".into()], Some(vec![0, 1])),
            "{text}"
        );
    }
    // Excel says what separates the values.
    let set = table("\u{feff}sep=;\na;b;label\n1,5;2;0\n2,5;3;1\n")?;
    assert_eq!(
        (rows(&set.train)?, set.train.labels),
        (vec![vec![1.5, 2.0], vec![2.5, 3.0]], Some(vec![0, 1]))
    );
    // Where every line begins so, these are values; and places are those in the file.
    let set = table("#f00,1\n#0f0,2\n#f00,3\n")?;
    assert_eq!(set.train.len(), 3);
    let message = table("# title\n#\na,b\n1,2\nx,3\n4,5\n").err().ok_or("accepted")?.to_string();
    assert!(message.contains("line 5, column 1"), "{message}");
    for (bytes, words) in
        [(&b"\xff\xfea\0,\0b\0\n\0"[..], "UTF-16"), (b"gr\xf6\xdfe,b\n1,2\n", "save it as UTF-8")]
    {
        let message = read_file("t.csv", bytes, &auto()).err().ok_or("accepted")?.to_string();
        assert!(message.contains(words), "{message}");
    }
    Ok(())
}

#[test]
fn columns_of_ratings_hold_the_same_codes() -> Outcome {
    // Nobody gave `b` a 1, and `c` has but ones; `age` is no rating.
    let lines: String = (0..60)
        .map(|i| format!("{},{},1,{},{}\n", 1 + i % 5, 2 + i % 4, 1 + (i / 3) % 5, 20 + i))
        .collect();
    let set = table(&format!("a,b,c,d,age\n{lines}"))?;
    assert_eq!(
        units(&set),
        "potts(5):1+gaussian:1+bernoulli:1+potts(5):1+gaussian:1",
        "no common codes: two of five columns"
    );
    let films: String = lines
        .lines()
        .map(|line| line.rsplit_once(',').map_or("", |(films, _)| films).to_owned() + ",5\n")
        .collect();
    let more: String = films
        .lines()
        .enumerate()
        .map(|(i, line)| format!("{line},{}\n", 1 + (i / 7) % 5))
        .collect();
    let set = table(&format!("a,b,c,d,e,f\n{more}"))?;
    assert_eq!(units(&set), "potts(5):6");
    assert_eq!(rows(&set.train)?[0][5..15], [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    Ok(())
}

#[test]
fn kinds_that_contradict_each_other_are_refused() -> Outcome {
    let text = b"k,a\nx,1\ny,2\nx,3\n";
    let number = |name: &str| vec![name.to_owned()];
    let words = ReadOptions { numbers: number("k"), ..auto() };
    let both = ReadOptions { numbers: number("a"), categories: number("a"), ..auto() };
    for (options, part) in [(words, "found words: x, y"), (both, "\"a\" in both")] {
        let message = read_file("t.csv", text, &options).err().ok_or("accepted")?.to_string();
        assert!(message.contains(part), "{message}");
    }
    // Twelve codes are more than are guessed, and not more than may be said.
    let lines: String = (0..36).map(|i| format!("{}\n", 3 * (i % 12))).collect();
    let said = ReadOptions { categories: number("1"), ..auto() };
    assert_eq!(units(&read_file("t.csv", format!("a\n{lines}").as_bytes(), &said)?), "potts(12):1");
    // Columns of one name are told apart, and a label that nobody named is asked about.
    let set = table("a,a,species\n1,2,x\n2,3,y\n3,1,x\n")?;
    assert_eq!(names(&set), ["a", "a.1", "species"]);
    assert!(has_note(&set, "told apart as `a.1`") && has_note(&set, "--label-column species"));
    // None gets the name of another.
    let set = table("a,a.1,a,a\n1,2,3,4\n2,3,4,5\n3,1,5,6\n")?;
    assert_eq!(names(&set), ["a", "a.1", "a.2", "a.3"]);
    assert_eq!(rows(&set.train)?[0], [1.0, 2.0, 3.0, 4.0]);
    Ok(())
}

#[test]
fn what_is_left_out_or_guessed_is_said() -> Outcome {
    let set = table("row,x_1,x_2,label\n5,1,2,u\n5,2,3,v\n9,3,1,u\n")?;
    assert_eq!(names(&set), ["x_1", "x_2"]);
    assert!(has_note(&set, "`row` stands before columns that dbn embed wrote"), "{:?}", set.notes);
    let set = table("2019,2020\n5,6\n7,8\n")?;
    assert!(has_note(&set, "no header: the first line is a case") && set.train.len() == 3);
    assert!(!has_note(&table("a,b\n5,6\n7,8\n")?, "no header"));
    let text = b"weight,x,species\n1.5,1,u\n2.5,2,v\n0.5,3,u\n";
    let both = ReadOptions {
        target: Some("weight".into()),
        label_column: Some(LabelColumn::Name("species".into())),
        ..auto()
    };
    let set = read_file("t.csv", text, &both)?;
    assert_eq!(names(&set), ["x"]);
    assert!(has_note(&set, "`species` is the label, and no feature"), "{:?}", set.notes);
    Ok(())
}

#[test]
fn a_quotation_mark_that_is_never_closed_is_refused() -> Outcome {
    for (text, place) in [
        ("a,b,label\n1,2,x\n3,4,\"y\n5,6,x\n7,8,y\n", "line 3, column 3"),
        ("a,b,label\n1,2,x\n3,\"4,y\n5,6,x\n7,8,y\n", "line 3, column 2"),
    ] {
        let message = table(text).err().ok_or("accepted")?.to_string();
        assert!(message.contains(place) && message.contains("never closed"), "{message}");
    }
    // What is closed on another line is one cell, and said; names are in one line.
    let set = table("\"a\nb\",c\n1,\"two\nwords\"\n2,one\n3,one\n4,\"two  words\"\n")?;
    assert_eq!(names(&set), ["a b", "c"]);
    assert!(has_note(&set, "cells of several lines"), "{:?}", set.notes);
    assert_eq!(units(&set), "gaussian:1+potts(3):1");
    assert!(!has_note(&table("a,b\n1,\"x\"\n2,y\n")?, "several lines"));
    // Looked for once: ten minutes where every such cell looks through the rest of the file.
    let notes: String =
        (0..60_000).map(|i| format!("{},\"yes\nor no\"\n{i},no\n", i % 7)).collect();
    assert_eq!(table(&format!("a,b\n{notes}"))?.train.len(), 120_000);
    Ok(())
}

#[test]
fn a_table_in_which_nothing_varies_is_refused() -> Outcome {
    let message = table("a,b\n1,2\n1,2\n1,2\n").err().ok_or("accepted")?.to_string();
    assert!(message.contains("the same in every case"), "{message}");
    Ok(())
}
