//! Writers of several nodes at one record: every history is explainable by the conditional writes.
//!
//! Each of [`WRITERS`] belongs to one of [`NODES`], which have stores and a cache of their own. A change is put where it was
//! read, or refused and tried again. With lost answers some writers never learn what became of a change: it counts as
//! done exactly if its place is taken by nobody else.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use services::{Fault, faults::Asked};
use storage::repository::{
    Credentials, EntryFlags, LogRange, Mailbox, NewEntry, Roster, RosterItem, ScramHash,
    StoredScram,
};
use storage::{ErrorKind, Stores};
use tests::faults::dice::{Dice, count, seed};
use tests::faults::node::account;
use tokio::task::JoinSet;
use tokio::time::sleep;
use xmpp::{BareJid, Jid};

use crate::cloud::Cloud;

const WRITERS: usize = 32;
const NODES: usize = 4;
/// Calls that a bad way throttles.
const THROTTLED: u64 = 40;
/// Between two attempts when the store does not answer.
const PAUSE: Duration = Duration::from_millis(20);

/// A change that was tried: whose, behind which version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tried {
    /// Its mark, which nothing else has.
    mark: String,
    /// The version that it was to follow.
    seen: u64,
    /// Whether it was answered; an answer that was lost leaves doubt.
    certain: bool,
}

/// What stands in the store in the end, oldest first: the mark of each version.
type Stands = Vec<String>;

/// What is wrong with a history, in words.
fn explain(tried: &[Tried], stands: &Stands) -> Vec<String> {
    let mut wrong = Vec::new();
    let places: BTreeMap<&str, usize> = stands
        .iter()
        .zip(1..)
        .map(|(mark, version)| (mark.as_str(), version))
        .collect();
    if places.len() != stands.len() {
        wrong.push("a change stands twice".to_owned());
    }
    for change in tried {
        let due = usize::try_from(change.seen + 1).expect("a small number");
        match places.get(change.mark.as_str()) {
            Some(place) if *place == due => {}
            // One that was repeated behind another version after its answer was lost.
            Some(_) if !change.certain => {}
            Some(place) => wrong.push(format!("{change:?} stands as {place}")),
            None if change.certain => wrong.push(format!("{change:?} was answered and is gone")),
            None => {}
        }
    }
    for mark in stands {
        if !tried.iter().any(|change| change.mark == *mark) {
            wrong.push(format!("nobody wrote {mark}"));
        }
    }
    wrong
}

#[test]
fn histories_that_cannot_be_are_told() {
    let tried = |mark: &str, seen, certain| Tried {
        mark: mark.to_owned(),
        seen,
        certain,
    };
    let check = |history: &[Tried], stands: &[&str], wrong: &[&str]| {
        let stands = stands.iter().map(|mark| (*mark).to_owned()).collect();
        let found = explain(history, &stands);
        assert_eq!(found.len(), wrong.len(), "{found:?}");
        for (found, wrong) in found.iter().zip(wrong) {
            assert!(found.contains(wrong), "{found}: {wrong}");
        }
    };
    let (a, b) = (tried("a", 0, true), tried("b", 1, true));
    check(&[a.clone(), b.clone()], &["a", "b"], &[]);
    check(&[a.clone(), b.clone()], &["a"], &["is gone"]);
    check(
        &[a.clone(), b.clone()],
        &["b", "a"],
        &["stands as 2", "stands as 1"],
    );
    check(
        &[a.clone(), tried("b", 0, true)],
        &["a", "b"],
        &["stands as 2"],
    );
    check(&[a.clone(), tried("b", 1, false)], &["a"], &[]);
    check(&[a.clone(), tried("b", 1, false)], &["a", "b"], &[]);
    check(std::slice::from_ref(&a), &["a", "b"], &["nobody wrote b"]);
    check(&[a], &["a", "a"], &["stands twice", "stands as 2"]);
}

