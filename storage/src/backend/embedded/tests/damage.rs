//! Torn and damaged files: a torn last write is dropped, anything else is `Corrupt`, and nothing is ever just absent.

use std::{fs, path::Path};

use super::{key, open, settle, small};
use crate::{
    backend::embedded::{Embedded, EmbeddedOptions},
    error::{Error, ErrorKind, Result},
    shape::{Batch, Condition, Consistency, Query, Space, Table},
};

const RECORDS: u64 = 20;

fn synced() -> EmbeddedOptions {
    EmbeddedOptions {
        sync: true,
        ..EmbeddedOptions::default()
    }
}

/// A store with some records, each of a group of its own, closed.
async fn filled(directory: &Path, options: EmbeddedOptions) {
    let store = open(directory, options);
    for n in 0..RECORDS {
        let batch = Batch::new().put(key("a", n), vec![n as u8; 50], Condition::Absent);
        store
            .write(batch.put(key("b", n), vec![n as u8; 50], Condition::Absent))
            .await
            .unwrap();
    }
}

/// How many of the first records are there, if no later one is and none is changed.
async fn read(directory: &Path) -> Result<u64> {
    let store = Embedded::open(directory, synced())?;
    let mut count = 0;
    for n in 0..RECORDS {
        let a = store.get(&key("a", n), Consistency::Strong).await?;
        let b = store.get(&key("b", n), Consistency::Strong).await?;
        assert_eq!(a, b, "a batch is there by half");
        if let Some(record) = a {
            assert_eq!((record.value, count), (vec![n as u8; 50].into(), n));
            count += 1;
        }
    }
    let query = Query {
        space: Space::Log,
        partition: "a".into(),
        from: None,
        until: None,
        reverse: false,
        limit: 100,
        consistency: Consistency::Strong,
    };
    assert_eq!(store.query(&query).await?.records.len() as u64, count);
    Ok(count)
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.path().join(file.file_name())).unwrap();
    }
    to
}

/// The one file of this kind.
fn the(directory: &Path, kind: &str) -> std::path::PathBuf {
    let files = fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut files =
        files.filter(|path| path.extension().is_some_and(|extension| extension == kind));
    let file = files.next().expect("a file of this kind");
    assert_eq!(files.next(), None);
    file
}

fn is_corrupt(result: &Result<u64>) -> bool {
    matches!(
        result.as_ref().map_err(Error::kind),
        Err(ErrorKind::Corrupt)
    )
}

#[tokio::test]
async fn a_torn_last_write_is_dropped_whole() {
    let whole = tempfile::tempdir().unwrap();
    filled(whole.path(), synced()).await;
    let length = fs::metadata(the(whole.path(), "wal")).unwrap().len();
    let frame = (length - 64) / RECORDS;
    for lost in (1..frame).step_by(7).chain([frame]) {
        for zeros in [0, lost, 4096] {
            let torn = copy(whole.path());
            let file = fs::File::options()
                .write(true)
                .open(the(torn.path(), "wal"))
                .unwrap();
            file.set_len(length - lost).unwrap();
            file.set_len(length - lost + zeros).unwrap();
            // Twice, for opening must not make a torn log worse.
            for _ in 0..2 {
                assert_eq!(
                    read(torn.path()).await.unwrap(),
                    RECORDS - 1,
                    "{lost} bytes lost"
                );
            }
        }
    }
}

#[tokio::test]
async fn damage_before_the_last_frame_is_corrupt() {
    let whole = tempfile::tempdir().unwrap();
    filled(whole.path(), synced()).await;
    let log = fs::read(the(whole.path(), "wal")).unwrap();
    let frame = (log.len() - 64) / RECORDS as usize;
    for at in (0..log.len()).step_by(11) {
        let damaged = copy(whole.path());
        let mut bytes = log.clone();
        bytes[at] ^= 0x10;
        fs::write(the(damaged.path(), "wal"), bytes).unwrap();
        let result = read(damaged.path()).await;
        if at < log.len() - frame {
            assert!(is_corrupt(&result), "byte {at}: {result:?}");
        } else {
            assert_eq!(result.unwrap(), RECORDS - 1, "byte {at}");
        }
    }
}

