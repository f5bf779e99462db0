//! Ping, version, time, last activity (XEP-0199, 0092, 0202, 0012).

use xmpp::{Element, ns, payload::delay::parse_stamp};

use crate::Node;

const PING: &str = "<ping xmlns='urn:xmpp:ping'/>";
const VERSION: &str = "<query xmlns='jabber:iq:version'/>";
const TIME: &str = "<time xmlns='urn:xmpp:time'/>";
const LAST: &str = "<query xmlns='jabber:iq:last'/>";
const SERVER: Option<&str> = Some("example.org");

#[tokio::test]
async fn ping_is_answered_by_the_server_and_for_accounts() {
    let node = Node::start().await;
    let (mut juliet, mut tybalt) = (
        node.login("juliet", "balcony").await,
        node.login("tybalt", "street").await,
    );
    for to in [
        None,
        SERVER,
        Some("juliet@example.org"),
        Some("romeo@example.org"),
    ] {
        assert_eq!(juliet.answer("get", to, PING).await, "", "{to:?}");
    }
    for whom in ["juliet@example.org", "nobody@example.org"] {
        assert_eq!(
            tybalt.answer("get", Some(whom), PING).await,
            "!service-unavailable"
        );
    }
    assert_eq!(juliet.answer("set", SERVER, PING).await, "!not-allowed");
    assert_eq!(
        juliet
            .answer("get", SERVER, "<pong xmlns='urn:xmpp:ping'/>")
            .await,
        "!bad-request"
    );
}

#[tokio::test]
async fn server_tells_its_version_and_time() {
    let node = Node::start().await;
    let mut juliet = node.login("juliet", "balcony").await;
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "<query xmlns='jabber:iq:version'><name>Starling</name><version>{version}</version></query>"
    );
    assert_eq!(juliet.answer("get", SERVER, VERSION).await, expected);
    let before = starling::clock::now_ms();
    let time = juliet.answer("get", SERVER, TIME).await;
    let time = Element::parse(time.as_bytes(), ns::CLIENT).unwrap();
    assert_eq!(time.child_text("tzo").unwrap(), "+00:00");
    let told = parse_stamp(&time.child_text("utc").unwrap()).unwrap() as u64;
    assert!((before..=starling::clock::now_ms()).contains(&told));
}

#[tokio::test]
async fn last_activity_is_for_those_who_see_presence() {
    let node = Node::start().await;
    let mut romeo = node.login("romeo", "orchard").await;
    let uptime = romeo.answer("get", SERVER, LAST).await;
    assert!(
        uptime.starts_with("<query xmlns='jabber:iq:last' seconds='"),
        "{uptime}"
    );
    // Juliet was never available, then is, then goes and says why.
    assert_eq!(
        romeo.answer("get", Some("juliet@example.org"), LAST).await,
        "!item-not-found"
    );
    let mut juliet = node.available("juliet", "balcony").await;
    let here = "<query xmlns='jabber:iq:last' seconds='0'/>";
    assert_eq!(
        romeo.answer("get", Some("juliet@example.org"), LAST).await,
        here
    );
    assert_eq!(juliet.answer("get", None, LAST).await, here);
    juliet
        .send("<presence type='unavailable'><status>Heading home</status></presence>")
        .await;
    juliet.settle().await;
    juliet.close().await;
    let away = romeo.answer("get", Some("juliet@example.org"), LAST).await;
    assert!(away.ends_with(">Heading home</query>"), "{away}");
    let mut tybalt = node.login("tybalt", "street").await;
    for whom in ["juliet@example.org", "nobody@example.org"] {
        assert_eq!(tybalt.answer("get", Some(whom), LAST).await, "!forbidden");
    }
}
