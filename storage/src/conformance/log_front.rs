//! The front of a log: what is dropped from it goes, what is kept is dense, and an erased log is none.

use xmpp::BareJid;

use super::{
    done, jid,
    log::{entry, fill},
};
use crate::repository::{EntryFlags, LogRange, LogRepository, NewEntry, Tip};

pub(super) async fn truncation(repo: &dyn LogRepository) {
    let archive = jid("old@log.example");
    assert_eq!(done(repo.truncate(&archive, 10).await), 1);
    let all = fill(repo, &archive).await;
    let from = |first: u64| {
        all.iter()
            .filter(move |entry| entry.number >= first)
            .cloned()
            .collect::<Vec<_>>()
    };
    // An item goes only as a whole.
    for (before, first) in [(1, 1), (2, 2), (4, 2), (5, 5), (68, 5), (70, 69)] {
        assert_eq!(
            done(repo.truncate(&archive, before).await),
            first,
            "before {before}"
        );
        assert_eq!(
            done(repo.read(&archive, LogRange::ALL, false, 1000).await),
            from(first)
        );
        assert_eq!(
            done(
                repo.read(&archive, LogRange { from: 2, to: 1000 }, true, 1)
                    .await
            )
            .len(),
            1
        );
        assert_eq!(done(repo.first_since(&archive, 0).await), first);
    }
    assert_eq!(
        done(repo.truncate(&archive, u64::MAX).await),
        135,
        "the newest item stays"
    );
    assert_eq!(done(repo.head(&archive).await), 140);
    done(repo.append(&archive, 140, 9, &[entry(2000, "next")]).await);
    assert_eq!(done(repo.first_since(&archive, 1500).await), 141);

    erased(repo, &archive).await;
}

/// What is in a segment goes to the number, what is in an item with all of it.
pub(super) async fn truncation_at_rest(repo: &dyn LogRepository) {
    let archive = jid("old-at-rest@log.example");
    assert_eq!(done(repo.truncate(&archive, 10).await), 1);
    let all = fill(repo, &archive).await;
    let mut lowest = 1;
    for (before, item) in [(1, 1), (2, 2), (4, 2), (5, 5), (30, 5), (68, 5), (70, 69)] {
        let first = done(repo.truncate(&archive, before).await);
        let allowed = lowest.max(item)..=before.max(lowest);
        assert!(allowed.contains(&first), "before {before}: {first}");
        lowest = first;
        let left: Vec<_> = all
            .iter()
            .filter(|entry| entry.number >= first)
            .cloned()
            .collect();
        assert_eq!(
            done(repo.read(&archive, LogRange::ALL, false, 1000).await),
            left
        );
        let last = done(
            repo.read(&archive, LogRange { from: 1, to: 80 }, true, 1000)
                .await,
        );
        assert!(
            last.iter()
                .rev()
                .eq(left.iter().take_while(|it| it.number <= 80))
        );
        assert_eq!(done(repo.first_since(&archive, 0).await), first);
    }
    assert_eq!(
        done(repo.truncate(&archive, u64::MAX).await),
        135,
        "the newest item stays"
    );
    assert_eq!(done(repo.head(&archive).await), 140);
    done(repo.append(&archive, 140, 9, &[entry(2000, "next")]).await);
    assert_eq!(done(repo.first_since(&archive, 1500).await), 141);
    erased(repo, &archive).await;
}

async fn erased(repo: &dyn LogRepository, archive: &BareJid) {
    done(repo.erase(archive).await);
    done(repo.erase(archive).await);
    assert_eq!(done(repo.tip(archive).await), Tip::default());
    assert_eq!(done(repo.read(archive, LogRange::ALL, true, 10).await), []);
    assert_eq!(done(repo.first_since(archive, 0).await), 1);
}

pub(super) async fn archives_that_are_kept(repo: &dyn LogRepository) {
    let archive = jid("kept@log.example");
    assert_eq!(done(repo.truncate_unarchived(&archive, 10).await), 1);
    let handed = |archived| NewEntry {
        flags: match archived {
            true => EntryFlags::ARCHIVED | EntryFlags::DELIVER,
            false => EntryFlags::DELIVER,
        },
        ..entry(10, "x")
    };
    // Items of one entry, one of two, and the newest.
    for (head, archived) in [(0, false), (1, false), (2, true), (3, false)] {
        let new = [handed(archived)];
        done(repo.append(&archive, head, head, &new).await);
    }
    for (before, first) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 3), (u64::MAX, 3)] {
        let left = done(repo.truncate_unarchived(&archive, before).await);
        assert_eq!(left, first, "before {before}");
    }
    let left = done(repo.read(&archive, LogRange::ALL, false, 9).await);
    assert_eq!(left.iter().map(|it| it.number).collect::<Vec<_>>(), [3, 4]);
}
