//! Accounts that change while somebody logs in or is logged in, and those that are stored nowhere.

use std::time::Duration;

use starling::{
    c2s::register::create_account,
    config::Security,
    modules::register::{Accounts, Way},
};
use xmpp::{BareJid, Element, ns, sasl::Mechanism};

use crate::{
    login::{auth, plain_auth},
    peer::Peer,
    server::Server,
};

const BIND: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";

fn juliet() -> BareJid {
    BareJid::parse("juliet@example.org").unwrap()
}

/// Who has proved to be juliet and has no resource yet.
async fn proven(server: &Server, password: &str) -> Peer {
    let (mut peer, _) = server.secured().await;
    let answer = peer.ask(&plain_auth("juliet", password)).await;
    assert!(answer.is("success", ns::SASL), "{answer:?}");
    peer.open().await;
    peer
}

/// A session, with its address.
async fn bound(peer: &mut Peer) -> String {
    let answer = peer.ask(BIND).await;
    let bind = answer.child("bind", ns::BIND);
    let bind = bind.unwrap_or_else(|| panic!("{answer:?}"));
    bind.child_text("jid").unwrap()
}

fn condition(answer: &Element) -> &str {
    let error = answer.child("error", ns::CLIENT);
    let error = error.unwrap_or_else(|| panic!("{answer:?}"));
    error.children().next().unwrap().name()
}

#[tokio::test]
async fn what_is_pipelined_behind_a_removal_is_not_done() {
    let server = Server::start().await;
    let stores = &server.router.stores;
    for round in 0..20 {
        let mut peer = proven(&server, "r0m30").await;
        let jid = bound(&mut peer).await;
        peer.send(
            "<iq type='set' id='remove'><query xmlns='jabber:iq:register'><remove/></query></iq>\
             <iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='eve@example.org'/></query></iq>\
             <presence type='subscribed' to='eve@example.org'/>\
             <iq type='set' id='2'><vCard xmlns='vcard-temp'><FN>Eve</FN></vCard></iq>\
             <iq type='set' id='3'><query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query></iq>\
             <iq type='set' id='4'><query xmlns='jabber:iq:privacy'><list name='a'>\
             <item action='allow' order='1'/></list></query></iq>\
             <iq type='set' id='5'><prefs xmlns='urn:xmpp:mam:2' default='never'/></iq>\
             <message to='juliet@example.org' type='chat' id='m'><body>for the next</body></message>",
        )
        .await;
        let answer = peer.element().await;
        assert_eq!(
            (answer.attr("id"), answer.attr("type")),
            (Some("remove"), Some("result")),
            "round {round} of {jid}"
        );
        assert_eq!(peer.error().await, "not-authorized");
        create_account(&server.router, "juliet", "example.org", "r0m30")
            .await
            .unwrap();
        let juliet = juliet();
        assert_eq!(stores.rosters.load(&juliet).await.unwrap().items, []);
        assert_eq!(stores.vcards.get(&juliet).await.unwrap(), None);
        assert_eq!(stores.private.list(&juliet).await.unwrap(), []);
        let lists = stores.privacy.load(&juliet).await.unwrap().lists;
        assert!(lists.is_empty());
        let preferences = stores.archive_preferences.load(&juliet).await.unwrap();
        assert_eq!(preferences, None);
        assert_eq!(stores.logs.head(&juliet).await.unwrap(), 0);
        assert!(server.router.entries(juliet.as_str()).is_empty());
    }
}

/// Another resource does not read what it is sent, and others write to the account all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_under_way_reaches_the_next_owner() {
    let server = Server::start().await;
    let router = &server.router;
    create_account(router, "romeo", "example.org", "x")
        .await
        .unwrap();
    let (mut romeo, _) = server.secured().await;
    romeo.ask(&plain_auth("romeo", "x")).await;
    romeo.open().await;
    bound(&mut romeo).await;
    let message =
        "<message to='juliet@example.org' type='chat'><body>to the first</body></message>";
    for round in 0..10 {
        let mut phone = proven(&server, "r0m30").await;
        bound(&mut phone).await;
        phone.send("<presence/>").await;
        let mut peer = proven(&server, "r0m30").await;
        bound(&mut peer).await;
        romeo.send(&message.repeat(30)).await;
        let answer = peer
            .ask("<iq type='set' id='r'><query xmlns='jabber:iq:register'><remove/></query></iq>")
            .await;
        assert_eq!(answer.attr("type"), Some("result"), "{answer:?}");
        // Whatever was sent to the first has been dealt with when this is answered.
        romeo
            .send(&format!(
                "<iq type='get' id='{round}' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>"
            ))
            .await;
        while romeo.element().await.attr("id") != Some(&round.to_string()) {}
        create_account(router, "juliet", "example.org", "r0m30")
            .await
            .unwrap();
        assert_eq!(
            router.stores.logs.head(&juliet()).await.unwrap(),
            0,
            "round {round}"
        );
    }
}

