//! `starling archive`: verifies archives, compacts them now, tells what there is of one.
//!
//! Answers go to standard output, how far it is to standard error. What a node does in the background meanwhile, on a
//! store that both may open, is no problem: each step claims the log it works on.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use storage::{
    Clock, Stores, SystemClock,
    maintenance::{Maintenance, Work},
    repository::log::verify::Report,
};
use xmpp::{BareJid, payload::delay::stamp};

use super::{
    FAILED, Failure, PARTLY, REFUSED, SourceArgs, answer, load, opened, say, transfer::known,
};
use crate::config::{Config, Overrides};

/// Accounts that are listed at once.
const PAGE: usize = 200;
/// How often long work tells how far it is.
const TELL: Duration = Duration::from_secs(2);

#[derive(Debug, Subcommand)]
pub(super) enum ArchiveCommand {
    /// Read archives whole and compare: numbers, times, checksums, pointers, indexes. Says what is wrong; changes nothing.
    Verify(Which),
    /// Do now what is done in the background: drop what is beyond the retention, pack old messages into objects.
    Compact(Which),
    /// Tell how much there is of one archive, and where.
    Status {
        /// The account.
        jid: String,
    },
}

/// Which archives.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The account, or `all`.
    #[arg(value_name = "JID|all", required_unless_present = "domain")]
    account: Option<String>,
    /// Those of a domain.
    #[arg(long, conflicts_with = "account")]
    domain: Option<String>,
}

pub(super) fn run(command: &ArchiveCommand, source: &SourceArgs) -> Result<(), Failure> {
    let config = load(source, Overrides::default())?.config;
    let (runtime, stores) = opened::open(&config, "stop the node first")?;
    let work = Archives { config, stores };
    runtime.block_on(async {
        match command {
            ArchiveCommand::Verify(which) => work.verify(which).await,
            ArchiveCommand::Compact(which) => work.compact(which).await,
            ArchiveCommand::Status { jid } => work.status(jid).await,
        }
    })
}

/// The archives of a configuration.
struct Archives {
    config: Config,
    stores: Stores,
}

/// Tells now and then how far long work is.
struct Teller {
    told: Instant,
    accounts: u64,
}

impl Teller {
    fn new() -> Self {
        Self {
            told: Instant::now(),
            accounts: 0,
        }
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.told.elapsed() >= TELL {
            self.told = Instant::now();
            say(&format!("{} accounts done; {}", self.accounts, what()));
        }
    }
}

/// What a verification found in all.
#[derive(Default)]
struct Found {
    archives: u64,
    entries: u64,
    segments: u64,
    damaged: u64,
    problems: u64,
}

impl Archives {
    async fn verify(&self, which: &Which) -> Result<(), Failure> {
        let (mut teller, mut found) = (Teller::new(), Found::default());
        for (domain, only) in self.chosen(which).await? {
            let maintenance = self.maintenance(&domain)?;
            let mut accounts = Accounts::new(&self.stores, &domain, only);
            while let Some(account) = accounts.next().await? {
                let mut progress = |report: &Report| {
                    teller.tell(|| {
                        let read = report.in_table + report.in_segments;
                        format!("{}: {read} of {} read", report.archive, report.head)
                    });
                };
                let now = SystemClock.now();
                let report = maintenance.verify(&account, now, &mut progress).await?;
                teller.accounts += 1;
                teller.tell(|| format!("{} problems", found.problems));
                found.add(&report);
            }
        }
        found.tell()
    }

    async fn compact(&self, which: &Which) -> Result<(), Failure> {
        let (mut teller, mut all) = (Teller::new(), Work::default());
        for (domain, only) in self.chosen(which).await? {
            let maintenance = self.maintenance(&domain)?;
            let mut accounts = Accounts::new(&self.stores, &domain, only);
            while let Some(account) = accounts.next().await? {
                loop {
                    let done = maintenance.look_after_one(&account, SystemClock.now());
                    let done = match done.await {
                        Ok(done) => done,
                        Err(error) => {
                            // The others are none the worse for it.
                            say(&format!("{account}: {error}"));
                            all.failed += 1;
                            break;
                        }
                    };
                    all += done;
                    teller.tell(|| {
                        format!(
                            "{account}: {} messages in {} objects so far",
                            all.entries, all.segments
                        )
                    });
                    if done.segments + done.folded + done.dropped == 0 {
                        break;
                    }
                }
                teller.accounts += 1;
            }
        }
        answer(&format!(
            "{} archives: {} messages packed into {} objects ({} bytes became {}), {} dropped",
            teller.accounts, all.entries, all.segments, all.bytes, all.object_bytes, all.dropped
        ));
        if all.raced > 0 {
            say(&format!(
                "{} times somebody else worked on the same archive",
                all.raced
            ));
        }
        match all.failed {
            0 => Ok(()),
            failed => Err(Failure::new(
                FAILED,
                format!("starling: {failed} archives were not looked after"),
            )),
        }
    }

