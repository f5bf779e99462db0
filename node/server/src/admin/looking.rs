//! What is looked at: who asks, accounts and what they have. What is about an account is asked of the node that serves it.

use storage::repository::{EntryFlags, LogEntry, LogRange, Mailbox, RosterItem, Subscription};
use xmpp::BareJid;

use super::{
    Administrator, Caller, MAX_PAGE, Response, absent,
    answers::{AccountFacts, Contact, Page, Waiting, Whoami},
    told,
};

/// Entries of a log that are read at once to find those that wait.
const READ: usize = 256;
/// Entries of a log that one request goes through at most.
const MAX_READ: usize = 16_384;

impl Administrator {
    pub(super) fn whoami(&self, caller: &Caller) -> Response {
        let (name, scopes) = caller.describe();
        Response::Whoami(Box::new(Whoami {
            name,
            scopes,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: self.node(),
            domains: self.domains.clone(),
            rooms: self
                .rooms
                .as_ref()
                .map_or_else(Vec::new, |rooms| rooms.services().to_vec()),
            pubsub: self.pubsub.clone(),
        }))
    }

    pub(super) async fn look(&self, account: &str) -> Result<Response, Response> {
        let account = self.account(account)?;
        let cx = self.live()?.context();
        let stores = &self.accounts.stores;
        let found = stores.accounts.load(&account).await?;
        let found = found.ok_or_else(|| absent(&account))?;
        let tell = |error| told(&error, &account);
        let (resources, waiting) = (cx.resources(&account).await, cx.waiting(&account).await);
        let roster = self.accounts.rosters.stored(&account).await.map_err(tell)?;
        Ok(Response::Account(AccountFacts {
            disabled: found.disabled,
            created_ms: found.created_ms,
            last_active_ms: stores.mailboxes.load(&account).await?.last_active_ms,
            sessions: resources.map_err(tell)?.len(),
            waiting: waiting.map_err(tell)? as u64,
            contacts: roster.items.iter().filter(|item| item.in_roster).count(),
            account: account.to_string(),
        }))
    }

    pub(super) async fn roster(
        &self,
        account: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Response, Response> {
        let account = self.existing(account).await?;
        let roster = self.accounts.rosters.stored(&account).await;
        let roster = roster.map_err(|error| told(&error, &account))?;
        let mut contacts: Vec<_> = roster.items.iter().filter(|item| item.in_roster).collect();
        contacts.sort_by(|a, b| a.jid.as_str().cmp(b.jid.as_str()));
        let limit = limit.clamp(1, MAX_PAGE);
        let wanted = contacts
            .into_iter()
            .filter(|item| after.is_none_or(|after| item.jid.as_str() > after));
        let contacts = wanted.take(limit + 1).map(contact).collect();
        let page = Page::of(contacts, limit, |contact: &Contact| contact.jid.clone());
        Ok(Response::Roster(page))
    }

    pub(super) async fn queue(
        &self,
        account: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Response, Response> {
        let account = self.existing(account).await?;
        let stores = &self.accounts.stores;
        let mailbox = stores.mailboxes.load(&account).await?;
        let limit = limit.clamp(1, MAX_PAGE);
        let mut from = after.map_or(0, |after| after.saturating_add(1));
        from = from.max(mailbox.floor());
        let (mut found, mut read) = (Vec::new(), 0);
        while found.len() <= limit && read < MAX_READ {
            let range = LogRange { from, to: u64::MAX };
            let entries = stores.archives.read(&account, range, false, READ).await?;
            let Some(last) = entries.last() else { break };
            from = last.number + 1;
            read += entries.len();
            found.extend(
                entries
                    .iter()
                    .filter(|it| waits_in(&mailbox, it))
                    .map(|it| Waiting {
                        number: it.number,
                        time_ms: it.time_ms,
                        from: it.peer.to_string(),
                        bytes: it.stanza.len(),
                    }),
            );
        }
        let mut page = Page::of(found, limit, |it: &Waiting| it.number.to_string());
        if read >= MAX_READ && page.next.is_none() {
            page.next = Some((from - 1).to_string());
        }
        Ok(Response::Queue(page))
    }

    async fn existing(&self, account: &str) -> Result<BareJid, Response> {
        let account = self.account(account)?;
        self.must_exist(&account).await?;
        Ok(account)
    }

    pub(super) async fn must_exist(&self, account: &BareJid) -> Result<(), Response> {
        let found = self.accounts.stores.accounts.load(account).await?;
        found.map(drop).ok_or_else(|| absent(account))
    }
}

fn contact(item: &RosterItem) -> Contact {
    Contact {
        jid: item.jid.to_string(),
        name: item.name.clone(),
        groups: item.groups.clone(),
        subscription: match item.subscription {
            Subscription::None => "none",
            Subscription::To => "to",
            Subscription::From => "from",
            Subscription::Both => "both",
        }
        .to_owned(),
        ask: item.ask,
    }
}

/// Whether an entry is still to be handed over, as the store knows it.
fn waits_in(mailbox: &Mailbox, entry: &LogEntry) -> bool {
    let is_open = entry.number > mailbox.acked || mailbox.undelivered.contains(&entry.number);
    is_open && entry.flags.contains(EntryFlags::DELIVER)
}
