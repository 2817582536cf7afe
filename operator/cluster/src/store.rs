//! Declared objects, kept out of memory: an unlinked temporary file for each rendered target, read by offset.
//!
//! Ten thousand Deployments are some 20 MB of JSON. The index needs each of them for a few microseconds when its live
//! object changes, so they stay in the page cache, which the kernel can take back, and not in the heap.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use drift::DeclaredObject;
use serde_json::Value;

/// Where a declared object is in its [`Blobs`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlobRef {
    offset: u64,
    length: u32,
}

/// The declared objects of one target at one revision.
#[derive(Debug, Clone)]
pub struct Blobs {
    file: Arc<File>,
}

/// Writes the declared objects of a target, one after the other.
#[derive(Debug)]
pub struct BlobWriter {
    file: BufWriter<File>,
    offset: u64,
    buffer: Vec<u8>,
}

impl BlobWriter {
    /// A new file in the system's folder for temporary files, without a name.
    ///
    /// # Errors
    /// If no file can be made there.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            file: BufWriter::new(tempfile::tempfile()?),
            offset: 0,
            buffer: Vec::new(),
        })
    }

    /// Writes an object; gives its place and a digest of all that comparing takes from it.
    ///
    /// # Errors
    /// If the file cannot be written, for example because the disk is full.
    pub fn push(&mut self, declared: &DeclaredObject) -> io::Result<(BlobRef, u64)> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, &declared.object)?;
        serde_json::to_writer(&mut self.buffer, &(&declared.unstable, declared.encrypted))?;
        let digest = xxhash_rust::xxh3::xxh3_64(&self.buffer);
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, declared)?;
        self.file.write_all(&self.buffer)?;
        let length = u32::try_from(self.buffer.len()).map_err(io::Error::other)?;
        let at = BlobRef {
            offset: self.offset,
            length,
        };
        self.offset += u64::from(length);
        Ok((at, digest))
    }

    /// Ends writing.
    ///
    /// # Errors
    /// If the rest cannot be written.
    pub fn finish(self) -> io::Result<Blobs> {
        Ok(Blobs {
            file: Arc::new(
                self.file
                    .into_inner()
                    .map_err(io::IntoInnerError::into_error)?,
            ),
        })
    }
}

impl Blobs {
    /// Reads an object back.
    ///
    /// # Errors
    /// If the file cannot be read or `at` is not of this file.
    pub fn read(&self, at: BlobRef) -> io::Result<DeclaredObject> {
        let mut buffer = vec![0; at.length as usize];
        self.file.read_exact_at(&mut buffer, at.offset)?;
        serde_json::from_slice(&buffer).map_err(io::Error::other)
    }
}

/// Objects that are needed now and then and change one by one: an unlinked temporary file in which what is released is
/// overwritten once nothing is left, or left behind when the rest moves.
#[derive(Debug, Default)]
pub struct Notes {
    file: Option<File>,
    end: u64,
    live: u64,
}

/// Garbage up to here is left alone.
const GARBAGE: u64 = 32 << 20;

impl Notes {
    /// Writes an object.
    ///
    /// # Errors
    /// If the file cannot be made or written.
    pub fn push(&mut self, object: &Value) -> io::Result<BlobRef> {
        let bytes = serde_json::to_vec(object)?;
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };
        let written = file.write_all_at(&bytes, self.end);
        self.file = Some(file);
        written?;
        let at = BlobRef {
            offset: self.end,
            length,
        };
        self.end += u64::from(length);
        self.live += u64::from(length);
        Ok(at)
    }

    /// Reads an object back.
    ///
    /// # Errors
    /// If the file cannot be read or `at` was released.
    pub fn read(&self, at: BlobRef) -> io::Result<Value> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let mut buffer = vec![0; at.length as usize];
        file.read_exact_at(&mut buffer, at.offset)?;
        serde_json::from_slice(&buffer).map_err(io::Error::other)
    }

    /// Says that an object is not needed any more.
    pub fn release(&mut self, at: BlobRef) {
        self.live = self.live.saturating_sub(u64::from(at.length));
        if self.live == 0 {
            self.end = 0;
            if let Some(file) = &self.file
                && file.set_len(0).is_err()
            {
                self.file = None;
            }
        }
    }

    /// True if most of the file is garbage, so that what is needed should move to another.
    pub fn is_wasteful(&self) -> bool {
        let garbage = self.end.saturating_sub(self.live);
        garbage > GARBAGE && garbage > self.live.saturating_mul(2)
    }
}

#[cfg(test)]
mod tests {
    use drift::Provenance;
    use serde_json::json;

    use super::*;

    fn object(n: u32) -> DeclaredObject {
        let provenance = Provenance {
            file: "a.yaml".into(),
            document: n,
            line: 3,
        };
        DeclaredObject {
            object: json!({"n": n}),
            provenance,
            lines: vec![1, 2],
            unstable: Vec::new(),
            encrypted: false,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = BlobWriter::new().expect("open");
        let places: Vec<_> = (0..100)
            .map(|n| writer.push(&object(n)).expect("push"))
            .collect();
        let blobs = writer.finish().expect("finish");
        for (n, (at, _)) in places.iter().enumerate() {
            assert_eq!(
                blobs.read(*at).expect("read"),
                object(u32::try_from(n).expect("small"))
            );
        }
    }

    #[test]
    fn notes_are_read_back_until_they_are_released_and_their_place_is_used_again() {
        let mut notes = Notes::default();
        let places: Vec<BlobRef> = (0..10)
            .map(|n| notes.push(&json!({"n": n})).expect("push"))
            .collect();
        assert_eq!(notes.read(places[7]).expect("read"), json!({"n": 7}));
        places.iter().for_each(|at| notes.release(*at));
        assert!(notes.read(places[7]).is_err());
        let again = notes.push(&json!({"n": 11})).expect("push");
        assert_eq!(notes.read(again).expect("read"), json!({"n": 11}));
        assert!(!notes.is_wasteful());
    }

    #[test]
    fn the_digest_is_of_the_content_not_the_place() {
        let mut writer = BlobWriter::new().expect("open");
        let mut moved = object(1);
        moved.provenance.line = 9;
        let a = writer.push(&object(1)).expect("push").1;
        let b = writer.push(&moved).expect("push").1;
        let c = writer.push(&object(2)).expect("push").1;
        assert_eq!(a, b);
        assert_ne!(a, c);
    }
}
