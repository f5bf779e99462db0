//! Much of it: long rosters and archives arrive whole.
//!
//! `STARLING_ARCHIVED`: messages in the archive (20,000; acceptance 1,000,000).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use storage::backend::embedded::{Embedded, EmbeddedOptions};
use storage::backend::memory::MemoryBlobs;
use storage::repository::{EntryFlags, NewEntry, Roster, RosterItem, Subscription};
use storage::shape::Table;
use tests::faults::client::{Client, attr, name};
use tests::faults::dice::count;
use tests::faults::node::{Local, account};
use tests::faults::settings::Settings;
use xmpp::Jid;

const CONTACTS: usize = 10_000;
const DAY_MS: u64 = 86_400_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roster_of_ten_thousand_contacts_is_loaded_whole() {
    let node = Local::start(&Settings::default(), 1).await.unwrap();
    node.accounts(["alice"]).await.unwrap();
    let item = |number| RosterItem {
        name: Some(format!("Contact number {number}")),
        groups: vec!["Friends".to_owned()],
        subscription: Subscription::Both,
        ..RosterItem::new(account(&format!("contact{number:05}")))
    };
    let roster = Roster {
        items: (0..CONTACTS).map(item).collect(),
        ..Roster::default()
    };
    node.stores
        .rosters
        .store(&account("alice"), &roster, 0)
        .await
        .unwrap();
    let mut alice = Client::login(node.address(), "alice", "phone")
        .await
        .unwrap();
    alice.enable().await.unwrap();
    let start = Instant::now();
    let answer = alice
        .ask("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        .await
        .unwrap();
    println!(
        "{CONTACTS} contacts, {} bytes in {:?}",
        answer.len(),
        start.elapsed()
    );
    let jids: HashSet<&str> = answer
        .split("jid='")
        .skip(1)
        .filter_map(|it| it.split('\'').next())
        .collect();
    for number in 0..CONTACTS {
        assert!(
            jids.contains(&*format!("contact{number:05}@localhost")),
            "{number}"
        );
    }
    // More than a mebibyte is not sent beyond what the client has acknowledged.
    alice.acknowledge(1).await.unwrap();
    // One more, and its push.
    let set = "<iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='new@localhost'/></query></iq>";
    alice.send(set).await.unwrap();
    let push = alice
        .until(|text| attr(text, "type") == Some("set"))
        .await
        .unwrap();
    assert!(
        push.contains("new@localhost") && push.matches("<item").count() == 1,
        "{push}"
    );
    alice.send("<presence/>").await.unwrap();
    alice.until(|text| name(text) == "presence").await.unwrap();
    let stored = node.stores.rosters.load(&account("alice")).await.unwrap();
    assert_eq!(stored.items.len(), CONTACTS + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_of_many_messages_is_paged_whole() {
    let messages = count("STARLING_ARCHIVED", 20_000) as u64;
    let directory = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions {
        sync: false,
        ..EmbeddedOptions::default()
    };
    let table: Arc<dyn Table> = Arc::new(Embedded::open(directory.path(), options).unwrap());
    let node = Local::over(&Settings::default(), 1, table, Arc::new(MemoryBlobs::new()))
        .await
        .unwrap();
    node.accounts(["alice"]).await.unwrap();
    let start = Instant::now();
    fill(&node, messages).await;
    println!("{messages} messages written in {:?}", start.elapsed());
    let mut alice = Client::login(node.address(), "alice", "phone")
        .await
        .unwrap();

    let start = Instant::now();
    let (mut next, mut pages) = (1, 0);
    loop {
        let after = if next == 1 {
            String::new()
        } else {
            format!("<after>{}</after>", next - 1)
        };
        let page = page(&mut alice, "", &format!("<max>250</max>{after}")).await;
        for id in &page.ids {
            assert_eq!(*id, next);
            next += 1;
        }
        pages += 1;
        if page.complete {
            break;
        }
        assert_eq!(page.ids.len(), 250, "a page is full before the end");
    }
    assert_eq!(next, messages + 1);
    println!("{pages} pages forward in {:?}", start.elapsed());

    let mut before = String::new();
    for back in 0..4 {
        let page = page(
            &mut alice,
            "",
            &format!("<max>100</max><before>{before}</before>"),
        )
        .await;
        let last = messages - 100 * back;
        assert_eq!(page.ids, (last - 99..=last).collect::<Vec<_>>());
        before = page.ids[0].to_string();
    }

    // A time in the middle, found without reading all before it.
    let middle = messages / 2;
    let at = xmpp::payload::delay::stamp((DAY_MS * 20_000 + middle * 1_000) as i64);
    let form = format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>\
         <field var='start'><value>{at}</value></field></x>"
    );
    let start = Instant::now();
    let page = page(&mut alice, &form, "<max>10</max>").await;
    assert_eq!(page.ids, (middle..middle + 10).collect::<Vec<_>>());
    println!("a time in the middle found in {:?}", start.elapsed());
    conversations(&mut alice, messages).await;
}

/// Pages of one contact, whoever writes rarely or always.
async fn conversations(alice: &mut Client, messages: u64) {
    // One who wrote ten times in all: the first who asks pays for the index, who asks again does not.
    let expected: Vec<_> = (1..=RARE).map(|n| n * (messages / RARE)).collect();
    for (what, set, wanted) in [
        ("first", "<max>50</max><before/>", &expected[..]),
        ("again", "<max>50</max><before/>", &expected[..]),
        ("forward", "<max>3</max>", &expected[..3]),
        ("only one", "<max>1</max><before/>", &expected[9..]),
    ] {
        let start = Instant::now();
        let found = page(alice, &with("carol@localhost"), set).await;
        assert_eq!(found.ids, wanted, "{what}");
        println!("a rare contact, {what}: {:?}", start.elapsed());
    }
    let start = Instant::now();
    let found = page(alice, &with("nobody@localhost"), "<max>50</max>").await;
    assert!(found.ids.is_empty() && found.complete);
    println!("a contact who never wrote: {:?}", start.elapsed());
    let start = Instant::now();
    let found = page(alice, &with("bob@localhost"), "<max>250</max><before/>").await;
    assert_eq!(found.ids.len(), 250);
    println!("the last page of the usual one: {:?}", start.elapsed());
}

/// Messages of the contact who writes rarely.
const RARE: u64 = 10;

fn with(contact: &str) -> String {
    format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>\
         <field var='with'><value>{contact}</value></field></x>"
    )
}

/// Messages a second apart, straight into the log.
async fn fill(node: &Local, messages: u64) {
    let owner = account("alice");
    let bob = Jid::parse("bob@localhost/phone").unwrap();
    let carol = Jid::parse("carol@localhost/phone").unwrap();
    let peer = |number: u64| match number % (messages / RARE) {
        0 => &carol,
        _ => &bob,
    };
    let mut head = 0;
    while head < messages {
        let batch: Vec<NewEntry> = (head + 1..=messages.min(head + 64))
            .map(|number| NewEntry {
                time_ms: DAY_MS * 20_000 + number * 1_000,
                flags: EntryFlags::ARCHIVED,
                peer: peer(number).clone(),
                stanza: format!(
                    "<message xmlns='jabber:client' from='{}' to='{owner}' type='chat' id='m{number}'>\
                     <body>The quick brown fox jumps over the lazy dog for the {number}. time</body></message>",
                    peer(number)
                )
                .into(),
            })
            .collect();
        node.stores
            .logs
            .append(&owner, head, head + 1, &batch)
            .await
            .unwrap();
        head += batch.len() as u64;
    }
}

struct Page {
    ids: Vec<u64>,
    complete: bool,
}

async fn page(client: &mut Client, form: &str, set: &str) -> Page {
    let rsm = format!("<set xmlns='http://jabber.org/protocol/rsm'>{set}</set>");
    let query =
        format!("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'>{form}{rsm}</query></iq>");
    client.send(&query).await.unwrap();
    let mut ids = Vec::new();
    loop {
        let text = client.next().await.unwrap();
        match name(&text) {
            "iq" => {
                assert_eq!(attr(&text, "type"), Some("result"), "{text}");
                return Page {
                    ids,
                    complete: text.contains("complete='true'"),
                };
            }
            "message" => {
                let (_, result) = text.split_once("<result").expect("nobody else writes");
                let id = attr(&format!("<result{result}"), "id").and_then(|id| id.parse().ok());
                ids.push(id.expect("our ids are numbers"));
            }
            _ => {}
        }
    }
}
