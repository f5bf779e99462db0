//! A domain whose accounts are another system's: `example.net`, whose passwords a service verifies. What it does not keep
//! (tokens, what accounts own) is in our own table.

use std::sync::Arc;

use reference_service::{Options, Service};
use starling::config::Security;
use storage::{
    SystemClock,
    repository::{AccountRepository, ByDomain, ShadowedAccounts},
};
use storage_external::http::{Http, HttpAccountOptions, HttpAccounts, HttpOptions};
use xmpp::{
    BareJid, Element, ns,
    sasl::{Hash, client::plain, ht},
};

use crate::{
    login::{auth, failure, plain_auth},
    peer::Peer,
    sasl2::{authenticate, identifier},
    server::Server,
};

const DOMAIN: &str = "example.net";
const TLS: Security = Security::StartTls { required: true };

fn bob() -> BareJid {
    BareJid::parse("bob@example.net").unwrap()
}

async fn server() -> (Server, Service) {
    let service = Service::start(Options::default()).await.unwrap();
    let known = service.accounts();
    known.create(&bob(), Default::default(), 1).await.unwrap();
    service.set_password(&bob(), "c4n1n3", "right");
    let options = HttpOptions {
        url: service.url(),
        attempts: 1,
        ..HttpOptions::default()
    };
    let http = Http::new(&options).unwrap();
    let authority = Arc::new(HttpAccounts::new(&http, HttpAccountOptions::default()));
    let server = Server::with_stores(
        TLS,
        |_| {},
        |stores| {
            let shadows = stores.accounts.clone();
            let theirs = ShadowedAccounts::new(authority, shadows.clone(), Arc::new(SystemClock));
            let theirs: Arc<dyn AccountRepository> = Arc::new(theirs);
            stores.accounts = Arc::new(ByDomain::<dyn AccountRepository>::new(
                [(DOMAIN.to_owned(), theirs)],
                shadows,
            ));
        },
    );
    (server.await, service)
}

async fn secured(server: &Server) -> (Peer, Element) {
    let mut peer = Peer::starttls(server.address, None).await;
    let header = crate::peer::header("").replace("example.org", DOMAIN);
    peer.header(&header).await;
    let features = peer.element().await;
    (peer, features)
}

fn mechanisms(features: &Element) -> Vec<String> {
    let list = features.child("mechanisms", ns::SASL).unwrap();
    list.children().map(Element::text).collect()
}

#[tokio::test]
async fn only_what_its_accounts_can_do_is_offered() {
    let (server, _service) = server().await;
    let (mut peer, features) = secured(&server).await;
    assert_eq!(mechanisms(&features), ["PLAIN"]);
    assert!(features.child("register", ns::REGISTER_FEATURE).is_none());
    let sasl2 = features.child("authentication", ns::SASL2).unwrap();
    assert!(sasl2.child("upgrade", ns::SASL_UPGRADE).is_none());
    let set = "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>ann</username>\
               <password>c4n1n3</password></query></iq>";
    let answer = peer.ask(set).await;
    let error = answer.child("error", ns::CLIENT).unwrap();
    let condition = error.children().next().unwrap().name();
    assert_eq!(condition, "not-allowed");
    let scram = auth("SCRAM-SHA-1", b"n,,n=bob,r=nonce");
    assert_eq!(failure(&peer.ask(&scram).await), "invalid-mechanism");
    // Beside it nothing has changed.
    let (_, features) = server.secured().await;
    assert!(mechanisms(&features).len() > 1);
    assert!(features.child("register", ns::REGISTER_FEATURE).is_some());
}

#[tokio::test]
async fn the_system_says_whose_password_is_right() {
    let (server, mut service) = server().await;
    let check = async |name: &str, password: &str, expected: &str| {
        let (mut peer, _) = secured(&server).await;
        let answer = peer.ask(&plain_auth(name, password)).await;
        match expected {
            "success" => assert!(answer.is("success", ns::SASL), "{answer:?}"),
            expected => assert_eq!(failure(&answer), expected, "{name} {password:?}"),
        }
    };
    check("Bob", "c4n1n3", "success").await;
    check("bob", "wrong", "not-authorized").await;
    check("nobody", "c4n1n3", "not-authorized").await;
    // Juliet is of another domain.
    check("juliet", "r0m30", "not-authorized").await;
    service.set_password(&bob(), "c4n1n3", "disabled");
    check("bob", "c4n1n3", "account-disabled").await;
    service.set_password(&bob(), "c4n1n3", "expired");
    check("bob", "c4n1n3", "credentials-expired").await;
    check("bob", "wrong", "not-authorized").await;
    service.set_password(&bob(), "c4n1n3", "right");
    service.stop();
    check("bob", "c4n1n3", "temporary-auth-failure").await;
    check("bob", "wrong", "temporary-auth-failure").await;
    check("nobody", "wrong", "temporary-auth-failure").await;
    service.restart().await.unwrap();
    check("bob", "c4n1n3", "success").await;
}

#[tokio::test]
async fn what_a_system_does_not_keep_is_kept_here() {
    let (server, service) = server().await;
    let (mut peer, _) = secured(&server).await;
    let wanted = "<bind xmlns='urn:xmpp:bind:0'/><request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>";
    let login = authenticate("PLAIN", &plain(None, "bob", "c4n1n3"), wanted);
    let success = peer.ask(&login).await;
    assert!(identifier(&success).starts_with("bob@example.net/"));
    let token = success
        .child("token", ns::FAST)
        .unwrap()
        .attr("token")
        .unwrap();
    let by_token = async || {
        let (mut peer, _) = secured(&server).await;
        let message = ht::initiator(Hash::Sha256, "bob", token.as_bytes(), b"");
        let inline = "<bind xmlns='urn:xmpp:bind:0'/><fast xmlns='urn:xmpp:fast:0'/>";
        peer.ask(&authenticate("HT-SHA-256-NONE", &message, inline))
            .await
    };
    assert!(by_token().await.is("success", ns::SASL2));
    // Whoever is gone there is gone here.
    assert!(service.accounts().remove(&bob()).await.unwrap());
    assert_eq!(failure(&by_token().await), "not-authorized");
}
