//! IQ: the namespace table, and the one place where a `Result` becomes a reply (RFC 6120 §8.2.3, §8.3).
//!
//! A request runs as a task of its own, so a slow one blocks neither session nor home. A session's lane orders what it asks of
//! the server and of its own account; what anybody asks of somebody else's account is answered in order for each two of them.
//! Bounds: [`MAX_WAITING`].

use std::sync::Arc;

use cluster::directory::SessionRef;
use xmpp::{Element, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition};

use super::delivery::{self, Action, IqType};
use crate::{
    module::{Follower, Followers, IqRequest, Target},
    modules::{blocking::Passing, presence::sees_presence},
    routing::{Origin, Progress, Router},
    turns::Queues,
};

/// Requests of one address to another that may wait behind the one that is being answered.
const MAX_WAITING: usize = 256;

/// Requests to domains and accounts of ours, by who asks and who is asked, with who waits for what becomes of them.
pub type Requests = Queues<(Jid, Jid), (Stanza, Option<Origin>)>;

/// An IQ to one of our domains.
pub fn for_server(router: &Arc<Router>, stanza: Stanza, origin: Option<Origin>) -> Progress {
    spawn(router, stanza, Target::Server, origin)
}

/// An IQ to an account of ours, bare or full.
pub fn for_account(
    router: &Arc<Router>,
    stanza: Stanza,
    to: &Jid,
    origin: Option<Origin>,
) -> Progress {
    let Some(resource) = to.resource() else {
        return spawn(router, stanza, Target::Account, origin);
    };
    let Some(kind) = IqType::parse(stanza.type_attr().as_deref()) else {
        router.refuse(&stanza, &Condition::BadRequest.into());
        return Progress::Done;
    };
    let entries = router.entries(to.bare_str());
    let Some(entry) = entries.iter().find(|e| &*e.resource == resource) else {
        if kind.is_request() {
            router.refuse(&stanza, &Condition::ServiceUnavailable.into());
        }
        return Progress::Done;
    };
    let via = router.clone();
    let (router, entry, to) = (router.clone(), entry.clone(), to.clone());
    // Whether the sender may reach the resource depends on what may have to be read: its block list and its roster.
    let decide = async move {
        match allowed(&router, &stanza, &to, entry.session, kind).await {
            Ok(Action::ToResource) => {
                router.post(&entry, stanza.raw().clone().into());
            }
            Ok(Action::Bounce) => router.refuse(&stanza, &Condition::ServiceUnavailable.into()),
            Ok(_) => {}
            Err(error) if kind.is_request() => router.refuse(&stanza, &error),
            Err(_) => {}
        }
    };
    crate::poll_once::now_or_tell(&via, decide, origin)
}

/// RFC 6121 §8.5.3.1: a request reaches a resource only from those who see its presence, or the answer would tell
/// that it is there.
async fn allowed(
    router: &Arc<Router>,
    stanza: &Stanza,
    to: &Jid,
    session: SessionRef,
    kind: IqType,
) -> Result<Action, StanzaError> {
    let account = to.to_bare();
    let Some(from) = stanza.from() else {
        return Ok(Action::Bounce);
    };
    let own = from.bare_str() == account.as_str();
    if !own {
        let home = router.homes.get(router, &account);
        if !home.exists().await? {
            return Ok(Action::Bounce);
        }
        let lists = home.privacy().unwrap_or_default();
        let judge = router.judge(&account, &lists);
        if judge.denies(session, Passing::Iq, from) {
            return Ok(if kind.is_request() {
                Action::Bounce
            } else {
                Action::Ignore
            });
        }
    }
    let sees = own || !kind.is_request() || sees_presence(router, &account, to, from).await?;
    let resources = [delivery::Resource {
        name: to.resource().unwrap_or_default(),
        priority: None,
    }];
    let addressee = delivery::Addressee {
        exists: true,
        resources: &resources,
        resource: to.resource(),
    };
    Ok(delivery::iq(kind, sees, addressee))
}

fn spawn(router: &Arc<Router>, stanza: Stanza, target: Target, origin: Option<Origin>) -> Progress {
    let (Some(from), Some(to)) = (stanza.from().cloned(), stanza.to().cloned()) else {
        return Progress::Done;
    };
    match router
        .requests
        .push(&(from, to), (stanza, origin), MAX_WAITING)
    {
        Ok(None) => Progress::Pending,
        Ok(Some(mut running)) => {
            let via = router.clone();
            let task = async move {
                while let Some((stanza, origin)) = running.pop() {
                    if let (Some(reply), _) = answer(&via, &stanza, target, None).await {
                        let _ = via.route(Stanza::from_element(&reply), None);
                    }
                    if let Some(origin) = origin {
                        origin.done();
                    }
                }
            };
            let _ = crate::poll_once::now_or_run(router, task, || {});
            Progress::Pending
        }
        Err((stanza, _)) => {
            let text = "too much of yours waits for the answers of this address";
            router.refuse(&stanza, &crate::home::wait(text));
            Progress::Done
        }
    }
}

/// Answers an IQ to the server or to an account's bare address; `None` where no answer is due. With what follows the
/// answer.
pub async fn answer(
    router: &Arc<Router>,
    stanza: &Stanza,
    target: Target,
    session: Option<Arc<crate::routing::SessionHandle>>,
) -> (Option<Element>, Vec<Follower>) {
    let mut followers = Vec::new();
    let outcome = match IqType::parse(stanza.type_attr().as_deref()) {
        Some(kind) if kind.is_request() => {
            handle(router, stanza, kind, target, session, &mut followers).await
        }
        // What answers a request of ours: to a ping of the server's.
        Some(_) => return (None, followers),
        None => Err(Condition::BadRequest.into()),
    };
    let reply = match outcome {
        Ok(payload) => Some(stanza.result_reply(payload)),
        Err(error) => stanza.error_reply(&error),
    };
    (reply, followers)
}

async fn handle(
    router: &Arc<Router>,
    stanza: &Stanza,
    kind: IqType,
    target: Target,
    session: Option<Arc<crate::routing::SessionHandle>>,
    followers: &mut Vec<Follower>,
) -> Result<Option<Element>, StanzaError> {
    // RFC 6120 §8.2.3: a request has exactly one child, and an id.
    let mut children = stanza.root().children();
    let (Some(child), None, Some(_)) = (children.next(), children.next(), stanza.id()) else {
        return Err(Condition::BadRequest.into());
    };
    let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else {
        return Err(Condition::BadRequest.into());
    };
    let Some(handler) = router.registry().handler(target, child.ns()) else {
        return Err(Condition::ServiceUnavailable.into());
    };
    let request = |session| IqRequest {
        kind,
        from: from.clone(),
        to: to.to_bare(),
        session,
        payload: child.to_element(),
        followers: Followers::default(),
    };
    let own = from.bare_str() == to.bare_str();
    if target == Target::Account && !own {
        if handler.own_only() {
            return Err(Condition::Forbidden.into());
        }
        let account = to.to_bare();
        let home = router.homes.get(router, &account);
        if !home.exists().await? {
            return handler.absent(&request(None));
        }
        let (lists, entries) = (
            home.privacy().unwrap_or_default(),
            router.entries(account.as_str()),
        );
        let judge = router.judge(&account, &lists);
        if judge.denies_all(entries.iter().map(|e| e.session), Passing::Iq, from) {
            return Err(Condition::ServiceUnavailable.into());
        }
    }
    router.metrics.iqs.inc();
    let request = request(session);
    let outcome = handler.handle(&request, &router.context()).await;
    *followers = request.followers.into_inner();
    outcome
}
