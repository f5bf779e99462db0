//! Rooms that are over, of which nobody is left who would notice.

use std::time::Duration;

use storage::repository::RoomRecord;
use xmpp::ns;

use super::{Node, ROOM, room, store};

impl Node {
    /// Time passes, and what is due is done.
    async fn wait(&self, ms: u64) {
        self.recorder.advance(ms);
        self.muc.end_those_over(&self.recorder.context());
        // What there is to wait for has no clock.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    async fn is_there(&self) -> bool {
        let stored = self.stores.rooms.load(&room()).await;
        stored.unwrap().is_some()
    }
}

#[tokio::test(start_paused = true)]
async fn a_room_that_lost_all_who_were_in_it_ends() {
    let (stores, _) = store();
    let node = Node::over(&stores);
    node.enter("ada").await;
    node.say("ada", "secret").await;
    let next = Node::over(&stores);
    next.wait(0).await;
    next.wait(20_000).await;
    assert!(next.is_there().await, "those in it may still be told of");
    next.wait(20_000).await;
    assert!(!next.is_there().await);
    assert_eq!(next.logged().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_room_with_somebody_in_it_and_one_that_stays_go_on() {
    let (stores, _) = store();
    let node = Node::over(&stores);
    node.enter("ada").await;
    node.wait(0).await;
    node.wait(40_000).await;
    assert!(node.say("ada", "still here").await);
    assert!(node.configure("ada", "persistentroom", "1").await);
    let next = Node::over(&stores);
    next.wait(0).await;
    next.wait(40_000).await;
    assert!(next.is_there().await);
    // It does not stay any more; who is told of late is in it.
    assert!(node.configure("ada", "persistentroom", "0").await);
    let last = Node::over(&stores);
    last.wait(0).await;
    last.tell(&["ada"], true);
    last.wait(40_000).await;
    assert!(last.say("ada", "and still").await);
}

#[tokio::test(start_paused = true)]
async fn what_a_destroyed_room_published_goes_without_anybody_asking() {
    let (stores, _) = store();
    let node = Node::over(&stores);
    node.enter("ada").await;
    node.configure("ada", "persistentroom", "1").await;
    node.configure("ada", "enablelogging", "1").await;
    node.say("ada", "public").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let page = format!("{}/index.html", storage::repository::pages::place(&room()));
    assert!(stores.pages.page(&page).await.unwrap().is_some());
    // Another page of which nothing knows: its writer died.
    let other = page.replace("index", "other");
    stores.pages.put_page(&other, "x".into()).await.unwrap();
    let stored = stores.rooms.load(&room()).await.unwrap().unwrap();
    let gone = RoomRecord {
        gone: true,
        ..stored.record
    };
    let stored = stores
        .rooms
        .store(&room(), &gone, &[], stored.version)
        .await;
    stored.unwrap();
    let next = Node::over(&stores);
    next.wait(0).await;
    next.wait(40_000).await;
    for page in [page, other] {
        assert!(stores.pages.page(&page).await.unwrap().is_none(), "{page}");
    }
    assert!(!next.is_there().await);
}

#[tokio::test(start_paused = true)]
async fn a_room_that_was_never_configured_ends() {
    let (stores, _) = store();
    let mut node = Node::over(&stores);
    std::sync::Arc::get_mut(&mut node.muc)
        .unwrap()
        .options
        .policy
        .lock = true;
    node.enter("ada").await;
    let stored = stores.rooms.load(&room()).await.unwrap().unwrap();
    assert!(stored.record.locked);
    let next = Node::over(&stores);
    next.wait(0).await;
    next.wait(40_000).await;
    assert!(!next.is_there().await);
    let ping = format!(
        "<iq type='get' id='p' to='{ROOM}'><ping xmlns='{}'/></iq>",
        ns::PING
    );
    assert!(!next.send("ada", &ping).await);
}

/// Pages are there as long as the room is to be public.
#[tokio::test(start_paused = true)]
async fn what_is_published_no_more_is_public_no_more() {
    let (stores, _) = store();
    let node = Node::over(&stores);
    node.enter("ada").await;
    node.configure("ada", "enablelogging", "1").await;
    node.say("ada", "one").await;
    let page = format!("{}/index.html", storage::repository::pages::place(&room()));
    let check = async |expected: bool| {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let found = stores.pages.page(&page).await.unwrap();
        assert_eq!(found.is_some(), expected);
    };
    check(true).await;
    for (var, ends, begins) in [
        ("enablelogging", "0", "1"),
        ("publicroom", "0", "1"),
        ("membersonly", "1", "0"),
    ] {
        assert!(node.configure("ada", var, ends).await);
        check(false).await;
        assert!(node.configure("ada", var, begins).await);
        check(true).await;
    }
    // The operator publishes nothing any more.
    let mut other = Node::over(&stores);
    let options = &mut std::sync::Arc::get_mut(&mut other.muc).unwrap().options;
    options.policy.publish = crate::config::RoomsPublish::Never;
    options.pages = None;
    other.enter("bob").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    check(false).await;
}
