//! A node keeps nothing: after traffic of all kinds there is nothing on its disk that was not there before.
//!
//! Where the machine lets us the node runs with a read-only root; what it may still write to, its directory, is listed
//! with contents. `STARLING_TRAFFIC_SECONDS`: how long there is traffic (4; acceptance 600).

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use tests::faults::actor::actor_name;
use tests::faults::dice::{count, seed};

use crate::cloud::{Cloud, assert_told_only};
use crate::owner::Owner;
use crate::play::Play;
use crate::serving::{Provided, Room, Root, Serving, can_seal};

const ACTORS: usize = 6;

/// What there is of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Directory,
    Socket,
    File {
        length: u64,
        changed: SystemTime,
        hash: u64,
    },
    Other,
}

type Listing = BTreeMap<String, Entry>;

fn listing(root: &Path) -> io::Result<Listing> {
    let mut found = Listing::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let data = fs::symlink_metadata(&path)?;
            let kind = data.file_type();
            let entry = if kind.is_dir() {
                left.push(path.clone());
                Entry::Directory
            } else if kind.is_socket() {
                Entry::Socket
            } else if kind.is_file() {
                let mut hasher = DefaultHasher::new();
                fs::read(&path)?.hash(&mut hasher);
                Entry::File {
                    length: data.len(),
                    changed: data.modified()?,
                    hash: hasher.finish(),
                }
            } else {
                Entry::Other
            };
            let name = path.strip_prefix(root).expect("below the root");
            found.insert(name.display().to_string(), entry);
        }
    }
    Ok(found)
}

/// The files, removed ones too, that a process has open for writing.
fn written_by(process: u32) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{process}/fd"))? {
        let entry = entry?;
        // What is closed meanwhile counts no more.
        let Ok(data) = fs::metadata(entry.path()) else {
            continue;
        };
        let number = entry.file_name().display().to_string();
        let about = fs::read_to_string(format!("/proc/{process}/fdinfo/{number}"));
        let flags = about.unwrap_or_default();
        let flags = flags.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
        // The last two bits: 0 is for reading only.
        if data.is_file() && flags.unwrap_or(0) & 3 != 0 {
            found.push(fs::read_link(entry.path())?.display().to_string());
        }
    }
    Ok(found)
}

#[test]
fn a_file_that_is_made_or_changed_shows() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let before = listing(directory.path()).unwrap();
    fs::create_dir(at("d")).unwrap();
    fs::write(at("d/f"), "1").unwrap();
    let made = listing(directory.path()).unwrap();
    assert_eq!(made.len(), before.len() + 2);
    let file = fs::File::create(at("d/f")).unwrap();
    io::Write::write_all(&mut &file, b"2").unwrap();
    assert_ne!(listing(directory.path()).unwrap(), made);
    let open = written_by(std::process::id()).unwrap();
    assert!(open.iter().any(|name| name.ends_with("/d/f")), "{open:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_traffic_nothing_is_on_the_disk_of_a_node() {
    let seed = seed();
    let seconds = count("STARLING_TRAFFIC_SECONDS", 4) as u64;
    let names = (0..ACTORS).map(actor_name);
    let cloud = Cloud::start(names.chain(["owner".to_owned()])).await;
    let (provided, room) = (Provided::new(&cloud.lines()).unwrap(), Room::new().unwrap());
    let root = match can_seal(&room) {
        true => Root::ReadOnly,
        false => Root::AsItIs,
    };
    println!("seed {seed}, {seconds} s, root: {root:?}");
    let node = Serving::start(&provided, &room, root).unwrap();
    let before = listing(room.path()).unwrap();

    let mut play = Play::start(ACTORS, node.plain, seed);
    let mut owner = Owner::new("owner".to_owned(), seed);
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        owner.visit(node.plain).await.unwrap();
    }
    play.settle().await;
    let story = play.stop().await;
    let log = fs::canonicalize(node.log_file()).unwrap();
    let open = written_by(node.process.id()).unwrap();
    let after = listing(room.path()).unwrap();
    node.stop().unwrap();
    let stopped = listing(room.path()).unwrap();
    let counts = play.verify(&cloud.stores().await).await;
    println!(
        "{counts:?}\n{story:?}\n{:?}\nin its room: {before:?}",
        owner.deeds
    );
    assert_told_only(&story, &[]);
    assert!(counts.promised > 0 && owner.deeds["vCard changes"] > 0);

    let log = log.display().to_string();
    let open: Vec<_> = open.into_iter().filter(|name| *name != log).collect();
    assert_eq!(open, [] as [String; 0], "open for writing");
    assert_eq!(after, before, "while it ran");
    let files = |listing: &Listing| -> Vec<String> {
        let some = listing
            .iter()
            .filter(|(_, entry)| **entry != Entry::Directory);
        some.map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(files(&before), ["data/admin.sock", "run/ready.json"]);
    assert_eq!(files(&stopped), [] as [String; 0], "after its stop");
}
