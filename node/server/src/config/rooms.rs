//! The section `rooms`: multi-user chat (XEP-0045).

use std::time::Duration;

use super::{
    Circle, Config,
    raw::Node,
    reader::{Section, Wrong, boolean, choice, duration, number, size, text},
    services::{services, usual},
};

/// Which rooms may publish what is said in them, if their owners want it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomsPublish {
    /// None.
    Never,
    /// Those that are listed, and that anybody may enter without a password.
    Open,
    /// All.
    All,
}

/// Multi-user chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rooms {
    /// Whether there is any.
    pub enabled: bool,
    /// The domains of the services; empty: `conference.` before each domain.
    pub services: Vec<String>,
    /// Who may make rooms.
    pub create: Circle,
    /// Rooms that one account may have made; 0: as many as it likes.
    pub per_user: u32,
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
    /// Whether a room sends a presence of its own with its avatar.
    pub avatar_presence: bool,
    /// Which rooms may publish what is said in them.
    pub publish: RoomsPublish,
    /// How long after something was said it is published.
    pub publish_every: Duration,
    /// The path below which the HTTP listener serves it; `None`: it does not.
    pub publish_path: Option<String>,
    /// The URL below which it can be read, without a slash at its end; `None`: nobody is told.
    pub publish_url: Option<String>,
    /// Rooms in memory.
    pub loaded: usize,
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            enabled: true,
            services: Vec::new(),
            create: Circle::Accounts,
            per_user: 200,
            lock: true,
            occupants: 10_000,
            history: 100,
            message: 64 << 10,
            messages_per_second: 20,
            burst: 100,
            presence_up_to: 0,
            avatar_presence: false,
            publish: RoomsPublish::Never,
            publish_every: Duration::from_secs(30),
            publish_path: None,
            publish_url: None,
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
            (true, true) => usual("conference", &self.domains)
                .map(|(name, _)| name)
                .collect(),
        }
    }
}

/// A path such as `/rooms`, without a slash at its end.
fn path(node: &Node) -> Result<String, Wrong> {
    let written = text(node)?;
    let path = written.trim_end_matches('/');
    let plain = |it: char| it.is_ascii_alphanumeric() || "-._~/".contains(it);
    let taken = ["/metrics", "/live", "/ready", "/status"];
    let is_taken = taken.iter().any(|it| path.starts_with(it));
    if path.starts_with('/') && path.chars().all(plain) && !path.contains("//") && !is_taken {
        return Ok(path.to_owned());
    }
    Err(Wrong::new(
        format!("\"{written}\" is no path that is free"),
        "write one such as /rooms",
    ))
}

fn url(node: &Node) -> Result<String, Wrong> {
    let written = text(node)?;
    let rest = written.strip_prefix("https://");
    let rest = rest.or_else(|| written.strip_prefix("http://"));
    let is_wrong = |it: char| it.is_whitespace() || it.is_control() || "?#<>\"".contains(it);
    if rest.is_some_and(|it| !it.is_empty() && !it.contains(is_wrong)) {
        return Ok(written.trim_end_matches('/').to_owned());
    }
    Err(Wrong::new(
        format!("\"{written}\" is no URL"),
        "write one such as https://example.org/rooms",
    ))
}

pub(super) fn rooms(mut section: Section<'_>, domains: &[String], rooms: &mut Rooms) {
    section.read("enabled", &mut rooms.enabled, boolean);
    if let Some(services) = services(&mut section, domains, "conference.example.org") {
        rooms.services = services;
    }
    section.read("create", &mut rooms.create, choice(Circle::CHOICES));
    section.read("per_user", &mut rooms.per_user, number(0, 1_000_000));
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
    let publish = &[
        ("never", RoomsPublish::Never),
        ("open", RoomsPublish::Open),
        ("all", RoomsPublish::All),
    ];
    section.read("avatar_presence", &mut rooms.avatar_presence, boolean);
    section.read("publish", &mut rooms.publish, choice(publish));
    section.read(
        "publish_every",
        &mut rooms.publish_every,
        duration("1s", "1d"),
    );
    let path = |node: &Node| path(node).map(Some);
    section.read("publish_path", &mut rooms.publish_path, path);
    let url = |node: &Node| url(node).map(Some);
    section.read("publish_url", &mut rooms.publish_url, url);
    section.read("loaded", &mut rooms.loaded, number(1, 10_000_000));
    section.finish();
}
