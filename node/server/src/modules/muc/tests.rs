//! The service over real repositories: what is kept before anybody hears it, outages, two nodes at once, starts anew.

mod moving;
mod over;
mod passing;
mod taking_back;

use std::{sync::Arc, time::Duration};

use storage::{
    ErrorKind, Stores,
    backend::memory::{MemoryBlobs, MemoryTable},
    layer::{
        Faulty, Switchboard,
        faulty::{Fault, Target, When},
    },
    repository::{Affiliation, EntryFlags, LogRange, RoomRecord},
    shape::Space,
};
use tokio::sync::oneshot;
use xmpp::{BareJid, Jid, Stanza, ns};

use super::{Muc, Options, room::Policy};
use crate::{
    config::Circle,
    metrics::Metrics,
    module::{Outcome, Receipt},
    modules::recorder::{Recorder, bare},
};

const ROOM: &str = "coven@chat.example";

/// A service on a node, over a store that it may share with others.
struct Node {
    recorder: Recorder,
    muc: Arc<Muc>,
    stores: Stores,
}

/// A store, and what goes wrong with it.
fn store() -> (Stores, Arc<Switchboard>) {
    let faults = Switchboard::new(1);
    let table = Faulty::new(Arc::new(MemoryTable::new()), faults.clone());
    let stores = Stores::over(Arc::new(table), Arc::new(MemoryBlobs::new()));
    (stores.unguarded(), faults)
}

fn room() -> BareJid {
    bare(ROOM)
}

impl Node {
    fn over(stores: &Stores) -> Self {
        let options = Options {
            services: vec!["chat.example".into()],
            domains: vec!["a.example".into()],
            admins: vec![bare("root@a.example")],
            create: Circle::Accounts,
            per_user: 3,
            policy: Policy {
                lock: false,
                ..Policy::default()
            },
            loaded: 10,
            pages: Some(Duration::from_secs(1)),
            pages_url: Some("https://logs.example".into()),
            page: 10,
        };
        let muc = Muc::new(
            options,
            stores.rooms.clone(),
            stores.logs.clone(),
            stores.archives.clone(),
            stores.pages.clone(),
            Metrics::default().rooms,
        );
        Self {
            recorder: Recorder::default(),
            muc: Arc::new(muc),
            stores: stores.clone(),
        }
    }

    /// Somebody sends something; what becomes of it.
    fn begin(&self, name: &str, xml: &str, doubted: bool) -> oneshot::Receiver<Outcome> {
        let from = Jid::parse(&format!("{name}@a.example/r")).unwrap();
        let stanza = Stanza::parse(xml.to_owned().into()).unwrap();
        let stanza = stanza.readdressed(Some(&from), None);
        let (sender, outcome) = oneshot::channel();
        let mut receipt = Receipt::new(move |outcome| sender.send(outcome).unwrap());
        receipt.doubted = doubted;
        self.muc.take_in(stanza, receipt, &self.recorder.context());
        outcome
    }

    /// The same; whether it took effect.
    async fn send(&self, name: &str, xml: &str) -> bool {
        self.begin(name, xml, false).await.unwrap() == Outcome::Done
    }

    async fn enter(&self, name: &str) -> bool {
        let presence = format!(
            "<presence to='{ROOM}/{name}'><x xmlns='{}'/></presence>",
            ns::MUC
        );
        self.send(name, &presence).await
    }

    async fn say(&self, name: &str, id: &str) -> bool {
        self.send(name, &said(id)).await
    }

    async fn configure(&self, name: &str, var: &str, value: &str) -> bool {
        let iq = format!(
            "<iq type='set' id='c' to='{ROOM}'><query xmlns='{}'><x xmlns='jabber:x:data' type='submit'>\
             <field var='FORM_TYPE'><value>{}</value></field><field var='muc#roomconfig_{var}'><value>{value}</value></field>\
             </x></query></iq>",
            ns::MUC_OWNER,
            ns::MUC_ROOMCONFIG
        );
        self.send(name, &iq).await
    }

    async fn affiliate(&self, by: &str, name: &str, affiliation: &str) -> bool {
        let iq = format!(
            "<iq type='set' id='a' to='{ROOM}'><query xmlns='{}'><item jid='{name}@a.example' affiliation='{affiliation}'/></query></iq>",
            ns::MUC_ADMIN
        );
        self.send(by, &iq).await
    }

    /// What went out since the last look has this, so often.
    fn heard(&self, what: &str) -> usize {
        self.recorder.take().matches(what).count()
    }

    async fn logged(&self) -> Vec<String> {
        let entries = self
            .stores
            .logs
            .read(&room(), LogRange::ALL, false, 99)
            .await
            .unwrap();
        let body = |stanza: &Stanza| {
            let body = stanza.child("body", ns::CLIENT);
            body.map(|body| body.text().into_owned())
                .unwrap_or_default()
        };
        let stanza = entries
            .iter()
            .map(|it| Stanza::parse(it.stanza.clone()).unwrap());
        stanza.map(|it| body(&it)).collect()
    }
}

