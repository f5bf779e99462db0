//! Who is in a group, and who sees it.

use std::time::Duration;

use storage::{
    conformance::read_only_shared_groups,
    repository::{GroupAudience, SharedGroup, SharedGroupRepository},
};
use storage_external::ldap::{LdapGroupOptions, LdapGroups, LdapMembers};

use crate::directory::{DOMAIN, ODD, PEOPLE, World, account, world};

fn options() -> LdapGroupOptions {
    LdapGroupOptions {
        roster_filter: "(objectClass=posixGroup)".into(),
        cache: Duration::ZERO,
        ..LdapGroupOptions::default()
    }
}

fn groups(world: &World, options: LdapGroupOptions) -> LdapGroups {
    assert_eq!(options.mistakes(), []);
    LdapGroups::new(&world.ldap(), options).unwrap()
}

async fn members(groups: &LdapGroups, group: &str) -> Vec<(String, String)> {
    let found = groups
        .members(DOMAIN, group, None, SharedGroup::MAX_MEMBERS)
        .await
        .unwrap();
    let told = found.into_iter().map(|it| {
        (
            it.jid.local().unwrap().to_owned(),
            it.name.unwrap_or_default(),
        )
    });
    told.collect()
}

fn told(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

#[tokio::test]
async fn groups_are_told_as_they_are() {
    let world = world();
    let groups = groups(&world, options());
    read_only_shared_groups(&groups, DOMAIN, "staff").await;
    let all = ["everybody", "odd (all)", "staff"];
    assert_eq!(groups.list(DOMAIN, None, 9).await.unwrap(), all);
    assert_eq!(groups.shown_to(&account("user200")).await.unwrap(), all);
    let staff = groups.load(DOMAIN, "staff").await.unwrap().unwrap();
    assert_eq!(
        (staff.name.as_str(), staff.description.as_deref()),
        ("staff", Some("All of staff"))
    );
    assert_eq!(staff.audience, GroupAudience::Everyone);
    assert_eq!(
        members(&groups, "staff").await,
        told(&[
            ("ann", "Lee, Ann"),
            ("user001", "User Nr 1"),
            ("user002", "User Nr 2")
        ]),
        "and not who has no account"
    );
    assert_eq!(members(&groups, "everybody").await.len(), PEOPLE);
    let mut odd: Vec<_> = ODD.iter().map(|(_, local)| *local).collect();
    let found = members(&groups, "odd (all)").await;
    let mut found: Vec<_> = found.iter().map(|(local, _)| local.as_str()).collect();
    odd.sort();
    found.sort();
    assert_eq!(found, odd);
    for none in ["nobody", "*", "staff)(cn=*", "Staff", ""] {
        assert_eq!(groups.load(DOMAIN, none).await.unwrap(), None, "{none}");
        assert_eq!(members(&groups, none).await, []);
    }
}

#[tokio::test]
async fn a_filter_with_the_user_decides_who_sees() {
    let world = world();
    let own = groups(
        &world,
        LdapGroupOptions {
            roster_filter: "(&(objectClass=posixGroup)(memberUid=%u))".into(),
            group_name: Some("description".into()),
            ..options()
        },
    );
    let check = async |local: &str, expected: &[&str]| {
        assert_eq!(
            own.shown_to(&account(local)).await.unwrap(),
            expected,
            "{local}"
        );
    };
    check("user001", &["everybody", "staff"]).await;
    check("ann", &["staff"]).await;
    check("o\\27brien", &["odd (all)"]).await;
    check("nobody", &[]).await;
    check("*", &[]).await;
    let staff = own.load(DOMAIN, "staff").await.unwrap().unwrap();
    assert_eq!(
        (staff.name.as_str(), staff.audience),
        ("All of staff", GroupAudience::Decided)
    );
}

#[tokio::test]
async fn members_may_be_entries() {
    let world = world();
    let in_names = |members| LdapGroupOptions {
        roster_filter: "(objectClass=groupOfNames)".into(),
        member: "member".into(),
        members,
        user_id: "cn".into(),
        ..options()
    };
    let by_entry = groups(&world, in_names(LdapMembers::Entries("entryDN".into())));
    assert_eq!(by_entry.list(DOMAIN, None, 9).await.unwrap(), ["entries"]);
    let expected = [
        ("ann", "Lee, Ann"),
        ("com,ma", "Odd <com,ma>"),
        ("user007", "User Nr 7"),
    ];
    assert_eq!(members(&by_entry, "entries").await, told(&expected));
    // The names in the entries' names are those of the people; here they have no accounts by them.
    let by_name = in_names(LdapMembers::Names("cn=%u,ou=people,*".into()));
    assert_eq!(
        members(&groups(&world, by_name.clone()), "entries").await,
        []
    );
    let unchecked = groups(
        &world,
        LdapGroupOptions {
            auth_check: false,
            ..by_name
        },
    );
    let found: Vec<_> = members(&unchecked, "entries")
        .await
        .into_iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(
        found,
        [
            "lee,\\20ann",
            "nobody",
            "odd\\20\\3ccom,ma\\3e",
            "user\\20nr\\207"
        ]
    );
}

#[tokio::test]
async fn what_was_found_is_kept_for_a_while() {
    let mut world = world();
    let cached = LdapGroupOptions {
        cache: Duration::from_secs(3_600),
        ..options()
    };
    let kept = groups(&world, cached);
    let before = members(&kept, "staff").await;
    let shown = kept.shown_to(&account("ann")).await.unwrap();
    world.slapd.kill();
    assert_eq!(members(&kept, "staff").await, before);
    assert_eq!(kept.shown_to(&account("ann")).await.unwrap(), shown);
    // What was not is no empty group.
    let failed = kept.members(DOMAIN, "everybody", None, 9).await;
    crate::directory::refused(failed, storage::ErrorKind::Unavailable);
}
