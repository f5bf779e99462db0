//! A node that compacts, bounds and sweeps its logs while people chat: nobody sees any of it, but where they asked for it.

use std::sync::Arc;
use std::time::Duration;

use starling::config::Config;
use storage::layer::Call;
use storage::layer::faulty::{Fault, When};
use storage::maintenance::MaintenanceOptions;
use storage::repository::Extent;
use storage::{Clock, ErrorKind, Stores, SystemClock};
use tests::faults::actor::{actor_name, condition};
use tests::faults::client::{Client, PATIENCE, attr, message, name};
use tests::faults::dice::{count, seed};
use tests::faults::node::{DOMAIN, Local, account, create_accounts};
use tests::faults::settings::Settings;

use crate::play::Play;

const ACTORS: usize = 8;
/// Messages of a conversation.
const SAID: usize = 300;
/// Messages of a segment, or as many as were kept together.
const SEGMENT: u64 = 16;

/// Compacts all that was handed over, at once and over and over.
fn eagerly(config: &mut Config) {
    let maintenance = &mut config.maintenance;
    maintenance.compact = Some(true);
    maintenance.compact_after = Duration::ZERO;
    maintenance.tail = 1;
    maintenance.segment = SEGMENT;
    maintenance.interval = Duration::from_millis(20);
    maintenance.pause = Duration::from_millis(1);
}

async fn node(change: impl FnOnce(&mut Config)) -> Local {
    let settings = Settings::default();
    let node = Local::start_at(&settings, Arc::new(SystemClock), |config| {
        eagerly(config);
        change(config);
    });
    let node = node.await.unwrap();
    node.accounts(["alice", "bob", "carol"]).await.unwrap();
    node
}

async fn extent(stores: &Stores, name: &str) -> Extent {
    let maintenance = stores.maintenance(DOMAIN, &[], MaintenanceOptions::default());
    maintenance.unwrap().extent(&account(name)).await.unwrap()
}

/// Waits until an archive is like this.
async fn until(node: &Local, name: &str, wanted: impl Fn(&Extent) -> bool) -> Extent {
    let waiting = async {
        loop {
            let found = extent(&node.stores, name).await;
            if wanted(&found) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap()
}

async fn assert_sound(stores: &Stores, name: &str) -> u64 {
    let maintenance = stores.maintenance(DOMAIN, &[], MaintenanceOptions::default());
    let (maintenance, account) = (maintenance.unwrap(), account(name));
    let report = maintenance
        .verify(&account, SystemClock.now(), &mut |_| {})
        .await
        .unwrap();
    assert!(report.is_sound(), "{report}: {:?}", report.problems);
    report.segments
}

/// How often accounts were looked after.
fn looked_after(node: &Local) -> u64 {
    let text = node.app().router.metrics.render();
    let line = "xmpp_maintenance_work_total{what=\"accounts\"} ";
    let found = text.lines().find_map(|it| it.strip_prefix(line));
    found.map_or(0, |number| number.parse().unwrap())
}

fn id_of(number: usize) -> String {
    format!("m{number}")
}

/// Bob says some of a conversation, until it is stored.
async fn say(bob: &mut Client, to: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let text = message(to, &id_of(number), &format!("said {number}."));
        bob.send(&text).await.unwrap();
    }
    bob.handled().await.unwrap();
}

/// Reads messages up to this one.
async fn hear(client: &mut Client, number: usize) {
    let id = id_of(number);
    let heard = client.until(|text| name(text) == "message" && attr(text, "id") == Some(&id));
    heard.await.unwrap();
}

/// What an archive shows.
#[derive(Default)]
struct Shown {
    ids: Vec<u64>,
    results: Vec<String>,
}

/// A page; the answer if it is an error, what comes by itself apart.
async fn page(client: &mut Client, form: &str, set: &str) -> Result<(Shown, bool), String> {
    let rsm = format!("<set xmlns='http://jabber.org/protocol/rsm'>{set}</set>");
    let query = "query xmlns='urn:xmpp:mam:2' queryid='page'";
    client
        .send(&format!(
            "<iq type='set' id='q'><{query}>{form}{rsm}</query></iq>"
        ))
        .await
        .unwrap();
    let mut shown = Shown::default();
    loop {
        let text = client.next().await.unwrap();
        if name(&text) == "iq" && attr(&text, "id") == Some("q") {
            return match attr(&text, "type") {
                Some("result") => Ok((shown, text.contains("complete='true'"))),
                _ => Err(text),
            };
        }
        if let Some((_, result)) = text.split_once("<result") {
            let id = attr(&format!("<result{result}"), "id").and_then(|id| id.parse().ok());
            shown.ids.push(id.expect("our ids are numbers"));
            shown.results.push(text);
        }
    }
}

/// All of an archive, some messages a page.
async fn pages(client: &mut Client, form: &str, max: usize) -> Shown {
    let mut all = Shown::default();
    loop {
        let after = all.ids.last().map(|id| format!("<after>{id}</after>"));
        let set = format!("<max>{max}</max>{}", after.unwrap_or_default());
        let (shown, complete) = page(client, form, &set).await.unwrap();
        all.ids.extend(shown.ids);
        all.results.extend(shown.results);
        if complete {
            return all;
        }
    }
}

fn with_bob() -> &'static str {
    "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>\
     <field var='with'><value>bob@localhost</value></field></x>"
}

