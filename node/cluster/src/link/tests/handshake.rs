//! Who gets in, and what strangers can do.

use std::{net::IpAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{Duration, Instant, sleep},
};
use tokio_rustls::TlsStream;

use super::{network::Net, node::Node};
use crate::link::{
    Class, Config, Event, PROTOCOLS, Refusal, Secret,
    admission::{Door, STRANGERS_OF_A_HOST},
    handshake::{NoLink, answer, dial},
    inner::Inner,
    tls::{self, Tls},
};

async fn inner(net: &Net, host: &str, node: u64, change: impl FnOnce(&mut Config)) -> Node {
    Node::with(net, host, node, change).await
}

fn place() -> crate::link::admission::Place {
    Arc::new(Door::default())
        .enter(IpAddr::from([192, 0, 2, 1]))
        .unwrap()
}

/// What both ends think of each other.
type Both = (Result<u16, Refusal>, Result<u16, Refusal>);

async fn introduce(one: &Inner, two: &Inner) -> Both {
    let (dialler, listener) = tokio::io::duplex(1 << 16);
    let dialled = dial(one, Box::new(dialler), Class::Data);
    let answered = answer(two, Box::new(listener), place());
    let (dialled, answered) = tokio::join!(dialled, answered);
    let protocol = |result: Result<crate::link::handshake::Introduced, NoLink>| match result {
        Ok(introduced) => Ok(introduced.protocol),
        Err(NoLink::Refused(refusal)) => Err(refusal),
        Err(other) => panic!("{other}"),
    };
    (protocol(dialled), protocol(answered))
}

async fn check(one: impl FnOnce(&mut Config), two: impl FnOnce(&mut Config), expected: Both) {
    let net = Net::default();
    let (one, two) = (
        inner(&net, "a", 1, one).await,
        inner(&net, "b", 2, two).await,
    );
    let both = introduce(&one.links.inner, &two.links.inner).await;
    assert_eq!(both, expected);
}

fn secrets(names: &[&str]) -> Vec<Secret> {
    let secret = |name| Secret::new(format!("the {name} secret of them").as_bytes()).unwrap();
    names.iter().map(secret).collect()
}

fn knows(names: &'static [&'static str]) -> impl FnOnce(&mut Config) {
    move |config| config.secrets = secrets(names)
}

#[tokio::test(start_paused = true)]
async fn a_secret_in_common_is_enough_and_nothing_less() {
    let (good, refused) = (
        || (Ok(*PROTOCOLS.end()), Ok(*PROTOCOLS.end())),
        || (Err(Refusal::Secret), Err(Refusal::Secret)),
    );
    check(knows(&["old"]), knows(&["old"]), good()).await;
    check(knows(&["old"]), knows(&["new"]), refused()).await;
    // Whoever was told of the new one first.
    check(knows(&["new", "old"]), knows(&["old"]), good()).await;
    check(knows(&["old"]), knows(&["new", "old"]), good()).await;
    check(knows(&["new", "old"]), knows(&["newest", "new"]), good()).await;
    check(knows(&["newest", "new"]), knows(&["old"]), refused()).await;
}

