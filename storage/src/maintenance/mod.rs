//! Maintenance: compacts, retains and sweeps what a domain has, a little at a time.
//!
//! A round goes through the accounts of the domain, or the rooms of a service, a page a step, and then through its objects; the next one begins some
//! time after. How far the round is, is a record in `ctl`, which a step moves on before it works: several nodes may run
//! steps at once, each takes another page. A node that dies leaves its page to the next round. All the work may be
//! repeated and done twice at once without harm, so nothing depends on who does what.

mod progress;

use std::{ops::AddAssign, sync::Arc, time::Duration};

use progress::{Phase, Round};
use xmpp::BareJid;

use crate::{
    error::{Error, ErrorKind, Result},
    repository::{
        AccountRepository, Compacted, Compaction, Extent, Keeping, ListFrom, MailboxRepository,
        Retention, RoomRepository, TableLogs,
        log::verify::{Progress, Report},
        record::Records,
    },
    sweep::Sweep,
};

/// What is done for a domain, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenanceOptions {
    /// Whether old entries become segments, and when. For a table that charges for what it stores; the embedded one needs
    /// none.
    pub compaction: Option<Compaction>,
    /// How much of an archive is kept.
    pub retention: Retention,
    /// Whether objects that nobody points at are removed, and how old they must be.
    pub sweep: Option<Duration>,
    /// A round begins no sooner than this after the one before.
    pub interval: Duration,
    /// Accounts of one step.
    pub accounts_per_step: usize,
    /// Segments that are made of one account in one step.
    pub segments_per_account: usize,
    /// Objects that are listed in one step.
    pub objects_per_step: usize,
}

impl Default for MaintenanceOptions {
    fn default() -> Self {
        Self {
            compaction: None,
            retention: Retention::default(),
            sweep: Some(Duration::from_secs(24 * 3_600)),
            interval: Duration::from_secs(24 * 3_600),
            accounts_per_step: 16,
            segments_per_account: 4,
            objects_per_step: 500,
        }
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Accounts that were looked at.
    pub accounts: u64,
    /// Segments that were made.
    pub segments: u64,
    /// Entries that went into them.
    pub entries: u64,
    /// Their bytes in the table.
    pub bytes: u64,
    /// Bytes of their objects.
    pub object_bytes: u64,
    /// Items of dead compactions that were removed.
    pub folded: u64,
    /// Numbers that a retention dropped.
    pub dropped: u64,
    /// Objects that were looked at.
    pub objects: u64,
    /// Objects that nobody pointed at, and that were removed.
    pub swept: u64,
    /// Accounts whose log somebody else was working on.
    pub raced: u64,
    /// Accounts that failed; the log says why, and the next round tries again.
    pub failed: u64,
    /// The store asked for less: wait longer before the next step.
    pub throttled: bool,
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.accounts += other.accounts;
        self.segments += other.segments;
        self.entries += other.entries;
        self.bytes += other.bytes;
        self.object_bytes += other.object_bytes;
        self.folded += other.folded;
        self.dropped += other.dropped;
        self.objects += other.objects;
        self.swept += other.swept;
        self.raced += other.raced;
        self.failed += other.failed;
        self.throttled |= other.throttled;
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It did this; there is more.
    Worked(Work),
    /// Another node took what was next; there may be more.
    Taken,
    /// The round is over; the next one begins then, in time since 1970.
    Idle {
        /// When.
        until: Duration,
    },
}

/// Whose logs are looked after.
pub(crate) enum Owners {
    /// The accounts of a domain.
    Accounts {
        /// Who they are.
        accounts: Arc<dyn AccountRepository>,
        /// What of their logs is still to be delivered.
        mailboxes: Arc<dyn MailboxRepository>,
        /// Whether their records are in the table of the logs.
        beside: bool,
    },
    /// The rooms of a service, whose records are in the table of the logs.
    Rooms(Arc<dyn RoomRepository>),
}

/// The maintenance of a domain.
pub struct Maintenance {
    domain: String,
    owners: Owners,
    logs: TableLogs,
    records: Records,
    sweep: Option<Sweep>,
    options: MaintenanceOptions,
}

impl Maintenance {
    pub(crate) fn new(
        domain: String,
        owners: Owners,
        logs: TableLogs,
        sweep: Option<Sweep>,
        options: MaintenanceOptions,
    ) -> Self {
        Self {
            domain,
            owners,
            records: Records {
                table: logs.table(),
            },
            logs,
            sweep,
            options,
        }
    }

    /// The next part of a round.
    ///
    /// # Errors
    /// How far the round is could not be read or moved on, or the objects not be listed. What fails for one account is
    /// counted.
    pub async fn step(&self, now: Duration) -> Result<Step> {
        let (round, seen) = self.round().await?;
        let round = match round.phase {
            Phase::Done => match round.next_at(self.options.interval) {
                at if now < at => return Ok(Step::Idle { until: at }),
                _ => Round::new(round.number + 1, now),
            },
            _ => round,
        };
        match round.phase {
            Phase::Accounts => {
                let after = Some(&round.after).filter(|after| !after.is_empty());
                let limit = self.options.accounts_per_step.max(1);
                let page = self.names(after.map(String::as_str), limit).await?;
                let next = match page.last() {
                    Some(last) if page.len() == limit => round.at(Phase::Accounts, last),
                    _ if self.sweep.is_some() => round.at(Phase::Objects, ""),
                    _ => round.at(Phase::Done, ""),
                };
                if !self.move_on(&next, seen).await? {
                    return Ok(Step::Taken);
                }
                self.look_after(&page, now).await.map(Step::Worked)
            }
            Phase::Objects => self.sweep_page(&round, seen, now).await,
            Phase::Done => Ok(Step::Taken),
        }
    }

