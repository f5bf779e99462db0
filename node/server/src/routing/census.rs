//! Census: who is there, and what all who are there are told; on this node, and on all of them.
//!
//! Each session is at one node, so what is asked of all is asked of each, and the answers are put together. A node that does not
//! answer is named: nobody shall take what is missing for nothing.
//! Stored: nothing. Bounds: [`PAGE`], [`PAGE_BYTES`] of an answer; [`PATIENCE`] for it.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use cluster::NodeId;
use minicbor::{Decode, Encode};
use tokio::task::JoinSet;
use xmpp::BareJid;

use super::{
    Router,
    peers::acts::{Act, Outcome},
};
use crate::module::Outlet;

/// Names in an answer.
const PAGE: usize = 1_000;
/// Their bytes.
const PAGE_BYTES: usize = 256 << 10;
/// How long a node may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Whom to count.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Census {
    /// Only who has an available session whose client was heard in the last so many seconds.
    #[n(0)]
    pub active: Option<u32>,
    /// How many names are wanted.
    #[n(1)]
    pub names: u32,
    /// Those that come after this one.
    #[n(2)]
    pub after: Option<String>,
}

/// Who is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Counted {
    /// Accounts.
    #[n(0)]
    pub users: u64,
    /// Their sessions.
    #[n(1)]
    pub sessions: u64,
    /// Names of accounts, in order.
    #[n(2)]
    pub names: Vec<String>,
    /// There are more than these.
    #[n(3)]
    pub more: bool,
}

/// Something that every available session of a domain is told.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Announcement {
    /// The domain.
    #[n(0)]
    pub domain: String,
    /// A message, as it stands in a stream; each session gets it with its own address as `to`.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub message: Vec<u8>,
}

/// What all nodes together say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Everywhere<T> {
    /// Put together.
    pub all: T,
    /// Lives of nodes that did not answer, as people write them.
    pub silent: Vec<String>,
}

/// Counts on this node.
pub fn count(outlet: &dyn Outlet, census: &Census) -> Counted {
    let mut heard = Vec::new();
    outlet.sessions(&mut |handle| {
        let at = handle.heard.load(Ordering::Relaxed);
        heard.push((handle.jid.to_bare(), handle.session, at));
    });
    let now = outlet.uptime();
    let counts = |(jid, session, at): &(BareJid, _, u32)| {
        census.active.is_none_or(|seconds| {
            let available = || {
                let entries = outlet.entries(jid);
                let is_available = |entry: &cluster::directory::Entry| {
                    entry.session == *session && entry.priority.is_some()
                };
                entries.iter().any(is_available)
            };
            now.saturating_sub(*at) < seconds && available()
        })
    };
    let there: Vec<_> = heard.iter().filter(|session| counts(session)).collect();
    let names: BTreeSet<&str> = there.iter().map(|(jid, ..)| jid.as_str()).collect();
    let mut counted = Counted {
        users: names.len() as u64,
        sessions: there.len() as u64,
        ..Counted::default()
    };
    let after = census.after.as_deref();
    let wanted = names
        .into_iter()
        .filter(|name| after.is_none_or(|it| *name > it));
    let mut bytes = 0;
    for name in wanted {
        let most = PAGE.min(census.names as usize);
        bytes += name.len();
        if counted.names.len() >= most || bytes > PAGE_BYTES {
            counted.more = true;
            break;
        }
        counted.names.push(name.to_owned());
    }
    counted
}

/// Tells every available session of this node; how many.
pub fn announce(outlet: &dyn Outlet, announcement: &Announcement) -> u64 {
    let Ok(message) = xmpp::Element::parse(&announcement.message, xmpp::ns::CLIENT) else {
        return 0;
    };
    let mut sessions = Vec::new();
    outlet.sessions(&mut |handle| {
        if handle.jid.domain() == announcement.domain {
            sessions.push((handle.jid.clone(), handle.session));
        }
    });
    let mut reached = 0;
    for (jid, session) in sessions {
        let entries = outlet.entries(&jid.to_bare());
        let mut entries = entries.iter();
        if entries.any(|entry| entry.session == session && entry.priority.is_some()) {
            let mut message = message.clone();
            message.set_attr("to", jid.as_str());
            outlet.push(session, message.to_bytes(xmpp::ns::CLIENT).into());
            reached += 1;
        }
    }
    reached
}

