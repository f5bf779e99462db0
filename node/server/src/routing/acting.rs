//! Acting: what is done to an account from outside its sessions: they end, it is let go of, it is looked at.
//!
//! Who administers is connected to any node; the account is served by one. So each act here is done at that node, whoever
//! asks, and what is read of the account is read there.
//! Stored: nothing.

use std::{sync::Arc, time::Duration};

use cluster::directory::SessionRef;
use storage::repository::PrivacyData;
use xmpp::{BareJid, FullJid, Stanza, StanzaError, StanzaErrorCondition, StreamError};

use super::{
    Router, census,
    peers::acts::{Act, Outcome, Reason, Seen},
};
use crate::{
    home,
    module::{Administer, Administered, Outlet},
    modules::blocking::rules,
};

/// How long the sessions of an account that is being removed may take to end, and what they were writing.
const RETIREMENT: Duration = Duration::from_secs(5);
/// How often it is looked whether they have.
const RETIREMENT_TICK: Duration = Duration::from_millis(5);

/// Does what another node asks for that is about all of this one; `None`: it is about an account.
pub fn act_on_node(router: &Arc<Router>, act: &Act) -> Option<Outcome> {
    Some(match act {
        Act::Count(census) => Outcome::Counted(census::count(router, census)),
        Act::Announce(announcement) => Outcome::Reached(census::announce(router, announcement)),
        Act::Retire(_) | Act::End { .. } | Act::Look | Act::Lists | Act::Administer(_) => {
            return None;
        }
    })
}

/// Does what another node asks for.
pub async fn act(router: &Arc<Router>, account: &BareJid, act: Act) -> Outcome {
    let is_elsewhere = || router.peers.elsewhere(account.as_str()).is_some();
    if is_elsewhere() {
        return Outcome::NotHere;
    }
    if let Act::Administer(what) = act {
        let done = administer_here(router, account, what).await;
        return done.map_or(Outcome::Refused, Outcome::Administered);
    }
    if router.peers.is_settling() {
        // Its sessions may be on their way.
        let _ = router.homes.get(router, account).exists().await;
    }
    let outcome = match act {
        Act::Retire(reason) => {
            match retire_here(router, account, None, &StreamError::from(&reason)).await {
                Ok(seen) => {
                    let name = |jid: &FullJid| jid.as_str().to_owned();
                    Outcome::Retired(seen.iter().map(name).collect())
                }
                Err(_) => Outcome::Refused,
            }
        }
        Act::End { resource, reason } => {
            let error = StreamError::from(&reason);
            let ended = end_here(router, account, resource.as_deref(), &error);
            Outcome::Ended(u32::try_from(ended).unwrap_or(u32::MAX))
        }
        Act::Look => look_here(router, account)
            .await
            .map_or(Outcome::Refused, Outcome::Seen),
        Act::Lists => match read_lists(router, account).await {
            Ok(()) => Outcome::Done,
            Err(_) => Outcome::Refused,
        },
        // They name no account.
        Act::Count(_) | Act::Announce(_) | Act::Administer(_) => Outcome::Refused,
    };
    // Then its sessions may be on their way there.
    match is_elsewhere() {
        true => Outcome::NotHere,
        false => outcome,
    }
}

/// The account is being removed: see [`Outlet::retire`].
pub(super) async fn retire(
    router: &Arc<Router>,
    account: &BareJid,
    spared: Option<SessionRef>,
    error: &StreamError,
) -> Result<Vec<FullJid>, StanzaError> {
    // A session that is spared is here, and so is its home.
    if spared.is_none() {
        let act = Act::Retire(Reason::from(error));
        match router.peers.act(account, act).await? {
            Some(Outcome::Retired(seen)) => {
                router.rosters.forget(account);
                router.nodes.forget(account);
                let seen = seen.iter().filter_map(|jid| FullJid::parse(jid).ok());
                return Ok(seen.collect());
            }
            Some(_) => return Err(nonsense()),
            None => {}
        }
    }
    retire_here(router, account, spared, error).await
}

async fn retire_here(
    router: &Arc<Router>,
    account: &BareJid,
    spared: Option<SessionRef>,
    error: &StreamError,
) -> Result<Vec<FullJid>, StanzaError> {
    let ended = async {
        loop {
            let entries = router.entries(account);
            let mut left = entries.iter().filter(|entry| Some(entry.session) != spared);
            let Some(first) = left.next() else { return };
            router.end_session(first.session, error.clone());
            left.for_each(|entry| {
                router.end_session(entry.session, error.clone());
            });
            tokio::time::sleep(RETIREMENT_TICK).await;
        }
    };
    let late = |_| home::wait("the sessions of the account are slow to end");
    let timeout = tokio::time::timeout(RETIREMENT, ended).await;
    timeout.map_err(late)?;
    let presences = router.presences(account);
    let home = router.homes.loaded(account.as_str());
    Outlet::forget(router, account);
    let written = async {
        while home.as_ref().is_some_and(|home| home.is_busy()) {
            tokio::time::sleep(RETIREMENT_TICK).await;
        }
    };
    let timeout = tokio::time::timeout(RETIREMENT, written).await;
    timeout.map_err(late)?;
    let seen = presences.iter().filter_map(Stanza::from);
    Ok(seen.filter_map(|jid| jid.to_full()).collect())
}

