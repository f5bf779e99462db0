//! Queries over a real log: pages, filters, counts.

use storage::{
    Stores,
    repository::{EntryFlags, LogEntry, LogRange, NewEntry},
};
use xmpp::{Jid, Stanza, StanzaErrorCondition as Condition};

use super::*;
use crate::{
    modules::recorder::{Recorder, answer, bare, request, stores},
    pipeline::delivery::IqType::{self, Get, Set},
    routing::SessionHandle,
};

const OWNER: &str = "juliet@example.com";
const SHOWN: EntryFlags = EntryFlags::ARCHIVED;

struct Bench {
    recorder: Recorder,
    handle: Arc<SessionHandle>,
    stores: Stores,
    archive: Archive,
}

impl Bench {
    fn new(page: usize) -> Self {
        let (recorder, stores) = (Recorder::default(), stores());
        let handle = recorder.session("juliet@example.com/balcony", 0);
        let archive = Archive::new(
            stores.logs.clone(),
            stores.archive_preferences.clone(),
            page,
        );
        Self {
            recorder,
            handle,
            stores,
            archive,
        }
    }

    /// An entry a second, from second 1 on; returns its number.
    async fn log(&self, flags: EntryFlags, peer: &str, stanza: &str) -> u64 {
        let owner = bare(OWNER);
        let head = self.stores.logs.head(&owner).await.unwrap();
        let stanza = stanza.to_owned().into();
        let entry = NewEntry {
            time_ms: (head + 1) * 1_000,
            flags,
            peer: Jid::parse(peer).unwrap(),
            stanza,
        };
        self.stores
            .logs
            .append(&owner, head, head + 1, &[entry])
            .await
            .unwrap();
        head + 1
    }

    async fn entry(&self, number: u64) -> LogEntry {
        let range = LogRange {
            from: number,
            to: number,
        };
        self.stores
            .logs
            .read(&bare(OWNER), range, false, 1)
            .await
            .unwrap()
            .remove(0)
    }

    async fn ask(&self, kind: IqType, payload: &str) -> Result<String, Condition> {
        answer(
            &self.archive,
            &request(&self.handle, None, kind, payload),
            &self.recorder.context(),
        )
        .await
    }

    /// Ids of the results in the order in which they were sent, then what `<fin/>` says.
    async fn page(&self, children: &str) -> Result<(Vec<u64>, String), Condition> {
        let fin = self
            .ask(
                Set,
                &format!("<query xmlns='urn:xmpp:mam:2'>{children}</query>"),
            )
            .await?;
        let sent = self.recorder.take();
        let id = |line: &str| {
            line.split_once(" id='")
                .unwrap()
                .1
                .split_once('\'')
                .unwrap()
                .0
                .parse()
                .unwrap()
        };
        let set = fin
            .replace("<set xmlns='http://jabber.org/protocol/rsm'>", "")
            .replace("</set>", "");
        let set = set.replace("<set xmlns='http://jabber.org/protocol/rsm'/>", "");
        let set = set
            .replace("<fin xmlns='urn:xmpp:mam:2'", "")
            .replace("</fin>", "");
        Ok((sent.lines().map(id).collect(), set.trim().to_owned()))
    }
}

fn field(var: &str, value: &str) -> String {
    form(&format!(
        "<field var='{var}'><value>{value}</value></field>"
    ))
}

fn form(fields: &str) -> String {
    format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>{fields}</x>"
    )
}

fn set(children: &str) -> String {
    format!("<set xmlns='http://jabber.org/protocol/rsm'>{children}</set>")
}

/// Nine entries, 3 and 7 not shown; odd ones with Romeo, even ones with the nurse.
async fn nine(page: usize) -> Bench {
    let bench = Bench::new(page);
    for number in 1..=9 {
        let flags = if number % 4 == 3 {
            EntryFlags::DELIVER
        } else {
            SHOWN
        };
        let peer = if number % 2 == 1 {
            "romeo@example.net/orchard"
        } else {
            "nurse@example.com/kitchen"
        };
        bench
            .log(
                flags,
                peer,
                &format!("<message from='{peer}'><body>{number}</body></message>"),
            )
            .await;
    }
    bench
}

