//! Use cases of XEP-0045 by section, as what each one in the room gets.

mod entering;
mod managing;
mod owning;
mod subscribing;
mod talking;

use storage::repository::{Affiliation, RoomConfig, RoomMember, RoomRecord, StoredRoom};
use xmpp::{BareJid, Element, Stanza, ns};

use super::{Effect, Effects, History, Policy, Room, Step};

/// A play with one room: what is to be kept is kept at once.
struct Play {
    room: Room,
    now_ms: u64,
    said: u64,
}

fn bare(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

impl Play {
    /// A room that owen owns, with nobody in it.
    fn new(configure: impl FnOnce(&mut RoomConfig)) -> Self {
        let mut config = RoomConfig::default();
        configure(&mut config);
        let owner = RoomMember {
            affiliation: Affiliation::Owner,
            ..RoomMember::default()
        };
        let stored = StoredRoom {
            record: RoomRecord {
                config,
                secret: vec![1; 32],
                ..RoomRecord::default()
            },
            members: vec![(bare("owen@a.example"), owner)],
            version: 1,
        };
        let policy = Policy::default();
        let history = History::new(policy.history);
        Self {
            room: Room::new(bare("coven@chat.example"), stored, history, policy),
            now_ms: 1_000_000,
            said: 0,
        }
    }

    /// The same with these in it, each under its own name.
    fn with(configure: impl FnOnce(&mut RoomConfig), names: &[&str]) -> Self {
        let mut play = Self::new(configure);
        for name in names {
            play.enter(name);
        }
        play
    }

    /// Makes somebody something, before anything begins.
    fn affiliated(mut self, name: &str, affiliation: Affiliation) -> Self {
        let member = RoomMember {
            affiliation,
            ..RoomMember::default()
        };
        self.room
            .members
            .insert(bare(&format!("{name}@a.example")), member);
        self
    }

    fn enter(&mut self, name: &str) -> Vec<String> {
        let password = self.room.record.config.password.clone().unwrap_or_default();
        let x = format!("<x xmlns='{}'><password>{password}</password></x>", ns::MUC);
        self.send(
            name,
            &format!("<presence to='coven@chat.example/{name}'>{x}</presence>"),
        )
    }

    /// Somebody sends something; what all get, a line each.
    fn send(&mut self, name: &str, xml: &str) -> Vec<String> {
        let stanza = Stanza::parse(xml.to_owned().into()).unwrap();
        let from = format!("{name}@a.example/r");
        let from = xmpp::Jid::parse(&from).unwrap();
        let stanza = stanza.readdressed(Some(&from), None);
        let step = self.room.handle(&stanza, self.now_ms);
        let effects = self.done(step);
        effects.0.iter().flat_map(lines).collect()
    }

    fn done(&mut self, step: Step) -> Effects {
        match step {
            Step::Done(effects) => effects,
            Step::Keep(change) => {
                let version = self.room.version + 1;
                self.room.apply(*change, version)
            }
            Step::Say(saying) => {
                self.said += 1;
                if let Some(text) = saying.subject.clone() {
                    self.room.record = self.room.with_subject(&saying.stanza, text, self.now_ms);
                }
                self.room
                    .said(&saying, saying.kept.then_some(self.said), self.now_ms)
            }
            Step::Destroy(destroy) => self.room.destroyed(&destroy),
            Step::Archive | Step::Vcard => Effects::default(),
        }
    }

    /// A request of somebody to the room.
    fn ask(&mut self, name: &str, kind: &str, payload: &str) -> Vec<String> {
        self.send(
            name,
            &format!("<iq type='{kind}' id='i' to='coven@chat.example'>{payload}</iq>"),
        )
    }

    /// A change of lists.
    fn change(&mut self, name: &str, items: &str) -> Vec<String> {
        let payload = format!("<query xmlns='{}'>{items}</query>", ns::MUC_ADMIN);
        self.ask(name, "set", &payload)
    }

    fn say(&mut self, name: &str, body: &str) -> Vec<String> {
        self.send(
            name,
            &format!(
                "<message type='groupchat' to='coven@chat.example'><body>{body}</body></message>"
            ),
        )
    }
}

/// What an effect is to each who gets it, a line each: who, from whom, what.
fn lines(effect: &Effect) -> Vec<String> {
    match effect {
        Effect::Send(packet, to) => {
            let said = summary(&Element::parse(&packet.bytes, ns::CLIENT).unwrap());
            let mut names: Vec<&str> = to.iter().map(|to| to.local().unwrap_or("?")).collect();
            names.sort_unstable();
            names
                .iter()
                .map(|name| format!("{name} < {said}"))
                .collect()
        }
        Effect::Tell(packet, to) => {
            let (node, news) = super::subscribe::event_of(packet).unwrap();
            let topic = node.rsplit(':').next().unwrap_or_default().to_owned();
            let about = news
                .attr("jid")
                .map_or(String::new(), |jid| format!(" {jid}"));
            let name =
                |to: &BareJid| format!("{} < event {topic}{about}", to.local().unwrap_or("?"));
            to.iter().map(name).collect()
        }
        Effect::Reply(element) => vec![addressed(element)],
        Effect::Route(stanza) => vec![addressed(&stanza.to_element())],
    }
}

fn addressed(element: &Element) -> String {
    let to = element.attr("to").unwrap_or("?");
    let to = to.split('@').next().unwrap_or(to);
    format!("{to} < {}", summary(element))
}

/// A stanza in short.
fn summary(stanza: &Element) -> String {
    let from = stanza.attr("from").unwrap_or("?");
    let from = from.split_once('/').map_or("room", |(_, nick)| nick);
    let mut words = vec![from.to_owned()];
    words.extend(
        stanza
            .attr("type")
            .map(str::to_owned)
            .filter(|it| it != "groupchat"),
    );
    for child in stanza.children() {
        match (child.ns(), child.name()) {
            (ns::CLIENT, "error") => {
                let condition = child.children().next().unwrap();
                words.push(condition.name().to_owned());
            }
            (ns::CLIENT, "body" | "subject" | "show" | "status") => {
                words.push(format!("{}:{}", child.name(), child.text()));
            }
            (ns::MUC_USER, "x") => words.extend(child.children().map(of_room)),
            (ns::MUC_ADMIN, "query") => words.extend(child.children().map(of_room)),
            (ns::RETRACT, "retract") => {
                words.push(format!("retract:{}", child.attr("id").unwrap_or_default()));
            }
            (ns::DELAY, "delay") => words.push("delayed".to_owned()),
            _ => {}
        }
    }
    words.join(" ")
}

fn of_room(child: &Element) -> String {
    let mut text = match child.name() {
        "status" => return child.attr("code").unwrap_or_default().to_owned(),
        "item" => {
            let attr = |name| child.attr(name).unwrap_or("-").to_owned();
            format!("{}/{}", attr("affiliation"), attr("role"))
        }
        name => name.to_owned(),
    };
    for name in ["jid", "nick", "from"] {
        if let Some(value) = child.attr(name) {
            let value = value.split('@').next().unwrap_or(value);
            text.push_str(&format!(" {name}={value}"));
        }
    }
    for inner in child.children() {
        let value = inner
            .attr("nick")
            .map_or_else(|| inner.text(), str::to_owned);
        text.push_str(&format!(" {}={value}", inner.name()));
    }
    text
}
