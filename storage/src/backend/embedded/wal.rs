//! Write-ahead log: one file for each memtable, one frame for each group, durable before anybody is told.
//!
//! A file starts with a header, 64 bytes: `magic | number, u64 | salt, u64 | where the log before ended, u64 | synced, u8
//! | CRC-32`. A frame is `payload length, u32 | payload CRC-32, u32 | its offset, u64 | CRC-32 of salt and these, u32 |
//! payload`, and the payload is encoded entries. The salt is random, so neither the remains of a file that is used again
//! nor what a user wrote can pass for a frame.
//!
//! What a crash tears is the last frame, never answered: it is dropped. A damaged frame with a whole one behind it was
//! answered, because the one behind was written after its sync: that is `Corrupt`, and so is a log that ends before
//! where the next one says.

use std::{
    fs::File,
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::io::{corrupt, failed};
use crate::error::{Error, ErrorKind, Result};

const MAGIC: [u8; 8] = *b"SLNGWAL1";
const HEADER: usize = 64;
const FRAME: usize = 20;
/// Where a file waits to be used again.
const SPARE: &str = "spare";
/// What a file is called until its header is durable.
const FRESH: &str = "fresh";

/// The log that is written to.
pub(super) struct Wal {
    pub(super) id: u64,
    path: PathBuf,
    file: File,
    salt: u64,
    end: u64,
    sync: bool,
}

impl Wal {
    /// The name of the file with this number.
    pub(super) fn file_name(id: u64) -> String {
        format!("{id:016}.wal")
    }

    /// Starts a log. The header is durable before the file gets its name.
    pub(super) fn create(directory: &Path, id: u64, previous_end: u64, sync: bool) -> Result<Self> {
        let fresh = directory.join(FRESH);
        let path = directory.join(Self::file_name(id));
        let start = || {
            // Taken by renaming, so that `retire` on another thread cannot put a second file in its place.
            match std::fs::rename(directory.join(SPARE), &fresh) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let file = File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&fresh)?;
            let salt = random()?;
            let mut header = Vec::with_capacity(HEADER);
            header.extend_from_slice(&MAGIC);
            for number in [id, salt, previous_end, u64::from(sync)] {
                header.extend_from_slice(&number.to_le_bytes());
            }
            header.resize(HEADER - 4, 0);
            let sum = crc32fast::hash(&header);
            header.extend_from_slice(&sum.to_le_bytes());
            file.write_all_at(&header, 0)?;
            file.sync_all()?;
            std::fs::rename(&fresh, &path)?;
            File::open(directory)?.sync_all()?;
            Ok(Self {
                id,
                path: path.clone(),
                file,
                salt,
                end: HEADER as u64,
                sync,
            })
        };
        start().map_err(|error| failed("start", &path, error))
    }

    /// Where the next frame goes.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Room for a frame's head; the payload is to be appended.
    pub(super) fn begin(capacity: usize) -> Vec<u8> {
        let mut frame = Vec::with_capacity(FRAME + capacity);
        frame.resize(FRAME, 0);
        frame
    }

    /// Writes a frame and waits until it is durable; returns the payload.
    ///
    /// # Errors
    /// `Unavailable`; what the file holds is then unknown, and nothing more may be written to it.
    pub(super) fn append(&mut self, mut frame: Vec<u8>) -> Result<Bytes> {
        let length = u32::try_from(frame.len() - FRAME)
            .map_err(|_| Error::new(ErrorKind::TooLarge, "a group of more than 4 GiB"))?;
        let head = head(
            self.salt,
            length,
            crc32fast::hash(&frame[FRAME..]),
            self.end,
        );
        frame[..FRAME].copy_from_slice(&head);
        let write = || {
            self.file.write_all_at(&frame, self.end)?;
            if self.sync {
                self.file.sync_data()
            } else {
                Ok(())
            }
        };
        write().map_err(|error| failed("write", &self.path, error))?;
        self.end += frame.len() as u64;
        Ok(Bytes::from(frame).split_off(FRAME))
    }

    /// Ends the log: all of it is durable, whatever the options say.
    pub(super) fn seal(&mut self) -> Result<()> {
        if self.sync {
            Ok(())
        } else {
            self.file
                .sync_data()
                .map_err(|error| failed("write", &self.path, error))
        }
    }

    /// Keeps the file of a log that is no longer needed for the next one; the one kept before makes way.
    pub(super) fn retire(directory: &Path, id: u64) -> Result<()> {
        let path = directory.join(Self::file_name(id));
        std::fs::rename(&path, directory.join(SPARE))
            .map_err(|error| failed("retire", &path, error))
    }
}

