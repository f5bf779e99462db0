//! What follows when the shared groups of a domain have changed: whoever is here is told what became of its roster, and contacts
//! begin or cease to see it.
//!
//! Each node does this for the accounts that it serves. Whoever changes a group tells all nodes; one that was not reached, or
//! another system that changed, is noticed when all is read anew, once in `shared_groups.refresh`.
//! Left out: an account that moves while its two nodes read at different times may be told of a change only with its next
//! roster.

use std::sync::Arc;

use xmpp::BareJid;

use super::inbound;
use crate::{
    modules::{
        groups::{Renewed, merge},
        roster::{self, subscription::Sharing, xml::Version},
    },
    routing::Router,
};

/// Accounts that are told in one go.
const AT_ONCE: usize = 64;

/// Reads the groups of a domain anew, and tells those who are here.
///
/// # Errors
/// They cannot be read: what was read before goes on counting.
pub async fn renew(router: &Arc<Router>, domain: &str) -> storage::Result<()> {
    let Some(_turn) = router.groups.turn(domain).await else {
        return Ok(());
    };
    if let Some(renewed) = router.groups.renew(domain).await? {
        tell(router, domain, &renewed).await;
    }
    Ok(())
}

/// The groups of a domain were changed here: as [`renew`], at every node. Others are told first, and do it in their time.
pub async fn changed(router: &Arc<Router>, domain: &str) {
    router.peers.groups_changed(domain);
    renew_or_doubt(router, domain).await;
}

/// As [`renew`]; later again if they cannot be read.
pub async fn renew_or_doubt(router: &Arc<Router>, domain: &str) {
    if let Err(error) = renew(router, domain).await {
        tracing::warn!(domain, %error, "shared groups are not read anew");
        router.groups.doubt(domain);
    }
}

/// Reads anew what may have changed.
pub fn sweep(router: &Arc<Router>) {
    for domain in router.groups.take_doubtful() {
        let router = router.clone();
        router.clone().spawn(async move {
            if let Err(error) = renew(&router, &domain).await {
                // Again when its time comes.
                tracing::warn!(domain, %error, "shared groups are not read anew");
            }
        });
    }
}

async fn tell(router: &Arc<Router>, domain: &str, renewed: &Renewed) {
    let is_there = |account: &BareJid| {
        account.domain() == domain && router.directory.lookup(account.as_str()).is_some()
    };
    let mut told = Vec::new();
    for (number, home) in router.homes.of(is_there).into_iter().enumerate() {
        if number % AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
        match push(router, &home.account, renewed).await {
            Ok(changes) if changes.is_empty() => {}
            Ok(changes) => told.push((home.account.clone(), changes)),
            Err(error) => {
                let account = &home.account;
                tracing::warn!(%account, %error, "not told of a shared group that has changed");
            }
        }
    }
    // By whose rosters stanzas are judged that wait for no store.
    for account in router.rosters.pinned() {
        if account.domain() == domain {
            let _ = router.rosters.load(&account).await;
        }
    }
    // Everybody has the contacts by now whose presence comes.
    for (account, changes) in told {
        for change in changes {
            let sharing = match change.told {
                (false, true) => Sharing::Begins,
                (true, false) => Sharing::Ends,
                _ => continue,
            };
            inbound::share(router, &account, &change.contact, sharing);
        }
    }
}

/// Pushes what differs to an account's clients. Only the last push has the new version: a client that gets no further has to
/// ask for all.
async fn push(
    router: &Arc<Router>,
    account: &BareJid,
    renewed: &Renewed,
) -> Result<Vec<merge::Change>, xmpp::StanzaError> {
    let _turn = router.rosters.turn(account).await;
    let own = router.rosters.own(account).await?;
    let former = router.groups.former(renewed, account);
    let before = router.rosters.as_shown(account, &own, &former);
    let after = router.rosters.load(account).await?;
    let changes = merge::changes(&before, &after);
    let pushed: Vec<_> = changes.iter().filter(|change| change.is_pushed).collect();
    let cx = router.context();
    for (number, change) in pushed.iter().enumerate() {
        let version = match number + 1 == pushed.len() {
            true => Version::of(&after),
            false => Version::of(&before),
        };
        roster::push_as(&cx, account, &after, &change.contact, version);
    }
    Ok(changes)
}
