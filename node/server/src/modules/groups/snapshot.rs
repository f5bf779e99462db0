//! Snapshot: all groups of a domain as they were read, and what follows from them for an account; pure.
//!
//! An account is given the members of each group that it is shown. It sees the presence of those of its own domain; who is
//! shown a group sees the presence of its members, whether they are shown him or not. A group of a directory that decides for
//! each account whom it is shown gives presence among its members only: who else is shown it is not known.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use aws_lc_rs::digest::{SHA256, digest};
use storage::repository::{GroupAudience, GroupMember, GroupMembers, SharedGroup, Subscription};
use xmpp::BareJid;

/// Readings of this process.
static READINGS: AtomicU32 = AtomicU32::new(1);

/// A contact that an account is given, or that is given the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Its address.
    pub jid: BareJid,
    /// How it is shown.
    pub name: Option<String>,
    /// In which roster groups, sorted; empty: it is not shown, only told of presence.
    pub groups: Vec<String>,
    /// The account sees its presence.
    pub sees: bool,
    /// It sees the account's.
    pub is_told: bool,
    /// It is shown only while it is there.
    pub only_online: bool,
}

impl Contact {
    /// Whether it stands in the roster.
    pub fn is_shown(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Who sees whom.
    pub fn subscription(&self) -> Subscription {
        match (self.sees, self.is_told) {
            (true, true) => Subscription::Both,
            (true, false) => Subscription::To,
            (false, true) => Subscription::From,
            (false, false) => Subscription::None,
        }
    }
}

/// What an account is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Sorted by address.
    pub contacts: Vec<Contact>,
    /// What of it is shown, in a few bytes that are the same at every node; 0: nothing.
    pub digest: u64,
    /// Some of it is shown only while it is there.
    pub is_watching: bool,
    /// Groups that it should be given and that are too many.
    pub left_out: usize,
}

impl Part {
    /// A contact that is given.
    pub fn get(&self, jid: &BareJid) -> Option<&Contact> {
        let at = self.contacts.binary_search_by(|it| it.jid.cmp(jid)).ok()?;
        Some(&self.contacts[at])
    }

    fn of(contacts: BTreeMap<&BareJid, Contact>, left_out: usize) -> Self {
        let contacts: Vec<_> = contacts.into_values().collect();
        let mut text = Vec::new();
        for contact in contacts.iter().filter(|contact| contact.is_shown()) {
            let texts = [contact.jid.as_str(), contact.name.as_deref().unwrap_or("")];
            let groups = contact.groups.iter().map(String::as_str);
            for part in texts.into_iter().chain(groups) {
                text.extend_from_slice(part.as_bytes());
                text.push(0);
            }
            let flags = [contact.sees, contact.is_told, contact.only_online];
            text.extend(flags.map(u8::from));
            text.push(0xff);
        }
        let digest = match text.is_empty() {
            true => 0,
            false => {
                let digest = digest(&SHA256, &text);
                let first = digest.as_ref().first_chunk::<8>();
                u64::from_be_bytes(*first.expect("a digest has 32 bytes")).max(1)
            }
        };
        Self {
            is_watching: contacts.iter().any(|contact| contact.only_online),
            contacts,
            digest,
            left_out,
        }
    }
}

struct Group {
    group: SharedGroup,
    listed: Arc<[GroupMember]>,
    /// With those of the groups that it includes; the first name counts.
    all: Vec<GroupMember>,
    /// Every account belongs to it; `Online`: and is shown only while it is there.
    whole: GroupMembers,
}

/// All groups of a domain.
pub struct Snapshot {
    /// Which reading this is: none in this process has the same number.
    pub reading: u32,
    domain: String,
    groups: Vec<Group>,
    /// The groups somebody belongs to.
    of: HashMap<BareJid, Vec<usize>>,
    /// Every account of the domain, if a group is about them.
    accounts: Vec<BareJid>,
}