/// Ends sessions of an account that another node serves: see [`Outlet::end_elsewhere`].
pub(super) async fn end_elsewhere(
    router: &Arc<Router>,
    account: &BareJid,
    resource: Option<&str>,
    error: &StreamError,
) -> Result<usize, StanzaError> {
    let act = Act::End {
        resource: resource.map(str::to_owned),
        reason: Reason::from(error),
    };
    match router.peers.act(account, act).await? {
        Some(Outcome::Ended(ended)) => Ok(ended as usize),
        Some(_) => Err(nonsense()),
        None => Ok(0),
    }
}

fn end_here(
    router: &Arc<Router>,
    account: &BareJid,
    resource: Option<&str>,
    error: &StreamError,
) -> usize {
    let entries = router.entries(account);
    let is_meant = |name: &str| resource.is_none_or(|resource| resource == name);
    let mut ended = 0;
    for entry in entries.iter().filter(|entry| is_meant(&entry.resource)) {
        router.end_session(entry.session, error.clone());
        ended += 1;
    }
    ended
}

/// Looks at an account, wherever it is served.
pub(super) async fn look(router: &Arc<Router>, account: &BareJid) -> Result<Seen, StanzaError> {
    match router.peers.act(account, Act::Look).await? {
        Some(Outcome::Seen(seen)) => Ok(seen),
        Some(_) => Err(nonsense()),
        None => look_here(router, account).await,
    }
}

async fn look_here(router: &Arc<Router>, account: &BareJid) -> Result<Seen, StanzaError> {
    let home = router.homes.get(router, account);
    let exists = home.exists().await?;
    let entries = router.entries(account);
    let resources = entries.iter().map(|entry| (*entry.resource).to_owned());
    Ok(Seen {
        resources: resources.collect(),
        waiting: home.waiting() as u64,
        last: exists.then(|| home.last_activity()).flatten(),
    })
}

/// The privacy lists of an account were changed here, and stored: see [`Outlet::lists_changed`].
pub(super) async fn lists_changed(
    router: &Arc<Router>,
    account: &BareJid,
    lists: Arc<PrivacyData>,
) -> Result<(), StanzaError> {
    let home = router.homes.loaded(account.as_str());
    let is_here = home.is_some_and(|home| {
        home.set_privacy(lists);
        // One that is not loaded has taken nothing.
        home.privacy().is_some()
    });
    let told = {
        let (router, account) = (router.clone(), account.clone());
        async move { router.peers.act(&account, Act::Lists).await }
    };
    if is_here {
        // Who serves it next asks for what is here, and reads the store then. If it could not wait for that, it has to read
        // again; it cannot be waited for, since it may wait for the session that asks.
        if router.peers.elsewhere(account.as_str()).is_some() {
            router.spawn(async move { drop(told.await) });
        }
        return Ok(());
    }
    match told.await? {
        Some(Outcome::Done) => Ok(()),
        Some(_) => Err(nonsense()),
        // It came back meanwhile, or is about to: who loads it may have read before.
        None => read_lists(router, account).await,
    }
}

/// Reads the lists of an account that is served here, and puts them in force.
async fn read_lists(router: &Arc<Router>, account: &BareJid) -> Result<(), StanzaError> {
    let home = router.homes.get(router, account);
    home.exists().await?;
    let lists = router.stores.privacy.load(account).await?;
    if rules::need_roster(&lists) {
        router.rosters.pin(account).await?;
    }
    home.set_privacy(Arc::new(lists));
    Ok(())
}

/// Does something to what a service has at an address, wherever it is served: see [`Outlet::administer`].
pub(super) async fn administer(
    router: &Arc<Router>,
    address: &BareJid,
    what: Administer,
) -> Result<Administered, StanzaError> {
    let act = Act::Administer(what.clone());
    match router.peers.act(address, act).await? {
        Some(Outcome::Administered(done)) => Ok(done),
        Some(_) => Err(nonsense()),
        None => administer_here(router, address, what).await,
    }
}

async fn administer_here(
    router: &Arc<Router>,
    address: &BareJid,
    what: Administer,
) -> Result<Administered, StanzaError> {
    let service = router.registry().service_of(address.domain()).cloned();
    let service = service.ok_or(StanzaErrorCondition::ItemNotFound)?;
    service.administer(address, what, &router.context()).await
}

/// Another answer than that to the question.
fn nonsense() -> StanzaError {
    home::wait("the node that serves the account answers something else")
}
