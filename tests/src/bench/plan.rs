//! Which scenarios are run, with which flags, and which of them share a start of the server.

use super::provision::{PASSWORD, PREFIX, Provision};

/// How long and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A smoke test: seconds.
    Quick,
    /// The default: all servers in some minutes.
    Normal,
    /// Ten thousand idle sessions, longer spans.
    Full,
}

/// Scenarios that run on one start of the server, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Memory of TLS sessions: needs a fresh process.
    IdleTls,
    /// Memory of plain sessions: needs a fresh process.
    IdlePlain,
    /// All that needs no archive.
    Live,
    /// With an archive of all messages.
    Archive,
}

impl Group {
    /// All groups in order; the weighing comes before anything that leaves data behind.
    pub const ALL: [Self; 4] = [Self::IdleTls, Self::IdlePlain, Self::Live, Self::Archive];
}

/// One scenario with its flags.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name in reports.
    pub name: &'static str,
    /// Which start of the server it shares.
    pub group: Group,
    /// Flags of the program, then the scenario, then its flags.
    pub arguments: Vec<String>,
    /// True if it means something for the relay.
    pub relay: bool,
    /// A case that ran before on the same start: this one is at half the rate that the server reached there.
    pub half_of: Option<&'static str>,
}

/// Accounts and rosters that the cases need.
#[must_use]
pub fn provision(size: Size, group: Group) -> Provision {
    let accounts = match (group, size) {
        (Group::Archive, _) | (_, Size::Quick) => 500,
        (_, Size::Normal) => 2_000,
        (_, Size::Full) => 10_000,
    };
    let contacts = if size == Size::Quick { 10 } else { 50 };
    let ring = if group == Group::Archive { 0 } else { 100 };
    Provision {
        accounts,
        ring_first: 400,
        ring,
        contacts,
    }
}

/// All cases of a size.
#[must_use]
pub fn cases(size: Size) -> Vec<Case> {
    let (seconds, scale) = match size {
        Size::Quick => (2, 1),
        Size::Normal => (5, 4),
        Size::Full => (10, 20),
    };
    let sessions = match size {
        Size::Quick => 300,
        Size::Normal => 2_000,
        Size::Full => 10_000,
    };
    let contacts = provision(size, Group::Live).contacts;
    let subscribers = if size == Size::Quick { 300 } else { 1_000 };
    let case = |name, group, security: &str, flags: String| {
        let accounts = provision(size, group).accounts;
        let text = format!("--users {PREFIX},{accounts},{PASSWORD} --tls {security} {flags}");
        let arguments = text.split_whitespace().map(str::to_owned).collect();
        Case {
            name,
            group,
            arguments,
            relay: matches!(name, "chat" | "chat-rate"),
            half_of: None,
        }
    };
    vec![
        case(
            "idle-tls",
            Group::IdleTls,
            "starttls",
            format!("idle --sessions {sessions}"),
        ),
        case(
            "idle-plain",
            Group::IdlePlain,
            "none",
            format!("idle --sessions {sessions}"),
        ),
        case(
            "login",
            Group::Live,
            "starttls",
            format!("login --logins {}", 250 * scale),
        ),
        case(
            "chat",
            Group::Live,
            "starttls",
            format!("chat --seconds {seconds}"),
        ),
        Case {
            half_of: Some("chat"),
            ..case(
                "chat-half",
                Group::Live,
                "starttls",
                format!("chat --seconds {seconds}"),
            )
        },
        case(
            "chat-rate",
            Group::Live,
            "starttls",
            format!("chat --seconds {seconds} --rate 3000"),
        ),
        case(
            "chat-acks",
            Group::Live,
            "starttls",
            format!("chat --seconds {seconds} --acks 10"),
        ),
        case(
            "presence",
            Group::Live,
            "starttls",
            format!("presence --seconds {seconds} --contacts {contacts}"),
        ),
        case(
            "roster",
            Group::Live,
            "starttls",
            format!("roster --contacts {}", 5 * scale),
        ),
        case(
            "offline",
            Group::Live,
            "starttls",
            format!("offline --messages {}", 25 * scale),
        ),
        case(
            "muc",
            Group::Live,
            "starttls",
            format!("muc --seconds {seconds}"),
        ),
        case(
            "muc-rate",
            Group::Live,
            "starttls",
            format!("muc --seconds {seconds} --rate 20"),
        ),
        case(
            "join",
            Group::Live,
            "starttls",
            format!("join --storms {}", 2 + scale),
        ),
        case(
            "pep",
            Group::Live,
            "starttls",
            format!("publish --pep --first 400 --subscribers {contacts} --seconds {seconds}"),
        ),
        case(
            "pubsub",
            Group::Live,
            "starttls",
            format!("publish --subscribers {subscribers} --window 4 --seconds {seconds}"),
        ),
        case(
            "pubsub-one",
            Group::Live,
            "starttls",
            format!("publish --subscribers {subscribers} --seconds {seconds}"),
        ),
        Case {
            arguments: format!("--users fresh,{},{PASSWORD} register", 100 * scale)
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            ..case("register", Group::Live, "starttls", String::new())
        },
        case(
            "chat-archive",
            Group::Archive,
            "starttls",
            format!("chat --seconds {seconds}"),
        ),
        Case {
            half_of: Some("chat-archive"),
            ..case(
                "chat-archive-half",
                Group::Archive,
                "starttls",
                format!("chat --seconds {seconds}"),
            )
        },
        case(
            "chat-archive-rate",
            Group::Archive,
            "starttls",
            format!("chat --seconds {seconds} --rate 500"),
        ),
    ]
}

/// The flags of a case for the relay: the same load, without XMPP around it.
#[must_use]
pub fn for_relay(case: &Case) -> Vec<String> {
    let mut arguments: Vec<String> = case
        .arguments
        .iter()
        .map(|word| {
            if word == "starttls" {
                "direct".to_owned()
            } else {
                word.clone()
            }
        })
        .collect();
    arguments.push("--relay".to_owned());
    arguments
}
