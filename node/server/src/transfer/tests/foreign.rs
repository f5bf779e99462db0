//! Exports of other servers, and what is wrong with some.

use storage::repository::LogEntry;

use super::*;

#[tokio::test]
async fn the_examples_of_the_xep_are_read() {
    let (stores, done) = read_one(
        "<user name='juliet' password='s3cr3t'>\
           <scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-1'>\
             <iter-count>100000</iter-count>\
             <salt>TmFDbE5hQ2xOYUNsTmFDbE5hQ2xOYUNsTmFDbE5hQ2xOYUNsTmFDbE5hQ2wK</salt>\
             <server-key>0pXWGK0GZJ6TR73AIUN3ITYtA1g=</server-key>\
             <stored-key>Q6qT/SbybblGCZz8e8eSfCJOQic=</stored-key></scram-credentials>\
           <query xmlns='jabber:iq:roster'><item jid='romeo@montague.net' name='Romeo' subscription='both'><group>Friends</group></item></query>\
           <offline-messages><message xmlns='jabber:client' from='romeo@montague.net/orchard' to='juliet@capulet.com/balcony' type='chat'>\
             <body>Neither, fair saint, if either thee dislike.</body>\
             <delay xmlns='urn:xmpp:delay' from='capulet.example' stamp='2002-07-21T00:32:29Z'>Offline Storage</delay></message></offline-messages>\
           <query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'><defaultnick>Hamlet</defaultnick></exodus></query>\
           <presence xmlns='jabber:client' type='subscribe' id='xk3h1v69' from='romeo@montague.net'><nick xmlns='http://jabber.org/protocol/nick'>Romeo</nick></presence>\
           <presence xmlns='jabber:client' type='subscribe' from='mercutio@montague.net'/>\
           <pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='n'/></pubsub>\
         </user>",
    )
    .await;
    assert_eq!(done.accounts, 1);
    assert_eq!(
        done.left_out
            .iter()
            .map(|(what, n)| (what.as_str(), *n))
            .collect::<Vec<_>>(),
        [("pubsub of http://jabber.org/protocol/pubsub", 1)]
    );
    let juliet = jid("juliet@capulet.example");
    let account = stores.accounts.load(&juliet).await.unwrap().unwrap();
    assert_eq!(
        account
            .credentials
            .scram(ScramHash::Sha1)
            .unwrap()
            .iterations,
        100_000
    );
    assert!(
        keys(&account, xmpp::sasl::Hash::Sha256)
            .unwrap()
            .verify_password("s3cr3t")
    );
    let roster = stores.rosters.load(&juliet).await.unwrap();
    let romeo = roster.get(&jid("romeo@montague.net")).unwrap();
    assert!(
        romeo.in_roster && romeo.pending_in.is_some() && romeo.subscription == Subscription::Both
    );
    assert!(!roster.get(&jid("mercutio@montague.net")).unwrap().in_roster);
    let log = log_of(&stores, &juliet).await;
    assert_eq!(log[0].time_ms, 1_027_211_549_000);
    assert!(
        log[0].flags == EntryFlags::DELIVER
            && !String::from_utf8_lossy(&log[0].stanza).contains("delay")
    );
}

#[tokio::test]
async fn ids_of_other_servers_join_archive_and_offline_messages_in_any_order() {
    let message = |id: &str| {
        format!(
            "<message xmlns='jabber:client' from='romeo@montague.net/o' to='juliet@capulet.example' type='chat'><body>{id}</body><stanza-id xmlns='urn:xmpp:sid:0' by='juliet@capulet.example' id='{id}'/></message>"
        )
    };
    let result = |id: &str, stamp: &str| {
        format!(
            "<result xmlns='urn:xmpp:mam:2' id='{id}'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='{stamp}'/>{}</forwarded></result>",
            message(id)
        )
    };
    let offline = format!(
        "<offline-messages>{}</offline-messages>",
        message("1700000000000002")
    );
    let archive = format!(
        "<archive xmlns='urn:xmpp:pie:0#mam'>{}{}</archive>",
        result("1700000000000001", "2023-11-14T22:13:20Z"),
        result("1700000000000002", "2023-11-14T22:13:21Z")
    );
    for user in [format!("{offline}{archive}"), format!("{archive}{offline}")] {
        let (stores, done) =
            read_one(&format!("<user name='juliet' password='x'>{user}</user>")).await;
        assert!(done.is_complete() && done.messages == 2, "{done:?}");
        let juliet = jid("juliet@capulet.example");
        let log = stores
            .logs
            .read(&juliet, LogRange::ALL, false, 10)
            .await
            .unwrap();
        let flags: Vec<_> = log.iter().map(|entry| entry.flags).collect();
        assert_eq!(
            flags,
            [
                EntryFlags::ARCHIVED,
                EntryFlags::ARCHIVED | EntryFlags::DELIVER
            ]
        );
        assert!(!String::from_utf8_lossy(&log[0].stanza).contains("stanza-id"));
        assert_eq!(stores.mailboxes.load(&juliet).await.unwrap().acked, 1);
    }
}

