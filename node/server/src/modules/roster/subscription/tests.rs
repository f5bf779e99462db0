//! Every transition of the tables in RFC 6121 Appendix A.

use std::collections::VecDeque;

use proptest::prelude::*;
use storage::repository::roster::RosterItem;
use xmpp::BareJid;

use super::{Half, Inbound, Outbound, Removal, Sharing, Standing, State, SubscriptionType};
use super::{SubscriptionType::*, inbound, outbound, removal};

const APPROVED: bool = true;

fn approved(state: State) -> Standing {
    Standing {
        state,
        approved: true,
    }
}

/// A row of tables 2 to 5: existing state, routed, new state.
fn sends(kind: SubscriptionType, rows: [(State, bool, State); 9]) {
    for ((before, route, after), expected) in rows.into_iter().zip(State::ALL) {
        assert_eq!(before, expected, "a row for each state, in order");
        let outcome = outbound(before.into(), kind);
        let pre_approved = kind == Subscribed && before.theirs == Half::Absent;
        assert_eq!(
            outcome.standing.state, after,
            "{kind:?} from {before:?}: state"
        );
        assert_eq!(outcome.route, route, "{kind:?} from {before:?}: route");
        assert_eq!(
            outcome.standing.approved, pre_approved,
            "{kind:?} from {before:?}: approved"
        );
    }
}

/// A row of tables 6 to 9: existing state, delivered, automatic reply, new state.
fn receives(kind: SubscriptionType, rows: [(State, bool, Option<SubscriptionType>, State); 9]) {
    for ((before, deliver, auto_reply, after), expected) in rows.into_iter().zip(State::ALL) {
        assert_eq!(before, expected, "a row for each state, in order");
        let outcome = inbound(before.into(), kind);
        assert_eq!(
            outcome.standing,
            after.into(),
            "{kind:?} at {before:?}: state"
        );
        assert_eq!(outcome.deliver, deliver, "{kind:?} at {before:?}: deliver");
        assert_eq!(
            outcome.auto_reply, auto_reply,
            "{kind:?} at {before:?}: reply"
        );
    }
}

#[test]
fn table_2_outbound_subscribe() {
    sends(
        Subscribe,
        [
            (State::NONE, true, State::NONE_PENDING_OUT),
            (State::NONE_PENDING_OUT, true, State::NONE_PENDING_OUT),
            (State::NONE_PENDING_IN, true, State::NONE_PENDING_OUT_IN),
            (State::NONE_PENDING_OUT_IN, true, State::NONE_PENDING_OUT_IN),
            (State::TO, true, State::TO),
            (State::TO_PENDING_IN, true, State::TO_PENDING_IN),
            (State::FROM, true, State::FROM_PENDING_OUT),
            (State::FROM_PENDING_OUT, true, State::FROM_PENDING_OUT),
            (State::BOTH, true, State::BOTH),
        ],
    );
}

#[test]
fn table_3_outbound_unsubscribe() {
    sends(
        Unsubscribe,
        [
            (State::NONE, true, State::NONE),
            (State::NONE_PENDING_OUT, true, State::NONE),
            (State::NONE_PENDING_IN, true, State::NONE_PENDING_IN),
            (State::NONE_PENDING_OUT_IN, true, State::NONE_PENDING_IN),
            (State::TO, true, State::NONE),
            (State::TO_PENDING_IN, true, State::NONE_PENDING_IN),
            (State::FROM, true, State::FROM),
            (State::FROM_PENDING_OUT, true, State::FROM),
            (State::BOTH, true, State::FROM),
        ],
    );
}

#[test]
fn table_4_outbound_subscribed() {
    sends(
        Subscribed,
        [
            (State::NONE, false, State::NONE),
            (State::NONE_PENDING_OUT, false, State::NONE_PENDING_OUT),
            (State::NONE_PENDING_IN, true, State::FROM),
            (State::NONE_PENDING_OUT_IN, true, State::FROM_PENDING_OUT),
            (State::TO, false, State::TO),
            (State::TO_PENDING_IN, true, State::BOTH),
            (State::FROM, false, State::FROM),
            (State::FROM_PENDING_OUT, false, State::FROM_PENDING_OUT),
            (State::BOTH, false, State::BOTH),
        ],
    );
}

