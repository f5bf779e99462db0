//! What is told of peers, and what becomes of lives that are over.

use services::Way;
use tokio::time::{Duration, Instant, sleep};

use super::{
    network::Net,
    node::{Node, body, pair},
};
use crate::link::{Class, Event, Gone, LinkError, PeerState, Unacknowledged};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn held() -> Way {
    Way {
        hold: true,
        ..Way::default()
    }
}
fn deaf() -> Way {
    Way {
        swallow: true,
        ..Way::default()
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_told_and_its_end() {
    let net = Net::new(1);
    let (a, b) = pair(&net).await;
    sleep(MS(3_000)).await;
    assert_eq!(
        (a.events(), b.events()),
        (vec![Event::Up(b.id)], vec![Event::Up(a.id)])
    );
    // Only what b says is lost: a hears nothing, b hears on.
    let cut = Instant::now();
    net.set("a", "b", &Way::default(), &held());
    a.hears(|heard| heard.events.len() == 2).await;
    let Event::Silent(node, since) = a.events()[1] else {
        panic!("{:?}", a.events())
    };
    assert_eq!(node, b.id);
    assert!(
        cut.duration_since(since) <= MS(200),
        "a beat may have come just before"
    );
    assert!(
        (MS(400)..=MS(700)).contains(&cut.elapsed()),
        "{:?}",
        cut.elapsed()
    );
    assert!(matches!(a.links.peers()[0].state, PeerState::Silent(_)));
    assert_eq!(b.events().len(), 1);
    net.set("a", "b", &Way::default(), &Way::default());
    a.hears(|heard| heard.events.last() == Some(&Event::Again(b.id)))
        .await;
    assert_eq!(a.events().len(), 3);
    assert_eq!(a.links.peers()[0].state, PeerState::Up);
}

#[tokio::test(start_paused = true)]
async fn the_way_there_and_back_is_measured() {
    let net = Net::new(1);
    let way = Way {
        delay: MS(20),
        ..Way::default()
    };
    net.set("a", "b", &way, &way);
    let (a, b) = pair(&net).await;
    sleep(MS(1_000)).await;
    for node in [&a, &b] {
        let latency = node.links.peers()[0].latency.unwrap();
        assert!((MS(40)..=MS(43)).contains(&latency), "{latency:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_deliver_nothing_are_replaced() {
    let net = Net::new(1);
    let (a, b) = pair(&net).await;
    let made = net.connections("a", "b");
    // What runs now is half open for ever; what is dialled later is not.
    net.set("a", "b", &deaf(), &Way::default());
    for class in Class::ALL {
        a.links.send(b.id, class, 0, body(1, 8)).await.unwrap();
    }
    sleep(MS(1_000)).await;
    net.set("a", "b", &Way::default(), &Way::default());
    sleep(MS(8_000)).await;
    for class in Class::ALL {
        assert_eq!(b.numbers(a.id, class), [1]);
    }
    assert_eq!(net.connections("a", "b"), made + 3);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_gone_is_noticed_at_once() {
    let net = Net::new(1);
    let (a, b) = pair(&net).await;
    sleep(MS(2_000)).await;
    let (old, died) = (b.id, Instant::now());
    drop(b);
    a.told(&Event::Gone(old, Gone::Refused)).await;
    assert!(died.elapsed() < MS(150), "{:?}", died.elapsed());
    assert_eq!(a.events().len(), 2);
    assert_eq!(a.links.peers()[0].state, PeerState::Gone(Gone::Refused));
}

#[tokio::test(start_paused = true)]
async fn what_was_for_an_old_life_is_handed_back_and_not_delivered_to_the_new_one() {
    let net = Net::new(1);
    let (a, b) = pair(&net).await;
    // Two arrive, and then nothing gets through any more.
    for number in [0, 1] {
        a.links
            .send(b.id, Class::Data, 5, body(number, 8))
            .await
            .unwrap();
    }
    assert!(a.links.settled(MS(500)).await);
    net.set("a", "b", &held(), &Way::default());
    for number in [2, 3] {
        a.links
            .send(b.id, Class::Data, 5, body(number, 8))
            .await
            .unwrap();
    }
    sleep(MS(100)).await;
    let old = b.id;
    drop(b);
    a.told(&Event::Gone(old, Gone::Refused)).await;
    a.links.send(old, Class::Data, 6, body(4, 8)).await.unwrap();
    a.links.send(old, Class::Bulk, 7, body(5, 8)).await.unwrap();
    net.set("a", "b", &Way::default(), &Way::default());
    let b = Node::on(&net, "b", 3).await;
    a.connected(b.id).await;
    sleep(MS(5_000)).await;
    assert_eq!(b.recorder.note(|heard| heard.frames.len()), 0);
    let left = |class, kind, number, may_have_arrived| Unacknowledged {
        class,
        kind,
        body: body(number, 8),
        may_have_arrived,
    };
    assert_eq!(
        a.links.forget(old),
        [
            left(Class::Data, 5, 2, true),
            left(Class::Data, 5, 3, true),
            left(Class::Data, 6, 4, false),
            left(Class::Bulk, 7, 5, false),
        ]
    );
    assert_eq!(a.links.forget(old), []);
    let gone = a.links.try_send(old, Class::Data, 0, body(0, 8));
    assert_eq!(gone, Err(LinkError::Unknown));
    a.links
        .send(b.id, Class::Data, 0, body(9, 8))
        .await
        .unwrap();
    b.hears(|heard| heard.frames.len() == 1).await;
    let nodes: Vec<_> = a.links.peers().iter().map(|peer| peer.node).collect();
    assert_eq!(nodes, [b.id]);
}

#[tokio::test(start_paused = true)]
async fn a_new_life_at_an_address_tells_that_the_old_one_is_gone() {
    let net = Net::new(1);
    let (a, b) = pair(&net).await;
    let old = b.id;
    // The old one does not close its connections: its machine is gone.
    net.set("a", "b", &deaf(), &deaf());
    let stuck = b;
    sleep(MS(300)).await;
    net.set("a", "b", &Way::default(), &Way::default());
    let b = Node::on(&net, "b", 7).await;
    b.links.connect("a");
    a.told(&Event::Gone(old, Gone::Replaced(b.id))).await;
    a.told(&Event::Up(b.id)).await;
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn a_life_that_was_declared_over_does_not_come_back() {
    let net = Net::new(1);
    let (a, b) = pair(&net).await;
    a.links.forget(b.id);
    b.told(&Event::Disowned(a.id)).await;
    sleep(MS(20_000)).await;
    assert!(a.links.peers().is_empty());
    assert_eq!(a.events(), [Event::Up(b.id)]);
    // Nor does it go on dialling it, but for where it was told to.
    b.links.forget(a.id);
    sleep(MS(4_000)).await;
    assert!(
        b.links
            .targets()
            .iter()
            .all(|target| target.is_asked || target.address != "a")
    );
}

#[tokio::test(start_paused = true)]
async fn a_process_that_did_not_run_calls_nobody_silent() {
    let net = Net::new(1);
    let (a, b) = pair(&net).await;
    sleep(MS(1_000)).await;
    tokio::time::advance(MS(10_000)).await;
    sleep(MS(2_000)).await;
    for (node, other) in [(&a, &b), (&b, &a)] {
        let events = node.events();
        assert_eq!(events.len(), 2, "{events:?}");
        assert_eq!(events[0], Event::Up(other.id));
        assert!(
            matches!(events[1], Event::Stalled(stall) if stall >= MS(9_900)),
            "{events:?}"
        );
    }
}