    async fn status(&self, jid: &str) -> Result<(), Failure> {
        let account = self.account(jid).await?;
        let maintenance = self.maintenance(account.domain())?;
        let it = maintenance.extent(&account).await?;
        let time = |ms: u64| stamp(i64::try_from(ms).unwrap_or(i64::MAX));
        let (entries, lines) = (it.entries(), |name: &str, text: String| {
            answer(&format!("{name}\t{text}"));
        });
        lines("entries", entries.to_string());
        if entries > 0 {
            lines("numbers", format!("{} to {}", it.first, it.head));
            lines("first", time(it.first_ms));
            lines("last", time(it.last_ms));
        }
        lines(
            "table",
            format!(
                "{} entries in {} items of {} bytes",
                it.item_entries, it.items, it.item_bytes
            ),
        );
        lines(
            "objects",
            format!(
                "{} entries in {} segments of {} bytes",
                it.segment_entries, it.segments, it.object_bytes
            ),
        );
        Ok(())
    }

    /// The maintenance of a domain as configured, but that its logs are compacted: that is what somebody asked for.
    fn maintenance(&self, domain: &str) -> Result<Maintenance, Failure> {
        let mut options = self.config.maintained(domain);
        options.compaction = Some(self.config.compaction());
        self.stores
            .maintenance(domain, &[], options)
            .ok_or_else(|| {
                let message =
                    format!("starling: the messages of {domain} are kept by another system");
                Failure::new(REFUSED, message)
            })
    }

    /// Domains, and of each all accounts or one.
    async fn chosen(&self, which: &Which) -> Result<Vec<(String, Option<BareJid>)>, Failure> {
        match (&which.account, &which.domain) {
            (_, Some(domain)) => {
                let domain = known(domain, &self.config, &self.stores).await?;
                Ok(vec![(domain, None)])
            }
            (Some(all), None) if all == "all" => {
                let domains = self.config.domains.iter();
                Ok(domains.map(|domain| (domain.clone(), None)).collect())
            }
            (account, None) => {
                let account = self.account(account.as_deref().unwrap_or_default()).await?;
                Ok(vec![(account.domain().to_owned(), Some(account))])
            }
        }
    }

    async fn account(&self, jid: &str) -> Result<BareJid, Failure> {
        let refused = |text: String| Failure::new(REFUSED, format!("starling: {text}"));
        let account = BareJid::parse(jid)
            .map_err(|error| refused(format!("\"{jid}\" is no address ({error})")))?;
        if account.local().is_none() {
            return Err(refused(format!("{jid} is no account")));
        }
        match self.stores.accounts.load(&account).await? {
            Some(_) => Ok(account),
            None => Err(refused(format!("there is no account {account}"))),
        }
    }
}

/// Accounts one after the other, a page of names at a time.
struct Accounts<'a> {
    stores: &'a Stores,
    domain: &'a str,
    names: std::vec::IntoIter<String>,
    /// The last name of the page; `None`: there are no more pages.
    after: Option<String>,
    only: Option<BareJid>,
}

impl<'a> Accounts<'a> {
    fn new(stores: &'a Stores, domain: &'a str, only: Option<BareJid>) -> Self {
        Self {
            stores,
            domain,
            names: Vec::new().into_iter(),
            after: only.is_none().then(String::new),
            only,
        }
    }

    async fn next(&mut self) -> Result<Option<BareJid>, Failure> {
        if let Some(only) = self.only.take() {
            return Ok(Some(only));
        }
        loop {
            if let Some(name) = self.names.next() {
                let account = BareJid::from_parts(Some(&name), self.domain);
                return account.map(Some).map_err(|error| {
                    let message = format!("starling: {name}@{}: {error}", self.domain);
                    Failure::new(FAILED, message)
                });
            }
            let Some(after) = self.after.take() else {
                return Ok(None);
            };
            let after = Some(after.as_str()).filter(|after| !after.is_empty());
            let page = self.stores.accounts.list(self.domain, after, PAGE).await?;
            self.after = page.last().filter(|_| page.len() == PAGE).cloned();
            self.names = page.into_iter();
        }
    }
}

impl Found {
    fn add(&mut self, report: &Report) {
        self.archives += 1;
        self.entries += report.in_table + report.in_segments;
        self.segments += report.segments;
        self.problems += report.problem_count;
        self.damaged += u64::from(!report.is_sound());
        for problem in &report.problems {
            answer(&format!("{}: {problem}", report.archive));
        }
        let unlisted = report.problem_count - report.problems.len() as u64;
        if unlisted > 0 {
            answer(&format!("{}: and {unlisted} more problems", report.archive));
        }
    }

    fn tell(&self) -> Result<(), Failure> {
        answer(&format!(
            "{} archives, {} entries, {} segments, {} problems",
            self.archives, self.entries, self.segments, self.problems
        ));
        match self.problems {
            0 => Ok(()),
            number => Err(Failure::new(
                PARTLY,
                format!("starling: {number} problems in {} archives", self.damaged),
            )),
        }
    }
}
