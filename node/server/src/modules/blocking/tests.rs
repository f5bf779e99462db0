//! Block lists and privacy lists as their owners change them (XEP-0191, XEP-0016).

use std::sync::Arc;

use cluster::directory::SessionRef;
use storage::repository::{Roster, RosterItem, Subscription};
use xmpp::{Jid, StanzaErrorCondition as Condition};

use super::*;
use crate::{
    module::IqHandler,
    modules::{
        recorder::{Recorder, answer, bare, request, stores},
        roster::{Rosters, rosters::item_mut},
    },
    pipeline::delivery::IqType::{self, Get, Set},
    routing::{SessionHandle, flags},
};

struct Bench {
    recorder: Recorder,
    lists: Arc<Lists>,
    rosters: Arc<Rosters>,
    blocking: Blocking,
    privacy: PrivacyLists,
    /// Follows the block list, and is available.
    balcony: Arc<SessionHandle>,
    chamber: Arc<SessionHandle>,
}

impl Bench {
    /// Juliet, whom Romeo sees and Tybalt does not; Romeo is in the group `Lovers`.
    async fn new() -> Self {
        let (recorder, stores) = (Recorder::default(), stores());
        let rosters = Arc::new(Rosters::new(stores.rosters));
        let put = |jid: &str, subscription, group: &str| {
            let item = RosterItem {
                subscription,
                groups: vec![group.into()],
                ..RosterItem::new(bare(jid))
            };
            let rosters = rosters.clone();
            async move {
                let change = |roster: &mut Roster, _| {
                    *item_mut(roster, &item.jid) = item.clone();
                    Ok(Some(()))
                };
                rosters
                    .turn(&bare("juliet@example.com"))
                    .await
                    .change(change)
                    .await
                    .unwrap();
            }
        };
        put("romeo@example.net", Subscription::Both, "Lovers").await;
        put("tybalt@example.org", Subscription::To, "Family").await;
        let lists = Arc::new(Lists::new(stores.privacy, rosters.clone(), Arc::default()));
        let balcony = recorder.session("juliet@example.com/balcony", flags::BLOCK_LIST);
        let chamber = recorder.session("juliet@example.com/chamber", 0);
        recorder.presence(&balcony);
        let (blocking, privacy) = (
            Blocking::new(lists.clone()),
            PrivacyLists::new(lists.clone()),
        );
        Self {
            recorder,
            lists,
            rosters,
            blocking,
            privacy,
            balcony,
            chamber,
        }
    }

    async fn ask(
        &self,
        handler: &dyn IqHandler,
        who: &Arc<SessionHandle>,
        kind: IqType,
        xml: &str,
    ) -> Result<String, Condition> {
        answer(
            handler,
            &request(who, None, kind, xml),
            &self.recorder.context(),
        )
        .await
    }

    async fn block(&self, kind: IqType, name: &str, jids: &[&str]) -> Result<String, Condition> {
        let items: String = jids
            .iter()
            .map(|jid| format!("<item jid='{jid}'/>"))
            .collect();
        self.ask(
            &self.blocking,
            &self.balcony,
            kind,
            &format!("<{name} xmlns='urn:xmpp:blocking'>{items}</{name}>"),
        )
        .await
    }

    async fn privacy(
        &self,
        who: &Arc<SessionHandle>,
        kind: IqType,
        children: &str,
    ) -> Result<String, Condition> {
        let prefix = "<query xmlns='jabber:iq:privacy'>";
        let got = self
            .ask(
                &self.privacy,
                who,
                kind,
                &format!("{prefix}{children}</query>"),
            )
            .await?;
        Ok(got
            .replace(prefix, "")
            .replace("</query>", "")
            .replace("<query xmlns='jabber:iq:privacy'/>", ""))
    }

    async fn put(&self, name: &str, rule: &str) {
        let list = format!("<list name='{name}'><item {rule} action='deny' order='1'/></list>");
        assert_eq!(
            self.privacy(&self.balcony, Set, &list).await,
            Ok(String::new())
        );
        self.recorder.take();
    }
}

fn push(to: &str, payload: &str) -> String {
    format!("push {to} <iq type='set' id='?' to='juliet@example.com/{to}'>{payload}</iq>")
}

