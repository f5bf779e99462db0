//! Authentication by RFC 6120 §6, then binding by §7.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use starling::config::Security;
use storage::{Error, ErrorKind, repository::Credentials};
use xmpp::{
    BareJid, Element, StreamErrorCondition as Condition, ns,
    sasl::{
        BindingOffer, BindingType, ClientBinding, ClientError, Hash, Mechanism, ScramClient,
        client::plain, downgrade_hash,
    },
};

use crate::{peer::Peer, server::Server};

const SASL: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";

/// `<auth/>` with an initial response.
pub(crate) fn auth(mechanism: &str, initial: &[u8]) -> String {
    format!(
        "<auth {SASL} mechanism='{mechanism}'>{}</auth>",
        STANDARD.encode(initial)
    )
}

pub(crate) fn plain_auth(username: &str, password: &str) -> String {
    auth("PLAIN", &plain(None, username, password))
}

fn data(element: &Element) -> Vec<u8> {
    STANDARD.decode(element.text()).unwrap()
}

/// The condition of a `<failure/>`.
pub(crate) fn failure(element: &Element) -> String {
    assert_eq!(element.name(), "failure", "{element:?}");
    let condition = element.children().next().unwrap();
    assert_eq!(condition.ns(), ns::SASL);
    condition.name().to_owned()
}

/// One exchange of SCRAM, to `<success/>` or `<failure/>`.
async fn scram(peer: &mut Peer, client: &mut ScramClient, mechanism: &str) -> Element {
    let challenge = peer.ask(&auth(mechanism, &client.first())).await;
    if challenge.name() != "challenge" {
        return challenge;
    }
    let response = client.response(&data(&challenge)).unwrap();
    let answer = peer
        .ask(&format!(
            "<response {SASL}>{}</response>",
            STANDARD.encode(response)
        ))
        .await;
    if answer.name() == "success" {
        client.check(&data(&answer)).unwrap();
    }
    answer
}

/// A login of juliet's without channel binding, to `<success/>` or `<failure/>`.
pub(crate) async fn scram_login(server: &Server, hash: Hash) -> Element {
    let mut peer = server.secured().await.0;
    let mut client = ScramClient::new(hash, "juliet", "r0m30", "nonce", ClientBinding::Unsupported);
    let mechanism = Mechanism::Scram { hash, plus: false };
    scram(&mut peer, &mut client, mechanism.as_str()).await
}

fn offered(features: &Element, ns: &str) -> Vec<String> {
    let list = if ns == ns::SASL {
        "mechanisms"
    } else {
        "authentication"
    };
    let list = features.child(list, ns).unwrap();
    list.children()
        .filter(|it| it.name() == "mechanism")
        .map(Element::text)
        .collect()
}

#[tokio::test]
async fn every_scram_mechanism_logs_in() {
    let server = Server::start().await;
    for hash in Hash::ALL {
        for plus in [false, true] {
            let (mut peer, features) = server.secured().await;
            let mechanism = Mechanism::Scram { hash, plus };
            let names = offered(&features, ns::SASL);
            let binding = match plus {
                true => ClientBinding::Used(BindingType::Exporter, peer.exporter.clone()),
                false => ClientBinding::Unsupported,
            };
            let known = BindingOffer {
                exporter: true,
                server_end_point: true,
            };
            let downgrade = downgrade_hash(hash, names.iter().map(String::as_str), known);
            let mut client = ScramClient::new(hash, "Juliet", "r0m30", "nonce", binding)
                .with_downgrade_hash(downgrade);
            let answer = scram(&mut peer, &mut client, mechanism.as_str()).await;
            assert!(answer.is("success", ns::SASL), "{mechanism}: {answer:?}");
            let features = peer.open().await;
            assert!(
                features.child("bind", ns::BIND).is_some()
                    && features.child("mechanisms", ns::SASL).is_none()
            );
        }
    }
    assert_eq!(server.logins("success"), 6);
}