#[test]
fn table_5_outbound_unsubscribed() {
    sends(
        Unsubscribed,
        [
            (State::NONE, false, State::NONE),
            (State::NONE_PENDING_OUT, false, State::NONE_PENDING_OUT),
            (State::NONE_PENDING_IN, true, State::NONE),
            (State::NONE_PENDING_OUT_IN, true, State::NONE_PENDING_OUT),
            (State::TO, false, State::TO),
            (State::TO_PENDING_IN, true, State::TO),
            (State::FROM, true, State::NONE),
            (State::FROM_PENDING_OUT, true, State::NONE_PENDING_OUT),
            (State::BOTH, true, State::TO),
        ],
    );
}

#[test]
fn table_6_inbound_subscribe() {
    let reply = Some(Subscribed);
    receives(
        Subscribe,
        [
            (State::NONE, true, None, State::NONE_PENDING_IN),
            (
                State::NONE_PENDING_OUT,
                true,
                None,
                State::NONE_PENDING_OUT_IN,
            ),
            (State::NONE_PENDING_IN, false, None, State::NONE_PENDING_IN),
            (
                State::NONE_PENDING_OUT_IN,
                false,
                None,
                State::NONE_PENDING_OUT_IN,
            ),
            (State::TO, true, None, State::TO_PENDING_IN),
            (State::TO_PENDING_IN, false, None, State::TO_PENDING_IN),
            (State::FROM, false, reply, State::FROM),
            (
                State::FROM_PENDING_OUT,
                false,
                reply,
                State::FROM_PENDING_OUT,
            ),
            (State::BOTH, false, reply, State::BOTH),
        ],
    );
}

#[test]
fn table_7_inbound_unsubscribe() {
    let reply = Some(Unsubscribed);
    receives(
        Unsubscribe,
        [
            (State::NONE, false, None, State::NONE),
            (
                State::NONE_PENDING_OUT,
                false,
                None,
                State::NONE_PENDING_OUT,
            ),
            (State::NONE_PENDING_IN, true, reply, State::NONE),
            (
                State::NONE_PENDING_OUT_IN,
                true,
                reply,
                State::NONE_PENDING_OUT,
            ),
            (State::TO, false, None, State::TO),
            (State::TO_PENDING_IN, true, reply, State::TO),
            (State::FROM, true, reply, State::NONE),
            (
                State::FROM_PENDING_OUT,
                true,
                reply,
                State::NONE_PENDING_OUT,
            ),
            (State::BOTH, true, reply, State::TO),
        ],
    );
}

#[test]
fn table_8_inbound_subscribed() {
    receives(
        Subscribed,
        [
            (State::NONE, false, None, State::NONE),
            (State::NONE_PENDING_OUT, true, None, State::TO),
            (State::NONE_PENDING_IN, false, None, State::NONE_PENDING_IN),
            (State::NONE_PENDING_OUT_IN, true, None, State::TO_PENDING_IN),
            (State::TO, false, None, State::TO),
            (State::TO_PENDING_IN, false, None, State::TO_PENDING_IN),
            (State::FROM, false, None, State::FROM),
            (State::FROM_PENDING_OUT, true, None, State::BOTH),
            (State::BOTH, false, None, State::BOTH),
        ],
    );
}

#[test]
fn table_9_inbound_unsubscribed() {
    receives(
        Unsubscribed,
        [
            (State::NONE, false, None, State::NONE),
            (State::NONE_PENDING_OUT, true, None, State::NONE),
            (State::NONE_PENDING_IN, false, None, State::NONE_PENDING_IN),
            (
                State::NONE_PENDING_OUT_IN,
                true,
                None,
                State::NONE_PENDING_IN,
            ),
            (State::TO, true, None, State::NONE),
            (State::TO_PENDING_IN, true, None, State::NONE_PENDING_IN),
            (State::FROM, false, None, State::FROM),
            (State::FROM_PENDING_OUT, true, None, State::FROM),
            (State::BOTH, true, None, State::FROM),
        ],
    );
}

#[test]
fn approved_in_advance_is_granted_without_asking() {
    for (before, after) in [
        (State::NONE, State::FROM),
        (State::NONE_PENDING_OUT, State::FROM_PENDING_OUT),
        (State::TO, State::BOTH),
    ] {
        let outcome = inbound(approved(before), Subscribe);
        let expected = Inbound {
            standing: approved(after),
            deliver: false,
            push: true,
            auto_reply: Some(Subscribed),
            sharing: Sharing::Begins,
        };
        assert_eq!(outcome, expected, "{before:?}");
    }
}