impl Snapshot {
    /// Of groups sorted by their ids, with their listed members.
    pub fn new(domain: &str, read: Vec<(SharedGroup, Arc<[GroupMember]>)>) -> Self {
        let places: HashMap<String, usize> = read
            .iter()
            .enumerate()
            .map(|(at, (group, _))| (group.id.clone(), at))
            .collect();
        let mut groups = Vec::with_capacity(read.len());
        for at in 0..read.len() {
            // Each once, so that groups may include each other.
            let (mut reached, mut next) = (BTreeSet::from([at]), vec![at]);
            let (mut all, mut whole) = (BTreeMap::new(), GroupMembers::Listed);
            while let Some(at) = next.pop() {
                let (group, listed) = &read[at];
                for member in listed.iter() {
                    let known: &mut GroupMember =
                        all.entry(&member.jid).or_insert_with(|| member.clone());
                    if known.name.is_none() {
                        known.name.clone_from(&member.name);
                    }
                }
                whole = match (whole, group.members) {
                    (GroupMembers::Everyone, _) | (_, GroupMembers::Everyone) => {
                        GroupMembers::Everyone
                    }
                    (GroupMembers::Online, _) | (_, GroupMembers::Online) => GroupMembers::Online,
                    _ => GroupMembers::Listed,
                };
                let included = group.includes.iter().filter_map(|id| places.get(id));
                next.extend(included.filter(|at| reached.insert(**at)));
            }
            groups.push(Group {
                group: read[at].0.clone(),
                listed: read[at].1.clone(),
                all: all.into_values().collect(),
                whole,
            });
        }
        let mut of: HashMap<BareJid, Vec<usize>> = HashMap::new();
        for (at, group) in groups.iter().enumerate() {
            for member in &group.all {
                of.entry(member.jid.clone()).or_default().push(at);
            }
        }
        Self {
            reading: READINGS.fetch_add(1, Ordering::Relaxed),
            domain: domain.to_owned(),
            groups,
            of,
            accounts: Vec::new(),
        }
    }

