//! Rooms: made once, changed by compare-and-set, listed, removed.

use bytes::Bytes;
use xmpp::BareJid;

use super::{done, jid, refused};
use crate::{
    error::ErrorKind,
    repository::{
        Affiliation, ListFrom, RoomConfig, RoomMember, RoomRecord, RoomRepository,
        RoomSubscription,
        room::{MAX_CHANGED, MAX_VCARD},
    },
};

fn record(name: &str) -> RoomRecord {
    RoomRecord {
        config: RoomConfig {
            name: name.to_owned(),
            ..RoomConfig::default()
        },
        secret: vec![7; 32],
        created_ms: 5,
        ..RoomRecord::default()
    }
}

fn member(address: &str, affiliation: Affiliation) -> (BareJid, RoomMember) {
    let member = RoomMember {
        affiliation,
        ..RoomMember::default()
    };
    (jid(address), member)
}

/// Runs all of it.
pub async fn rooms(repo: &dyn RoomRepository) {
    changes(repo).await;
    lists(repo).await;
    vcards(repo).await;
    removal(repo).await;
    makers(repo).await;
    subscribers(repo).await;
}

async fn subscribers(repo: &dyn RoomRepository) {
    let (ann, bob) = (jid("ann@example"), jid("bob@example"));
    let subscription = |nick: &str| RoomSubscription {
        nick: nick.to_owned(),
        topics: 3,
    };
    let subscriber = |account: &BareJid| {
        let subscription = Some(subscription("Ann"));
        let member = RoomMember {
            subscription,
            ..RoomMember::default()
        };
        (account.clone(), member)
    };
    let rooms = ["s1@rooms.example", "s2@rooms.example", "s3@other.example"].map(jid);
    for room in &rooms {
        done(
            repo.create(room, &record("S"), &[subscriber(&ann), subscriber(&bob)])
                .await,
        );
    }
    let check = async |account: &BareJid, service: &str, limit, expected: &[&BareJid]| {
        let found = done(repo.subscriptions(account, service, limit).await);
        let named: Vec<_> = found.iter().map(|(room, _)| room).collect();
        assert_eq!(named, expected, "{account} {service}");
        assert!(found.iter().all(|(_, it)| *it == subscription("Ann")));
    };
    check(&ann, "rooms.example", 9, &[&rooms[0], &rooms[1]]).await;
    check(&ann, "rooms.example", 1, &[&rooms[0]]).await;
    // What is at another service is not counted.
    check(&ann, "other.example", 1, &[&rooms[2]]).await;
    check(&ann, "example", 9, &[]).await;
    // Neither who ceases to subscribe nor what is removed is there any more.
    let none = (ann.clone(), RoomMember::default());
    done(repo.store(&rooms[0], &record("S"), &[none], 1).await);
    check(&ann, "rooms.example", 9, &[&rooms[1]]).await;
    check(&bob, "rooms.example", 1, &[&rooms[0]]).await;
    let gone = RoomRecord {
        gone: true,
        ..record("S")
    };
    done(repo.store(&rooms[1], &gone, &[], 1).await);
    done(repo.remove(&rooms[1]).await);
    check(&ann, "rooms.example", 9, &[]).await;
    check(&bob, "rooms.example", 9, &[&rooms[0]]).await;
}

async fn makers(repo: &dyn RoomRepository) {
    let maker = jid("maker@example");
    let made = RoomRecord {
        creator: Some("maker@example".into()),
        ..record("M")
    };
    let rooms = [jid("m1@rooms.example"), jid("m2@other.example")];
    assert_eq!(done(repo.made_by(&maker, 9).await), 0);
    for room in &rooms {
        let owner = member("maker@example", Affiliation::Owner);
        done(repo.create(room, &made, &[owner]).await);
    }
    assert_eq!(done(repo.made_by(&maker, 9).await), 2);
    assert_eq!(done(repo.made_by(&maker, 1).await), 1);
    assert_eq!(done(repo.made_by(&jid("make@example"), 9).await), 0);
    // A change makes no room, and one that is removed is no more.
    let gone = RoomRecord { gone: true, ..made };
    done(repo.store(&rooms[0], &gone, &[], 1).await);
    assert_eq!(done(repo.made_by(&maker, 9).await), 2);
    done(repo.remove(&rooms[0]).await);
    assert_eq!(done(repo.made_by(&maker, 9).await), 1);
}

