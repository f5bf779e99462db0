//! A room whose occupants are at several nodes: served at its place, the same for all.

use tests::cluster::Cluster;
use tests::faults::client::{Client, attr, name};
use tests::faults::node::{account, create_accounts};
use tests::faults::settings::Settings;

const JOIN: &str = "<x xmlns='http://jabber.org/protocol/muc'/>";
const OWNER: &str = "http://jabber.org/protocol/muc#owner";

/// A room whose place is the node.
pub(crate) fn room_at(cluster: &Cluster, node: usize) -> String {
    let service = cluster.app(0).router.config.room_services()[0].clone();
    (0..1000)
        .map(|number| format!("room{number}@{service}"))
        .find(|room| cluster.home_of(room).unwrap() == node)
        .unwrap()
}

/// Enters and reads up to the subject.
pub(crate) async fn enter(client: &mut Client, room: &str, nick: &str) -> Vec<String> {
    let presence = format!("<presence to='{room}/{nick}'>{JOIN}</presence>");
    client.send(&presence).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let text = client.next().await.unwrap();
        let is_last = text.contains("<subject");
        assert_ne!(attr(&text, "type"), Some("error"), "{text}");
        seen.push(text);
        if is_last {
            return seen;
        }
    }
}

/// How many who enters was shown, itself among them.
fn shown(seen: &[String], room: &str) -> usize {
    let of_room = |text: &&String| attr(text, "from").is_some_and(|from| from.starts_with(room));
    let presences = seen.iter().filter(|text| name(text) == "presence");
    presences.filter(of_room).count()
}

/// Makes a room that stays.
pub(crate) async fn make(client: &mut Client, room: &str, nick: &str) {
    enter(client, room, nick).await;
    let form = "<x xmlns='jabber:x:data' type='submit'>\
        <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>\
        <field var='muc#roomconfig_persistentroom'><value>1</value></field></x>";
    let iq =
        format!("<iq type='set' id='make' to='{room}'><query xmlns='{OWNER}'>{form}</query></iq>");
    let answer = client.ask(&iq).await.unwrap();
    assert_eq!(attr(&answer, "type"), Some("result"), "{answer}");
}

pub(crate) async fn say(client: &mut Client, room: &str, id: &str) {
    let message =
        format!("<message type='groupchat' id='{id}' to='{room}'><body>{id}</body></message>");
    client.send(&message).await.unwrap();
}

