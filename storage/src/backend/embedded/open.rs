//! Opening: the lock, the manifest, the runs, and what the logs still hold.

use std::{
    fs::{File, TryLockError},
    path::Path,
    sync::Arc,
};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::{
    Embedded, EmbeddedOptions, Lost, PERMIT, SLOW_READS, Store,
    disk::{Disk, FileSystem},
    health::Health,
    io::{BlockCache, corrupt, failed},
    janitor::{Backlog, Janitor},
    manifest::Manifest,
    memtable::Memtable,
    queue::Queue,
    run::Run,
    view::View,
    wal::{self, Wal},
    writer::Writer,
};
use crate::{
    clock::{Clock, SystemClock},
    error::{Error, ErrorKind, Result},
};

/// So many logs are not read again and again.
const MANY_LOGS: u64 = 8;

impl Embedded {
    /// Opens the store in a directory, which is made if it is not there.
    ///
    /// # Errors
    /// `Unavailable` if the directory cannot be used or another process has it open, `Corrupt` if what is there is
    /// damaged.
    pub fn open(path: impl AsRef<Path>, options: EmbeddedOptions) -> Result<Self> {
        Self::open_with_clock(path, options, Arc::new(SystemClock))
    }

    /// The same under this clock.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_clock(
        path: impl AsRef<Path>,
        options: EmbeddedOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        Self::open_on(Arc::new(FileSystem), path.as_ref(), options, clock)
    }

    /// The same on this disk.
    pub(super) fn open_on(
        disk: Arc<dyn Disk>,
        path: &Path,
        options: EmbeddedOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let directory = path.to_owned();
        std::fs::create_dir_all(&directory).map_err(|error| failed("create", &directory, error))?;
        let lock = lock(&directory)?;
        // What is decided below, is decided by these names: they must not change back.
        sync_names(&*disk, &directory)?;
        let files = Files::list(&directory)?;
        let manifest = match Manifest::load(&directory)? {
            // The first log is there before the manifest is.
            Some(manifest) if files.logs.iter().all(|&log| log < manifest.log) => {
                return Err(corrupt("a missing log", &directory));
            }
            Some(manifest) => manifest,
            None if files.runs.is_empty() && is_unused(&*disk, &directory, &files.logs)? => {
                Manifest::new()
            }
            None => return Err(corrupt("a missing manifest", &directory)),
        };
        files.remove_strangers(&*disk, &directory, &manifest)?;
        let runs = manifest
            .runs
            .iter()
            .map(|&id| Run::open(&directory, id).map(Arc::new))
            .collect::<Result<_>>()?;
        let active = Arc::new(Memtable::default());
        let replayed = replay(&*disk, &directory, &manifest, &files.logs, &active)?;
        let wal = Wal::create(
            &*disk,
            &directory,
            replayed.next_log,
            replayed.end,
            options.sync,
        )?;
        manifest.prepare(&*disk, &directory)?.publish(&*disk)?;

        let room = Arc::new(Semaphore::new(
            (options.queue_bytes / PERMIT).clamp(1, u32::MAX as usize),
        ));
        let store = Arc::new(Store {
            cache: BlockCache::new(options.cache_bytes),
            view: ArcSwap::from_pointee(View {
                active,
                sealed: Vec::new(),
                runs,
            }),
            directory,
            disk,
            health: Health::default(),
            options,
            clock,
        });
        let (queue, backlog) = (Arc::new(Queue::default()), Arc::new(Backlog::default()));
        let no_thread = |error: std::io::Error| {
            Error::new(ErrorKind::Unavailable, "cannot start a thread").with_source(error)
        };
        let mut embedded = Self {
            store: store.clone(),
            queue: queue.clone(),
            backlog: backlog.clone(),
            room,
            slow_reads: Arc::new(Semaphore::new(SLOW_READS)),
            threads: Vec::new(),
            lost: replayed.lost,
            lock,
        };
        embedded
            .threads
            .push(Janitor::start(store.clone(), backlog.clone(), manifest).map_err(no_thread)?);
        embedded
            .threads
            .push(Writer::start(store, backlog, queue, wal, replayed.filled).map_err(no_thread)?);
        Ok(embedded)
    }
}

