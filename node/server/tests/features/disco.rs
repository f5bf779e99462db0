//! Service discovery (XEP-0030) and capabilities (XEP-0115).

use starling::modules::disco::caps::verification;
use xmpp::{Element, ns};

use crate::{Node, peer::Peer};

const SERVER: Option<&str> = Some("example.org");

fn query(kind: &str, node: &str) -> String {
    let node = if node.is_empty() {
        String::new()
    } else {
        format!(" node='{node}'")
    };
    format!("<query xmlns='http://jabber.org/protocol/disco#{kind}'{node}/>")
}

async fn info(peer: &mut Peer, to: &str, node: &str) -> String {
    peer.answer("get", Some(to), &query("info", node)).await
}

async fn items(peer: &mut Peer, to: &str, node: &str) -> String {
    peer.answer("get", Some(to), &query("items", node)).await
}

#[tokio::test]
async fn server_says_what_it_is_and_can_do() {
    let node = Node::start().await;
    let mut juliet = node.login("juliet", "balcony").await;
    let found = info(&mut juliet, "example.org", "").await;
    let info = Element::parse(found.as_bytes(), ns::CLIENT).unwrap();
    let has = |var: &str| {
        info.children()
            .any(|it| it.name() == "feature" && it.attr("var") == Some(var))
    };
    for var in [
        ns::DISCO_INFO,
        ns::DISCO_ITEMS,
        ns::CAPS,
        ns::PING,
        ns::LAST,
        ns::TIME,
        ns::VERSION,
        "msgoffline",
    ] {
        assert!(has(var), "{var}: {found}");
    }
    let identity = info.child("identity", ns::DISCO_INFO).unwrap();
    assert_eq!(
        (identity.attr("category"), identity.attr("type")),
        (Some("server"), Some("im"))
    );
    let form = "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'>\
        <value>http://jabber.org/network/serverinfo</value></field>\
        <field var='abuse-addresses'><value>mailto:abuse@example.org</value></field></x>";
    assert!(found.contains(form), "{found}");
    assert_eq!(
        items(&mut juliet, "example.org", "").await,
        "<query xmlns='http://jabber.org/protocol/disco#items'>\
         <item jid='conference.example.org' name='Rooms'/>\
         <item jid='pubsub.example.org' name='Publish-Subscribe'/>\
         <item jid='vjud.example.org' name='People'/></query>"
    );
    // What is not there, and what can only be read.
    assert_eq!(
        self::info(&mut juliet, "example.org", "nothing").await,
        "!item-not-found"
    );
    assert_eq!(
        items(&mut juliet, "example.org", "nothing").await,
        "!item-not-found"
    );
    assert_eq!(
        juliet.answer("set", SERVER, &query("info", "")).await,
        "!not-allowed"
    );
    assert_eq!(
        juliet
            .answer(
                "get",
                SERVER,
                "<x xmlns='http://jabber.org/protocol/disco#info'/>"
            )
            .await,
        "!bad-request"
    );
}

#[tokio::test]
async fn capabilities_are_a_stream_feature_and_hold() {
    let node = Node::start().await;
    let mut juliet = node.login("juliet", "balcony").await;
    let caps = juliet.features.child("c", ns::CAPS).unwrap();
    assert_eq!(caps.attr("hash"), Some("sha-1"));
    let (uri, version) = (
        caps.attr("node").unwrap(),
        caps.attr("ver").unwrap().to_owned(),
    );
    let (at, wrong) = (format!("{uri}#{version}"), format!("{uri}#x"));
    let found = info(&mut juliet, "example.org", &at).await;
    let found = Element::parse(found.as_bytes(), ns::CLIENT).unwrap();
    assert_eq!(found.attr("node"), Some(&*at));
    assert_eq!(verification(&found), version);
    assert_eq!(
        info(&mut juliet, "example.org", &wrong).await,
        "!item-not-found"
    );
}

#[tokio::test]
async fn account_shows_itself_to_those_who_see_its_presence() {
    let node = Node::start().await;
    let mut juliet = node.available("juliet", "balcony").await;
    let _away = node.login("juliet", "chamber").await;
    let (mut romeo, mut tybalt) = (
        node.login("romeo", "orchard").await,
        node.login("tybalt", "street").await,
    );
    let account = info(&mut juliet, "juliet@example.org", "").await;
    assert!(
        account.contains("<identity category='account' type='registered'/>"),
        "{account}"
    );
    assert_eq!(
        juliet.answer("get", None, &query("info", "")).await,
        account
    );
    assert_eq!(info(&mut romeo, "juliet@example.org", "").await, account);
    let resources = "<query xmlns='http://jabber.org/protocol/disco#items'><item jid='juliet@example.org/balcony'/></query>";
    assert_eq!(
        items(&mut juliet, "juliet@example.org", "").await,
        resources
    );
    assert_eq!(items(&mut romeo, "juliet@example.org", "").await, resources);
    assert_eq!(
        info(&mut romeo, "juliet@example.org", "nothing").await,
        "!item-not-found"
    );
    assert_eq!(
        items(&mut romeo, "juliet@example.org", "nothing").await,
        "!item-not-found"
    );
    // A stranger cannot tell an account from none (§8).
    for whom in ["juliet@example.org", "nobody@example.org"] {
        for node in ["", "nothing"] {
            assert_eq!(
                info(&mut tybalt, whom, node).await,
                "!service-unavailable",
                "{whom} {node}"
            );
            assert_eq!(
                items(&mut tybalt, whom, node).await,
                query("items", node),
                "{whom} {node}"
            );
        }
    }
}
