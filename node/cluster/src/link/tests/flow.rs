//! Messages: once, in order, within bounds, whatever connections do.

use bytes::Bytes;
use services::Way;
use tokio::time::{Duration, Instant, sleep, timeout};

use super::{
    network::Net,
    node::{Node, PANIC, body, pair},
};
use crate::link::{Class, Event, Limit, LinkError, MAX_BODY};

const MS: fn(u64) -> Duration = Duration::from_millis;

#[tokio::test(start_paused = true)]
async fn messages_arrive_as_they_were_sent() {
    let net = Net::new(1);
    let (a, b) = pair(&net).await;
    for (kind, length) in [(0, 0), (1, 1), (7, 70_000), (255, MAX_BODY), (3, 3)] {
        for class in Class::ALL {
            let sent = Bytes::from(vec![kind; length]);
            a.links.send(b.id, class, kind, sent.clone()).await.unwrap();
            b.hears(|heard| {
                heard
                    .frames
                    .last()
                    .is_some_and(|f| f.1 == class && f.2 == kind)
            })
            .await;
            assert_eq!(b.recorder.note(|heard| heard.frames.pop()).unwrap().3, sent);
        }
    }
    assert!(a.links.settled(MS(100)).await);
    let too_large = Bytes::from(vec![0; MAX_BODY + 1]);
    let refused = a.links.try_send(b.id, Class::Data, 0, too_large);
    assert_eq!(refused, Err(LinkError::TooLarge));
    let nobody = a
        .links
        .try_send(crate::NodeId(9), Class::Data, 0, Bytes::new());
    assert_eq!(nobody, Err(LinkError::Unknown));
}

#[tokio::test(start_paused = true)]
async fn both_dial_at_once_and_keep_the_same_connections() {
    for seed in 0..20 {
        let net = Net::new(seed);
        let way = |delay| Way {
            delay: MS(delay),
            jitter: MS(9),
            ..Way::default()
        };
        net.set("a", "b", &way(seed), &way(5));
        let (a, b) = (Node::on(&net, "a", 1).await, Node::on(&net, "b", 2).await);
        a.links.connect("b");
        b.links.connect("a");
        a.connected(b.id).await;
        b.connected(a.id).await;
        for number in 0..50 {
            for class in Class::ALL {
                a.links.send(b.id, class, 0, body(number, 8)).await.unwrap();
                b.links.send(a.id, class, 0, body(number, 8)).await.unwrap();
            }
        }
        a.hears(|heard| heard.frames.len() == 150).await;
        b.hears(|heard| heard.frames.len() == 150).await;
        let made = net.connections("a", "b");
        sleep(Duration::from_secs(30)).await;
        // Nobody fights about them: three, and what was dialled in vain at the beginning.
        assert_eq!(net.connections("a", "b"), made);
        assert!(made <= 8, "seed {seed}: {made}");
        for class in Class::ALL {
            assert_eq!(a.numbers(b.id, class), (0..50).collect::<Vec<_>>());
            assert_eq!(b.numbers(a.id, class), (0..50).collect::<Vec<_>>());
        }
    }
}

