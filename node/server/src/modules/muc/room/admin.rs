//! Lists of roles and affiliations, and changes of them (XEP-0045 §8, §9).
//!
//! A request is done as a whole or refused as a whole (§9.2).

use storage::repository::{Affiliation, RoomMember, room::MAX_CHANGED};
use xmpp::{BareJid, Element, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition, ns};

use super::{
    Room,
    effects::{Change, Step},
    given::Gift,
    occupants::Occupant,
    rights::{may_change_affiliation, may_change_role},
    role::{Role, affiliation_str, parse_affiliation},
    standing::is_set,
};

/// What one item asks for.
enum Wish {
    Role {
        nick: String,
        role: Role,
    },
    Standing {
        account: BareJid,
        affiliation: Affiliation,
        nick: Option<String>,
    },
}

impl Room {
    /// A request about lists.
    pub(super) fn administration(
        &mut self,
        stanza: &Stanza,
        from: &Jid,
        query: &Element,
    ) -> Result<Step, StanzaError> {
        let items: Vec<&Element> = query
            .children()
            .filter(|child| child.is("item", ns::MUC_ADMIN))
            .collect();
        if !is_set(stanza) {
            let [item] = items[..] else {
                return Err(Condition::BadRequest.into());
            };
            let list = self.list(from, item)?;
            let answer = Element::new("query", ns::MUC_ADMIN).with_children(list);
            return Ok(Step::result(stanza, Some(answer)));
        }
        if items.is_empty() {
            return Err(Condition::BadRequest.into());
        }
        if items.len() > MAX_CHANGED {
            return Err(StanzaError::new(
                Condition::PolicyViolation,
                "too many items at once",
            ));
        }
        let wishes = items
            .iter()
            .map(|item| Ok((self.wish(item)?, reason(item))));
        let wishes = wishes.collect::<Result<Vec<_>, StanzaError>>()?;
        match wishes
            .iter()
            .all(|(wish, _)| matches!(wish, Wish::Role { .. }))
        {
            true => self.change_roles(stanza, from, wishes),
            false => self.change_standings(stanza, from, wishes),
        }
    }

    fn list(&self, from: &Jid, item: &Element) -> Result<Vec<Element>, StanzaError> {
        let (role, affiliation) = (self.role(from), self.affiliation(from));
        if let Some(wanted) = item.attr("role") {
            let wanted = Role::parse(wanted).ok_or(Condition::BadRequest)?;
            if role != Role::Moderator && affiliation < Affiliation::Admin {
                return Err(Condition::Forbidden.into());
            }
            let occupants = self.occupants.iter().filter(|it| it.role == wanted);
            return Ok(occupants.map(role_item).collect());
        }
        let wanted = item.attr("affiliation").and_then(parse_affiliation);
        let wanted = wanted.ok_or(Condition::BadRequest)?;
        if !self.may_see_list(wanted, role, affiliation) {
            return Err(Condition::Forbidden.into());
        }
        let members = self.members.iter();
        let members = members.filter(|(_, member)| member.affiliation == wanted);
        Ok(members
            .map(|(account, member)| {
                Element::new("item", ns::MUC_ADMIN)
                    .with_attr("affiliation", affiliation_str(wanted))
                    .with_attr("jid", account.as_str())
                    .with_attr_opt("nick", member.nick.as_ref())
                    .with_children(member.reason.as_ref().map(|reason| {
                        Element::new("reason", ns::MUC_ADMIN).with_text(reason.clone())
                    }))
            })
            .collect())
    }

    fn may_see_list(&self, wanted: Affiliation, role: Role, affiliation: Affiliation) -> bool {
        let config = &self.record.config;
        // §9.5: where everybody knows everybody, members may know who they are.
        let among_members = config.members_only
            && config.non_anonymous
            && affiliation >= Affiliation::Member
            && wanted >= Affiliation::Member;
        let by_role = config.member_list.contains(role.as_set())
            && role != Role::None
            && wanted >= Affiliation::Member;
        affiliation == Affiliation::Owner
            || (affiliation == Affiliation::Admin && wanted <= Affiliation::Member)
            || among_members
            || by_role
    }

    fn wish(&self, item: &Element) -> Result<Wish, StanzaError> {
        let (role, affiliation) = (item.attr("role"), item.attr("affiliation"));
        let (nick, jid) = (item.attr("nick"), item.attr("jid"));
        match (role, affiliation) {
            (Some(role), None) => {
                let role = Role::parse(role).ok_or(Condition::BadRequest)?;
                let nick = nick.ok_or(Condition::BadRequest)?.to_owned();
                Ok(Wish::Role { nick, role })
            }
            (None, Some(affiliation)) => {
                let affiliation = parse_affiliation(affiliation).ok_or(Condition::BadRequest)?;
                let account = match (jid, nick) {
                    (Some(jid), _) => {
                        let jid = Jid::parse(jid).map_err(|_| Condition::JidMalformed)?;
                        jid.to_bare()
                    }
                    // Who is there may be named by its nick.
                    (None, Some(nick)) => {
                        let named = self.occupants.named(nick).ok_or(Condition::ItemNotFound)?;
                        named.account.clone()
                    }
                    (None, None) => return Err(Condition::BadRequest.into()),
                };
                Ok(Wish::Standing {
                    account,
                    affiliation,
                    nick: jid.and(nick).map(str::to_owned),
                })
            }
            // §17.4: not both.
            _ => Err(Condition::BadRequest.into()),
        }
    }

