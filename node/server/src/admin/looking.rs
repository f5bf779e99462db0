//! What is looked at: accounts and what they have, who is there, rooms, what is published, metrics. What is about an account or
//! a room is asked of the node that serves it.

use std::collections::BTreeMap;

use storage::repository::{EntryFlags, LogRange, Mailbox, RosterItem, Subscription};
use xmpp::{BareJid, StreamError, StreamErrorCondition};

use super::{
    Administrator, Caller, MAX_PAGE, Response, Why, absent,
    answers::{
        AccountFacts, Contact, Family, Online, Page, PubsubFacts, RoomFacts, RoomLine, Sample,
        SessionFacts, Waiting, Whoami,
    },
    invalid, refused, told, waits,
};
use crate::{
    module::{Administer, Administered, Context},
    modules::muc::Muc,
    routing::census::{Census, Everywhere},
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

    pub(super) async fn sessions(&self, account: &str) -> Result<Response, Response> {
        let account = self.account(account)?;
        let cx = self.live()?.context();
        let resources = cx.resources(&account).await;
        let mut resources = resources.map_err(|error| told(&error, &account))?;
        if resources.is_empty() {
            // Who has no account may be there all the same: an anonymous user.
            self.must_exist(&account).await?;
        }
        resources.sort();
        let session = |resource| SessionFacts { resource };
        Ok(Response::Sessions(Page {
            items: resources.into_iter().map(session).collect(),
            next: None,
        }))
    }

    pub(super) async fn end_one(
        &self,
        account: &str,
        resource: &str,
    ) -> Result<Response, Response> {
        let account = self.account(account)?;
        let cx = self.live()?.context();
        let error = StreamError::new(
            StreamErrorCondition::NotAuthorized,
            "ended by the administrator",
        );
        let mut ended = 0;
        for entry in cx.entries(&account).iter() {
            if *entry.resource == *resource && cx.end_session(entry.session, error.clone()) {
                ended += 1;
            }
        }
        let elsewhere = cx.end_elsewhere(&account, Some(resource), &error).await;
        ended += elsewhere.map_err(|error| told(&error, &account))?;
        if ended == 0 {
            let reason = format!("{account} has no session {resource}");
            return Err(refused(Why::Absent, reason));
        }
        Ok(Response::Ended(ended))
    }

    pub(super) async fn online(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<Response, Response> {
        let cx = self.live()?.context();
        let census = Census {
            active: None,
            names: u32::try_from(limit.clamp(1, MAX_PAGE)).unwrap_or(u32::MAX),
            after,
        };
        let Everywhere { all, silent } = cx.census(&census).await;
        Ok(Response::Online(Online {
            accounts: all.users,
            sessions: all.sessions,
            silent,
            next: all.names.last().filter(|_| all.more).cloned(),
            items: all.names,
        }))
    }

    fn rooms(&self) -> Result<&std::sync::Arc<Muc>, Response> {
        self.live()?;
        let none = || refused(Why::Absent, "no rooms are configured");
        self.rooms.as_ref().ok_or_else(none)
    }

    pub(super) async fn list_rooms(
        &self,
        service: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Response, Response> {
        let rooms = self.rooms()?;
        if !rooms.services().iter().any(|it| it == service) {
            let reason = format!("{service} is no service for rooms");
            return Err(invalid("service", reason));
        }
        let limit = limit.clamp(1, MAX_PAGE);
        let found = rooms.list(service, after, limit + 1).await;
        let found = found.map_err(|error| waits(&error))?;
        let lines = found.into_iter().map(|room| RoomLine {
            room: room.room.to_string(),
            name: room.name,
            public: room.public,
            open: room.open,
        });
        let page = Page::of(lines.collect(), limit, |line: &RoomLine| {
            let end = line.room.find('@').unwrap_or(line.room.len());
            line.room[..end].to_owned()
        });
        Ok(Response::Rooms(page))
    }

    fn room_address(&self, text: &str) -> Result<BareJid, Response> {
        let services = self.rooms()?.services();
        let is_ours = |room: &BareJid| services.iter().any(|it| it == room.domain());
        let room = BareJid::parse(text).ok().filter(|it| it.local().is_some());
        let none = || invalid("room", format!("\"{text}\" is the address of no room here"));
        room.filter(is_ours).ok_or_else(none)
    }

    pub(super) async fn room(&self, room: &str) -> Result<Response, Response> {
        let room = self.room_address(room)?;
        let cx = self.live()?.context();
        match administer(&cx, &room, Administer::Inspect).await? {
            Administered::Known(facts) => Ok(Response::Room(RoomFacts {
                room: room.to_string(),
                facts: facts.into_iter().collect(),
            })),
            _ => Err(no_room(&room)),
        }
    }

    pub(super) async fn destroy_room(
        &self,
        room: &str,
        reason: Option<String>,
    ) -> Result<Response, Response> {
        let room = self.room_address(room)?;
        let cx = self.live()?.context();
        match administer(&cx, &room, Administer::Destroy { reason }).await? {
            Administered::Destroyed => Ok(Response::Done),
            _ => Err(no_room(&room)),
        }
    }

    /// A service for publishing, or an account.
    async fn publisher(&self, text: &str) -> Result<BareJid, Response> {
        let none = |error| invalid("service", format!("\"{text}\" is no address: {error}"));
        let service = BareJid::parse(text).map_err(none)?;
        if self.pubsub.iter().any(|it| it == service.as_str()) {
            return Ok(service);
        }
        if service.local().is_none() {
            let reason = format!("{service} is no service for publishing, and no account");
            return Err(invalid("service", reason));
        }
        self.served("service", service.domain())?;
        self.must_exist(&service).await?;
        Ok(service)
    }

    pub(super) async fn list_pubsub(
        &self,
        service: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Response, Response> {
        let service = self.publisher(service).await?;
        let limit = limit.clamp(1, MAX_PAGE);
        let pubsub = &self.accounts.stores.pubsub;
        let names = match service.local() {
            None => pubsub.names(&service, after, limit + 1).await?,
            Some(_) => {
                let heads = pubsub.heads(&service, MAX_PAGE).await?;
                let mut names: Vec<_> = heads.into_iter().map(|head| head.node).collect();
                names.sort();
                names.retain(|name| after.is_none_or(|after| name.as_str() > after));
                names.truncate(limit + 1);
                names
            }
        };
        Ok(Response::Pubsub(Page::of(names, limit, Clone::clone)))
    }

    pub(super) async fn pubsub_node(
        &self,
        service: &str,
        node: &str,
    ) -> Result<Response, Response> {
        let service = self.publisher(service).await?;
        let Some(found) = self.accounts.stores.pubsub.load(&service, node).await? else {
            let reason = format!("{service} has no node {node}");
            return Err(refused(Why::Absent, reason));
        };
        let head = found.head;
        let affiliations = head.affiliations.iter();
        Ok(Response::PubsubNode(Box::new(PubsubFacts {
            service: service.to_string(),
            node: head.node,
            created_ms: head.created_ms,
            creator: head.creator.to_string(),
            items: found.items.len(),
            subscriptions: found.subscriptions.len(),
            affiliations: affiliations
                .map(|(jid, it)| (jid.to_string(), it.as_str().to_owned()))
                .collect(),
            config: head.config.into_iter().collect(),
        })))
    }

    pub(super) fn all_metrics(&self) -> Result<Response, Response> {
        let down = || refused(Why::NotRunning, "the node does not run");
        let metrics = self.metrics.as_ref().ok_or_else(down)?;
        let families = metrics.gather();
        let items = families.iter().map(family).collect();
        Ok(Response::Metrics(Page { items, next: None }))
    }

    async fn existing(&self, account: &str) -> Result<BareJid, Response> {
        let account = self.account(account)?;
        self.must_exist(&account).await?;
        Ok(account)
    }

    async fn must_exist(&self, account: &BareJid) -> Result<(), Response> {
        let found = self.accounts.stores.accounts.load(account).await?;
        found.map(drop).ok_or_else(|| absent(account))
    }
}

/// What the node that serves a room does to it.
async fn administer(
    cx: &Context,
    room: &BareJid,
    what: Administer,
) -> Result<Administered, Response> {
    cx.administer(room, what)
        .await
        .map_err(|error| waits(&error))
}

fn no_room(room: &BareJid) -> Response {
    refused(Why::Absent, format!("there is no room {room}"))
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
fn waits_in(mailbox: &Mailbox, entry: &storage::repository::LogEntry) -> bool {
    let is_open = entry.number > mailbox.acked || mailbox.undelivered.contains(&entry.number);
    is_open && entry.flags.contains(EntryFlags::DELIVER)
}

fn family(family: &prometheus::proto::MetricFamily) -> Family {
    use prometheus::proto::MetricType;
    let kind = match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::HISTOGRAM | MetricType::SUMMARY => "histogram",
        MetricType::GAUGE | MetricType::UNTYPED => "gauge",
    };
    let sample = |metric: &prometheus::proto::Metric| {
        let (value, count) = match family.get_field_type() {
            MetricType::COUNTER => (metric.get_counter().get_value(), None),
            MetricType::HISTOGRAM | MetricType::SUMMARY => {
                let histogram = metric.get_histogram();
                let count = histogram.get_sample_count();
                (histogram.get_sample_sum(), Some(count))
            }
            MetricType::GAUGE | MetricType::UNTYPED => (metric.get_gauge().get_value(), None),
        };
        let labels: BTreeMap<String, String> = metric
            .get_label()
            .iter()
            .map(|label| (label.name().to_owned(), label.value().to_owned()))
            .collect();
        Sample {
            labels,
            value,
            count,
        }
    };
    Family {
        name: family.name().to_owned(),
        help: family.help().to_owned(),
        kind: kind.to_owned(),
        samples: family.get_metric().iter().map(sample).collect(),
    }
}
