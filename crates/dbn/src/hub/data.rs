//! Data sets of the Hub: pictures with classes, as Parquet files of PNGs there and as IDX files here.

use std::fs::{self, File};
use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use rbm_core::checkpoint::write_whole;
use rbm_core::{Error, Result};

use super::{Hub, trouble, verify};

/// Where the Hub keeps the Parquet form of every data set.
const REVISION: &str = "refs/convert/parquet";
/// Height and width of the pictures.
const SIDE: u32 = 28;
/// How many classes there are.
const CLASSES: u8 = 10;
/// The data sets that can be fetched: our name, owner, repository, folder of its Parquet files.
const KNOWN: [(&str, &str, &str, &str); 2] = [
    ("mnist", "ylecun", "mnist", "mnist"),
    ("fashion-mnist", "zalando-datasets", "fashion_mnist", "fashion_mnist"),
];
/// The Hub's name of each part, and what its IDX files are called.
const PARTS: [(&str, &str); 2] = [("train", "train"), ("test", "t10k")];

/// The names of the data sets that [`Hub::data`] fetches.
pub fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|(name, ..)| *name)
}

/// The folder of a data set that was fetched before, if it was.
pub fn fetched(name: &str) -> Option<PathBuf> {
    let folder = names().find(|known| *known == name).map(folder)?;
    let is_whole = PARTS.iter().all(|(_, part)| files(&folder, part).iter().all(|f| f.is_file()));
    is_whole.then_some(folder)
}

/// Beside the Hub's own cache.
fn folder(name: &str) -> PathBuf {
    hf_hub::hf_home().join("candle-dbn").join(name)
}

/// Pictures and labels of a part, named as those of MNIST have always been.
fn files(folder: &Path, part: &str) -> [PathBuf; 2] {
    ["images-idx3-ubyte", "labels-idx1-ubyte"].map(|end| folder.join(format!("{part}-{end}")))
}

impl Hub {
    /// The folder with the four IDX files of a data set of [`names`], fetched unless it was before.
    ///
    /// # Errors
    ///
    /// `Invalid` for another name, and for whatever keeps the Hub from answering; `File` where it holds something else.
    pub fn data(&self, name: &str) -> Result<PathBuf> {
        let Some((_, owner, repository, config)) = KNOWN.iter().find(|(known, ..)| *known == name)
        else {
            let expected = names().collect::<Vec<_>>().join(" or ");
            return Err(Error::invalid("data", expected, format!("{name:?}")));
        };
        if let Some(folder) = fetched(name) {
            return Ok(folder);
        }
        let folder = folder(name);
        fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
        let repository = self.client.dataset(*owner, *repository);
        for (theirs, ours) in PARTS {
            let download = |anew| {
                let file = repository.download_file().revision(REVISION);
                let file = file.filename(format!("{config}/{theirs}/0000.parquet"));
                let file = file.local_files_only(self.is_offline).force_download(anew);
                let found = file.maybe_progress(self.progress()).send();
                found.map_err(|e| trouble::explain(name, e)).map_err(with_a_way_out)
            };
            let mut path = download(false)?;
            if !verify::is_whole(&path)? && !self.is_offline {
                path = download(true)?;
            }
            if !verify::is_whole(&path)? {
                return Err(verify::discard(&path));
            }
            unpack(&path, &files(&folder, ours))?;
        }
        Ok(folder)
    }
}

/// What to do without a Hub.
fn with_a_way_out(error: Error) -> Error {
    match error {
        Error::Invalid { what, expected, found } => {
            let expected = format!("{expected}; or a folder of your own with its four IDX files");
            Error::Invalid { what, expected, found }
        }
        other => other,
    }
}

/// The pictures and labels of the Parquet file `path` as two IDX files.
fn unpack(path: &Path, [images, labels]: &[PathBuf; 2]) -> Result<()> {
    let wrong = |place: String, found: String| {
        Error::file(path, place, format!("a PNG of {SIDE} x {SIDE} and its label"), found)
    };
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let reader = SerializedFileReader::new(file);
    let reader = reader.map_err(|e| wrong("header".into(), e.to_string()))?;
    let (mut pixels, mut classes) = (Vec::new(), Vec::new());
    let rows = reader.get_row_iter(None).map_err(|e| wrong("header".into(), e.to_string()))?;
    for (number, row) in rows.enumerate() {
        let place = || format!("row {number}");
        let row = row.map_err(|e| wrong(place(), e.to_string()))?;
        let (png, label) = case(&row).ok_or_else(|| wrong(place(), row.to_string()))?;
        append(&png, &mut pixels).map_err(|found| wrong(place(), found))?;
        classes.push(label);
    }
    let count = classes.len() as u32;
    write_whole(images, &idx(&[count, SIDE, SIDE], &pixels))?;
    write_whole(labels, &idx(&[count], &classes))
}

/// The bytes of a row's picture, and its label.
fn case(row: &Row) -> Option<(Vec<u8>, u8)> {
    let (mut png, mut label) = (None, None);
    for (name, field) in row.get_column_iter() {
        match (name.as_str(), field) {
            ("image", Field::Group(image)) => {
                png = image.get_column_iter().find_map(|(name, field)| match field {
                    Field::Bytes(bytes) if name == "bytes" => Some(bytes.data().to_vec()),
                    _ => None,
                });
            }
            ("label", Field::Long(number)) => {
                label = u8::try_from(*number).ok().filter(|label| *label < CLASSES);
            }
            _ => {}
        }
    }
    Some((png?, label?))
}

/// Adds the pixels of a PNG of eight bits of grey.
fn append(png: &[u8], pixels: &mut Vec<u8>) -> std::result::Result<(), String> {
    let reader = png::Decoder::new(BufReader::new(Cursor::new(png))).read_info();
    let mut reader = reader.map_err(|e| e.to_string())?;
    let info = reader.info();
    let is_grey = info.color_type == png::ColorType::Grayscale;
    if (info.width, info.height) != (SIDE, SIDE)
        || !is_grey
        || info.bit_depth != png::BitDepth::Eight
    {
        return Err(format!("one of {} x {}", info.width, info.height));
    }
    let mut picture = vec![0; (SIDE * SIDE) as usize];
    reader.next_frame(&mut picture).map_err(|e| e.to_string())?;
    pixels.extend(picture);
    Ok(())
}

/// Unsigned bytes as an IDX file.
fn idx(dimensions: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, dimensions.len() as u8];
    file.extend(dimensions.iter().flat_map(|size| size.to_be_bytes()));
    file.extend(bytes);
    file
}
