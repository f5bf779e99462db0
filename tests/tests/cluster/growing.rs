//! Nodes that come under load: accounts move to them with their sessions.
//!
//! `STARLING_NEW_NODES`: how many come, one after the other (4).

use std::collections::HashSet;
use std::time::Duration;

use tests::cluster::Cluster;
use tests::faults::actor::actor_name;
use tests::faults::client::{Client, attr, name};
use tests::faults::dice::{Dice, count, seed};
use tests::faults::node::{account, create_accounts};
use tests::faults::settings::Settings;

use crate::play::Play;

const ACTORS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_move_to_nodes_that_come() {
    let (seed, new) = (seed(), count("STARLING_NEW_NODES", 4));
    println!("seed {seed}, {new} nodes come");
    let mut dice = Dice::new(seed, u64::MAX);
    let mut cluster = Cluster::start(1, Settings::default()).await.unwrap();
    create_accounts(&cluster.stores(), (0..ACTORS).map(actor_name))
        .await
        .unwrap();
    let mut play = Play::start(ACTORS, cluster.balancer.address, seed);
    for _ in 0..new {
        tokio::time::sleep(dice.between_ms(500, 1500)).await;
        cluster.launch().await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let homes: Vec<_> = (0..cluster.len())
        .map(|at| cluster.app(at).router.homes.len())
        .collect();
    play.settle().await;
    let story = play.stop().await;
    let counts = play.verify(&cluster.stores()).await;
    println!("{counts:?}\n{story:?}\nhomes {homes:?}");
    assert!(counts.promised > 100 && counts.refused == 0);
    assert!(
        !story
            .keys()
            .any(|what| what.starts_with("resumption failed")),
        "{story:?}"
    );
    cluster.stop().await;
}

/// Clients for whom there is no room on the way to their home come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_are_not_passed_on_come_again() {
    let seed = seed();
    println!("seed {seed}");
    let mut dice = Dice::new(seed, u64::MAX);
    let mut cluster = Cluster::start(2, Settings::default()).await.unwrap();
    cluster.refuse_one_in(2);
    create_accounts(&cluster.stores(), (0..ACTORS).map(actor_name))
        .await
        .unwrap();
    let mut play = Play::start(ACTORS, cluster.balancer.address, seed);
    for _ in 0..2 {
        tokio::time::sleep(dice.between_ms(500, 1500)).await;
        cluster.launch().await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.refuse_one_in(0);
    play.settle().await;
    let story = play.stop().await;
    let counts = play.verify(&cluster.stores()).await;
    println!("{counts:?}\n{story:?}");
    assert!(counts.promised > 100 && counts.refused == 0);
    cluster.stop().await;
}

/// So many accounts of a name, of which a new node is likely to get some and not all.
const CROWD: usize = 10;

fn crowd(name: &str) -> Vec<String> {
    (0..CROWD).map(|number| format!("{name}{number}")).collect()
}

/// Which of these accounts have their homes at the first node.
fn stay(cluster: &Cluster, names: &[String]) -> Vec<bool> {
    let stays = |name: &String| cluster.home_of(account(name).as_str()).unwrap() == 0;
    names.iter().map(stays).collect()
}

/// Two megabytes that no log has wait for a client that is away: they go along with its session, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_move_that_are_larger_than_a_frame() {
    const LINES: u32 = 16;
    let mut cluster = Cluster::start(1, Settings::default()).await.unwrap();
    let names = crowd("bob");
    let accounts = names.iter().cloned().chain(["alice".to_owned()]);
    create_accounts(&cluster.stores(), accounts).await.unwrap();
    let address = cluster.balancer.address;
    let mut alice = Client::online(address, "alice", "desk").await.unwrap();
    let text = "x".repeat(130_000);
    let mut ids = Vec::new();
    for name_of in &names {
        let mut bob = Client::login(address, name_of, "phone").await.unwrap();
        ids.push(bob.enable().await.unwrap());
        bob.send("<presence/>").await.unwrap();
        bob.until(|text| name(text) == "presence").await.unwrap();
        drop(bob);
        let to = account(name_of);
        for line in 0..LINES {
            let message = format!(
                "<message to='{to}/phone' type='headline' id='{line}'><body>{text}</body></message>"
            );
            alice.send(&message).await.unwrap();
        }
    }
    // An answer behind them: all were taken.
    alice
        .ask("<iq type='get' id='last'><query xmlns='jabber:iq:roster'/></iq>")
        .await
        .unwrap();
    cluster.launch().await.unwrap();
    cluster.agreed().await;
    let moved = stay(&cluster, &names)
        .iter()
        .filter(|stays| !**stays)
        .count();
    println!("{moved} of {CROWD} move");
    assert!(moved > 0);
    for (name_of, id) in names.iter().zip(ids) {
        let mut bob = Client::authenticated(address, name_of).await.unwrap();
        let resumed = bob.resume(&id, 1).await.unwrap();
        assert_eq!(name(&resumed), "resumed", "{resumed}");
        for line in 0..LINES {
            let got = bob.until(|text| name(text) == "message").await.unwrap();
            assert_eq!(attr(&got, "id"), Some(line.to_string().as_str()));
            // Its own presence came before.
            bob.acknowledge(line + 2).await.unwrap();
        }
    }
    cluster.stop().await;
}

