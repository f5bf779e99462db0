//! What is said when nobody answers: never that a password is wrong, never that there is nobody.

use std::time::Duration;

use storage::{
    ErrorKind,
    repository::{AccountRepository, PasswordVerdict, SharedGroupRepository, VcardRepository},
};
use storage_external::ldap::{
    LdapAccounts, LdapGroupOptions, LdapGroups, LdapOptions, LdapVcardOptions, LdapVcards,
};

use crate::{
    accounts::accounts_of,
    directory::{DOMAIN, World, account, refused, world},
};

fn hasty(world: &World) -> LdapOptions {
    LdapOptions {
        connect_timeout: Duration::from_secs(2),
        timeout: Duration::from_secs(2),
        ..world.options()
    }
}

async fn login(accounts: &LdapAccounts) -> storage::Result<PasswordVerdict> {
    accounts
        .check_password(&account("ann"), "secret of ann")
        .await
}

/// Every answer until it is there again says that it is not.
async fn comes_back(accounts: &LdapAccounts) {
    loop {
        match login(accounts).await {
            Ok(verdict) => return assert_eq!(verdict, PasswordVerdict::Right),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
        // Its breaker lets one through after a while.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn killed_and_started_again() {
    let mut world = world();
    let accounts = accounts_of(&hasty(&world));
    assert_eq!(login(&accounts).await.unwrap(), PasswordVerdict::Right);
    // Its connections are broken, and it is there: nobody notices.
    world.slapd.restart().unwrap();
    assert_eq!(login(&accounts).await.unwrap(), PasswordVerdict::Right);

    world.slapd.kill();
    for _ in 0..5 {
        refused(login(&accounts).await, ErrorKind::Unavailable);
        refused(accounts.load(&account("ann")).await, ErrorKind::Unavailable);
        refused(
            accounts.load(&account("nobody")).await,
            ErrorKind::Unavailable,
        );
        refused(accounts.list(DOMAIN, None, 9).await, ErrorKind::Unavailable);
        let wrong = accounts.check_password(&account("ann"), "wrong").await;
        refused(wrong, ErrorKind::Unavailable);
    }
    world.slapd.restart().unwrap();
    comes_back(&accounts).await;
}

#[tokio::test]
async fn frozen_and_thawed() {
    let world = world();
    let accounts = accounts_of(&hasty(&world));
    assert_eq!(login(&accounts).await.unwrap(), PasswordVerdict::Right);
    world.slapd.freeze().unwrap();
    for _ in 0..3 {
        refused(login(&accounts).await, ErrorKind::Unavailable);
    }
    world.slapd.thaw().unwrap();
    comes_back(&accounts).await;
}

#[tokio::test]
async fn backups_answer_for_who_is_gone() {
    let (mut first, backup) = (world(), world());
    let mut options = hasty(&first);
    options.port = None;
    let at = |world: &World| format!("localhost:{}", world.slapd.port);
    options.servers = vec![at(&first)];
    options.backups = vec![at(&backup)];
    let accounts = accounts_of(&options);
    let only_there = |world: &World, uid: &str| {
        let name = crate::directory::value("dn", crate::directory::dn(uid));
        let person = "changetype: add\nobjectClass: inetOrgPerson\nsn: x\n";
        let change = format!("{name}{person}cn: {uid}\nuid: {uid}\n");
        world.slapd.change(&change).unwrap();
    };
    only_there(&first, "primary");
    only_there(&backup, "secondary");
    let is_there = async |local: &str| accounts.load(&account(local)).await.unwrap().is_some();
    assert!(is_there("primary").await && !is_there("secondary").await);
    first.slapd.kill();
    assert!(!is_there("primary").await && is_there("secondary").await);
    assert_eq!(login(&accounts).await.unwrap(), PasswordVerdict::Right);
}

#[tokio::test]
async fn connections_are_bounded_and_shared() {
    let world = world();
    let one = LdapOptions {
        connections: 1,
        ..world.options()
    };
    let accounts = std::sync::Arc::new(accounts_of(&one));
    let mut logins = tokio::task::JoinSet::new();
    for n in 0..40 {
        let accounts = accounts.clone();
        logins.spawn(async move {
            let name = format!("user{n:03}");
            let (user, password) = (account(&name), format!("secret of {name}"));
            let right = accounts.check_password(&user, &password).await;
            let wrong = accounts.check_password(&user, "secret of user299").await;
            (right.unwrap(), wrong.unwrap())
        });
    }
    while let Some(found) = logins.join_next().await {
        assert_eq!(
            found.unwrap(),
            (PasswordVerdict::Right, PasswordVerdict::Wrong)
        );
    }
    // Nobody free within the time: asked for less, and nothing said of the password.
    world.slapd.freeze().unwrap();
    let hasty = LdapOptions {
        connections: 1,
        ..hasty(&world)
    };
    let accounts = accounts_of(&hasty);
    let (a, b, c) = tokio::join!(login(&accounts), login(&accounts), login(&accounts));
    for found in [a, b, c] {
        let kind = found.map_err(|error| error.kind());
        assert!(
            matches!(kind, Err(ErrorKind::Unavailable | ErrorKind::Throttled)),
            "{kind:?}"
        );
    }
    world.slapd.thaw().unwrap();
}

#[tokio::test]
async fn vcards_and_groups_say_so_too() {
    let mut world = world();
    let ldap = world.ldap();
    let vcards = LdapVcards::new(&ldap, LdapVcardOptions::default());
    let groups = LdapGroupOptions {
        roster_filter: "(objectClass=posixGroup)".into(),
        ..LdapGroupOptions::default()
    };
    let groups = LdapGroups::new(&ldap, groups).unwrap();
    world.slapd.kill();
    refused(vcards.get(&account("ann")).await, ErrorKind::Unavailable);
    refused(
        vcards.photo(&account("nobody")).await,
        ErrorKind::Unavailable,
    );
    refused(groups.list(DOMAIN, None, 9).await, ErrorKind::Unavailable);
    refused(
        groups.shown_to(&account("ann")).await,
        ErrorKind::Unavailable,
    );
    refused(groups.load(DOMAIN, "staff").await, ErrorKind::Unavailable);
}
