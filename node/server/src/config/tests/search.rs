//! The sections `shared_groups` and `search`.

use super::{good, mistakes};
use crate::config::Circle;

#[test]
fn groups_and_search_are_configured_and_mistakes_are_told() {
    let config = good(
        "domains = [\"a.example\", \"b.example\"]
[shared_groups]
enabled = false
refresh = \"10s\"
contacts = 7
[search]
services = [\"people.a.example\"]
at_domains = false
who = \"admins\"
fields = [\"nick\"]
contains = false
page = 10
",
    );
    let groups = &config.shared_groups;
    assert_eq!(groups.domains(&config.domains), [""; 0]);
    assert_eq!((groups.refresh.as_secs(), groups.contacts), (10, 7));
    let services = config.search_services();
    assert_eq!(
        services,
        [("people.a.example".to_owned(), "a.example".to_owned())]
    );
    let search = config.search;
    assert_eq!(
        (search.at_domains, search.contains, search.page),
        (false, false, 10)
    );
    assert_eq!(
        (search.who, search.fields),
        (Circle::Admins, vec!["nick".to_owned()])
    );

    let config = good("domains = [\"a.example\", \"vjud.a.example\"]");
    let services = config.search_services();
    assert_eq!(
        services,
        [(
            "vjud.vjud.a.example".to_owned(),
            "vjud.a.example".to_owned()
        )]
    );

    let check = |section: &str, expected: &str| {
        let found = mistakes(&format!("domains = [\"a.example\"]\n{section}\n"), &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    };
    check(
        "[search]\nfields = [\"shoe\"]",
        "there is no field \"shoe\"; known are first",
    );
    check(
        "[search]\nservices = [\"a.example\"]",
        "a.example has accounts",
    );
    check(
        "[search]\nservices = [\"x\", \"y\"]",
        "more services than domains",
    );
    check("[search]\nwho = \"me\"", "search.who");
    check("[search]\npage = 0", "search.page");
    check("[shared_groups]\ncontacts = 0", "shared_groups.contacts");
    check(
        "[shared_groups]\nrefresh = \"1ms\"",
        "shared_groups.refresh",
    );
}