    /// Says which accounts there are, sorted.
    pub fn set_accounts(&mut self, accounts: Vec<BareJid>) {
        self.accounts = accounts;
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whether any is about every account.
    pub fn is_about_all(&self) -> bool {
        self.groups.iter().any(|group| {
            group.whole != GroupMembers::Listed || group.group.audience == GroupAudience::Everyone
        })
    }

    /// Whether it is decided for each account what it is shown.
    pub fn is_decided(&self) -> bool {
        let mut groups = self.groups.iter();
        groups.any(|group| group.group.audience == GroupAudience::Decided)
    }

    /// The listed members of a group, if they were read when it was as it is.
    pub fn members_of(&self, group: &SharedGroup) -> Option<Arc<[GroupMember]>> {
        let mut groups = self.groups.iter();
        let known = groups.find(|known| known.group == *group)?;
        Some(known.listed.clone())
    }

    /// Whether the same follows from both.
    pub fn is_as(&self, other: &Self) -> bool {
        let same =
            |(one, other): (&Group, &Group)| one.group == other.group && one.listed == other.listed;
        self.groups.len() == other.groups.len()
            && self.accounts == other.accounts
            && self.groups.iter().zip(&other.groups).all(same)
    }

    fn is_in(&self, at: usize, account: &BareJid) -> bool {
        let listed = self.of.get(account);
        self.groups[at].whole != GroupMembers::Listed || listed.is_some_and(|of| of.contains(&at))
    }

    fn place(&self, id: &str) -> Option<usize> {
        let of = |group: &Group| group.group.id.as_str().cmp(id);
        self.groups.binary_search_by(of).ok()
    }

    fn is_shown(&self, at: usize, account: &BareJid, decided: &[String]) -> bool {
        let group = &self.groups[at].group;
        match &group.audience {
            GroupAudience::Everyone => true,
            GroupAudience::Decided => decided.contains(&group.id),
            GroupAudience::Groups(ids) => {
                let mut places = ids.iter().filter_map(|id| self.place(id));
                places.any(|at| self.is_in(at, account))
            }
        }
    }

    /// Those who belong to a group: with their names, and whether they are shown only while they are there.
    fn belong(&self, at: usize) -> impl Iterator<Item = (&BareJid, Option<&String>, bool)> {
        let group = &self.groups[at];
        let listed = group.all.iter();
        let listed = listed.map(|member| (&member.jid, member.name.as_ref(), false));
        let (all, online) = match group.whole {
            GroupMembers::Listed => (&[][..], false),
            GroupMembers::Everyone => (&self.accounts[..], false),
            GroupMembers::Online => (&self.accounts[..], true),
        };
        listed.chain(all.iter().map(move |jid| (jid, None, online)))
    }

    /// Those who are shown a group.
    fn audience(&self, at: usize) -> Vec<&BareJid> {
        match &self.groups[at].group.audience {
            GroupAudience::Everyone => self.accounts.iter().collect(),
            GroupAudience::Decided => self.belong(at).map(|(jid, ..)| jid).collect(),
            GroupAudience::Groups(ids) => {
                let places = ids.iter().filter_map(|id| self.place(id));
                let all = places.flat_map(|at| self.belong(at));
                all.map(|(jid, ..)| jid).collect()
            }
        }
    }

    /// What an account is given: at most `most` contacts, each group whole or not at all. `decided` are the groups that a
    /// directory shows it.
    pub fn part(&self, account: &BareJid, decided: &[String], most: usize) -> Part {
        let mut contacts: BTreeMap<&BareJid, Contact> = BTreeMap::new();
        let mut left_out = 0;
        let contact = |jid: &BareJid| Contact {
            jid: jid.clone(),
            name: None,
            groups: Vec::new(),
            sees: false,
            is_told: false,
            only_online: false,
        };
        for at in 0..self.groups.len() {
            let group = &self.groups[at].group;
            let is_shown = self.is_shown(at, account, decided);
            let is_in = self.is_in(at, account);
            let is_decided = group.audience == GroupAudience::Decided;
            if is_shown {
                let given: Vec<_> = self
                    .belong(at)
                    .filter(|(jid, ..)| *jid != account)
                    .collect();
                let jids: Vec<_> = given.iter().map(|(jid, ..)| *jid).collect();
                if !fits(&contacts, &jids, most) {
                    left_out += 1;
                    continue;
                }
                for (jid, name, online) in given {
                    let sees = jid.domain() == self.domain && (is_in || !is_decided);
                    let entry = contacts.entry(jid).or_insert_with(|| contact(jid));
                    entry.only_online = online && (!entry.is_shown() || entry.only_online);
                    if entry.name.is_none() {
                        entry.name = name.cloned();
                    }
                    if !entry.groups.contains(&group.name) {
                        entry.groups.push(group.name.clone());
                    }
                    entry.sees |= sees;
                }
            }
            if is_in && (is_shown || !is_decided) {
                let ours = |jid: &&BareJid| *jid != account && jid.domain() == self.domain;
                let audience: Vec<_> = self.audience(at).into_iter().filter(ours).collect();
                if !fits(&contacts, &audience, most) {
                    left_out += 1;
                    continue;
                }
                for jid in audience {
                    let entry = contacts.entry(jid).or_insert_with(|| contact(jid));
                    entry.is_told = true;
                }
            }
        }
        for contact in contacts.values_mut() {
            contact.groups.sort_unstable();
        }
        Part::of(contacts, left_out)
    }
}

/// Whether these contacts beside those are no more than that.
fn fits<'a>(known: &BTreeMap<&'a BareJid, Contact>, more: &[&'a BareJid], most: usize) -> bool {
    let new = more.iter().filter(|jid| !known.contains_key(*jid));
    known.len() + new.collect::<BTreeSet<_>>().len() <= most
}

#[cfg(test)]
mod tests;