#[tokio::test]
async fn pages_go_both_ways_and_say_when_they_end() {
    let bench = nine(3).await;
    let check = async |children: &str, ids: &[u64], fin: &str| {
        assert_eq!(
            bench.page(children).await,
            Ok((ids.to_vec(), fin.to_owned())),
            "{children}"
        );
    };
    // Without a maximum, as many as configured; forwards.
    check("", &[1, 2, 4], "><first>1</first><last>4</last>").await;
    check(
        &set("<after>4</after>"),
        &[5, 6, 8],
        "><first>5</first><last>8</last>",
    )
    .await;
    check(
        &set("<after>8</after>"),
        &[9],
        "complete='true'><first>9</first><last>9</last>",
    )
    .await;
    check(&set("<after>9</after>"), &[], "complete='true'>").await;
    // More than is allowed is cut.
    check(
        &set("<max>100</max>"),
        &[1, 2, 4],
        "><first>1</first><last>4</last>",
    )
    .await;
    check(
        &set("<max>1</max>"),
        &[1],
        "><first>1</first><last>1</last>",
    )
    .await;
    // Backwards, still in order of time.
    check(
        &set("<max>2</max><before/>"),
        &[8, 9],
        "><first>8</first><last>9</last>",
    )
    .await;
    check(
        &set("<max>2</max><before>8</before>"),
        &[5, 6],
        "><first>5</first><last>6</last>",
    )
    .await;
    check(
        &set("<before>4</before>"),
        &[1, 2],
        "complete='true'><first>1</first><last>2</last>",
    )
    .await;
    check(
        &format!("{}<flip-page/>", set("<max>2</max><before/>")),
        &[9, 8],
        "><first>8</first><last>9</last>",
    )
    .await;
    check(&set("<max>0</max>"), &[], "><count>7</count>").await;
}

#[tokio::test]
async fn filters_narrow_and_all_there_is_is_counted() {
    let bench = nine(10).await;
    let check = async |children: &str, ids: &[u64]| {
        let (found, fin) = bench.page(children).await.unwrap();
        assert_eq!(found, ids, "{children}");
        let ends = ids
            .first()
            .zip(ids.last())
            .map(|(a, b)| format!("<first index='0'>{a}</first><last>{b}</last>"));
        assert_eq!(
            fin,
            format!(
                "complete='true'>{}<count>{}</count>",
                ends.unwrap_or_default(),
                ids.len()
            ),
            "{children}"
        );
    };
    check("", &[1, 2, 4, 5, 6, 8, 9]).await;
    check(&field("with", "romeo@example.net"), &[1, 5, 9]).await;
    check(&field("with", "romeo@example.net/orchard"), &[1, 5, 9]).await;
    check(&field("with", "romeo@example.net/pda"), &[]).await;
    check(&field("with", OWNER), &[]).await;
    check(&field("start", "1970-01-01T00:00:05Z"), &[5, 6, 8, 9]).await;
    check(&field("start", "1970-01-01T00:00:05.001Z"), &[6, 8, 9]).await;
    check(&field("end", "1970-01-01T00:00:05Z"), &[1, 2, 4, 5]).await;
    check(&field("end", "1970-01-01T00:00:04.999Z"), &[1, 2, 4]).await;
    check(&field("start", "2030-01-01T00:00:00Z"), &[]).await;
    check(&field("after-id", "5"), &[6, 8, 9]).await;
    check(&field("before-id", "5"), &[1, 2, 4]).await;
    check(&field("ids", "5"), &[5]).await;
    check(&form("<field var='ids'><value>8</value><value>2</value></field><field var='with'><value>nurse@example.com</value></field>"), &[2, 8]).await;
    check(&form("<field var='ids'><value>8</value><value>1</value></field><field var='with'><value>nurse@example.com</value></field>"), &[8]).await;
}

#[tokio::test]
async fn an_id_that_is_not_in_the_archive_is_not_found() {
    let bench = nine(10).await;
    // 3 is in the log and not in the archive, 10 is in neither.
    for id in ["3", "10", "x"] {
        for var in ["before-id", "after-id", "ids"] {
            assert_eq!(
                bench.page(&field(var, id)).await,
                Err(Condition::ItemNotFound),
                "{var} {id}"
            );
        }
        for page in ["before", "after"] {
            let children = set(&format!("<{page}>{id}</{page}>"));
            assert_eq!(
                bench.page(&children).await,
                Err(Condition::ItemNotFound),
                "{children}"
            );
        }
    }
}

