//! What xet calls a file, found in the shards that its clients leave in a folder.

use std::fs;
use std::path::{Path, PathBuf};

use ::xet::xet_session::{XetFileInfo, XetSessionBuilder};

use crate::store::hex;

const RECORD: usize = 48;
const HAS_VERIFICATION: u32 = 1 << 31;
const HAS_METADATA: u32 = 1 << 30;

/// The xet hash of the file whose contents have the given SHA-256.
pub fn hash_of(folder: &str, sha256: &str) -> Option<String> {
    let folder = Path::new(folder.strip_prefix("local://")?);
    shards(folder).into_iter().find_map(|path| in_shard(&fs::read(path).ok()?, sha256))
}

/// The bytes of a file in the folder, by xet's name for it: on the Hub, a bridge gives them to whoever does not speak xet.
pub fn read(folder: &str, hash: &str, size: u64) -> Vec<u8> {
    let (folder, file) = (folder.to_owned(), XetFileInfo::new(hash.to_owned(), size));
    let reading = std::thread::spawn(move || {
        let session = XetSessionBuilder::new().build().unwrap();
        let group = session.new_download_stream_group().unwrap().with_endpoint(folder);
        let group = group.with_token_info("token", u64::MAX).build_blocking().unwrap();
        let mut stream = group.download_stream_blocking(file, None).unwrap();
        stream.start();
        let mut bytes = Vec::new();
        while let Some(piece) = stream.blocking_next().unwrap() {
            bytes.extend_from_slice(&piece);
        }
        bytes
    });
    reading.join().unwrap()
}

fn shards(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => shards(&path),
            false if path.extension().is_some_and(|extension| extension == "mdb") => vec![path],
            false => Vec::new(),
        })
        .collect()
}

/// A shard is a header, then for each file a record of its hash, records of its segments, as many for their verification, and
/// one with the SHA-256; a record of ones ends the files.
fn in_shard(shard: &[u8], sha256: &str) -> Option<String> {
    let mut at = RECORD;
    loop {
        let record = shard.get(at..at + RECORD)?;
        if record[..32] == [0xff; 32] {
            return None;
        }
        let word = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
        let (flags, segments) = (word(32), word(36) as usize);
        at += RECORD * (1 + segments);
        if flags & HAS_VERIFICATION != 0 {
            at += RECORD * segments;
        }
        if flags & HAS_METADATA != 0 {
            let found = shard.get(at..at + 32)?;
            if hex(found) == sha256 || printed(found) == sha256 {
                return Some(printed(&record[..32]));
            }
            at += RECORD;
        }
    }
}

/// A hash as xet prints it: four numbers, each with its lowest byte first.
fn printed(hash: &[u8]) -> String {
    let words = hash.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    words.map(|word| format!("{word:016x}")).collect()
}