#[tokio::test]
async fn shortened_offer_is_noticed() {
    let server = Server::start().await;
    let (mut peer, _) = server.secured().await;
    let hash = downgrade_hash(
        Hash::Sha256,
        ["PLAIN", "SCRAM-SHA-256"],
        BindingOffer::default(),
    );
    let mut client = ScramClient::new(
        Hash::Sha256,
        "juliet",
        "r0m30",
        "nonce",
        ClientBinding::Unsupported,
    )
    .with_downgrade_hash(hash);
    let challenge = peer.ask(&auth("SCRAM-SHA-256", &client.first())).await;
    assert_eq!(
        client.response(&data(&challenge)),
        Err(ClientError::Downgrade)
    );
    // The other way round: the client says that nothing was offered.
    let mut peer = server.secured().await.0;
    let mut client = ScramClient::new(
        Hash::Sha256,
        "juliet",
        "r0m30",
        "nonce",
        ClientBinding::NotOffered,
    );
    assert_eq!(
        failure(&scram(&mut peer, &mut client, "SCRAM-SHA-256").await),
        "not-authorized"
    );
    // Somebody else's channel.
    let mut peer = server.secured().await.0;
    let binding = ClientBinding::Used(BindingType::Exporter, vec![7; 32]);
    let mut client = ScramClient::new(Hash::Sha256, "juliet", "r0m30", "nonce", binding);
    assert_eq!(
        failure(&scram(&mut peer, &mut client, "SCRAM-SHA-256-PLUS").await),
        "not-authorized"
    );
}

#[tokio::test]
async fn plain_logs_in_and_binds() {
    let server = Server::start().await;
    let (mut peer, _) = server.secured().await;
    assert_eq!(
        peer.ask(&plain_auth("juliet", "r0m30"))
            .await
            .to_bytes(ns::SASL),
        b"<success/>"
    );
    peer.open().await;
    let bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>balcony</resource></bind>";
    let bound = peer
        .ask(&format!("<iq type='set' id='b1'>{bind}</iq>"))
        .await;
    assert_eq!(
        (bound.attr("type"), bound.attr("id")),
        (Some("result"), Some("b1"))
    );
    let jid = bound.child("bind", ns::BIND).unwrap().child_text("jid");
    assert_eq!(jid.as_deref(), Some("juliet@example.org/balcony"));
}

#[tokio::test]
async fn initial_response_may_come_later() {
    let server = Server::start().await;
    let (mut peer, _) = server.secured().await;
    let challenge = peer.ask(&format!("<auth {SASL} mechanism='PLAIN'/>")).await;
    assert!(challenge.is("challenge", ns::SASL) && challenge.text().is_empty());
    let response = STANDARD.encode(plain(None, "juliet", "r0m30"));
    assert!(
        peer.ask(&format!("<response {SASL}>{response}</response>"))
            .await
            .is("success", ns::SASL)
    );
}

