//! `starling archive` as people use it, on stores that are sound and on damaged ones.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{path::Path, process::Command};

use starling::{
    config::{self, Sources},
    stores::{self, Opened},
};
use storage::{
    key,
    repository::{Credentials, EntryFlags, Mailbox, NewEntry},
    shape::{Batch, Condition, Key, Space},
};
use xmpp::{BareJid, Jid};

const HEAD: &str = "domains = [\"a.example\", \"b.example\"]\ndata = \"data\"\n\
    [maintenance]\ncompact_after = \"1d\"\ntail = 1\nsegment = 64\n";
const EMBEDDED: &str = "";
#[cfg(feature = "sql")]
const SQLITE: &str = "[storage]\nbackend = \"sqlite\"\nurl = \"sqlite://DIRECTORY/starling.db\"\n";
/// Entries of an account, and of an item.
const ENTRIES: u64 = 300;
const OF_ITEM: u64 = 10;

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

/// A configuration in a directory.
fn write_config(here: &Path, storage: &str) {
    let storage = storage.replace("DIRECTORY", &here.display().to_string());
    std::fs::write(here.join("a.toml"), format!("{HEAD}{storage}")).unwrap();
}

/// Does something with the stores, as a node would that is down afterwards.
fn with_stores<F: Future<Output = ()>>(here: &Path, act: impl FnOnce(Opened) -> F) {
    let sources = Sources {
        file: Some(here.join("a.toml")),
        ..Sources::default()
    };
    let config = config::load(&sources).unwrap().config;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { act(stores::open(&config, None).await.unwrap()).await });
}

async fn fill(opened: Opened) {
    let stores = &opened.stores;
    for account in ["alice@a.example", "bob@a.example", "carol@b.example"] {
        let account = jid(account);
        let credentials = Credentials::default();
        stores.create(&account, credentials, 1).await.unwrap();
        for head in (0..ENTRIES).step_by(OF_ITEM as usize) {
            let entry = |number| NewEntry {
                time_ms: 1_000_000 + number * 1_000,
                flags: EntryFlags::ARCHIVED,
                peer: Jid::parse("peer@a.example/x").unwrap(),
                stanza: format!("<message xmlns='jabber:client' id='m{number}'/>").into(),
            };
            let entries: Vec<NewEntry> = (head + 1..=head + OF_ITEM).map(entry).collect();
            let appended = stores.logs.append(&account, head, head + 1, &entries);
            appended.await.unwrap();
        }
        let mailbox = Mailbox {
            acked: ENTRIES,
            ..Mailbox::default()
        };
        stores.mailboxes.store(&account, &mailbox, 0).await.unwrap();
    }
}

/// Takes an item out of the middle of alice's log.
async fn damage(opened: Opened) {
    let key = Key {
        space: Space::Log,
        partition: key::log(&jid("alice@a.example")),
        sort: key::number(101),
    };
    let batch = Batch::new().delete(key, Condition::Exists);
    opened.table.write(batch).await.unwrap();
}

/// Takes the record of a segment away.
async fn damage_segments(opened: Opened) {
    let key = Key {
        space: Space::Log,
        partition: key::log_segments(&jid("bob@a.example")),
        sort: key::number(61),
    };
    let batch = Batch::new().delete(key, Condition::Exists);
    opened.table.write(batch).await.unwrap();
}

#[track_caller]
fn check(here: &Path, arguments: &str, code: i32) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_starling"))
        .current_dir(here)
        .env_clear()
        .arg("archive")
        .args(arguments.split(' '))
        .args(["--config", "a.toml"])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments}\n{out}\n{err}"
    );
    (out, err)
}

fn archives_are_looked_at(storage: &str) {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    write_config(here, storage);
    with_stores(here, fill);

    let sound = "3 archives, 900 entries, 0 segments, 0 problems\n";
    assert_eq!(check(here, "verify all", 0).0, sound);
    let one = "1 archives, 300 entries, 0 segments, 0 problems\n";
    assert_eq!(check(here, "verify bob@a.example", 0).0, one);
    assert_eq!(check(here, "verify --domain B.example", 0).0, one);
    for nobody in [
        "verify nobody@a.example",
        "verify a.example",
        "verify @",
        "verify --domain c.example",
        "status nobody@a.example",
        "compact nobody@a.example",
    ] {
        check(here, nobody, 3);
    }
    let (status, _) = check(here, "status alice@a.example", 0);
    for line in [
        "entries\t300\n",
        "numbers\t1 to 300\n",
        "first\t1970-01-01T00:16:41.000Z\n",
        "last\t1970-01-01T00:21:40.000Z\n",
        "table\t300 entries in 30 items of ",
        "objects\t0 entries in 0 segments of 0 bytes\n",
    ] {
        assert!(status.contains(line), "{line}\n{status}");
    }

    // Items of ten: a segment has as many as fit. A second time there is nothing left to do.
    let (out, _) = check(here, "compact bob@a.example", 0);
    assert!(
        out.starts_with("1 archives: 240 messages packed into 4 objects ("),
        "{out}"
    );
    let (out, _) = check(here, "compact bob@a.example", 0);
    assert!(out.starts_with("1 archives: 0 messages packed into 0 objects ("));
    let (status, _) = check(here, "status bob@a.example", 0);
    assert!(
        status.contains("entries\t300\n")
            && status.contains("table\t60 entries in 6 items of ")
            && status.contains("objects\t240 entries in 4 segments of "),
        "{status}"
    );
    let (out, _) = check(here, "verify all", 0);
    assert_eq!(out, "3 archives, 900 entries, 4 segments, 0 problems\n");

    with_stores(here, damage);
    let (out, err) = check(here, "verify all", 4);
    assert_eq!(
        out,
        "alice@a.example: 101 to 110 are missing\n3 archives, 890 entries, 4 segments, 1 problems\n"
    );
    assert!(err.contains("1 problems in 1 archives"), "{err}");
    check(here, "verify bob@a.example", 0);
    check(here, "verify alice@a.example", 4);

    with_stores(here, damage_segments);
    let (out, _) = check(here, "verify bob@a.example", 4);
    assert!(
        out.contains("bob@a.example: 61 to 120 are missing\n"),
        "{out}"
    );
    // Nothing was changed by looking.
    check(here, "verify --domain b.example", 0);
}

#[test]
fn archives_of_an_embedded_store_are_looked_at() {
    archives_are_looked_at(EMBEDDED);
}

#[cfg(feature = "sql")]
#[test]
fn archives_of_a_database_are_looked_at() {
    archives_are_looked_at(SQLITE);
}

/// A store that a node has open is the node's.
#[test]
fn a_node_that_runs_is_to_be_stopped_first() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    write_config(here, EMBEDDED);
    with_stores(here, |opened| async move {
        let (_, err) = check(here, "verify all", 1);
        assert!(err.contains("stop the node first"), "{err}");
        drop(opened);
    });
    assert!(check(here, "verify all", 0).0.starts_with("0 archives"));
}
