//! Who exists, and whose password is right.

use std::sync::Arc;

use storage::{
    ErrorKind, ManualClock, Stores,
    backend::memory::{MemoryBlobs, MemoryTable},
    conformance::read_only_accounts,
    repository::{
        AccountRepository, AgentTokens, FastToken, PasswordVerdict, Roster, ShadowedAccounts,
    },
};
use storage_external::{
    Secret,
    ldap::{Ldap, LdapAccounts, LdapDnFilter, LdapOptions},
};

use crate::directory::{DOMAIN, ODD, PEOPLE, World, account, dn, jid, refused, world};

/// 2026.
const NOW: u64 = 1_770_000_000;

pub(crate) fn accounts_of(options: &LdapOptions) -> LdapAccounts {
    let ldap = Ldap::new(options, DOMAIN).unwrap();
    LdapAccounts::new(&ldap, Arc::new(ManualClock::at(NOW)))
}

fn accounts(world: &World) -> LdapAccounts {
    accounts_of(&world.options())
}

#[tokio::test]
async fn the_right_password_alone_opens() {
    use PasswordVerdict::{Disabled, Right, Wrong};
    let world = world();
    let accounts = accounts(&world);
    let check = async |local: &str, password: &str, expected| {
        let found = accounts.check_password(&account(local), password).await;
        assert_eq!(found.unwrap(), expected, "{local} {password:?}");
    };
    check("user001", "secret of user001", Right).await;
    check("user001", "secret of user002", Wrong).await;
    check("user001", "Secret of user001", Wrong).await;
    check("user001", "secret of user001 ", Wrong).await;
    check("nobody", "secret of user001", Wrong).await;
    // This server would let it through, as nobody.
    check("user001", "", Wrong).await;
    check("nobody", "", Wrong).await;
    for (uid, local) in ODD {
        check(local, &format!("secret of {uid}"), Right).await;
        check(local, "secret of user001", Wrong).await;
    }
    check("locked", "secret of locked", Disabled).await;
    check("locked", "wrong", Wrong).await;
    check("expired", "secret of expired", Disabled).await;
    check("unlocked", "secret of unlocked", Right).await;
    let elsewhere = jid("user001@example.net");
    let found = accounts
        .check_password(&elsewhere, "secret of user001")
        .await;
    assert_eq!(found.unwrap(), Wrong);
}

#[tokio::test]
async fn what_is_put_into_a_filter_stays_a_name() {
    let world = world();
    let accounts = accounts(&world);
    for local in [
        "*",
        "user00*",
        "ann)(uid=*",
        "*)(uid=*))(|(uid=*",
        "ann)(objectclass=*",
        "ann))(|(cn=*",
        "\\2a",
        "ann\\29",
        "ann\\00",
        "%u",
        "%s%d%g",
    ] {
        let account = account(local);
        assert_eq!(accounts.load(&account).await.unwrap(), None, "{local}");
        let found = accounts.check_password(&account, "secret of ann").await;
        assert_eq!(found.unwrap(), PasswordVerdict::Wrong, "{local}");
    }
    // A password is no filter; whatever is in it, it is compared as a whole.
    for password in ["*", "secret of ann)(uid=*", "secret of ann\0", "\u{1f511}"] {
        let found = accounts.check_password(&account("ann"), password).await;
        assert_eq!(found.unwrap(), PasswordVerdict::Wrong, "{password:?}");
    }
}

#[tokio::test]
async fn a_name_that_a_directory_takes_for_another_is_nobodys() {
    let world = world();
    let accounts = accounts(&world);
    // `uid` is compared without case and without spaces at the ends, or more than one between.
    assert!(accounts.load(&account("a\\20b")).await.unwrap().is_some());
    for local in ["a\\20\\20b", "\\20ann", "ann\\20"] {
        assert_eq!(
            accounts.load(&account(local)).await.unwrap(),
            None,
            "{local}"
        );
    }
    let twin = account("twin");
    refused(accounts.load(&twin).await, ErrorKind::Corrupt);
    let found = accounts.check_password(&twin, "secret of twin").await;
    refused(found, ErrorKind::Corrupt);
}

#[tokio::test]
async fn uids_and_filters_say_who_counts() {
    let world = world();
    let check = async |options: LdapOptions, local: &str, expected: bool| {
        let found = accounts_of(&options).load(&account(local)).await.unwrap();
        assert_eq!(found.is_some(), expected, "{local} by {options:?}");
    };
    let by = |uids: &[(&str, &str)]| LdapOptions {
        uids: uids
            .iter()
            .map(|(a, b)| ((*a).into(), (*b).into()))
            .collect(),
        ..world.options()
    };
    let by_mail = by(&[("mail", "%u@%d")]);
    check(by_mail.clone(), "by.mail", true).await;
    check(by_mail.clone(), "mailed", false).await;
    check(by_mail, "user001", false).await;
    check(by(&[("mail", "%u@*")]), "user001", true).await;
    check(by(&[("mail", "%u@mail.example")]), "user001", true).await;
    let both = by(&[("uid", "%u"), ("mail", "%u@%d")]);
    check(both.clone(), "by.mail", true).await;
    check(both.clone(), "mailed", true).await;
    check(both, "ann", true).await;

    let filtered = |filter: &str| LdapOptions {
        filter: Some(filter.into()),
        ..world.options()
    };
    check(filtered("(employeeType=3)"), "user003", true).await;
    check(filtered("(employeeType=3)"), "user004", false).await;
    check(filtered("(mail=%u@mail.example)"), "ann", true).await;
    check(filtered("(mail=%u@mail.example)"), "locked", false).await;

    // Who is in a group, by name and by entry.
    let in_group = |filter: &str, attributes: &[&str]| LdapOptions {
        dn_filter: Some(LdapDnFilter {
            filter: filter.into(),
            attributes: attributes.iter().map(|it| (*it).into()).collect(),
        }),
        ..world.options()
    };
    let staff = in_group("(&(cn=staff)(memberUid=%s))", &["uid"]);
    check(staff.clone(), "user001", true).await;
    check(staff.clone(), "user003", false).await;
    let entries = in_group("(&(cn=entries)(member=%D))", &[]);
    check(entries.clone(), "com,ma", true).await;
    check(entries.clone(), "ann", true).await;
    check(entries, "user001", false).await;
    let names = accounts_of(&staff).list(DOMAIN, None, 9).await.unwrap();
    assert_eq!(names, ["ann", "user001", "user002"]);
}