#[tokio::test]
async fn failures_name_their_condition() {
    let server = Server::start().await;
    let check = async |auth: &str, expected: &str| {
        let (mut peer, _) = server.secured().await;
        assert_eq!(failure(&peer.ask(auth).await), expected, "{auth}");
        // The stream is as it was.
        assert!(
            peer.ask(&plain_auth("juliet", "r0m30"))
                .await
                .is("success", ns::SASL)
        );
    };
    check(&plain_auth("juliet", "wrong"), "not-authorized").await;
    check(&plain_auth("nobody", "r0m30"), "not-authorized").await;
    check(&plain_auth("juliet@example.org", "r0m30"), "not-authorized").await;
    check(
        &auth(
            "PLAIN",
            &plain(Some("romeo@example.org"), "juliet", "r0m30"),
        ),
        "invalid-authzid",
    )
    .await;
    check(
        &auth(
            "PLAIN",
            &plain(Some("romeo@example.org"), "juliet", "wrong"),
        ),
        "not-authorized",
    )
    .await;
    check(&auth("PLAIN", b"juliet"), "malformed-request").await;
    check(
        &format!("<auth {SASL} mechanism='PLAIN'>=</auth>"),
        "malformed-request",
    )
    .await;
    check(
        &format!("<auth {SASL} mechanism='PLAIN'>!</auth>"),
        "incorrect-encoding",
    )
    .await;
    check(
        &format!("<auth {SASL} mechanism='DIGEST-MD5'/>"),
        "invalid-mechanism",
    )
    .await;
    check(
        &format!("<auth {SASL} mechanism='EXTERNAL'>=</auth>"),
        "invalid-mechanism",
    )
    .await;
    check(
        &format!("<auth {SASL} mechanism='HT-SHA-256-NONE'>=</auth>"),
        "invalid-mechanism",
    )
    .await;
    check(&format!("<auth {SASL}/>"), "invalid-mechanism").await;
}

#[tokio::test]
async fn authzid_may_be_oneself() {
    let server = Server::start().await;
    let (mut peer, _) = server.secured().await;
    assert!(
        peer.ask(&auth(
            "PLAIN",
            &plain(Some("Juliet@example.org"), "juliet", "r0m30")
        ))
        .await
        .is("success", ns::SASL)
    );
}

#[tokio::test]
async fn unknown_account_looks_like_a_wrong_password() {
    let server = Server::start().await;
    let (mut peer, _) = server.secured().await;
    let mut salts = Vec::new();
    for name in ["nobody", "NoBody", "somebody"] {
        let client = ScramClient::new(Hash::Sha256, name, "x", "nonce", ClientBinding::Unsupported);
        let challenge = String::from_utf8(data(
            &peer.ask(&auth("SCRAM-SHA-256", &client.first())).await,
        ))
        .unwrap();
        let fields: Vec<_> = challenge
            .split(',')
            .map(|it| it.split_once('=').unwrap())
            .collect();
        assert_eq!(fields[2], ("i", "4096"));
        salts.push(fields[1].1.to_owned());
        assert_eq!(
            failure(&peer.ask(&format!("<abort {SASL}/>")).await),
            "aborted"
        );
    }
    assert_eq!(salts[0], salts[1], "the same each time, whatever the case");
    assert_ne!(salts[0], salts[2]);
    let mut client = ScramClient::new(
        Hash::Sha256,
        "nobody",
        "x",
        "nonce",
        ClientBinding::Unsupported,
    );
    assert_eq!(
        failure(&scram(&mut peer, &mut client, "SCRAM-SHA-256").await),
        "not-authorized"
    );
}

#[tokio::test]
async fn stream_allows_five_failures() {
    let server = Server::start().await;
    let (mut peer, _) = server.secured().await;
    for _ in 0..5 {
        assert_eq!(
            failure(&peer.ask(&plain_auth("juliet", "wrong")).await),
            "not-authorized"
        );
    }
    assert_eq!(peer.error().await, Condition::PolicyViolation.as_str());
    assert_eq!(server.logins("not_authorized"), 5);
}

#[tokio::test]
async fn address_that_failed_often_has_to_wait() {
    let server = Server::with(Security::StartTls { required: true }, |config| {
        config.auth.attempts = 3
    })
    .await;
    let (mut peer, _) = server.secured().await;
    for _ in 0..3 {
        assert_eq!(
            failure(&peer.ask(&plain_auth("juliet", "wrong")).await),
            "not-authorized"
        );
    }
    // Whoever it is now, and with the right password too.
    for mut peer in [peer, server.secured().await.0] {
        peer.send(&plain_auth("juliet", "r0m30")).await;
        assert_eq!(peer.error().await, Condition::PolicyViolation.as_str());
    }
}

