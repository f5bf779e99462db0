//! Logs: dense numbers, no entry lost or written over, reads exact at every edge of an item.

use bytes::Bytes;
use xmpp::{BareJid, Jid};

use super::{done, jid, log_contacts, log_front, refused};
use crate::{
    error::ErrorKind,
    repository::{EntryFlags, LogEntry, LogRange, LogRepository, NewEntry, Tip},
};

pub(super) fn entry(time_ms: u64, text: &str) -> NewEntry {
    NewEntry {
        time_ms,
        flags: EntryFlags::ARCHIVED | EntryFlags::DELIVER,
        peer: Jid::parse("peer@example.org/phone").expect("an address"),
        stanza: Bytes::from(format!("<message><body>{text}</body></message>")),
    }
}

fn numbered(first: u64, entries: &[NewEntry]) -> Vec<LogEntry> {
    let of = |(number, entry): (u64, &NewEntry)| {
        let NewEntry {
            time_ms,
            flags,
            peer,
            stanza,
        } = entry.clone();
        LogEntry {
            number,
            time_ms,
            flags,
            peer,
            stanza,
        }
    };
    (first..).zip(entries).map(of).collect()
}

/// Runs all of it.
pub async fn logs(repo: &dyn LogRepository) {
    packed_items(repo).await;
    large_appends(repo).await;
    stale_heads(repo).await;
    rewrites(repo).await;
    log_front::truncation(repo).await;
    log_front::archives_that_are_kept(repo).await;
    blanks(repo).await;
    log_contacts::contacts(repo).await;
}

/// The same of a log that may be compacted between any two calls. Not what an append finds out from items that are
/// there no more: a writer whose head is old reads it again.
pub async fn logs_at_rest(repo: &dyn LogRepository) {
    packed_items(repo).await;
    large_appends(repo).await;
    rewrites_of_entries(repo).await;
    log_front::truncation_at_rest(repo).await;
    log_front::archives_that_are_kept(repo).await;
    blanks(repo).await;
    log_contacts::contacts(repo).await;
}

/// Entries in items of 1, 3, 64, 2 and 70 (which is two items), ten apart.
pub(super) async fn fill(repo: &dyn LogRepository, archive: &BareJid) -> Vec<LogEntry> {
    let mut all = Vec::new();
    for (id, count) in [1_usize, 3, 64, 2, 70].into_iter().enumerate() {
        let head = all.len() as u64;
        assert_eq!(done(repo.head(archive).await), head);
        let new: Vec<_> = (0..count as u64)
            .map(|n| entry((head + n + 1) * 10, &format!("number {n} of {count}")))
            .collect();
        done(repo.append(archive, head, id as u64, &new).await);
        all.extend(numbered(head + 1, &new));
    }
    all
}

async fn packed_items(repo: &dyn LogRepository) {
    let archive = jid("packed@log.example");
    assert_eq!(done(repo.tip(&archive).await), Tip::default());
    assert_eq!(
        done(repo.read(&archive, LogRange::ALL, false, 10).await),
        []
    );
    assert_eq!(done(repo.first_since(&archive, 5).await), 1);
    done(repo.append(&archive, 0, 1, &[]).await);
    let all = fill(repo, &archive).await;
    assert_eq!(
        done(repo.tip(&archive).await),
        Tip {
            head: 140,
            time_ms: 1400
        }
    );
    assert_eq!(done(repo.head(&jid("packe@log.example")).await), 0);

    let edges = [
        0,
        1,
        2,
        4,
        5,
        6,
        40,
        68,
        69,
        70,
        71,
        134,
        135,
        140,
        141,
        u64::MAX,
    ];
    for from in edges {
        for to in edges {
            for limit in [0, 1, 3, 64, 1000] {
                let within = |entry: &&LogEntry| (from..=to).contains(&entry.number);
                let expected: Vec<_> = all.iter().filter(within).take(limit).cloned().collect();
                let found = done(
                    repo.read(&archive, LogRange { from, to }, false, limit)
                        .await,
                );
                assert_eq!(found, expected, "{from}..={to}, {limit} entries");
                let expected: Vec<_> = all
                    .iter()
                    .rev()
                    .filter(within)
                    .take(limit)
                    .cloned()
                    .collect();
                let found = done(
                    repo.read(&archive, LogRange { from, to }, true, limit)
                        .await,
                );
                assert_eq!(found, expected, "{from}..={to} backward, {limit} entries");
            }
        }
    }
    for time in 0..=1410 {
        let expected = all
            .iter()
            .find(|entry| entry.time_ms >= time)
            .map_or(141, |entry| entry.number);
        assert_eq!(
            done(repo.first_since(&archive, time).await),
            expected,
            "since {time}"
        );
    }
}