/// Lets every writer do `write`, which answers what it tried.
async fn race<F>(nodes: &[Stores], write: impl Fn(Stores, usize) -> F) -> Vec<Tried>
where
    F: Future<Output = Vec<Tried>> + Send + 'static,
{
    let mut running = JoinSet::new();
    for writer in 0..WRITERS {
        running.spawn(write(nodes[writer % NODES].clone(), writer));
    }
    running.join_all().await.into_iter().flatten().collect()
}

struct Arena {
    cloud: Cloud,
    nodes: Vec<Stores>,
    owner: BareJid,
    turns: usize,
}

/// How the way to DynamoDB is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Good,
    /// One answer to a write in eight is lost, some calls are throttled.
    Bad,
}

async fn arena(way: Way) -> Arena {
    let cloud = Cloud::start(["owner".to_owned()]).await;
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(cloud.stores_of_a_node().await);
    }
    let (seed, turns) = (seed(), count("STARLING_WRITES", 6));
    println!("{way:?}, seed {seed}, {turns} changes of each writer");
    if way == Way::Bad {
        let mut dice = Dice::new(seed, 1);
        let lose = move |asked: &Asked<'_>| {
            !matches!(asked.operation, "GetItem" | "Query") && dice.once_in(8)
        };
        cloud.to_tables.add(u64::MAX, Fault::LoseAnswer, lose);
        // Few: a store that goes on asking for less gets less, and this is about races.
        let mut dice = Dice::new(seed, 2);
        let throttled = Fault::dynamo(400, "ProvisionedThroughputExceededException");
        let throttle = move |_: &Asked<'_>| dice.once_in(20);
        cloud.to_tables.add(THROTTLED, throttled, throttle);
    }
    Arena {
        cloud,
        nodes,
        owner: account("owner"),
        turns,
    }
}

impl Arena {
    /// That something went wrong on a bad way, or a test of it means nothing.
    fn assert_way(&self, way: Way) {
        let (hits, asked) = (self.cloud.to_tables.hits(), self.cloud.to_tables.asked());
        println!("{hits} of {asked} calls met a fault");
        assert_eq!(hits > 0, way == Way::Bad);
    }

    /// The stores without faults, to see what stands.
    async fn truth(&self) -> Stores {
        self.cloud.stores().await
    }
}

fn assert_explained(tried: &[Tried], stands: &Stands, at_least: usize) {
    let doubtful = tried.iter().filter(|change| !change.certain).count();
    println!(
        "{} versions, {doubtful} answers lost for good",
        stands.len()
    );
    let wrong = explain(tried, stands);
    assert!(wrong.is_empty(), "{:#?}", &wrong[..wrong.len().min(20)]);
    assert!(stands.len() >= at_least, "too little was written");
}

/// Whether a failure is one of a bad way.
fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Throttled | ErrorKind::Unavailable)
}

