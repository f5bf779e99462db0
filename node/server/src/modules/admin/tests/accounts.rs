//! Accounts are added, changed, deleted, disabled; who administers stays.

use super::*;

#[tokio::test]
async fn accounts_are_added_changed_and_deleted() {
    let bench = Bench::new();
    let juliet = bare("juliet@example.com");
    let check = async |node: &str,
                       fields: &[(&str, &[&str])],
                       expected: Result<&str, (Condition, Option<&str>)>| {
        let got = bench.run(node, fields).await;
        assert_eq!(
            got.as_deref().map_err(application),
            expected,
            "{node} {fields:?}"
        );
    };
    let bad = Err((Condition::BadRequest, Some("bad-payload")));
    let error = |text: &str| format!("<note type='error'>{text}</note>");

    let jid: (&str, &[&str]) = ("accountjid", &["Juliet@example.com"]);
    let jids: (&str, &[&str]) = ("accountjids", &["juliet@example.com"]);
    let password: (&str, &[&str]) = ("password", &["R0m30"]);
    check(
        "add-user",
        &[jid, password, ("password-verify", &["other"])],
        bad,
    )
    .await;
    check("add-user", &[jid, ("password", &[""])], bad).await;
    check("add-user", &[jid, ("password", &["ｆｕｌｌ"])], bad).await;
    check("add-user", &[password], bad).await;
    let two: (&str, &[&str]) = ("accountjid", &["juliet@example.com", "romeo@example.com"]);
    check("add-user", &[two, password], bad).await;
    check("add-user", &[jid, jid, password], bad).await;
    check("add-user", &[jid, ("password", &["a", "b"])], bad).await;
    check(
        "get-registered-users-list",
        &[("max_items", &["25", "50"])],
        bad,
    )
    .await;
    check(
        "add-user",
        &[("accountjid", &["example.com"]), password],
        bad,
    )
    .await;
    check(
        "add-user",
        &[("accountjid", &["a@example.org"]), password],
        Ok(&error("example.org is not served here")),
    )
    .await;
    check(
        "add-user",
        &[jid, password, ("password-verify", &["R0m30"])],
        Ok(""),
    )
    .await;
    assert_eq!(bench.recorder.take(), "forget juliet@example.com");
    check(
        "add-user",
        &[jid, password],
        Ok(&error("there is an account juliet@example.com already")),
    )
    .await;

    let stored = async || {
        let account = bench.stores.accounts.load(&juliet);
        account.await.unwrap().unwrap()
    };
    let before = stored().await;
    check(
        "change-user-password",
        &[jid, ("password", &["new"])],
        Ok(""),
    )
    .await;
    assert_ne!(stored().await.credentials, before.credentials);
    check("change-user-password", &[jid], bad).await;
    let nobody: (&str, &[&str]) = ("accountjid", &["nobody@example.com"]);
    check(
        "change-user-password",
        &[nobody, password],
        Ok(&error("there is no account nobody@example.com")),
    )
    .await;

    bench.recorder.session("juliet@example.com/balcony", 0);
    check("disable-user", &[jids], Ok("")).await;
    assert_eq!(bench.recorder.take(), "end balcony not-authorized");
    assert!(stored().await.disabled);
    check("reenable-user", &[jids], Ok("")).await;
    assert_eq!(bench.recorder.take(), "");
    assert!(!stored().await.disabled);

    // One that fails does not stop the others.
    let both: (&str, &[&str]) = ("accountjids", &["nobody@example.com", "juliet@example.com"]);
    check(
        "delete-user",
        &[both],
        Ok(&error("there is no account nobody@example.com")),
    )
    .await;
    assert_eq!(
        bench.recorder.take(),
        "end balcony not-authorized\nretire juliet@example.com\nforget juliet@example.com"
    );
    assert_eq!(bench.stores.accounts.load(&juliet).await.unwrap(), None);
    for node in [
        "delete-user",
        "disable-user",
        "reenable-user",
        "get-user-roster",
        "get-user-lastlogin",
        "end-user-session",
    ] {
        check(node, &[], bad).await;
        check(node, &[("accountjids", &["@"])], bad).await;
        check(node, &[("accountjids", &["example.com"])], bad).await;
    }
    check(
        "delete-user",
        &[("accountjids", &["juliet@example.com/a"])],
        bad,
    )
    .await;
}

