//! Pictures in folders: PNG files in a folder for each class.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use rbm_core::{Error, Result};

use crate::bytes::{Spool, spooling};
use crate::dataset::Examples;
use crate::matrix::{Element, ElementKind, MatrixLayout, RawMatrix};
use crate::view::View;

const FORM: &str = "PNG files in a folder for each class";
pub(crate) const LARGEST_PIXEL: f32 = 255.0;
/// What the folders of a part may be called.
const TRAIN: [&str; 2] = ["train", "training"];
const TEST: [&str; 4] = ["test", "testing", "val", "valid"];
/// The most bytes that a picture may have.
const MOST_BYTES: usize = 1 << 26;

/// What a folder of pictures holds.
pub(crate) struct Folder {
    pub train: Examples,
    pub test: Option<Examples>,
    /// The names of the classes: those of their folders, in alphabetical order.
    pub class_names: Vec<String>,
    /// Height and width in pixels.
    pub image: (usize, usize),
    pub notes: Vec<String>,
}

/// Whether `path` is a folder of folders of PNG files, perhaps in a training and a test part.
pub(crate) fn is_folder(path: &Path) -> bool {
    let has_classes = |path: &Path| classes(path).is_ok_and(|classes| !classes.is_empty());
    has_classes(path) || TRAIN.iter().any(|name| has_classes(&path.join(name)))
}

/// The error for a folder in which there are no data: it says which pictures of another form there are.
pub(crate) fn not_a_folder(path: &Path) -> Error {
    const OTHERS: [&str; 8] = ["jpg", "jpeg", "bmp", "gif", "tif", "tiff", "webp", "png"];
    let files = |path: &Path| -> Vec<PathBuf> {
        path.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let mut all = files(path);
    let below: Vec<_> =
        all.iter().filter(|path| path.is_dir()).flat_map(|path| files(path)).collect();
    all.extend(below);
    let of = |ending: &'static str| {
        let has =
            |path: &&PathBuf| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending));
        (ending, all.iter().filter(has).count())
    };
    let found = match OTHERS.into_iter().map(of).max_by_key(|(_, count)| *count) {
        Some(("png", count)) if count > 0 => {
            format!("{count} .png files that are in no folder of a class")
        }
        Some((ending, count)) if count > 0 => {
            format!("{count} .{ending} files (make them PNG files)")
        }
        _ if all.is_empty() => "an empty folder".to_owned(),
        _ => "neither".to_owned(),
    };
    Error::file(
        path,
        "folder",
        format!("IDX files (train-images-idx3-ubyte and so on), or {FORM}"),
        found,
    )
}

/// The pictures in the folder `path`, each grey value divided by `scale` (255 if `None`).
pub(crate) fn read(path: &Path, scale: Option<f32>) -> Result<Folder> {
    let of = |names: &[&str]| names.iter().map(|name| path.join(name)).find(|path| path.is_dir());
    let (train, test) = match of(&TRAIN) {
        Some(train) => (train, of(&TEST)),
        None => (path.to_owned(), None),
    };
    let mut class_names: Vec<String> = classes(&train)?.into_keys().collect();
    if let Some(test) = &test {
        class_names.extend(classes(test)?.into_keys());
    }
    class_names.sort();
    class_names.dedup();
    let mut pictures = Pictures { class_names: &class_names, image: None, coloured: 0 };
    let train = pictures.part(&train, scale)?;
    let test = test.map(|test| pictures.part(&test, scale)).transpose()?;
    let Pictures { image, coloured, .. } = pictures;
    let image = image.ok_or_else(|| Error::file(path, "folder", FORM, "none"))?;
    let mut notes = Vec::new();
    if coloured > 0 {
        notes.push(format!("{coloured} coloured pictures are made grey"));
    }
    Ok(Folder { train, test, class_names, image, notes })
}

/// The PNG files of each folder in `path`, in the order of their names.
fn classes(path: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>> {
    let entries = |path: &Path| -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(path).map_err(|e| Error::io(path, e))?;
        let paths = entries.map(|entry| Ok(entry.map_err(|e| Error::io(path, e))?.path()));
        let mut paths: Vec<_> = paths.collect::<Result<_>>()?;
        paths.sort();
        Ok(paths)
    };
    let is_png = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"))
    };
    let mut classes = BTreeMap::new();
    for folder in entries(path)?.into_iter().filter(|path| path.is_dir()) {
        let files: Vec<_> = entries(&folder)?.into_iter().filter(is_png).collect();
        if let Some(name) = folder.file_name().filter(|_| !files.is_empty()) {
            classes.insert(name.to_string_lossy().into_owned(), files);
        }
    }
    Ok(classes)
}

/// What all pictures have in common.
struct Pictures<'a> {
    class_names: &'a [String],
    image: Option<(usize, usize)>,
    coloured: usize,
}

impl Pictures<'_> {
    fn part(&mut self, folder: &Path, scale: Option<f32>) -> Result<Examples> {
        let (mut values, mut labels) = (Spool::new(), Vec::new());
        for (name, files) in classes(folder)? {
            let class = self.class_names.iter().position(|class| *class == name).unwrap_or(0);
            for file in files {
                let (image, pixels) = self.read(&file)?;
                let expected = *self.image.get_or_insert(image);
                if image != expected {
                    let expected = format!("{} × {} pixels, as the first", expected.0, expected.1);
                    let found = format!("{} × {}", image.0, image.1);
                    return Err(Error::file(file, "height and width", expected, found));
                }
                values.write_all(&pixels).map_err(spooling(folder))?;
                labels.push(class as u32);
            }
        }
        let Some((height, width)) = self.image else {
            return Err(Error::file(folder, "folder", FORM, "none"));
        };
        let values = values.finish().map_err(spooling(folder))?;
        let number = Element::little_endian(ElementKind::U8);
        let layout = MatrixLayout { start: 0, count: labels.len(), width: height * width, number };
        let scale = Some(scale.unwrap_or(LARGEST_PIXEL));
        Examples::of(View::from(RawMatrix::new(folder, values, layout, scale)?), Some(labels))
    }

    /// Height and width of a picture, and its grey values.
    fn read(&mut self, path: &Path) -> Result<((usize, usize), Vec<u8>)> {
        let refused = |found: String| Error::file(path, "picture", "a PNG file", found);
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let mut decoder =
            png::Decoder::new_with_limits(BufReader::new(file), png::Limits { bytes: MOST_BYTES });
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().map_err(|e| refused(e.to_string()))?;
        let size = reader.output_buffer_size().filter(|size| *size <= MOST_BYTES);
        let size = size.ok_or_else(|| refused("more pixels than fit into memory".into()))?;
        let mut pixels = vec![0; size];
        let info = reader.next_frame(&mut pixels).map_err(|e| refused(e.to_string()))?;
        pixels.truncate(info.buffer_size());
        let channels = info.color_type.samples();
        if channels > 2 {
            self.coloured += 1;
        }
        let grey = |pixel: &[u8]| match *pixel {
            // The luma of ITU-R BT.601, as Pillow has it.
            [r, g, b, ..] => {
                let [r, g, b] = [r, g, b].map(u32::from);
                ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8
            }
            [grey, ..] => grey,
            [] => 0,
        };
        let pixels = pixels.chunks(channels).map(grey).collect();
        Ok(((info.height as usize, info.width as usize), pixels))
    }
}