#[tokio::test]
async fn a_result_wraps_the_stanza_with_our_id_alone() {
    let bench = Bench::new(10);
    let stanza = "<message from='romeo@example.net/o' to='juliet@example.com' type='chat' id='1'><body>I &amp; thou</body>\
                  <stanza-id xmlns='urn:xmpp:sid:0' by='juliet@example.com' id='forged'/></message>";
    bench.log(SHOWN, "romeo@example.net/o", stanza).await;
    bench
        .ask(Set, "<query xmlns='urn:xmpp:mam:2' queryid='q&lt;1'/>")
        .await
        .unwrap();
    assert_eq!(
        bench.recorder.take(),
        "push balcony <message from='juliet@example.com' to='juliet@example.com/balcony'>\
         <result xmlns='urn:xmpp:mam:2' id='1' queryid='q&lt;1'><forwarded xmlns='urn:xmpp:forward:0'>\
         <delay xmlns='urn:xmpp:delay' stamp='1970-01-01T00:00:01.000Z'/>\
         <message xmlns='jabber:client' from='romeo@example.net/o' to='juliet@example.com' type='chat' id='1'>\
         <body>I &amp; thou</body><stanza-id xmlns='urn:xmpp:sid:0' id='1' by='juliet@example.com'/></message>\
         </forwarded></result></message>"
    );
}

#[tokio::test]
async fn a_page_of_long_messages_ends_early() {
    let bench = Bench::new(10);
    for _ in 0..3 {
        let body = "x".repeat(300 << 10);
        bench
            .log(
                SHOWN,
                "a@b",
                &format!("<message from='a@b'><body>{body}</body></message>"),
            )
            .await;
    }
    assert_eq!(
        bench.page("").await,
        Ok((vec![1], "><first>1</first><last>1</last>".into()))
    );
    assert_eq!(
        bench.page(&set("<before/>")).await,
        Ok((vec![3], "><first>3</first><last>3</last>".into()))
    );
    let ids = form("<field var='ids'><value>1</value><value>2</value></field>");
    assert_eq!(
        bench.page(&ids).await,
        Ok((
            vec![1],
            "><first>1</first><last>1</last><count>2</count>".into()
        ))
    );
}

#[tokio::test]
async fn a_filter_reads_beyond_what_it_skips() {
    let bench = Bench::new(10);
    bench.log(SHOWN, "a@b", "<message/>").await;
    for _ in 0..600 {
        bench.log(SHOWN, "c@d", "<message/>").await;
    }
    let with = field("with", "a@b");
    assert_eq!(bench.page(&with).await.unwrap().0, [1]);
    assert_eq!(
        bench
            .page(&format!("{with}{}", set("<before/>")))
            .await
            .unwrap()
            .0,
        [1]
    );
    assert_eq!(
        bench.page(&set("<max>0</max>")).await.unwrap().1,
        "><count>601</count>"
    );
}

#[tokio::test]
async fn metadata_names_both_ends() {
    let bench = Bench::new(10);
    let ask = "<metadata xmlns='urn:xmpp:mam:2'/>";
    assert_eq!(bench.ask(Get, ask).await.as_deref(), Ok(ask));
    let bench = nine(10).await;
    let ends = "<metadata xmlns='urn:xmpp:mam:2'><start id='1' timestamp='1970-01-01T00:00:01.000Z'/>\
                <end id='9' timestamp='1970-01-01T00:00:09.000Z'/></metadata>";
    assert_eq!(bench.ask(Get, ask).await.as_deref(), Ok(ends));
    assert_eq!(bench.ask(Set, ask).await, Err(Condition::BadRequest));
    assert!(
        bench
            .ask(Get, "<query xmlns='urn:xmpp:mam:2'/>")
            .await
            .unwrap()
            .contains("before-id")
    );
    assert_eq!(
        bench.ask(Get, "<what xmlns='urn:xmpp:mam:2'/>").await,
        Err(Condition::BadRequest)
    );
}

#[tokio::test]
async fn preferences_are_in_force_before_they_are_answered() {
    let bench = Bench::new(10);
    let prefs = |default: &str, always: &str| {
        format!("<prefs xmlns='urn:xmpp:mam:2' default='{default}'><always>{always}</always><never/></prefs>").replace("<always></always>", "<always/>")
    };
    assert_eq!(
        bench.ask(Get, "<prefs xmlns='urn:xmpp:mam:2'/>").await,
        Ok(prefs("always", ""))
    );
    let wanted = prefs("roster", "<jid>a@b</jid>");
    for version in 1..=2 {
        assert_eq!(bench.ask(Set, &wanted).await, Ok(wanted.clone()));
        assert_eq!(
            bench.recorder.take(),
            format!("preferences juliet@example.com Roster version {version}")
        );
    }
    assert_eq!(
        bench.ask(Get, "<prefs xmlns='urn:xmpp:mam:2'/>").await,
        Ok(wanted)
    );
    assert_eq!(
        bench.ask(Set, "<prefs xmlns='urn:xmpp:mam:2'/>").await,
        Err(Condition::BadRequest)
    );
}