#[tokio::test]
async fn exchange_takes_nothing_but_its_own() {
    let server = Server::start().await;
    for element in [
        "<presence/>",
        "<response xmlns='urn:xmpp:sasl:2'/>",
        &plain_auth("juliet", "r0m30"),
    ] {
        let (mut peer, _) = server.secured().await;
        assert!(
            peer.ask(&format!("<auth {SASL} mechanism='PLAIN'/>"))
                .await
                .is("challenge", ns::SASL)
        );
        peer.send(element).await;
        assert_eq!(
            peer.error().await,
            Condition::NotAuthorized.as_str(),
            "{element}"
        );
    }
}

#[tokio::test]
async fn disabled_account_is_told_so_after_its_password() {
    let server = Server::start().await;
    let version = server.account("juliet@example.org").await.unwrap().version;
    let juliet = BareJid::parse("juliet@example.org").unwrap();
    server
        .router
        .stores
        .accounts
        .set_disabled(&juliet, true, version)
        .await
        .unwrap();
    let (mut peer, _) = server.secured().await;
    assert_eq!(
        failure(&peer.ask(&plain_auth("juliet", "wrong")).await),
        "not-authorized"
    );
    assert_eq!(
        failure(&peer.ask(&plain_auth("juliet", "r0m30")).await),
        "account-disabled"
    );
}

