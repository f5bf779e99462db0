//! What a refusal means, case by case.

use storage::shape::{Key, Space};

use super::*;

const NOW: u64 = 1000;

fn key() -> Key {
    Key {
        space: Space::Core,
        partition: "p".into(),
        sort: "s".into(),
    }
}

fn put(condition: Condition) -> Plan {
    let put = Operation::Put {
        key: key(),
        value: "new".into(),
        condition,
        expires: None,
    };
    Plan::of(0, put).unwrap()
}

/// An item of this version, written by `write`, after `before`.
fn stored(version: u64, write: &WriteId, before: &WriteId, expires: Option<u64>) -> Stored {
    let mut item = item::first(&key(), &"old".into(), expires, write);
    item.insert(item::VERSION.to_owned(), item::number(version));
    item.insert(item::BEFORE.to_owned(), item::binary(before.bytes()));
    item::read(item).unwrap()
}

#[test]
fn a_put_knows_its_own_work() {
    let (mine, other) = (WriteId::random(), WriteId::random());
    for condition in [
        Condition::Any,
        Condition::Absent,
        Condition::Exists,
        Condition::Version(1),
    ] {
        for (write, before, done) in [
            (&mine, &other, true),
            (&other, &mine, true),
            (&other, &other, false),
        ] {
            for doubt in [false, true] {
                let found = Some(stored(2, write, before, None));
                let verdict = put(condition).judge(found, &mine, NOW, doubt);
                assert_eq!(verdict == Verdict::Done, done, "{condition:?} {doubt}");
            }
        }
    }
}

#[test]
fn doubt_ends_where_the_writers_are_known() {
    let (mine, other) = (WriteId::random(), WriteId::random());
    let check = |condition, version: Option<u64>, known: bool| {
        let found = || version.map(|version| stored(version, &other, &other, None));
        let record = found().map(|stored| stored.record);
        let verdict = put(condition).judge(found(), &mine, NOW, false);
        assert_eq!(verdict, Verdict::Conflict(record.clone()), "without doubt");
        let verdict = put(condition).judge(found(), &mine, NOW, true);
        let expected = if known {
            Verdict::Conflict(record)
        } else {
            Verdict::Unknown
        };
        assert_eq!(verdict, expected, "{condition:?} over {version:?}");
    };
    check(Condition::Absent, Some(1), true);
    check(Condition::Absent, Some(2), true);
    check(Condition::Absent, Some(3), false);
    check(Condition::Version(5), Some(6), true);
    check(Condition::Version(5), Some(7), true);
    check(Condition::Version(5), Some(8), false);
    check(Condition::Version(5), Some(4), false);
    check(Condition::Version(5), None, false);
    check(Condition::Exists, None, false);
}

#[test]
fn an_expired_item_is_absent_and_replaced() {
    let (mine, other) = (WriteId::random(), WriteId::random());
    let expired = || Some(stored(3, &other, &other, Some(NOW)));
    let live = || Some(stored(3, &other, &other, Some(NOW + 1)));
    let judge = |plan: &Plan, found| plan.judge(found, &mine, NOW, false);
    let any = put(Condition::Any);
    assert_eq!(judge(&any, expired()), Verdict::Try(Form::Create));
    assert_eq!(judge(&any, live()), Verdict::Try(Form::Change));
    assert_eq!(judge(&any, None), Verdict::Try(Form::Change));
    for condition in [Condition::Exists, Condition::Version(3)] {
        assert_eq!(judge(&put(condition), expired()), Verdict::Conflict(None));
    }
}

#[test]
fn only_values_that_are_named_are_sent() {
    let operations = |condition| {
        [
            put(condition).operation,
            Operation::Delete {
                key: key(),
                condition,
            },
            Operation::Check {
                key: key(),
                condition,
            },
        ]
    };
    for condition in [
        Condition::Any,
        Condition::Absent,
        Condition::Exists,
        Condition::Version(1),
    ] {
        for operation in operations(condition) {
            let Some(plan) = Plan::of(0, operation) else {
                continue;
            };
            let mut named = plan.condition().unwrap_or_default();
            if plan.form == Form::Change {
                named += &plan.update();
            }
            let values = plan.values(&WriteId::random(), NOW).unwrap_or_default();
            for name in values.keys() {
                assert!(named.contains(name.as_str()), "{name} not in {named}");
            }
            let words = named.split(|at: char| !at.is_alphanumeric() && at != ':');
            for name in words.filter(|word| word.starts_with(':')) {
                assert!(values.contains_key(name), "{name} of {named}");
            }
        }
    }
}
