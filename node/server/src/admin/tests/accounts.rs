//! Accounts made, changed and removed while the node runs and while it does not.

use storage::repository::{Roster, RosterItem, Subscription};

use super::*;
use crate::modules::recorder::bare;

#[tokio::test]
async fn accounts_come_and_go() {
    let live = Arc::new(Recorder::default());
    let admin = administrator(Some(live.clone()));
    let check = async |request, expected: Response| {
        assert_eq!(admin.ask(&socket(), request).await, expected)
    };
    check(add("bob@a.example", "x"), Response::Done).await;
    check(add("Alice@a.example", "x"), Response::Done).await;
    let list = |after: Option<&str>, limit| Request::List {
        domain: "a.example".into(),
        after: after.map(Into::into),
        limit,
        times: false,
    };
    let user = |name: &str| User {
        name: name.into(),
        disabled: false,
        times: None,
    };
    check(
        list(None, 10),
        Response::Users(vec![user("alice"), user("bob")]),
    )
    .await;
    check(list(None, 1), Response::Users(vec![user("alice")])).await;
    check(list(Some("alice"), 1), Response::Users(vec![user("bob")])).await;
    check(
        Request::Kick {
            account: "bob@a.example".into(),
        },
        Response::Ended(2),
    )
    .await;
    check(
        Request::Password {
            account: "bob@a.example".into(),
            password: "y".into(),
        },
        Response::Done,
    )
    .await;
    check(
        Request::Remove {
            account: "bob@a.example".into(),
        },
        Response::Done,
    )
    .await;
    check(list(None, 10), Response::Users(vec![user("alice")])).await;
    let expected = [
        "end bob@a.example: ended by the administrator",
        "end bob@a.example: the password was changed",
    ];
    assert_eq!(*live.0.lock(), expected);
    let expected = [
        "forget bob@a.example",
        "forget alice@a.example",
        "retire bob@a.example",
        "forget bob@a.example",
    ];
    assert_eq!(live.1.take(), expected.join("\n"));
}

/// Both ways of a subscription end at the contact, though no node runs that could tell it.
#[tokio::test]
async fn a_removal_while_the_node_is_down_changes_the_rosters_of_contacts() {
    let admin = administrator(None);
    let (bob, ann) = ("bob@a.example", "ann@a.example");
    let store = async |owner: &str, contacts: &[(&str, Subscription)]| {
        let mut roster = Roster::default();
        for (contact, subscription) in contacts {
            roster.put(RosterItem {
                subscription: *subscription,
                ..RosterItem::new(bare(contact))
            });
        }
        let rosters = &admin.accounts.stores.rosters;
        rosters.store(&bare(owner), &roster, 0).await.unwrap();
    };
    let loaded = async |owner: &str| {
        let roster = admin.accounts.stores.rosters.load(&bare(owner)).await;
        let items = roster.unwrap().items;
        let line = |item: &RosterItem| format!("{} {:?}", item.jid, item.subscription);
        items.iter().map(line).collect::<Vec<_>>()
    };
    for name in [bob, ann] {
        assert_eq!(admin.ask(&socket(), add(name, "x")).await, Response::Done);
    }
    let elsewhere = ("eve@b.example", Subscription::Both);
    let gone = ("gone@a.example", Subscription::To);
    store(bob, &[(ann, Subscription::Both), elsewhere, gone]).await;
    store(ann, &[(bob, Subscription::Both), elsewhere]).await;
    let remove = || Request::Remove {
        account: bob.into(),
    };
    assert_eq!(admin.ask(&socket(), remove()).await, Response::Done);
    assert_eq!(
        loaded(ann).await,
        ["bob@a.example None", "eve@b.example Both"]
    );
    assert_eq!(loaded(bob).await, [""; 0]);
    assert_eq!(
        why(&admin.ask(&socket(), remove()).await),
        Some(Why::Absent)
    );
}

