//! Pubsub nodes: of accounts and of services, one owner of each, items in order, nothing left of what was before.

use xmpp::{BareJid, Jid};

use super::{done, jid, refused};
use crate::{
    error::ErrorKind,
    repository::{
        PubsubAffiliation, PubsubChange, PubsubHead, PubsubItem, PubsubItemHead, PubsubRepository,
        PubsubState, PubsubSubscription,
    },
};

fn head(node: &str, generation: u64) -> PubsubHead {
    PubsubHead {
        node: node.to_owned(),
        version: 0,
        generation,
        sequence: 1,
        created_ms: 5,
        creator: jid("ann@pubsub.example"),
        config: vec![("pubsub#title".into(), vec!["T".into()])],
        affiliations: vec![(jid("ann@pubsub.example"), PubsubAffiliation::Owner)],
        last: None,
    }
}

fn item(id: &str, sequence: u64, payload: &str) -> PubsubItem {
    let bytes = u32::try_from(payload.len()).expect("it is short");
    PubsubItem {
        head: PubsubItemHead::new(id, sequence, 10 + sequence, "ann@pubsub.example/a", bytes),
        payload: payload.to_owned().into(),
    }
}

fn subscription(who: &str) -> PubsubSubscription {
    PubsubSubscription {
        jid: Jid::parse(who).expect("an address"),
        id: "s1".into(),
        state: PubsubState::Pending,
        options: vec![("pubsub#deliver".into(), vec!["0".into()])],
    }
}

/// Runs all of it.
pub async fn pubsub(repo: &dyn PubsubRepository) {
    for service in ["ann@pubsub.example", "pubsub.example"] {
        let service = jid(service);
        one_node(repo, &service).await;
        one_owner(repo, &service).await;
        nothing_is_inherited(repo, &service).await;
    }
    listed(repo).await;
}

async fn one_node(repo: &dyn PubsubRepository, service: &BareJid) {
    assert!(done(repo.load(service, "one").await).is_none());
    let mut head = head("one", 7);
    let large = format!("<x xmlns='y'>{}</x>", "z".repeat(20_000));
    for (id, payload) in [("b", "<x xmlns='y'/>"), ("a", &large), ("c", "")] {
        let put = item(id, head.sequence, payload);
        head.sequence += 1;
        let small = put.payload.len() <= PubsubHead::MAX_LAST;
        head.last = small.then(|| put.clone());
        let change = PubsubChange {
            put: Some(put),
            subscribed: vec![subscription("bob@pubsub.example/r")],
            ..PubsubChange::default()
        };
        head.version = done(repo.store(service, &head, &change).await);
    }
    let node = done(repo.load(service, "one").await).expect("a node");
    assert_eq!(node.head, head);
    let order: Vec<_> = node.items.iter().map(|item| &*item.id).collect();
    assert_eq!(order, ["b", "a", "c"], "in the order of publication");
    assert_eq!(*node.subscriptions, [subscription("bob@pubsub.example/r")]);
    let payloads = |items: Vec<PubsubItem>| -> Vec<usize> {
        items.iter().map(|item| item.payload.len()).collect()
    };
    let all = done(repo.items(service, &head, 9).await);
    assert_eq!(payloads(all), [14, large.len(), 0]);
    assert_eq!(payloads(done(repo.items(service, &head, 1).await)), [14]);
    let one = done(repo.item(service, &head, "a").await).expect("an item");
    assert_eq!(one.payload, large.as_bytes());
    assert!(done(repo.item(service, &head, "z").await).is_none());
    // Replaced, removed, unsubscribed.
    let again = item("b", head.sequence, "<again xmlns='y'/>");
    head.sequence += 1;
    let change = PubsubChange {
        put: Some(again),
        replaced: Some(node.items[0].clone()),
        removed: vec![node.items[1].clone()],
        unsubscribed: vec![subscription("bob@pubsub.example/r")],
        ..PubsubChange::default()
    };
    head.version = done(repo.store(service, &head, &change).await);
    let node = done(repo.load(service, "one").await).expect("a node");
    let order: Vec<_> = node.items.iter().map(|item| &*item.id).collect();
    assert_eq!(order, ["c", "b"]);
    assert!(node.subscriptions.is_empty());
    done(repo.remove(service, &node).await);
    assert!(done(repo.load(service, "one").await).is_none());
    // Twice is fine.
    done(repo.remove(service, &node).await);
}

