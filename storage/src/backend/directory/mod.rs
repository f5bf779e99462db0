//! Directory: blobs as files, for a node that has no object store.
//!
//! A write goes to a file of its own under `+tmp`, is synced, and gets its name by renaming, so an object is there whole
//! or not at all; the directory is synced before the answer. One process at a time (`+lock`), so conditions need no more
//! than a lock in memory. Names are made by `path`, where no key can leave the directory. The tag is the hash of the
//! bytes, so nothing else is stored.

mod path;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, ErrorKind::NotFound, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{
    backend::rule,
    error::{Error, ErrorKind, Result},
    shape::{Blob, Blobs, PutIf},
};

/// How many operations use the disk at the same time.
const PARALLEL: usize = 16;
const TEMPORARY: &str = "+tmp";

/// The store.
pub struct DirectoryBlobs {
    inner: Arc<Inner>,
    parallel: Arc<Semaphore>,
}

struct Inner {
    root: PathBuf,
    /// Held while names appear and vanish.
    names: Mutex<()>,
    next_temporary: AtomicU64,
    lock: File,
}

impl DirectoryBlobs {
    /// Opens the store in a directory, which is made if it is not there. What a crash left unfinished is removed.
    ///
    /// # Errors
    /// `Unavailable` if the directory cannot be used or another process has it open.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        let open = || -> io::Result<File> {
            fs::create_dir_all(&root)?;
            let lock = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(root.join("+lock"))?;
            lock.try_lock().map_err(|error| match error {
                fs::TryLockError::WouldBlock => {
                    io::Error::other("it is in use: a store opens once")
                }
                fs::TryLockError::Error(error) => error,
            })?;
            match fs::remove_dir_all(root.join(TEMPORARY)) {
                Err(error) if error.kind() != NotFound => return Err(error),
                _ => {}
            }
            fs::create_dir(root.join(TEMPORARY))?;
            Ok(lock)
        };
        let lock = open().map_err(|error| failed("open", &root, error))?;
        let inner = Inner {
            root,
            names: Mutex::new(()),
            next_temporary: AtomicU64::new(0),
            lock,
        };
        Ok(Self {
            inner: Arc::new(inner),
            parallel: Arc::new(Semaphore::new(PARALLEL)),
        })
    }

    /// Does something with the disk on a thread that may wait.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let gone = || Error::new(ErrorKind::Unavailable, "the store is closed");
        let permit = self
            .parallel
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| gone())?;
        let inner = self.inner.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&inner)
        });
        done.await.map_err(|error| gone().with_source(error))?
    }
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("cannot {what} {}", path.display()),
    )
    .with_source(error)
}

fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Said aloud, because a process that is just being forked holds what is only closed.
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "cannot unlock the blobs");
        }
    }
}

impl Inner {
    fn path(&self, key: &str) -> PathBuf {
        self.root.join(path::of_key(key))
    }

    fn get(&self, key: &str) -> Result<Option<Blob>> {
        let path = self.path(key);
        let bytes = if_there(fs::read(&path)).map_err(|error| failed("read", &path, error))?;
        Ok(bytes.map(|bytes| Blob {
            tag: rule::blob_tag(&bytes),
            bytes: bytes.into(),
        }))
    }

    fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        let path = self.path(key);
        let read = || -> io::Result<Option<Bytes>> {
            let Some(file) = if_there(File::open(&path))? else {
                return Ok(None);
            };
            let size = file.metadata()?.len();
            let (start, end) = (range.start.min(size), range.end.min(size));
            let length = usize::try_from(end.saturating_sub(start)).map_err(io::Error::other)?;
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, start)?;
            Ok(Some(bytes.into()))
        };
        read().map_err(|error| failed("read", &path, error))
    }

    fn put(&self, key: &str, bytes: &[u8], condition: &PutIf) -> Result<String> {
        let path = self.path(key);
        // Told early, so that nothing is written in vain; it is what is told under the lock that counts.
        self.check(key, &path, condition)?;
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.root.join(TEMPORARY).join(number.to_string());
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        let written = write()
            .map_err(|error| failed("write", &temporary, error))
            .and_then(|()| {
                let _names = self.names.lock();
                self.check(key, &path, condition)?;
                self.name(&temporary, &path)
                    .map_err(|error| failed("write", &path, error))
            });
        if written.is_err() {
            // If it cannot be removed now, the next start does.
            let _ = fs::remove_file(&temporary);
        }
        written.map(|()| rule::blob_tag(bytes))
    }

    fn check(&self, key: &str, path: &Path, condition: &PutIf) -> Result<()> {
        let holds = match condition {
            PutIf::Any => true,
            PutIf::Absent => !path
                .try_exists()
                .map_err(|error| failed("read", path, error))?,
            PutIf::Match(tag) => self.get(key)?.is_some_and(|blob| blob.tag == *tag),
        };
        if holds {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Conflict, "condition not met"))
        }
    }

    /// Gives a finished file its name, and makes that durable, new directories on the way included.
    fn name(&self, temporary: &Path, path: &Path) -> io::Result<()> {
        let parents = || {
            path.ancestors()
                .skip(1)
                .take_while(|parent| parent.starts_with(&self.root))
        };
        let existing = parents().take_while(|parent| !parent.exists()).count();
        let parent = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent)?;
        fs::rename(temporary, path)?;
        parents()
            .take(existing + 1)
            .try_for_each(|parent| File::open(parent)?.sync_all())
    }

    fn remove(&self, key: &str) -> Result<()> {
        let path = self.path(key);
        let _names = self.names.lock();
        let remove = || -> io::Result<()> {
            if if_there(fs::remove_file(&path))?.is_none() {
                return Ok(());
            }
            let mut parents = path
                .ancestors()
                .skip(1)
                .take_while(|parent| *parent != self.root);
            let kept = parents.find(|parent| fs::remove_dir(parent).is_err());
            File::open(kept.unwrap_or(&self.root))?.sync_all()
        };
        remove().map_err(|error| failed("remove", &path, error))
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let mut page = Listing {
            prefix,
            after,
            limit,
            keys: BTreeSet::new(),
        };
        page.walk(&self.root, "")
            .map_err(|error| failed("list", &self.root, error))?;
        Ok(page.keys.into_iter().collect())
    }
}

/// The first keys of a listing: all names are looked at, only a page of them is kept.
struct Listing<'a> {
    prefix: &'a str,
    after: Option<&'a str>,
    limit: usize,
    keys: BTreeSet<String>,
}

impl Listing<'_> {
    fn walk(&mut self, directory: &Path, above: &str) -> io::Result<()> {
        // A directory may vanish while it is looked for.
        let Some(files) = if_there(fs::read_dir(directory))? else {
            return Ok(());
        };
        for file in files {
            let name = file?.file_name();
            match name.to_str().and_then(|name| path::read_name(above, name)) {
                Some(path::Found::Object(key)) if self.wants(&key) => {
                    self.keys.insert(key);
                    if self.keys.len() > self.limit {
                        self.keys.pop_last();
                    }
                }
                Some(path::Found::Directory(start)) if self.may_want(&start) => {
                    self.walk(&directory.join(&name), &start)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn wants(&self, key: &str) -> bool {
        key.starts_with(self.prefix)
            && self.after.is_none_or(|after| key > after)
            && !self.is_beyond(key)
    }

    /// Whether a key that starts like this may be wanted.
    fn may_want(&self, start: &str) -> bool {
        let is_near = start.starts_with(self.prefix) || self.prefix.starts_with(start);
        let is_after = self
            .after
            .is_none_or(|after| start > after || after.starts_with(start));
        is_near && is_after && !self.is_beyond(start)
    }

    fn is_beyond(&self, key: &str) -> bool {
        self.keys.len() >= self.limit && self.keys.last().is_none_or(|last| key > last.as_str())
    }
}

#[async_trait]
impl Blobs for DirectoryBlobs {
    async fn get(&self, key: &str) -> Result<Option<Blob>> {
        rule::check_blob_key(key)?;
        let key = key.to_owned();
        self.run(move |inner| inner.get(&key)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        rule::check_blob_key(key)?;
        let key = key.to_owned();
        self.run(move |inner| inner.get_range(&key, range)).await
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: PutIf) -> Result<String> {
        rule::check_blob_key(key)?;
        let key = key.to_owned();
        self.run(move |inner| inner.put(&key, &bytes, &condition))
            .await
    }

    async fn remove(&self, key: &str) -> Result<()> {
        rule::check_blob_key(key)?;
        let key = key.to_owned();
        self.run(move |inner| inner.remove(&key)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.run(move |inner| inner.list(&prefix, after.as_deref(), limit))
            .await
    }
}
