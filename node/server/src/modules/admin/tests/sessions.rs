//! Sessions are ended, shown, counted and told something.

use super::*;

#[tokio::test]
async fn sessions_are_ended_one_or_all() {
    let bench = Bench::new();
    bench.recorder.session("juliet@example.com/balcony", 0);
    bench.recorder.session("juliet@example.com/chamber", 0);
    let check = async |jid: &str, expected: &str, done: &str| {
        assert_eq!(
            bench
                .run("end-user-session", &[("accountjids", &[jid])])
                .await
                .as_deref(),
            Ok(expected)
        );
        assert_eq!(bench.recorder.take(), done, "{jid}");
    };
    check(
        "juliet@example.com/chamber",
        "",
        "end chamber policy-violation",
    )
    .await;
    check(
        "juliet@example.com",
        "",
        "end balcony policy-violation\nend chamber policy-violation",
    )
    .await;
    check("bard@example.com", "", "then end policy-violation").await;
    check("bard@example.com/globe", "", "then end policy-violation").await;
    for jid in ["romeo@example.com", "juliet@example.com/x"] {
        check(
            jid,
            &format!("<note type='error'>{jid} has no session</note>"),
            "",
        )
        .await;
    }
}

#[tokio::test]
async fn rosters_last_logins_and_statistics_are_shown() {
    let bench = Bench::new();
    for jid in ["juliet@example.com", "romeo@example.com"] {
        bench.create(jid).await;
    }
    let change = |roster: &mut storage::repository::Roster, _| {
        *item_mut(roster, &bare("nurse@example.com")) = RosterItem::new(bare("nurse@example.com"));
        item_mut(roster, &bare("stranger@example.com"));
        Ok(Some(()))
    };
    bench
        .accounts
        .rosters
        .turn(&bare("juliet@example.com"))
        .await
        .change(change)
        .await
        .unwrap();
    let both: &[&str] = &["juliet@example.com", "nobody@example.com"];
    let got = bench
        .run("get-user-roster", &[("accountjids", both)])
        .await
        .unwrap();
    assert_eq!(
        got,
        "<note type='error'>there is no account nobody@example.com</note>\
         <field var='accountjids' type='jid-multi'><value>juliet@example.com</value><value>nobody@example.com</value></field>\
         <query xmlns='jabber:iq:roster'><item jid='nurse@example.com' subscription='none'/></query>"
    );
    bench.recorder.0.activity.lock().extend([
        (bare("bard@example.com"), (0, None)),
        (bare("juliet@example.com"), (1_000, None)),
        (bare("romeo@example.com"), (0, None)),
    ]);
    let all: &[&str] = &[
        "bard@example.com",
        "juliet@example.com",
        "romeo@example.com",
        "nobody@example.com",
    ];
    let got = bench
        .run("get-user-lastlogin", &[("accountjids", all)])
        .await
        .unwrap();
    assert_eq!(
        got,
        format!(
            "<note type='info'>bard@example.com is online</note><note type='info'>romeo@example.com never logged in</note>\
             <note type='error'>there is no account nobody@example.com</note>\
             <field var='accountjids' type='jid-multi'><value>bard@example.com</value><value>juliet@example.com</value></field>\
             <field var='lastlogin'><value>{}</value><value>1970-01-01T00:00:01.000Z</value></field>",
            xmpp::payload::delay::stamp(NOW_MS as i64)
        )
    );
    bench.recorder.session("juliet@example.com/balcony", 0);
    let got = bench
        .run("user-stats", &[("accountjid", &["juliet@example.com"])])
        .await
        .unwrap();
    assert_eq!(
        got,
        "<field var='rostersize'><value>1</value></field><field var='onlineresources'><value>balcony</value></field>\
         <field var='offlinemessages'><value>0</value></field>"
    );
    let got = bench
        .run("user-stats", &[("accountjid", &["nobody@example.com"])])
        .await
        .unwrap();
    assert_eq!(
        got,
        "<note type='error'>there is no account nobody@example.com</note>"
    );
}

