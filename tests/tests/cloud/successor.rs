//! A node is stopped, and another one with an empty directory takes its place: everything is there.

use tests::faults::actor::actor_name;
use tests::faults::client::{Client, attr, message, name};
use tests::faults::dice::seed;
use tests::faults::node::create_accounts;
use tokio::task::block_in_place;

use crate::cloud::{Cloud, assert_told_only};
use crate::owner::Owner;
use crate::play::Play;
use crate::serving::{Provided, Room, Root, Serving};

const ACTORS: usize = 6;
/// Messages that wait for somebody who is not there.
const WAITING: usize = 30;

fn start(provided: &Provided, room: &Room) -> Serving {
    block_in_place(|| Serving::start(provided, room, Root::AsItIs)).unwrap()
}

fn stop(node: Serving) {
    block_in_place(|| node.stop()).unwrap();
}

/// Registers in band.
async fn register(node: &Serving, user: &str) {
    let mut client = Client::connect(node.plain).await.unwrap();
    client.open().await.unwrap();
    let request = format!(
        "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>{user}</username>\
         <password>secret</password></query></iq>"
    );
    let answer = client.ask(&request).await.unwrap();
    assert_eq!(attr(&answer, "type"), Some("result"), "{answer}");
}

/// The ids of the messages in the archive of who asks, in order.
async fn archived(client: &mut Client) -> Vec<String> {
    let query = "<iq type='set' id='m'><query xmlns='urn:xmpp:mam:2'/></iq>";
    client.send(query).await.unwrap();
    let mut found = Vec::new();
    loop {
        let text = client.next().await.unwrap();
        if name(&text) == "iq" && attr(&text, "id") == Some("m") {
            assert!(text.contains("complete='true'"), "{text}");
            return found;
        }
        if let Some((_, forwarded)) = text.split_once("<forwarded") {
            let at = forwarded.find("<message").expect("a message is forwarded");
            found.extend(attr(&forwarded[at..], "id").map(str::to_owned));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_has_all_that_the_first_one_was_given() {
    let seed = seed();
    println!("seed {seed}");
    let cloud = Cloud::start((0..ACTORS).map(actor_name)).await;
    let provided = Provided::new(&cloud.lines()).unwrap();
    let (first, second, third) = (
        Room::new().unwrap(),
        Room::new().unwrap(),
        Room::new().unwrap(),
    );

    let node = start(&provided, &first);
    for user in ["alice", "bob", "owner"] {
        register(&node, user).await;
    }
    let mut play = Play::start(ACTORS, node.plain, seed);
    let mut owner = Owner::new("owner".to_owned(), seed);
    owner.visit(node.plain).await.unwrap();
    let mut alice = Client::managed(node.plain, "alice", "phone").await.unwrap();
    let ids: Vec<String> = (0..WAITING).map(|number| format!("w{number}")).collect();
    for id in &ids {
        let text = message("bob@localhost", id, "for later");
        alice.send(&text).await.unwrap();
    }
    alice.handled().await.unwrap();

    // The actors chat on, whoever is there.
    stop(node);
    let node = start(&provided, &second);
    play.address.send_replace(node.plain);
    let mut client = Client::login(node.plain, "owner", "again").await.unwrap();
    owner.check(&mut client).await.unwrap();
    owner.visit(node.plain).await.unwrap();
    let mut bob = Client::login(node.plain, "bob", "phone").await.unwrap();
    bob.enable().await.unwrap();
    bob.send("<presence/>").await.unwrap();
    let mut got = Vec::new();
    while got.len() < WAITING {
        let text = bob.until(|text| name(text) == "message").await.unwrap();
        got.extend(attr(&text, "id").map(str::to_owned));
    }
    assert_eq!(got, ids, "offline messages");
    bob.acknowledge(u32::try_from(WAITING).unwrap() + 1)
        .await
        .unwrap();
    assert_eq!(archived(&mut bob).await, ids, "the archive of bob");
    let mut alice = Client::login(node.plain, "alice", "laptop").await.unwrap();
    assert_eq!(archived(&mut alice).await, ids, "the archive of alice");
    bob.close().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;

    // What was handed over does not wait for the next one.
    stop(node);
    let node = start(&provided, &third);
    play.address.send_replace(node.plain);
    let mut bob = Client::online(node.plain, "bob", "phone").await.unwrap();
    let before = bob.before_answer("nothing").await.unwrap();
    let again: Vec<_> = before
        .iter()
        .filter(|text| name(text) == "message")
        .collect();
    assert!(again.is_empty(), "handed over twice: {again:?}");
    let mut client = Client::login(node.plain, "owner", "again").await.unwrap();
    owner.check(&mut client).await.unwrap();
    let taken = create_accounts(&cloud.stores().await, ["bob".to_owned()]).await;
    assert!(taken.is_err(), "the account is there");

    play.settle().await;
    let story = play.stop().await;
    stop(node);
    let counts = play.verify(&cloud.stores().await).await;
    println!("{counts:?}\n{story:?}\n{:?}", owner.deeds);
    // Sessions end with their node, and so do logins.
    let of_the_end = [
        "lost",
        "turned away: system-shutdown",
        "resumption failed: item-not-found",
        "stream error: system-shutdown",
    ];
    assert_told_only(&story, &of_the_end);
    assert!(counts.promised > 0);
}
