//! What a group may be called, and who may be in it.

use super::*;
use crate::admin::groups::GroupChange;

#[tokio::test]
async fn groups_are_lines_of_text_with_people_that_there_are() {
    let admin = administrator(None);
    let ask = async |request: Request| why(&admin.ask(&socket(), request).await);
    let create = |group: &str, name: Option<&str>| Request::GroupCreate {
        domain: "a.example".into(),
        group: group.into(),
        change: GroupChange {
            name: name.map(str::to_owned),
            ..GroupChange::default()
        },
    };
    for (group, name) in [
        ("a\nb", None),
        ("crew", Some("The\nCrew")),
        ("crew", Some("The\u{85}Crew")),
        ("crew", Some(" ")),
        (" ", None),
    ] {
        assert_eq!(
            ask(create(group, name)).await,
            Some(Why::Invalid),
            "{group} {name:?}"
        );
    }
    assert_eq!(ask(create("crew", Some("The Crew"))).await, None);
    let rename = |name: &str| Request::GroupChange {
        domain: "A.Example".into(),
        group: "crew".into(),
        change: GroupChange {
            name: Some(name.to_owned()),
            ..GroupChange::default()
        },
    };
    assert_eq!(ask(rename("The\tCrew")).await, Some(Why::Invalid));
    assert_eq!(ask(rename("Crew")).await, None);
    let put = |jid: &str, name: Option<&str>| Request::GroupAdd {
        domain: "a.example".into(),
        group: "crew".into(),
        members: vec![(jid.to_owned(), name.map(str::to_owned))],
    };
    assert_eq!(ask(put("nobody@a.example", None)).await, Some(Why::Absent));
    ask(add("bob@a.example", "secret")).await;
    assert_eq!(
        ask(put("bob@a.example", Some("B\nob"))).await,
        Some(Why::Invalid)
    );
    assert_eq!(ask(put("bob@a.example", Some("Bob"))).await, None);
    assert_eq!(ask(put("who@elsewhere.example", None)).await, None);
}
