//! A disk that keeps what a real one keeps: what was synced, and by chance some of the rest.
//!
//! Files are written to a directory as usual, which is what the kernel shows. Beside it stands what is durable: contents
//! by file, and names, whose changes become durable in order, as a journal has them. A power cut makes a directory of
//! that. It also runs out of room, fails its syncs, and ends a process between any two operations.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{
    backend::embedded::disk::{Disk, DiskFile},
    layer::random::Random,
};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

enum Write {
    Bytes(u64, Vec<u8>),
    Length(u64),
}

#[derive(Default)]
struct Contents {
    durable: Vec<u8>,
    unsynced: Vec<Write>,
    length: u64,
}

enum Name {
    Is(PathBuf, usize),
    Moved(PathBuf, PathBuf),
    Gone(PathBuf),
}

#[derive(Default)]
struct State {
    files: Vec<Contents>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    unsynced_names: Vec<Name>,
    /// Operations until the process is gone.
    left: Option<u64>,
    gone: bool,
    capacity: Option<u64>,
    fails_syncs: bool,
    refuses_names: bool,
    operations: u64,
}

/// The disk.
#[derive(Clone)]
pub(super) struct Sim {
    state: Arc<Mutex<State>>,
    random: Arc<Random>,
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, change: &Name) {
    match change {
        Name::Is(name, file) => {
            names.insert(name.clone(), *file);
        }
        Name::Moved(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        Name::Gone(name) => {
            names.remove(name);
        }
    }
}

fn write(bytes: &mut Vec<u8>, offset: u64, part: &[u8]) {
    let end = offset as usize + part.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset as usize..end].copy_from_slice(part);
}

impl Sim {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            state: Arc::default(),
            random: Arc::new(Random::new(seed)),
        }
    }

    /// A number below this.
    pub(super) fn below(&self, limit: u64) -> u64 {
        self.random.next() % limit
    }

    /// After so many operations the process is gone: nothing it does changes anything.
    pub(super) fn kill_after(&self, operations: u64) {
        self.state.lock().left = Some(operations);
    }

    /// Another process; whether the one before was killed.
    pub(super) fn restart(&self) -> bool {
        let mut state = self.state.lock();
        state.left = None;
        std::mem::take(&mut state.gone)
    }

    pub(super) fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    pub(super) fn used(&self) -> u64 {
        self.state.lock().used()
    }

    pub(super) fn fail_syncs(&self, fails: bool) {
        self.state.lock().fails_syncs = fails;
    }

    /// There are no names left, or no handles.
    pub(super) fn refuse_names(&self, refuses: bool) {
        self.state.lock().refuses_names = refuses;
    }

    pub(super) fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// The power goes: what the disk then holds stands in this directory.
    pub(super) fn cut_power(&self, to: &Path) {
        let mut state = self.state.lock();
        let kept = self.below(state.unsynced_names.len() as u64 + 1) as usize;
        let mut names = std::mem::take(&mut state.durable_names);
        for change in &state.unsynced_names[..kept] {
            apply(&mut names, change);
        }
        let mut after = State::default();
        for (name, file) in names {
            let path = to.join(name.file_name().unwrap());
            let bytes = self.remains(&state.files[file]);
            fs::write(&path, &bytes).unwrap();
            after.names.insert(path, after.files.len());
            after.files.push(Contents {
                length: bytes.len() as u64,
                durable: bytes,
                unsynced: Vec::new(),
            });
        }
        after.durable_names = after.names.clone();
        *state = after;
    }

    /// All that was synced, and some of the sectors that were not.
    fn remains(&self, file: &Contents) -> Vec<u8> {
        let mut bytes = file.durable.clone();
        for change in &file.unsynced {
            match (change, self.below(3)) {
                (_, 0) => {}
                (Write::Bytes(offset, all), 1) => write(&mut bytes, *offset, all),
                (Write::Bytes(offset, all), _) => {
                    let mut offset = *offset;
                    let mut rest = &all[..];
                    while !rest.is_empty() {
                        let whole = SECTOR - offset as usize % SECTOR;
                        let (sector, beyond) = rest.split_at(whole.min(rest.len()));
                        if self.below(2) == 0 {
                            write(&mut bytes, offset, sector);
                        }
                        offset += sector.len() as u64;
                        rest = beyond;
                    }
                }
                (Write::Length(length), _) => bytes.resize(*length as usize, 0),
            }
        }
        bytes
    }
}

impl State {
    fn step(&mut self) -> io::Result<()> {
        self.operations += 1;
        match &mut self.left {
            Some(0) => {
                self.gone = true;
                Err(io::Error::other("the process is gone"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn used(&self) -> u64 {
        let lengths = self.names.values().map(|&file| self.files[file].length);
        lengths.sum()
    }

    fn change(&mut self, change: Name) {
        apply(&mut self.names, &change);
        self.unsynced_names.push(change);
    }
}

impl Disk for Sim {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.step()?;
        if state.refuses_names {
            return Err(io::Error::other("too many open files"));
        }
        let file = match state.names.get(path) {
            Some(&file) => file,
            None => {
                state.files.push(Contents::default());
                let file = state.files.len() - 1;
                state.change(Name::Is(path.to_owned(), file));
                file
            }
        };
        Ok(Box::new(SimFile {
            disk: self.clone(),
            shown: File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?,
            file,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        fs::rename(from, to)?;
        state.change(Name::Moved(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        fs::remove_file(path)?;
        state.change(Name::Gone(path.to_owned()));
        Ok(())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        let State {
            durable_names,
            unsynced_names,
            ..
        } = &mut *state;
        for change in unsynced_names.drain(..) {
            apply(durable_names, &change);
        }
        Ok(())
    }
}

struct SimFile {
    disk: Sim,
    shown: File,
    file: usize,
}

impl DiskFile for SimFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        let killed = state.left == Some(0) && !state.gone;
        if !killed {
            state.step()?;
        }
        let length = state.files[self.file].length;
        let room = match state.capacity {
            Some(capacity) => length + capacity.saturating_sub(state.used()),
            None => u64::MAX,
        };
        let fits = (room.saturating_sub(offset) as usize).min(bytes.len());
        let is_full = fits < bytes.len();
        // Who is killed may have written a part.
        let fits = if killed {
            self.disk.below(fits as u64 + 1) as usize
        } else {
            fits
        };
        if fits > 0 {
            self.shown.write_all_at(&bytes[..fits], offset)?;
            let file = &mut state.files[self.file];
            file.length = file.length.max(offset + fits as u64);
            file.unsynced
                .push(Write::Bytes(offset, bytes[..fits].to_vec()));
        }
        state.gone = killed;
        match (killed, is_full) {
            (true, _) => Err(io::Error::other("the process is gone")),
            (_, true) => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.step()?;
        self.shown.set_len(length)?;
        let file = &mut state.files[self.file];
        file.length = length;
        file.unsynced.push(Write::Length(length));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.step()?;
        let fails = state.fails_syncs;
        let file = &mut state.files[self.file];
        let unsynced = std::mem::take(&mut file.unsynced);
        if fails {
            // As kernels do: shown as written, and forgotten.
            return Err(io::Error::other("the disk does not answer"));
        }
        for change in unsynced {
            match change {
                Write::Bytes(offset, bytes) => write(&mut file.durable, offset, &bytes),
                Write::Length(length) => file.durable.resize(length as usize, 0),
            }
        }
        Ok(())
    }
}
