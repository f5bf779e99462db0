//! Accounts made in band (XEP-0077).

use starling::config::Security;
use xmpp::{
    Element, StreamErrorCondition as Condition, ns, payload::form::Form, sasl::client::plain,
};

use crate::{peer::Peer, server::Server};

fn set(username: &str, password: &str) -> String {
    format!(
        "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>{username}</username>\
         <password>{password}</password></query></iq>"
    )
}

fn condition(answer: &Element) -> Option<String> {
    Some(
        answer
            .child("error", ns::CLIENT)?
            .children()
            .next()?
            .name()
            .to_owned(),
    )
}

#[tokio::test]
async fn account_is_made_and_used() {
    let server = Server::start().await;
    let (mut peer, features) = server.secured().await;
    assert!(features.child("register", ns::REGISTER_FEATURE).is_some());
    let fields = peer
        .ask("<iq type='get' id='g' to='example.org'><query xmlns='jabber:iq:register'/></iq>")
        .await;
    let query = fields.child("query", ns::REGISTER).unwrap();
    assert_eq!(
        (fields.attr("type"), fields.attr("id")),
        (Some("result"), Some("g"))
    );
    assert!(
        ["instructions", "username", "password"]
            .iter()
            .all(|name| query.child(name, ns::REGISTER).is_some())
    );
    assert_eq!(
        Form::child_of(query).unwrap().unwrap().namespace(),
        Some(ns::REGISTER)
    );

    let made = peer.ask(&set("Romeo", "m0nt4gu3")).await;
    assert_eq!(made.to_bytes(ns::CLIENT), b"<iq type='result' id='r'/>");
    let account = server.account("romeo@example.org").await.unwrap();
    assert_eq!(account.credentials.scram.len(), 3);
    let salts: std::collections::HashSet<_> = account
        .credentials
        .scram
        .iter()
        .map(|keys| &keys.salt)
        .collect();
    assert_eq!(salts.len(), 3);
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let auth = STANDARD.encode(plain(None, "romeo", "m0nt4gu3"));
    assert!(
        peer.ask(&format!(
            "<auth xmlns='{}' mechanism='PLAIN'>{auth}</auth>",
            ns::SASL
        ))
        .await
        .is("success", ns::SASL)
    );
}

/// Whoever took a name that is configured as an administrator's would be one.
#[tokio::test]
async fn names_of_administrators_are_not_to_be_had() {
    let security = Security::StartTls { required: true };
    let server = Server::with(security, |config| {
        config.admins = vec![xmpp::BareJid::parse("boss@example.org").unwrap()];
    })
    .await;
    let (mut peer, _) = server.secured().await;
    for name in ["boss", "BOSS"] {
        let answer = peer.ask(&set(name, "x")).await;
        assert_eq!(condition(&answer).as_deref(), Some("conflict"), "{name}");
    }
    assert_eq!(server.account("boss@example.org").await, None);
    let made = peer.ask(&set("bosses", "x")).await;
    assert_eq!(made.attr("type"), Some("result"));
}

#[tokio::test]
async fn refusals_name_their_condition() {
    let server = Server::start().await;
    let (mut peer, _) = server.secured().await;
    let check = async |peer: &mut Peer, iq: &str, expected: &str| {
        let answer = peer.ask(iq).await;
        assert_eq!(
            (answer.attr("type"), condition(&answer).as_deref()),
            (Some("error"), Some(expected)),
            "{iq}"
        );
    };
    check(&mut peer, &set("juliet", "other"), "conflict").await;
    check(&mut peer, &set("JULIET", "other"), "conflict").await;
    check(&mut peer, &set("", "x"), "not-acceptable").await;
    check(&mut peer, &set("romeo", ""), "not-acceptable").await;
    check(
        &mut peer,
        &set("romeo", &"x".repeat(1_024)),
        "not-acceptable",
    )
    .await;
    check(&mut peer, &set("ro meo", "x"), "jid-malformed").await;
    check(&mut peer, &set("romeo@example.org", "x"), "jid-malformed").await;
    check(
        &mut peer,
        "<iq type='set' id='r'><query xmlns='jabber:iq:register'><remove/></query></iq>",
        "registration-required",
    )
    .await;
    check(
        &mut peer,
        "<iq type='set' id='r' to='example.net'><query xmlns='jabber:iq:register'/></iq>",
        "not-allowed",
    )
    .await;
    check(
        &mut peer,
        "<iq type='result' id='r'><query xmlns='jabber:iq:register'/></iq>",
        "bad-request",
    )
    .await;
    peer.send(&set("romeo", "x")).await;
    assert_eq!(
        peer.error().await,
        Condition::PolicyViolation.as_str(),
        "ten requests are enough"
    );
    // Clients by RFC 5802 could not log in with it.
    let (mut peer, _) = server.secured().await;
    check(&mut peer, &set("romeo", "IX\u{AD}x"), "not-acceptable").await;
    assert!(server.account("romeo@example.org").await.is_none());
}

#[tokio::test]
async fn connection_and_address_make_few_accounts() {
    let server = Server::with(Security::StartTls { required: true }, |config| {
        config.registration.per_hour = 2
    })
    .await;
    let (mut peer, _) = server.secured().await;
    assert_eq!(
        condition(&peer.ask(&set("juliet", "x")).await).as_deref(),
        Some("conflict"),
        "counts not"
    );
    assert_eq!(condition(&peer.ask(&set("a", "x")).await), None);
    assert_eq!(
        condition(&peer.ask(&set("b", "x")).await).as_deref(),
        Some("not-acceptable"),
        "one a connection"
    );
    assert_eq!(
        condition(&server.secured().await.0.ask(&set("b", "x")).await),
        None
    );
    let refused = server.secured().await.0.ask(&set("c", "x")).await;
    assert_eq!(condition(&refused).as_deref(), Some("resource-constraint"));
    assert_eq!(
        refused.child("error", ns::CLIENT).unwrap().attr("type"),
        Some("wait")
    );
    assert!(server.account("c@example.org").await.is_none());
}

#[tokio::test]
async fn disabled_registration_is_not_offered() {
    let server = Server::with(Security::StartTls { required: true }, |config| {
        config.registration.enabled = false
    })
    .await;
    let (mut peer, features) = server.secured().await;
    assert!(features.child("register", ns::REGISTER_FEATURE).is_none());
    let get = peer
        .ask("<iq type='get' id='g'><query xmlns='jabber:iq:register'/></iq>")
        .await;
    assert_eq!(condition(&get).as_deref(), Some("service-unavailable"));
    assert_eq!(
        condition(&peer.ask(&set("romeo", "x")).await).as_deref(),
        Some("not-allowed")
    );
    assert!(server.account("romeo@example.org").await.is_none());
}
