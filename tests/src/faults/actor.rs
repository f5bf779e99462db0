//! An actor: a client with stream management that chats through whatever happens to it and to its server.
//!
//! Source: XEP-0198 v1.6.3 §5, and what its §6 advises: what was not acknowledged before a resumption failed is sent again.
//! Every so often it loses its connection, leaves in good order, or forgets the session, as clients do. What it does and
//! sees goes into the [`Ledger`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use super::client::{Client, attr, counts, message, name, stanza_id};
use super::dice::Dice;
use super::ledger::{Key, Ledger, Receipt};
use super::node::account;
use crate::load::scram::Keys;
use crate::load::wire::Wire;

/// Stanzas that may wait for an acknowledgement before an actor falls silent.
const WINDOW: usize = 48;

/// What the test wants of its actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Chat, and have accidents.
    Load,
    /// Stay, answer, send again what is not acknowledged, and nothing new.
    Settle,
    /// Leave.
    Stop,
}

/// What happened to an actor.
pub type Story = BTreeMap<String, usize>;

/// Whoever came back for its session got it, and somebody did.
///
/// # Panics
/// Otherwise.
pub fn all_resumed(story: &Story) {
    let (resumed, failed) = resumptions(story);
    println!("{resumed} sessions resumed, {failed} not found");
    assert!(resumed > 0 && failed == 0, "{story:?}");
}

/// How many sessions were resumed, and how many were not found.
#[must_use]
pub fn resumptions(story: &Story) -> (usize, usize) {
    let failed = story
        .iter()
        .filter(|(what, _)| what.starts_with("resumption failed"));
    let failed = failed.map(|(_, count)| count).sum();
    (story.get("resumed").copied().unwrap_or_default(), failed)
}

/// Makes a connection; nobody has logged in over it.
pub type Dial = Arc<dyn Fn() -> io::Result<Wire> + Send + Sync>;

/// Where clients come in.
#[derive(Clone)]
pub enum Door {
    /// At the address of the moment.
    Address(watch::Receiver<SocketAddr>),
    /// Over connections that the test makes.
    Made(Dial, Arc<Keys>),
}

impl Door {
    async fn enter(&self, user: &str) -> io::Result<Client> {
        match self {
            Self::Address(address) => {
                let address = *address.borrow();
                Client::authenticated(address, user).await
            }
            Self::Made(dial, keys) => Client::over(dial()?).authenticate_by(keys, user).await,
        }
    }
}

/// How busy an actor is. The moments are in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The longest time between two things that it does.
    pub rest_ms: u64,
    /// Of so many things that it does one is that its connection breaks.
    pub vanishes: u64,
    /// One is that it leaves in good order.
    pub leaves: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            rest_ms: 12,
            vanishes: 200,
            leaves: 400,
        }
    }
}

/// The state that actors and test share.
#[derive(Clone)]
pub struct Stage {
    /// What was sent and received.
    pub ledger: Arc<Mutex<Ledger>>,
    /// Where the server is now.
    pub door: Door,
    /// How busy its actors are.
    pub pace: Pace,
    /// What is to be done.
    pub phase: watch::Receiver<Phase>,
}

impl Stage {
    /// The ledger, also after a panic.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the account of an actor.
#[must_use]
pub fn actor_name(index: usize) -> String {
    format!("actor{index}")
}

/// A managed stream, as its client knows it.
struct Managed {
    id: String,
    handled: u32,
    acked: u32,
    session: u64,
}

/// One client.
pub struct Actor {
    me: usize,
    peers: Vec<usize>,
    stage: Stage,
    dice: Dice,
    next: HashMap<usize, u32>,
    /// What was sent since the stream was managed and is not acknowledged; `None`: a presence.
    unacked: VecDeque<Option<Key>>,
    /// What is to be sent once there is a stream.
    again: VecDeque<Option<Key>>,
    managed: Option<Managed>,
    /// When the connection of the managed stream broke, and whether its client had done that.
    broke: Option<(Instant, bool)>,
    story: Story,
}

impl Actor {
    /// The actor of an account that writes to these peers.
    #[must_use]
    pub fn new(me: usize, peers: Vec<usize>, stage: Stage, seed: u64) -> Self {
        Self {
            me,
            peers,
            stage,
            dice: Dice::new(seed, me as u64),
            next: HashMap::new(),
            unacked: VecDeque::new(),
            again: VecDeque::new(),
            managed: None,
            broke: None,
            story: Story::new(),
        }
    }

    fn tell(&mut self, what: &str) {
        *self.story.entry(what.to_owned()).or_default() += 1;
    }

