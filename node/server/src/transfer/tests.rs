//! What is exported comes back the same, and what is damaged is told (XEP-0227).

mod foreign;

use std::{path::Path, sync::Arc};

use storage::{
    Stores,
    backend::memory::{MemoryBlobs, MemoryTable},
    repository::{
        EntryFlags, LogRange, NewEntry, PrivacyMatch, Roster, RosterItem, ScramHash, Subscription,
    },
};
use xmpp::{BareJid, Jid};

use super::{
    export::export,
    import::{ImportError, Imported, import},
};
use crate::keys::{Keys, of as keys};

const NOW: u64 = 1_700_000_000_000;

fn stores() -> Stores {
    Stores::over(Arc::new(MemoryTable::new()), Arc::new(MemoryBlobs::new()))
}

async fn derive(password: &str) -> storage::repository::Credentials {
    Keys::new(4_096).derive(password).await.unwrap()
}

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

async fn text_of(stores: &Stores) -> String {
    let mut out = Vec::new();
    export(
        stores,
        &["capulet.example".into(), "montague.example".into()],
        None,
        &mut out,
    )
    .await
    .unwrap();
    String::from_utf8(out).unwrap()
}

async fn read(stores: &Stores, files: &[(&str, &str)]) -> Result<Imported, ImportError> {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let domains = [
        "capulet.example".to_owned(),
        "montague.example".to_owned(),
        "localhost".to_owned(),
    ];
    import(stores, &directory.path().join(files[0].0), &domains, 4096).await
}

async fn read_one(user: &str) -> (Stores, Imported) {
    let stores = stores();
    let text = format!(
        "<?xml version='1.0'?><server-data xmlns='urn:xmpp:pie:0'><host jid='capulet.example'>{user}</host></server-data>"
    );
    let done = read(&stores, &[("export.xml", &text)]).await.unwrap();
    (stores, done)
}

fn entry(flags: EntryFlags, time_ms: u64, peer: &str, stanza: &str) -> NewEntry {
    NewEntry {
        time_ms,
        flags,
        peer: Jid::parse(peer).unwrap(),
        stanza: stanza.to_owned().into(),
    }
}

/// An account with some of everything.
async fn juliet(stores: &Stores) {
    let juliet = jid("juliet@capulet.example");
    stores
        .accounts
        .create(&juliet, derive("R0m30").await, NOW)
        .await
        .unwrap();
    let mut roster = Roster::default();
    roster.put(RosterItem {
        name: Some("Romeo & <co>".into()),
        groups: vec!["Friends".into(), "Lovers".into()],
        subscription: Subscription::Both,
        ..RosterItem::new(jid("romeo@montague.example"))
    });
    roster.put(RosterItem {
        ask: true,
        approved: true,
        ..RosterItem::new(jid("nurse@capulet.example"))
    });
    roster.put(RosterItem {
        in_roster: false,
        pending_in: Some("<presence type='subscribe' from='paris@example.org' to='juliet@capulet.example'><status>O Juliet!</status></presence>".into()),
        ..RosterItem::new(jid("paris@example.org"))
    });
    stores.rosters.store(&juliet, &roster, 0).await.unwrap();
    let vcard = xmpp::Element::parse(b"<vCard xmlns='vcard-temp'><FN>Juliet Capulet</FN><PHOTO><BINVAL>YWJj</BINVAL></PHOTO></vCard>", "").unwrap();
    stores
        .vcards
        .put(&juliet, &crate::modules::vcard::stored(&vcard), 0)
        .await
        .unwrap();
    for (namespace, xml) in [
        (
            "storage:bookmarks",
            "<storage xmlns='storage:bookmarks'><conference jid='a@b'/></storage>",
        ),
        (
            "exodus:prefs",
            "<exodus xmlns='exodus:prefs'><defaultnick>Hamlet</defaultnick></exodus>",
        ),
    ] {
        let name = if namespace == "exodus:prefs" {
            "exodus"
        } else {
            "storage"
        };
        stores
            .private
            .put(&juliet, namespace, name, xml.into())
            .await
            .unwrap();
    }
    let query = xmpp::Element::parse(
        b"<query xmlns='jabber:iq:privacy'><default name='special'/><list name='special'>\
          <item type='jid' value='tybalt@example.com' action='deny' order='1'/>\
          <item type='subscription' value='both' action='allow' order='10'><message/><presence-in/></item>\
          <item action='deny' order='11'/></list></query>",
        "",
    )
    .unwrap();
    let (lists, wrong) = super::privacy::parse_privacy(&query);
    assert_eq!(wrong, 0);
    stores.privacy.store(&juliet, &lists, 0).await.unwrap();
    let (archived, deliver, sent) = (EntryFlags::ARCHIVED, EntryFlags::DELIVER, EntryFlags::SENT);
    let from_romeo = |id: u32| {
        format!(
            "<message from='romeo@montague.example/orchard' to='juliet@capulet.example' type='chat' id='{id}'><body>&lt;hi&gt; \"'é\n</body><x xmlns='urn:x' xml:lang='en'/></message>"
        )
    };
    let romeo = "romeo@montague.example/orchard";
    let entries = [
        entry(archived, NOW, romeo, &from_romeo(1)),
        entry(EntryFlags::NONE, NOW + 1, romeo, "<message/>"),
        entry(
            archived | sent,
            NOW + 2,
            "romeo@montague.example",
            "<message from='juliet@capulet.example/balcony' to='romeo@montague.example' type='chat'><body>What man art thou</body></message>",
        ),
        entry(
            deliver,
            NOW + 3,
            romeo,
            "<message from='romeo@montague.example/orchard' to='juliet@capulet.example' type='headline'><body>kept for delivery only</body></message>",
        ),
        entry(archived | deliver, NOW + 4, romeo, &from_romeo(5)),
        entry(archived | deliver, NOW + 5, romeo, &from_romeo(6)),
        entry(
            deliver,
            NOW + 9,
            romeo,
            "<message from='romeo@montague.example/orchard' to='juliet@capulet.example'><body>last</body></message>",
        ),
    ];
    stores.logs.append(&juliet, 0, 1, &entries).await.unwrap();
    let mailbox = storage::repository::Mailbox {
        acked: 3,
        ..Default::default()
    };
    stores.mailboxes.store(&juliet, &mailbox, 0).await.unwrap();
}

