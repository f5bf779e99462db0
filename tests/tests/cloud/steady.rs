//! Steady clients: each has one stream from beginning to end, writes to the next one, and asks for everything. Its stream
//! may not end; an error may only say "later"; what was acknowledged and not refused arrives once, in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tests::faults::client::{Client, attr, counts, message, name};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Between two things that a client says.
const PACE: Duration = Duration::from_millis(40);
/// Stanzas that may wait for their acknowledgement before a client falls silent.
const WINDOW: usize = 32;
/// How long everything may take when nothing goes wrong any more.
const SETTLE: Duration = Duration::from_secs(90);

/// What a client asks for in turn. All of it is there, so that no answer may say that it is not.
const REQUESTS: [&str; 10] = [
    "<iq type='get' id='ID'><query xmlns='jabber:iq:roster'/></iq>",
    "<iq type='set' id='ID'><query xmlns='jabber:iq:roster'><item jid='a@localhost' name='ID'/></query></iq>",
    "<iq type='get' id='ID'><vCard xmlns='vcard-temp'/></iq>",
    "<iq type='get' id='ID' to='NEXT'><vCard xmlns='vcard-temp'/></iq>",
    "<iq type='set' id='ID'><vCard xmlns='vcard-temp'><FN>ID</FN></vCard></iq>",
    "<iq type='get' id='ID'><query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query></iq>",
    "<iq type='set' id='ID'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><max>1</max></set></query></iq>",
    "<iq type='set' id='ID'><prefs xmlns='urn:xmpp:mam:2' default='always'><always/><never/></prefs></iq>",
    "<iq type='set' id='ID'><block xmlns='urn:xmpp:blocking'><item jid='x@localhost'/></block></iq>",
    "<iq type='get' id='ID'><blocklist xmlns='urn:xmpp:blocking'/></iq>",
];

/// What all of them know.
#[derive(Default)]
struct Books {
    acknowledged: BTreeSet<(usize, u32)>,
    refused: BTreeSet<(usize, u32)>,
    received: Vec<(usize, u32)>,
    open: BTreeMap<usize, usize>,
    told: Told,
}

/// What clients were told, and how often.
pub type Told = BTreeMap<String, usize>;

impl Books {
    fn tell(&mut self, what: impl Into<String>) {
        *self.told.entry(what.into()).or_default() += 1;
    }

    fn promised(&self) -> BTreeSet<(usize, u32)> {
        let promised = self.acknowledged.difference(&self.refused);
        promised.copied().collect()
    }

    /// What was promised and has not arrived.
    fn missing(&self) -> BTreeSet<(usize, u32)> {
        let received: BTreeSet<_> = self.received.iter().copied().collect();
        &self.promised() - &received
    }

    fn is_settled(&self) -> bool {
        self.open.values().all(|open| *open == 0) && self.missing().is_empty()
    }
}

/// Running clients.
pub struct Steady {
    books: Arc<Mutex<Books>>,
    phase: watch::Sender<Phase>,
    running: Vec<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Talk,
    Settle,
    Stop,
}

impl Steady {
    /// Logs the accounts `steady0` and so on in and lets them talk.
    pub async fn start(server: SocketAddr, count: usize) -> Self {
        let books = Arc::new(Mutex::new(Books::default()));
        let (phase, phase_of) = watch::channel(Phase::Talk);
        // All of them before the first one talks: what comes while one logs in is passed over.
        let mut clients = Vec::new();
        for me in 0..count {
            clients.push(log_in(server, me).await);
        }
        let running = clients.into_iter().enumerate().map(|(me, client)| {
            let talker = Talker {
                me,
                next: format!("steady{}@localhost", (me + 1) % count),
                client,
                books: books.clone(),
                unacked: VecDeque::new(),
                acked: 0,
                handled: 0,
                sequence: 0,
                turns: 0,
            };
            tokio::spawn(talker.run(phase_of.clone()))
        });
        let running = running.collect();
        Self {
            books,
            phase,
            running,
        }
    }

