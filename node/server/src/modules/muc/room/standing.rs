//! What follows from a change that is kept: who is told, who has to go (XEP-0045 §8, §9, §10.2).

use std::collections::BTreeMap;

use storage::repository::{Affiliation, RoomMember, RoomRecord};
use xmpp::{BareJid, Element, Stanza, ns};

use super::{
    Room,
    effects::{Change, Effect, Effects},
    given::Gift,
    occupants::Occupant,
    presence::Says,
    role::{Role, affiliation_str},
    status_element,
    subscribe::Topic,
};

/// Somebody who has to go, and how others are told.
struct Removed {
    occupant: Occupant,
    code: u16,
    reason: Option<String>,
}

impl Room {
    /// A change is kept: it holds from now on. Those who have to go are told first, then who asked for it, then the others
    /// (§8.2).
    pub fn apply(&mut self, change: Change, version: u64) -> Effects {
        let before = std::mem::replace(&mut self.record, change.record);
        self.version = version;
        let actor = change.actor.as_deref();
        let mut removed = Vec::new();
        let mut changed = Vec::new();
        let mut absent = Effects::default();
        let mut wears = false;
        for (account, member) in change.members {
            wears |= self.member(&account).map_or(&[][..], |it| &it.hats) != member.hats;
            let was = self.affiliation(account.as_jid());
            if member.is_nothing() {
                self.members.remove(&account);
            } else {
                self.members.insert(account.clone(), member.clone());
            }
            self.note_subscriber(&account);
            if was == self.affiliation(account.as_jid()) {
                continue;
            }
            let touched = self.touch(&account, &member, &mut removed, &mut changed);
            if !touched {
                absent.append(self.tell_of_absent(&account, &member, was));
            }
        }
        self.expel_strangers(&before, &mut removed);
        for gift in change.gifts {
            self.hand_over(gift, &mut removed, &mut changed);
        }
        if before.hats != self.record.hats || wears {
            let others = self.refresh_hats().into_iter();
            let others = others.filter(|nick| changed.iter().all(|(it, _)| it != nick));
            let others: Vec<_> = others.map(|nick| (nick, None)).collect();
            changed.extend(others);
        }
        for gone in &removed {
            self.forget_given(&gone.occupant.account, &gone.occupant.nick);
        }
        for (nick, _) in &changed {
            self.note_given(nick);
        }
        let mut effects = Effects::default();
        for gone in &removed {
            effects.append(self.tell_removed(gone, actor, true));
        }
        effects.append(change.reply.map(Effects::reply).unwrap_or_default());
        for gone in &removed {
            effects.append(self.tell_removed(gone, actor, false));
        }
        for (nick, reason) in changed {
            effects.append(self.tell_standing(&nick, actor, reason.as_deref()));
        }
        effects.append(absent);
        effects.append(self.tell_of_configuration(&before));
        effects.append(change.behind);
        effects
    }

    /// The change that makes the room what another node has made of it.
    pub fn change_to(&self, record: RoomRecord, members: Vec<(BareJid, RoomMember)>) -> Change {
        let members: BTreeMap<BareJid, RoomMember> = members.into_iter().collect();
        let gone = self.members.keys();
        let gone = gone.filter(|account| !members.contains_key(*account));
        let gone: Vec<_> = gone
            .map(|account| (account.clone(), RoomMember::default()))
            .collect();
        let changed = members.into_iter().map(|(account, mut member)| {
            // What is not kept yet of who is here nobody else knows.
            if self.unkept.contains(&account) {
                member.given = self.member(&account).and_then(|it| it.given.clone());
            }
            (account, member)
        });
        let changed = changed.filter(|(account, member)| self.member(account) != Some(member));
        Change {
            members: changed.chain(gone).collect(),
            ..Change::of(record)
        }
    }

    /// Gives the occupants of an account, or of a domain, the affiliation that it has now; whether there are any.
    fn touch(
        &mut self,
        account: &BareJid,
        member: &RoomMember,
        removed: &mut Vec<Removed>,
        changed: &mut Vec<(String, Option<String>)>,
    ) -> bool {
        let of_domain = account.local().is_none();
        let is_meant = |it: &&Occupant| match of_domain {
            true => it.account.domain() == account.domain(),
            false => it.account == *account,
        };
        let met = self.occupants.iter().filter(is_meant);
        let met: Vec<(String, Affiliation)> = met
            .map(|it| (it.nick.clone(), self.affiliation(it.account.as_jid())))
            .collect();
        let config = &self.record.config;
        for (nick, now) in &met {
            let code = match now {
                Affiliation::Outcast => Some(301),
                Affiliation::None if config.members_only => Some(321),
                _ => None,
            };
            if let Some(code) = code {
                let gone = self.occupants.remove_nick(nick).map(|mut occupant| {
                    occupant.affiliation = *now;
                    Removed {
                        occupant,
                        code,
                        reason: member.reason.clone(),
                    }
                });
                removed.extend(gone);
            } else if let Some(occupant) = self.occupants.named_mut(nick) {
                let before = std::mem::replace(&mut occupant.affiliation, *now);
                occupant.role = occupant.role.after(before, *now, config.moderated);
                occupant.changed();
                changed.push((nick.clone(), member.reason.clone()));
            }
        }
        !met.is_empty()
    }