fn said(id: &str) -> String {
    format!("<message type='groupchat' id='{id}' to='{ROOM}'><body>{id}</body></message>")
}

fn of_log(target: &Target<'_>) -> bool {
    target.space == Some(Space::Log)
}

#[tokio::test(start_paused = true)]
async fn a_read_that_fails_makes_no_room() {
    let (stores, faults) = store();
    let node = Node::over(&stores);
    for kind in [ErrorKind::Unavailable, ErrorKind::Throttled] {
        faults.add(|_| true, When::Always, Fault::Fail(kind));
        assert!(!node.enter("ada").await);
        let told = node.recorder.take();
        assert!(
            told.contains("resource-constraint") && told.contains("type='wait'"),
            "{told}"
        );
        faults.clear();
        assert_eq!(stores.rooms.load(&room()).await.unwrap(), None);
    }
    assert!(node.enter("ada").await);
    assert_eq!(node.heard("code='201'"), 1);
}

#[tokio::test(start_paused = true)]
async fn of_two_nodes_that_make_a_room_one_does() {
    let (stores, _) = store();
    let (one, two) = (Node::over(&stores), Node::over(&stores));
    let (a, b) = tokio::join!(one.enter("ada"), two.enter("bob"));
    assert!(a && b);
    assert_eq!(one.heard("code='201'") + two.heard("code='201'"), 1);
    let stored = stores.rooms.load(&room()).await.unwrap().unwrap();
    let owners = stored
        .members
        .iter()
        .filter(|(_, it)| it.affiliation == Affiliation::Owner);
    assert_eq!(owners.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_changes_a_room_that_another_node_changed_changes_what_it_is_now() {
    let (stores, _) = store();
    let (one, two) = (Node::over(&stores), Node::over(&stores));
    assert!(one.enter("ada").await);
    assert!(one.affiliate("ada", "bob", "owner").await);
    assert!(two.enter("bob").await);
    assert!(one.affiliate("ada", "bob", "none").await);
    // There it is known now that bob is nobody.
    assert!(two.affiliate("bob", "eve", "owner").await);
    assert_eq!(two.heard("forbidden"), 1);
    let stored = stores.rooms.load(&room()).await.unwrap().unwrap();
    assert_eq!(stored.members.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_is_heard_by_nobody() {
    let (stores, faults) = store();
    let node = Node::over(&stores);
    node.enter("ada").await;
    node.recorder.take();
    faults.add(of_log, When::Always, Fault::Fail(ErrorKind::Throttled));
    assert!(!node.say("ada", "lost").await);
    let told = node.recorder.take();
    assert!(
        told.contains("resource-constraint") && !told.contains("stanza-id"),
        "{told}"
    );
    faults.clear();
    assert!(node.say("ada", "kept").await);
    assert_eq!(node.heard("<stanza-id xmlns='urn:xmpp:sid:0' id='1'"), 1);
    assert_eq!(node.logged().await, ["kept"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_says_nothing_twice() {
    let (stores, faults) = store();
    let node = Node::over(&stores);
    node.enter("ada").await;
    node.recorder.take();
    let answers = [true, true, false].into_iter().collect();
    faults.add(of_log, When::Sequence(answers), Fault::LoseAnswer);
    assert!(node.say("ada", "once").await);
    assert_eq!(node.heard("once</body>"), 1);
    assert_eq!(node.logged().await, ["once"]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_of_waits_and_what_comes_later_is_refused() {
    let (stores, faults) = store();
    let node = Node::over(&stores);
    node.enter("ada").await;
    node.recorder.take();
    faults.add(of_log, When::Always, Fault::LoseAnswer);
    let (first, second) = tokio::join!(node.say("ada", "first"), async {
        // Behind the first, which is tried for a while.
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let refused = !node.say("ada", "second").await;
        faults.clear();
        refused
    });
    assert!(first && second);
    assert_eq!(node.logged().await, ["first"]);
}

#[tokio::test(start_paused = true)]
async fn a_room_that_stays_is_there_after_a_start() {
    let (stores, _) = store();
    let node = Node::over(&stores);
    node.enter("ada").await;
    assert!(node.configure("ada", "persistentroom", "1").await);
    assert!(node.affiliate("ada", "bob", "member").await);
    for id in ["one", "two"] {
        assert!(node.say("ada", id).await);
    }
    let subject =
        format!("<message type='groupchat' to='{ROOM}'><subject>Fire</subject></message>");
    assert!(node.send("ada", &subject).await);
    let node = Node::over(&stores);
    assert!(node.enter("bob").await);
    let told = node.recorder.take();
    for shown in [
        "one</body>",
        "two</body>",
        "<subject>Fire</subject>",
        "affiliation='member'",
    ] {
        assert_eq!(told.matches(shown).count(), 1, "{shown} {told}");
    }
    // Real addresses are in the log for those who may see them, and not in what others are shown.
    assert!(!told.contains("ada@a.example"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_over_leaves_nothing() {
    let (stores, _) = store();
    let node = Node::over(&stores);
    node.enter("ada").await;
    node.say("ada", "secret").await;
    let leave = format!("<presence type='unavailable' to='{ROOM}/ada'/>");
    assert!(node.send("ada", &leave).await);
    assert!(node.enter("bob").await);
    let told = node.recorder.take();
    assert!(
        told.contains("code='201'") && told.matches("secret</body>").count() == 1,
        "{told}"
    );
    assert_eq!(node.logged().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn who_destroyed_a_room_and_died_is_followed_up() {
    let (stores, _) = store();
    let node = Node::over(&stores);
    node.enter("ada").await;
    node.configure("ada", "persistentroom", "1").await;
    node.say("ada", "secret").await;
    let stored = stores.rooms.load(&room()).await.unwrap().unwrap();
    let gone = RoomRecord {
        gone: true,
        ..stored.record
    };
    stores
        .rooms
        .store(&room(), &gone, &[], stored.version)
        .await
        .unwrap();
    let node = Node::over(&stores);
    assert!(node.enter("bob").await);
    let told = node.recorder.take();
    assert!(
        told.contains("code='201'") && !told.contains("secret"),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_back_leaves_a_tombstone() {
    let (stores, _) = store();
    let node = Node::over(&stores);
    node.enter("ada").await;
    node.enter("bob").await;
    node.say("bob", "spam").await;
    // Nobody takes back what another said.
    let retract = format!(
        "<message type='groupchat' to='{ROOM}'><retract xmlns='{}' id='1'/></message>",
        ns::RETRACT
    );
    assert!(node.send("ada", &retract).await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(node.logged().await, ["spam", ""]);
    assert!(node.send("bob", &retract).await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(node.logged().await, ["", "", ""]);
    let first = stores
        .logs
        .read(&room(), LogRange::ALL, false, 1)
        .await
        .unwrap();
    assert!(first[0].flags.contains(EntryFlags::TOMBSTONE));
}

#[tokio::test(start_paused = true)]
async fn rooms_are_made_by_those_who_may_and_bounded() {
    let (stores, _) = store();
    let node = Node::over(&stores);
    let from = Jid::parse("eve@other.example/r").unwrap();
    let join = format!(
        "<presence to='{ROOM}/eve'><x xmlns='{}'/></presence>",
        ns::MUC
    );
    let stanza = Stanza::parse(join.into())
        .unwrap()
        .readdressed(Some(&from), None);
    let (sender, outcome) = oneshot::channel();
    let receipt = Receipt::new(move |outcome| sender.send(outcome).unwrap());
    node.muc.take_in(stanza, receipt, &node.recorder.context());
    assert_eq!(outcome.await.unwrap(), Outcome::Refused);
    assert_eq!(node.heard("not-allowed"), 1);
    // Rooms with somebody in them stay in memory, and no more come in than there is room for.
    for number in 0..11 {
        let room = format!("r{number}@chat.example");
        let join = format!(
            "<presence to='{room}/ada'><x xmlns='{}'/></presence>",
            ns::MUC
        );
        let maker = format!("ada{}", number % 4);
        assert_eq!(node.send(&maker, &join).await, number < 10, "{room}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_made_many_rooms_makes_no_more_until_one_is_gone() {
    let (stores, _) = store();
    let node = Node::over(&stores);
    let of_room = |number: usize, x: &str| {
        format!(
            "<presence to='r{number}@chat.example/ada'{x}<x xmlns='{}'/></presence>",
            ns::MUC
        )
    };
    for number in 0..3 {
        assert!(node.send("ada", &of_room(number, ">")).await);
    }
    assert!(!node.send("ada", &of_room(3, ">")).await);
    let told = node.recorder.take();
    assert!(
        told.contains("type='cancel'") && told.contains("not-allowed"),
        "{told}"
    );
    // She enters what there is, others make rooms, and so do administrators.
    assert!(node.send("bob", &of_room(3, ">")).await);
    assert!(node.send("ada", &of_room(3, ">")).await);
    for number in 10..14 {
        assert!(node.send("root", &of_room(number, ">")).await);
    }
    // A room that does not stay ends with its last occupant.
    assert!(node.send("ada", &of_room(0, " type='unavailable'>")).await);
    assert!(node.send("ada", &of_room(20, ">")).await);
}

#[tokio::test(start_paused = true)]
async fn administrators_look_at_rooms_and_destroy_them() {
    let (stores, _) = store();
    let node = Node::over(&stores);
    let cx = node.recorder.context();
    assert_eq!(node.muc.inspect_room(&room(), &cx).await.unwrap(), None);
    assert!(!node.muc.destroy_room(&room(), None, &cx).await.unwrap());
    node.enter("ada").await;
    let lines = node.muc.inspect_room(&room(), &cx).await.unwrap().unwrap();
    assert!(
        lines.contains(&("owner".into(), "ada@a.example".into())),
        "{lines:?}"
    );
    let listed = node.muc.list("chat.example", None, 9).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert!(
        node.muc
            .destroy_room(&room(), Some("spam".into()), &cx)
            .await
            .unwrap()
    );
    assert_eq!(node.heard("<reason>spam</reason>"), 1);
    assert_eq!(stores.rooms.load(&room()).await.unwrap(), None);
}