#[tokio::test(start_paused = true)]
async fn refusals_are_told_to_both() {
    let by_peer = |refusal: Refusal| Err(Refusal::ByPeer(refusal.to_string()));
    let other = |name: &str| Err(Refusal::Cluster(name.to_owned()));
    check(
        |c| c.cluster = "other".into(),
        |_| (),
        (other("test"), other("other")),
    )
    .await;
    check(
        |c| c.protocols = 2..=3,
        |c| c.protocols = 1..=2,
        (Ok(2), Ok(2)),
    )
    .await;
    check(
        |c| c.protocols = 2..=3,
        |c| c.protocols = 3..=4,
        (Ok(3), Ok(3)),
    )
    .await;
    check(
        |c| c.protocols = 3..=4,
        |c| c.protocols = 3..=4,
        (Ok(4), Ok(4)),
    )
    .await;
    let none = |ours, theirs| Err(Refusal::Protocol { ours, theirs });
    check(
        |c| c.protocols = 1..=2,
        |c| c.protocols = 3..=4,
        (none(1..=2, 3..=4), none(3..=4, 1..=2)),
    )
    .await;
    // What only one of them knows the other learns from it.
    let net = Net::default();
    let (a, b) = (Node::on(&net, "a", 1).await, Node::on(&net, "b", 2).await);
    b.links.forget(a.id);
    let both = introduce(&a.links.inner, &b.links.inner).await;
    assert_eq!(both, (Err(Refusal::Disowned), Err(Refusal::Over)));
    let both = introduce(&b.links.inner, &a.links.inner).await;
    assert_eq!(both, (Err(Refusal::Over), Err(Refusal::Disowned)));
    a.told(&Event::Disowned(b.id)).await;
    let both = introduce(&a.links.inner, &a.links.inner).await;
    assert_eq!(both, (Err(Refusal::Myself), Err(Refusal::Myself)));
    assert_ne!(both.0, by_peer(Refusal::Myself));
}

