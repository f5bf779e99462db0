//! The commands of XEP-0133 as conversations of a requester.

use std::sync::atomic::Ordering;

use storage::{Stores, repository::RosterItem};
use xmpp::payload::form::{Field, FieldType, Form, FormType};

use super::{command::Outcome, executions::LIFETIME_MS, *};
use crate::{
    keys::Keys,
    modules::{
        recorder::{NOW_MS, Recorder, answer, bare, followers, foreign, request, stores},
        register::Way,
        roster::{Rosters, rosters::item_mut},
    },
    pipeline::delivery::IqType::{Get, Set},
    routing::SessionHandle,
};

const HERE: Option<&str> = Some("example.com");

struct Bench {
    recorder: Recorder,
    stores: Stores,
    accounts: Accounts,
    admin: Admin,
    bard: Arc<SessionHandle>,
}

impl Bench {
    fn new() -> Self {
        let (recorder, stores) = (Recorder::default(), stores());
        let rosters = Arc::new(Rosters::new(stores.rosters.clone()));
        let accounts = Accounts::new(stores.clone(), rosters, Arc::new(Keys::new(4_096)));
        let bard = recorder.session("bard@example.com/globe", 0);
        let admin = Admin::new(
            vec![bare("bard@example.com")],
            vec!["example.com".into()],
            accounts.clone(),
        );
        Self {
            recorder,
            stores,
            accounts,
            admin,
            bard,
        }
    }

    async fn ask(&self, attrs: &str, children: &str) -> Result<Element, StanzaError> {
        let command = format!(
            "<command xmlns='http://jabber.org/protocol/commands' {attrs}>{children}</command>"
        );
        let iq = request(&self.bard, HERE, Set, &command);
        let answer = self.admin.handle(&iq, &self.recorder.context()).await;
        let followers = followers(&iq);
        if !followers.is_empty() {
            self.recorder.0.log.lock().push(format!("then {followers}"));
        }
        answer.map(|answer| answer.unwrap())
    }

    /// Executes a command of one form; the answer without what is the same for all.
    async fn run(&self, node: &str, fields: &[(&str, &[&str])]) -> Result<String, StanzaError> {
        let node = format!("node='http://jabber.org/protocol/admin#{node}'");
        let mut got = self.ask(&node, "").await?;
        if got.attr("status") == Some("executing") {
            let asked = Form::child_of(&got).unwrap().unwrap();
            assert_eq!(
                (asked.form_type, asked.namespace()),
                (FormType::Form, Some(ns::ADMIN))
            );
            let id = got.attr("sessionid").unwrap();
            got = self
                .ask(&format!("{node} sessionid='{id}'"), &submit(fields))
                .await?;
        }
        assert_eq!(got.attr("status"), Some("completed"));
        let text: String = got
            .children()
            .map(|child| String::from_utf8(child.to_bytes(ns::COMMANDS)).unwrap())
            .collect();
        let envelope = [
            "<x xmlns='jabber:x:data' type='result'>",
            "<field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/admin</value></field>",
            "</x>",
        ];
        Ok(envelope
            .into_iter()
            .fold(text, |text, part| text.replace(part, "")))
    }

    async fn create(&self, jid: &str) {
        self.accounts
            .create(&bare(jid), "secret", Way::Running(&self.recorder.context()))
            .await
            .unwrap();
        self.recorder.take();
    }
}

fn submit(fields: &[(&str, &[&str])]) -> String {
    let mut form = Form::of(FormType::Submit, ns::ADMIN);
    for (var, values) in fields {
        form = form.with_field(
            Field {
                var: Some((*var).into()),
                ..Field::default()
            }
            .with_values(values.iter().copied()),
        );
    }
    String::from_utf8(form.to_element().to_bytes(ns::COMMANDS)).unwrap()
}

fn application(error: &StanzaError) -> (Condition, Option<&str>) {
    (
        error.condition,
        error.application.as_ref().map(|element| element.name()),
    )
}

/// Two forms, then the texts of both.
struct TwoStages;

#[async_trait]
impl Command for TwoStages {
    fn node(&self) -> &'static str {
        "two"
    }
    fn name(&self) -> &'static str {
        "Two Stages"
    }
    async fn step(
        &self,
        forms: &[Form],
        _iq: &IqRequest,
        _cx: &Context,
    ) -> Result<Step, StanzaError> {
        let text = |form: &Form| {
            form.value("text")
                .map(str::to_owned)
                .ok_or_else(|| command::bad_payload("no text"))
        };
        let texts = forms.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        if texts.len() < 2 {
            let form =
                Form::new(FormType::Form).with_field(Field::new(FieldType::TextSingle, "text"));
            return Ok(Step::Form {
                form,
                last: texts.len() == 1,
            });
        }
        let mut outcome = Outcome::default();
        outcome.inform(texts.join(" "));
        Ok(Step::Done(outcome))
    }
}

