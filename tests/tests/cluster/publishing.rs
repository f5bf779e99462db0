//! Publishing where publisher, service and those who are told are at different nodes, which come, leave and die.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use storage::backend::memory::MemoryTable;
use storage::layer::Switchboard;
use storage::layer::faulty::{Fault, Faulty, When};
use storage::repository::{Roster, RosterItem, Subscription};
use tests::cluster::Cluster;
use tests::faults::client::{Client, attr, name};
use tests::faults::dice::seed;
use tests::faults::node::{account, create_accounts};
use tests::faults::settings::Settings;

const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const OWNER: &str = "http://jabber.org/protocol/pubsub#owner";
/// What a client wants that is interested in [`TUNE`]: its answer to what its capabilities are, and how it names them.
const TUNE: &str = "urn:example:tune";
const ABLE: &str = "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' \
    node='urn:example:client' ver='qFSm0YUXB84r3cg/ZEaZQNhjteI='/></presence>";
/// Stanzas that a client sends at once.
const AT_ONCE: usize = 8;
/// How often the service moves and comes back.
const MOVES: usize = 6;

/// A cluster whose store answers some calls late, so that what is asked later may be answered earlier.
async fn slow_cluster(nodes: usize) -> Cluster {
    let slow = Switchboard::new(seed());
    for ms in [3, 8] {
        let delay = Fault::Delay(Duration::from_millis(ms));
        slow.add(|_| true, When::Probability(0.3), delay);
    }
    let table = Arc::new(Faulty::new(Arc::new(MemoryTable::new()), slow));
    let cluster = Cluster::start_over(nodes, Settings::default(), table).await;
    let cluster = cluster.unwrap();
    cluster.agreed().await;
    cluster
}

/// An account whose home is at the node.
async fn account_at(cluster: &Cluster, node: usize, letter: char) -> String {
    let name = cluster.name_at(node, letter).unwrap();
    create_accounts(&cluster.stores(), [name.clone()])
        .await
        .unwrap();
    name
}

fn service(cluster: &Cluster) -> String {
    cluster.app(0).router.config.pubsub_services()[0].clone()
}

fn request(kind: &str, id: &str, to: &str, ns: &str, inner: &str) -> String {
    let to = match to {
        "" => String::new(),
        to => format!(" to='{to}'"),
    };
    format!("<iq type='{kind}' id='{id}'{to}><pubsub xmlns='{ns}'>{inner}</pubsub></iq>")
}

fn publish(id: &str, to: &str, node: &str) -> String {
    let item = format!("<item id='{id}'><entry xmlns='urn:example:entry'/></item>");
    let inner = format!("<publish node='{node}'>{item}</publish>");
    request("set", id, to, PUBSUB, &inner)
}

fn last_item(id: &str, to: &str, node: &str) -> String {
    let inner = format!("<items node='{node}' max_items='1'/>");
    request("get", id, to, PUBSUB, &inner)
}

fn configure(id: &str, to: &str, node: &str, var: &str, value: &str) -> String {
    let inner = format!(
        "<configure node='{node}'><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>{PUBSUB}#node_config</value></field>\
         <field var='{var}'><value>{value}</value></field></x></configure>"
    );
    request("set", id, to, OWNER, &inner)
}

#[track_caller]
fn check_result(answer: &str) {
    assert_eq!(attr(answer, "type"), Some("result"), "{answer}");
}

/// The address of the first item in what is told or answered.
fn item(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<item ")?;
    let (_, rest) = rest.split_once("id='")?;
    rest.split('\'').next()
}

