//! Accounts made, changed and removed while the node runs and while it does not.

use std::sync::Arc;

use ::cluster::NodeId;
use async_trait::async_trait;
use parking_lot::Mutex;
use storage::{
    Stores,
    backend::memory::{MemoryBlobs, MemoryTable},
    repository::{Roster, RosterItem, Subscription},
};

use super::{
    client::{AdminClient, PATIENCE},
    socket::AdminSocket,
    *,
};
use crate::{
    keys::Keys,
    membership::status::{Leaving, Step},
    module::Context,
    modules::{
        recorder::{Recorder as World, bare},
        roster::Rosters,
    },
    status::samples::{facts, three},
};

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>, World);

#[async_trait]
impl Live for Recorder {
    async fn end_sessions(&self, account: &BareJid, reason: &str) -> Result<usize, StanzaError> {
        self.0.lock().push(format!("end {account}: {reason}"));
        Ok(2)
    }

    fn context(&self) -> Context {
        self.1.context()
    }
}

fn administrator(live: Option<Arc<dyn Live>>) -> Administrator {
    let table = Arc::new(MemoryTable::new());
    let stores = Stores::over(table.clone(), Arc::new(MemoryBlobs::new()));
    let rosters = Arc::new(Rosters::new(stores.rosters.clone()));
    Administrator {
        operators: Operators::new(table),
        rooms: None,
        pubsub: Vec::new(),
        metrics: None,
        accounts: Accounts::new(stores, rosters, Arc::new(Keys::new(4_096))),
        domains: vec!["a.example".into()],
        live,
        desk: None,
    }
}

fn socket() -> Caller {
    Who::Socket.into()
}

fn add(account: &str, password: &str) -> Request {
    Request::Add {
        account: account.into(),
        password: password.into(),
    }
}

fn why(response: &Response) -> Option<Why> {
    match response {
        Response::Refused { why, .. } => Some(*why),
        _ => None,
    }
}

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

/// Whoever holds connections and says nothing keeps nobody out; who is not answered is told.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_keep_nobody_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let socket = AdminSocket::bind(&path).unwrap();
    let silent: Vec<_> = (0..100)
        .map(|_| std::os::unix::net::UnixStream::connect(&path).unwrap())
        .collect();
    let (stop, stopping) = crate::shutdown::signal();
    let serving = tokio::spawn(socket.serve(administrator(None), stopping));
    let asked = path.clone();
    let asking = tokio::task::spawn_blocking(move || {
        let mut client = AdminClient::connect(&asked, PATIENCE).unwrap().unwrap();
        assert_eq!(client.ask(&Request::Ping).unwrap(), Response::Done);
        // They are closed, too.
        for mut silent in silent {
            use std::io::Read;
            assert_eq!(silent.read(&mut [0]).unwrap(), 0);
        }
    });
    asking.await.unwrap();
    stop.stop();
    serving.await.unwrap();
}

#[test]
fn a_node_that_does_not_answer_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let _mute = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let little = std::time::Duration::from_millis(20);
    let mut client = AdminClient::connect(&path, little).unwrap().unwrap();
    let error = client.ask(&Request::Ping).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    // Nor for its taking a connection: the queue of those who wait has a bound.
    let mut waiting = Vec::new();
    let error = loop {
        match AdminClient::connect(&path, little) {
            Ok(client) => waiting.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
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

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_answers_its_owner_and_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    // What a crash left behind is no hindrance.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(AdminClient::connect(&path, PATIENCE).unwrap().is_none());
    let socket = AdminSocket::bind(&path).unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        AdminSocket::bind(&path).unwrap_err().kind(),
        std::io::ErrorKind::AddrInUse
    );
    let (stop, stopping) = crate::shutdown::signal();
    let serving = tokio::spawn(socket.serve(administrator(None), stopping));
    let asked = path.clone();
    let asking = tokio::task::spawn_blocking(move || {
        use std::io::{BufRead, Write};
        let mut client = AdminClient::connect(&asked, PATIENCE).unwrap().unwrap();
        assert_eq!(client.ask(&Request::Ping).unwrap(), Response::Done);
        assert_eq!(
            client.ask(&add("bob@a.example", "pä\"ss word")).unwrap(),
            Response::Done
        );
        assert_eq!(
            why(&client.ask(&add("bob@a.example", "x")).unwrap()),
            Some(Why::Exists)
        );
        let mut raw = std::os::unix::net::UnixStream::connect(&asked).unwrap();
        raw.write_all(b"{\"do\":\"add\",\"secret\":\"pencil\"}\n")
            .unwrap();
        let mut answer = String::new();
        std::io::BufReader::new(raw).read_line(&mut answer).unwrap();
        assert!(
            answer.contains("\"invalid\"") && !answer.contains("pencil"),
            "{answer}"
        );
    });
    asking.await.unwrap();
    stop.stop();
    serving.await.unwrap();
    assert!(!path.exists());
}

#[derive(Default)]
struct Recording(Mutex<Vec<String>>);

