//! Who may read, subscribe, publish: by model and affiliation.

use super::*;

fn standing(presence: bool, groups: &[&str]) -> Standing {
    Standing {
        administers: false,
        sees_presence: presence,
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
    }
}

/// §6.5.9, §6.1.3.
#[test]
fn models_let_in_whom_they_say() {
    let policy = account();
    let check =
        |model: &str, standing: Standing, read: Result<(), &str>, subscribe: Result<&str, &str>| {
            let node = node(
                &policy,
                &[
                    ("access_model", model),
                    ("roster_groups_allowed", "Friends"),
                ],
            );
            let who = jid("romeo@example/a");
            let actor = Actor {
                jid: &who,
                standing,
            };
            let got = outcome(node.readable(&policy, &actor));
            assert_eq!(got, read.map_err(str::to_owned), "{model}");
            let got = node.subscribable(&policy, &actor);
            let got = got
                .map(|state| state.as_str())
                .map_err(|error| shown(&error));
            assert_eq!(got, subscribe.map_err(str::to_owned), "{model}");
        };
    let (no, seen) = (|| standing(false, &[]), || standing(true, &[]));
    let (friend, other) = (
        || standing(true, &["Friends"]),
        || standing(true, &["Work"]),
    );
    check("open", no(), Ok(()), Ok("subscribed"));
    let presence = "not-authorized presence-subscription-required";
    check("presence", no(), Err(presence), Err(presence));
    check("presence", seen(), Ok(()), Ok("subscribed"));
    let roster = "not-authorized not-in-roster-group";
    check("roster", seen(), Err(roster), Err(roster));
    check("roster", other(), Err(roster), Err(roster));
    check("roster", friend(), Ok(()), Ok("subscribed"));
    // A group without a presence subscription is not enough (§6.5.1).
    check(
        "roster",
        standing(false, &["Friends"]),
        Err(roster),
        Err(roster),
    );
    check(
        "authorize",
        seen(),
        Err("not-authorized not-subscribed"),
        Ok("pending"),
    );
    let closed = "not-allowed closed-node";
    check("whitelist", friend(), Err(closed), Err(closed));
}

/// §4.1, against the most closed and the most open of models.
#[test]
fn affiliations_come_before_models() {
    let policy = service();
    let check =
        |it: Affiliation, model: &str, read: Result<(), &str>, publish: Result<(), &str>| {
            let node = with(node(&policy, &[("access_model", model)]), "a@example", it);
            let who = jid("a@example/r");
            let got = outcome(node.readable(&policy, &actor(&who)));
            assert_eq!(got, read.map_err(str::to_owned), "{it:?} {model}");
            let got = outcome(node.publishable(&policy, &actor(&who)));
            assert_eq!(got, publish.map_err(str::to_owned), "{it:?} {model}");
        };
    use Affiliation::{Member, Outcast, Owner, PublishOnly, Publisher};
    let denied = Err("forbidden");
    for model in ["open", "whitelist", "authorize"] {
        check(Owner, model, Ok(()), Ok(()));
        check(Publisher, model, Ok(()), Ok(()));
        check(PublishOnly, model, denied, Ok(()));
        check(Member, model, Ok(()), denied);
        check(Outcast, model, denied, denied);
    }
}

/// §16.4.4, `pubsub#publish_model`.
#[test]
fn publish_models_let_in_whom_they_say() {
    let policy = service();
    let check = |model: &str, is_subscribed: bool, expected: Result<(), &str>| {
        let mut node = node(&policy, &[("publish_model", model)]);
        if is_subscribed {
            node = subscribed(&policy, &node, "a@example").unwrap().node;
        }
        let who = jid("a@example/r");
        let got = outcome(node.publishable(&policy, &actor(&who)));
        assert_eq!(
            got,
            expected.map_err(str::to_owned),
            "{model} {is_subscribed}"
        );
    };
    check("publishers", false, Err("forbidden"));
    check("publishers", true, Err("forbidden"));
    check("subscribers", false, Err("forbidden"));
    check("subscribers", true, Ok(()));
    check("open", false, Ok(()));
}

#[test]
fn an_administrator_owns_every_node() {
    let policy = service();
    let node = node(&policy, &[("access_model", "whitelist")]);
    let who = jid("admin@example/r");
    let standing = Standing {
        administers: true,
        ..Standing::default()
    };
    assert_eq!(
        outcome(node.owned(
            &policy,
            &Actor {
                jid: &who,
                standing
            }
        )),
        Ok(())
    );
    assert_eq!(
        outcome(node.owned(&policy, &actor(&who))),
        Err("forbidden".to_owned())
    );
}
