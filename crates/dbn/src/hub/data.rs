//! Data sets of the Hub: pictures with classes, as Parquet files of PNGs there and as IDX files here.

use std::fs::{self, File};
use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use rbm_core::state::write_whole;
use rbm_core::{Error, Result};

use super::Hub;
use super::api::HubRepository;
use super::cache::{Cache, Found};
use super::http::{Answer, Counter, Failure};
use super::options::home;

/// Where the Hub keeps the Parquet form of every data set.
const REVISION: &str = "refs/convert/parquet";
/// Height and width of the pictures.
const SIDE: u32 = 28;
/// How many classes there are.
const CLASSES: u8 = 10;
/// The most bytes of a Parquet file: those of Fashion-MNIST have 31 MB.
const MAX_BYTES: u64 = 128 << 20;
/// The most pictures of a part: there are 60,000.
const MAX_PICTURES: usize = 100_000;
/// The most bytes of memory that a picture may ask for.
const PICTURE: usize = 1 << 20;

/// A data set that can be fetched.
struct KnownDataset {
    name: &'static str,
    owner: &'static str,
    repository: &'static str,
    /// The Parquet files of its parts, in the order of [`PARTS`].
    files: [&'static str; 2],
}

const KNOWN: [KnownDataset; 2] = [
    KnownDataset {
        name: "mnist",
        owner: "ylecun",
        repository: "mnist",
        files: ["mnist/train/0000.parquet", "mnist/test/0000.parquet"],
    },
    KnownDataset {
        name: "fashion-mnist",
        owner: "zalando-datasets",
        repository: "fashion_mnist",
        files: ["fashion_mnist/train/0000.parquet", "fashion_mnist/test/0000.parquet"],
    },
];
/// What the IDX files of the training and of the test part are called.
const PARTS: [&str; 2] = ["train", "t10k"];

/// The names of the data sets that [`Hub::data`] fetches.
pub fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|known| known.name)
}

/// The folder of a data set that was fetched before, if it was.
pub fn fetched(name: &str) -> Option<PathBuf> {
    let folder = names().find(|known| *known == name).and_then(|name| folder(name).ok())?;
    let is_whole = PARTS.iter().all(|part| files(&folder, part).iter().all(|f| f.is_file()));
    is_whole.then_some(folder)
}

/// Beside the Hub's own cache.
fn folder(name: &str) -> Result<PathBuf> {
    Ok(home()?.join("candle-dbn").join(name))
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
        let Some(known) = KNOWN.iter().find(|known| known.name == name) else {
            let expected = names().collect::<Vec<_>>().join(" or ");
            return Err(Error::invalid("data", expected, format!("{name:?}")));
        };
        if let Some(folder) = fetched(name) {
            return Ok(folder);
        }
        let folder = folder(name)?;
        let repository = HubRepository {
            kind: "datasets",
            owner: known.owner.into(),
            name: known.repository.into(),
        };
        let parts = self.parts(&repository, known.files);
        let parts = parts.map_err(|failure| with_a_way_out(failure.about(name)))?;
        fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
        for (path, ours) in parts.iter().zip(PARTS) {
            unpack(path, &files(&folder, ours))?;
        }
        Ok(folder)
    }

    /// The Parquet files of the parts, fetched unless they are in the cache.
    fn parts(&self, repository: &HubRepository, names: [&'static str; 2]) -> Answer<Vec<PathBuf>> {
        let cache = Cache::of(&self.options.cache, repository);
        if self.options.is_offline {
            let commit = cache.commit(REVISION).ok_or(Failure::NotCached)?;
            let paths = names.map(|name| match cache.look_offline(&commit, name)? {
                Found::Whole => Ok(cache.snapshot(&commit).join(name)),
                _ => Err(Failure::NotCached),
            });
            return paths.into_iter().collect();
        }
        let commit = repository.info(&self.http, Some(REVISION))?.commit;
        let listing = repository.listed(&self.http, &commit, &names)?;
        let mut of = 0;
        for name in names {
            let size = listing.get(name).ok_or(Failure::NoFile(name))?.size;
            if size > MAX_BYTES {
                let expected = format!("at most {MAX_BYTES} bytes");
                return Err(
                    Error::invalid(name, expected, format!("{size}; nothing was fetched")).into()
                );
            }
            of += size;
        }
        let counter = Counter::of(self.watching.clone(), of);
        let mut paths = Vec::new();
        for name in names {
            let moved = |bytes| counter.add(bytes);
            cache.fetch(&self.http, repository, &commit, name, &listing[name], moved)?;
            cache.place(&commit, name, &listing[name].hash)?;
            paths.push(cache.snapshot(&commit).join(name));
        }
        // Without it nothing is lost but time.
        let _ = cache.remember(REVISION, &commit);
        Ok(paths)
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
        if number == MAX_PICTURES {
            let expected = format!("at most {MAX_PICTURES} pictures");
            return Err(Error::file(path, place(), expected, "more"));
        }
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
    let limits = png::Limits { bytes: PICTURE };
    let reader = png::Decoder::new_with_limits(BufReader::new(Cursor::new(png)), limits);
    let mut reader = reader.read_info().map_err(|e| e.to_string())?;
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