#[async_trait]
impl ClusterControl for Recording {
    fn status(&self) -> Option<crate::membership::Status> {
        let mut cluster = three();
        // A node and its next life have one name.
        cluster.members[2].name = "b".into();
        Some(cluster)
    }
    async fn drain(&self, node: NodeId) -> Result<(), Declined> {
        self.0.lock().push(format!("drain {:x}", node.0));
        Ok(())
    }
    async fn fence(&self, node: NodeId) -> Result<(), Declined> {
        self.0.lock().push(format!("fence {:x}", node.0));
        Err(Declined::new(Why::Store, "nobody orders changes"))
    }
    async fn rotate_secret(&self) -> Result<(), Declined> {
        Err(Declined::new(Why::Busy, "a rotation is under way"))
    }
}

fn at_desk(control: Arc<dyn ClusterControl>) -> Administrator {
    let asked = control.clone();
    Administrator {
        desk: Some(Desk {
            look: Arc::new(move || facts(asked.status())),
            control,
        }),
        ..administrator(None)
    }
}

#[tokio::test]
async fn members_are_meant_by_life_name_or_address() {
    let control = Arc::new(Recording::default());
    let admin = at_desk(control.clone());
    let [one, two, three] = [0, 1, 2].map(|index| three().members[index].node.clone());
    let check = async |node: Option<&str>, expected: Result<&String, Why>| {
        let node = node.map(str::to_owned);
        match (
            admin.ask(&socket(), Request::Drain { node }).await,
            expected,
        ) {
            (Response::Begun { node }, expected) => assert_eq!(Ok(&node), expected),
            (other, expected) => assert_eq!(why(&other), expected.err(), "{other:?}"),
        }
    };
    check(None, Ok(&one)).await;
    check(Some("a"), Ok(&one)).await;
    check(Some("10.0.0.2:7269"), Ok(&two)).await;
    check(Some(&three), Ok(&three)).await;
    check(Some(&three[..9]), Ok(&three)).await;
    // What is meant must be one.
    check(Some("b"), Err(Why::Invalid)).await;
    check(Some("00000"), Err(Why::Invalid)).await;
    check(Some("000"), Err(Why::Absent)).await;
    check(Some("nobody"), Err(Why::Absent)).await;
    check(Some(""), Err(Why::Absent)).await;
    let drained = [
        "123456789ab",
        "123456789ab",
        "2468acf1356",
        "369d0369d01",
        "369d0369d01",
    ];
    assert_eq!(*control.0.lock(), drained.map(|id| format!("drain {id}")));
}

#[tokio::test]
async fn what_is_declined_is_told_with_its_kind() {
    let check = async |admin: &Administrator, request, expected| {
        let response = admin.ask(&socket(), request).await;
        assert_eq!(why(&response), Some(expected), "{response:?}");
    };
    let all = || {
        let node = "a".to_owned();
        let fence = Request::Fence { node };
        [Request::Drain { node: None }, fence, Request::RotateSecret]
    };
    let alone = at_desk(Arc::new(Alone));
    for request in all() {
        check(&alone, request.clone(), Why::Alone).await;
        check(&administrator(None), request, Why::NotRunning).await;
    }
    check(
        &administrator(None),
        Request::ClusterStatus,
        Why::NotRunning,
    )
    .await;
    let Response::Cluster(found) = alone.ask(&socket(), Request::ClusterStatus).await else {
        panic!("a node that is alone has a status");
    };
    assert_eq!(*found, facts(None));
    let [_, fence, rotate] = all();
    let admin = at_desk(Arc::new(Recording::default()));
    check(&admin, fence, Why::Store).await;
    check(&admin, rotate, Why::Busy).await;
}

/// Who watches a node leave hears the last word, though the socket closes then: who has seen it leave, and who has had it leave
/// and not looked yet.
#[tokio::test(flavor = "multi_thread")]
async fn the_socket_stays_until_who_watches_has_heard_the_end() {
    let leaving = |step| {
        let mut cluster = three();
        cluster.leaving = Some(Leaving {
            step,
            accounts: 1,
            left: 0,
            elapsed_ms: 1,
            given_up: 0,
        });
        facts(Some(cluster))
    };
    let departure = || Request::Departure { node: three().node };
    for first in [departure(), Request::Drain { node: None }] {
        let now = Arc::new(Mutex::new(leaving(Step::Closing)));
        let seen = now.clone();
        let admin = Administrator {
            desk: Some(Desk {
                look: Arc::new(move || seen.lock().clone()),
                control: Arc::new(Recording::default()),
            }),
            ..administrator(None)
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let socket = AdminSocket::bind(&path).unwrap();
        let (stop, stopping) = crate::shutdown::signal();
        let serving = tokio::spawn(socket.serve(admin, stopping));
        let asked = path.clone();
        let ask = async |request: Request| {
            let asked = asked.clone();
            let ask = move || {
                let client = AdminClient::connect(&asked, PATIENCE).unwrap();
                client.unwrap().ask(&request).unwrap()
            };
            tokio::task::spawn_blocking(ask).await.unwrap()
        };
        ask(first).await;
        stop.stop();
        let gone = leaving(Step::Gone);
        *now.lock() = gone.clone();
        let told = ask(departure()).await;
        assert_eq!(told, Response::Cluster(Box::new(gone)));
        serving.await.unwrap();
        assert!(!path.exists());
    }
}