#[tokio::test]
async fn stages_go_on_back_and_away() {
    let mut bench = Bench::new();
    bench.admin = Admin::with_commands(
        vec![bare("bard@example.com")].into(),
        vec![Box::new(TwoStages)],
    );
    let text = |text: &str| submit(&[("text", &[text])]);
    let first = bench.ask("node='two' action='execute'", "").await.unwrap();
    let id = first.attr("sessionid").unwrap().to_owned();
    let stage = |status: &str, actions: &str| {
        let actions = actions.to_owned();
        format!(
            "<command node='two' sessionid='{id}' status='{status}'>{actions}<x xmlns='jabber:x:data' type='form'>\
             <field var='text' type='text-single'/></x></command>"
        )
    };
    let text_of = |element: &Element| String::from_utf8(element.to_bytes(ns::COMMANDS)).unwrap();
    assert_eq!(
        text_of(&first),
        stage("executing", "<actions execute='next'><next/></actions>")
    );
    let go = async |action: &str, children: &str| {
        let got = bench
            .ask(
                &format!("node='two' sessionid='{id}' action='{action}'"),
                children,
            )
            .await;
        got.map(|element| text_of(&element)).map_err(|error| {
            let (condition, application) = application(&error);
            (condition, application.map(str::to_owned))
        })
    };
    let bad = |name: &str| Err((Condition::BadRequest, Some(name.to_owned())));
    // On the first stage.
    assert_eq!(go("prev", "").await, bad("bad-action"));
    assert_eq!(go("complete", &text("a")).await, bad("bad-action"));
    assert_eq!(go("sing", &text("a")).await, bad("malformed-action"));
    assert_eq!(go("next", "").await, bad("bad-payload"));
    assert_eq!(go("next", &submit(&[])).await, bad("bad-payload"));
    for kind in ["form", "result", "cancel"] {
        let other = text("a").replace("'submit'", &format!("'{kind}'"));
        assert_eq!(go("next", &other).await, bad("bad-payload"), "{kind}");
    }
    let second = stage(
        "executing",
        "<actions execute='complete'><prev/><complete/></actions>",
    );
    assert_eq!(go("next", &text("a")).await.as_deref(), Ok(&*second));
    // On the second, and back.
    assert_eq!(go("next", &text("b")).await, bad("bad-action"));
    assert_eq!(go("prev", "").await.as_deref(), Ok(&*text_of(&first)));
    assert_eq!(go("execute", &text("c")).await.as_deref(), Ok(&*second));
    let done = format!(
        "<command node='two' sessionid='{id}' status='completed'><note type='info'>c d</note></command>"
    );
    assert_eq!(go("complete", &text("d")).await, Ok(done));
    assert_eq!(
        go("complete", &text("d")).await,
        Err((Condition::NotAllowed, Some("session-expired".into())))
    );

    let again = bench.ask("node='two'", "").await.unwrap();
    let id = again.attr("sessionid").unwrap();
    let canceled = bench
        .ask(&format!("node='two' sessionid='{id}' action='cancel'"), "")
        .await
        .unwrap();
    assert_eq!(
        text_of(&canceled),
        format!("<command node='two' sessionid='{id}' status='canceled'/>")
    );
    for action in ["cancel", "prev"] {
        let error = bench
            .ask(&format!("node='two' action='{action}'"), "")
            .await
            .unwrap_err();
        assert_eq!(
            application(&error),
            (Condition::BadRequest, Some("bad-action"))
        );
    }
    assert_eq!(
        bench.ask("node='three'", "").await.unwrap_err().condition,
        Condition::ItemNotFound
    );
    assert_eq!(
        bench.ask("", "").await.unwrap_err().condition,
        Condition::BadRequest
    );
    let get = request(
        &bench.bard,
        HERE,
        Get,
        "<command xmlns='http://jabber.org/protocol/commands' node='two'/>",
    );
    assert_eq!(
        answer(&bench.admin, &get, &bench.recorder.context()).await,
        Err(Condition::BadRequest)
    );
}

