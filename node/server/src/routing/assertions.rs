//! Assertions: what this node knows of its sessions that are in rooms, for the nodes that serve these rooms now.
//!
//! Who is in a room is known to the room's home alone, and to each session for itself: whom it told that it is there
//! (`Directed`). When the view changes, each node tells the new homes of rooms which of its sessions are in them, and each
//! other node when it has told all; until then a room that is loaded there waits. A session that comes to this node tells
//! for itself.
//! Stored: nothing. Bounds: a frame has at most [`AT_ONCE`] assertions.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use cluster::NodeId;
use minicbor::{Decode, Encode, bytes::ByteVec};
use xmpp::{FullJid, Jid};

use super::{
    Router,
    peers::{Kind, View, frame},
};
use crate::{module::Assertion, modules::presence_rules::Directed};

/// Assertions of one frame.
const AT_ONCE: usize = 500;

/// What one frame says.
#[derive(Default, Encode, Decode)]
#[cbor(map)]
struct Told {
    #[n(0)]
    assertions: Vec<(String, String, ByteVec)>,
    /// The sender has told all that it had to, for the view that this is about.
    #[n(1)]
    all: bool,
    /// Those, by their places above, of whom no room has said that they are in it.
    #[n(2)]
    asked: Option<Vec<u32>>,
    /// The newest message of its room that each was given; nodes of before do not tell.
    #[n(3)]
    heard: Option<Vec<u64>>,
}

impl Router {
    /// A view is about to count in which others serve accounts: rooms that come here wait for what these tell.
    pub fn expect_assertions(self: &Arc<Self>, view: &View) {
        let known = self.peers.view();
        if view.epoch < known.epoch || view.members == known.members {
            return;
        }
        let others: Vec<NodeId> = view
            .members
            .iter()
            .map(|member| member.node)
            .filter(|node| *node != self.node)
            .collect();
        for service in self.registry().services() {
            service.expect(view.epoch, &others);
        }
    }

    /// The view has changed: rooms that have moved are told who is in them, and let go where they were.
    pub fn assert_all(self: &Arc<Self>, former: &View) {
        let view = self.peers.view();
        if view.members == former.members {
            return;
        }
        for service in self.registry().services() {
            service.view_changed(&self.context());
        }
        let mut told: HashMap<NodeId, Vec<Assertion>> = HashMap::new();
        let mut shard = 0;
        while let Some(handles) = self.sessions.shard_snapshot(shard) {
            shard += 1;
            for handle in handles {
                let directed = handle.directed.lock().clone();
                let rooms = self.rooms_of(directed.iter()).into_iter();
                let rooms = rooms.map(|it| (it.clone(), directed.is_in(&it)));
                let moved = rooms.filter_map(|(room, entered)| {
                    let home = view.home(room.bare_str())?;
                    (former.home(room.bare_str()) != Some(home)).then_some((home, room, entered))
                });
                for (home, occupant, entered) in moved {
                    let presence = self.presence_of(&handle.jid);
                    told.entry(home).or_default().push(Assertion {
                        heard: directed.last_heard(occupant.bare_str()),
                        occupant,
                        real: handle.jid.clone(),
                        presence,
                        entered,
                    });
                }
            }
        }
        for (node, assertions) in told {
            self.tell(node, &assertions);
        }
        for member in view.members.iter().filter(|it| it.node != self.node) {
            let all = Told {
                all: true,
                ..Told::default()
            };
            self.send_told(member.node, &all);
        }
    }

    /// A session has come here: the rooms that it is in are told where it is now.
    pub fn assert_session(self: &Arc<Self>, real: &FullJid, directed: &Directed, presence: &Bytes) {
        for occupant in self.rooms_of(directed.iter()) {
            let node = self.peers.view().home(occupant.bare_str());
            let assertion = Assertion {
                heard: directed.last_heard(occupant.bare_str()),
                occupant,
                real: real.clone(),
                presence: presence.clone(),
                entered: true,
            };
            self.tell(node.unwrap_or(self.node), &[assertion]);
        }
    }

    /// What another node tells.
    pub fn asserted(self: &Arc<Self>, by: NodeId, epoch: u64, body: &[u8]) {
        let Ok(told) = minicbor::decode::<Told>(body) else {
            return tracing::warn!(node = by.0, "assertions that are none");
        };
        let heard = told.heard.unwrap_or_default();
        let read = |(at, (occupant, real, presence)): (usize, (String, String, ByteVec))| {
            Some(Assertion {
                heard: heard.get(at).copied().unwrap_or(0),
                occupant: Jid::parse(&occupant).ok()?,
                real: FullJid::parse(&real).ok()?,
                presence: Vec::from(presence).into(),
                entered: true,
            })
        };
        let asked = told.asked.unwrap_or_default();
        let told_here = told.assertions.into_iter().enumerate();
        let assertions = told_here.filter_map(|(place, it)| {
            let entered = !u32::try_from(place).is_ok_and(|place| asked.contains(&place));
            read((place, it)).map(|it| Assertion { entered, ..it })
        });
        self.take_assertions(assertions.collect());
        if told.all {
            for service in self.registry().services() {
                service.all_asserted(epoch, by);
            }
        }
    }

    /// Those of some addresses that are an occupant's in a room of ours.
    fn rooms_of<'a>(&self, addresses: impl Iterator<Item = &'a Jid>) -> Vec<Jid> {
        let is_room =
            |jid: &&Jid| jid.is_full() && self.registry().service_of(jid.domain()).is_some();
        addresses.filter(is_room).cloned().collect()
    }

    fn presence_of(&self, real: &FullJid) -> Bytes {
        let home = self.homes.loaded(real.bare_str());
        let presence = home.and_then(|home| home.presence_of(real));
        presence.map_or_else(Bytes::new, |(_, presence)| presence.raw().clone())
    }

    fn tell(self: &Arc<Self>, node: NodeId, assertions: &[Assertion]) {
        if node == self.node {
            return self.take_assertions(assertions.to_vec());
        }
        let written = |it: &Assertion| {
            let presence = it.presence.to_vec().into();
            (it.occupant.to_string(), it.real.to_string(), presence)
        };
        for some in assertions.chunks(AT_ONCE) {
            let asked = some.iter().zip(0_u32..).filter(|(it, _)| !it.entered);
            let told = Told {
                assertions: some.iter().map(written).collect(),
                all: false,
                asked: Some(asked.map(|(_, place)| place).collect()),
                heard: Some(some.iter().map(|it| it.heard).collect()),
            };
            self.send_told(node, &told);
        }
    }

    fn send_told(&self, node: NodeId, told: &Told) {
        let bytes = minicbor::to_vec(told).unwrap_or_default();
        let body = frame::numbered(self.peers.view().epoch, &bytes);
        // Who is gone serves no rooms.
        self.peers.send(node, Kind::Assert, body);
    }

    fn take_assertions(self: &Arc<Self>, assertions: Vec<Assertion>) {
        let mut by_service: HashMap<String, Vec<Assertion>> = HashMap::new();
        for assertion in assertions {
            let domain = assertion.occupant.domain().to_owned();
            by_service.entry(domain).or_default().push(assertion);
        }
        for (domain, assertions) in by_service {
            if let Some(service) = self.registry().service_of(&domain) {
                service.assert(assertions, &self.context());
            }
        }
    }
}