/// Of two who make a node, or change it from the same version, one is told that the other was first.
async fn one_owner(repo: &dyn PubsubRepository, service: &BareJid) {
    let (mine, theirs) = (head("two", 1), head("two", 2));
    let nothing = PubsubChange::default();
    let version = done(repo.store(service, &mine, &nothing).await);
    refused(
        repo.store(service, &theirs, &nothing).await,
        ErrorKind::Conflict,
    );
    let found = done(repo.load(service, "two").await).expect("a node");
    assert_eq!((found.head.generation, found.head.version), (1, version));
    let seen = PubsubHead { version, ..mine };
    done(repo.store(service, &seen, &nothing).await);
    refused(
        repo.store(service, &seen, &nothing).await,
        ErrorKind::Conflict,
    );
    refused(repo.remove(service, &found).await, ErrorKind::Conflict);
    let newest = done(repo.load(service, "two").await).expect("a node");
    done(repo.remove(service, &newest).await);
}

/// A purged node has no items, and one that is made again has none of the former one's.
async fn nothing_is_inherited(repo: &dyn PubsubRepository, service: &BareJid) {
    let mut head = head("three", 20);
    let change = |sequence| PubsubChange {
        put: Some(item("a", sequence, "<x xmlns='y'/>")),
        ..PubsubChange::default()
    };
    head.version = done(repo.store(service, &head, &change(1)).await);
    let before = done(repo.load(service, "three").await).expect("a node");
    head.generation += 1;
    let purge = PubsubChange {
        purged: Vec::clone(&before.items),
        ..PubsubChange::default()
    };
    head.version = done(repo.store(service, &head, &purge).await);
    let purged = done(repo.load(service, "three").await).expect("a node");
    assert!(purged.items.is_empty());
    assert!(done(repo.items(service, &head, 9).await).is_empty());
    head.version = done(repo.store(service, &head, &change(2)).await);
    let full = done(repo.load(service, "three").await).expect("a node");
    assert_eq!(full.items.len(), 1);
    done(repo.remove(service, &full).await);
    let fresh = self::head("three", 90);
    done(repo.store(service, &fresh, &PubsubChange::default()).await);
    let fresh = done(repo.load(service, "three").await).expect("a node");
    assert!(fresh.items.is_empty() && fresh.subscriptions.is_empty());
    done(repo.remove(service, &fresh).await);
}

/// An account's nodes are found by the account; a service's by its list, and by who has to do with them.
async fn listed(repo: &dyn PubsubRepository) {
    let (account, service) = (jid("eve@pubsub.example"), jid("list.pubsub.example"));
    let names = ["a", "ab", "b#1"];
    for name in names {
        let change = PubsubChange {
            concerned: vec![(jid("ann@pubsub.example"), true)],
            subscribed: vec![subscription("bob@pubsub.example")],
            ..PubsubChange::default()
        };
        done(repo.store(&account, &head(name, 1), &change).await);
        done(repo.store(&service, &head(name, 1), &change).await);
    }
    let heads = done(repo.heads(&account, 9).await);
    let found: Vec<_> = heads.iter().map(|head| head.node.as_str()).collect();
    assert_eq!(found, names, "and neither items nor subscriptions");
    assert_eq!(done(repo.heads(&account, 2).await).len(), 2);
    assert!(done(repo.heads(&jid("nobody@pubsub.example"), 9).await).is_empty());
    assert_eq!(done(repo.names(&service, None, 9).await), names);
    assert_eq!(done(repo.names(&service, None, 2).await), names[..2]);
    assert_eq!(done(repo.names(&service, Some("a"), 9).await), names[1..]);
    let who = jid("ann@pubsub.example");
    assert_eq!(done(repo.names_of(&service, &who, 9).await), names);
    let node = done(repo.load(&service, "ab").await).expect("a node");
    let gone = PubsubChange {
        concerned: vec![(who.clone(), false)],
        ..PubsubChange::default()
    };
    done(repo.store(&service, &node.head, &gone).await);
    assert_eq!(done(repo.names_of(&service, &who, 9).await), ["a", "b#1"]);
    let node = done(repo.load(&service, "a").await).expect("a node");
    done(repo.remove(&service, &node).await);
    assert_eq!(done(repo.names(&service, None, 9).await), ["ab", "b#1"]);
    assert_eq!(done(repo.names_of(&service, &who, 9).await), ["b#1"]);
}
