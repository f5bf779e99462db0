//! Rooms on their way to their pages, over a real log.

use std::sync::Arc;

use storage::{
    ErrorKind, Stores,
    backend::memory::{MemoryBlobs, MemoryTable},
    layer::{
        Call, Faulty, Switchboard,
        faulty::{Fault, FaultyBlobs, When},
    },
    repository::NewEntry,
};

use super::{line::tests::entry, *};

const DAY_MS: u64 = 86_400_000;

/// A room, and where it is published.
struct Play {
    stores: Stores,
    about: About,
    faults: Arc<Switchboard>,
    head: u64,
}

impl Play {
    fn new() -> Self {
        let faults = Switchboard::new(1);
        let table = Faulty::new(Arc::new(MemoryTable::new()), faults.clone());
        let blobs = FaultyBlobs::new(Arc::new(MemoryBlobs::new()), faults.clone());
        let stores = Stores::over(Arc::new(table), Arc::new(blobs)).unguarded();
        Self {
            stores,
            about: About {
                room: BareJid::parse("cave@rooms.example").unwrap(),
                published: true,
                listed: true,
                created_ms: 7,
                name: "A Dark Cave".into(),
                description: String::new(),
                lang: String::new(),
            },
            faults,
            head: 0,
        }
    }

    /// Somebody says something on the n-th day; its number.
    async fn say(&mut self, day: u64, nick: &str, inner: &str) -> u64 {
        let entry = entry(self.head + 1, nick, inner);
        let new = NewEntry {
            time_ms: entry.time_ms + day * DAY_MS,
            flags: entry.flags,
            peer: entry.peer,
            stanza: entry.stanza,
        };
        self.append(new).await
    }

    async fn append(&mut self, new: NewEntry) -> u64 {
        let logs = &self.stores.logs;
        let write = crate::random::number();
        logs.append(&self.about.room, self.head, write, &[new])
            .await
            .unwrap();
        self.head += 1;
        self.head
    }

    async fn publish(&self) -> storage::Result<u64> {
        let publishing = Publishing {
            pages: &self.stores.pages,
            logs: &*self.stores.archives,
            about: &self.about,
        };
        publishing.run().await
    }

    async fn page(&self, path: &str) -> Option<String> {
        let path = format!("{}/{path}", place(&self.about.room));
        let found = self.stores.pages.page(&path).await.unwrap();
        found.map(|it| String::from_utf8(it.to_vec()).unwrap())
    }

    /// The texts of a day, from its JSON.
    async fn texts(&self, day: &str) -> Vec<String> {
        let json = self.page(&format!("{day}.jsonl")).await.unwrap_or_default();
        let html = self.page(&format!("{day}.html")).await.unwrap_or_default();
        let lines = json.lines().map(|line| serde_json::from_str(line).unwrap());
        let texts = lines.map(|line: serde_json::Value| line["text"].as_str().unwrap().to_owned());
        let texts: Vec<String> = texts.collect();
        for text in &texts {
            assert!(html.contains(text), "{html}");
        }
        texts
    }
}

#[tokio::test]
async fn days_are_published_and_lead_to_each_other() {
    let mut play = Play::new();
    for (day, text) in [(0, "one"), (0, "two"), (2, "three"), (9, "four")] {
        play.say(day, "ada", &format!("<body>{text}</body>")).await;
    }
    assert!(play.publish().await.unwrap() > 0);
    assert_eq!(play.publish().await.unwrap(), 0);
    assert_eq!(play.texts("2026-11/23").await, ["one", "two"]);
    assert_eq!(play.texts("2026-11/25").await, ["three"]);
    assert_eq!(play.texts("2026-12/02").await, ["four"]);
    let first = play.page("2026-11/23.html").await.unwrap();
    assert!(
        first.contains("href=\"25.html\"") && first.contains("id=\"m1\""),
        "{first}"
    );
    let month = play.page("2026-11/index.html").await.unwrap();
    assert!(month.contains("25.html\">25<small>1<"), "{month}");
    let room = play.page("index.html").await.unwrap();
    assert!(room.contains("2026-12/index.html"), "{room}");
    let service = play.stores.pages.page("rooms.example/index.html").await;
    let service = service.unwrap().unwrap();
    assert!(service.windows(4).any(|it| it == b"cave"));
    // What is said later goes where it belongs.
    play.say(9, "bob", "<body>five</body>").await;
    play.publish().await.unwrap();
    assert_eq!(play.texts("2026-12/02").await, ["four", "five"]);
}

