//! Affiliations: what somebody may do by what he is to a node.
//!
//! Source: XEP-0060 §4.1, its table. A publisher may delete what others published; who may only publish, his own items.

use storage::repository::PubsubAffiliation as Affiliation;
use xmpp::BareJid;

/// What an affiliation permits, whatever the node's models permit to everybody.
pub trait Rights {
    /// Configure, delete, manage.
    fn owns(&self) -> bool;
    /// Publish.
    fn publishes(&self) -> bool;
    /// Subscribe and retrieve where a list says who may.
    fn is_listed(&self) -> bool;
    /// Delete any item.
    fn deletes_any(&self) -> bool;
    /// Nothing at all.
    fn is_outcast(&self) -> bool;
    /// Retrieve where everybody may.
    fn may_read(&self) -> bool;
}

impl Rights for Option<Affiliation> {
    fn owns(&self) -> bool {
        *self == Some(Affiliation::Owner)
    }
    fn publishes(&self) -> bool {
        use Affiliation::{Owner, PublishOnly, Publisher};
        matches!(self, Some(Owner | Publisher | PublishOnly))
    }
    fn is_listed(&self) -> bool {
        use Affiliation::{Member, Owner, Publisher};
        matches!(self, Some(Owner | Publisher | Member))
    }
    fn deletes_any(&self) -> bool {
        matches!(self, Some(Affiliation::Owner | Affiliation::Publisher))
    }
    fn is_outcast(&self) -> bool {
        *self == Some(Affiliation::Outcast)
    }
    fn may_read(&self) -> bool {
        !matches!(self, Some(Affiliation::Outcast | Affiliation::PublishOnly))
    }
}

/// Whose an address is, in a list sorted by address.
pub fn find(list: &[(BareJid, Affiliation)], bare: &str) -> Option<Affiliation> {
    let place = list.binary_search_by(|(jid, _)| jid.as_str().cmp(bare));
    place.ok().map(|place| list[place].1)
}

/// Gives an address an affiliation; `None` takes it.
pub fn set(list: &mut Vec<(BareJid, Affiliation)>, jid: &BareJid, to: Option<Affiliation>) {
    let place = list.binary_search_by(|(known, _)| known.as_str().cmp(jid.as_str()));
    match (place, to) {
        (Ok(place), Some(to)) => list[place].1 = to,
        (Ok(place), None) => drop(list.remove(place)),
        (Err(place), Some(to)) => list.insert(place, (jid.clone(), to)),
        (Err(_), None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// XEP-0060 §4.1: subscribe and retrieve (where a list says who), publish, delete any item, configure.
    #[test]
    fn the_table_of_the_xep() {
        let check = |affiliation: Option<Affiliation>, rights: &str| {
            let of = [
                affiliation.is_listed(),
                affiliation.may_read(),
                affiliation.publishes(),
                affiliation.deletes_any(),
                affiliation.owns(),
                affiliation.is_outcast(),
            ];
            let shown: String = of.map(|it| if it { 'y' } else { 'n' }).iter().collect();
            assert_eq!(shown, rights, "{affiliation:?}");
        };
        use Affiliation::{Member, Outcast, Owner, PublishOnly, Publisher};
        check(Some(Owner), "yyyyyn");
        check(Some(Publisher), "yyyynn");
        check(Some(PublishOnly), "nnynnn");
        check(Some(Member), "yynnnn");
        check(None, "nynnnn");
        check(Some(Outcast), "nnnnny");
    }

    #[test]
    fn a_list_stays_sorted_and_names_each_once() {
        let mut list = Vec::new();
        let jid = |text: &str| BareJid::parse(text).unwrap();
        for (name, to) in [
            ("c@x", Some(Affiliation::Member)),
            ("a@x", Some(Affiliation::Owner)),
            ("b@x", Some(Affiliation::Outcast)),
            ("c@x", Some(Affiliation::Publisher)),
            ("b@x", None),
            ("d@x", None),
        ] {
            set(&mut list, &jid(name), to);
        }
        let shown: Vec<_> = list.iter().map(|(j, a)| (j.as_str(), *a)).collect();
        assert_eq!(
            shown,
            [("a@x", Affiliation::Owner), ("c@x", Affiliation::Publisher)]
        );
        assert_eq!(find(&list, "c@x"), Some(Affiliation::Publisher));
        assert_eq!(find(&list, "b@x"), None);
    }
}