#[tokio::test]
async fn split_files_are_put_together_as_ejabberd_splits_them() {
    let stores = stores();
    let files = [
        (
            "main.xml",
            "<?xml version='1.0' encoding='UTF-8'?><server-data xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude'><xi:include href='localhost.xml'/></server-data>",
        ),
        (
            "localhost.xml",
            "<host xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude' jid='localhost'><xi:include href='localhost/a.xml'/><xi:include href='localhost/b.xml'/></host>",
        ),
        (
            "localhost/a.xml",
            "<user xmlns='urn:xmpp:pie:0' name='a' password='scram:ccOdDKGtz1U4qf+mXKQ4zSLSHbc=,Hjq8pDxOHuKVGHPDPRCyyTUG5Ho=,bXlzYWx0,4096'/>",
        ),
        (
            "localhost/b.xml",
            "<user xmlns='urn:xmpp:pie:0' name='b' password='secret'><!-- nobody --></user>",
        ),
    ];
    let done = read(&stores, &files).await.unwrap();
    assert!(done.is_complete(), "{done:?}");
    let a = stores
        .accounts
        .load(&jid("a@localhost"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(a.credentials.scram.len(), 1);
    assert_eq!(a.credentials.scram[0].salt, b"mysalt");
    assert_eq!(
        stores
            .accounts
            .load(&jid("b@localhost"))
            .await
            .unwrap()
            .unwrap()
            .credentials
            .scram
            .len(),
        3
    );
}

#[tokio::test]
async fn what_is_no_export_is_an_error_with_its_place() {
    let check = async |text: &str, expected: &str| {
        let error = read(&stores(), &[("x.xml", text)])
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{text}: {error}");
    };
    check("<html/>", "begins with html").await;
    for empty in ["", " \n", "<?xml version='1.0'?>\n<!-- nothing -->"] {
        check(empty, "the file is empty").await;
    }
    check(
        "<server-data xmlns='urn:xmpp:pie:0'><host>",
        "host has no jid",
    )
    .await;
    check("<server-data xmlns='urn:xmpp:pie:0'><host jid='a.example'><user name='a'><vCard xmlns='vcard-temp'>", "ends too early").await;
    check(
        "<server-data xmlns='urn:xmpp:pie:0'><host jid='a.example'></user>",
        "at byte",
    )
    .await;
    check("<server-data xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude'><xi:include href='../etc/passwd'/></server-data>", "not below").await;
    check("<!DOCTYPE a [<!ENTITY e 'eeee'>]><server-data xmlns='urn:xmpp:pie:0'><host jid='a.example'><user name='a'><vCard xmlns='vcard-temp'>&e;</vCard></user></host></server-data>", "at byte").await;
    let xi = "xmlns:xi='http://www.w3.org/2001/XInclude'";
    let main = format!(
        "<server-data xmlns='urn:xmpp:pie:0' {xi}><xi:include href='loop.xml'/></server-data>"
    );
    let files = [
        ("x.xml", main.as_str()),
        ("loop.xml", &format!("<xi:include {xi} href='loop.xml'/>")),
    ];
    let error = read(&stores(), &files).await.unwrap_err().to_string();
    assert!(error.contains("too deeply"), "{error}");
    let missing = import(&stores(), Path::new("does/not/exist.xml"), &[], 4096)
        .await
        .unwrap_err();
    assert!(
        missing.to_string().contains("does/not/exist.xml"),
        "{missing}"
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_left_out_and_told() {
    let (stores, done) = read_one(
        "<user name='a b' password='x'/><user name='mercutio' password='ｆｕｌｌ'/>\
         <user name='juliet'>\
           <scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-1'><iter-count>0</iter-count></scram-credentials>\
           <query xmlns='jabber:iq:roster'><item jid='a@@b'/><item jid='a@b.example' subscription='remove'/><item jid='c@b.example'/></query>\
           <query xmlns='jabber:iq:privacy'><default name='gone'/><list name='l'><item action='maybe' order='1'/><item type='group' value='g' action='deny' order='2'/></list></query>\
           <archive xmlns='urn:xmpp:pie:0#mam'><result xmlns='urn:xmpp:mam:2' id='1'/></archive>\
         </user>",
    )
    .await;
    let left_out: Vec<(&str, usize)> = done
        .left_out
        .iter()
        .map(|(what, n)| (what.as_str(), *n))
        .collect();
    let expected = [
        ("SCRAM keys that cannot be used", 1),
        ("accounts whose name cannot be", 1),
        ("archived messages that make no sense", 1),
        ("contacts that make no sense", 2),
        (
            "passwords that not every client treats alike (those accounts need a new one)",
            1,
        ),
        (
            "passwords that the file does not know (those accounts need a new one)",
            1,
        ),
        ("rules of privacy lists that make no sense", 1),
    ];
    assert_eq!(left_out, expected);
    let mercutio = jid("mercutio@capulet.example");
    let mercutio = stores.accounts.load(&mercutio).await.unwrap().unwrap();
    assert_eq!(mercutio.credentials.scram, []);
    let juliet = jid("juliet@capulet.example");
    let privacy = stores.privacy.load(&juliet).await.unwrap();
    assert_eq!(privacy.default, None);
    assert_eq!(
        privacy.lists["l"][0].matches,
        PrivacyMatch::Group("g".into())
    );
    assert_eq!(stores.rosters.load(&juliet).await.unwrap().items.len(), 1);
}

/// What the Debian packages' own exporters wrote for two accounts with the password `R0m30`.
const EJABBERD: &str = include_str!("ejabberd-23.01.xml");
const PROSODY: &str = include_str!("prosody-0.12.xml");

async fn log_of(stores: &Stores, account: &BareJid) -> Vec<LogEntry> {
    let log = stores.logs.read(account, LogRange::ALL, false, 10);
    log.await.unwrap()
}

async fn check_juliet(stores: &Stores) {
    let juliet = jid("juliet@localhost");
    let account = stores.accounts.load(&juliet).await.unwrap().unwrap();
    let sha1 = keys(&account, xmpp::sasl::Hash::Sha1).unwrap();
    assert!(sha1.verify_password("R0m30") && !sha1.verify_password("r0m30"));
    let roster = stores.rosters.load(&juliet).await.unwrap();
    let romeo = roster.get(&jid("romeo@localhost")).unwrap();
    assert_eq!(romeo.name.as_deref(), Some("Romeo <3"));
    assert_eq!(
        (romeo.subscription, &*romeo.groups),
        (Subscription::Both, &["Friends".to_owned()][..])
    );
    assert!(
        roster
            .get(&jid("paris@localhost"))
            .unwrap()
            .pending_in
            .is_some()
    );
    assert!(stores.vcards.get(&juliet).await.unwrap().is_some());
    let bookmarks = stores
        .private
        .get(&juliet, "storage:bookmarks", "storage")
        .await
        .unwrap();
    assert!(bookmarks.is_some());
    let log = log_of(stores, &juliet).await;
    assert_eq!(log.len(), 3);
    for (at, entry) in log.iter().enumerate() {
        let stanza = String::from_utf8_lossy(&entry.stanza);
        assert!(
            stanza.contains(&format!("<body>hello {}</body>", at + 1)),
            "{stanza}"
        );
        assert!(
            !stanza.contains("delay") && !stanza.contains("archived"),
            "{stanza}"
        );
        assert_eq!(entry.peer.as_str(), "romeo@localhost/o");
    }
}

#[tokio::test]
async fn an_export_of_ejabberd_is_read() {
    let main = "<?xml version='1.0' encoding='UTF-8'?><server-data xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude'><xi:include href='20261122-123116_localhost.xml'/></server-data>";
    let stores = stores();
    let files = [
        ("20261122-123116.xml", main),
        ("20261122-123116_localhost.xml", EJABBERD),
    ];
    let done = read(&stores, &files).await.unwrap();
    assert!(done.is_complete(), "{done:?}");
    assert_eq!((done.accounts, done.messages), (2, 3));
    check_juliet(&stores).await;
    let juliet = jid("juliet@localhost");
    let log = log_of(&stores, &juliet).await;
    assert!(
        log.iter()
            .all(|it| it.flags == EntryFlags::ARCHIVED | EntryFlags::DELIVER)
    );
    assert_eq!(log[0].time_ms, 1_795_350_674_408);
    assert_eq!(stores.mailboxes.load(&juliet).await.unwrap().acked, 0);
}

#[tokio::test]
async fn an_export_of_prosody_is_read() {
    let stores = stores();
    let done = read(&stores, &[("juliet@localhost.xml", PROSODY)])
        .await
        .unwrap();
    assert!(done.is_complete(), "{done:?}");
    assert_eq!((done.accounts, done.messages), (1, 3));
    check_juliet(&stores).await;
    let juliet = jid("juliet@localhost");
    let log = log_of(&stores, &juliet).await;
    assert!(log.iter().all(|it| it.flags == EntryFlags::ARCHIVED));
    assert_eq!(log[0].time_ms, 1_700_000_001_000);
    assert_eq!(stores.mailboxes.load(&juliet).await.unwrap().acked, 3);
}