#[test]
fn unsubscribed_takes_an_approval_back_and_tells_only_the_own_resources() {
    for state in [State::NONE, State::NONE_PENDING_OUT, State::TO] {
        let expected = Outbound {
            standing: state.into(),
            route: false,
            push: true,
            sharing: Sharing::Unchanged,
        };
        assert_eq!(outbound(approved(state), Unsubscribed), expected);
    }
}

#[test]
fn an_approval_survives_what_the_contact_does() {
    for state in State::ALL {
        for kind in SubscriptionType::ALL {
            assert_eq!(inbound(approved(state), kind).standing.approved, APPROVED);
        }
    }
}

#[test]
fn a_request_that_waits_is_not_pushed() {
    assert!(!inbound(State::NONE.into(), Subscribe).push);
    assert!(!inbound(State::NONE_PENDING_IN.into(), Unsubscribe).push);
    assert!(!outbound(State::NONE_PENDING_IN.into(), Unsubscribed).push);
}

#[test]
fn a_push_follows_exactly_what_a_roster_item_shows() {
    let shown = |s: Standing| {
        let subscription = match (s.state.sees(), s.state.is_seen()) {
            (false, false) => "none",
            (true, false) => "to",
            (false, true) => "from",
            (true, true) => "both",
        };
        (subscription, s.state.mine == Half::Pending, s.approved)
    };
    for state in State::ALL {
        for before in [state.into(), approved(state)] {
            for kind in SubscriptionType::ALL {
                let out = outbound(before, kind);
                assert_eq!(out.push, shown(before) != shown(out.standing));
                let input = inbound(before, kind);
                assert_eq!(input.push, shown(before) != shown(input.standing));
            }
        }
    }
}

#[test]
fn presence_is_shown_and_withdrawn_with_the_grant() {
    for state in State::ALL {
        for before in [state.into(), approved(state)] {
            for kind in SubscriptionType::ALL {
                let out = outbound(before, kind);
                let input = inbound(before, kind);
                for (after, sharing) in
                    [(out.standing, out.sharing), (input.standing, input.sharing)]
                {
                    match (before.state.is_seen(), after.state.is_seen()) {
                        (false, true) => assert_eq!(sharing, Sharing::Begins),
                        (true, false) => assert_eq!(sharing, Sharing::Ends),
                        (false, false) => assert_eq!(sharing, Sharing::Unchanged),
                        (true, true) => assert_ne!(sharing, Sharing::Ends),
                    }
                }
            }
        }
    }
}

#[test]
fn removal_answers_both_halves() {
    let check = |state, unsubscribe, unsubscribed, sharing| {
        let expected = Removal {
            unsubscribe,
            unsubscribed,
            sharing,
        };
        assert_eq!(removal(state), expected, "{state:?}");
    };
    check(State::NONE, false, false, Sharing::Unchanged);
    check(State::NONE_PENDING_OUT, true, false, Sharing::Unchanged);
    check(State::NONE_PENDING_IN, false, true, Sharing::Unchanged);
    check(State::NONE_PENDING_OUT_IN, true, true, Sharing::Unchanged);
    check(State::TO, true, false, Sharing::Unchanged);
    check(State::TO_PENDING_IN, true, true, Sharing::Unchanged);
    check(State::FROM, false, true, Sharing::Ends);
    check(State::FROM_PENDING_OUT, true, true, Sharing::Ends);
    check(State::BOTH, true, true, Sharing::Ends);
}

#[test]
fn types_round_trip() {
    for kind in SubscriptionType::ALL {
        assert_eq!(SubscriptionType::parse(kind.as_str()), Some(kind));
    }
    for other in ["", "probe", "unavailable", "error", "Subscribe"] {
        assert_eq!(SubscriptionType::parse(other), None);
    }
}