/// Whether nothing was ever written to these logs but the first. Each start that ends before it has put a manifest in
/// force leaves such a log.
fn is_unused(disk: &dyn Disk, directory: &Path, logs: &[u64]) -> Result<bool> {
    for &log in logs.iter().filter(|_| logs.len() > 1) {
        if !wal::replay(disk, directory, log)?.groups.is_empty() {
            return Ok(false);
        }
    }
    Ok(logs.first().is_none_or(|&first| first == 1))
}

fn sync_names(disk: &dyn Disk, directory: &Path) -> Result<()> {
    let synced = disk.sync_directory(directory);
    synced.map_err(|error| failed("sync", directory, error))
}

/// Two writers in one directory would ruin it.
fn lock(directory: &Path) -> Result<File> {
    let path = directory.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = file.map_err(|error| failed("open", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::new(
            ErrorKind::Unavailable,
            format!("{} is in use: a store opens once", directory.display()),
        )),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path, error)),
    }
}

/// What stands in the directory, in order.
struct Files {
    logs: Vec<u64>,
    runs: Vec<u64>,
}

impl Files {
    fn list(directory: &Path) -> Result<Self> {
        let mut files = Self {
            logs: Vec::new(),
            runs: Vec::new(),
        };
        let list = || -> std::io::Result<Vec<_>> { std::fs::read_dir(directory)?.collect() };
        for file in list().map_err(|error| failed("list", directory, error))? {
            let name = file.file_name();
            let Some((number, kind)) = name.to_str().and_then(|name| name.split_once('.')) else {
                continue;
            };
            match (number.parse(), kind) {
                (Ok(number), "wal") => files.logs.push(number),
                (Ok(number), "run") => files.runs.push(number),
                _ => {}
            }
        }
        files.logs.sort_unstable();
        files.runs.sort_unstable();
        Ok(files)
    }

    /// Removes what a crash left: unfinished and merged runs, logs that are in runs.
    fn remove_strangers(
        &self,
        disk: &dyn Disk,
        directory: &Path,
        manifest: &Manifest,
    ) -> Result<()> {
        let runs = self
            .runs
            .iter()
            .filter(|run| !manifest.runs.contains(run))
            .map(|&run| Run::file_name(run));
        let logs = self
            .logs
            .iter()
            .filter(|&&log| log < manifest.log)
            .map(|&log| Wal::file_name(log));
        for name in runs.chain(logs) {
            let path = directory.join(name);
            disk.remove(&path)
                .map_err(|error| failed("remove", &path, error))?;
        }
        Ok(())
    }
}

struct Replayed {
    next_log: u64,
    end: u64,
    filled: usize,
    lost: Lost,
}

/// Puts what the logs hold into the table.
fn replay(
    disk: &dyn Disk,
    directory: &Path,
    manifest: &Manifest,
    logs: &[u64],
    table: &Memtable,
) -> Result<Replayed> {
    let mut replayed = Replayed {
        next_log: manifest.log,
        end: 0,
        filled: 0,
        lost: Lost::default(),
    };
    let mut synced = true;
    for &log in logs.iter().filter(|&&log| log >= manifest.log) {
        let path = directory.join(Wal::file_name(log));
        if log != replayed.next_log {
            return Err(corrupt("a missing log", &path));
        }
        let found = wal::replay(disk, directory, log)?;
        if log > manifest.log && found.previous_end != replayed.end {
            if synced || found.previous_end < replayed.end {
                return Err(corrupt("the end of the log before is lost", &path));
            }
            replayed.lost.bytes = found.previous_end - replayed.end;
            break;
        }
        synced = found.synced;
        for group in &found.groups {
            table
                .insert(group)
                .ok_or_else(|| corrupt("an entry that cannot be read", &path))?;
            replayed.filled += 2 * group.len();
        }
        replayed.next_log = log + 1;
        replayed.end = found.end;
    }
    if replayed.lost.bytes > 0 {
        // What comes after a gap may build on what was in it: the store is as it was before the gap.
        for &log in logs.iter().filter(|&&log| log >= replayed.next_log) {
            Wal::set_aside(disk, directory, log)?;
            replayed.lost.logs += 1;
        }
        tracing::error!(
            path = %directory.display(),
            lost_bytes = replayed.lost.bytes,
            lost_logs = replayed.lost.logs,
            "the machine stopped before everything was on the disk, and the store does not sync: what was written last \
             is lost; logs that came after are kept beside as *.lost"
        );
    }
    if replayed.next_log - manifest.log > MANY_LOGS {
        // Each start adds a log: the next write ends them all.
        replayed.filled = usize::MAX / 2;
    }
    Ok(replayed)
}