    fn phase(&self) -> Phase {
        *self.stage.phase.borrow()
    }

    /// Plays until the test says stop; what happened.
    pub async fn run(mut self) -> Story {
        while self.phase() != Phase::Stop {
            if let Err(error) = self.appear().await {
                self.broke.get_or_insert_with(|| (Instant::now(), false));
                self.tell(&match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        format!("turned away: {}", condition(&error.to_string()))
                    }
                    kind => format!("lost: {kind:?}"),
                });
                sleep(self.dice.between_ms(10, 60)).await;
            }
        }
        self.story
    }

    /// From connect to the end of the connection.
    async fn appear(&mut self) -> io::Result<()> {
        let dialled = Instant::now();
        let mut client = self.stage.door.enter(&actor_name(self.me)).await?;
        if !self.resume(&mut client, dialled).await? {
            client.bind("phone").await?;
            let id = client.enable().await?;
            let session = self.stage.ledger().session();
            self.broke = None;
            self.managed = Some(Managed {
                id,
                handled: 0,
                acked: 0,
                session,
            });
            self.tell("bound");
            self.send_presence(&mut client).await?;
        }
        while let Some(item) = self.again.pop_front() {
            match item {
                Some(key) => self.send_message(&mut client, key).await?,
                None => self.send_presence(&mut client).await?,
            }
        }
        self.stay(client).await
    }

    /// Whether the session goes on. What the server has not handled is to be sent again.
    async fn resume(&mut self, client: &mut Client, dialled: Instant) -> io::Result<bool> {
        let Some(managed) = &self.managed else {
            return Ok(false);
        };
        let (id, handled) = (managed.id.clone(), managed.handled);
        let answer = client.resume(&id, handled).await?;
        if let Some(h) = attr(&answer, "h").and_then(|h| h.parse().ok()) {
            self.acknowledged(h, &answer);
        }
        let resumed = name(&answer) == "resumed";
        if let (true, Some((broke, vanished))) = (resumed, self.broke.take()) {
            let mut ledger = self.stage.ledger();
            ledger.times.resumed(broke, dialled, vanished);
        }
        self.tell(&match resumed {
            true => "resumed".to_owned(),
            false => format!("resumption failed: {}", condition(&answer)),
        });
        self.give_up_stream(resumed);
        Ok(resumed)
    }

    /// What is not acknowledged is to be sent on the next stream, before all that was to be sent already.
    fn give_up_stream(&mut self, resumed: bool) {
        while let Some(item) = self.unacked.pop_back() {
            // A new session begins with a presence anyway.
            if resumed || item.is_some() {
                self.again.push_front(item);
            }
        }
        if !resumed {
            self.again.retain(Option::is_some);
            self.managed = None;
        }
    }

    async fn send_presence(&mut self, client: &mut Client) -> io::Result<()> {
        self.unacked.push_back(None);
        client.send("<presence/>").await
    }

    async fn send_message(&mut self, client: &mut Client, key: Key) -> io::Result<()> {
        // Noted first: it may arrive although sending it fails.
        self.unacked.push_back(Some(key));
        let session = self.managed.as_ref().map_or(0, |managed| managed.session);
        self.stage.ledger().sent_in(key, session);
        let to = account(&actor_name(key.to));
        client
            .send(&message(to.as_str(), &key.id(), "wherefore art thou"))
            .await
    }

    fn acknowledged(&mut self, h: u32, said: &str) {
        let Some(managed) = &mut self.managed else {
            return;
        };
        let count = h.wrapping_sub(managed.acked) as usize;
        if count > self.unacked.len() {
            let (me, acked, unacked) = (self.me, managed.acked, self.unacked.len());
            return self.stage.ledger().broken(format!(
                "{me} sent {unacked} stanzas behind {acked} that were acknowledged, and was told {said}"
            ));
        }
        managed.acked = h;
        let mut ledger = self.stage.ledger();
        self.unacked
            .drain(..count)
            .flatten()
            .for_each(|key| ledger.acked(key));
    }

    /// Chats until the connection is gone, or given up.
    async fn stay(&mut self, mut client: Client) -> io::Result<()> {
        let mut phase = self.stage.phase.clone();
        loop {
            let pace = match self.phase() {
                Phase::Load => self.dice.between_ms(0, self.stage.pace.rest_ms),
                Phase::Settle => Duration::from_millis(50),
                Phase::Stop => return self.leave(client).await,
            };
            tokio::select! {
                text = client.recv() => self.take(&mut client, &text?).await?,
                () = sleep(pace) => match self.phase() {
                    Phase::Load if self.dice.once_in(self.stage.pace.vanishes) => return self.vanish(client).await,
                    Phase::Load if self.dice.once_in(self.stage.pace.leaves) => return self.leave(client).await,
                    Phase::Load => self.chat(&mut client).await?,
                    Phase::Settle => client.send("<r xmlns='urn:xmpp:sm:3'/>").await?,
                    Phase::Stop => {}
                },
                _ = phase.changed() => {}
            }
        }
    }

    async fn chat(&mut self, client: &mut Client) -> io::Result<()> {
        if self.unacked.len() >= WINDOW {
            return Ok(());
        }
        for _ in 0..=self.dice.below(4) {
            let to = self.peers[self.dice.below(self.peers.len() as u64) as usize];
            let seq = self.next.entry(to).or_default();
            *seq += 1;
            let key = Key {
                from: self.me,
                to,
                seq: *seq,
            };
            self.send_message(client, key).await?;
        }
        if self.dice.once_in(2) {
            client.send("<r xmlns='urn:xmpp:sm:3'/>").await?;
        }
        Ok(())
    }

    /// The connection breaks; half of the time the client comes back at once, sometimes it has forgotten the session.
    async fn vanish(&mut self, client: Client) -> io::Result<()> {
        drop(client);
        self.tell("vanished");
        self.broke = Some((Instant::now(), true));
        if self.dice.once_in(2) {
            sleep(self.dice.between_ms(0, 200)).await;
        }
        if self.dice.once_in(4) {
            self.tell("forgot");
            self.give_up_stream(false);
        }
        Ok(())
    }

    /// The client leaves in good order.
    async fn leave(&mut self, mut client: Client) -> io::Result<()> {
        self.tell("left");
        let handled = self.managed.as_ref().map_or(0, |managed| managed.handled);
        client.acknowledge(handled).await?;
        client.send("</stream:stream>").await?;
        for text in client.rest().await? {
            self.note(&text);
        }
        self.give_up_stream(false);
        if self.phase() == Phase::Load {
            sleep(self.dice.between_ms(0, 300)).await;
        }
        Ok(())
    }

    /// Something of the server's, answered where an answer is due.
    async fn take(&mut self, client: &mut Client, text: &str) -> io::Result<()> {
        let handled = self.note(text);
        match name(text) {
            // A client may take its time.
            "r" if self.phase() == Phase::Settle || !self.dice.once_in(4) => {
                client.acknowledge(handled).await
            }
            "presence" if attr(text, "type") == Some("error") => {
                self.tell("presence refused");
                sleep(Duration::from_millis(20)).await;
                self.send_presence(client).await
            }
            _ => Ok(()),
        }
    }

    /// Something of the server's; how many stanzas it sent by now.
    fn note(&mut self, text: &str) -> u32 {
        match name(text) {
            "a" => {
                if let Some(h) = attr(text, "h").and_then(|h| h.parse().ok()) {
                    self.acknowledged(h, text);
                }
            }
            "stream:error" => self.tell(&format!("stream error: {}", condition(text))),
            "message" => self.note_message(text),
            _ => {}
        }
        let Some(managed) = &mut self.managed else {
            return 0;
        };
        managed.handled = managed.handled.wrapping_add(u32::from(counts(text)));
        managed.handled
    }

    fn note_message(&mut self, text: &str) {
        let Some(key) = attr(text, "id").and_then(Key::parse) else {
            return;
        };
        if attr(text, "type") == Some("error") {
            let why = text
                .split("</text>")
                .next()
                .and_then(|it| it.rsplit('>').next());
            let why = why.unwrap_or_default();
            self.tell(&format!("message refused: {} {why}", condition(text)));
            self.stage.ledger().refused(key);
        } else if key.to == self.me {
            let session = self.managed.as_ref().map_or(0, |managed| managed.session);
            self.stage.ledger().received(Receipt {
                key,
                stanza_id: stanza_id(text),
                session,
            });
        }
    }
}

/// The first of the conditions that tests meet which stands in an error.
#[must_use]
pub fn condition(text: &str) -> &'static str {
    const KNOWN: [&str; 15] = [
        "resource-constraint",
        "temporary-auth-failure",
        "service-unavailable",
        "item-not-found",
        "internal-server-error",
        "policy-violation",
        "conflict",
        "connection-timeout",
        "system-shutdown",
        "not-well-formed",
        "not-authorized",
        "not-allowed",
        "undefined-condition",
        "unsupported-stanza-type",
        "bad-request",
    ];
    KNOWN
        .into_iter()
        .find(|condition| text.contains(&format!("<{condition}")))
        .unwrap_or("another condition")
}