    /// Waits until all is acknowledged and has arrived, and checks it; what clients were told.
    pub async fn stop(self) -> Told {
        self.phase.send_replace(Phase::Settle);
        let settled = async {
            while !self.books.lock().is_settled() {
                assert!(!self.running.iter().any(JoinHandle::is_finished));
                sleep(Duration::from_millis(50)).await;
            }
        };
        let settled = timeout(SETTLE, settled).await.is_ok();
        self.phase.send_replace(Phase::Stop);
        for client in self.running {
            client
                .await
                .expect("the stream stays, and no answer is wrong");
        }
        let mut books = self.books.lock();
        let missing = books.missing();
        assert!(
            settled,
            "missing {missing:?}, not acknowledged {:?}: {:?}\nreceived {:?}",
            books.open, books.told, books.received
        );
        let mut newest = BTreeMap::new();
        for (from, sequence) in &books.received {
            let before = newest.insert(from, sequence);
            assert!(
                before.is_none_or(|before| before < sequence),
                "{sequence} of {from} came after {before:?}"
            );
        }
        let promised = books.promised().len();
        assert!(promised > 0, "nothing was promised");
        *books
            .told
            .entry("messages promised".to_owned())
            .or_default() = promised;
        books.told.clone()
    }
}

async fn log_in(server: SocketAddr, me: usize) -> Client {
    let user = format!("steady{me}");
    let mut client = Client::online(server, &user, "phone").await.unwrap();
    let vcard = "<iq type='set' id='v'><vCard xmlns='vcard-temp'><FN>v</FN></vCard></iq>";
    let answer = client.ask(vcard).await.unwrap();
    assert_eq!(attr(&answer, "type"), Some("result"), "{answer}");
    client.enable().await.unwrap();
    client
}

struct Talker {
    me: usize,
    next: String,
    client: Client,
    books: Arc<Mutex<Books>>,
    /// What is not acknowledged: the number of a message, or `None` for something else.
    unacked: VecDeque<Option<u32>>,
    acked: u32,
    handled: u32,
    sequence: u32,
    turns: usize,
}

impl Talker {
    async fn run(mut self, phase: watch::Receiver<Phase>) {
        loop {
            let now = *phase.borrow();
            if now == Phase::Stop {
                return;
            }
            tokio::select! {
                text = self.client.recv() => self.take(&text.expect("the stream stays")).await,
                () = sleep(PACE) => match now {
                    Phase::Talk if self.unacked.len() < WINDOW => self.talk().await,
                    _ => self.client.send("<r xmlns='urn:xmpp:sm:3'/>").await.unwrap(),
                },
            }
            self.books.lock().open.insert(self.me, self.unacked.len());
        }
    }

    async fn talk(&mut self) {
        self.turns += 1;
        if self.turns.is_multiple_of(2) {
            let request = REQUESTS[self.turns / 2 % REQUESTS.len()];
            let id = format!("q{}", self.turns);
            let request = request.replace("ID", &id).replace("NEXT", &self.next);
            self.unacked.push_back(None);
            self.client.send(&request).await.unwrap();
            return;
        }
        self.sequence += 1;
        self.unacked.push_back(Some(self.sequence));
        let id = format!("s-{}-{}", self.me, self.sequence);
        let text = message(&self.next, &id, "still here");
        self.client.send(&text).await.unwrap();
    }

    async fn take(&mut self, text: &str) {
        self.handled = self.handled.wrapping_add(u32::from(counts(text)));
        let is_error = attr(text, "type") == Some("error");
        match name(text) {
            "r" => return self.client.acknowledge(self.handled).await.unwrap(),
            "a" => return self.acknowledged(text),
            "message" | "presence" | "iq" => {}
            _ => panic!("steady{}: {text}", self.me),
        }
        if is_error {
            assert!(text.contains("type='wait'"), "steady{}: {text}", self.me);
        }
        let mut books = self.books.lock();
        let kind = if is_error { "refused" } else { "got" };
        books.tell(format!("{} {kind}", name(text)));
        let Some((from, sequence)) = attr(text, "id").and_then(parse) else {
            return;
        };
        if is_error {
            books.refused.insert((from, sequence));
        } else if name(text) == "message" {
            books.received.push((from, sequence));
        }
    }

    fn acknowledged(&mut self, text: &str) {
        let h: u32 = attr(text, "h").and_then(|h| h.parse().ok()).unwrap();
        let count = h.wrapping_sub(self.acked) as usize;
        assert!(count <= self.unacked.len(), "steady{}: {text}", self.me);
        self.acked = h;
        let mut books = self.books.lock();
        let messages = self.unacked.drain(..count).flatten();
        books
            .acknowledged
            .extend(messages.map(|sequence| (self.me, sequence)));
    }
}

/// Sender and number in the id of a message.
fn parse(id: &str) -> Option<(usize, u32)> {
    let (from, sequence) = id.strip_prefix("s-")?.split_once('-')?;
    Some((from.parse().ok()?, sequence.parse().ok()?))
}