/// Counts on all nodes.
pub(super) async fn count_everywhere(router: &Arc<Router>, census: &Census) -> Everywhere<Counted> {
    let asked = census.clone();
    let (mut answers, silent) = of_all(router, move |router, node| {
        let census = asked.clone();
        async move { pages(&router, node, census).await }
    })
    .await;
    answers.push(all_pages(census, |census| count(router, census)));
    let mut all = Counted::default();
    let mut names = BTreeSet::new();
    for counted in answers {
        all.users += counted.users;
        all.sessions += counted.sessions;
        all.more |= counted.more;
        names.extend(counted.names);
    }
    let most = census.names as usize;
    all.more |= names.len() > most;
    all.names = names.into_iter().take(most).collect();
    Everywhere { all, silent }
}

/// Tells the available sessions of all nodes; how many.
pub(super) async fn announce_everywhere(
    router: &Arc<Router>,
    announcement: Announcement,
) -> Everywhere<u64> {
    let here = announce(router, &announcement);
    let (reached, silent) = of_all(router, move |router, node| {
        let act = Act::Announce(announcement.clone());
        async move {
            match router.peers.ask_node(node, act).await? {
                Outcome::Reached(reached) => Some(reached),
                _ => None,
            }
        }
    })
    .await;
    Everywhere {
        all: reached.into_iter().sum::<u64>() + here,
        silent,
    }
}

/// Asks every other member at the same time: the answers, and who gave none.
async fn of_all<T: Send + 'static, F>(
    router: &Arc<Router>,
    ask: impl Fn(Arc<Router>, NodeId) -> F,
) -> (Vec<T>, Vec<String>)
where
    F: Future<Output = Option<T>> + Send + 'static,
{
    let view = router.peers.view().clone();
    let nodes = view.members.iter().map(|member| member.node);
    let mut asked = JoinSet::new();
    for node in nodes.filter(|node| *node != router.node) {
        let answer = ask(router.clone(), node);
        asked.spawn(async move { (node, answer.await) });
    }
    let (mut answers, mut silent) = (Vec::new(), Vec::new());
    while let Some(Ok((node, answer))) = asked.join_next().await {
        match answer {
            Some(answer) => answers.push(answer),
            None => silent.push(format!("{:016x}", node.0)),
        }
    }
    silent.sort();
    (answers, silent)
}

/// What a node says, page by page.
async fn pages(router: &Router, node: NodeId, mut census: Census) -> Option<Counted> {
    let mut all: Option<Counted> = None;
    loop {
        let act = Act::Count(census.clone());
        let Outcome::Counted(page) = router.peers.ask_node(node, act).await? else {
            return None;
        };
        if !add(&mut all, page, &mut census) {
            return all;
        }
    }
}

fn all_pages(census: &Census, count: impl Fn(&Census) -> Counted) -> Counted {
    let (mut all, mut census) = (None, census.clone());
    while add(&mut all, count(&census), &mut census) {}
    all.unwrap_or_default()
}

/// Puts a page behind those before it, whose numbers count; whether the next one is wanted, and is there.
fn add(all: &mut Option<Counted>, page: Counted, census: &mut Census) -> bool {
    let got = page.names.len();
    census.names = census
        .names
        .saturating_sub(u32::try_from(got).unwrap_or(u32::MAX));
    census.after = page.names.last().cloned().or(census.after.take());
    let goes_on = page.more && got > 0 && census.names > 0;
    match all {
        Some(all) => {
            all.more = page.more;
            all.names.extend(page.names);
        }
        None => *all = Some(page),
    }
    goes_on
}

impl Announcement {
    /// Of a message.
    pub fn new(domain: &str, message: &xmpp::Element) -> Self {
        Self {
            domain: domain.to_owned(),
            message: message.to_bytes(xmpp::ns::CLIENT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::recorder::Recorder;

    fn census(names: u32) -> Census {
        Census {
            active: None,
            names,
            after: None,
        }
    }

    #[test]
    fn names_come_in_pages() {
        let recorder = Recorder::default();
        for number in 0..2_500 {
            recorder.session(&format!("user{number:04}@example.org/a"), 0);
        }
        recorder.session("user0000@example.org/b", 0);
        let check = |wanted: u32, got: usize, more: bool| {
            let all = all_pages(&census(wanted), |census| count(&recorder, census));
            assert_eq!((all.users, all.sessions), (2_500, 2_501));
            assert_eq!((all.names.len(), all.more), (got, more), "{wanted}");
            assert!(all.names.is_sorted());
        };
        check(0, 0, true);
        check(10, 10, true);
        check(1_000, 1_000, true);
        check(2_499, 2_499, true);
        check(2_500, 2_500, false);
        check(10_000, 2_500, false);
        let page = count(&recorder, &census(10_000));
        assert_eq!((page.names.len(), page.more), (PAGE, true));
    }
}
