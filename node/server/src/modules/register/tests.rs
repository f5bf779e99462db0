//! Registration, change of password and removal as their owner asks for them (XEP-0077).

use std::sync::Arc;

use storage::{
    Stores,
    repository::{AgentTokens, FastToken, RosterItem, ShadowedAccounts, Subscription},
};
use xmpp::{
    StanzaErrorCondition as Condition,
    sasl::{Hash, ScramKeys},
};

use super::*;
use crate::{
    keys::Keys,
    modules::{
        recorder::{Recorder, answer, bare, followers, foreign, request, stores},
        roster::{Rosters, rosters::item_mut},
    },
    pipeline::delivery::IqType::{self, Get, Set},
    routing::SessionHandle,
};

struct Bench {
    recorder: Recorder,
    stores: Stores,
    register: Register,
    balcony: Arc<SessionHandle>,
}

impl Bench {
    async fn new(enabled: bool) -> Self {
        let (recorder, stores) = (Recorder::default(), stores());
        let rosters = Arc::new(Rosters::new(stores.rosters.clone()));
        let accounts = Accounts::new(stores.clone(), rosters, Arc::new(Keys::new(4_096)));
        let balcony = recorder.session("juliet@example.com/balcony", 0);
        accounts
            .create(
                &bare("juliet@example.com"),
                "R0m30",
                Way::Running(&recorder.context()),
            )
            .await
            .unwrap();
        recorder.take();
        Self {
            recorder,
            stores,
            register: Register::new(accounts, vec!["example.com".into()], enabled),
            balcony,
        }
    }

    async fn ask(
        &self,
        to: Option<&str>,
        kind: IqType,
        children: &str,
    ) -> Result<String, Condition> {
        let query = format!("<query xmlns='jabber:iq:register'>{children}</query>");
        let iq = request(&self.balcony, to, kind, &query);
        let answer = answer(&self.register, &iq, &self.recorder.context()).await;
        let followers = followers(&iq);
        if !followers.is_empty() {
            self.recorder.0.log.lock().push(format!("then {followers}"));
        }
        answer
    }

    async fn knows(&self, password: &str) -> bool {
        let account = self
            .stores
            .accounts
            .load(&bare("juliet@example.com"))
            .await
            .unwrap()
            .unwrap();
        let verify = |keys: &storage::repository::StoredScram| {
            let hash = Hash::ALL
                .into_iter()
                .find(|hash| keys.hash.name() == hash.as_str())
                .unwrap();
            let (salt, stored_key, server_key) = (
                keys.salt.clone(),
                keys.stored_key.clone(),
                keys.server_key.clone(),
            );
            ScramKeys {
                hash,
                iterations: keys.iterations,
                salt,
                stored_key,
                server_key,
            }
            .verify_password(password)
        };
        let known: Vec<bool> = account.credentials.scram.iter().map(verify).collect();
        assert_eq!(known.len(), 3);
        assert!(
            known.iter().all(|one| *one == known[0]),
            "all hashes know the same password"
        );
        known[0]
    }
}

fn fields(username: &str, password: &str) -> String {
    format!("<username>{username}</username><password>{password}</password>")
}

#[tokio::test]
async fn an_account_hears_that_it_is_registered() {
    let bench = Bench::new(true).await;
    let expected = "<query xmlns='jabber:iq:register'><registered/><username>juliet</username><password/></query>";
    for to in [None, Some("example.com")] {
        assert_eq!(bench.ask(to, Get, "").await.as_deref(), Ok(expected));
    }
    assert_eq!(
        bench.ask(Some("example.org"), Get, "").await,
        Err(Condition::RegistrationRequired)
    );
    let stranger = foreign(
        "romeo@example.com/x",
        "example.com",
        Get,
        "<query xmlns='jabber:iq:register'/>",
    );
    assert_eq!(
        answer(&bench.register, &stranger, &bench.recorder.context()).await,
        Err(Condition::RegistrationRequired)
    );
}

#[tokio::test]
async fn a_new_password_counts_for_every_hash_and_ends_tokens() {
    let bench = Bench::new(true).await;
    let juliet = bare("juliet@example.com");
    let current = FastToken {
        mechanism: "HT-SHA-256-NONE".into(),
        secret: vec![1],
        issued_ms: 1,
        expires_ms: u64::MAX,
        count: 0,
    };
    let tokens = AgentTokens {
        current,
        previous: None,
        version: 0,
    };
    bench
        .stores
        .accounts
        .put_tokens(&juliet, "agent", &tokens, 0)
        .await
        .unwrap();

    assert!(bench.knows("R0m30").await);
    assert_eq!(
        bench
            .ask(Some("example.com"), Set, &fields("Juliet", "V3r0n4"))
            .await,
        Ok(String::new())
    );
    assert!(bench.knows("V3r0n4").await && !bench.knows("R0m30").await);
    assert_eq!(
        bench
            .stores
            .accounts
            .tokens(&juliet, "agent")
            .await
            .unwrap(),
        None
    );
    let form = "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>jabber:iq:register</value></field>\
                <field var='username'><value>juliet</value></field><field var='password'><value>third</value></field></x>";
    assert_eq!(bench.ask(None, Set, form).await, Ok(String::new()));
    assert!(bench.knows("third").await);
    assert_eq!(bench.recorder.take(), "", "who asks stays");
    // Everybody else is out: they may know the old password only.
    bench.recorder.session("juliet@example.com/chamber", 0);
    assert_eq!(bench.ask(None, Set, form).await, Ok(String::new()));
    assert_eq!(bench.recorder.take(), "end chamber not-authorized");

    let check = async |children: &str, expected| {
        assert_eq!(
            bench.ask(None, Set, children).await,
            Err(expected),
            "{children}"
        )
    };
    check("", Condition::BadRequest).await;
    check(&fields("", "x"), Condition::BadRequest).await;
    check(&fields("juliet", ""), Condition::BadRequest).await;
    check("<username>juliet</username>", Condition::BadRequest).await;
    check(&form.replace("submit", "cancel"), Condition::BadRequest).await;
    check(&fields("romeo", "x"), Condition::NotAllowed).await;
    check(&fields("@", "x"), Condition::NotAllowed).await;
    check(
        &fields("juliet", &"x".repeat(1_024)),
        Condition::NotAcceptable,
    )
    .await;
    check(&fields("juliet", "IX\u{AD}x"), Condition::NotAcceptable).await;
    assert!(bench.knows("third").await);
}