/// The node died when the name was marked and nothing else was done.
#[tokio::test]
async fn a_removal_that_died_is_finished_by_the_next_or_by_who_takes_the_name() {
    for again in [false, true] {
        let admin = administrator(None);
        let (bob, ann) = (bare("bob@a.example"), bare("ann@a.example"));
        let stores = &admin.accounts.stores;
        for (name, other) in [(&bob, &ann), (&ann, &bob)] {
            admin.ask(&socket(), add(name.as_str(), "x")).await;
            let mut roster = Roster::default();
            roster.put(RosterItem {
                subscription: Subscription::Both,
                ..RosterItem::new(other.clone())
            });
            stores.rosters.store(name, &roster, 0).await.unwrap();
        }
        assert!(stores.accounts.remove(&bob).await.unwrap());
        let request = match again {
            true => add("bob@a.example", "y"),
            false => Request::Remove {
                account: "bob@a.example".into(),
            },
        };
        assert_eq!(admin.ask(&socket(), request).await, Response::Done);
        let left = &stores.rosters.load(&ann).await.unwrap().items[0];
        assert_eq!(left.subscription, Subscription::None);
        assert_eq!(stores.rosters.load(&bob).await.unwrap().items, []);
        assert!(!stores.accounts.is_being_removed(&bob).await.unwrap());
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_kind() {
    let admin = administrator(None);
    admin.ask(&socket(), add("bob@a.example", "x")).await;
    let check = async |request, expected: Why| {
        assert_eq!(why(&admin.ask(&socket(), request).await), Some(expected))
    };
    check(add("bob@a.example", "x"), Why::Exists).await;
    check(add("a.example", "x"), Why::Invalid).await;
    check(add("b ob@a.example", "x"), Why::Invalid).await;
    check(add("bob@b.example", "x"), Why::Invalid).await;
    check(add("eve@a.example", ""), Why::Invalid).await;
    check(add("eve@a.example", &"x".repeat(1024)), Why::Invalid).await;
    check(add("eve@a.example", "IX\u{AD}x"), Why::Invalid).await;
    check(
        Request::Password {
            account: "bob@a.example".into(),
            password: "ｆｕｌｌ".into(),
        },
        Why::Invalid,
    )
    .await;
    check(
        Request::Password {
            account: "eve@a.example".into(),
            password: "x".into(),
        },
        Why::Absent,
    )
    .await;
    check(
        Request::Remove {
            account: "eve@a.example".into(),
        },
        Why::Absent,
    )
    .await;
    check(
        Request::Kick {
            account: "bob@a.example".into(),
        },
        Why::NotRunning,
    )
    .await;
    for request in [
        Request::Kick {
            account: "eve@a.example".into(),
        },
        Request::Disable {
            account: "eve@a.example".into(),
        },
        Request::Enable {
            account: "eve@a.example".into(),
        },
    ] {
        check(request, Why::Absent).await;
    }
}

#[tokio::test]
async fn an_account_is_locked_and_unlocked_and_the_list_says_so() {
    let live = Arc::new(Recorder::default());
    let admin = administrator(Some(live.clone()));
    admin.ask(&socket(), add("bob@a.example", "x")).await;
    live.0.lock().clear();
    let account = || "bob@a.example".to_owned();
    let check = async |request, disabled: bool| {
        assert_eq!(admin.ask(&socket(), request).await, Response::Done);
        let list = Request::List {
            domain: "a.example".into(),
            after: None,
            limit: 10,
            times: true,
        };
        let Response::Users(users) = admin.ask(&socket(), list).await else {
            panic!("no list");
        };
        assert_eq!(users.len(), 1);
        assert_eq!(users[0].disabled, disabled);
        let times = users[0].times.unwrap();
        assert!(
            times.created_ms > 0 && times.last_active_ms == 0,
            "{times:?}"
        );
    };
    check(Request::Disable { account: account() }, true).await;
    check(Request::Disable { account: account() }, true).await;
    check(Request::Enable { account: account() }, false).await;
    check(Request::Enable { account: account() }, false).await;
    let ended = "end bob@a.example: the account is disabled";
    assert_eq!(*live.0.lock(), [ended, ended]);
}

#[tokio::test]
async fn a_new_password_ends_the_old_one_and_its_tokens() {
    use storage::repository::{AgentTokens, FastToken};
    let admin = administrator(None);
    let bob = BareJid::parse("bob@a.example").unwrap();
    admin.ask(&socket(), add("bob@a.example", "old")).await;
    let token = FastToken {
        mechanism: "HT-SHA-256-NONE".into(),
        secret: vec![1],
        issued_ms: 0,
        expires_ms: u64::MAX,
        count: 0,
    };
    let tokens = AgentTokens {
        current: token,
        previous: None,
        version: 0,
    };
    admin
        .accounts
        .stores
        .accounts
        .put_tokens(&bob, "agent", &tokens, 0)
        .await
        .unwrap();
    admin
        .ask(
            &socket(),
            Request::Password {
                account: "bob@a.example".into(),
                password: "new".into(),
            },
        )
        .await;
    let account = admin
        .accounts
        .stores
        .accounts
        .load(&bob)
        .await
        .unwrap()
        .unwrap();
    let keys = crate::keys::of(&account, xmpp::sasl::Hash::Sha256).unwrap();
    assert!(keys.verify_password("new") && !keys.verify_password("old"));
    assert_eq!(
        admin
            .accounts
            .stores
            .accounts
            .tokens(&bob, "agent")
            .await
            .unwrap(),
        None
    );
}
