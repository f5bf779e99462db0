//! The end of rooms that do not stay and that nobody uses: those who were in them went with their node, or whoever destroyed them
//! did not live to remove all of it.
//!
//! Each node looks through the lists of rooms for those that are served here: some time after it began or the view changed, when
//! all know where they are, and once an hour. What is listed as staying is not looked at.
//! Bounds: a page of the list, one room at a time.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use storage::repository::ListFrom;

use super::{Muc, home::Asked};
use crate::module::Context;

/// How long after a change those who are in rooms may take until all is known of them.
const GRACE_MS: u64 = 30_000;
/// How long after a look the next one is.
const EVERY_MS: u64 = 3_600_000;
/// Lines of the list that are read at once.
const AT_ONCE: usize = 200;

/// When it is looked next.
#[derive(Default)]
pub(super) struct Over {
    /// 0: that is not known yet.
    due_ms: AtomicU64,
    runs: AtomicBool,
}

impl Over {
    /// Rooms are served elsewhere than before.
    pub(super) fn view_changed(&self, now_ms: u64) {
        self.due_ms.store(now_ms + GRACE_MS, Ordering::Relaxed);
    }

    /// Whether it is to be looked now.
    fn begins(&self, now_ms: u64) -> bool {
        match self.due_ms.load(Ordering::Relaxed) {
            0 => self.view_changed(now_ms),
            due_ms if now_ms >= due_ms && !self.runs.swap(true, Ordering::AcqRel) => {
                self.due_ms.store(now_ms + EVERY_MS, Ordering::Relaxed);
                return true;
            }
            _ => {}
        }
        false
    }
}

impl Muc {
    /// Ends what is over, if it is time to look.
    pub(super) fn end_those_over(self: &Arc<Self>, cx: &Context) {
        if !self.over.begins(cx.now_ms()) {
            return;
        }
        let (muc, via) = (self.clone(), cx.clone());
        cx.run(Box::pin(async move {
            for service in &muc.options.services {
                if let Err(error) = muc.end_those_of(service, &via).await {
                    tracing::warn!(%service, %error, "rooms that are over are not looked for now");
                    muc.over.view_changed(via.now_ms());
                }
            }
            muc.over.runs.store(false, Ordering::Release);
        }));
    }

    async fn end_those_of(self: &Arc<Self>, service: &str, cx: &Context) -> storage::Result<()> {
        let mut behind: Option<String> = None;
        loop {
            let from = behind.as_deref().map_or(ListFrom::Start, ListFrom::After);
            let lines = self.repository.list(service, from, AT_ONCE).await?;
            let is_last = lines.len() < AT_ONCE;
            behind = lines
                .last()
                .and_then(|it| it.room.local().map(str::to_owned));
            for line in lines.into_iter().filter(|it| it.passing) {
                if cx.is_elsewhere(&line.room) {
                    continue;
                }
                match self.ask(&line.room, Asked::EndIfOver, cx).await {
                    Ok(true) => {
                        tracing::info!(room = %line.room, "a room that nobody is in any more has ended")
                    }
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(room = %line.room, %error, "whether a room is over is not known");
                    }
                }
            }
            if is_last || behind.is_none() {
                return Ok(());
            }
        }
    }
}