#[tokio::test]
async fn what_is_not_to_be_published_is_not() {
    let mut play = Play::new();
    let mut hidden = entry(1, "ada", "<body>secret</body>");
    hidden.flags = EntryFlags::ARCHIVED | EntryFlags::GROUPCHAT;
    let new = NewEntry {
        time_ms: hidden.time_ms,
        flags: hidden.flags,
        peer: hidden.peer,
        stanza: hidden.stanza,
    };
    play.append(new).await;
    assert_eq!(play.publish().await.unwrap(), 0);
    play.say(0, "ada", "<body>open</body>").await;
    play.publish().await.unwrap();
    assert_eq!(play.texts("2026-11/23").await, ["open"]);
}

#[tokio::test]
async fn what_is_taken_back_vanishes_whenever_that_is_found() {
    let mut play = Play::new();
    let spam = play.say(0, "eve", "<body>spam</body>").await;
    let ham = play.say(0, "ada", "<body>ham</body>").await;
    play.publish().await.unwrap();
    assert_eq!(play.texts("2026-11/23").await, ["spam", "ham"]);
    // Somebody else's message stays, the own one goes; the log itself may not have a tombstone yet.
    let retract = |number| format!("<retract xmlns='urn:xmpp:message-retract:1' id='{number}'/>");
    play.say(3, "eve", &retract(ham)).await;
    play.say(3, "eve", &retract(spam)).await;
    play.publish().await.unwrap();
    assert_eq!(play.texts("2026-11/23").await, ["ham"]);
    let month = play.page("2026-11/index.html").await.unwrap();
    assert!(month.contains("23.html\">23<small>1<"), "{month}");
    // Nor does it come back when its page is written again.
    play.say(3, "ada", "<body>again</body>").await;
    let mut seen = play.stores.pages.state(&play.about.room).await.unwrap();
    seen.state.done = 0;
    play.stores
        .pages
        .put_state(&play.about.room, &seen)
        .await
        .unwrap();
    play.publish().await.unwrap();
    assert_eq!(play.texts("2026-11/23").await, ["ham"]);
    assert_eq!(play.texts("2026-11/26").await, ["again"]);
}

#[tokio::test]
async fn what_corrected_a_message_vanishes_with_it() {
    let mut play = Play::new();
    let first = play.say(0, "ada", "<body>my passwort is x</body>").await;
    let correct = |text: &str| {
        format!("<body>{text}</body><replace xmlns='urn:xmpp:message-correct:0' id='i{first}'/>")
    };
    play.say(0, "ada", &correct("my password is x")).await;
    play.say(0, "eve", &correct("not hers")).await;
    // On another page.
    play.say(1, "ada", &correct("my password was x")).await;
    play.publish().await.unwrap();
    let retract = format!("<retract xmlns='urn:xmpp:message-retract:1' id='{first}'/>");
    play.say(1, "ada", &retract).await;
    play.say(1, "ada", "<body>sorry</body>").await;
    play.publish().await.unwrap();
    assert_eq!(play.texts("2026-11/23").await, ["not hers"]);
    assert_eq!(play.texts("2026-11/24").await, ["sorry"]);
}