/// The archive shows exactly what was said, in order, under the numbers from 1.
async fn assert_shown(alice: &mut Client, said: usize) {
    for (form, max) in [("", 37), (with_bob(), 250)] {
        let shown = pages(alice, form, max).await;
        assert_eq!(shown.ids, (1..=said as u64).collect::<Vec<_>>());
        for (number, text) in shown.results.iter().enumerate() {
            let is_it = text.contains(&format!("<body>said {number}.</body>"));
            assert!(is_it, "{number} after {said}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chat_goes_on_while_logs_are_compacted() {
    let seed = seed();
    println!("seed {seed}");
    let node = node(|_| {}).await;
    create_accounts(&node.stores, (0..ACTORS).map(actor_name))
        .await
        .unwrap();
    let mut play = Play::start(ACTORS, node.address(), seed);
    tokio::time::sleep(Duration::from_secs(
        count("STARLING_FAULT_SECONDS", 4) as u64
    ))
    .await;
    play.settle().await;
    let story = play.stop().await;
    let stores = node.stop().await;
    let counts = play.verify(&stores).await;
    let mut segments = 0;
    for actor in 0..ACTORS {
        segments += assert_sound(&stores, &actor_name(actor)).await;
    }
    println!("{segments} segments\n{counts:?}\n{story:?}");
    assert!(segments > 0 && counts.promised > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_is_the_same_before_during_and_after_and_a_retraction_finds_its_message() {
    let node = node(|_| {}).await;
    let mut alice = Client::online(node.address(), "alice", "phone")
        .await
        .unwrap();
    let mut bob = Client::managed(node.address(), "bob", "phone")
        .await
        .unwrap();
    let mut said = 0;
    while said < SAID {
        say(&mut bob, "alice@localhost", said..said + 30).await;
        said += 30;
        hear(&mut alice, said - 1).await;
        assert_shown(&mut alice, said).await;
    }
    // Alice's mailbox is written each 50 messages, so not all may be compacted.
    let found = until(&node, "alice", |it| it.segment_entries >= 240).await;
    assert_eq!(found.first, 1);
    assert_shown(&mut alice, SAID).await;

    let retract = "<message to='alice@localhost' type='chat' id='r'><body>gone</body>\
         <retract xmlns='urn:xmpp:message-retract:1' id='m10'/></message>";
    bob.send(retract).await.unwrap();
    let retracted = async {
        loop {
            let shown = pages(&mut alice, "", 100).await;
            if shown.results[10].contains("<retracted") {
                return shown;
            }
        }
    };
    let shown = tokio::time::timeout(PATIENCE, retracted).await.unwrap();
    assert_eq!(shown.ids, (1..=SAID as u64 + 1).collect::<Vec<_>>());
    assert!(!shown.results[10].contains("said 10."));
    for (number, text) in shown.results[..SAID].iter().enumerate() {
        assert_eq!(
            text.contains(&format!("said {number}.")),
            number != 10,
            "{text}"
        );
    }
    let stores = node.stop().await;
    // How many they are is a matter of luck: what was kept together is not parted.
    assert!(assert_sound(&stores, "alice").await > 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_somebody_is_not_touched() {
    let node = node(|config| config.archive.max_messages = Some(1)).await;
    let mut bob = Client::managed(node.address(), "bob", "phone")
        .await
        .unwrap();
    say(&mut bob, "carol@localhost", 0..100).await;
    // Some rounds.
    let before = looked_after(&node);
    let rounds = async {
        while looked_after(&node) < before + 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, rounds).await.unwrap();
    let found = extent(&node.stores, "carol").await;
    assert_eq!((found.segments, found.entries()), (0, 100));
    let mut carol = Client::login(node.address(), "carol", "phone")
        .await
        .unwrap();
    carol.send("<presence/>").await.unwrap();
    for number in 0..100 {
        let text = carol.until(|text| name(text) == "message").await.unwrap();
        assert_eq!(attr(&text, "id"), Some(&*id_of(number)), "{text}");
    }
    // Then it may go, but for what the newest item has.
    carol.close().await.unwrap();
    until(&node, "carol", |it| it.first > 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_beyond_the_retention_goes_and_the_archive_says_so() {
    let node = node(|config| config.archive.max_messages = Some(50)).await;
    let mut alice = Client::online(node.address(), "alice", "phone")
        .await
        .unwrap();
    let mut bob = Client::managed(node.address(), "bob", "phone")
        .await
        .unwrap();
    say(&mut bob, "alice@localhost", 0..SAID).await;
    hear(&mut alice, SAID - 1).await;
    // She is gone, so all is handed over, and the mailbox record says so.
    alice.close().await.unwrap();
    let head = SAID as u64;
    // A segment is dropped to the number, an item of the table only as a whole.
    let found = until(&node, "alice", |it| it.first > head - 50 - 64).await;
    assert!(found.first <= head - 49, "{found:?}");
    let mut alice = Client::login(node.address(), "alice", "phone")
        .await
        .unwrap();
    let shown = pages(&mut alice, "", 100).await;
    let first = shown.ids[0];
    assert!(first >= found.first && first <= head - 49, "{first}");
    assert_eq!(shown.ids, (first..=head).collect::<Vec<_>>());
    let refused = page(&mut alice, "", "<after>1</after>").await.err();
    let refused = refused.expect("the message is gone");
    assert_eq!(condition(&refused), "item-not-found", "{refused}");
    let metadata = "<iq type='get' id='meta'><metadata xmlns='urn:xmpp:mam:2'/></iq>";
    let metadata = alice.ask(metadata).await.unwrap();
    let (_, start) = metadata.split_once("<start").expect("it has a start");
    let start = format!("<start{start}");
    assert_eq!(attr(&start, "id"), Some(&*first.to_string()), "{metadata}");
    let stores = node.stop().await;
    assert_sound(&stores, "alice").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_objects_everything_goes_on_but_old_pages() {
    let node = node(|_| {}).await;
    let mut alice = Client::online(node.address(), "alice", "phone")
        .await
        .unwrap();
    let mut bob = Client::managed(node.address(), "bob", "phone")
        .await
        .unwrap();
    say(&mut bob, "alice@localhost", 0..SAID).await;
    hear(&mut alice, SAID - 1).await;
    until(&node, "alice", |it| it.segment_entries >= 200).await;
    let is_blobs = |call| {
        matches!(
            call,
            Call::BlobGet | Call::BlobPut | Call::BlobRemove | Call::BlobList
        )
    };
    node.switchboard.add(
        move |target| is_blobs(target.call),
        When::Always,
        Fault::Fail(ErrorKind::Unavailable),
    );
    say(&mut bob, "alice@localhost", SAID..SAID + 50).await;
    hear(&mut alice, SAID + 49).await;
    say(&mut bob, "carol@localhost", 0..50).await;
    let mut carol = Client::login(node.address(), "carol", "phone")
        .await
        .unwrap();
    carol.send("<presence/>").await.unwrap();
    hear(&mut carol, 49).await;
    // The newest are in the table; where the objects begin the answer is "later".
    let (shown, _) = page(&mut alice, "", "<max>5</max><before/>").await.unwrap();
    let head = SAID as u64 + 50;
    assert_eq!(shown.ids, (head - 4..=head).collect::<Vec<_>>());
    let refused = page(&mut alice, "", "<max>50</max>").await.err();
    let refused = refused.expect("the objects are not there");
    assert!(refused.contains("type='wait'"), "{refused}");
    node.switchboard.clear();
    assert_shown(&mut alice, SAID + 50).await;
}