#[tokio::test]
async fn a_second_export_of_an_imported_export_is_equal() {
    let first = stores();
    juliet(&first).await;
    let romeo = jid("romeo@montague.example");
    first
        .accounts
        .create(&romeo, derive("x").await, NOW)
        .await
        .unwrap();
    first.accounts.set_disabled(&romeo, true, 1).await.unwrap();
    let exported = text_of(&first).await;
    let second = stores();
    let done = read(&second, &[("export.xml", &exported)]).await.unwrap();
    assert!(done.is_complete(), "{done:?}");
    assert_eq!((done.accounts, done.messages), (2, 6));
    let again = text_of(&second).await;
    assert_eq!(exported, again);
    assert!(
        exported.contains("Romeo &amp; &lt;co&gt;")
            && exported.contains("<locked xmlns='urn:starling:pie:0'/>")
    );

    let juliet = jid("juliet@capulet.example");
    let account = second.accounts.load(&juliet).await.unwrap().unwrap();
    assert!(
        ScramHash::from_name("SHA-1").is_some_and(|hash| account.credentials.scram(hash).is_some())
    );
    assert!(
        keys(&account, xmpp::sasl::Hash::Sha512)
            .unwrap()
            .verify_password("R0m30")
    );
    let log = second
        .logs
        .read(&juliet, LogRange::ALL, false, 100)
        .await
        .unwrap();
    let told: Vec<(u64, u64, bool, bool)> = log
        .iter()
        .filter(|entry| entry.flags != EntryFlags::NONE)
        .map(|entry| {
            let has = |flag| entry.flags.contains(flag);
            (
                entry.number,
                entry.time_ms - NOW,
                has(EntryFlags::ARCHIVED),
                has(EntryFlags::DELIVER),
            )
        })
        .collect();
    let expected = [
        (1, 0, true, false),
        (3, 2, true, false),
        (4, 3, false, true),
        (5, 4, true, true),
        (6, 5, true, true),
        (7, 9, false, true),
    ];
    assert_eq!(told, expected);
    assert_eq!(second.mailboxes.load(&juliet).await.unwrap().acked, 3);
    assert_eq!(
        second
            .vcards
            .get(&juliet)
            .await
            .unwrap()
            .unwrap()
            .photo_sha1
            .unwrap(),
        "a9993e364706816aba3e25717850c26c9cd0d89d"
    );
    assert!(
        second
            .accounts
            .load(&romeo)
            .await
            .unwrap()
            .unwrap()
            .disabled
    );

    // Once more into the same stores: nobody is harmed.
    let repeated = read(&second, &[("export.xml", &exported)]).await.unwrap();
    assert_eq!((repeated.accounts, repeated.existing.0), (0, 2));
    assert_eq!(text_of(&second).await, exported);
}

#[tokio::test]
async fn a_log_that_was_cut_keeps_its_numbers() {
    let first = stores();
    let juliet = jid("juliet@capulet.example");
    first
        .accounts
        .create(&juliet, derive("x").await, NOW)
        .await
        .unwrap();
    let message = "<message from='romeo@montague.example' to='juliet@capulet.example'><body>x</body></message>";
    for head in (0..9_000).step_by(100) {
        let entries: Vec<_> = (0..100)
            .map(|at| {
                entry(
                    EntryFlags::ARCHIVED,
                    NOW + head + at,
                    "romeo@montague.example",
                    message,
                )
            })
            .collect();
        first
            .logs
            .append(&juliet, head, head + 7, &entries)
            .await
            .unwrap();
    }
    first.logs.truncate(&juliet, 8_500).await.unwrap();
    let exported = text_of(&first).await;
    let second = stores();
    read(&second, &[("export.xml", &exported)]).await.unwrap();
    assert_eq!(text_of(&second).await, exported);
    assert_eq!(second.logs.head(&juliet).await.unwrap(), 9_000);
    assert!(
        second
            .logs
            .read(&juliet, LogRange::ALL, false, 1)
            .await
            .unwrap()[0]
            .number
            > 8_000
    );
}
