//! Somebody in a room with a session that can be resumed: what is said, what is heard, and what a client has to do for both.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tests::faults::client::{Client, attr, counts, name, stanza_id};
use tokio::sync::watch;

/// What clients are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Enter, and talk.
    Talk,
    /// Say nothing new; send again what is not acknowledged.
    Settle,
    /// Leave.
    Stop,
}

/// What all share.
pub struct Scene {
    pub room: String,
    /// How long each speaker is silent between two messages.
    pub rest: Duration,
    pub phase: watch::Receiver<Phase>,
    /// Where nodes take clients now.
    pub doors: watch::Receiver<Vec<SocketAddr>>,
    pub inside: AtomicUsize,
    /// Messages that speakers were told are safe, and those that they were not told of.
    pub promised: AtomicUsize,
    pub open: AtomicUsize,
}

/// What one client met with.
#[derive(Debug, Default)]
pub struct Story {
    /// The numbers that it heard, and when.
    pub heard: Vec<(Instant, u64)>,
    /// The ids that were promised to it, in order.
    pub promised: Vec<String>,
    pub resumed: usize,
    /// It had to enter anew.
    pub rejoined: usize,
    /// It was told that it is not in the room any more, or others that it is not.
    pub left: usize,
    /// Errors that it was told.
    pub refused: Vec<String>,
    /// Where its connection was before it first broke.
    pub door: Option<SocketAddr>,
}

/// One client.
pub struct Talker {
    pub number: usize,
    /// Whether it talks.
    pub speaks: bool,
    scene: Arc<Scene>,
    story: Story,
    /// By which its session is resumed.
    id: Option<String>,
    got: u32,
    acked: u32,
    sent: VecDeque<(String, String)>,
    said: usize,
    tries: usize,
}

pub fn user(number: usize) -> String {
    format!("talker{number}")
}

impl Talker {
    pub fn new(number: usize, speaks: bool, scene: Arc<Scene>) -> Self {
        Self {
            number,
            speaks,
            scene,
            story: Story::default(),
            id: None,
            got: 0,
            acked: 0,
            sent: VecDeque::new(),
            said: 0,
            tries: 0,
        }
    }

    fn address(&self) -> String {
        format!("{}/n{}", self.scene.room, self.number)
    }

    /// Is in the room until it is told to leave.
    pub async fn talk(mut self) -> Story {
        let mut phase = self.scene.phase.clone();
        while *phase.borrow_and_update() < Phase::Stop {
            let doors = self.scene.doors.borrow().clone();
            let door = doors[(self.number + self.tries) % doors.len()];
            match self.appear(door).await {
                Ok(client) => {
                    self.story.door.get_or_insert(door);
                    self.stay(client, &mut phase).await;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            self.tries += 1;
        }
        self.story
    }

    async fn appear(&mut self, door: SocketAddr) -> io::Result<Client> {
        let mut client = Client::authenticated(door, &user(self.number)).await?;
        if let Some(id) = &self.id {
            let answer = client.resume(id, self.got).await?;
            if name(&answer) == "resumed" {
                let h = attr(&answer, "h").and_then(|h| h.parse().ok());
                self.acknowledged(h.unwrap_or(self.acked));
                self.story.resumed += 1;
                for (_, stanza) in &self.sent {
                    client.send(stanza).await?;
                }
                return Ok(client);
            }
            self.story.rejoined += 1;
        }
        client.bind("room").await?;
        self.id = Some(client.enable().await?);
        (self.got, self.acked) = (0, 0);
        let address = self.address();
        let enters = format!(
            "<presence to='{address}'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"
        );
        self.send(&mut client, "", "<presence/>".to_owned()).await?;
        self.send(&mut client, "", enters).await?;
        loop {
            let text = client.next().await?;
            self.hear(&mut client, &text).await?;
            if attr(&text, "from") == Some(&address) && text.contains("code='110'") {
                break;
            }
        }
        self.scene.inside.fetch_add(1, Ordering::Relaxed);
        Ok(client)
    }

    async fn stay(&mut self, mut client: Client, phase: &mut watch::Receiver<Phase>) {
        let mut tick = tokio::time::interval(self.scene.rest);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let now = *phase.borrow_and_update();
            let done = tokio::select! {
                text = client.recv() => match text {
                    Ok(text) => self.hear(&mut client, &text).await,
                    Err(error) => Err(error),
                },
                _ = tick.tick(), if self.speaks && now < Phase::Stop => self.speak(&mut client, now).await,
                _ = phase.changed() => Ok(()),
            };
            if *phase.borrow() == Phase::Stop {
                // What is still in the room is not told that it goes: nobody hears it.
                return drop(client.close().await);
            }
            if done.is_err() {
                return;
            }
        }
    }

    async fn speak(&mut self, client: &mut Client, phase: Phase) -> io::Result<()> {
        if phase == Phase::Talk {
            let id = format!("m{}x{}", self.number, self.said);
            self.said += 1;
            self.scene.open.fetch_add(1, Ordering::Relaxed);
            let room = &self.scene.room;
            let message = format!(
                "<message type='groupchat' id='{id}' to='{room}'><body>said by {}</body></message>",
                self.number
            );
            self.send(client, &id, message).await?;
        }
        client.send("<r xmlns='urn:xmpp:sm:3'/>").await
    }

    /// Sends a stanza, and keeps it until it is acknowledged.
    async fn send(&mut self, client: &mut Client, id: &str, stanza: String) -> io::Result<()> {
        let sent = client.send(&stanza).await;
        self.sent.push_back((id.to_owned(), stanza));
        sent
    }

    fn acknowledged(&mut self, h: u32) {
        let done = h.wrapping_sub(self.acked) as usize;
        self.acked = h;
        for (id, _) in self.sent.drain(..done.min(self.sent.len())) {
            if !id.is_empty() {
                self.scene.open.fetch_sub(1, Ordering::Relaxed);
                self.scene.promised.fetch_add(1, Ordering::Relaxed);
                self.story.promised.push(id);
            }
        }
    }

    async fn hear(&mut self, client: &mut Client, text: &str) -> io::Result<()> {
        self.got = self.got.wrapping_add(u32::from(counts(text)));
        let kind = attr(text, "type");
        match (name(text), kind) {
            ("r", _) => client.acknowledge(self.got).await?,
            ("a", _) => {
                let h = attr(text, "h").and_then(|h| h.parse().ok());
                self.acknowledged(h.unwrap_or(self.acked));
            }
            ("iq", Some("get")) => {
                let id = attr(text, "id").unwrap_or_default().to_owned();
                let answer = format!("<iq type='result' id='{id}'/>");
                self.send(client, "", answer).await?;
            }
            (_, Some("error")) => self.story.refused.push(text.to_owned()),
            ("message", Some("groupchat")) if text.contains("<body") => {
                let heard = stanza_id(text).map(|number| (Instant::now(), number));
                self.story.heard.extend(heard);
            }
            ("presence", Some("unavailable")) if *self.scene.phase.borrow() < Phase::Stop => {
                self.story.left += 1;
            }
            _ => {}
        }
        Ok(())
    }
}