async fn one_roster(way: Way) {
    let arena = arena(way).await;
    let (owner, turns) = (arena.owner.clone(), arena.turns);
    let tried = race(&arena.nodes, |stores, writer| {
        let owner = owner.clone();
        async move {
            let mut tried = Vec::new();
            for turn in 0..turns {
                let mark = format!("w{writer}-t{turn}");
                while let Some(change) = put_contact(&stores, &owner, &mark).await {
                    let certain = change.certain;
                    tried.push(change);
                    if certain || way == Way::Bad {
                        break;
                    }
                }
            }
            tried
        }
    })
    .await;
    let roster = arena
        .truth()
        .await
        .rosters
        .load(&arena.owner)
        .await
        .unwrap();
    let mut by_revision: Vec<_> = roster
        .items
        .iter()
        .map(|item| {
            (
                item.revision,
                item.jid.local().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    by_revision.sort();
    let dense: Vec<u64> = by_revision.iter().map(|(revision, _)| *revision).collect();
    assert_eq!(
        dense,
        (1..=roster.version).collect::<Vec<_>>(),
        "each version is one change"
    );
    let stands = by_revision.into_iter().map(|(_, mark)| mark).collect();
    let least = if way == Way::Good {
        WRITERS * turns
    } else {
        WRITERS
    };
    arena.assert_way(way);
    assert_explained(&tried, &stands, least);
}

/// Puts a contact by read, change, write, until it is done or nobody knows.
async fn put_contact(stores: &Stores, owner: &BareJid, mark: &str) -> Option<Tried> {
    loop {
        let mut roster: Roster = match stores.rosters.load(owner).await {
            Ok(roster) => roster,
            Err(error) if is_passing(error.kind()) => {
                sleep(PAUSE).await;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let seen = roster.version;
        roster.put(RosterItem::new(account(mark)));
        let tried = |certain| Tried {
            mark: mark.to_owned(),
            seen,
            certain,
        };
        match stores.rosters.store(owner, &roster, seen).await {
            Ok(version) => {
                assert_eq!(version, seen + 1);
                return Some(tried(true));
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) if error.kind() == ErrorKind::Throttled => sleep(PAUSE).await,
            Err(error) if error.kind() == ErrorKind::Unavailable => return Some(tried(false)),
            Err(error) => panic!("{error}"),
        }
    }
}

async fn one_log(way: Way) {
    let arena = arena(way).await;
    let (owner, turns) = (arena.owner.clone(), arena.turns);
    let tried = race(&arena.nodes, |stores, writer| {
        let owner = owner.clone();
        async move {
            let mut tried = Vec::new();
            for turn in 0..turns {
                let mark = format!("w{writer}-t{turn}");
                tried.push(append(&stores, &owner, &mark, (writer * turns + turn) as u64).await);
            }
            tried
        }
    })
    .await;
    let logs = arena.truth().await.logs;
    let mut stands = Stands::new();
    let mut range = LogRange::ALL;
    loop {
        let page = logs.read(&arena.owner, range, false, 100).await.unwrap();
        let Some(last) = page.last() else { break };
        range = LogRange::after(last.number);
        for entry in page {
            assert_eq!(entry.number, stands.len() as u64 + 1, "numbers are dense");
            stands.push(String::from_utf8(entry.stanza.to_vec()).unwrap());
        }
    }
    arena.assert_way(way);
    assert_explained(&tried, &stands, WRITERS * turns);
}

/// Appends until it is known to be done: the same write is repeated as long as it may be.
async fn append(stores: &Stores, owner: &BareJid, mark: &str, write_id: u64) -> Tried {
    let mut head = None;
    loop {
        let seen = match head {
            Some(head) => head,
            None => match stores.logs.tip(owner).await {
                Ok(tip) => tip.head,
                Err(error) if is_passing(error.kind()) => {
                    sleep(PAUSE).await;
                    continue;
                }
                Err(error) => panic!("{error}"),
            },
        };
        let entry = NewEntry {
            time_ms: 1,
            flags: EntryFlags::ARCHIVED,
            peer: Jid::parse("peer@localhost").unwrap(),
            stanza: mark.to_owned().into(),
        };
        let id = (write_id << 32) | seen;
        match stores.logs.append(owner, seen, id, &[entry]).await {
            Ok(()) => {
                return Tried {
                    mark: mark.to_owned(),
                    seen,
                    certain: true,
                };
            }
            Err(error) if error.kind() == ErrorKind::Conflict => head = None,
            // It may be done: the very same write is recognised.
            Err(error) if is_passing(error.kind()) => {
                sleep(PAUSE).await;
                head = Some(seen);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn one_mailbox(way: Way) {
    let arena = arena(way).await;
    let (owner, turns) = (arena.owner.clone(), arena.turns);
    let tried = race(&arena.nodes, |stores, writer| {
        let owner = owner.clone();
        async move {
            let mut tried = Vec::new();
            for turn in 0..turns {
                tried.push(count_on(&stores, &owner, &format!("w{writer}-t{turn}")).await);
            }
            tried
        }
    })
    .await;
    let mailbox = arena
        .truth()
        .await
        .mailboxes
        .load(&arena.owner)
        .await
        .unwrap();
    let marks = mailbox.last_status.unwrap_or_default();
    let stands: Stands = marks.split_whitespace().map(str::to_owned).collect();
    assert_eq!(
        stands.len() as u64,
        mailbox.version,
        "each version is one change"
    );
    assert_eq!(mailbox.acked, mailbox.version, "no count was lost");
    arena.assert_way(way);
    assert_explained(&tried, &stands, WRITERS);
}

async fn count_on(stores: &Stores, owner: &BareJid, mark: &str) -> Tried {
    loop {
        let before = match stores.mailboxes.load(owner).await {
            Ok(mailbox) => mailbox,
            Err(error) if is_passing(error.kind()) => {
                sleep(PAUSE).await;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let marks = before.last_status.clone().unwrap_or_default();
        let after = Mailbox {
            acked: before.acked + 1,
            last_status: Some(format!("{marks} {mark}").into()),
            ..before.clone()
        };
        let tried = |certain| Tried {
            mark: mark.to_owned(),
            seen: before.version,
            certain,
        };
        match stores.mailboxes.store(owner, &after, before.version).await {
            Ok(version) => {
                assert_eq!(version, before.version + 1);
                return tried(true);
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => return tried(false),
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            Err(error) if error.kind() == ErrorKind::Throttled => sleep(PAUSE).await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Keys that tell who made the account.
fn keys_of(writer: usize) -> Credentials {
    Credentials {
        scram: vec![StoredScram {
            hash: ScramHash::Sha256,
            iterations: 1,
            salt: format!("writer {writer}").into_bytes(),
            stored_key: vec![1; 32],
            server_key: vec![2; 32],
        }],
    }
}

async fn one_name(way: Way) {
    let arena = arena(way).await;
    let truth = arena.truth().await;
    for turn in 0..arena.turns {
        let name = account(&format!("wanted{turn}"));
        let mut running = JoinSet::new();
        for writer in 0..WRITERS {
            let (stores, name) = (arena.nodes[writer % NODES].clone(), name.clone());
            running.spawn(async move { (writer, stores.create(&name, keys_of(writer), 1).await) });
        }
        let outcomes: BTreeMap<usize, _> = running.join_all().await.into_iter().collect();
        let with = |wanted: Option<ErrorKind>| -> Vec<usize> {
            let kind =
                |outcome: &storage::Result<()>| outcome.as_ref().err().map(storage::Error::kind);
            let some = outcomes
                .iter()
                .filter(|(_, outcome)| kind(outcome) == wanted);
            some.map(|(writer, _)| *writer).collect()
        };
        let (made, taken) = (with(None), with(Some(ErrorKind::Conflict)));
        let (lost, throttled) = (
            with(Some(ErrorKind::Unavailable)),
            with(Some(ErrorKind::Throttled)),
        );
        let known = made.len() + taken.len() + lost.len() + throttled.len();
        assert_eq!(known, WRITERS, "{outcomes:?}");
        let stored = truth.accounts.load(&name).await.unwrap();
        let stored = stored.map(|account| account.credentials);
        let maker = (0..WRITERS).find(|writer| stored.as_ref() == Some(&keys_of(*writer)));
        match (&made[..], maker) {
            ([one], Some(maker)) => assert_eq!(*one, maker),
            // The one who made it never heard so, or nobody came through.
            ([], Some(maker)) => assert!(lost.contains(&maker), "{maker} {outcomes:?}"),
            ([], None) => assert!(taken.is_empty() && stored.is_none(), "{outcomes:?}"),
            _ => panic!("{made:?} made it, and {maker:?} is stored"),
        }
        assert!(
            way == Way::Bad || made.len() == 1 && taken.len() == WRITERS - 1,
            "{outcomes:?}"
        );
    }
    arena.assert_way(way);
}

macro_rules! races {
    ($($name:ident: $race:ident over $way:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $race(Way::$way).await;
        }
    )*};
}

races! {
    writers_at_one_roster: one_roster over Good;
    writers_at_one_roster_whose_answers_are_lost: one_roster over Bad;
    writers_at_one_log: one_log over Good;
    writers_at_one_log_whose_answers_are_lost: one_log over Bad;
    writers_at_one_mailbox: one_mailbox over Good;
    writers_at_one_mailbox_whose_answers_are_lost: one_mailbox over Bad;
    creators_of_one_account: one_name over Good;
    creators_of_one_account_whose_answers_are_lost: one_name over Bad;
}