async fn changes(repo: &dyn RoomRepository) {
    let room = jid("cave@rooms.example");
    assert_eq!(done(repo.load(&room).await), None);
    let (owner, rival) = (
        member("ada@example", Affiliation::Owner),
        member("bob@example", Affiliation::Owner),
    );
    let (a, b) = (record("A"), record("B"));
    let made = tokio::join!(
        repo.create(&room, &a, std::slice::from_ref(&owner)),
        repo.create(&room, &b, std::slice::from_ref(&rival)),
    );
    let won = match made {
        (Ok(1), Err(error)) | (Err(error), Ok(1)) => {
            assert_eq!(error.kind(), ErrorKind::Conflict);
            done(repo.load(&room).await).expect("it was made")
        }
        made => panic!("one makes it: {made:?}"),
    };
    let expected = if won.record.config.name == "A" {
        &owner
    } else {
        &rival
    };
    assert_eq!(won.members, std::slice::from_ref(expected));
    assert_eq!(won.version, 1);

    let nick = RoomMember {
        nick: Some("thirdwitch".into()),
        reason: Some("asked".into()),
        ..member("carol@example", Affiliation::Member).1
    };
    let changed = [
        (jid("carol@example"), nick),
        member("dave@example", Affiliation::Outcast),
        member("example", Affiliation::Outcast),
    ];
    let version = done(repo.store(&room, &record("A"), &changed, 1).await);
    assert_eq!(version, 2);
    refused(
        repo.store(&room, &record("late"), &[], 1).await,
        ErrorKind::Conflict,
    );
    let found = done(repo.load(&room).await).expect("there is it");
    assert_eq!((found.members.len(), found.version), (4, 2));
    assert!(changed.iter().all(|one| found.members.contains(one)));
    let none = member("dave@example", Affiliation::None);
    done(repo.store(&room, &record("A"), &[none], 2).await);
    let found = done(repo.load(&room).await).expect("there is it");
    assert_eq!(found.members.len(), 3);
    assert_eq!(found.record, record("A"));
    let many: Vec<_> = (0..=MAX_CHANGED)
        .map(|n| member(&format!("m{n}@example"), Affiliation::Member))
        .collect();
    refused(
        repo.store(&room, &record("A"), &many, 3).await,
        ErrorKind::TooLarge,
    );
    let version = done(repo.store(&room, &record("A"), &many[1..], 3).await);
    let found = done(repo.load(&room).await).expect("there is it");
    assert_eq!(
        (found.members.len(), found.version),
        (3 + MAX_CHANGED, version)
    );
}

async fn lists(repo: &dyn RoomRepository) {
    let service = "list.example";
    let names = ["a", "b", "c", "d"];
    for name in names {
        let room = jid(&format!("{name}@{service}"));
        let mut record = record(&name.to_uppercase());
        record.config.public = name != "b";
        record.config.password = (name == "c").then(|| "secret".into());
        record.locked = name == "d";
        done(repo.create(&room, &record, &[]).await);
    }
    let cases: [(ListFrom<'_>, usize, &[&str]); 8] = [
        (ListFrom::Start, 9, &["a", "b", "c", "d"]),
        (ListFrom::Start, 2, &["a", "b"]),
        (ListFrom::After("b"), 9, &["c", "d"]),
        (ListFrom::After("bb"), 1, &["c"]),
        (ListFrom::After("d"), 1, &[]),
        (ListFrom::Before("c"), 9, &["b", "a"]),
        (ListFrom::End, 2, &["d", "c"]),
        (ListFrom::Before("a"), 2, &[]),
    ];
    for (from, limit, expected) in cases {
        let found = done(repo.list(service, from, limit).await);
        let found: Vec<_> = found.iter().filter_map(|it| it.room.local()).collect();
        assert_eq!(found, expected, "{from:?}");
    }
    let all = done(repo.list(service, ListFrom::Start, 9).await);
    let shown: Vec<_> = all.iter().map(|it| (it.public, it.open)).collect();
    // What is locked is not there for others.
    assert_eq!(
        shown,
        [(true, true), (false, true), (true, false), (false, true)]
    );
    assert_eq!(all[0].name, "A");
    assert!(done(repo.list("other.example", ListFrom::Start, 9).await).is_empty());
}

async fn vcards(repo: &dyn RoomRepository) {
    let room = jid("card@rooms.example");
    let version = done(repo.create(&room, &record("card"), &[]).await);
    assert_eq!(done(repo.vcard(&room).await), None);
    let card = Bytes::from_static(b"<vCard xmlns='vcard-temp'/>");
    let known = RoomRecord {
        avatars: Some(vec!["abc".into()]),
        ..record("card")
    };
    let version = done(
        repo.put_vcard(&room, &known, Some(card.clone()), version)
            .await,
    );
    assert_eq!(done(repo.vcard(&room).await), Some(card.clone()));
    let found = done(repo.load(&room).await).expect("there is it");
    assert_eq!((found.record, found.version), (known.clone(), version));
    refused(
        repo.put_vcard(&room, &known, Some(card), version - 1).await,
        ErrorKind::Conflict,
    );
    let large = Bytes::from(vec![b'x'; MAX_VCARD + 1]);
    refused(
        repo.put_vcard(&room, &known, Some(large), version).await,
        ErrorKind::TooLarge,
    );
    done(repo.put_vcard(&room, &record("card"), None, version).await);
    assert_eq!(done(repo.vcard(&room).await), None);
}

async fn removal(repo: &dyn RoomRepository) {
    let room = jid("cave@rooms.example");
    let found = done(repo.load(&room).await).expect("there is it");
    refused(repo.remove(&room).await, ErrorKind::Conflict);
    let gone = RoomRecord {
        gone: true,
        ..found.record
    };
    done(repo.store(&room, &gone, &[], found.version).await);
    refused(
        repo.create(&room, &record("new"), &[]).await,
        ErrorKind::Conflict,
    );
    for _ in 0..2 {
        done(repo.remove(&room).await);
        assert_eq!(done(repo.load(&room).await), None);
    }
    done(repo.create(&room, &record("new"), &[]).await);
    let found = done(repo.load(&room).await).expect("there is it");
    assert!(found.members.is_empty(), "nobody inherits anything");
}