pub(crate) async fn hears(client: &mut Client, room: &str, nick: &str, id: &str) {
    let text = client
        .until(|text| name(text) == "message" && text.contains("<body"))
        .await
        .unwrap();
    assert_eq!(attr(&text, "id"), Some(id), "{text}");
    assert_eq!(
        attr(&text, "from"),
        Some(format!("{room}/{nick}").as_str()),
        "{text}"
    );
    assert_eq!(attr(&text, "to"), Some(client.jid.as_str()), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn occupants_of_all_nodes_hear_each_other() {
    let cluster = Cluster::start(3, Settings::default()).await.unwrap();
    cluster.agreed().await;
    let names = [0, 1, 2].map(|node| cluster.name_at(node, 'u').unwrap());
    create_accounts(&cluster.stores(), names.clone())
        .await
        .unwrap();
    for place in 0..3 {
        let room = room_at(&cluster, place);
        let mut clients = Vec::new();
        for (node, name) in names.iter().enumerate() {
            // The socket is at another node than the account.
            let address = cluster.address((node + 1) % 3);
            let client = Client::online(address, name, &format!("r{place}")).await;
            clients.push(client.unwrap());
        }
        make(&mut clients[0], &room, "n0").await;
        for (at, client) in clients.iter_mut().enumerate().skip(1) {
            let seen = enter(client, &room, &format!("n{at}")).await;
            assert_eq!(shown(&seen, &room), at + 1, "{seen:?}");
        }
        for speaker in 0..3 {
            let id = format!("m{place}{speaker}");
            say(&mut clients[speaker], &room, &id).await;
            for client in &mut clients {
                hears(client, &room, &format!("n{speaker}"), &id).await;
            }
        }
        // Who goes is seen to go by all.
        let last = clients.pop().unwrap();
        last.close().await.unwrap();
        for client in &mut clients {
            let gone = format!("{room}/n2");
            let is_it = |text: &str| attr(text, "type") == Some("unavailable");
            let text = client.until(is_it).await.unwrap();
            assert_eq!(attr(&text, "from"), Some(gone.as_str()), "{text}");
        }
        // And who comes later is shown what was said.
        let mut late = Client::online(cluster.address(place), &names[2], "late")
            .await
            .unwrap();
        let seen = enter(&mut late, &room, "late").await;
        let bodies = seen.iter().filter(|it| it.contains("<body")).count();
        assert_eq!(bodies, 3, "{seen:?}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_make_a_room_at_once_one_owns_it() {
    let cluster = Cluster::start(2, Settings::default()).await.unwrap();
    cluster.agreed().await;
    let names = [0, 1].map(|node| cluster.name_at(node, 'w').unwrap());
    create_accounts(&cluster.stores(), names.clone())
        .await
        .unwrap();
    let mut clients = Vec::new();
    for (node, name) in names.iter().enumerate() {
        clients.push(
            Client::online(cluster.address(node), name, "r")
                .await
                .unwrap(),
        );
    }
    for number in 0..10 {
        let service = cluster.app(0).router.config.room_services()[0].clone();
        let room = format!("race{number}@{service}");
        for (at, client) in clients.iter_mut().enumerate() {
            let presence = format!("<presence to='{room}/n{at}'>{JOIN}</presence>");
            client.send(&presence).await.unwrap();
        }
        let mut made = 0;
        for client in &mut clients {
            let is_own =
                |text: &str| attr(text, "type") == Some("error") || text.contains("code='110'");
            let text = client.until(is_own).await.unwrap();
            made += usize::from(text.contains("code='201'"));
            // Who came second meets a room that is locked.
            assert!(
                text.contains("code='201'") || text.contains("item-not-found"),
                "{text}"
            );
        }
        assert_eq!(made, 1, "{room}");
    }
    cluster.stop().await;
}

/// The next message with a body; nothing that comes before it tells anybody to leave.
async fn hears_on(client: &mut Client, room: &str, nick: &str, id: &str) {
    loop {
        let text = client.next().await.unwrap();
        let is_presence = name(&text) == "presence" && text.contains(room);
        assert!(!is_presence, "{text}");
        assert_ne!(attr(&text, "type"), Some("error"), "{text}");
        if name(&text) == "message" && text.contains("<body") {
            assert_eq!(attr(&text, "id"), Some(id), "{text}");
            assert_eq!(attr(&text, "from"), Some(format!("{room}/{nick}").as_str()));
            return;
        }
    }
}

/// Two whose accounts are at the first two nodes, in a room at the third.
async fn two_in_a_room_at_the_third(cluster: &Cluster, room: &str) -> [Client; 2] {
    let names = [0, 1].map(|node| cluster.name_at(node, 'k').unwrap());
    create_accounts(&cluster.stores(), names.clone())
        .await
        .unwrap();
    let mut one = Client::online(cluster.address(0), &names[0], "r")
        .await
        .unwrap();
    let mut two = Client::online(cluster.address(1), &names[1], "r")
        .await
        .unwrap();
    make(&mut one, room, "one").await;
    enter(&mut two, room, "two").await;
    let comes = |text: &str| name(text) == "presence" && text.contains("/two");
    one.until(comes).await.unwrap();
    say(&mut one, room, "m1").await;
    for client in [&mut one, &mut two] {
        hears(client, room, "one", "m1").await;
    }
    [one, two]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_goes_on_when_its_node_dies() {
    let mut cluster = Cluster::start(3, Settings::default()).await.unwrap();
    cluster.agreed().await;
    let room = room_at(&cluster, 2);
    let [mut one, mut two] = two_in_a_room_at_the_third(&cluster, &room).await;
    cluster.kill(2).unwrap();
    let died = std::time::Instant::now();
    say(&mut two, &room, "m2").await;
    for client in [&mut one, &mut two] {
        hears_on(client, &room, "two", "m2").await;
    }
    println!("the room was silent for {:?}", died.elapsed());
    say(&mut one, &room, "m3").await;
    for client in [&mut one, &mut two] {
        hears_on(client, &room, "one", "m3").await;
    }
    // Nobody is there who is not, and history has no gap.
    let seen = enter(
        &mut Client::online(
            cluster.address(0),
            one.jid.split('@').next().unwrap(),
            "late",
        )
        .await
        .unwrap(),
        &room,
        "late",
    )
    .await;
    let presences = shown(&seen, &room);
    let bodies: Vec<_> = seen
        .iter()
        .filter(|it| it.contains("<body"))
        .map(|it| attr(it, "id"))
        .collect();
    assert_eq!(
        (presences, bodies),
        (3, vec![Some("m1"), Some("m2"), Some("m3")]),
        "{seen:?}"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_move_to_nodes_that_come() {
    let mut cluster = Cluster::start(3, Settings::default()).await.unwrap();
    cluster.agreed().await;
    let service = cluster.app(0).router.config.room_services()[0].clone();
    let names = [0, 1].map(|node| cluster.name_at(node, 'g').unwrap());
    create_accounts(&cluster.stores(), names.clone())
        .await
        .unwrap();
    let mut one = Client::managed(cluster.address(0), &names[0], "r")
        .await
        .unwrap();
    one.send("<presence/>").await.unwrap();
    let rooms: Vec<String> = (0..12)
        .map(|number| format!("moves{number}@{service}"))
        .collect();
    for room in &rooms {
        make(&mut one, room, "one").await;
        say(&mut one, room, "m1").await;
        hears(&mut one, room, "one", "m1").await;
    }
    let before: Vec<_> = rooms
        .iter()
        .map(|room| cluster.home_of(room).unwrap())
        .collect();
    let stays = |cluster: &Cluster| cluster.home_of(account(&names[0]).as_str()).unwrap() == 0;
    cluster.launch().await.unwrap();
    cluster.agreed().await;
    let moved = rooms
        .iter()
        .zip(before)
        .filter(|(room, at)| cluster.home_of(room).unwrap() != *at);
    assert!(moved.count() > 0);
    if stays(&cluster) {
        for room in &rooms {
            say(&mut one, room, "m2").await;
            hears_on(&mut one, room, "one", "m2").await;
        }
    }
    cluster.stop().await;
}

/// What a room says to a change of its configuration or of its lists.
async fn asks(client: &mut Client, room: &str, payload: &str) -> String {
    let iq = format!("<iq type='set' id='asks' to='{room}'>{payload}</iq>");
    let answer = client.ask(&iq).await.unwrap();
    assert_eq!(attr(&answer, "type"), Some("result"), "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voice_that_was_given_outlives_the_node_of_the_room() {
    let mut cluster = Cluster::start(3, Settings::default()).await.unwrap();
    cluster.agreed().await;
    let room = room_at(&cluster, 2);
    let [mut one, mut two] = two_in_a_room_at_the_third(&cluster, &room).await;
    let moderated = format!(
        "<query xmlns='{OWNER}'><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>\
         <field var='muc#roomconfig_moderatedroom'><value>1</value></field>\
         <field var='muc#roomconfig_roomsecret'><value>sesame</value></field></x></query>"
    );
    asks(&mut one, &room, &moderated).await;
    for role in ["visitor", "moderator"] {
        let query = format!(
            "<query xmlns='http://jabber.org/protocol/muc#admin'><item nick='two' role='{role}'/></query>"
        );
        asks(&mut one, &room, &query).await;
    }
    let is_moderator = |text: &str| name(text) == "presence" && text.contains("role='moderator'");
    two.until(is_moderator).await.unwrap();
    cluster.kill(2).unwrap();
    // She was let in, is not asked for the password, and moderates still.
    say(&mut two, &room, "m2").await;
    hears_on(&mut two, &room, "two", "m2").await;
    let query = "<query xmlns='http://jabber.org/protocol/muc#admin'><item nick='one' affiliation='member'/></query>";
    let iq = format!("<iq type='set' id='no' to='{room}'>{query}</iq>");
    let refused = two.ask(&iq).await.unwrap();
    assert!(refused.contains("forbidden"), "{refused}");
    let list =
        "<query xmlns='http://jabber.org/protocol/muc#admin'><item role='moderator'/></query>";
    let iq = format!("<iq type='get' id='list' to='{room}'>{list}</iq>");
    let answer = two.ask(&iq).await.unwrap();
    assert_eq!(answer.matches("role='moderator'").count(), 2, "{answer}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_reach_rooms_at_any_node() {
    use starling::module::{Administer, Administered};
    let cluster = Cluster::start(2, Settings::default()).await.unwrap();
    cluster.agreed().await;
    let name = cluster.name_at(0, 'a').unwrap();
    create_accounts(&cluster.stores(), [name.clone()])
        .await
        .unwrap();
    let mut one = Client::online(cluster.address(0), &name, "r")
        .await
        .unwrap();
    for place in [0, 1] {
        let room = room_at(&cluster, place);
        make(&mut one, &room, "one").await;
        let address = account_of(&room);
        for asking in [0, 1] {
            let cx = cluster.app(asking).router.context();
            let known = cx.administer(&address, Administer::Inspect).await.unwrap();
            let Administered::Known(facts) = known else {
                panic!("{known:?}")
            };
            assert!(
                facts.contains(&("occupants".into(), "1".into())),
                "{facts:?}"
            );
        }
        let cx = cluster.app(1 - place).router.context();
        let destroy = || Administer::Destroy {
            reason: Some("spam".into()),
        };
        let done = cx.administer(&address, destroy()).await.unwrap();
        assert_eq!(done, Administered::Destroyed);
        let is_end = |text: &str| text.contains("<destroy") && text.contains("spam");
        one.until(is_end).await.unwrap();
        let again = cx.administer(&address, destroy()).await.unwrap();
        assert_eq!(again, Administered::Absent);
    }
    cluster.stop().await;
}

fn account_of(room: &str) -> xmpp::BareJid {
    xmpp::BareJid::parse(room).unwrap()
}
