//! Contacts of a log: one conversation reads as if all were read and the rest left out.

use bytes::Bytes;
use xmpp::{BareJid, Jid};

use super::{done, jid};
use crate::repository::{EntryFlags, LogEntry, LogRange, LogRepository, NewEntry};

/// Entries of the log at first: two blocks of 1,024 are passed, and a part of a third.
const ENTRIES: u64 = 2_500;

/// One contact writes always, one in every hundredth place, one once, from more than one device.
fn peer(number: u64) -> Jid {
    let text = match number {
        1_023 | 1_024 => "once@log.example".to_owned(),
        _ if number.is_multiple_of(100) => format!("rare@log.example/{}", number % 3),
        _ => format!("often@log.example/{}", number % 7),
    };
    Jid::parse(&text).expect("an address")
}

async fn append(repo: &dyn LogRepository, archive: &BareJid, count: u64, peer: fn(u64) -> Jid) {
    let mut head = done(repo.head(archive).await);
    let end = head + count;
    while head < end {
        // Items of many lengths, some of which lie over the end of a block.
        let length = (head % 61 + 3).min(end - head);
        let new: Vec<_> = (head + 1..=head + length)
            .map(|number| NewEntry {
                time_ms: number,
                flags: EntryFlags::ARCHIVED,
                peer: peer(number),
                stanza: Bytes::from(format!("<message id='{number}'/>")),
            })
            .collect();
        done(repo.append(archive, head, head, &new).await);
        head += length;
    }
}

/// Every way to read a conversation finds what a read of everything does.
async fn compare(repo: &dyn LogRepository, archive: &BareJid) {
    let all = done(repo.read(archive, LogRange::ALL, false, 10_000).await);
    let ranges = [
        (1, u64::MAX),
        (1, 1),
        (1_000, 1_050),
        (1_024, 1_024),
        (1_023, 2_047),
        (2_048, 2_400),
        (2_900, 3_000),
        (5, 4),
        (50_000, u64::MAX),
    ];
    for name in ["often", "rare", "once", "never"] {
        let contact = jid(&format!("{name}@log.example"));
        for (from, to) in ranges {
            for (limit, reverse) in [(0, false), (1, true), (3, false), (7, true), (9_999, false)] {
                let is_wanted = |entry: &&LogEntry| {
                    entry.peer.bare_str() == contact.as_str() && (from..=to).contains(&entry.number)
                };
                let mut expected: Vec<_> = all.iter().filter(is_wanted).cloned().collect();
                if reverse {
                    expected.reverse();
                }
                expected.truncate(limit);
                let range = LogRange { from, to };
                let found = repo.read_with(archive, &contact, range, reverse, limit);
                let found = done(found.await);
                assert_eq!(found, expected, "{name} {from}-{to}, {limit}, {reverse}");
            }
        }
    }
}

pub(super) async fn contacts(repo: &dyn LogRepository) {
    let archive = jid("contacts@log.example");
    compare(repo, &archive).await;
    append(repo, &archive, ENTRIES, peer).await;
    compare(repo, &archive).await;
    // Rows that are there are used, and those of what came since are made.
    append(repo, &archive, 700, peer).await;
    compare(repo, &archive).await;
    let blank = |entry: &LogEntry| {
        Some(NewEntry {
            time_ms: entry.time_ms,
            flags: EntryFlags::NONE,
            peer: Jid::from(jid("contacts@log.example")),
            stanza: Bytes::new(),
        })
    };
    for number in [100, 1_023] {
        assert!(done(repo.rewrite(&archive, number, &blank).await));
    }
    compare(repo, &archive).await;
    done(repo.truncate(&archive, 1_100).await);
    compare(repo, &archive).await;
    // Another log under the same name owes nothing to the rows of the first.
    done(repo.erase(&archive).await);
    compare(repo, &archive).await;
    append(repo, &archive, 1_500, |number| peer(number + 77)).await;
    compare(repo, &archive).await;
}