#[test]
fn executions_expire_are_bounded_and_belong_to_one_requester() {
    let executions = Executions::default();
    let jid = |text: &str| Jid::parse(text).unwrap();
    let put = |id: &str, at_ms| {
        let (requester, node) = (jid("a@b/c"), "n".to_owned());
        executions.put(
            id.to_owned(),
            Execution {
                requester,
                node,
                forms: Vec::new(),
                last: true,
                at_ms,
            },
        );
    };
    let check =
        |id: &str, requester: &str, node: &str, now_ms, expected: Option<(Condition, &str)>| {
            let got = executions.get(id, &jid(requester), node, now_ms);
            let got = got
                .as_ref()
                .err()
                .map(|error| (error.condition, application(error).1.unwrap()));
            assert_eq!(got, expected, "{id} {requester} {node} {now_ms}");
        };
    let expired = Some((Condition::NotAllowed, "session-expired"));
    let foreign = Some((Condition::BadRequest, "bad-sessionid"));
    put("first", 1);
    check("first", "a@b/c", "n", LIFETIME_MS, None);
    check("first", "a@b/c", "n", LIFETIME_MS + 1, expired);
    check("first", "a@b/d", "n", 1, foreign);
    check("first", "a@b/c", "m", 1, foreign);
    check("other", "a@b/c", "n", 1, expired);
    for n in 0..executions::MAX_EXECUTIONS as u64 {
        put(&n.to_string(), 2 + n);
    }
    check("first", "a@b/c", "n", 1, expired);
    check("0", "a@b/c", "n", 1, None);
}

#[tokio::test]
async fn only_administrators_see_and_execute() {
    let bench = Bench::new();
    let cx = bench.recorder.context();
    let command = "<command xmlns='http://jabber.org/protocol/commands' node='http://jabber.org/protocol/admin#add-user'/>";
    for jid in ["juliet@example.com/a", "bard@example.org/globe"] {
        let iq = foreign(jid, "example.com", Set, command);
        let error = bench.admin.handle(&iq, &cx).await.unwrap_err();
        assert_eq!(
            (error.condition, error.error_type),
            (Condition::Forbidden, ErrorType::Cancel),
            "{jid}"
        );
    }
    let node = "http://jabber.org/protocol/admin#add-user";
    let juliet = foreign(
        "juliet@example.com/a",
        "example.com",
        Get,
        "<query xmlns='x'/>",
    );
    let bard = foreign(
        "bard@example.com/globe",
        "example.com",
        Get,
        "<query xmlns='x'/>",
    );
    let account = foreign(
        "bard@example.com/globe",
        "bard@example.com",
        Get,
        "<query xmlns='x'/>",
    );
    let count = async |iq: &IqRequest, node: &str| {
        bench
            .admin
            .items(iq, node, &cx)
            .await
            .unwrap()
            .map(|query| query.children().count())
    };
    assert_eq!(count(&bard, ns::COMMANDS).await, Some(16));
    assert_eq!(count(&juliet, ns::COMMANDS).await, Some(0));
    assert_eq!(count(&bard, node).await, Some(0));
    assert_eq!(count(&bard, "other").await, None);
    assert_eq!(count(&account, ns::COMMANDS).await, None);
    let info = bench.admin.info(&bard, node, &cx).await.unwrap().unwrap();
    assert_eq!(
        String::from_utf8(info.to_bytes(ns::CLIENT)).unwrap(),
        format!(
            "<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'>\
             <identity category='automation' type='command-node' name='Add User'/>\
             <feature var='http://jabber.org/protocol/commands'/><feature var='jabber:x:data'/></query>"
        )
    );
    assert_eq!(
        bench
            .admin
            .info(&juliet, node, &cx)
            .await
            .unwrap_err()
            .condition,
        Condition::Forbidden
    );
    assert_eq!(bench.admin.info(&bard, "other", &cx).await, Ok(None));
    let list = bench
        .admin
        .info(&juliet, ns::COMMANDS, &cx)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        list.child("identity", ns::DISCO_INFO).unwrap().attr("type"),
        Some("command-list")
    );
}

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

    let before = bench.stores.accounts.load(&juliet).await.unwrap().unwrap();
    check(
        "change-user-password",
        &[jid, ("password", &["new"])],
        Ok(""),
    )
    .await;
    assert_ne!(
        bench
            .stores
            .accounts
            .load(&juliet)
            .await
            .unwrap()
            .unwrap()
            .credentials,
        before.credentials
    );
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
    assert!(
        bench
            .stores
            .accounts
            .load(&juliet)
            .await
            .unwrap()
            .unwrap()
            .disabled
    );
    check("reenable-user", &[jids], Ok("")).await;
    assert_eq!(bench.recorder.take(), "");
    assert!(
        !bench
            .stores
            .accounts
            .load(&juliet)
            .await
            .unwrap()
            .unwrap()
            .disabled
    );

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