/// Publishes at its node and reads back what it published, all at once: answered in its order, so that each look finds what was
/// published before it and nothing later. Goes on until it is told to end; how often it did.
async fn publish_and_look(
    mut client: Client,
    service: String,
    node: String,
    ends: Arc<AtomicBool>,
) -> (Client, usize) {
    let mut round = 0;
    while !ends.load(Ordering::Relaxed) {
        let id = |number: usize| format!("{node}-{round:05}-{number}");
        let mut all = String::new();
        for number in 0..AT_ONCE {
            let id = id(number);
            all += &match number % 4 {
                3 => last_item(&id, &service, &node),
                2 => configure(&id, &service, &node, "pubsub#title", &id),
                _ => publish(&id, &service, &node),
            };
        }
        client.send(&all).await.unwrap();
        for number in 0..AT_ONCE {
            let answer = client.until(|text| name(text) == "iq").await.unwrap();
            assert_eq!(attr(&answer, "id"), Some(id(number).as_str()), "{answer}");
            check_result(&answer);
            if number % 4 == 3 {
                assert_eq!(item(&answer), Some(id(number - 2).as_str()), "{answer}");
            }
        }
        round += 1;
    }
    (client, round)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_client_is_answered_in_its_order_wherever_the_service_is() {
    let mut cluster = slow_cluster(3).await;
    let service = service(&cluster);
    let ends = Arc::new(AtomicBool::new(false));
    let mut publishers = Vec::new();
    let watching = account_at(&cluster, 1, 'w').await;
    let mut watcher = Client::online(cluster.address(1), &watching, "w")
        .await
        .unwrap();
    for place in 0..3 {
        let name = account_at(&cluster, place, 'p').await;
        // The socket is at another node than the account.
        let address = cluster.address((place + 1) % 3);
        let mut client = Client::online(address, &name, "r").await.unwrap();
        let node = format!("node{place}");
        let create = request(
            "set",
            "create",
            &service,
            PUBSUB,
            &format!("<create node='{node}'/>"),
        );
        check_result(&client.ask(&create).await.unwrap());
        let jid = &watcher.jid;
        let subscribe = format!("<subscribe node='{node}' jid='{jid}'/>");
        let subscribe = request("set", &node, &service, PUBSUB, &subscribe);
        check_result(&watcher.ask(&subscribe).await.unwrap());
        publishers.push(publish_and_look(
            client,
            service.clone(),
            node,
            ends.clone(),
        ));
    }
    let publishers: Vec<_> = publishers.into_iter().map(tokio::spawn).collect();
    for _ in 0..MOVES {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = cluster.home_of(&service).unwrap();
        cluster.leave(before);
        cluster.agreed().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.come_back(before);
        cluster.agreed().await;
    }
    ends.store(true, Ordering::Relaxed);
    let mut rounds = Vec::new();
    for (place, publisher) in publishers.into_iter().enumerate() {
        let (mut client, done) = publisher.await.unwrap();
        rounds.push(done);
        let node = format!("node{place}");
        let last = publish(&format!("{node}-last"), &service, &node);
        check_result(&client.ask(&last).await.unwrap());
    }
    // All of it was told once, in the order in which it was published.
    let mut told = [const { Vec::new() }; 3];
    while !told
        .iter()
        .all(|ids: &Vec<String>| ids.last().is_some_and(|id| id.ends_with("last")))
    {
        let is_item = |text: &str| name(text) == "message" && text.contains("<item ");
        let text = watcher.until(is_item).await.unwrap();
        let id = item(&text).unwrap().to_owned();
        let place: usize = id[4..5].parse().unwrap();
        told[place].push(id);
    }
    for (ids, rounds) in told.into_iter().zip(rounds) {
        println!("{rounds} rounds");
        assert_eq!(ids.len(), 1 + rounds * AT_ONCE / 2);
        assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    }
    cluster.stop().await;
}

/// The answer to a request, made again as long as it says `wait`.
async fn insist(client: &mut Client, iq: &str) -> String {
    loop {
        let answer = client.ask(iq).await.unwrap();
        if !answer.contains("type='wait'") {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_outlives_the_node_of_the_service() {
    let mut cluster = slow_cluster(3).await;
    let service = service(&cluster);
    let serves = cluster.home_of(&service).unwrap();
    let others: Vec<usize> = (0..3).filter(|node| *node != serves).collect();
    let mut clients = Vec::new();
    for node in &others {
        let name = account_at(&cluster, *node, 'o').await;
        let client = Client::online(cluster.address(*node), &name, "r").await;
        clients.push(client.unwrap());
    }
    let [owner, reader] = &mut clients[..] else {
        panic!("two are left")
    };
    let create = request("set", "create", &service, PUBSUB, "<create node='n'/>");
    check_result(&owner.ask(&create).await.unwrap());
    check_result(&owner.ask(&publish("first", &service, "n")).await.unwrap());
    let found = reader.ask(&last_item("l1", &service, "n")).await.unwrap();
    assert_eq!(item(&found), Some("first"), "{found}");
    // What one node was told counts for who asks by another at once.
    let closed = configure("c1", &service, "n", "pubsub#access_model", "whitelist");
    check_result(&owner.ask(&closed).await.unwrap());
    let refused = reader.ask(&last_item("l2", &service, "n")).await.unwrap();
    assert!(refused.contains("closed-node"), "{refused}");
    // Some of it is under way when the node dies. Each is answered, and what was answered stays.
    let ids: Vec<String> = (0..20).map(|number| format!("i{number:02}")).collect();
    let all: String = ids.iter().map(|id| publish(id, &service, "n")).collect();
    owner.send(&all).await.unwrap();
    owner.answer("i03").await.unwrap();
    cluster.kill(serves).unwrap();
    let (mut kept, mut in_doubt) = ("i03".to_owned(), Vec::new());
    for id in &ids[4..] {
        let answer = owner.answer(id).await.unwrap();
        match attr(&answer, "type") {
            Some("result") => kept.clone_from(id),
            _ => {
                assert!(answer.contains("type='wait'"), "{answer}");
                in_doubt.push(id.clone());
            }
        }
    }
    println!("answered up to {kept}, in doubt {in_doubt:?}");
    assert!(!in_doubt.is_empty(), "it died too late");
    let found = insist(owner, &last_item("l3", &service, "n")).await;
    let last = item(&found).unwrap();
    assert!(
        last == kept || in_doubt.iter().any(|id| id == last),
        "{found}"
    );
    let refused = insist(reader, &last_item("l4", &service, "n")).await;
    assert!(refused.contains("closed-node"), "{refused}");
    cluster.stop().await;
}

/// Logs in a client that wants to be told of tunes.
async fn interested(address: SocketAddr, user: &str, resource: &str) -> Client {
    let mut client = Client::login(address, user, resource).await.unwrap();
    client.send(ABLE).await.unwrap();
    client
}

/// What it is told next of tunes; it says what it is if it is asked.
async fn told(client: &mut Client) -> String {
    loop {
        let text = client.next().await.unwrap();
        if name(&text) == "iq" && attr(&text, "type") == Some("get") {
            let (id, from) = (attr(&text, "id").unwrap(), attr(&text, "from").unwrap());
            let answer = format!(
                "<iq type='result' id='{id}' to='{from}'>\
                 <query xmlns='http://jabber.org/protocol/disco#info' \
                 node='urn:example:client#qFSm0YUXB84r3cg/ZEaZQNhjteI='>\
                 <identity category='client' type='pc' name='contacts'/>\
                 <feature var='http://jabber.org/protocol/disco#info'/>\
                 <feature var='{TUNE}+notify'/></query></iq>"
            );
            client.send(&answer).await.unwrap();
        }
        if name(&text) == "message" && text.contains(TUNE) {
            return item(&text).unwrap().to_owned();
        }
    }
}

/// Both see each other's presence.
async fn befriend(cluster: &Cluster, one: &str, other: &str) {
    for (owner, contact) in [(one, other), (other, one)] {
        let roster = Roster {
            items: vec![RosterItem {
                subscription: Subscription::Both,
                ..RosterItem::new(account(contact))
            }],
            ..Roster::default()
        };
        let rosters = cluster.stores().rosters;
        rosters.store(&account(owner), &roster, 0).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_at_other_nodes_are_told_and_find_it_when_the_publishers_node_is_gone() {
    let mut cluster = slow_cluster(3).await;
    let publisher = account_at(&cluster, 2, 'a').await;
    let contact = account_at(&cluster, 0, 'b').await;
    befriend(&cluster, &publisher, &contact).await;
    let mut alice = Client::online(cluster.address(2), &publisher, "a")
        .await
        .unwrap();
    let mut plain = Client::online(cluster.address(1), &contact, "plain")
        .await
        .unwrap();
    check_result(&alice.ask(&publish("one", "", TUNE)).await.unwrap());
    // Who comes is told what was published last; who is there, what is published.
    let mut bob = interested(cluster.address(1), &contact, "early").await;
    assert_eq!(told(&mut bob).await, "one");
    check_result(&alice.ask(&publish("two", "", TUNE)).await.unwrap());
    assert_eq!(told(&mut bob).await, "two");
    cluster.kill(2).unwrap();
    let address = account(&publisher);
    let last = last_item("last", address.as_str(), TUNE);
    let found = insist(&mut bob, &last).await;
    assert_eq!(item(&found), Some("two"), "{found}");
    // It is served by another node now, and so is what follows.
    let mut late = interested(cluster.address(0), &contact, "late").await;
    assert_eq!(told(&mut late).await, "two");
    let mut alice = Client::online(cluster.address(0), &publisher, "again")
        .await
        .unwrap();
    check_result(&insist(&mut alice, &publish("three", "", TUNE)).await);
    for client in [&mut bob, &mut late] {
        assert_eq!(told(client).await, "three");
    }
    let others = plain.before_answer("end").await.unwrap();
    let hears = others.iter().any(|text| text.contains(TUNE));
    assert!(!hears, "whoever did not ask is told nothing: {others:?}");
    cluster.stop().await;
}
