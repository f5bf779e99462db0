//! The home's side of a replica: what of a session was told to another node, and what is held back until it is confirmed.

use std::{collections::VecDeque, io, sync::atomic::Ordering};

use tokio::time::Instant;

use super::{
    AGAIN,
    doubtful::Doubtful,
    line::Stream,
    snapshot::{Given, standing, tell_whole, whole},
    state::{Delta, Standing, Told},
};
use crate::{c2s::session::SessionCore, home::Doubt, net::Transport};

/// Updates of one session that a node may be told and not have confirmed.
const MAX_UNCONFIRMED: u64 = 256;

/// How far another node knows of a session.
#[derive(Default)]
pub struct Following {
    /// The view by which the other node was chosen; 0: none was.
    epoch: u64,
    stream: Option<Stream>,
    /// Something could not be told.
    is_cut: bool,
    /// What it was told; `None`: all is to be told.
    told: Option<Told>,
    /// A request of the client was answered: how the session stands to others may have changed.
    standing_due: bool,
    /// What it was told of that.
    standing: Standing,
    /// Bytes held back, and with which update they may go.
    marks: VecDeque<(u64, usize)>,
    marked: usize,
    /// When the node is told anew that did not follow.
    again: Option<Instant>,
    /// Letters that waited for a session without connection when they were last told.
    letters: usize,
    doubt: Option<Doubtful>,
}

impl SessionCore {
    /// Whether another node knows of it, or is to.
    pub(in crate::c2s) fn is_replicated(&self) -> bool {
        self.replica.is_some() || self.may_be_replicated()
    }

    fn may_be_replicated(&self) -> bool {
        let router = &self.router;
        router.peers.generation() > 0
            && router.config.stream_management.replicas
            && self.managed.as_ref().is_some_and(|it| it.resume.is_some())
    }

    /// From now on what is written waits until another node knows what it implies, if one is to know of the session.
    pub(in crate::c2s) fn hold_back(&self, transport: &mut Transport) {
        if !self.may_be_replicated() {
            return;
        }
        let second = self.router.peers.second(self.home.account.as_str());
        if second.is_some_and(|node| !self.router.replicas.is_silent(node)) {
            transport.hold_back();
        }
    }

    /// Whether it was left behind and its client is not back: its home may have gone on without telling, so that its counters
    /// are too low.
    pub(in crate::c2s) fn is_unproven(&self) -> bool {
        let doubt = self.replica.as_ref().and_then(|it| it.doubt.as_ref());
        doubt.is_some_and(Doubtful::is_unproven)
    }

    /// Whether what its client sends may have been done before its home died.
    pub fn doubt(&mut self) -> Option<Doubt> {
        let replica = self.replica.as_mut()?;
        replica.doubt.as_mut()?.next(Instant::now())
    }
}

impl Following {
    /// Of a session that another node left behind at about this time.
    pub(in crate::c2s) fn adopted(doubt_since_ms: Option<u64>) -> Option<Box<Self>> {
        let since_ms = doubt_since_ms?;
        Some(Box::new(Self {
            doubt: Some(Doubtful::new(since_ms)),
            ..Self::default()
        }))
    }

    /// Its client, which is back, may send what was done since then.
    pub(in crate::c2s) fn doubts(&mut self, since_ms: u64) {
        let mut doubt = Doubtful::new(since_ms);
        doubt.begins(Instant::now());
        self.doubt = Some(doubt);
    }

    /// The session goes on over another connection.
    pub(in crate::c2s) fn begins(&mut self) {
        (self.told, self.marked, self.letters) = (None, 0, 0);
        self.marks = VecDeque::new();
        if let Some(doubt) = &mut self.doubt {
            doubt.begins(Instant::now());
        }
    }

    /// How the session stands to others may have changed.
    pub(in crate::c2s) fn standing_may_differ(&mut self) {
        self.standing_due = true;
    }