    fn change_roles(
        &mut self,
        stanza: &Stanza,
        from: &Jid,
        wishes: Vec<(Wish, Option<String>)>,
    ) -> Result<Step, StanzaError> {
        let affiliation = self.affiliation(from);
        let own = self.occupants.of(from).map(|it| (it.nick.clone(), it.role));
        let own_role = own.as_ref().map_or(Role::None, |(_, role)| *role);
        if own_role != Role::Moderator && affiliation < Affiliation::Admin {
            return Err(Condition::Forbidden.into());
        }
        let actor = own.map(|(nick, _)| nick);
        for (wish, _) in &wishes {
            if let Wish::Role { nick, role } = wish {
                let target = self.occupants.named(nick).ok_or(Condition::ItemNotFound)?;
                let is_own = actor.as_deref() == Some(target.nick.as_str());
                may_change_role(affiliation, target, *role, is_own)?;
            }
        }
        let gifts = wishes.into_iter().filter_map(|(wish, reason)| match wish {
            Wish::Role { nick, role } => Some(Gift { nick, role, reason }),
            Wish::Standing { .. } => None,
        });
        self.give(Change {
            gifts: gifts.collect(),
            actor,
            reply: Some(stanza.result_reply(None)),
            ..Change::of(self.record.clone())
        })
    }

    fn change_standings(
        &self,
        stanza: &Stanza,
        from: &Jid,
        wishes: Vec<(Wish, Option<String>)>,
    ) -> Result<Step, StanzaError> {
        let own = self.affiliation(from);
        let mut members: Vec<(BareJid, RoomMember)> = Vec::new();
        for (wish, reason) in wishes {
            let Wish::Standing {
                account,
                affiliation,
                nick,
            } = wish
            else {
                return Err(Condition::BadRequest.into());
            };
            if members.iter().any(|(known, _)| *known == account) {
                return Err(Condition::BadRequest.into());
            }
            let known = self.member(&account);
            let was = known.map_or(Affiliation::None, |member| member.affiliation);
            let is_own = account.as_str() == from.bare_str();
            may_change_affiliation(own, was, affiliation, is_own)?;
            if account.local().is_none() && affiliation > Affiliation::None {
                // §9.2: a domain can be banned, and nothing else.
                return Err(Condition::NotAllowed.into());
            }
            let known = known.cloned().unwrap_or_default();
            let kept = known.nick.clone();
            let nick = match (affiliation, nick) {
                (Affiliation::Outcast, _) => None,
                (_, None) => kept,
                (_, Some(nick)) if nick.is_empty() => None,
                (_, Some(nick)) => Some(self.reservable(&nick, &account, &members)?),
            };
            let nick = nick.filter(|_| affiliation >= Affiliation::Member);
            members.push((
                account,
                RoomMember {
                    affiliation,
                    nick,
                    reason,
                    ..known
                },
            ));
        }
        self.keep_standings(stanza, from, members)
    }

    fn reservable(
        &self,
        nick: &str,
        account: &BareJid,
        members: &[(BareJid, RoomMember)],
    ) -> Result<String, StanzaError> {
        self.check_nick(nick)?;
        let of_another = members
            .iter()
            .any(|(_, it)| it.nick.as_deref() == Some(nick));
        if of_another || !self.is_free(nick, account) {
            return Err(Condition::Conflict.into());
        }
        Ok(nick.to_owned())
    }

    /// # Errors
    /// `conflict`: nobody would own the room. `not-allowed`: too many are affiliated with it.
    pub(super) fn keep_standings(
        &self,
        stanza: &Stanza,
        from: &Jid,
        members: Vec<(BareJid, RoomMember)>,
    ) -> Result<Step, StanzaError> {
        self.check_standings(&members)?;
        Ok(Step::Keep(Box::new(Change {
            members,
            actor: self.occupants.of(from).map(|it| it.nick.clone()),
            reply: Some(stanza.result_reply(None)),
            ..Change::of(self.record.clone())
        })))
    }

    pub(super) fn check_standings(
        &self,
        members: &[(BareJid, RoomMember)],
    ) -> Result<(), StanzaError> {
        let changes = |account: &BareJid| members.iter().any(|(it, _)| it == account);
        let stays = self
            .with_affiliation(Affiliation::Owner)
            .any(|owner| !changes(owner));
        let comes = members
            .iter()
            .any(|(_, member)| member.affiliation == Affiliation::Owner);
        if !stays && !comes {
            return Err(StanzaError::new(Condition::Conflict, "a room has an owner"));
        }
        self.has_room_for(members.len())
    }
}

fn role_item(occupant: &Occupant) -> Element {
    Element::new("item", ns::MUC_ADMIN)
        .with_attr("nick", occupant.nick.as_str())
        .with_attr("role", occupant.role.as_str())
        .with_attr("affiliation", affiliation_str(occupant.affiliation))
        .with_attr("jid", occupant.first().real.as_str())
}

fn reason(item: &Element) -> Option<String> {
    let reason = item.child("reason", ns::MUC_ADMIN)?.text();
    (!reason.is_empty()).then_some(reason)
}
