//! What is taken back, and what becomes of it when a node dies.

use storage::{
    ErrorKind,
    layer::faulty::{Fault, When},
    repository::{EntryFlags, LogRange, NewEntry},
};
use xmpp::ns;

use super::{Node, ROOM, of_log, room, store};

impl Node {
    async fn retract(&self, name: &str, number: u64) -> bool {
        let message = format!(
            "<message type='groupchat' id='r{number}' to='{ROOM}'><retract xmlns='{}' id='{number}'/></message>",
            ns::RETRACT
        );
        self.send(name, &message).await
    }

    async fn moderate(&self, name: &str, id: &str) -> bool {
        let iq = format!(
            "<iq type='set' id='m' to='{ROOM}'><moderate xmlns='{}' id='{id}'><retract xmlns='{}'/>\
             </moderate></iq>",
            ns::MODERATE,
            ns::RETRACT
        );
        self.send(name, &iq).await
    }

    /// The entry of a number: what it is, when, what it says.
    async fn entry(&self, number: u64) -> ((EntryFlags, u64), String) {
        let range = LogRange {
            from: number,
            to: number,
        };
        let read = self.stores.logs.read(&room(), range, false, 1).await;
        let entry = read.unwrap().remove(0);
        let text = String::from_utf8(entry.stanza.to_vec()).unwrap();
        ((entry.flags, entry.time_ms), text)
    }
}

#[tokio::test(start_paused = true)]
async fn what_everybody_heard_taken_back_is_a_tombstone_already() {
    let (stores, _) = store();
    let node = Node::over(&stores);
    node.enter("ada").await;
    node.say("ada", "oops").await;
    assert!(node.retract("ada", 1).await);
    let ((flags, _), text) = node.entry(1).await;
    assert!(flags.contains(EntryFlags::TOMBSTONE), "{text}");
    assert!(
        text.contains("<retracted") && text.contains("id='r1'"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_died_before_the_tombstones_is_followed_up() {
    let (stores, _) = store();
    let node = Node::over(&stores);
    node.enter("ada").await;
    node.enter("bob").await;
    assert!(node.configure("ada", "persistentroom", "1").await);
    for id in ["oops", "spam", "ham"] {
        assert!(node.say("bob", id).await);
    }
    // All that is left of it is what was said.
    let by_bob = node.entry(1).await;
    let id = by_bob.1.split("<occupant-id").nth(1).unwrap();
    let retract = |number: u64| format!("<retract xmlns='{}' id='{number}'>", ns::RETRACT);
    let said = [
        (
            "bob",
            format!(
                "{}</retract><occupant-id{}",
                retract(1),
                id.split("<x ").next().unwrap()
            ),
        ),
        (
            "",
            format!(
                "{}<moderated xmlns='{}' by='{ROOM}/ada'/><reason>spam</reason></retract>",
                retract(2),
                ns::MODERATE
            ),
        ),
        // Nobody takes back what another said.
        (
            "ada",
            format!(
                "{}</retract><occupant-id xmlns='{}' id='ada'/>",
                retract(3),
                ns::OCCUPANT_ID
            ),
        ),
    ];
    let entries = said.map(|(nick, inner)| {
        let peer = match nick {
            "" => ROOM.to_owned(),
            nick => format!("{ROOM}/{nick}"),
        };
        NewEntry {
            time_ms: by_bob.0.1,
            flags: EntryFlags::ARCHIVED | EntryFlags::GROUPCHAT,
            stanza: format!("<message from='{peer}' type='groupchat' id='r'>{inner}</message>")
                .into(),
            peer: peer.parse().unwrap(),
        }
    });
    stores.logs.append(&room(), 3, 7, &entries).await.unwrap();
    let node = Node::over(&stores);
    assert!(node.enter("eve").await);
    let told = node.recorder.take();
    for (body, shown) in [("oops", 0), ("spam", 0), ("ham", 1)] {
        assert_eq!(
            told.matches(&format!("{body}</body>")).count(),
            shown,
            "{told}"
        );
    }
    let ((flags, _), text) = node.entry(1).await;
    assert!(flags.contains(EntryFlags::TOMBSTONE), "{text}");
    assert!(text.contains("id='r'"), "{text}");
    let ((flags, _), text) = node.entry(2).await;
    assert!(flags.contains(EntryFlags::TOMBSTONE), "{text}");
    assert!(
        text.contains("<moderated") && text.contains("spam</reason>"),
        "{text}"
    );
    assert!(node.entry(3).await.1.contains("ham"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_not_moderated() {
    let (stores, faults) = store();
    let node = Node::over(&stores);
    node.enter("ada").await;
    node.say("ada", "spam").await;
    assert!(node.moderate("ada", "1").await);
    // It is a tombstone now, which may be asked for again; the retraction is no message.
    assert!(node.moderate("ada", "1").await);
    node.recorder.take();
    for id in ["2", "4", "99"] {
        assert!(!node.moderate("ada", id).await, "{id}");
        let told = node.recorder.take();
        assert!(
            told.contains("item-not-found") && !told.contains("<retract"),
            "{told}"
        );
    }
    faults.add(of_log, When::Always, Fault::Fail(ErrorKind::Unavailable));
    assert!(!node.moderate("ada", "1").await);
    assert_eq!(node.heard("type='wait'"), 1);
}

/// XEP-0313 §7: the full address of who said it, for those who may see it.
#[tokio::test(start_paused = true)]
async fn the_log_knows_which_client_said_it() {
    let (stores, _) = store();
    let node = Node::over(&stores);
    node.enter("ada").await;
    node.say("ada", "hello").await;
    let (_, text) = node.entry(1).await;
    assert!(text.contains("<item jid='ada@a.example/r'/>"), "{text}");
}