/// Sends a lot both ways while connections are cut, reset, stalled and overtake each other.
async fn cut_at_random(seed: u64) {
    const COUNT: u64 = 2_000;
    let net = Net::new(seed);
    let way = Way {
        delay: MS(1 + seed % 20),
        jitter: MS(10),
        skew: MS(seed % 7),
        stall: 20,
        again: MS(100),
        reset: 3,
        ..Way::default()
    };
    net.set("a", "b", &way, &way);
    // With half of the seeds credit is always short.
    let limits = |config: &mut crate::link::Config| {
        if seed % 2 == 1 {
            let (frames, bytes) = (16, 100_000);
            config.limits.data = Limit { frames, bytes };
        }
    };
    let a = Node::with(&net, "a", 1, limits).await;
    let b = Node::with(&net, "b", 2, limits).await;
    a.links.connect("b");
    a.connected(b.id).await;
    let send = async |from: &Node, to: &Node| {
        for number in 0..COUNT {
            let class = Class::ALL[(number % 3) as usize];
            let length = if number % 50 == 0 { 40_000 } else { 20 };
            from.links
                .send(to.id, class, 0, body(number, length))
                .await
                .unwrap();
            if number % 4 == 0 {
                sleep(MS(3)).await;
            }
        }
    };
    let cut = async {
        // At slow seeds hardly any connection is made between two cuts: they must end some time.
        for round in 0..100 {
            sleep(MS(40 + (seed * 7 + round * 31) % 200)).await;
            net.cut("a", "b");
        }
        std::future::pending().await
    };
    tokio::select! {
        () = cut => {}
        _ = async { tokio::join!(send(&a, &b), send(&b, &a)) } => {}
    }
    assert!(
        a.links.settled(Duration::from_secs(60)).await,
        "seed {seed}"
    );
    assert!(
        b.links.settled(Duration::from_secs(60)).await,
        "seed {seed}"
    );
    assert!(
        net.connections("a", "b") > 6,
        "seed {seed}: nothing was cut"
    );
    for (rest, class) in Class::ALL.into_iter().enumerate() {
        let all: Vec<_> = (0..COUNT).filter(|n| n % 3 == rest as u64).collect();
        assert_eq!(b.numbers(a.id, class), all, "seed {seed}");
        assert_eq!(a.numbers(b.id, class), all, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_message_arrives_once_in_order_however_often_connections_break() {
    for seed in 0..40 {
        println!("seed {seed}");
        cut_at_random(seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_keeps_everything_stops_the_sender() {
    let net = Net::new(1);
    let limit = Limit {
        frames: 100,
        bytes: 100_000,
    };
    let (mut queued, mut kept) = (Vec::new(), Vec::new());
    for length in [10, 4_000] {
        let a = Node::with(&net, "a", 1 + length, |c| c.limits.data = limit).await;
        let b = Node::with(&net, "b", 2 + length, |c| c.limits.data = limit).await;
        b.recorder.note(|heard| heard.keeps = true);
        a.links.connect("b");
        a.connected(b.id).await;
        let send = async {
            for number in 0.. {
                let sent = a
                    .links
                    .send(b.id, Class::Data, 0, body(number, length as usize));
                sent.await.unwrap();
            }
        };
        assert!(timeout(Duration::from_secs(60), send).await.is_err());
        let full = a.links.try_send(b.id, Class::Data, 0, body(0, 50_000));
        assert_eq!(full, Err(LinkError::Full));
        let lane = a.links.peers()[0].lanes[Class::Data as usize];
        queued.push((lane.queued_frames, lane.queued_bytes));
        kept.push(b.recorder.note(|heard| heard.credits.len()));
        // Other classes go on.
        a.links
            .send(b.id, Class::Control, 0, body(7, 8))
            .await
            .unwrap();
        b.hears(|heard| heard.frames.iter().any(|f| f.1 == Class::Control))
            .await;
        // What is given back is used at once, down to the last.
        for _ in 0..3 {
            let before = b.numbers(a.id, Class::Data).len();
            drop(b.recorder.note(|heard| heard.credits.remove(0)));
            sleep(MS(50)).await;
            assert_eq!(b.numbers(a.id, Class::Data).len(), before + 1);
        }
    }
    // Small ones are bounded by their number, large ones by their bytes, one more at most; those that wait by 64 bytes each.
    assert_eq!(kept, [100, 25]);
    assert_eq!(queued, [(1_352, 13_520), (24, 96_000)]);
}

#[tokio::test(start_paused = true)]
async fn a_network_that_takes_nothing_stops_the_sender() {
    let net = Net::new(1);
    let (a, b) = pair(&net).await;
    let hold = Way {
        hold: true,
        ..Way::default()
    };
    net.set("a", "b", &hold, &hold);
    let fill = async {
        for number in 0.. {
            a.links
                .send(b.id, Class::Bulk, 0, body(number, 100_000))
                .await
                .unwrap();
        }
    };
    assert!(timeout(Duration::from_secs(3), fill).await.is_err());
    let lane = a.links.peers()[0].lanes[Class::Bulk as usize];
    assert_eq!(lane.queued_frames, 83); // of 8 MiB
    net.set("a", "b", &Way::default(), &Way::default());
    assert!(a.links.settled(Duration::from_secs(60)).await);
    let all: Vec<_> = (0..83).collect();
    assert_eq!(b.numbers(a.id, Class::Bulk), all);
}

#[tokio::test(start_paused = true)]
async fn bulk_delays_neither_control_nor_data() {
    let net = Net::new(1);
    let (a, b) = pair(&net).await;
    let slow = Way {
        delay: MS(2),
        bandwidth: Some(1_000_000),
        ..Way::default()
    };
    net.set("a", "b", &slow, &slow);
    for number in 0..8 {
        a.links
            .send(b.id, Class::Bulk, 0, body(number, 1_000_000))
            .await
            .unwrap();
    }
    let (begin, mut bulk) = (Instant::now(), 0);
    for number in 0..1_000 {
        sleep(MS(5)).await;
        for class in [Class::Control, Class::Data] {
            let sent = Instant::now();
            a.links
                .send(b.id, class, 1, body(number, 100))
                .await
                .unwrap();
            b.hears(|heard| {
                heard
                    .frames
                    .last()
                    .is_some_and(|f| f.1 == class && f.3 == body(number, 100))
            })
            .await;
            // In simulated time: the way, and a beat that may stand before it.
            assert!(sent.elapsed() <= MS(3), "{number}: {:?}", sent.elapsed());
        }
        bulk = b.numbers(a.id, Class::Bulk).len();
    }
    // The transfer was going on all the while.
    assert!(
        begin.elapsed() > Duration::from_secs(7) && (5..=8).contains(&bulk),
        "{bulk}"
    );
    let silences = a
        .events()
        .iter()
        .filter(|e| matches!(e, Event::Silent(..)))
        .count();
    assert_eq!(silences, 0);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_loses_that_message_and_no_other() {
    let net = Net::new(1);
    let (a, b) = pair(&net).await;
    for (number, kind) in [(0, 0), (1, 0), (2, PANIC), (3, 0), (4, PANIC), (5, 0)] {
        a.links
            .send(b.id, Class::Data, kind, body(number, 8))
            .await
            .unwrap();
    }
    b.hears(|heard| heard.frames.len() == 4).await;
    assert_eq!(b.numbers(a.id, Class::Data), [0, 1, 3, 5]);
    assert!(a.links.settled(Duration::from_secs(9)).await);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_hears_that_there_will_be_none() {
    let net = Net::new(1);
    let (a, b) = pair(&net).await;
    let hold = Way {
        hold: true,
        ..Way::default()
    };
    net.set("a", "b", &hold, &hold);
    let fill = async {
        loop {
            let sent = a.links.send(b.id, Class::Data, 0, body(0, 100_000)).await;
            if let Err(error) = sent {
                return error;
            }
        }
    };
    let forget = async {
        sleep(MS(200)).await;
        a.links.forget(b.id).len()
    };
    assert_eq!(tokio::join!(fill, forget), (LinkError::Closed, 83));
}
