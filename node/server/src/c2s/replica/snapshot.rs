//! A session as it would move, without being moved.

use xmpp::Jid;

use super::{
    line::Stream,
    state::{Standing, in_frames},
};
use crate::{
    c2s::{
        moving::{self, Kept, Moved},
        session::SessionCore,
    },
    home::{Home, pending::Handed},
    routing::{Router, SessionHandle},
};

/// Tells all of a session. False: not all of it is on its way.
pub(super) fn tell_whole(account: &str, stream: &Stream, session: Moved) -> bool {
    let mut of = Some((account.to_owned(), stream.began_ms));
    let mut deltas = in_frames(session).into_iter();
    let is_told = deltas.all(|delta| stream.tell(of.take(), vec![delta]));
    stream.is_whole();
    is_told
}

/// How a session stands to others now; `None`: it has lost its name.
pub(in crate::c2s) fn standing(
    home: &Home,
    handle: &SessionHandle,
    router: &Router,
) -> Option<Standing> {
    let entries = router.entries(home.account.as_str());
    let entry = entries.iter().find(|it| it.session == handle.session)?;
    let mut presences = home.presences().into_iter();
    let presence = presences.find(|(number, _)| *number == handle.session.number);
    Some(Standing {
        priority: entry.priority,
        flags: entry.flags,
        presence: presence.map(|(_, it)| it.raw().to_vec().into()),
        directed: handle.directed.lock().iter().map(Jid::to_string).collect(),
        active_list: router
            .active_lists
            .get(handle.session)
            .map(|name| name.to_string()),
    })
}

/// What is to be told of a session that its home knows.
pub(super) struct Given {
    standing: Standing,
    handed: Option<Handed>,
}

/// It, as it is now; `None`: the session has lost its name.
pub(super) fn given(home: &Home, handle: &SessionHandle, router: &Router) -> Option<Given> {
    let standing = standing(home, handle, router)?;
    let handed = home.handed();
    Some(Given { standing, handed })
}

impl Standing {
    /// Of a session that was told whole.
    pub(super) fn of(session: &Moved) -> Self {
        Self {
            priority: session.priority,
            flags: session.flags,
            presence: session.presence.clone(),
            directed: session.directed.clone(),
            active_list: session.active_list.clone(),
        }
    }
}

/// All of a session, as it would move.
pub(super) fn whole(
    core: &SessionCore,
    given: Option<Given>,
    doubt_since_ms: Option<u64>,
) -> Option<Moved> {
    let (managed, handle) = (core.managed.as_ref()?, &core.handle);
    let resume_ms = managed.resume?.as_millis();
    let given = given.or_else(|| self::given(&core.home, handle, &core.router))?;
    let Given { standing, handed } = given;
    // Before what waits is looked at: what is given to it meanwhile is found there.
    let heard = moving::heard(handle);
    let mut waiting: Vec<Kept> = core.backlog.iter().filter_map(Kept::of_letter).collect();
    handle
        .mailbox
        .visit(|letter| waiting.extend(Kept::of_letter(letter)));
    Some(Moved {
        resource: handle.jid.resource().to_owned(),
        sm_id: handle.sm_id.get()?.to_string(),
        resume_ms: u64::try_from(resume_ms).unwrap_or(u64::MAX),
        h: core.inbound.h(),
        lang: core.lang.as_deref().map(str::to_owned),
        priority: standing.priority,
        flags: standing.flags,
        presence: standing.presence,
        directed: standing.directed,
        active_list: standing.active_list,
        acked: managed.outbound.acked(),
        unacked: managed.outbound.iter().map(Kept::of_sent).collect(),
        waiting,
        doubt_since_ms,
        done: Vec::new(),
        began_ms: None,
        handed,
        carried: None,
        heard: Some(heard),
    })
}