#[tokio::test]
async fn a_proof_is_void_once_the_account_has_changed() {
    let server = Server::start().await;
    let router = server.router.clone();
    let accounts: &Accounts = &router.accounts();
    let cx = &router.context();
    let remake = async |password: &str| {
        let way = Way::Running(cx);
        accounts.create(&juliet(), password, way).await.unwrap();
    };

    let mut peer = proven(&server, "r0m30").await;
    accounts
        .set_disabled(&juliet(), true, None, cx)
        .await
        .unwrap();
    peer.send(BIND).await;
    assert_eq!(peer.error().await, "not-authorized", "locked");
    accounts
        .set_disabled(&juliet(), false, None, cx)
        .await
        .unwrap();

    let mut peer = proven(&server, "r0m30").await;
    accounts.set_password(&juliet(), "other").await.unwrap();
    peer.send(BIND).await;
    assert_eq!(peer.error().await, "not-authorized", "other keys");

    let mut peer = proven(&server, "other").await;
    accounts
        .remove(&juliet(), None, Way::Running(cx))
        .await
        .unwrap();
    peer.send(BIND).await;
    assert_eq!(peer.error().await, "not-authorized", "removed");
    remake("other").await;

    let mut peer = proven(&server, "other").await;
    accounts
        .remove(&juliet(), None, Way::Running(cx))
        .await
        .unwrap();
    remake("other").await;
    peer.send(BIND).await;
    assert_eq!(peer.error().await, "not-authorized", "somebody else's");
    assert!(router.entries("juliet@example.org").is_empty());

    bound(&mut proven(&server, "other").await).await;
}

async fn anonymous(server: &Server) -> (Peer, String) {
    let (mut peer, _) = server.secured().await;
    let answer = peer.ask(&auth("ANONYMOUS", b"trace")).await;
    assert!(answer.is("success", ns::SASL));
    peer.open().await;
    let jid = bound(&mut peer).await;
    (peer, jid)
}

/// XEP-0175: they can talk and be answered, and leave nothing behind.
#[tokio::test]
async fn anonymous_users_talk_and_store_nothing() {
    let server = Server::with(Security::StartTls { required: true }, |config| {
        config.auth.mechanisms.push(Mechanism::Anonymous)
    })
    .await;
    let (mut one, first) = anonymous(&server).await;
    let (mut other, second) = anonymous(&server).await;
    let bare = |jid: &str| jid.split_once('/').unwrap().0.to_owned();

    for (n, write) in [
        "<query xmlns='jabber:iq:roster'><item jid='eve@example.org'/></query>",
        "<vCard xmlns='vcard-temp'><FN>Eve</FN></vCard>",
        "<query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query>",
        "<query xmlns='jabber:iq:privacy'><list name='a'><item action='allow' order='1'/></list></query>",
        "<block xmlns='urn:xmpp:blocking'><item jid='eve@example.org'/></block>",
        "<prefs xmlns='urn:xmpp:mam:2' default='never'><always/><never/></prefs>",
    ]
    .iter()
    .enumerate()
    {
        let answer = one.ask(&format!("<iq type='set' id='w{n}'>{write}</iq>")).await;
        assert_eq!(condition(&answer), "not-allowed", "{write}");
    }
    one.send("<presence/>").await;
    assert!(one.element().await.is("presence", ns::CLIENT), "its own");
    for to in [first.clone(), bare(&first)] {
        let message = format!("<message to='{to}' type='chat' id='m'><body>hello</body></message>");
        other.send(&message).await;
        let got = one.element().await;
        assert_eq!(got.attr("from"), Some(&*second), "{to}");
    }
    // A request reaches those who are shown that the session is there.
    one.send(&format!("<presence to='{second}'/>")).await;
    assert!(other.element().await.is("presence", ns::CLIENT));
    other
        .send(&format!(
            "<iq type='get' id='q' to='{first}'><query xmlns='jabber:iq:version'/></iq>"
        ))
        .await;
    assert_eq!(one.element().await.attr("id"), Some("q"));
    one.send(&format!("<iq type='result' id='q' to='{second}'/>"))
        .await;
    assert_eq!(other.element().await.attr("type"), Some("result"));

    one.send("<presence type='unavailable'/>").await;
    assert_eq!(
        other.element().await.attr("type"),
        Some("unavailable"),
        "who was told directly"
    );
    let message = format!(
        "<message to='{}' type='chat' id='away'><body>hello</body></message>",
        bare(&first)
    );
    assert_eq!(condition(&other.ask(&message).await), "service-unavailable");
    one.send("</stream:stream>").await;
    while one.next().await.is_some() {}
    assert_eq!(condition(&other.ask(&message).await), "service-unavailable");
    let account = BareJid::parse(&bare(&first)).unwrap();
    let stores = &server.router.stores;
    assert_eq!(stores.logs.head(&account).await.unwrap(), 0);
    assert_eq!(stores.mailboxes.load(&account).await.unwrap().version, 0);
    assert_eq!(stores.rosters.load(&account).await.unwrap().version, 0);
}

/// The node died when a name was marked; the next one goes on, and contacts hear.
#[tokio::test]
async fn a_removal_that_died_is_finished_at_the_next_start() {
    use storage::repository::{Roster, RosterItem, Subscription};
    let server = Server::start().await;
    let stores = &server.router.stores;
    let romeo = BareJid::parse("romeo@example.org").unwrap();
    create_account(&server.router, "romeo", "example.org", "x")
        .await
        .unwrap();
    for (owner, contact) in [(juliet(), romeo.clone()), (romeo.clone(), juliet())] {
        let mut roster = Roster::default();
        roster.put(RosterItem {
            subscription: Subscription::Both,
            ..RosterItem::new(contact)
        });
        stores.rosters.store(&owner, &roster, 0).await.unwrap();
    }
    assert!(stores.accounts.remove(&juliet()).await.unwrap());

    let (accounts, cx) = (server.router.accounts(), server.router.context());
    accounts.finish_removals("example.org", &cx).await.unwrap();
    assert!(!stores.accounts.is_being_removed(&juliet()).await.unwrap());
    assert_eq!(stores.rosters.load(&juliet()).await.unwrap().items, []);
    let told = async {
        loop {
            let roster = stores.rosters.load(&romeo).await.unwrap();
            if roster.items[0].subscription == Subscription::None {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told)
        .await
        .expect("romeo's roster changes");
}
