//! Other hosts: where clients of a node that leaves are sent.
//!
//! Stored: nothing. Bounds: an address for each node.

use arc_swap::ArcSwap;
use xmpp::StreamError;

use super::Peers;
use crate::random;

/// Addresses of the nodes that stay, by which clients reach them; none as long as this one stays.
#[derive(Default)]
pub(super) struct Hosts(ArcSwap<Vec<String>>);

impl Peers {
    /// This node leaves, and clients are to go there.
    pub fn set_other_hosts(&self, addresses: Vec<String>) {
        self.hosts.0.store(addresses.into());
    }

    /// How the stream of a client ends that has logged in and cannot go on here: where it is to go, if that is known, else
    /// `otherwise`. Each is sent to one of the others, by chance.
    pub fn goodbye(&self, otherwise: impl Into<StreamError>) -> StreamError {
        match self.other_host() {
            Some(host) => StreamError::see_other_host(host.as_str()),
            None => otherwise.into(),
        }
    }

    /// Where a client is to go that cannot go on here, if that is known.
    pub fn other_host(&self) -> Option<String> {
        let hosts = self.hosts.0.load();
        let last = hosts.len().checked_sub(1)?;
        hosts.get(random::number() as usize % (last + 1)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use xmpp::StreamErrorCondition as Condition;

    use super::*;

    #[test]
    fn clients_are_sent_to_who_stays() {
        let peers = Peers::default();
        let stays = peers.goodbye(Condition::SystemShutdown);
        assert_eq!(stays.condition, Condition::SystemShutdown);
        let hosts = ["a.example.org", "b.example.org:5222"];
        peers.set_other_hosts(hosts.map(str::to_owned).into());
        for _ in 0..20 {
            let leaves = peers.goodbye(Condition::SystemShutdown);
            assert_eq!(leaves.condition, Condition::SeeOtherHost);
            assert!(hosts.contains(&leaves.other_host.as_deref().unwrap()));
        }
        peers.set_other_hosts(Vec::new());
        assert_eq!(peers.goodbye(Condition::Reset).other_host, None);
    }
}