#[tokio::test]
async fn removal_takes_leave_ends_sessions_and_erases() {
    let bench = Bench::new(true).await;
    let juliet = bare("juliet@example.com");
    bench.recorder.session("juliet@example.com/chamber", 0);
    bench.recorder.presence(&bench.balcony);
    let put = |roster: &mut storage::repository::Roster, _| {
        for (jid, subscription) in [
            ("a@b", Subscription::Both),
            ("c@d", Subscription::To),
            ("e@f", Subscription::None),
        ] {
            *item_mut(roster, &bare(jid)) = RosterItem {
                subscription,
                ..RosterItem::new(bare(jid))
            };
        }
        Ok(Some(()))
    };
    bench
        .register
        .accounts
        .rosters
        .turn(&juliet)
        .await
        .change(put)
        .await
        .unwrap();
    bench
        .stores
        .private
        .put(&juliet, "x", "a", "<a xmlns='x'/>".into())
        .await
        .unwrap();

    assert_eq!(
        bench.ask(None, Set, "<remove/><username/>").await,
        Err(Condition::BadRequest)
    );
    assert_eq!(bench.ask(None, Set, "<remove/>").await, Ok(String::new()));
    let presence = |to: &str, kind: &str| {
        format!("route <presence from='juliet@example.com' to='{to}' type='{kind}'/>")
    };
    assert_eq!(
        bench.recorder.take(),
        [
            "end chamber not-authorized".to_owned(),
            "retire juliet@example.com".to_owned(),
            presence("a@b", "unsubscribe"),
            presence("a@b", "unsubscribed"),
            "route <presence from='juliet@example.com/balcony' to='a@b' type='unavailable'/>"
                .to_owned(),
            presence("c@d", "unsubscribe"),
            "forget juliet@example.com".to_owned(),
            "then end not-authorized".to_owned(),
        ]
        .join("\n")
    );
    assert_eq!(bench.stores.accounts.load(&juliet).await.unwrap(), None);
    assert_eq!(bench.stores.private.list(&juliet).await.unwrap(), []);
    assert_eq!(bench.stores.rosters.load(&juliet).await.unwrap().items, []);
    // Who has no account cannot remove one.
    assert_eq!(
        bench.ask(None, Set, "<remove/>").await,
        Err(Condition::RegistrationRequired)
    );
    assert_eq!(
        bench.ask(None, Set, &fields("juliet", "x")).await,
        Err(Condition::RegistrationRequired)
    );
}

#[tokio::test]
async fn nothing_changes_where_it_is_off() {
    let bench = Bench::new(false).await;
    assert_eq!(
        bench.ask(None, Set, "<remove/>").await,
        Err(Condition::NotAllowed)
    );
    assert_eq!(
        bench.ask(None, Set, &fields("juliet", "x")).await,
        Err(Condition::NotAllowed)
    );
    assert!(bench.knows("R0m30").await);
    let mut registry = Registry::default();
    Arc::new(bench.register).register(&mut registry);
    assert_eq!(registry.features(Target::Server), [""; 0]);
}

#[tokio::test]
async fn accounts_of_another_system_are_not_changed() {
    let mut bench = Bench::new(true).await;
    let mut stores = bench.stores.clone();
    let shadows = super::super::recorder::stores().accounts;
    let clock = Arc::new(storage::ManualClock::at(1));
    stores.accounts = Arc::new(ShadowedAccounts::new(stores.accounts, shadows, clock));
    let rosters = Arc::new(Rosters::new(stores.rosters.clone()));
    let accounts = Accounts::new(stores, rosters, Arc::new(Keys::new(4_096)));
    let cx = bench.recorder.context();
    let (juliet, romeo) = (bare("juliet@example.com"), bare("romeo@example.com"));
    let made = accounts.create(&romeo, "m0nt4gu3", Way::Running(&cx)).await;
    assert_eq!(made.unwrap_err().condition, Condition::NotAllowed);
    let changed = accounts.set_password(&juliet, "another").await;
    assert_eq!(changed.unwrap_err().condition, Condition::NotAllowed);
    let removed = accounts.remove(&juliet, None, Way::Running(&cx)).await;
    assert_eq!(removed.unwrap_err().condition, Condition::NotAllowed);

    let announced = |register: Register| {
        let mut registry = Registry::default();
        Arc::new(register).register(&mut registry);
        !registry.is_hidden("example.com", ns::REGISTER)
    };
    let theirs = Register::new(accounts, vec!["example.com".into()], true);
    let ours = std::mem::replace(&mut bench.register, theirs);
    let password = "<username>juliet</username><password>another</password>";
    for children in [password, "<remove/>"] {
        let asked = bench.ask(None, Set, children).await;
        assert_eq!(asked, Err(Condition::NotAllowed));
    }
    assert!(announced(ours) && !announced(bench.register));
}
