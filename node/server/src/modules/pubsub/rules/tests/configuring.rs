//! §8.2, §7.1.5, §16.4.4.

use super::*;

#[test]
fn what_is_filled_in_reads_back_and_only_what_differs_is_kept() {
    let defaults = Config::of_account();
    let check = |fields: &[(&str, &str)], kept: usize| {
        let config = defaults.filled_in(&form(fields), AccessModel::ALL).unwrap();
        let stored = config.kept(&defaults);
        assert_eq!(stored.len(), kept, "{fields:?}");
        assert_eq!(Config::of_kept(&stored, &defaults), config);
        let shown = Form::parse(&config.form().to_element()).unwrap();
        assert_eq!(
            defaults.filled_in(&shown, AccessModel::ALL).unwrap(),
            config
        );
    };
    check(&[], 0);
    check(&[("access_model", "presence"), ("max_items", "1")], 0);
    check(
        &[
            ("access_model", "whitelist"),
            ("max_items", "max"),
            ("title", "T"),
        ],
        3,
    );
    check(&[("notify_sub", "true"), ("deliver_payloads", "false")], 2);
    check(&[("node_type", "leaf"), ("unheard_of", "x")], 0);
}

#[test]
fn values_that_cannot_be_are_refused() {
    let policy = service();
    let check = |var: &str, value: &str, expected: &str| {
        let got = policy
            .defaults
            .filled_in(&form(&[(var, value)]), policy.models);
        assert_eq!(outcome(got), Err(expected.to_owned()), "{var} {value}");
    };
    let model = "not-acceptable unsupported-access-model";
    check("access_model", "magic", model);
    check("access_model", "presence", model);
    check("access_model", "roster", model);
    for (var, value) in [
        ("max_items", "many"),
        ("max_items", "-1"),
        ("publish_model", "nobody"),
        ("persist_items", "perhaps"),
        ("send_last_published_item", "always"),
        ("node_type", "collection"),
        ("notification_type", "chat"),
    ] {
        check(var, value, "not-acceptable");
    }
    check("title", &"x".repeat(1_025), "not-acceptable");
}

/// §7.1.5.
#[test]
fn options_of_a_publication_are_conditions() {
    let config = Config::of_account();
    let check = |fields: &[(&str, &str)], expected: Result<(), &str>| {
        let got = config.meets(&form(fields));
        assert_eq!(outcome(got), expected.map_err(str::to_owned), "{fields:?}");
    };
    let unmet = Err("conflict precondition-not-met");
    check(&[], Ok(()));
    check(&[("access_model", "presence")], Ok(()));
    check(&[("access_model", "open")], unmet);
    check(&[("persist_items", "true")], Ok(()));
    check(&[("persist_items", "1"), ("max_items", "1")], Ok(()));
    check(&[("max_items", "max")], unmet);
    check(&[("node_type", "leaf")], Ok(()));
    check(&[("unheard_of", "1")], unmet);
    check(&[("access_model", "magic")], unmet);
    let made = |fields: &[(&str, &str)]| {
        config
            .with_options(&form(fields), AccessModel::ALL)
            .map(|it| it.access)
    };
    assert_eq!(made(&[("access_model", "open")]), Ok(AccessModel::Open));
    assert_eq!(
        outcome(made(&[("unheard_of", "1")])),
        unmet.map_err(str::to_owned)
    );
}