fn random() -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| std::io::Error::other("no random numbers"))?;
    Ok(u64::from_le_bytes(bytes))
}

fn head(salt: u64, length: u32, sum: u32, offset: u64) -> [u8; FRAME] {
    let mut head = [0; FRAME];
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..8].copy_from_slice(&sum.to_le_bytes());
    head[8..16].copy_from_slice(&offset.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&head[..16]);
    head[16..].copy_from_slice(&hasher.finalize().to_le_bytes());
    head
}

/// What a log held.
pub(super) struct Replay {
    /// The payloads in order.
    pub(super) groups: Vec<Bytes>,
    /// Where the last one ends.
    pub(super) end: u64,
    /// Where the log before ended, as this one says.
    pub(super) previous_end: u64,
}

/// Reads a log.
///
/// # Errors
/// `Corrupt` if something that was answered is damaged; `Unavailable` if the file cannot be read.
pub(super) fn replay(directory: &Path, id: u64) -> Result<Replay> {
    let path = directory.join(Wal::file_name(id));
    let data = Bytes::from(std::fs::read(&path).map_err(|error| failed("read", &path, error))?);
    let number = |at: usize| {
        data.get(at..at + 8).map_or(0, |bytes| {
            u64::from_le_bytes(bytes.try_into().expect("eight"))
        })
    };
    let sum = data.get(HEADER - 4..HEADER);
    let is_sound = sum.is_some_and(|sum| crc32fast::hash(&data[..HEADER - 4]).to_le_bytes() == sum);
    if !is_sound || !data.starts_with(&MAGIC) || number(8) != id {
        return Err(corrupt("a damaged header", &path));
    }
    let (salt, previous_end, synced) = (number(16), number(24), number(32) != 0);
    let mut at = HEADER;
    let mut groups = Vec::new();
    while let Some(length) = frame_at(&data, salt, at) {
        let payload = at + FRAME..at + FRAME + length;
        let whole = data
            .get(payload.clone())
            .is_some_and(|payload| crc32fast::hash(payload).to_le_bytes() == data[at + 4..at + 8]);
        if !whole {
            break;
        }
        at = payload.end;
        groups.push(data.slice(payload));
    }
    if synced && (at + 1..data.len()).any(|later| frame_at(&data, salt, later).is_some()) {
        return Err(corrupt(&format!("a damaged frame at {at}"), &path));
    }
    Ok(Replay {
        groups,
        end: at as u64,
        previous_end,
    })
}

/// The length of the payload of the frame that stands there, if a head does.
fn frame_at(data: &[u8], salt: u64, at: usize) -> Option<usize> {
    let found = data.get(at..at + FRAME)?;
    if found[8..16] != (at as u64).to_le_bytes() {
        return None;
    }
    let length = u32::from_le_bytes(found[..4].try_into().ok()?);
    let sum = u32::from_le_bytes(found[4..8].try_into().ok()?);
    (found == head(salt, length, sum, at as u64)).then_some(length as usize)
}

/// Writes a small file whole: under another name first, durable, then renamed.
pub(super) fn replace_file(directory: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = directory.join(name);
    let fresh = directory.join(format!("{name}.new"));
    let write = || {
        let mut file = File::create(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|error| failed("write", &path, error))
}