    /// Verifies the archives of the domain, a page of them: those of the accounts beyond `after`. The reports, and where to
    /// go on; `None`: that was the last page. `progress` is told of each archive while it is read.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn verify_page(
        &self,
        after: Option<&str>,
        limit: usize,
        now: Duration,
        progress: &mut Progress<'_>,
    ) -> Result<(Vec<Report>, Option<String>)> {
        let limit = limit.max(1);
        let names = self.names(after, limit).await?;
        let mut reports = Vec::with_capacity(names.len());
        for account in names.iter().filter_map(|name| self.account(name)) {
            reports.push(self.verify(&account, now, progress).await?);
        }
        let next = names.last().filter(|_| names.len() == limit).cloned();
        Ok((reports, next))
    }

    /// Verifies one archive.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn verify(
        &self,
        account: &BareJid,
        now: Duration,
        progress: &mut Progress<'_>,
    ) -> Result<Report> {
        let keeping = self.keeping(account, now).await?;
        self.logs.verify(&keeping, progress).await
    }

    /// What a round does for one account, now and apart from any round: retention, and segments until there are
    /// [`segments_per_account`](MaintenanceOptions::segments_per_account) more. There may be more to do as long as it
    /// makes some.
    ///
    /// # Errors
    /// Any; what was done until then stays right.
    pub async fn look_after_one(&self, account: &BareJid, now: Duration) -> Result<Work> {
        let mut work = Work {
            accounts: 1,
            ..Work::default()
        };
        let keeping = self.keeping(account, now).await?;
        self.keep(&keeping, &mut work).await?;
        Ok(work)
    }

    /// What there is of one archive. Reads all that is in the table of it, and the records of its segments.
    ///
    /// # Errors
    /// The store did not answer, or `Corrupt`.
    pub async fn extent(&self, account: &BareJid) -> Result<Extent> {
        self.logs.extent(account).await
    }

    async fn keeping<'a>(&'a self, owner: &'a BareJid, now: Duration) -> Result<Keeping<'a>> {
        Ok(match &self.owners {
            Owners::Accounts {
                mailboxes, beside, ..
            } => {
                let keeping = Keeping::of_account(owner, &**mailboxes, now);
                match beside {
                    true => keeping,
                    false => keeping.elsewhere(),
                }
            }
            Owners::Rooms(rooms) => {
                // Of a room that is not there nobody's log is worked on.
                let version = rooms.version(owner).await?.unwrap_or(u64::MAX);
                Keeping::of_room(owner, version, now)
            }
        })
    }

    /// Localparts of the owners behind one, in order.
    async fn names(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        match &self.owners {
            Owners::Accounts { accounts, .. } => accounts.list(&self.domain, after, limit).await,
            Owners::Rooms(rooms) => {
                let from = after.map_or(ListFrom::Start, ListFrom::After);
                let rooms = rooms.list(&self.domain, from, limit).await?;
                let names = rooms.iter().filter_map(|it| it.room.local());
                Ok(names.map(str::to_owned).collect())
            }
        }
    }

    fn account(&self, local: &str) -> Option<BareJid> {
        BareJid::from_parts(Some(local), &self.domain).ok()
    }

    async fn look_after(&self, page: &[String], now: Duration) -> Result<Work> {
        let mut work = Work::default();
        for account in page.iter().filter_map(|name| self.account(name)) {
            work.accounts += 1;
            let kept = match self.keeping(&account, now).await {
                Ok(keeping) => self.keep(&keeping, &mut work).await,
                Err(error) => Err(error),
            };
            let Err(error) = kept else { continue };
            tracing::warn!(%account, %error, kind = ?error.kind(), "the archive was not maintained");
            work.failed += 1;
            if error.kind() == ErrorKind::Throttled {
                work.throttled = true;
                // The rest is for the next round.
                break;
            }
        }
        Ok(work)
    }

    async fn keep(&self, keeping: &Keeping<'_>, work: &mut Work) -> Result<(), Error> {
        // What is dropped need not be compacted.
        match self.logs.retain(keeping, &self.options.retention).await? {
            Some(dropped) => work.dropped += dropped,
            None => work.raced += 1,
        }
        let Some(when) = &self.options.compaction else {
            return Ok(());
        };
        for _ in 0..self.options.segments_per_account.max(1) {
            match self.logs.compact(keeping, when).await? {
                Compacted::Nothing => break,
                Compacted::Segment {
                    entries,
                    bytes,
                    object_bytes,
                } => {
                    work.segments += 1;
                    work.entries += entries;
                    work.bytes += bytes;
                    work.object_bytes += object_bytes;
                }
                Compacted::Folded { items } => work.folded += items,
                Compacted::Raced => {
                    work.raced += 1;
                    break;
                }
            }
        }
        Ok(())
    }

    async fn sweep_page(&self, round: &Round, seen: u64, now: Duration) -> Result<Step> {
        let Some(sweep) = &self.sweep else {
            let moved = self.move_on(&round.at(Phase::Done, ""), seen).await?;
            return Ok(match moved {
                true => Step::Worked(Work::default()),
                false => Step::Taken,
            });
        };
        let after = Some(round.after.as_str()).filter(|after| !after.is_empty());
        let limit = self.options.objects_per_step.max(1);
        // Where the page ends is known when it was looked at; two nodes may look at the same one.
        let swept = sweep.page(after, limit, now).await?;
        let next = match &swept.next {
            Some(next) => round.at(Phase::Objects, next),
            None => round.at(Phase::Done, ""),
        };
        self.move_on(&next, seen).await?;
        Ok(Step::Worked(Work {
            objects: swept.listed,
            swept: swept.removed,
            ..Work::default()
        }))
    }
}
