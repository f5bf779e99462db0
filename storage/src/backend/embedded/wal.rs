//! Write-ahead log: one file for each memtable, one frame for each group, durable before anybody is told.
//!
//! A file starts with a header, 64 bytes: `magic | number, u64 | salt, u64 | where the log before ended, u64 | synced, u8
//! | CRC-32`. A frame is `payload length, u32 | payload CRC-32, u32 | its offset, u64 | CRC-32 of salt and these, u32 |
//! payload`, and the payload is encoded entries. The salt is random, so neither the remains of a file that is used again
//! nor what a user wrote can pass for a frame.
//!
//! What a crash tears is the last frame, never answered: it is dropped. A damaged frame with a whole one behind it was
//! answered, because the one behind was written after its sync: that is `Corrupt`, and so is a log that ends before
//! where the next one says. Logs whose frames were not synced may lose their end in a power cut; what they lost, and what
//! came after it, counts as never written.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{
    disk::{Disk, DiskFile, is_full},
    io::{corrupt, failed},
};
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
    file: Box<dyn DiskFile>,
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
    pub(super) fn create(
        disk: &dyn Disk,
        directory: &Path,
        id: u64,
        previous_end: u64,
        sync: bool,
    ) -> Result<Self> {
        let fresh = directory.join(FRESH);
        let path = directory.join(Self::file_name(id));
        let start = || {
            // Taken by renaming, so that `retire` on another thread cannot put a second file in its place.
            match disk.rename(&directory.join(SPARE), &fresh) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let file = disk.open(&fresh)?;
            let salt = random()?;
            let mut header = Vec::with_capacity(HEADER);
            header.extend_from_slice(&MAGIC);
            for number in [id, salt, previous_end, u64::from(sync)] {
                header.extend_from_slice(&number.to_le_bytes());
            }
            header.resize(HEADER - 4, 0);
            let sum = crc32fast::hash(&header);
            header.extend_from_slice(&sum.to_le_bytes());
            file.write_at(&header, 0)?;
            file.sync()?;
            disk.rename(&fresh, &path)?;
            disk.sync_directory(directory)?;
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
    /// See [`Unwritten`].
    pub(super) fn append(&mut self, mut frame: Vec<u8>) -> Result<Bytes, Unwritten> {
        let length = u32::try_from(frame.len() - FRAME).map_err(|_| {
            Unwritten::Lost(Error::new(
                ErrorKind::TooLarge,
                "a group of more than 4 GiB",
            ))
        })?;
        let head = head(
            self.salt,
            length,
            crc32fast::hash(&frame[FRAME..]),
            self.end,
        );
        frame[..FRAME].copy_from_slice(&head);
        self.write(&frame)?;
        if self.sync
            && let Err(error) = self.seal()
        {
            // The kernel may go on showing what it could not write. The next start is not to take that for durable.
            let _ = self.file.set_len(self.end);
            return Err(Unwritten::Lost(error));
        }
        self.end += frame.len() as u64;
        Ok(Bytes::from(frame).split_off(FRAME))
    }

    /// Whether there is room for so many bytes more. What it writes to see that is cut off again.
    ///
    /// # Errors
    /// See [`Unwritten`].
    pub(super) fn look_for_room(&self, bytes: usize) -> Result<(), Unwritten> {
        self.write(&vec![0; bytes])?;
        let cut = self.file.set_len(self.end);
        cut.map_err(|error| Unwritten::Lost(failed("cut", &self.path, error)))
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Unwritten> {
        let Err(error) = self.file.write_at(bytes, self.end) else {
            return Ok(());
        };
        let is_full = is_full(&error);
        let error = failed("write", &self.path, error);
        // What did get there was not synced and is cut off: the log ends where it did.
        let is_cut = self.file.set_len(self.end).is_ok();
        if is_full && is_cut {
            Err(Unwritten::Nothing {
                error,
                bytes: bytes.len(),
            })
        } else {
            Err(Unwritten::Lost(error))
        }
    }

    /// Waits until all of the log is durable.
    pub(super) fn seal(&self) -> Result<()> {
        let synced = self.file.sync();
        synced.map_err(|error| failed("sync", &self.path, error))
    }

    /// Whether each frame is synced.
    pub(super) fn is_synced(&self) -> bool {
        self.sync
    }

    /// Keeps the file of a log that is no longer needed for the next one; the one kept before makes way.
    pub(super) fn retire(disk: &dyn Disk, directory: &Path, id: u64) -> Result<()> {
        let path = directory.join(Self::file_name(id));
        disk.rename(&path, &directory.join(SPARE))
            .map_err(|error| failed("retire", &path, error))
    }

    /// Sets aside a log that cannot be used, for somebody to look at.
    pub(super) fn set_aside(disk: &dyn Disk, directory: &Path, id: u64) -> Result<()> {
        let path = directory.join(Self::file_name(id));
        disk.rename(&path, &path.with_extension("wal.lost"))
            .map_err(|error| failed("set aside", &path, error))
    }
}

/// Why a frame was not written.
pub(super) enum Unwritten {
    /// There was no room; the log is as it was.
    Nothing {
        error: Error,
        /// How much room is wanted.
        bytes: usize,
    },
    /// What the file holds is unknown: nothing more may be written to it.
    Lost(Error),
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
    /// Whether each frame was synced before it was answered.
    pub(super) synced: bool,
}

/// Reads a log and makes it durable: a process that was killed between write and sync leaves a frame that only the
/// kernel's memory holds, and what is read here is served and built upon.
///
/// # Errors
/// `Corrupt` if something that was answered is damaged; `Unavailable` if the file cannot be read or synced.
pub(super) fn replay(disk: &dyn Disk, directory: &Path, id: u64) -> Result<Replay> {
    let path = directory.join(Wal::file_name(id));
    let durable = disk.open(&path).and_then(|file| file.sync());
    durable.map_err(|error| failed("sync", &path, error))?;
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
        synced,
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
