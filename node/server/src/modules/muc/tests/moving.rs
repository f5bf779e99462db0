//! What lasts when another node serves a room: roles given by hand, and who was let in.

use storage::{
    ErrorKind,
    layer::faulty::{Fault, When},
    repository::RoomRoles,
};
use xmpp::{FullJid, ns};

use super::{Node, ROOM, room, store};
use crate::module::Assertion;

impl Node {
    async fn give(&self, by: &str, nick: &str, role: &str) -> bool {
        let item = format!("<item nick='{nick}' role='{role}'/>");
        let iq = format!(
            "<iq type='set' id='g' to='{ROOM}'><query xmlns='{}'>{item}</query></iq>",
            ns::MUC_ADMIN
        );
        self.send(by, &iq).await
    }

    /// Somebody says something; whether anybody hears it.
    async fn is_heard(&self, name: &str, id: &str) -> bool {
        self.recorder.take();
        self.say(name, id).await && self.heard(&format!("<body>{id}</body>")) > 0
    }

    /// These are in the room, as another node tells.
    pub(super) fn tell(&self, names: &[&str], entered: bool) {
        let told = names.iter().map(|name| Assertion {
            heard: 0,
            occupant: format!("{ROOM}/{name}").parse().unwrap(),
            real: FullJid::parse(&format!("{name}@a.example/r")).unwrap(),
            presence: "<presence/>".into(),
            entered,
        });
        self.muc
            .take_assertions(told.collect(), &self.recorder.context());
    }

    /// The role that the store has of somebody.
    async fn given(&self, name: &str) -> Option<RoomRoles> {
        let stored = self.stores.rooms.load(&room()).await.unwrap().unwrap();
        let account = super::bare(&format!("{name}@a.example"));
        let member = stored.members.into_iter().find(|(it, _)| *it == account);
        Some(member?.1.given?.role)
    }
}

async fn moderated(node: &Node, names: &[&str]) {
    assert!(node.enter("ada").await);
    assert!(node.configure("ada", "moderatedroom", "1").await);
    for name in names {
        assert!(node.enter(name).await);
    }
    node.recorder.take();
}

#[tokio::test(start_paused = true)]
async fn roles_given_by_hand_last() {
    let (stores, _) = store();
    let (one, two) = (Node::over(&stores), Node::over(&stores));
    moderated(&one, &["bob", "eve", "joe"]).await;
    assert!(one.give("ada", "bob", "participant").await);
    assert!(one.give("ada", "eve", "moderator").await);
    assert_eq!(one.given("bob").await, Some(RoomRoles::PARTICIPANT));
    assert_eq!(one.given("eve").await, Some(RoomRoles::MODERATOR));
    assert_eq!(one.given("joe").await, None);
    two.tell(&["ada", "bob", "eve", "joe"], true);
    assert!(two.is_heard("bob", "m1").await);
    assert!(!two.is_heard("joe", "m2").await);
    // Eve moderates, and what she was given is taken back.
    assert!(two.give("eve", "joe", "participant").await);
    assert!(two.is_heard("joe", "m3").await);
    assert!(two.give("ada", "eve", "visitor").await);
    assert_eq!(two.given("eve").await, None);
}

#[tokio::test(start_paused = true)]
async fn what_was_given_ends_with_the_visit() {
    let (stores, faults) = store();
    let node = Node::over(&stores);
    moderated(&node, &["bob", "eve"]).await;
    assert!(node.give("ada", "bob", "participant").await);
    assert!(node.give("ada", "eve", "participant").await);
    let leave = |name: &str| format!("<presence type='unavailable' to='{ROOM}/{name}'/>");
    assert!(node.send("bob", &leave("bob")).await);
    assert_eq!(node.given("bob").await, None);
    // He is heard no more until he is given voice anew.
    assert!(node.enter("bob").await);
    assert!(!node.is_heard("bob", "m1").await);
    // Under another nick it is the same occupant.
    let nick = format!("<presence to='{ROOM}/evelyn'/>");
    assert!(node.send("eve", &nick).await);
    assert!(node.is_heard("eve", "m2").await);
    let other = Node::over(&stores);
    other.tell(&["ada"], true);
    let told = Assertion {
        heard: 0,
        occupant: format!("{ROOM}/evelyn").parse().unwrap(),
        real: FullJid::parse("eve@a.example/r").unwrap(),
        presence: "<presence/>".into(),
        entered: true,
    };
    other
        .muc
        .take_assertions(vec![told], &other.recorder.context());
    assert!(other.is_heard("eve", "m3").await);
    // What cannot be kept now is by and by, and nobody waits for it.
    faults.add(|_| true, When::Always, Fault::Fail(ErrorKind::Unavailable));
    assert!(other.send("eve", &leave("evelyn")).await);
    faults.clear();
    assert!(other.given("eve").await.is_some());
    other.recorder.advance(2_000);
    assert!(other.is_heard("ada", "m4").await);
    assert_eq!(other.given("eve").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_role_that_cannot_be_kept_is_not_given() {
    let (stores, faults) = store();
    let node = Node::over(&stores);
    moderated(&node, &["bob"]).await;
    faults.add(|_| true, When::Always, Fault::Fail(ErrorKind::Unavailable));
    assert!(!node.give("ada", "bob", "participant").await);
    assert_eq!(node.heard("role='participant'"), 0);
    faults.clear();
    assert!(!node.is_heard("bob", "m1").await);
    // Nothing has to be kept of who is removed.
    faults.add(|_| true, When::Always, Fault::Fail(ErrorKind::Unavailable));
    assert!(node.give("ada", "bob", "none").await);
    assert_eq!(node.heard("code='307'"), 2);
}

#[tokio::test(start_paused = true)]
async fn who_was_let_in_is_not_asked_for_the_password_again() {
    let (stores, _) = store();
    let (one, two) = (Node::over(&stores), Node::over(&stores));
    assert!(one.enter("ada").await);
    assert!(one.affiliate("ada", "mia", "member").await);
    assert!(one.configure("ada", "roomsecret", "sesame").await);
    two.tell(&["ada", "bob"], true);
    assert!(two.is_heard("bob", "m1").await);
    two.recorder.take();
    // Of who only asked to enter nobody knows whether it knew it: a member need not.
    two.tell(&["eve", "mia"], false);
    two.say("eve", "m2").await;
    let told = two.recorder.take();
    assert!(!told.contains("<body>m2</body>"), "{told}");
    assert!(two.is_heard("mia", "m3").await);
    assert!(
        told.contains("to='eve@a.example/r' type='unavailable'"),
        "{told}"
    );
}