#[tokio::test]
async fn users_are_counted_and_listed() {
    let bench = Bench::new();
    for n in 0..30 {
        bench.create(&format!("user{n:02}@example.com")).await;
    }
    // The clock of the recorder shows an hour: bard was heard at 0 and is idle.
    let heard = bench.recorder.session("juliet@example.com/balcony", 0);
    heard.heard.store(3_500, Ordering::Relaxed);
    bench.recorder.session("juliet@example.com/chamber", 0);
    let number = async |node: &str, field: &str, expected: usize| {
        let got = bench.run(node, &[]).await.unwrap();
        assert_eq!(
            got,
            format!("<field var='{field}'><value>{expected}</value></field>")
        );
    };
    number("get-registered-users-num", "registeredusersnum", 30).await;
    number("get-online-users-num", "onlineusersnum", 2).await;
    number("get-active-users-num", "activeusersnum", 1).await;
    let list = async |node: &str, field: &str, max: &str, jids: &[&str], more: bool| {
        let got = bench.run(node, &[("max_items", &[max])]).await.unwrap();
        let values: String = jids
            .iter()
            .map(|jid| format!("<value>{jid}</value>"))
            .collect();
        let note = if more {
            "<note type='info'>there are more</note>"
        } else {
            ""
        };
        assert_eq!(
            got,
            format!("{note}<field var='{field}' type='jid-multi'>{values}</field>"),
            "{node} {max}"
        );
    };
    let users: Vec<String> = (0..30).map(|n| format!("user{n:02}@example.com")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    list(
        "get-registered-users-list",
        "registereduserjids",
        "25",
        &users[..25],
        true,
    )
    .await;
    list(
        "get-registered-users-list",
        "registereduserjids",
        "30",
        &users,
        false,
    )
    .await;
    list(
        "get-registered-users-list",
        "registereduserjids",
        "none",
        &users,
        false,
    )
    .await;
    list(
        "get-online-users-list",
        "onlineuserjids",
        "none",
        &["bard@example.com", "juliet@example.com"],
        false,
    )
    .await;
    list(
        "get-online-users-list",
        "onlineuserjids",
        "1",
        &["bard@example.com"],
        true,
    )
    .await;
    list(
        "get-active-users",
        "activeuserjids",
        "25",
        &["juliet@example.com"],
        false,
    )
    .await;
    let wrong = bench
        .run("get-online-users-list", &[("max_items", &["all"])])
        .await
        .unwrap_err();
    assert_eq!(
        application(&wrong),
        (Condition::BadRequest, Some("bad-payload"))
    );
}

#[tokio::test]
async fn an_announcement_reaches_whoever_is_there() {
    let bench = Bench::new();
    bench.recorder.session("juliet@example.com/balcony", 0);
    bench.recorder.session("romeo@example.org/orchard", 0);
    let got = bench
        .run("announce", &[("announcement", &["Going down", "at <ten>"])])
        .await;
    assert_eq!(
        got.as_deref(),
        Ok("<note type='info'>sent to 2 sessions</note>")
    );
    let line = |resource: &str, to: &str| {
        format!(
            "push {resource} <message from='example.com' to='{to}' type='headline'><body>Going down\nat &lt;ten&gt;</body></message>"
        )
    };
    let expected = [
        line("globe", "bard@example.com/globe"),
        line("balcony", "juliet@example.com/balcony"),
    ]
    .join("\n");
    assert_eq!(bench.recorder.take(), expected);
    for text in [&[][..], &[" "][..], &["x".repeat(17 << 10).as_str()][..]] {
        let error = bench
            .run("announce", &[("announcement", text)])
            .await
            .unwrap_err();
        assert_eq!(
            application(&error),
            (Condition::BadRequest, Some("bad-payload"))
        );
    }
    // A form of something else.
    let first = bench
        .ask("node='http://jabber.org/protocol/admin#announce'", "")
        .await
        .unwrap();
    let attrs = format!(
        "node='http://jabber.org/protocol/admin#announce' sessionid='{}'",
        first.attr("sessionid").unwrap()
    );
    let error = bench
        .ask(&attrs, "<x xmlns='jabber:x:data' type='submit'/>")
        .await
        .unwrap_err();
    assert_eq!(
        application(&error),
        (Condition::BadRequest, Some("bad-payload"))
    );
}