#[tokio::test]
async fn a_log_that_lost_its_end_is_corrupt_once_another_follows() {
    let whole = tempfile::tempdir().unwrap();
    filled(whole.path(), synced()).await;
    let first = the(whole.path(), "wal");
    open(whole.path(), synced());
    let length = fs::metadata(&first).unwrap().len();
    fs::File::options()
        .write(true)
        .open(&first)
        .unwrap()
        .set_len(length - 1)
        .unwrap();
    assert!(is_corrupt(&read(whole.path()).await));
}

#[tokio::test]
async fn an_unsynced_log_that_lost_its_end_loses_what_came_after() {
    let whole = tempfile::tempdir().unwrap();
    let unsynced = EmbeddedOptions {
        sync: false,
        ..EmbeddedOptions::default()
    };
    filled(whole.path(), unsynced.clone()).await;
    let first = the(whole.path(), "wal");
    {
        let store = open(whole.path(), unsynced);
        let batch = Batch::new().put(key("z", 1), "after", Condition::Absent);
        store.write(batch).await.unwrap();
    }
    let length = fs::metadata(&first).unwrap().len();
    let log = fs::File::options().write(true).open(&first).unwrap();
    log.set_len(length - 1).unwrap();
    let frame = (length - 64) / RECORDS;
    {
        let store = open(whole.path(), synced());
        assert_eq!((store.lost().bytes, store.lost().logs), (frame, 1));
        // It may build on what was lost.
        let after = store.get(&key("z", 1), Consistency::Strong).await;
        assert_eq!(after.unwrap(), None);
    }
    for _ in 0..2 {
        assert_eq!(read(whole.path()).await.unwrap(), RECORDS - 1);
    }
    assert_eq!(open(whole.path(), synced()).lost().bytes, 0);
    assert!(the(whole.path(), "lost").exists());
}

#[tokio::test]
async fn missing_files_are_corrupt() {
    let whole = tempfile::tempdir().unwrap();
    filled(
        whole.path(),
        EmbeddedOptions {
            memtable_bytes: 2 << 10,
            ..small()
        },
    )
    .await;
    settle(&open(whole.path(), small()));
    assert_eq!(read(whole.path()).await.unwrap(), RECORDS);
    for file in fs::read_dir(whole.path()).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let is_last_log = name.ends_with(".wal") && name == last_log(whole.path());
        if ["lock", "spare"].contains(&&name[..]) || is_last_log {
            continue;
        }
        let damaged = copy(whole.path());
        fs::remove_file(damaged.path().join(&name)).unwrap();
        let result = read(damaged.path()).await;
        assert!(is_corrupt(&result), "without {name}: {result:?}");
    }
}

fn last_log(directory: &Path) -> String {
    let names = fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".wal")).max().unwrap()
}

#[tokio::test]
async fn a_damaged_run_is_corrupt_and_never_absent() {
    let whole = tempfile::tempdir().unwrap();
    filled(
        whole.path(),
        EmbeddedOptions {
            sync: true,
            memtable_bytes: 1 << 10,
            ..small()
        },
    )
    .await;
    {
        // Fill the table once more, so that all records are in runs, and merge these.
        let store = open(
            whole.path(),
            EmbeddedOptions {
                memtable_bytes: 64,
                ..synced()
            },
        );
        for n in 0..5 {
            store
                .write(Batch::new().put(key("z", n), "z", Condition::Absent))
                .await
                .unwrap();
            settle(&store);
        }
    }
    let mut checked = 0;
    for file in fs::read_dir(whole.path()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "run") {
            continue;
        }
        let run = fs::read(&path).unwrap();
        for at in (0..run.len()).step_by(37) {
            let damaged = copy(whole.path());
            let mut bytes = run.clone();
            bytes[at] ^= 0x01;
            fs::write(damaged.path().join(path.file_name().unwrap()), bytes).unwrap();
            match read(damaged.path()).await {
                // A block that no read of ours needs.
                Ok(count) => assert_eq!(count, RECORDS, "byte {at} of {}", path.display()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}: {error}"),
            }
            checked += 1;
        }
    }
    assert!(checked > 50, "hardly anything was in runs");
}