#[tokio::test]
async fn blocking_is_in_force_shown_and_pushed() {
    let bench = Bench::new().await;
    let gone = |to: &str| {
        format!("route <presence from='juliet@example.com/balcony' to='{to}' type='unavailable'/>")
    };
    let back = |to: &str| format!("route <presence from='juliet@example.com/balcony' to='{to}'/>");
    let all = push("balcony", "<unblock xmlns='urn:xmpp:blocking'/>");
    let check = async |name: &str, jids: &[&str], expected: &[String]| {
        assert_eq!(bench.block(Set, name, jids).await, Ok(String::new()));
        assert_eq!(
            bench.recorder.take(),
            expected.join("\n"),
            "{name} {jids:?}"
        );
    };
    let lists = |version: u32| format!("lists juliet@example.com version {version}");
    // Only who sees presence is sent unavailable.
    check(
        "block",
        &["tybalt@example.org"],
        &[lists(1), push_items("block", &["tybalt@example.org"])],
    )
    .await;
    check(
        "block",
        &["Romeo@example.net"],
        &[
            lists(2),
            gone("romeo@example.net"),
            push_items("block", &["romeo@example.net"]),
        ],
    )
    .await;
    // What is blocked already is pushed and nothing else.
    check(
        "block",
        &["romeo@example.net"],
        &[push_items("block", &["romeo@example.net"])],
    )
    .await;
    check(
        "unblock",
        &["romeo@example.net"],
        &[
            lists(3),
            back("romeo@example.net"),
            push_items("unblock", &["romeo@example.net"]),
        ],
    )
    .await;
    // A domain, and one resource.
    check(
        "block",
        &["example.net"],
        &[
            lists(4),
            gone("romeo@example.net"),
            push_items("block", &["example.net"]),
        ],
    )
    .await;
    check("unblock", &[], &[lists(5), back("romeo@example.net"), all]).await;
    check(
        "block",
        &["romeo@example.net/pda"],
        &[
            lists(6),
            gone("romeo@example.net/pda"),
            push_items("block", &["romeo@example.net/pda"]),
        ],
    )
    .await;
    check(
        "unblock",
        &["nobody@example.net"],
        &[push_items("unblock", &["nobody@example.net"])],
    )
    .await;
}

fn push_items(name: &str, jids: &[&str]) -> String {
    let items: String = jids
        .iter()
        .map(|jid| format!("<item jid='{jid}'/>"))
        .collect();
    push(
        "balcony",
        &format!("<{name} xmlns='urn:xmpp:blocking'>{items}</{name}>"),
    )
}

