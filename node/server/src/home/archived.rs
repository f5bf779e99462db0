//! Forgets what waits for a client that reads the archive instead.
//!
//! Source: XEP-0386 v1.1.0 §4: who binds by it fetches what it missed from the archive, so that it is not given it twice.
//! Only what the archive shows is forgotten: what an account does not want archived is still delivered.

use std::{collections::BTreeSet, sync::Arc};

use storage::repository::{EntryFlags, LogRange};

use super::Home;
use crate::routing::Router;

/// Entries that are looked at together.
const PAGE: usize = 256;

impl Home {
    /// Forgets what nobody holds and the archive shows. If the log cannot be read everything goes on waiting.
    pub async fn leave_to_archive(self: &Arc<Self>, router: &Arc<Router>) {
        let mut rest = self.claim(usize::MAX, || None).unwrap_or_default();
        let shown = match self.shown_by_archive(router, &rest).await {
            Ok(shown) => shown,
            Err(error) => {
                tracing::warn!(account = %self.account, %error, "what waits is delivered though the archive has it");
                BTreeSet::new()
            }
        };
        rest.retain(|number| !shown.contains(number));
        self.acknowledge(router, &Vec::from_iter(shown));
        self.release(router, rest);
    }

    /// Which of these the archive shows.
    async fn shown_by_archive(
        &self,
        router: &Router,
        numbers: &[u64],
    ) -> storage::Result<BTreeSet<u64>> {
        let mut shown = BTreeSet::new();
        let (mut next, Some(&to)) = (numbers.first().copied(), numbers.last()) else {
            return Ok(shown);
        };
        while let Some(from) = next.filter(|from| *from <= to) {
            let range = LogRange { from, to };
            let logs = &router.stores.logs;
            let page = logs.read(&self.account, range, false, PAGE).await?;
            let archived = |entry: &&storage::repository::LogEntry| {
                entry.flags.contains(EntryFlags::ARCHIVED)
                    && numbers.binary_search(&entry.number).is_ok()
            };
            shown.extend(page.iter().filter(archived).map(|entry| entry.number));
            next = page.last().map(|last| last.number + 1);
        }
        Ok(shown)
    }
}
