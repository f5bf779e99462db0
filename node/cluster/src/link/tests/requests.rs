//! Requests: answered once, declined, given up, cancelled.

use bytes::Bytes;
use services::Way;
use tokio::time::{Duration, timeout};

use super::{
    network::Net,
    node::{DECLINE, ECHO, NEVER, Node, body, pair},
};
use crate::link::{Class, Limit, LinkError, MAX_BODY};

const SOON: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn each_outcome_is_told_apart() {
    let net = Net::new(1);
    let (a, b) = pair(&net).await;
    let ask = async |to, kind, length| {
        let asked = a
            .links
            .request(to, Class::Data, kind, body(7, length), SOON)
            .await;
        asked.map(|answer| answer.len())
    };
    assert_eq!(ask(b.id, ECHO, 8).await, Ok(8));
    assert_eq!(ask(b.id, ECHO, MAX_BODY).await, Ok(MAX_BODY));
    assert_eq!(
        ask(b.id, ECHO, MAX_BODY + 1).await,
        Err(LinkError::TooLarge)
    );
    assert_eq!(ask(b.id, DECLINE, 8).await, Err(LinkError::Refused));
    assert_eq!(ask(b.id, NEVER, 8).await, Err(LinkError::Silent));
    assert_eq!(
        ask(crate::NodeId(9), ECHO, 8).await,
        Err(LinkError::Unknown)
    );
    let forget = async {
        b.hears(|heard| heard.begun == 5).await;
        a.links.forget(b.id);
    };
    let (closed, ()) = tokio::join!(ask(b.id, NEVER, 8), forget);
    assert_eq!(closed, Err(LinkError::Closed));
    assert_eq!(ask(b.id, ECHO, 8).await, Err(LinkError::Unknown));
}

#[tokio::test(start_paused = true)]
async fn the_work_ends_when_the_caller_goes() {
    let net = Net::new(1);
    let (a, b) = pair(&net).await;
    let asked = a
        .links
        .request(b.id, Class::Data, NEVER, Bytes::new(), SOON * 60);
    assert!(timeout(SOON, asked).await.is_err());
    b.hears(|heard| (heard.begun, heard.dropped) == (1, 1))
        .await;
    assert_eq!(
        (a.links.peers()[0].pending, b.links.peers()[0].serving),
        (0, 0)
    );
    // What was not written when its caller went is never begun.
    let hold = Way {
        hold: true,
        ..Way::default()
    };
    net.set("a", "b", &hold, &hold);
    net.cut("a", "b");
    tokio::time::sleep(SOON).await;
    let silent = a
        .links
        .request(b.id, Class::Data, NEVER, Bytes::new(), SOON)
        .await;
    assert_eq!(silent, Err(LinkError::Silent));
    net.set("a", "b", &Way::default(), &Way::default());
    a.connected(b.id).await;
    let echoed = a
        .links
        .request(b.id, Class::Data, ECHO, Bytes::new(), SOON)
        .await;
    assert_eq!(echoed, Ok(Bytes::new()));
    assert_eq!(
        b.recorder.note(|heard| (heard.begun, heard.dropped)),
        (2, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn requests_both_ways_do_not_wait_for_each_others_credit() {
    let net = Net::new(1);
    let limit = Limit {
        frames: 4,
        bytes: 4_000,
    };
    let a = Node::with(&net, "a", 1, |c| c.limits.data = limit).await;
    let b = Node::with(&net, "b", 2, |c| c.limits.data = limit).await;
    a.links.connect("b");
    b.connected(a.id).await;
    a.connected(b.id).await;
    let ask = async |from: &Node, to: &Node| {
        let asked = (0..200).map(|_| {
            from.links
                .request(to.id, Class::Data, ECHO, body(1, 900), SOON * 60)
        });
        let mut asked: Vec<_> = asked.map(Box::pin).collect();
        let mut answered = 0;
        // All at once.
        std::future::poll_fn(|cx| {
            asked.retain_mut(|asked| match asked.as_mut().poll(cx) {
                std::task::Poll::Ready(answer) => {
                    answered += usize::from(answer.is_ok());
                    false
                }
                std::task::Poll::Pending => true,
            });
            if asked.is_empty() {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
        answered
    };
    assert_eq!(tokio::join!(ask(&a, &b), ask(&b, &a)), (200, 200));
}

#[tokio::test(start_paused = true)]
async fn each_request_is_done_once_however_often_connections_break() {
    let net = Net::new(3);
    let (a, b) = pair(&net).await;
    let way = Way {
        delay: Duration::from_millis(5),
        ..Way::default()
    };
    net.set("a", "b", &way, &way);
    let ask = async {
        for number in 0..300 {
            let sent = body(number, 8);
            let answer = a
                .links
                .request(b.id, Class::Data, ECHO, sent.clone(), SOON * 60)
                .await;
            assert_eq!(answer, Ok(sent));
        }
    };
    let cut = async {
        for round in 0.. {
            tokio::time::sleep(Duration::from_millis(30 + round * 37 % 101)).await;
            net.cut("a", "b");
        }
    };
    tokio::select! { () = cut => {}, () = ask => {} }
    assert_eq!(b.recorder.note(|heard| heard.begun), 300);
    assert!(net.connections("a", "b") > 30);
}
