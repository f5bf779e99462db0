//! The commands of XEP-0133 as conversations of a requester.

mod accounts;
mod sessions;

use std::sync::atomic::Ordering;

use storage::{Stores, backend::memory::MemoryTable, repository::RosterItem};
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
    operators: Operators,
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
        let operators = Operators::new(Arc::new(MemoryTable::new()));
        let admin = Admin::new(
            vec![bare("bard@example.com")],
            vec!["example.com".into()],
            accounts.clone(),
            None,
            operators.clone(),
        );
        Self {
            operators,
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
        bench.operators.clone(),
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