/// A connection with TLS to a node that does not know whom it talks to.
async fn dialled(node: &Node) -> TlsStream<DuplexStream> {
    let (own, other) = tokio::io::duplex(1 << 16);
    let inner = node.links.inner.clone();
    tokio::spawn(async move { answer(&inner, Box::new(other), place()).await.err() });
    let connector = Tls::new().unwrap().connector;
    TlsStream::from(connector.connect(tls::name(), own).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn without_a_proof_nothing_is_said() {
    let net = Net::default();
    let a = Node::on(&net, "a", 1).await;
    for (count, refused) in [(0, true), (1, true), (4, true), (5, false), (255, false)] {
        let mut stream = dialled(&a).await;
        stream.write_u8(count).await.unwrap();
        let _ = stream.write_all(&[7; 32].repeat(usize::from(count))).await;
        stream.flush().await.unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        assert_eq!(said, if refused { vec![1] } else { vec![] }, "{count}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_proof_is_worth_nothing_in_the_other_role_or_on_another_connection() {
    let net = Net::default();
    let (a, b) = (Node::on(&net, "a", 1).await, Node::on(&net, "b", 2).await);
    // Who answers with what it was told knows nothing.
    let (dialler, listener) = tokio::io::duplex(1 << 16);
    let mirror = async {
        let acceptor = Tls::new().unwrap().acceptor;
        let mut stream = acceptor.accept(listener).await.unwrap();
        let mut said = [0; 33];
        stream.read_exact(&mut said).await.unwrap();
        assert_eq!(said[0], 1);
        stream.write_all(&[0]).await.unwrap();
        stream.write_all(&said[1..]).await.unwrap();
        stream.flush().await.unwrap();
        // Nor is it told anything further.
        assert_eq!(stream.read(&mut said).await.unwrap_or(0), 0);
    };
    let dialled_it = dial(&a.links.inner, Box::new(dialler), Class::Data);
    let (refused, ()) = tokio::join!(dialled_it, mirror);
    let refused = refused.err().unwrap();
    assert!(
        matches!(refused, NoLink::Refused(Refusal::Secret)),
        "{refused}"
    );
    // Who passes on what it was told to somebody else does not get in either.
    let (dialler, listener) = tokio::io::duplex(1 << 16);
    let mut onward = dialled(&b).await;
    let relay = async {
        let acceptor = Tls::new().unwrap().acceptor;
        let mut stream = acceptor.accept(listener).await.unwrap();
        let mut said = [0; 33];
        stream.read_exact(&mut said).await.unwrap();
        onward.write_all(&said).await.unwrap();
        onward.flush().await.unwrap();
        assert_eq!(onward.read_u8().await.unwrap(), 1);
    };
    let inner = a.links.inner.clone();
    tokio::spawn(async move { dial(&inner, Box::new(dialler), Class::Data).await.err() });
    relay.await;
}

/// What a stranger gets who dials and says this, and after how long.
async fn strange(net: &Net, said: Vec<Vec<u8>>, every: Duration) -> (Vec<u8>, Duration) {
    let mut stream = net.host("stranger").dial("a").await.unwrap();
    let (begin, mut answer) = (Instant::now(), Vec::new());
    let (mut reader, mut writer) = tokio::io::split(&mut stream);
    let say = async {
        for said in said {
            if writer.write_all(&said).await.is_err() {
                break;
            }
            sleep(every).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = say => {}
        _ = reader.read_to_end(&mut answer) => {}
    }
    (answer, begin.elapsed())
}

#[tokio::test(start_paused = true)]
async fn strangers_cost_little() {
    let net = Net::default();
    let a = Node::on(&net, "a", 1).await;
    let none = Duration::ZERO;
    let http = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    let (said, after) = strange(&net, vec![http], none).await;
    // A TLS alert at most.
    assert!(
        said.len() <= 7 && after < Duration::from_secs(1),
        "{said:?} {after:?}"
    );
    // A hello that never ends: records of TLS that say that more follows.
    let record = [&[22, 3, 1, 0x10, 0, 1, 0, 0xff, 0xff][..], &[0; 0x1000 - 4]].concat();
    let more = [&[22, 3, 1, 0x10, 0][..], &[0; 0x1000]].concat();
    let mut endless = vec![record];
    endless.extend(vec![more; 200]);
    let (said, after) = strange(&net, endless, Duration::from_millis(1)).await;
    assert!(
        said.len() <= 7 && after < Duration::from_millis(20),
        "{said:?} {after:?}"
    );
    // A byte a second.
    let bytes = vec![
        vec![22],
        vec![3],
        vec![1],
        vec![2],
        vec![0],
        vec![1],
        vec![0],
        vec![0],
    ];
    let (said, after) = strange(&net, bytes, Duration::from_secs(1)).await;
    assert_eq!((said, after.as_secs()), (vec![], 5));
    // As many as may be; one more ends at once, and others get in.
    let mut kept = Vec::new();
    for _ in 0..STRANGERS_OF_A_HOST {
        kept.push(net.host("stranger").dial("a").await.unwrap());
    }
    let (_, after) = strange(&net, vec![], none).await;
    assert_eq!(after, none);
    let b = Node::on(&net, "b", 2).await;
    b.links.connect("a");
    b.connected(a.id).await;
    sleep(Duration::from_secs(5)).await;
    let (_, after) = strange(&net, vec![], none).await;
    assert_eq!(after.as_secs(), 5);
    drop(kept);
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_replaced_without_stopping() {
    let net = Net::default();
    let a = Node::with(&net, "a", 1, knows(&["old"])).await;
    let b = Node::with(&net, "b", 2, knows(&["old"])).await;
    a.links.connect("b");
    let meet = async || {
        net.cut("a", "b");
        sleep(Duration::from_secs(4)).await;
        a.is_connected(b.id) && b.is_connected(a.id)
    };
    a.connected(b.id).await;
    let steps: [(&Node, &[&str]); 4] = [
        (&a, &["old", "new"]),
        (&b, &["new", "old"]),
        (&a, &["new"]),
        (&b, &["new"]),
    ];
    for (node, names) in steps {
        node.links.set_secrets(secrets(names)).unwrap();
        assert!(meet().await, "{names:?}");
    }
    b.links.set_secrets(secrets(&["other"])).unwrap();
    assert!(!meet().await);
    let trouble = a.links.targets()[0].trouble.clone();
    assert_eq!(trouble.as_deref(), Some("the cluster secrets differ"));
    assert!(a.links.set_secrets(vec![]).is_err());
    assert!(
        a.links
            .set_secrets(secrets(&["1", "2", "3", "4", "5"]))
            .is_err()
    );
}
