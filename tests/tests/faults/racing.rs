//! Who is first: things that happen at the same time end in one of the orders that are allowed.

use std::collections::{BTreeMap, BTreeSet};

use storage::repository::LogRange;
use tests::faults::client::{Client, attr, message, name, plain_auth};
use tests::faults::dice::count;
use tests::faults::node::{Local, account, create_accounts};
use tests::faults::settings::Settings;
use tokio::task::JoinSet;

const TASKS: usize = 32;

async fn node(names: &[&str]) -> Local {
    let node = Local::start(&Settings::default(), 1).await.unwrap();
    node.accounts(names.iter().copied()).await.unwrap();
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_registrations_of_one_name_one_wins() {
    let node = node(&[]).await;
    let mut racers = JoinSet::new();
    for number in 0..TASKS {
        let mut client = Client::connect(node.address()).await.unwrap();
        client.open().await.unwrap();
        racers.spawn(async move {
            let fields = format!("<username>wanted</username><password>pass{number}</password>");
            let request = format!(
                "<iq type='set' id='r'><query xmlns='jabber:iq:register'>{fields}</query></iq>"
            );
            (number, client.ask(&request).await.unwrap())
        });
    }
    let mut winners = Vec::new();
    for (number, answer) in racers.join_all().await {
        if attr(&answer, "type") == Some("result") {
            winners.push(number);
        } else {
            assert!(answer.contains("<conflict"), "{answer}");
        }
    }
    let [winner] = winners[..] else {
        panic!("{winners:?} all won")
    };
    for number in [winner, (winner + 1) % TASKS] {
        let mut client = Client::connect(node.address()).await.unwrap();
        client.open().await.unwrap();
        client
            .send(&plain_auth("wanted", &format!("pass{number}")))
            .await
            .unwrap();
        let expected = if number == winner {
            "success"
        } else {
            "failure"
        };
        assert_eq!(name(&client.next().await.unwrap()), expected, "{number}");
    }
    assert_eq!(
        node.stores
            .accounts
            .list("localhost", None, 10)
            .await
            .unwrap(),
        ["wanted"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offline_messages_go_to_one_of_the_resources_that_come_at_once() {
    let node = node(&["alice", "bob"]).await;
    let mut alice = Client::managed(node.address(), "alice", "phone")
        .await
        .unwrap();
    for round in 0..20 {
        for number in 0..30 {
            alice
                .send(&message(
                    "bob@localhost",
                    &format!("{round}-{number}"),
                    "hello",
                ))
                .await
                .unwrap();
        }
        alice.handled().await.unwrap();
        let mut racers = JoinSet::new();
        for resource in ["phone", "tablet", "desk"] {
            let client = Client::login(node.address(), "bob", resource)
                .await
                .unwrap();
            racers.spawn(become_available(client));
        }
        let mut all = Vec::new();
        let mut clients = Vec::new();
        for (client, got) in racers.join_all().await {
            all.extend(got);
            clients.push(client);
        }
        // A page of the log may come behind the first answer.
        for client in &mut clients {
            while all.len() < 30 {
                let more = client.before_answer("more").await.unwrap();
                let before = all.len();
                all.extend(ids(&more));
                if all.len() == before {
                    break;
                }
            }
        }
        all.sort();
        let mut expected: Vec<String> = (0..30).map(|number| format!("{round}-{number}")).collect();
        expected.sort();
        assert_eq!(all, expected);
        for client in clients {
            client.close().await.unwrap();
        }
    }
}

async fn become_available(mut client: Client) -> (Client, Vec<String>) {
    client.send("<presence/>").await.unwrap();
    let got = client.before_answer("end").await.unwrap();
    let got = ids(&got);
    (client, got)
}

fn ids(texts: &[String]) -> Vec<String> {
    let messages = texts.iter().filter(|text| name(text) == "message");
    messages
        .filter_map(|text| attr(text, "id").map(str::to_owned))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sessions_that_bind_one_resource_one_stays() {
    let node = node(&["alice", "bob"]).await;
    let mut racers = JoinSet::new();
    for _ in 0..TASKS {
        let client = Client::authenticated(node.address(), "bob").await.unwrap();
        racers.spawn(async move {
            let mut client = client;
            client.bind("phone").await.unwrap();
            client
        });
    }
    let clients = racers.join_all().await;
    let entries = node.app().router.entries("bob@localhost");
    assert_eq!(entries.len(), 1, "{entries:?}");
    let mut alice = Client::managed(node.address(), "alice", "phone")
        .await
        .unwrap();
    alice
        .send(&message("bob@localhost/phone", "m", "hello"))
        .await
        .unwrap();
    let mut outcomes = BTreeMap::new();
    for mut client in clients {
        let text = client.next().await.unwrap();
        let conflict = text.contains("<conflict");
        assert!(conflict || attr(&text, "id") == Some("m"), "{text}");
        *outcomes.entry(conflict).or_insert(0) += 1;
    }
    assert_eq!(outcomes, BTreeMap::from([(false, 1), (true, TASKS - 1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_connections_that_resume_one_session_the_last_has_it() {
    let node = node(&["alice", "bob"]).await;
    let mut alice = Client::managed(node.address(), "alice", "phone")
        .await
        .unwrap();
    let mut bob = Client::login(node.address(), "bob", "phone").await.unwrap();
    let id = bob.enable().await.unwrap();
    bob.send("<presence/>").await.unwrap();
    bob.until(|text| name(text) == "presence").await.unwrap();
    let mut racers = JoinSet::new();
    for _ in 0..TASKS {
        let (client, id) = (
            Client::authenticated(node.address(), "bob").await.unwrap(),
            id.clone(),
        );
        racers.spawn(async move {
            let mut client = client;
            let answer = client.resume(&id, 1).await.unwrap();
            (client, answer)
        });
    }
    let answers = racers.join_all().await;
    let resumed = answers
        .iter()
        .filter(|(_, answer)| name(answer) == "resumed")
        .count();
    assert!(resumed >= 1, "somebody has it");
    alice
        .send(&message("bob@localhost", "m", "hello"))
        .await
        .unwrap();
    alice.handled().await.unwrap();
    let mut reached = 0;
    for (mut client, answer) in answers
        .into_iter()
        .filter(|(_, answer)| name(answer) == "resumed")
    {
        assert_eq!(attr(&answer, "h"), Some("1"), "{answer}");
        let text = client.until(|text| name(text) != "r").await.unwrap();
        assert!(
            text.contains("<conflict") || attr(&text, "id") == Some("m"),
            "{text}"
        );
        reached += usize::from(attr(&text, "id") == Some("m"));
    }
    assert_eq!(reached, 1, "of {resumed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_of_a_roster_is_lost() {
    let node = node(&["bob"]).await;
    let mut racers = JoinSet::new();
    for number in 0..TASKS {
        let mut client = Client::login(node.address(), "bob", &format!("r{number}"))
            .await
            .unwrap();
        racers.spawn(async move {
            let item = format!("<item jid='contact{number}@localhost'/>");
            let request = format!(
                "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>{item}</query></iq>"
            );
            client.ask(&request).await.unwrap()
        });
    }
    let done = racers
        .join_all()
        .await
        .iter()
        .filter(|answer| attr(answer, "type") == Some("result"))
        .count();
    let roster = node.stores.rosters.load(&account("bob")).await.unwrap();
    assert_eq!(roster.items.len(), done);
    assert_eq!(done, TASKS, "none had to be refused");
}

/// Messages for an account that is not in memory come while it is read: the first ones are not overtaken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_to_an_account_that_is_being_read_keep_their_order() {
    let accounts = count("STARLING_RACING_ACCOUNTS", 1_500);
    let node = node(&["alice"]).await;
    create_accounts(
        &node.stores,
        (0..accounts).map(|number| format!("to{number}")),
    )
    .await
    .unwrap();
    let mut alice = Client::managed(node.address(), "alice", "phone")
        .await
        .unwrap();
    for number in 0..accounts {
        let to = format!("to{number}@localhost");
        let burst: String = (0..6)
            .map(|number| message(&to, &number.to_string(), "hello"))
            .collect();
        alice.send(&burst).await.unwrap();
    }
    alice.handled().await.unwrap();
    for number in 0..accounts {
        let owner = account(&format!("to{number}"));
        let log = node
            .stores
            .logs
            .read(&owner, LogRange::ALL, false, 10)
            .await
            .unwrap();
        let id = |text: &str| attr(text, "id").unwrap_or_default().to_owned();
        let ids: Vec<String> = log
            .iter()
            .map(|entry| id(&String::from_utf8_lossy(&entry.stanza)))
            .collect();
        assert_eq!(ids, ["0", "1", "2", "3", "4", "5"], "to{number}");
    }
}

/// A client without stream management sends far ahead of the server's window: it is not left waiting, whatever the order
/// in which outcomes arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_far_ahead_is_served_to_the_end() {
    let node = node(&["alice"]).await;
    create_accounts(&node.stores, (0..1_000).map(|number| format!("to{number}")))
        .await
        .unwrap();
    let mut alice = Client::login(node.address(), "alice", "phone")
        .await
        .unwrap();
    for round in 0..5 {
        for number in 0..1_000 {
            let to = format!("to{number}@localhost");
            let burst: String = (0..6)
                .map(|number| message(&to, &number.to_string(), "hello"))
                .collect();
            alice.send(&burst).await.unwrap();
        }
        alice.before_answer(&format!("round{round}")).await.unwrap();
    }
}

/// The name of one account begins with that of another.
#[tokio::test]
async fn bob_has_nothing_of_bobbys() {
    let node = node(&["alice", "bob", "bobby"]).await;
    let mut alice = Client::managed(node.address(), "alice", "phone")
        .await
        .unwrap();
    for (to, id) in [("bob", "for-bob"), ("bobby", "for-bobby")] {
        alice
            .send(&message(&format!("{to}@localhost"), id, "hello"))
            .await
            .unwrap();
    }
    alice.handled().await.unwrap();
    let mut seen = BTreeMap::new();
    for (user, other) in [("bobby", "bob"), ("bob", "bobby")] {
        let mut client = Client::login(node.address(), user, "phone").await.unwrap();
        for request in [
            format!("<query xmlns='jabber:iq:roster'><item jid='of-{user}@localhost'/></query>"),
            format!("<query xmlns='jabber:iq:private'><a xmlns='urn:a'>of-{user}</a></query>"),
        ] {
            let answer = client
                .ask(&format!("<iq type='set' id='set'>{request}</iq>"))
                .await
                .unwrap();
            assert_eq!(attr(&answer, "type"), Some("result"), "{answer}");
        }
        client.send("<presence/>").await.unwrap();
        let mut all = vec![client.until(|text| name(text) == "message").await.unwrap()];
        all.extend(client.before_answer("end").await.unwrap());
        all.push(
            client
                .ask("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
                .await
                .unwrap(),
        );
        let private = "<query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query>";
        all.push(
            client
                .ask(&format!("<iq type='get' id='private'>{private}</iq>"))
                .await
                .unwrap(),
        );
        let archive = "<iq type='set' id='mam'><query xmlns='urn:xmpp:mam:2'/></iq>";
        client.send(archive).await.unwrap();
        loop {
            let text = client.next().await.unwrap();
            let end = name(&text) == "iq" && attr(&text, "id") == Some("mam");
            all.push(text);
            if end {
                break;
            }
        }
        let all = all.concat();
        assert!(
            all.contains(&format!("of-{user}")) && all.contains(&format!("for-{user}'")),
            "{user}: {all}"
        );
        assert!(
            !all.contains(&format!("of-{other}@")) && !all.contains(&format!("for-{other}'")),
            "{user}: {all}"
        );
        seen.insert(user, all);
        client.close().await.unwrap();
    }
    node.stores.erase(&account("bob")).await.unwrap();
    let left: BTreeSet<String> = node
        .stores
        .accounts
        .list("localhost", None, 10)
        .await
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(
        left,
        BTreeSet::from(["alice".to_owned(), "bobby".to_owned()])
    );
    assert_eq!(
        node.stores.logs.tip(&account("bobby")).await.unwrap().head,
        1
    );
    assert_eq!(
        node.stores
            .rosters
            .load(&account("bobby"))
            .await
            .unwrap()
            .items
            .len(),
        1
    );
}