    /// §10.2: a room becomes members-only, and those go who are none.
    fn expel_strangers(&mut self, before: &RoomRecord, removed: &mut Vec<Removed>) {
        if before.config.members_only || !self.record.config.members_only {
            return;
        }
        let strangers = self.occupants.iter();
        let strangers: Vec<String> = strangers
            .filter(|it| it.affiliation < Affiliation::Member)
            .map(|it| it.nick.clone())
            .collect();
        for nick in strangers {
            removed.extend(self.occupants.remove_nick(&nick).map(|occupant| Removed {
                occupant,
                code: 322,
                reason: None,
            }));
        }
    }

    fn tell_removed(&self, gone: &Removed, actor: Option<&str>, itself: bool) -> Effects {
        let codes = [gone.code];
        let says = Says {
            unavailable: true,
            actor,
            reason: gone.reason.as_deref(),
            codes: &codes,
            ..Says::default()
        };
        let mut occupant = gone.occupant.clone();
        for session in &mut occupant.sessions {
            session.says = bytes::Bytes::new();
        }
        match itself {
            true => self.announce_to_itself(&occupant, &says, occupant.reals().cloned().collect()),
            false => self.announce_to_others(&occupant, &says),
        }
    }

    /// An occupant has another role, or has to go (§8.2).
    fn hand_over(
        &mut self,
        gift: Gift,
        removed: &mut Vec<Removed>,
        changed: &mut Vec<(String, Option<String>)>,
    ) {
        let Gift { nick, role, reason } = gift;
        if role == Role::None {
            removed.extend(self.occupants.remove_nick(&nick).map(|occupant| Removed {
                occupant,
                code: 307,
                reason,
            }));
        } else if let Some(target) = self.occupants.named_mut(&nick)
            && target.role != role
        {
            target.role = role;
            target.changed();
            changed.push((target.nick.clone(), reason));
        }
    }

    /// Everybody is told what an occupant is now.
    pub(super) fn tell_standing(
        &self,
        nick: &str,
        actor: Option<&str>,
        reason: Option<&str>,
    ) -> Effects {
        let says = Says {
            actor,
            reason,
            ..Says::default()
        };
        let occupant = self.occupants.named(nick);
        occupant
            .map(|occupant| self.announce(occupant, &says))
            .unwrap_or_default()
    }

    /// Those who may see addresses are told of somebody who is not there (§10.3); who may enter now is invited (§9.5).
    fn tell_of_absent(&self, account: &BareJid, member: &RoomMember, was: Affiliation) -> Effects {
        let now = self.affiliation(account.as_jid());
        let mut effects = Effects::default();
        let item = Element::new("item", ns::MUC_USER)
            .with_attr("affiliation", affiliation_str(now))
            .with_attr("role", "none")
            .with_attr("jid", account.as_str());
        let packet = self.notice([Element::new("x", ns::MUC_USER).with_child(item)]);
        let seeing = self
            .occupants
            .iter()
            .filter(|it| self.sees_addresses(it.role));
        let seeing = seeing.flat_map(Occupant::reals).cloned().collect();
        effects.send(packet, seeing);
        let comes = was == Affiliation::None && now == Affiliation::Member;
        if comes && self.record.config.members_only && account.local().is_some() {
            let reason = member.reason.as_deref();
            let invitation = self.invitation(account.as_jid(), None, reason, None);
            effects.0.push(Effect::Route(invitation));
        }
        effects
    }

    /// §10.2.1: a change of the configuration, and what it means for privacy.
    fn tell_of_configuration(&self, before: &RoomRecord) -> Effects {
        let (was, now) = (&before.config, &self.record.config);
        let mut effects = Effects::default();
        let has_changed =
            was != now || before.avatars != self.record.avatars || before.hats != self.record.hats;
        if !has_changed || before.locked {
            return effects;
        }
        let (published, publishes) = (self.publishes(before), self.is_published());
        let codes = [
            (true, 104),
            (!published && publishes, 170),
            (published && !publishes, 171),
            (!was.non_anonymous && now.non_anonymous, 172),
            (was.non_anonymous && !now.non_anonymous, 173),
        ];
        let codes = codes.iter().filter(|(holds, _)| *holds);
        let x = Element::new("x", ns::MUC_USER)
            .with_children(codes.map(|(_, code)| status_element(*code)));
        let notice = self.notice([x]);
        let to_subscribers = self.tell_said(Topic::Config, None, &notice.bytes);
        effects.send(notice, self.everybody());
        effects.append(to_subscribers);
        if self.policy.avatar_presence && before.avatars != self.record.avatars {
            effects.send(self.avatar_packet(), self.everybody());
        }
        effects
    }
}

/// Whether a stanza asks for a change.
pub(super) fn is_set(stanza: &Stanza) -> bool {
    stanza.type_attr().as_deref() == Some("set")
}