#[tokio::test]
async fn all_are_listed_in_pages() {
    let world = world();
    let accounts = accounts(&world);
    let mut found: Vec<String> = Vec::new();
    loop {
        let after = found.last().cloned();
        let page = accounts.list(DOMAIN, after.as_deref(), 37).await.unwrap();
        let last = page.len() < 37;
        found.extend(page);
        if last {
            break;
        }
    }
    let mut expected: Vec<_> = (0..PEOPLE).map(|n| format!("user{n:03}")).collect();
    expected.extend(ODD.iter().map(|(_, local)| (*local).to_owned()));
    expected.extend(["ann", "twin", "locked", "unlocked", "expired", "mailed"].map(str::to_owned));
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(
        accounts.list("example.net", None, 9).await.unwrap(),
        [""; 0]
    );
}

#[tokio::test]
async fn nothing_can_be_changed() {
    let world = world();
    read_only_accounts(&accounts(&world), &account("ann"), &account("nobody")).await;
}

#[tokio::test]
async fn a_directory_that_tells_us_nothing_is_no_answer() {
    let world = world();
    let nobody = LdapOptions {
        root_dn: String::new(),
        password: Secret::default(),
        ..world.options()
    };
    let elsewhere = LdapOptions {
        base: "dc=elsewhere".into(),
        ..world.options()
    };
    let wrong = LdapOptions {
        password: Secret::new("wrong"),
        ..world.options()
    };
    for options in [nobody, elsewhere, wrong] {
        let accounts = accounts_of(&options);
        refused(accounts.load(&account("ann")).await, ErrorKind::Unavailable);
        let found = accounts
            .check_password(&account("ann"), "secret of ann")
            .await;
        refused(found, ErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn changes_count_at_once() {
    let world = world();
    let accounts = accounts(&world);
    let ann = account("ann");
    let check = async |password: &str| accounts.check_password(&ann, password).await.unwrap();
    assert_eq!(check("secret of ann").await, PasswordVerdict::Right);
    let name = crate::directory::value("dn", dn("Lee, Ann"));
    let change = |what: &str| world.slapd.change(&format!("{name}{what}")).unwrap();
    change("changetype: modify\nreplace: userPassword\nuserPassword: another\n");
    assert_eq!(check("secret of ann").await, PasswordVerdict::Wrong);
    assert_eq!(check("another").await, PasswordVerdict::Right);
    change("changetype: modify\nadd: userAccountControl\nuserAccountControl: 514\n");
    assert_eq!(check("another").await, PasswordVerdict::Disabled);
    assert!(accounts.load(&ann).await.unwrap().unwrap().disabled);
    change("changetype: delete\n");
    assert_eq!(check("another").await, PasswordVerdict::Wrong);
    assert_eq!(accounts.load(&ann).await.unwrap(), None);
}

/// Accounts in the directory, and what they own in a table.
#[tokio::test]
async fn shadows_keep_what_a_directory_does_not() {
    let world = world();
    let mut stores = Stores::over(Arc::new(MemoryTable::new()), Arc::new(MemoryBlobs::new()));
    let clock = Arc::new(ManualClock::at(NOW));
    let authority = Arc::new(LdapAccounts::new(&world.ldap(), clock.clone()));
    let shadows = stores.accounts.clone();
    stores.accounts = Arc::new(ShadowedAccounts::new(authority, shadows, clock));
    let (ann, nobody) = (account("ann"), account("nobody"));
    assert_eq!(stores.accounts.load(&nobody).await.unwrap(), None);
    let written = stores.rosters.store(&nobody, &Roster::default(), 0).await;
    refused(written, ErrorKind::NotAllowed);
    let found = stores.accounts.load(&ann).await.unwrap().unwrap();
    assert_eq!(found.created_ms, NOW * 1_000);
    stores
        .rosters
        .store(&ann, &Roster::default(), 0)
        .await
        .unwrap();
    let tokens = AgentTokens {
        current: FastToken {
            mechanism: "HT-SHA-256-NONE".into(),
            secret: b"secret".to_vec(),
            issued_ms: 1,
            expires_ms: u64::MAX,
            count: 0,
        },
        previous: None,
        version: 0,
    };
    stores
        .accounts
        .put_tokens(&ann, "phone", &tokens, 0)
        .await
        .unwrap();
    assert!(
        stores
            .accounts
            .tokens(&ann, "phone")
            .await
            .unwrap()
            .is_some()
    );
    let verdict = stores.accounts.check_password(&ann, "secret of ann").await;
    assert_eq!(verdict.unwrap(), PasswordVerdict::Right);
    let version = stores
        .accounts
        .set_disabled(&ann, true, found.version)
        .await;
    assert!(version.unwrap() > found.version);
    assert!(stores.accounts.load(&ann).await.unwrap().unwrap().disabled);
    refused(stores.accounts.remove(&ann).await, ErrorKind::NotAllowed);
}