async fn large_appends(repo: &dyn LogRepository) {
    let archive = jid("large@log.example");
    let new: Vec<_> = [10, 70_000, 30_000, 30_000, 30_000, 10]
        .map(|size| entry(1, &"x".repeat(size)))
        .into();
    done(repo.append(&archive, 0, 1, &new).await);
    assert_eq!(
        done(repo.read(&archive, LogRange::ALL, false, 100).await),
        numbered(1, &new)
    );
    let too_many: Vec<_> = (0..6401).map(|_| entry(1, "x")).collect();
    refused(
        repo.append(&archive, 6, 2, &too_many).await,
        ErrorKind::TooLarge,
    );
    assert_eq!(done(repo.head(&archive).await), 6);
}

async fn stale_heads(repo: &dyn LogRepository) {
    let archive = jid("stale@log.example");
    let ours = [entry(1, "a"), entry(2, "b"), entry(3, "c")];
    done(repo.append(&archive, 0, 11, &ours).await);
    done(repo.append(&archive, 0, 11, &ours).await); // its own repeat
    refused(
        repo.append(&archive, 0, 12, &[entry(4, "d")]).await,
        ErrorKind::Conflict,
    );
    assert_eq!(
        done(repo.read(&archive, LogRange::ALL, false, 10).await),
        numbered(1, &ours)
    );

    // Without waiting, the same.
    let submit = async |head, write_id, new: &[NewEntry]| {
        let (done, answer) = tokio::sync::oneshot::channel();
        let done = move |result| done.send(result).expect("the answer is awaited");
        repo.submit_append(&archive, head, write_id, new, Box::new(done));
        answer.await.expect("always answered")
    };
    done(submit(3, 13, &[entry(5, "e")]).await);
    done(submit(3, 13, &[entry(5, "e")]).await);
    refused(submit(3, 14, &[entry(6, "f")]).await, ErrorKind::Conflict);
    done(submit(4, 15, &[]).await);
    assert_eq!(
        done(repo.tip(&archive).await),
        Tip {
            head: 4,
            time_ms: 5
        }
    );

    // Four writers from heads that they believe in, each until all of its own is in.
    let archive = jid("busy@log.example");
    let writer = |name: &'static str| {
        let archive = archive.clone();
        async move {
            let mut head = 0;
            for n in 0..20_u64 {
                let size = n % 5 + 1;
                let new: Vec<_> = (0..size)
                    .map(|part| entry(1, &format!("{name} {n} {part}")))
                    .collect();
                let write_id = u64::from(name.as_bytes()[0]) << 32 | n;
                loop {
                    match repo.append(&archive, head, write_id, &new).await {
                        Ok(()) => break head += size,
                        Err(error) if error.kind() == ErrorKind::Conflict => {
                            head = done(repo.head(&archive).await)
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
    };
    tokio::join!(writer("a"), writer("b"), writer("c"), writer("d"));
    let found = done(repo.read(&archive, LogRange::ALL, false, 1000).await);
    let numbers: Vec<_> = found.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, (1..=240).collect::<Vec<_>>(), "dense");
    for name in ["a", "b", "c", "d"] {
        let own = format!("<body>{name} ");
        let of = |entry: &&LogEntry| String::from_utf8_lossy(&entry.stanza).contains(&own);
        assert_eq!(found.iter().filter(of).count(), 60, "each once");
    }
}

async fn rewrites(repo: &dyn LogRepository) {
    let archive = rewrites_of_entries(repo).await;
    done(repo.append(&archive, 70, 4, &[]).await);
    refused(
        repo.append(&archive, 4, 99, &[entry(1, "x")]).await,
        ErrorKind::Conflict,
    );
    done(repo.append(&archive, 4, 2, &[entry(1, "x")]).await); // a repeat finds its id in a rewritten item too
}

async fn rewrites_of_entries(repo: &dyn LogRepository) -> BareJid {
    let archive = jid("rewritten@log.example");
    let mut all = fill(repo, &archive).await;
    let tombstone = |entry: &LogEntry| {
        let flags = entry.flags.without(EntryFlags::DELIVER) | EntryFlags::TOMBSTONE;
        let (time_ms, peer) = (entry.time_ms, entry.peer.clone());
        Some(NewEntry {
            time_ms,
            flags,
            peer,
            stanza: Bytes::from_static(b"<message/>"),
        })
    };
    for number in [1, 2, 40, 140] {
        assert!(done(repo.rewrite(&archive, number, &tombstone).await));
        let entry = &mut all[number as usize - 1];
        let NewEntry { flags, stanza, .. } = tombstone(entry).expect("always one");
        (entry.flags, entry.stanza) = (flags, stanza);
    }
    assert!(!done(repo.rewrite(&archive, 141, &tombstone).await));
    assert!(!done(repo.rewrite(&archive, 0, &tombstone).await));
    assert!(!done(repo.rewrite(&archive, 3, &|_| None).await));
    assert_eq!(
        done(repo.read(&archive, LogRange::ALL, false, 1000).await),
        all
    );

    // Two rewrites of one item: both hold.
    let (a, b) = tokio::join!(
        repo.rewrite(&archive, 50, &tombstone),
        repo.rewrite(&archive, 51, &tombstone)
    );
    assert!(done(a) && done(b));
    let found = done(
        repo.read(&archive, LogRange { from: 50, to: 51 }, false, 2)
            .await,
    );
    assert!(
        found
            .iter()
            .all(|entry| entry.flags.contains(EntryFlags::TOMBSTONE))
    );
    archive
}

async fn blanks(repo: &dyn LogRepository) {
    let archive = jid("blank@log.example");
    done(repo.blank(&archive, &[1, 2]).await);
    let mut all = fill(repo, &archive).await;
    let kept = |number: u64| number.is_multiple_of(2);
    let as_kept = |entry: &LogEntry| {
        let flags = if kept(entry.number) {
            entry.flags
        } else {
            EntryFlags::DELIVER
        };
        let (time_ms, peer) = (entry.time_ms, entry.peer.clone());
        let stanza = entry.stanza.clone();
        Some(NewEntry {
            time_ms,
            flags,
            peer,
            stanza,
        })
    };
    let blanked = [1, 2, 3, 4, 5, 67, 68, 69, 139, 140, 141, 900];
    for entry in &mut all {
        assert!(done(repo.rewrite(&archive, entry.number, &as_kept).await));
        let new = as_kept(entry).expect("always one");
        entry.flags = new.flags;
        if blanked.contains(&entry.number) && !kept(entry.number) {
            entry.flags = EntryFlags::NONE;
            entry.peer = Jid::from(archive.clone());
            entry.stanza = Bytes::new();
        }
    }
    for _ in 0..2 {
        done(repo.blank(&archive, &blanked).await);
        let found = done(repo.read(&archive, LogRange::ALL, false, 1000).await);
        assert_eq!(found, all);
    }
    assert_eq!(done(repo.tip(&archive).await).time_ms, 1400);
    done(repo.append(&archive, 140, 9, &[entry(2000, "next")]).await);
}