#[test]
fn retractions_are_known() {
    let check = |stanza: &str, expected: Option<(&str, Option<&str>)>| {
        let found = retraction::retraction(&Stanza::parse(stanza.to_owned().into()).unwrap());
        let expected = expected.map(|(of, id)| Retraction {
            of: of.into(),
            id: id.map(Into::into),
        });
        assert_eq!(found, expected, "{stanza}");
    };
    let retract = "<retract xmlns='urn:xmpp:message-retract:1' id='m'/>";
    check(
        &format!("<message type='chat' id='r'>{retract}</message>"),
        Some(("m", Some("r"))),
    );
    check(&format!("<message>{retract}</message>"), Some(("m", None)));
    check(
        &format!("<message type='groupchat' id='r'>{retract}</message>"),
        None,
    );
    check(
        &format!("<message type='error' id='r'>{retract}</message>"),
        None,
    );
    check(
        "<message id='r'><retract xmlns='urn:xmpp:message-retract:1'/></message>",
        None,
    );
    check(
        "<message id='r'><retract xmlns='urn:xmpp:message-retract:1' id=''/></message>",
        None,
    );
    check("<message id='r'><body/></message>", None);
}

#[tokio::test]
async fn only_its_sender_takes_a_message_back() {
    let message = "<message from='romeo@example.net/a' to='juliet@example.com' type='chat' id='m'><body>oh</body></message>";
    let by_origin =
        "<message id='x'><body>oh</body><origin-id xmlns='urn:xmpp:sid:0' id='m'/></message>";
    let retract = "<message id='r'><retract xmlns='urn:xmpp:message-retract:1' id='m'/></message>";
    let check = async |first: (EntryFlags, &str, &str), second: (EntryFlags, &str), hit: bool| {
        let bench = Bench::new(10);
        bench.log(SHOWN, "other@b", message).await;
        let number = bench.log(first.0, first.1, first.2).await;
        let at = bench.log(second.0, second.1, retract).await;
        let retraction = retraction::retraction(&Stanza::parse(retract.into()).unwrap()).unwrap();
        for found in [hit.then_some(number), None] {
            // Twice: what is done is not done again.
            let done = apply_retraction(&*bench.stores.logs, &bare(OWNER), at, &retraction).await;
            assert_eq!(done.unwrap(), found, "{first:?} {second:?}");
        }
        let entry = bench.entry(number).await;
        assert_eq!(entry.flags.contains(EntryFlags::TOMBSTONE), hit);
        assert_eq!(
            (entry.time_ms, entry.peer.as_str()),
            (number * 1_000, first.1)
        );
        assert_eq!(bench.entry(1).await.stanza, message, "another conversation");
        if hit && first.2 == message {
            assert_eq!(
                entry.stanza,
                "<message from='romeo@example.net/a' to='juliet@example.com' type='chat' id='m'>\
                 <retracted xmlns='urn:xmpp:message-retract:1' id='r' stamp='1970-01-01T00:00:03.000Z'/></message>"
            );
        }
    };
    let sent = SHOWN | EntryFlags::SENT;
    check(
        (SHOWN, "romeo@example.net/a", message),
        (SHOWN, "romeo@example.net/b"),
        true,
    )
    .await;
    check(
        (sent, "romeo@example.net", message),
        (sent, "romeo@example.net/b"),
        true,
    )
    .await;
    check(
        (SHOWN, "romeo@example.net/a", by_origin),
        (SHOWN, "romeo@example.net/b"),
        true,
    )
    .await;
    check(
        (SHOWN, "romeo@example.net/a", message),
        (sent, "romeo@example.net/b"),
        false,
    )
    .await;
    check(
        (sent, "romeo@example.net/a", message),
        (SHOWN, "romeo@example.net/b"),
        false,
    )
    .await;
    check(
        (SHOWN, "romeo@example.net/a", message),
        (SHOWN, "mercutio@example.net/b"),
        false,
    )
    .await;
    check(
        (
            SHOWN | EntryFlags::GROUPCHAT,
            "romeo@example.net/a",
            message,
        ),
        (SHOWN, "romeo@example.net/b"),
        false,
    )
    .await;
    check(
        (SHOWN, "romeo@example.net/a", "<message id='n'/>"),
        (SHOWN, "romeo@example.net/b"),
        false,
    )
    .await;
    check(
        (SHOWN, "romeo@example.net/a", &retract.replace("'r'", "'m'")),
        (SHOWN, "romeo@example.net/b"),
        false,
    )
    .await;
}