/// A session that cannot be resumed goes along with its connection: its contacts see it until its client goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_stays_behind_as_a_ghost() {
    let mut cluster = Cluster::start(1, Settings::default()).await.unwrap();
    let names = [crowd("alice"), crowd("bob")];
    create_accounts(&cluster.stores(), names.concat())
        .await
        .unwrap();
    let address = cluster.balancer.address;
    let mut clients = Vec::new();
    for name in names.iter().flatten() {
        clients.push(Client::online(address, name, "desk").await.unwrap());
    }
    let mut bobs = clients.split_off(CROWD);
    let mut alices = clients;
    let of = |contact: &str| {
        let from = format!("{contact}/desk");
        move |text: &str| name(text) == "presence" && attr(text, "from") == Some(&*from)
    };
    for bob in &mut bobs {
        for contact in &names[0] {
            let to = account(contact);
            bob.send(&format!("<presence to='{to}'/>")).await.unwrap();
        }
    }
    for alice in &mut alices {
        let mut seen = HashSet::new();
        while seen.len() < CROWD {
            let from_bob = |text: &str| attr(text, "from").is_some_and(|it| it.starts_with("bob"));
            let presence = alice.until(from_bob).await.unwrap();
            seen.insert(attr(&presence, "from").unwrap().to_owned());
        }
    }
    cluster.launch().await.unwrap();
    cluster.agreed().await;
    let (stay, go) = (stay(&cluster, &names[0]), stay(&cluster, &names[1]));
    let alice = stay.iter().position(|stays| *stays).unwrap();
    let bob = go.iter().position(|stays| !*stays).unwrap();
    // Its contacts see what it says, and only that.
    bobs[bob]
        .send("<presence><show>away</show></presence>")
        .await
        .unwrap();
    let show = format!(
        "<presence to='{}'><show>away</show></presence>",
        account(&names[0][alice])
    );
    bobs[bob].send(&show).await.unwrap();
    let away = alices[alice]
        .until(|text| name(text) == "presence" && text.contains("<show>away"))
        .await
        .unwrap();
    assert!(attr(&away, "from").is_some_and(|from| from.starts_with(&names[1][bob])));
    drop(bobs.swap_remove(bob));
    let contact = account(&names[1][bob]);
    let gone = alices[alice].until(of(contact.as_str())).await.unwrap();
    assert_eq!(attr(&gone, "type"), Some("unavailable"));
    cluster.stop().await;
}
