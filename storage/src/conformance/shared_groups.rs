//! Shared groups: a group and its members have one version, bounds are told, and nobody inherits a place.

use xmpp::BareJid;

use super::{done, jid, read_only::shared_group_pages, refused};
use crate::{
    error::ErrorKind,
    repository::{GroupAudience, GroupMember, GroupMembers, SharedGroup, SharedGroupRepository},
};

const DOMAIN: &str = "groups.example";

fn member(name: &str) -> GroupMember {
    GroupMember {
        jid: jid(&format!("{name}@{DOMAIN}")),
        name: None,
    }
}

async fn names(repo: &dyn SharedGroupRepository, group: &str) -> Vec<String> {
    let all = repo.members(DOMAIN, group, None, SharedGroup::MAX_MEMBERS);
    let name = |member: GroupMember| member.jid.local().unwrap_or_default().to_owned();
    done(all.await).into_iter().map(name).collect()
}

/// Runs all of it.
pub async fn shared_groups(repo: &dyn SharedGroupRepository) {
    let load = async |id| done(repo.load(DOMAIN, id).await).expect("a group");
    let ann: BareJid = member("ann").jid;
    assert!(repo.is_writable(DOMAIN));
    assert_eq!(done(repo.load(DOMAIN, "staff").await), None);
    assert_eq!(done(repo.shown_to(&ann).await), [""; 0]);
    done(repo.remove(DOMAIN, "staff").await);
    refused(
        repo.put_members(DOMAIN, "staff", &[member("ann")]).await,
        ErrorKind::Conflict,
    );
    done(
        repo.remove_members(DOMAIN, "staff", std::slice::from_ref(&ann))
            .await,
    );

    let staff = SharedGroup::new("staff");
    assert_eq!(done(repo.put(DOMAIN, &staff, 0).await), 1);
    refused(repo.put(DOMAIN, &staff, 0).await, ErrorKind::Conflict);
    done(
        repo.put_members(DOMAIN, "staff", &[member("ann"), member("bob")])
            .await,
    );
    let known = load("staff").await;
    assert!(known.version > 1, "members have the group's version");
    refused(repo.put(DOMAIN, &staff, 1).await, ErrorKind::Conflict);
    let named = SharedGroup {
        name: "The staff".into(),
        description: Some("all who work here".into()),
        ..known.clone()
    };
    let version = done(repo.put(DOMAIN, &named, known.version).await);
    assert_eq!(load("staff").await, SharedGroup { version, ..named });
    // A name of another domain, and one that another begins with.
    assert_eq!(
        done(repo.list("groups.example.org", None, 9).await),
        [""; 0]
    );
    done(repo.put(DOMAIN, &SharedGroup::new("staf"), 0).await);
    assert_eq!(names(repo, "staf").await, [""; 0]);

    // More than a batch holds, the same one twice, and a new name for one that is in already.
    let many: Vec<_> = (0..250)
        .map(|number| member(&format!("m{number:03}")))
        .collect();
    done(repo.put_members(DOMAIN, "staf", &many).await);
    done(
        repo.put_members(DOMAIN, "staf", &[member("x"), member("x")])
            .await,
    );
    let called = GroupMember {
        name: Some("Mister X".into()),
        ..member("x")
    };
    done(
        repo.put_members(DOMAIN, "staf", std::slice::from_ref(&called))
            .await,
    );
    let all = done(repo.members(DOMAIN, "staf", None, 1_000).await);
    assert_eq!((all.len(), all.last()), (251, Some(&called)));
    let page = repo.members(DOMAIN, "staf", Some(&many[247].jid), 2).await;
    assert_eq!(done(page), many[248..250]);
    shared_group_pages(repo, DOMAIN).await;

    // Who sees what: by a group that it is in, by one that includes that, or because all do.
    let bosses = SharedGroup {
        audience: GroupAudience::Groups(vec!["bosses".into(), "staff".into()]),
        ..SharedGroup::new("bosses")
    };
    let club = SharedGroup {
        includes: vec!["bosses".into(), "nobody".into()],
        ..SharedGroup::new("club")
    };
    let all = SharedGroup {
        members: GroupMembers::Everyone,
        audience: GroupAudience::Everyone,
        ..SharedGroup::new("all")
    };
    for group in [&bosses, &club, &all] {
        done(repo.put(DOMAIN, group, 0).await);
    }
    done(repo.put_members(DOMAIN, "bosses", &[member("eve")]).await);
    let shown = async |name| done(repo.shown_to(&member(name).jid).await);
    assert_eq!(shown("ann").await, ["all", "bosses", "staff"]);
    assert_eq!(shown("eve").await, ["all", "bosses", "club"]);
    assert_eq!(shown("m000").await, ["all", "staf"]);
    assert_eq!(shown("nobody").await, ["all"]);
    let ids: Vec<_> = done(repo.all(DOMAIN).await)
        .into_iter()
        .map(|it| it.id)
        .collect();
    assert_eq!(ids, ["all", "bosses", "club", "staf", "staff"]);

    bounds(repo).await;

    done(
        repo.remove_members(DOMAIN, "staff", &[member("bob").jid])
            .await,
    );
    done(
        repo.remove_members(DOMAIN, "staff", &[member("bob").jid])
            .await,
    );
    assert_eq!(names(repo, "staff").await, ["ann"]);
    done(repo.put_members(DOMAIN, "staff", &[member("eve")]).await);
    done(repo.leave(&member("eve").jid).await);
    assert_eq!(names(repo, "staff").await, ["ann"]);
    assert_eq!(names(repo, "bosses").await, [""; 0]);
    for id in ids {
        done(repo.remove(DOMAIN, &id).await);
    }
    assert_eq!(done(repo.list(DOMAIN, None, 9).await), [""; 0]);
    // Nobody is in a group that is made anew.
    done(repo.put(DOMAIN, &staff, 0).await);
    assert_eq!(names(repo, "staff").await, [""; 0]);
    done(repo.remove(DOMAIN, "staff").await);
}

async fn bounds(repo: &dyn SharedGroupRepository) {
    let long = |bytes: usize| "x".repeat(bytes);
    let ids = |count: usize| {
        (0..count)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
    };
    let new = || SharedGroup::new("large");
    for large in [
        SharedGroup::new(""),
        SharedGroup::new(long(SharedGroup::MAX_ID + 1)),
        SharedGroup {
            name: long(SharedGroup::MAX_TEXT + 1),
            ..new()
        },
        SharedGroup {
            audience: GroupAudience::Groups(ids(SharedGroup::MAX_AUDIENCE + 1)),
            ..new()
        },
        SharedGroup {
            includes: ids(SharedGroup::MAX_INCLUDED + 1),
            ..new()
        },
    ] {
        refused(repo.put(DOMAIN, &large, 0).await, ErrorKind::TooLarge);
    }
    let far = GroupMember {
        jid: jid(&format!("{}@{DOMAIN}", long(SharedGroup::MAX_ADDRESS))),
        name: None,
    };
    refused(
        repo.put_members(DOMAIN, "staff", &[far]).await,
        ErrorKind::TooLarge,
    );
    let crowd: Vec<_> = (0..=SharedGroup::MAX_MEMBERS)
        .map(|number| member(&format!("c{number}")))
        .collect();
    refused(
        repo.put_members(DOMAIN, "staff", &crowd).await,
        ErrorKind::TooLarge,
    );
}
