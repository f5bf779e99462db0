//! Clients of one account and of many at different nodes: as if it were one.

use tests::cluster::Cluster;
use tests::faults::actor::actor_name;
use tests::faults::client::{Client, attr, message, name};
use tests::faults::dice::seed;
use tests::faults::node::{account, create_accounts};
use tests::faults::settings::Settings;

use crate::play::Play;

async fn cluster(nodes: usize, accounts: &[&str]) -> Cluster {
    let cluster = Cluster::start(nodes, Settings::default()).await.unwrap();
    let names = accounts.iter().map(|name| (*name).to_owned());
    create_accounts(&cluster.stores(), names).await.unwrap();
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_goes_on_at_any_node() {
    let cluster = cluster(3, &[]).await;
    let [alice, bob] = [0, 1].map(|node| cluster.name_at(node, 'u').unwrap());
    let names = [alice.clone(), bob.clone()];
    create_accounts(&cluster.stores(), names).await.unwrap();
    let mut sender = Client::online(cluster.address(2), &alice, "phone")
        .await
        .unwrap();
    let mut first = Client::login(cluster.address(0), &bob, "desk")
        .await
        .unwrap();
    let id = first.enable().await.unwrap();
    first.send("<presence/>").await.unwrap();
    first.until(|text| name(text) == "presence").await.unwrap();
    let to = account(&bob);
    sender
        .send(&message(to.as_str(), "one", "over two nodes"))
        .await
        .unwrap();
    let got = first.until(|text| name(text) == "message").await.unwrap();
    assert_eq!(attr(&got, "id"), Some("one"));
    // The connection breaks, the client has acknowledged nothing, and comes to another node.
    drop(first);
    sender
        .send(&message(to.as_str(), "two", "while nobody is there"))
        .await
        .unwrap();
    let mut second = Client::authenticated(cluster.address(1), &bob)
        .await
        .unwrap();
    // Its own presence had come as well.
    let resumed = second.resume(&id, 1).await.unwrap();
    assert_eq!(name(&resumed), "resumed", "{resumed}");
    for id in ["one", "two"] {
        let got = second.until(|text| name(text) == "message").await.unwrap();
        assert_eq!(attr(&got, "id"), Some(id), "{got}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_and_a_roster_are_the_same_everywhere() {
    let cluster = cluster(3, &[]).await;
    let [alice, bob] = [0, 1].map(|node| cluster.name_at(node, 'u').unwrap());
    let names = [alice.clone(), bob.clone()];
    create_accounts(&cluster.stores(), names).await.unwrap();
    let mut one = Client::online(cluster.address(1), &alice, "one")
        .await
        .unwrap();
    let mut two = Client::online(cluster.address(2), &alice, "two")
        .await
        .unwrap();
    let mut other = Client::online(cluster.address(0), &bob, "desk")
        .await
        .unwrap();
    let roster = "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>";
    for client in [&mut one, &mut two, &mut other] {
        client.ask(roster).await.unwrap();
    }
    let (alice, bob) = (account(&alice), account(&bob));
    // A subscription over nodes, asked for and granted, pushed to the other resource.
    let subscribe = format!("<presence type='subscribe' to='{bob}'/>");
    one.send(&subscribe).await.unwrap();
    let push = two
        .until(|text| name(text) == "iq" && text.contains("ask="))
        .await
        .unwrap();
    assert!(push.contains(bob.as_str()), "{push}");
    let asked = other
        .until(|text| attr(text, "type") == Some("subscribe"))
        .await
        .unwrap();
    assert_eq!(attr(&asked, "from"), Some(alice.as_str()));
    let granted = format!("<presence type='subscribed' to='{alice}'/>");
    other.send(&granted).await.unwrap();
    for client in [&mut one, &mut two] {
        let from = |text: &str| attr(text, "from").is_some_and(|from| from.ends_with("/desk"));
        client
            .until(|text| name(text) == "presence" && from(text))
            .await
            .unwrap();
    }
    // Who comes later sees who is there, over nodes.
    let mut three = Client::online(cluster.address(0), alice.local().unwrap(), "three")
        .await
        .unwrap();
    let from = |text: &str| attr(text, "from").is_some_and(|from| from.ends_with("/desk"));
    three
        .until(|text| name(text) == "presence" && from(text))
        .await
        .unwrap();
    // A question to the other's resource, and its answer.
    let desk = other.jid.clone();
    three
        .send(&format!(
            "<iq type='get' id='v' to='{desk}'><query xmlns='jabber:iq:version'/></iq>"
        ))
        .await
        .unwrap();
    let question = other
        .until(|text| name(text) == "iq" && attr(text, "id") == Some("v"))
        .await
        .unwrap();
    let back = attr(&question, "from").unwrap();
    other
        .send(&format!(
            "<iq type='result' id='v' to='{back}'><query xmlns='jabber:iq:version'/></iq>"
        ))
        .await
        .unwrap();
    let answer = three.answer("v").await.unwrap();
    assert_eq!(attr(&answer, "from"), Some(desk.as_str()));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_between_nodes() {
    const ACTORS: usize = 12;
    let seed = seed();
    println!("seed {seed}");
    let cluster = Cluster::start(3, Settings::default()).await.unwrap();
    create_accounts(&cluster.stores(), (0..ACTORS).map(actor_name))
        .await
        .unwrap();
    let mut play = Play::start(ACTORS, cluster.balancer.address, seed);
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let pipes: usize = (0..cluster.len())
        .map(|at| cluster.app(at).router.peers.pipes())
        .sum();
    play.settle().await;
    let story = play.stop().await;
    let counts = play.verify(&cluster.stores()).await;
    println!("{counts:?}\n{story:?}\n{pipes} ends of pipes");
    assert_eq!(counts.refused, 0);
    assert!(pipes > 0 && counts.promised > 100);
    assert!(
        !story
            .keys()
            .any(|what| what.starts_with("resumption failed")),
        "{story:?}"
    );
    cluster.stop().await;
}