    /// What another node knows of the session, which goes elsewhere: until it is known there.
    pub(in crate::c2s) fn leave(&mut self) -> Option<Stream> {
        self.stream.take().inspect(Stream::leaves)
    }

    /// Since when what its client sends may have been done already.
    pub(in crate::c2s) fn doubt_since_ms(&self) -> Option<u64> {
        self.doubt.as_ref()?.since_ms(Instant::now())
    }

    /// Chooses who is to know of the session, if the view has changed since that was done.
    fn aim(&mut self, core: &SessionCore) {
        if !self.is_due(core) {
            return;
        }
        let router = &core.router;
        let epoch = router.peers.generation();
        let account = core.home.account.as_str();
        if self.epoch == epoch || router.peers.elsewhere(account).is_none() {
            let second = router.peers.second(account);
            if self.stream.is_none() && second.is_some_and(|node| router.replicas.is_slow(node)) {
                // It has enough to take in.
                self.again = Some(Instant::now() + AGAIN);
                self.epoch = epoch;
                return;
            }
            if self.stream.as_ref().map(|it| it.line.node) != second {
                let sm_id = core.handle.sm_id.get();
                let early = || sm_id.and_then(|id| router.replicas.take_early(id));
                let former = self.stream.take().or_else(early);
                self.forget();
                let new = |node| Stream::new(router, Some(core.handle.clone()), node, former);
                self.stream = second.map(new);
                let (jid, second) = (&core.handle.jid, second.map(|node| node.0));
                tracing::debug!(%jid, epoch, second, "another node is to know a session");
            }
        }
        (self.epoch, self.again) = (epoch, None);
    }

    /// So much was told and not confirmed that no more is: a node that is slow is told anew when it is not.
    fn is_behind(&self) -> bool {
        let is_behind = |stream: &Stream| stream.line.unconfirmed() >= MAX_UNCONFIRMED;
        self.stream.as_ref().is_some_and(is_behind)
    }

    /// Somebody else is to know of the session, or may be.
    fn is_due(&self, core: &SessionCore) -> bool {
        let again = self.again.is_some_and(|again| again <= Instant::now());
        again || self.epoch != core.router.peers.generation()
    }

    fn forget(&mut self) {
        (self.stream, self.told, self.marked) = (None, None, 0);
        self.is_cut = false;
        self.marks = VecDeque::new();
    }

    /// The other node does not follow.
    fn is_refused(&self) -> bool {
        let refused = |stream: &Stream| stream.line.refused.load(Ordering::Acquire);
        self.stream.as_ref().is_some_and(refused)
    }

    /// The node does not know the session any more; it is told anew later.
    fn lose(&mut self, core: &SessionCore, cause: &'static str) {
        self.forget();
        self.again = Some(Instant::now() + AGAIN);
        let lost = &core.router.metrics.unreplicated;
        lost.with_label_values(&[cause]).inc();
        tracing::debug!(jid = %core.handle.jid, cause, "no other node knows a session");
    }

    /// Tells what has changed; all of it with what its home knows, if that is given.
    fn tell(&mut self, core: &SessionCore, given: Option<Given>) {
        let (Some(managed), Some(stream), false) = (&core.managed, &self.stream, self.is_cut)
        else {
            return;
        };
        let (h, outbound) = (core.inbound.h(), &managed.outbound);
        let mut now = Told::now(h, outbound, !core.backlog.is_empty());
        let changes = self.told.and_then(|told| told.changes(&now, outbound));
        let is_told = match changes {
            None => match whole(core, given, self.doubt_since_ms()) {
                Some(session) => {
                    self.standing = Standing::of(&session);
                    now.waits = !session.waiting.is_empty();
                    tell_whole(core.home.account.as_str(), stream, session)
                }
                // It has lost its name and is about to end.
                None => return,
            },
            Some(mut deltas) => {
                if self.standing_due {
                    let standing = standing(&core.home, &core.handle, &core.router);
                    let standing = standing.unwrap_or_default();
                    if standing != self.standing {
                        self.standing = standing.clone();
                        deltas.push(Delta::Standing(standing));
                    }
                }
                deltas.is_empty() || stream.tell(None, deltas)
            }
        };
        self.standing_due = false;
        self.told = Some(now);
        // It may be this node that cannot be reached: what is held back stays so as long as for one that is slow.
        self.is_cut = !is_told;
    }

