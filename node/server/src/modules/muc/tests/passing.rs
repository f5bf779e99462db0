//! What waits for a room when another node serves it, and what may have been said at one that is gone.

use storage::layer::faulty::{Fault, When};

use super::{Node, Outcome, of_log, room, said, store};
use crate::{module::Service, modules::muc::AsService};

impl Node {
    /// The view has changed.
    fn view_changes(&self) {
        AsService(self.muc.clone()).view_changed(&self.recorder.context());
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_passed_on_in_order_and_nothing_of_it_is_done() {
    let (stores, _) = store();
    let node = Node::over(&stores);
    assert!(node.enter("ada").await);
    assert!(node.say("ada", "m1").await);
    let home = node.muc.rooms.find(room().as_str()).unwrap();
    let busy = home.state.lock().await;
    node.recorder.serve_elsewhere(true);
    node.view_changes();
    let waiting = ["m2", "m3"].map(|id| node.begin("ada", &said(id), false));
    assert!(home.is_busy(), "what follows waits behind them");
    drop(busy);
    for outcome in waiting {
        let outcome = outcome.await.unwrap();
        assert_eq!(outcome, Outcome::Elsewhere { doubted: false });
    }
    assert_eq!(node.logged().await, ["m1"]);
}

/// The store is out while the room goes: whether its last message is in the log nobody knows, and who serves it then looks.
#[tokio::test(start_paused = true)]
async fn what_may_have_been_said_is_passed_on_in_doubt() {
    let (stores, faults) = store();
    let node = Node::over(&stores);
    assert!(node.enter("ada").await);
    faults.add(of_log, When::Always, Fault::LoseAnswer);
    let outcome = node.begin("ada", &said("m1"), false);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    node.recorder.serve_elsewhere(true);
    node.view_changes();
    let outcome = outcome.await.unwrap();
    assert_eq!(outcome, Outcome::Elsewhere { doubted: true });
}

#[tokio::test(start_paused = true)]
async fn what_was_said_at_a_node_that_is_gone_is_not_said_again() {
    let (stores, _) = store();
    let one = Node::over(&stores);
    assert!(one.enter("ada").await);
    for id in ["m1", "m2", "m3"] {
        assert!(one.say("ada", id).await);
    }
    let two = Node::over(&stores);
    two.tell(&["ada"], true);
    let home = two.muc.rooms.find(room().as_str()).unwrap();
    let busy = home.state.lock().await;
    // The first is new, and what waits behind it is kept together with it.
    let sent = [("m4", false), ("m2", true), ("m3", true), ("m5", true)];
    let sent = sent.map(|(id, doubted)| two.begin("ada", &said(id), doubted));
    drop(busy);
    for outcome in sent {
        assert_eq!(outcome.await.unwrap(), Outcome::Done);
    }
    assert_eq!(two.logged().await, ["m1", "m2", "m3", "m4", "m5"]);
}
