//! Who is given whom.

use super::*;

fn jid(name: &str) -> BareJid {
    let text = match name.contains('@') {
        true => name.to_owned(),
        false => format!("{name}@d"),
    };
    BareJid::parse(&text).unwrap()
}

fn group(id: &str, members: &str) -> (SharedGroup, Arc<[GroupMember]>) {
    let member = |name: &str| GroupMember {
        jid: jid(name),
        name: None,
    };
    let members: Vec<_> = members.split_whitespace().map(member).collect();
    (SharedGroup::new(id), members.into())
}

fn shown_to(ids: &[&str]) -> GroupAudience {
    GroupAudience::Groups(ids.iter().map(|id| (*id).to_owned()).collect())
}

fn snapshot(mut groups: Vec<(SharedGroup, Arc<[GroupMember]>)>, accounts: &str) -> Snapshot {
    groups.sort_by(|one, other| one.0.id.cmp(&other.0.id));
    let mut snapshot = Snapshot::new("d", groups);
    if snapshot.is_about_all() {
        snapshot.set_accounts(accounts.split_whitespace().map(jid).collect());
    }
    snapshot
}

/// `bob<>` both, `bob<` sees, `bob>` is told, with the groups; in brackets who is shown only while there.
fn text(part: &Part) -> String {
    let one = |contact: &Contact| {
        let (sees, told) = (contact.sees, contact.is_told);
        let name = contact.jid.local().unwrap_or_default();
        let arrows = format!(
            "{}{}",
            if sees { "<" } else { "" },
            if told { ">" } else { "" }
        );
        let text = format!("{name}{arrows}{}", contact.groups.join("+"));
        match contact.only_online {
            true => format!("({text})"),
            false => text,
        }
    };
    part.contacts.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn check(snapshot: &Snapshot, account: &str, expected: &str) {
    let part = snapshot.part(&jid(account), &[], 100);
    assert_eq!(text(&part), expected, "{account}");
}

#[test]
fn members_see_one_another() {
    let of = snapshot(vec![group("g", "ann bob eve")], "");
    check(&of, "ann", "bob<>g eve<>g");
    check(&of, "eve", "ann<>g bob<>g");
    check(&of, "mallory", "");
}

#[test]
fn who_is_shown_a_group_sees_it_and_is_not_seen() {
    let mut staff = group("staff", "ann bob");
    staff.0.audience = shown_to(&["bosses"]);
    let mut bosses = group("bosses", "eve");
    bosses.0.audience = shown_to(&[]);
    let of = snapshot(vec![staff, bosses], "");
    check(&of, "eve", "ann<staff bob<staff");
    check(&of, "ann", "eve>");
    // Who is in both.
    let mut staff = group("staff", "ann eve");
    staff.0.audience = shown_to(&["bosses", "staff"]);
    let of = snapshot(vec![staff, group("bosses", "eve")], "");
    check(&of, "eve", "ann<>staff");
    check(&of, "ann", "eve<>staff");
}

#[test]
fn groups_may_include_each_other() {
    let (mut one, mut two) = (group("one", "ann"), group("two", "bob"));
    one.0.includes = vec!["two".into(), "nothing".into()];
    two.0.includes = vec!["one".into()];
    let of = snapshot(vec![one, two], "");
    check(&of, "ann", "bob<>one+two");
    check(&of, "bob", "ann<>one+two");
}

#[test]
fn everyone_is_every_account_and_online_only_while_there() {
    let mut all = group("all", "guest@elsewhere");
    all.0.members = GroupMembers::Everyone;
    let of = snapshot(vec![all], "ann bob eve");
    check(&of, "ann", "bob<>all eve<>all guestall");
    let mut all = group("all", "eve");
    all.0.members = GroupMembers::Online;
    let of = snapshot(vec![all], "ann bob eve");
    check(&of, "ann", "(bob<>all) eve<>all");
    // Who is shown by another group is shown always.
    let mut all = group("all", "");
    all.0.members = GroupMembers::Online;
    let of = snapshot(vec![all, group("g", "ann bob")], "ann bob eve");
    check(&of, "ann", "bob<>all+g (eve<>all)");
}

#[test]
fn a_group_for_everyone_gives_presence_to_everyone() {
    let mut desk = group("desk", "help");
    desk.0.audience = GroupAudience::Everyone;
    let of = snapshot(vec![desk], "ann bob help");
    check(&of, "ann", "help<desk");
    check(&of, "help", "ann> bob>");
}

#[test]
fn what_a_directory_decides_gives_presence_among_members() {
    let mut staff = group("staff", "ann bob");
    staff.0.audience = GroupAudience::Decided;
    let of = snapshot(vec![staff], "");
    let shown = ["staff".to_owned()];
    let part = |name| text(&of.part(&jid(name), &shown, 100));
    assert_eq!(part("ann"), "bob<>staff");
    assert_eq!(part("eve"), "annstaff bobstaff");
    check(&of, "ann", "");
}

#[test]
fn a_group_that_is_too_large_is_left_out_whole() {
    let of = snapshot(vec![group("a", "ann b c d e"), group("z", "ann x")], "");
    let part = of.part(&jid("ann"), &[], 3);
    assert_eq!((text(&part).as_str(), part.left_out), ("x<>z", 1));
}

#[test]
fn the_digest_is_of_what_is_shown() {
    let digest = |members: &str| {
        let of = snapshot(vec![group("g", members)], "");
        of.part(&jid("ann"), &[], 100).digest
    };
    assert_eq!(digest("bob"), 0);
    assert_eq!(digest("ann bob"), digest("ann bob"));
    assert_ne!(digest("ann bob"), digest("ann eve"));
    // Who only hears of her shows in no roster.
    let mut staff = group("g", "ann");
    staff.0.audience = shown_to(&["h"]);
    let mut bosses = group("h", "eve");
    bosses.0.audience = shown_to(&[]);
    let of = snapshot(vec![staff, bosses], "");
    assert_eq!(of.part(&jid("ann"), &[], 100).digest, 0);
}
