//! The section `rooms`: multi-user chat (XEP-0045).

use std::cell::RefCell;

use xmpp::BareJid;

use super::{
    Config,
    raw::Node,
    reader::{Section, Wrong, boolean, choice, number, size, text},
};

/// Who may make rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomMakers {
    /// Whoever likes.
    Everybody,
    /// Those with an account here.
    Accounts,
    /// The administrators.
    Admins,
}

/// Multi-user chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rooms {
    /// Whether there is any.
    pub enabled: bool,
    /// The domains of the services; empty: `conference.` before each domain.
    pub services: Vec<String>,
    /// Who may make rooms.
    pub create: RoomMakers,
    /// Whether a new room is locked until it is configured.
    pub lock: bool,
    /// Occupants of one room.
    pub occupants: u32,
    /// Messages that who enters is shown at most.
    pub history: usize,
    /// Longest message, in bytes.
    pub message: u64,
    /// Messages of one occupant in a second; 0: as many as it likes.
    pub messages_per_second: u32,
    /// And at once.
    pub burst: u32,
    /// Above so many occupants only the presence of moderators is shown to all; 0: never.
    pub presence_up_to: u32,
    /// Rooms in memory.
    pub loaded: usize,
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            enabled: true,
            services: Vec::new(),
            create: RoomMakers::Accounts,
            lock: true,
            occupants: 10_000,
            history: 100,
            message: 64 << 10,
            messages_per_second: 20,
            burst: 100,
            presence_up_to: 0,
            loaded: 50_000,
        }
    }
}

impl Config {
    /// The domains of the services for rooms.
    pub fn room_services(&self) -> Vec<String> {
        let rooms = &self.rooms;
        match (rooms.enabled, rooms.services.is_empty()) {
            (false, _) => Vec::new(),
            (true, false) => rooms.services.clone(),
            (true, true) => {
                let domains = self.domains.iter();
                let names = domains.map(|domain| format!("conference.{domain}"));
                names.filter(|name| !self.domains.contains(name)).collect()
            }
        }
    }
}

fn domain(node: &Node) -> Result<String, Wrong> {
    let written = text(node)?;
    match BareJid::from_parts(None, &written) {
        Ok(jid) => Ok(jid.domain().to_owned()),
        Err(error) => Err(Wrong::new(
            format!("\"{written}\" is no domain ({error})"),
            "write one such as conference.example.org",
        )),
    }
}

pub(super) fn rooms(mut section: Section<'_>, domains: &[String], rooms: &mut Rooms) {
    section.read("enabled", &mut rooms.enabled, boolean);
    let served = RefCell::new(Vec::<String>::new());
    let service = |node: &Node| {
        let name = domain(node)?;
        if domains.contains(&name) {
            let wrong = format!("{name} has accounts");
            return Err(Wrong::new(wrong, "give rooms a domain of their own"));
        }
        if served.borrow().contains(&name) {
            return Err(Wrong::new(
                format!("{name} is there twice"),
                "leave one out",
            ));
        }
        served.borrow_mut().push(name.clone());
        Ok(name)
    };
    if let Some(services) = section.list("services", service) {
        rooms.services = services;
    }
    let makers = &[
        ("everybody", RoomMakers::Everybody),
        ("accounts", RoomMakers::Accounts),
        ("admins", RoomMakers::Admins),
    ];
    section.read("create", &mut rooms.create, choice(makers));
    section.read("lock", &mut rooms.lock, boolean);
    section.read("occupants", &mut rooms.occupants, number(1, 1_000_000));
    section.read("history", &mut rooms.history, number(0, 1_000));
    section.read("message", &mut rooms.message, size("1000", "64MiB"));
    section.read(
        "messages_per_second",
        &mut rooms.messages_per_second,
        number(0, 100_000),
    );
    section.read("burst", &mut rooms.burst, number(0, 1_000_000));
    section.read(
        "presence_up_to",
        &mut rooms.presence_up_to,
        number(0, 1_000_000),
    );
    section.read("loaded", &mut rooms.loaded, number(1, 10_000_000));
    section.finish();
}