#[test]
fn a_standing_survives_its_item() {
    let request = bytes::Bytes::from_static(b"<presence type='subscribe'/>");
    for state in State::ALL {
        for standing in [Standing::from(state), approved(state)] {
            let mut item = RosterItem::new(BareJid::parse("romeo@example.net").unwrap());
            item.in_roster = false;
            standing.apply(&mut item, Some(&request));
            assert_eq!(Standing::from(&item), standing);
            assert_eq!(item.pending_in.is_some(), standing.is_waiting());
            let invisible = [State::NONE.into(), State::NONE_PENDING_IN.into()];
            assert_eq!(
                item.in_roster,
                !invisible.contains(&standing),
                "{standing:?}"
            );
        }
    }
}

#[test]
fn the_first_request_is_the_one_that_is_kept() {
    let mut item = RosterItem::new(BareJid::parse("romeo@example.net").unwrap());
    let waiting = Standing::from(State::TO_PENDING_IN);
    waiting.apply(&mut item, Some(&bytes::Bytes::from_static(b"first")));
    waiting.apply(&mut item, Some(&bytes::Bytes::from_static(b"second")));
    assert_eq!(item.pending_in.as_deref(), Some(b"first".as_slice()));
    assert!(item.in_roster);
}

/// Two accounts and what is under way between them, in order each way.
#[derive(Default)]
struct Pair {
    standing: [Standing; 2],
    under_way: [VecDeque<SubscriptionType>; 2],
}

impl Pair {
    fn send(&mut self, user: usize, kind: SubscriptionType) {
        let outcome = outbound(self.standing[user], kind);
        self.standing[user] = outcome.standing;
        if outcome.route {
            self.under_way[1 - user].push_back(kind);
        }
    }
    fn remove(&mut self, user: usize) {
        let removal = removal(self.standing[user].state);
        self.standing[user] = Standing::default();
        let to = &mut self.under_way[1 - user];
        to.extend(removal.unsubscribe.then_some(Unsubscribe));
        to.extend(removal.unsubscribed.then_some(Unsubscribed));
    }
    fn receive(&mut self, user: usize) -> bool {
        let Some(kind) = self.under_way[user].pop_front() else {
            return false;
        };
        let outcome = inbound(self.standing[user], kind);
        self.standing[user] = outcome.standing;
        self.under_way[1 - user].extend(outcome.auto_reply);
        true
    }
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.receive(0) && !self.receive(1) {
                return;
            }
        }
        panic!("automatic replies answer each other for ever");
    }
    fn agree(&self) -> bool {
        let [alice, bob] = self.standing.map(|s| s.state);
        alice.mine == bob.theirs && alice.theirs == bob.mine
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Send(usize, SubscriptionType),
    Remove(usize),
    Receive(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop::sample::select(SubscriptionType::ALL.to_vec());
    prop_oneof![
        4 => (0..2usize, kind).prop_map(|(user, kind)| Step::Send(user, kind)),
        1 => (0..2usize).prop_map(Step::Remove),
        4 => (0..2usize).prop_map(Step::Receive),
    ]
}

proptest! {
    #[test]
    fn two_accounts_agree_after_each_exchange(steps in prop::collection::vec(step(), 0..40)) {
        let mut pair = Pair::default();
        for step in steps {
            match step {
                Step::Send(user, kind) => pair.send(user, kind),
                Step::Remove(user) => pair.remove(user),
                Step::Receive(_) => {}
            }
            pair.settle();
            prop_assert!(pair.agree(), "{:?} after {step:?}", pair.standing);
        }
    }

    /// Stanzas that cross can leave the two out of step (a late `unsubscribed` answers a newer `subscribe`): the
    /// RFC's cure is to ask again, which is why every `subscribe` is routed.
    #[test]
    fn asking_again_cures_what_crossed(steps in prop::collection::vec(step(), 0..60)) {
        let mut pair = Pair::default();
        for step in steps {
            match step {
                Step::Send(user, kind) => pair.send(user, kind),
                Step::Remove(user) => pair.remove(user),
                Step::Receive(user) => drop(pair.receive(user)),
            }
        }
        pair.settle();
        for user in [0, 1] {
            pair.send(user, Subscribe);
            pair.settle();
            pair.send(1 - user, Subscribed);
            pair.settle();
        }
        prop_assert_eq!(pair.standing.map(|s| s.state), [State::BOTH; 2]);
        for user in [0, 1] {
            pair.send(user, Unsubscribe);
            pair.settle();
        }
        prop_assert_eq!(pair.standing.map(|s| s.state), [State::NONE; 2]);
    }
}