#[tokio::test]
async fn only_rooms_that_everybody_may_know_are_in_the_list() {
    let mut play = Play::new();
    play.about.listed = false;
    play.say(0, "ada", "<body>one</body>").await;
    play.publish().await.unwrap();
    let listed = async |play: &Play| {
        let page = play.stores.pages.page("rooms.example/index.html").await;
        let page = page.unwrap().unwrap_or_default();
        String::from_utf8_lossy(&page).contains("cave")
    };
    assert!(!listed(&play).await);
    assert_eq!(play.texts("2026-11/23").await, ["one"]);
    for now in [true, false, true] {
        play.about.listed = now;
        play.publish().await.unwrap();
        assert_eq!(listed(&play).await, now);
        assert_eq!(play.publish().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn whoever_dies_on_the_way_is_followed_by_one_who_gets_to_the_end() {
    // It ends at each of its writes.
    for failing in 0..12 {
        let mut play = Play::new();
        play.say(0, "ada", "<body>one</body>").await;
        play.say(1, "ada", "<body>two</body>").await;
        let mut fails = vec![false; failing];
        fails.push(true);
        play.faults.add(
            |target| target.call == Call::BlobPut,
            When::Sequence(fails.into()),
            Fault::Fail(ErrorKind::Unavailable),
        );
        let outcome = play.publish().await;
        play.faults.clear();
        play.say(1, "bob", "<body>three</body>").await;
        play.publish().await.unwrap();
        assert_eq!(
            play.texts("2026-11/23").await,
            ["one"],
            "{failing} {outcome:?}"
        );
        assert_eq!(
            play.texts("2026-11/24").await,
            ["two", "three"],
            "{failing}"
        );
        let month = play.page("2026-11/index.html").await.unwrap();
        assert!(month.contains("24.html\">24<small>2<"), "{failing} {month}");
        let room = play.page("index.html").await.unwrap();
        assert!(room.contains("2026-11/index.html"), "{failing} {room}");
    }
}

#[tokio::test]
async fn of_two_who_publish_both_get_to_the_end() {
    let mut play = Play::new();
    for number in 0..20 {
        play.say(number / 5, "ada", &format!("<body>t{number}</body>"))
            .await;
    }
    let (one, two) = tokio::join!(play.publish(), play.publish());
    one.unwrap();
    two.unwrap();
    assert_eq!(
        play.texts("2026-11/23").await,
        ["t0", "t1", "t2", "t3", "t4"]
    );
    assert_eq!(play.texts("2026-11/26").await.len(), 5);
}

#[tokio::test]
async fn a_long_day_has_several_pages() {
    let mut play = Play::new();
    let count = u64::from(PART) + 3;
    let entries: Vec<NewEntry> = (0..count)
        .map(|number| {
            let entry = entry(0, "ada", &format!("<body>t{number}</body>"));
            NewEntry {
                time_ms: entry.time_ms,
                flags: entry.flags,
                peer: entry.peer,
                stanza: entry.stanza,
            }
        })
        .collect();
    for some in entries.chunks(64) {
        let write = crate::random::number();
        let logs = &play.stores.logs;
        logs.append(&play.about.room, play.head, write, some)
            .await
            .unwrap();
        play.head += some.len() as u64;
    }
    play.publish().await.unwrap();
    assert_eq!(play.texts("2026-11/23").await.len(), PART as usize);
    assert_eq!(play.texts("2026-11/23-2").await.len(), 3);
    let first = play.page("2026-11/23.html").await.unwrap();
    assert!(first.contains("href=\"23-2.html\""));
    let second = play.page("2026-11/23-2.html").await.unwrap();
    assert!(second.contains("href=\"23.html\""));
}

#[tokio::test]
async fn a_room_of_the_same_name_is_published_anew() {
    let mut play = Play::new();
    play.say(0, "ada", "<body>old</body>").await;
    play.publish().await.unwrap();
    play.stores.logs.erase(&play.about.room).await.unwrap();
    play.stores.pages.erase(&play.about.room).await.unwrap();
    assert_eq!(play.page("2026-11/23.html").await, None);
    (play.head, play.about.created_ms) = (0, 9);
    play.say(0, "bob", "<body>new</body>").await;
    play.publish().await.unwrap();
    assert_eq!(play.texts("2026-11/23").await, ["new"]);
}