#[tokio::test]
async fn the_block_list_is_got_and_followed() {
    let bench = Bench::new().await;
    assert_eq!(
        bench.block(Get, "blocklist", &[]).await.as_deref(),
        Ok("<blocklist xmlns='urn:xmpp:blocking'/>")
    );
    assert_eq!(bench.recorder.take(), "flags balcony +4 -0");
    bench.block(Set, "block", &["a@b", "c@d"]).await.unwrap();
    let list =
        "<blocklist xmlns='urn:xmpp:blocking'><item jid='a@b'/><item jid='c@d'/></blocklist>";
    assert_eq!(
        bench.block(Get, "blocklist", &[]).await.as_deref(),
        Ok(list)
    );
    // One list, two views.
    let names = "<default name='blocked'/><list name='blocked'/>";
    assert_eq!(
        bench.privacy(&bench.chamber, Get, "").await.as_deref(),
        Ok(names)
    );
    for (kind, name, jids, expected) in [
        (Set, "block", &[][..], Condition::BadRequest),
        (Set, "block", &["@"][..], Condition::JidMalformed),
        (Set, "unblock", &["@"][..], Condition::JidMalformed),
        (Set, "blocklist", &[][..], Condition::BadRequest),
        (Get, "block", &["a@b"][..], Condition::BadRequest),
        (Get, "unblock", &[][..], Condition::BadRequest),
    ] {
        assert_eq!(
            bench.block(kind, name, jids).await,
            Err(expected),
            "{name} {jids:?}"
        );
    }
    let nobody = bench
        .ask(
            &bench.blocking,
            &bench.balcony,
            Set,
            "<block xmlns='urn:xmpp:blocking'><item/></block>",
        )
        .await;
    assert_eq!(nobody, Err(Condition::BadRequest));
    let many: Vec<String> = (0..rules::MAX_ITEMS).map(|n| format!("{n}@b")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(
        bench.block(Set, "block", &many).await,
        Err(Condition::PolicyViolation)
    );
    assert_eq!(
        bench.block(Get, "blocklist", &[]).await.as_deref(),
        Ok(list),
        "nothing was changed"
    );
}

#[tokio::test]
async fn lists_read_back_as_they_were_written() {
    let bench = Bench::new().await;
    let check = async |items: &str, expected: Result<&str, Condition>| {
        let set = bench
            .privacy(
                &bench.balcony,
                Set,
                &format!("<list name='l'>{items}</list>"),
            )
            .await;
        let got = match set {
            Ok(_) => bench.privacy(&bench.balcony, Get, "<list name='l'/>").await,
            Err(error) => Err(error),
        };
        assert_eq!(
            got,
            expected.map(|items| format!("<list name='l'>{items}</list>")),
            "{items}"
        );
    };
    let same = async |items: &str| check(items, Ok(items)).await;
    same("<item type='jid' value='tybalt@example.com' action='deny' order='3'/>").await;
    same("<item type='group' value='Lovers' action='allow' order='0'/>").await;
    same("<item type='subscription' value='none' action='allow' order='4294967295'/>").await;
    same("<item action='deny' order='7'><message/><iq/><presence-in/><presence-out/></item>").await;
    check(
        "<item action='deny' order='9'/><item type='jid' value='A@B' action='allow' order='2'><iq/></item>",
        Ok("<item type='jid' value='a@b' action='allow' order='2'><iq/></item><item action='deny' order='9'/>"),
    )
    .await;
    for wrong in [
        "<item type='jid' action='deny' order='1'/>",
        "<item type='colour' value='red' action='deny' order='1'/>",
        "<item type='subscription' value='maybe' action='deny' order='1'/>",
        "<item action='perhaps' order='1'/>",
        "<item order='1'/>",
        "<item action='deny'/>",
        "<item action='deny' order='-1'/>",
        "<item action='deny' order='1'/><item action='allow' order='1'/>",
        "<item action='deny' order='1'><presence/></item>",
        "<rule action='deny' order='1'/>",
    ] {
        check(wrong, Err(Condition::BadRequest)).await;
    }
    check(
        "<item type='jid' value='@' action='deny' order='1'/>",
        Err(Condition::JidMalformed),
    )
    .await;
    check(
        "<item type='group' value='Enemies' action='deny' order='1'/>",
        Err(Condition::ItemNotFound),
    )
    .await;
    let many: String = (0..=rules::MAX_ITEMS)
        .map(|n| format!("<item action='deny' order='{n}'/>"))
        .collect();
    check(&many, Err(Condition::PolicyViolation)).await;
}

#[tokio::test]
async fn requests_that_mean_nothing_are_refused() {
    let bench = Bench::new().await;
    bench.put("l", "").await;
    let check = async |kind, children: &str, expected| {
        assert_eq!(
            bench.privacy(&bench.balcony, kind, children).await,
            Err(expected),
            "{children}"
        );
    };
    check(Get, "<list name='x'/>", Condition::ItemNotFound).await;
    check(
        Get,
        "<list name='l'/><list name='l'/>",
        Condition::BadRequest,
    )
    .await;
    check(Get, "<list/>", Condition::BadRequest).await;
    check(Get, "<active name='l'/>", Condition::BadRequest).await;
    check(Set, "", Condition::BadRequest).await;
    check(
        Set,
        "<list name='l'/><list name='x'/>",
        Condition::BadRequest,
    )
    .await;
    check(Set, "<list name='x'/>", Condition::ItemNotFound).await;
    check(Set, "<list/>", Condition::BadRequest).await;
    check(Set, "<active name='x'/>", Condition::ItemNotFound).await;
    check(Set, "<default name='x'/>", Condition::ItemNotFound).await;
    check(Set, "<other name='l'/>", Condition::BadRequest).await;
    for n in 1..64 {
        bench.put(&n.to_string(), "").await;
    }
    check(
        Set,
        "<list name='64'><item action='deny' order='1'/></list>",
        Condition::PolicyViolation,
    )
    .await;
}

#[tokio::test]
async fn the_default_list_is_shown_and_guarded() {
    let bench = Bench::new().await;
    bench
        .put("no", "type='jid' value='romeo@example.net'")
        .await;
    bench
        .put("yes", "type='jid' value='tybalt@example.org'")
        .await;
    let (balcony, chamber) = (&bench.balcony, &bench.chamber);
    assert_eq!(
        bench.privacy(balcony, Set, "<default name='no'/>").await,
        Ok(String::new())
    );
    assert_eq!(
        bench.recorder.take(),
        [
            "lists juliet@example.com version 3".to_owned(),
            "route <presence from='juliet@example.com/balcony' to='romeo@example.net' type='unavailable'/>".to_owned(),
            push_items("block", &["romeo@example.net"]),
        ]
        .join("\n")
    );
    // It applies to the other session.
    for change in ["<default/>", "<default name='yes'/>", "<list name='no'/>"] {
        assert_eq!(
            bench.privacy(chamber, Set, change).await,
            Err(Condition::Conflict),
            "{change}"
        );
    }
    assert_eq!(
        bench.privacy(chamber, Set, "<default name='no'/>").await,
        Ok(String::new()),
        "no change"
    );
    // Where another list is active it does not.
    assert_eq!(
        bench.privacy(balcony, Set, "<active name='yes'/>").await,
        Ok(String::new())
    );
    assert_eq!(
        bench.recorder.take(),
        "route <presence from='juliet@example.com/balcony' to='romeo@example.net'/>"
    );
    assert_eq!(
        bench.privacy(chamber, Set, "<list name='yes'/>").await,
        Err(Condition::Conflict)
    );
    assert_eq!(
        bench.privacy(chamber, Set, "<default/>").await,
        Ok(String::new())
    );
    assert_eq!(
        bench.recorder.take(),
        format!(
            "lists juliet@example.com version 4\n{}",
            push_items("unblock", &["romeo@example.net"])
        )
    );
    let names = "<active name='yes'/><list name='no'/><list name='yes'/>";
    assert_eq!(bench.privacy(balcony, Get, "").await.as_deref(), Ok(names));
    // Its own active list a session may remove.
    assert_eq!(
        bench.privacy(balcony, Set, "<list name='yes'/>").await,
        Ok(String::new())
    );
    let name = "<query xmlns='jabber:iq:privacy'><list name='yes'/></query>";
    assert_eq!(
        bench.recorder.take(),
        format!(
            "lists juliet@example.com version 5\n{}\n{}",
            push("balcony", name),
            push("chamber", name)
        )
    );
    assert_eq!(
        bench.privacy(balcony, Get, "").await.as_deref(),
        Ok("<list name='no'/>")
    );
}

#[tokio::test]
async fn the_active_list_is_the_sessions_alone() {
    let bench = Bench::new().await;
    bench.put("no", "").await;
    bench
        .privacy(&bench.balcony, Set, "<active name='no'/>")
        .await
        .unwrap();
    let data = bench.lists.load(&bare("juliet@example.com")).await.unwrap();
    let romeo = Jid::parse("romeo@example.net/orchard").unwrap();
    let owner = bare("juliet@example.com");
    let judge = Judge {
        owner: &owner,
        lists: &data,
        active: bench.lists.active(),
        rosters: &bench.rosters,
    };
    let denied = |handle: &SessionHandle| judge.denies(handle.session, Passing::Message, &romeo);
    let (balcony, chamber) = (bench.balcony.session, bench.chamber.session);
    assert!(denied(&bench.balcony) && !denied(&bench.chamber));
    let check = |sessions: &[SessionRef], expected| {
        let sessions = sessions.iter().copied();
        let denied = judge.denies_all(sessions, Passing::Message, &romeo);
        assert_eq!(denied, expected);
    };
    check(&[], false);
    check(&[balcony], true);
    check(&[balcony, chamber], false);
    bench.lists.active().ended(bench.balcony.session);
    assert!(!denied(&bench.balcony));
    assert_eq!(
        bench.privacy(&bench.balcony, Set, "<active/>").await,
        Ok(String::new())
    );
}