/// Somebody must be left to undo it.
#[tokio::test]
async fn administrators_lock_out_neither_themselves_nor_the_last_of_them() {
    let mut bench = Bench::new();
    let names = ["bard@example.com", "fool@example.com", "king@example.com"];
    bench.admin = Admin::new(
        names.map(bare).into(),
        vec!["example.com".into()],
        bench.accounts.clone(),
        None,
        bench.operators.clone(),
    );
    // The king has no account.
    for name in &names[..2] {
        bench.create(name).await;
    }
    let check = async |node: &str, names: &[&str], expected: &str| {
        let got = bench.run(node, &[("accountjids", names)]).await.unwrap();
        assert_eq!(got, expected, "{node} {names:?}");
    };
    let own = "<note type='error'>bard@example.com is you: let another administrator do it</note>";
    let last =
        "<note type='error'>fool@example.com is the last administrator who can log in</note>";
    for node in ["disable-user", "delete-user"] {
        check(node, &["bard@example.com"], own).await;
        check(node, &["Bard@EXAMPLE.com"], own).await;
    }
    let fool = bare("fool@example.com");
    let disabled = async || {
        let found = bench.stores.accounts.load(&fool).await.unwrap();
        found.map(|found| found.disabled)
    };
    check(
        "disable-user",
        &["fool@example.com", "bard@example.com"],
        own,
    )
    .await;
    assert_eq!(disabled().await, Some(true));
    check("reenable-user", &["fool@example.com"], "").await;
    // Somebody else has locked the bard meanwhile, whose session is about to end.
    let cx = bench.recorder.context();
    let bard = bare("bard@example.com");
    let locked = bench.accounts.set_disabled(&bard, true, None, &cx);
    locked.await.unwrap();
    check("disable-user", &["fool@example.com"], last).await;
    check("delete-user", &["fool@example.com"], last).await;
    assert_eq!(disabled().await, Some(false));
    check("reenable-user", &["bard@example.com"], "").await;
    check("delete-user", &["fool@example.com"], "").await;
    assert_eq!(disabled().await, None);
}

#[tokio::test]
async fn what_is_changed_is_in_the_audit_log_and_nothing_else() {
    let bench = Bench::new();
    let secret: (&str, &[&str]) = ("password", &["top secret"]);
    let juliet: &[&str] = &["juliet@example.com"];
    bench
        .run("add-user", &[("accountjid", juliet), secret])
        .await
        .unwrap();
    bench
        .run("change-user-password", &[("accountjid", juliet), secret])
        .await
        .unwrap();
    bench
        .run("user-stats", &[("accountjid", juliet)])
        .await
        .unwrap();
    bench.run("get-registered-users-num", &[]).await.unwrap();
    let both: &[&str] = &["juliet@example.com", "nobody@example.com"];
    bench
        .run("delete-user", &[("accountjids", both)])
        .await
        .unwrap();
    bench.run("disable-user", &[]).await.unwrap_err();
    bench
        .run("announce", &[("announcement", &["tea time"])])
        .await
        .unwrap();
    let entries = bench.operators.audit(None, 9).await.unwrap();
    let line = |entry: &storage::repository::AuditEntry| {
        assert_eq!(entry.who, "account bard@example.com/globe");
        assert_eq!(entry.at_ms, NOW_MS);
        let outcome = entry.outcome.clone().unwrap();
        let command = entry.operation.split('#').nth(1).unwrap();
        let outcome = outcome.why.unwrap_or_else(|| "done".to_owned());
        format!(
            "{command} {} {outcome}",
            entry.target.as_deref().unwrap_or("-")
        )
    };
    let lines: Vec<String> = entries.iter().map(line).collect();
    let expected = [
        "announce - done",
        "disable-user - bad-request",
        "delete-user juliet@example.com nobody@example.com incomplete",
        "change-user-password juliet@example.com done",
        "add-user juliet@example.com done",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn what_the_audit_log_does_not_take_is_not_done() {
    use storage::{
        ErrorKind,
        layer::{
            Faulty, Switchboard,
            faulty::{Fault, When},
        },
    };
    let mut bench = Bench::new();
    bench.create("juliet@example.com").await;
    let faults = Switchboard::new(1);
    let table = Faulty::new(Arc::new(MemoryTable::new()), faults.clone());
    faults.add(|_| true, When::Always, Fault::Fail(ErrorKind::Unavailable));
    bench.admin.operators = Operators::new(Arc::new(table));
    let juliet: &[&str] = &["juliet@example.com"];
    let error = bench
        .run("delete-user", &[("accountjids", juliet)])
        .await
        .unwrap_err();
    assert_eq!(error.condition, Condition::ResourceConstraint);
    let found = bench.stores.accounts.load(&bare(juliet[0])).await.unwrap();
    assert!(found.is_some());
    assert!(bench.run("get-registered-users-num", &[]).await.is_ok());
}
