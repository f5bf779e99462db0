//! Rosters: everything comes back, also of ten thousand contacts; of two writers one wins.

use bytes::Bytes;

use super::{done, jid, refused};
use crate::{
    error::ErrorKind,
    repository::{Roster, RosterItem, RosterRepository, Subscription},
};

/// Runs all of it.
pub async fn rosters(repo: &dyn RosterRepository) {
    let owner = jid("owner@roster.example");
    assert_eq!(done(repo.load(&owner).await), Roster::default());

    let mut roster = Roster::default();
    roster.put(RosterItem {
        name: Some("Ann".into()),
        groups: vec!["Friends".into(), "Work".into()],
        subscription: Subscription::Both,
        ask: true,
        approved: true,
        ..RosterItem::new(jid("ann@b.example"))
    });
    roster.put(RosterItem {
        in_roster: false,
        pending_in: Some(Bytes::from_static(b"<presence type='subscribe'/>")),
        ..RosterItem::new(jid("stranger@a.example"))
    });
    assert_eq!(done(repo.store(&owner, &roster, 0).await), 1);
    refused(
        repo.store(&owner, &Roster::default(), 0).await,
        ErrorKind::Conflict,
    );
    refused(
        repo.store(&owner, &Roster::default(), 2).await,
        ErrorKind::Conflict,
    );
    let mut found = done(repo.load(&owner).await);
    assert_eq!(
        found,
        Roster {
            version: 1,
            ..roster
        }
    );
    found.remove(&jid("ann@b.example"));
    assert_eq!(done(repo.store(&owner, &found, 1).await), 2);
    assert_eq!(
        done(repo.load(&owner).await),
        Roster {
            version: 2,
            ..found
        }
    );
    assert_eq!(
        done(repo.load(&jid("own@roster.example")).await),
        Roster::default()
    );

    huge(repo).await;
    race(repo).await;
}

async fn huge(repo: &dyn RosterRepository) {
    let owner = jid("popular@roster.example");
    let mut state = 1_u64;
    let mut noise = || {
        // Names that do not compress.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 16
    };
    let mut roster = Roster::default();
    for n in 0..10_000 {
        let name = Some(format!("{:012x}{:012x}{:012x}", noise(), noise(), noise()));
        roster.put(RosterItem {
            name,
            ..RosterItem::new(jid(&format!("contact{n:05}@{:x}.example", noise())))
        });
    }
    assert_eq!(done(repo.store(&owner, &roster, 0).await), 1);
    let mut found = done(repo.load(&owner).await);
    assert_eq!(
        found,
        Roster {
            version: 1,
            ..roster
        }
    );
    found.items.truncate(9_999);
    assert_eq!(done(repo.store(&owner, &found, 1).await), 2);
    refused(repo.store(&owner, &found, 1).await, ErrorKind::Conflict);
    found.items.truncate(1);
    assert_eq!(done(repo.store(&owner, &found, 2).await), 3);
    assert_eq!(
        done(repo.load(&owner).await),
        Roster {
            version: 3,
            ..found
        }
    );
}

async fn race(repo: &dyn RosterRepository) {
    let owner = jid("racer@roster.example");
    for version in 0..4 {
        let seen = done(repo.load(&owner).await);
        let (mut a, mut b) = (seen.clone(), seen);
        a.put(RosterItem::new(jid(&format!("a{version}@c.example"))));
        b.put(RosterItem::new(jid(&format!("b{version}@c.example"))));
        let (a, b) = tokio::join!(
            repo.store(&owner, &a, version),
            repo.store(&owner, &b, version)
        );
        assert!(a.is_ok() != b.is_ok(), "just one writer wins");
        refused(a.and(b), ErrorKind::Conflict);
        assert_eq!(
            done(repo.load(&owner).await).items.len() as u64,
            version + 1
        );
    }
}