    /// Lets go what may go.
    fn release(&mut self, core: &SessionCore, transport: &mut Transport) {
        if self.is_behind() {
            self.lose(core, "behind");
        }
        let Some(stream) = &self.stream else {
            return transport.release_all();
        };
        if self.is_refused() {
            self.lose(core, "refused");
            return transport.release_all();
        }
        let line = &stream.line;
        let is_confirmed = line.is_confirmed();
        if line.late.load(Ordering::Acquire) {
            if self.is_cut {
                self.lose(core, "unreachable");
                return transport.release_all();
            } else if is_confirmed {
                line.late.store(false, Ordering::Release);
            } else if transport.is_held_back() {
                // Who knew it before knows less than its client now.
                line.forget_former();
                let lost = &core.router.metrics.unreplicated;
                lost.with_label_values(&["late"]).inc();
                tracing::debug!(jid = %core.handle.jid, "another node is late to know a session");
                (self.marks, self.marked) = (VecDeque::new(), 0);
                return transport.release_all();
            }
        }
        let new = transport.pending_bytes() - transport.sendable_bytes() - self.marked;
        if new > 0 {
            let upto = line.sent.load(Ordering::Acquire);
            self.marks.push_back((upto, new));
            self.marked += new;
        }
        let confirmed = line.confirmed.load(Ordering::Acquire);
        while let Some(&(upto, bytes)) = self.marks.front()
            && upto <= confirmed
        {
            self.marks.pop_front();
            self.marked -= bytes;
            transport.release(bytes);
        }
        if self.marks.is_empty() {
            self.marks = VecDeque::new();
        }
        if is_confirmed {
            transport.hold_back();
        }
    }
}

/// Tells the other node what a turn of the session has changed, holds back what that turn wrote, and sends what may go.
pub(in crate::c2s) fn commit(core: &mut SessionCore, transport: &mut Transport) -> io::Result<()> {
    let mut following = core.replica.take().unwrap_or_default();
    if following.is_due(core) {
        // What is acknowledged and not written down yet only the former one knows.
        core.home.save(&core.router);
    }
    following.aim(core);
    following.tell(core, None);
    following.release(core, transport);
    core.replica = Some(following);
    if transport.sendable_bytes() > 0 {
        transport.try_flush()?;
    }
    Ok(())
}

/// The session has no connection any more: what waits for it is told as well.
pub(in crate::c2s) fn parked(core: &mut SessionCore) {
    if core.is_replicated() {
        tell_parked(core, None);
    }
}

/// Tells all of a session without connection. With what its home knows that is not looked at.
pub(super) fn tell_parked(core: &mut SessionCore, given: Option<Given>) {
    let mut following = core.replica.take().unwrap_or_default();
    if following.is_cut {
        following.lose(core, "unreachable");
    } else if following.is_behind() {
        following.lose(core, "behind");
    } else if following.is_refused() {
        following.lose(core, "refused");
    }
    following.told = None;
    following.letters = core.handle.mailbox.len();
    following.aim(core);
    following.tell(core, given);
    core.replica = Some(following);
}

/// Whether something has changed for a session without connection: the view, or what waits for it.
pub(super) fn is_outdated(core: &SessionCore) -> bool {
    if !core.is_replicated() {
        return false;
    }
    core.replica.as_ref().is_none_or(|following| {
        let is_lost = following.stream.is_some()
            && (following.told.is_none() || following.is_cut || following.is_refused());
        let letters = core.handle.mailbox.len();
        is_lost || following.is_due(core) || following.letters != letters
    })
}