#[tokio::test]
async fn anonymous_gets_an_account_of_its_own() {
    let server = Server::with(Security::StartTls { required: true }, |config| {
        config.auth.mechanisms.push(Mechanism::Anonymous)
    })
    .await;
    let mut accounts = Vec::new();
    for _ in 0..2 {
        let (mut peer, features) = server.secured().await;
        assert!(offered(&features, ns::SASL).contains(&"ANONYMOUS".to_owned()));
        assert!(
            peer.ask(&auth("ANONYMOUS", b"trace"))
                .await
                .is("success", ns::SASL)
        );
        peer.open().await;
        let bound = peer
            .ask("<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
            .await;
        let jid = bound
            .child("bind", ns::BIND)
            .unwrap()
            .child_text("jid")
            .unwrap();
        let account = jid.split_once('/').unwrap().0.to_owned();
        assert!(account.ends_with("@example.org") && server.account(&account).await.is_none());
        accounts.push(account);
    }
    assert_ne!(accounts[0], accounts[1]);
}

#[tokio::test]
async fn restart_must_be_for_the_same_account() {
    let server = Server::start().await;
    for more in ["from='romeo@example.org'", "from='juliet@example.net'"] {
        let (mut peer, _) = server.secured().await;
        peer.ask(&plain_auth("juliet", "r0m30")).await;
        peer.header(&crate::peer::header(more)).await;
        assert_eq!(
            peer.error().await,
            Condition::InvalidFrom.as_str(),
            "{more}"
        );
    }
    let (mut peer, _) = server.secured().await;
    peer.ask(&plain_auth("juliet", "r0m30")).await;
    peer.header(&crate::peer::header("from='juliet@example.org/balcony'"))
        .await;
    assert!(peer.element().await.is("features", ns::STREAM));
}

#[tokio::test]
async fn binding_tells_what_is_wrong() {
    let server = Server::start().await;
    let (mut peer, _) = server.secured().await;
    peer.ask(&plain_auth("juliet", "r0m30")).await;
    peer.open().await;
    let bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
    let check = async |peer: &mut Peer, iq: &str, expected: &str| {
        let answer = peer.ask(iq).await;
        assert_eq!(answer.attr("type"), Some("error"), "{iq}");
        let error = answer.child("error", ns::CLIENT).unwrap();
        assert_eq!(error.children().next().unwrap().name(), expected, "{iq}");
    };
    check(
        &mut peer,
        &format!("<iq type='get' id='1'>{bind}</iq>"),
        "bad-request",
    )
    .await;
    check(
        &mut peer,
        &format!("<iq type='set'>{bind}</iq>"),
        "bad-request",
    )
    .await;
    let odd = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>&#xFFFE;</resource></bind>"
        .replace("&#xFFFE;", "\u{378}");
    check(
        &mut peer,
        &format!("<iq type='set' id='1'>{odd}</iq>"),
        "bad-request",
    )
    .await;
    for (element, condition) in [
        ("<enable xmlns='urn:xmpp:sm:3'/>", "unexpected-request"),
        ("<resume xmlns='urn:xmpp:sm:3'/>", "bad-request"),
        (
            "<resume xmlns='urn:xmpp:sm:3' previd='x' h='-1'/>",
            "bad-request",
        ),
        (
            "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>",
            "item-not-found",
        ),
    ] {
        let failed = peer.ask(element).await;
        assert!(
            failed.is("failed", ns::SM) && failed.child(condition, ns::STANZA_ERRORS).is_some(),
            "{failed:?}"
        );
    }
    let empty = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource/></bind>";
    let bound = peer
        .ask(&format!("<iq type='set' id='1'>{empty}</iq>"))
        .await;
    assert_eq!(
        bound.attr("type"),
        Some("result"),
        "an empty resource is made up"
    );
}

#[tokio::test]
async fn stanzas_wait_for_a_resource() {
    let server = Server::start().await;
    let (mut peer, _) = server.secured().await;
    peer.ask(&plain_auth("juliet", "r0m30")).await;
    peer.open().await;
    peer.send("<presence/>").await;
    assert_eq!(peer.error().await, Condition::NotAuthorized.as_str());
}

#[tokio::test]
async fn account_without_keys_for_a_hash_uses_another() {
    let server = Server::start().await;
    let account = server.account("juliet@example.org").await.unwrap();
    let only = account
        .credentials
        .scram
        .into_iter()
        .filter(|keys| keys.hash.name() == "SHA-1")
        .collect();
    let juliet = BareJid::parse("juliet@example.org").unwrap();
    server
        .router
        .stores
        .accounts
        .set_credentials(&juliet, Credentials { scram: only }, account.version)
        .await
        .unwrap();
    let (mut peer, _) = server.secured().await;
    let mut client = ScramClient::new(
        Hash::Sha256,
        "juliet",
        "r0m30",
        "nonce",
        ClientBinding::Unsupported,
    );
    assert_eq!(
        failure(&scram(&mut peer, &mut client, "SCRAM-SHA-256").await),
        "not-authorized"
    );
    let mut client = ScramClient::new(
        Hash::Sha1,
        "juliet",
        "r0m30",
        "nonce",
        ClientBinding::Unsupported,
    );
    assert_eq!(
        scram(&mut peer, &mut client, "SCRAM-SHA-1").await.name(),
        "success"
    );
    assert!(
        server
            .secured()
            .await
            .0
            .ask(&plain_auth("juliet", "r0m30"))
            .await
            .is("success", ns::SASL)
    );
}

#[tokio::test]
async fn broken_store_is_no_wrong_password() {
    let server = Server::start().await;
    let (mut peer, _) = server.secured().await;
    *server.fault.lock() = Some(Error::new(ErrorKind::Unavailable, "down"));
    assert_eq!(
        failure(&peer.ask(&plain_auth("juliet", "r0m30")).await),
        "temporary-auth-failure"
    );
    let client = ScramClient::new(
        Hash::Sha256,
        "juliet",
        "r0m30",
        "nonce",
        ClientBinding::Unsupported,
    );
    assert_eq!(
        failure(&peer.ask(&auth("SCRAM-SHA-256", &client.first())).await),
        "temporary-auth-failure"
    );
    *server.fault.lock() = None;
    assert!(
        peer.ask(&plain_auth("juliet", "r0m30"))
            .await
            .is("success", ns::SASL)
    );
    assert_eq!(server.logins("temporary"), 2);
}
