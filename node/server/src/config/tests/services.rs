//! Services beside the accounts, whose domains three sections name in the same way.

use xmpp::{BareJid, Jid};

use super::{good, mistakes};
use crate::config::Circle;

const DOMAINS: &str = "domains = [\"a.example\", \"b.example\"]";

#[test]
fn a_service_has_a_domain_of_its_own_once() {
    for section in ["rooms", "pubsub", "search"] {
        let check = |services: &str, expected: &str| {
            let found = mistakes(
                &format!("{DOMAINS}\n[{section}]\nservices = {services}\n"),
                &[],
            );
            assert!(
                found.len() == 1 && found[0].contains(expected),
                "{section} {services}: {found:?}"
            );
        };
        check("[\"a.example\"]", ":3:13: ");
        check("[\"a.example\"]", "services[0]: a.example has accounts");
        check("[\"x\", \"X\"]", "services[1]: x is there twice");
        check("[\"no good\"]", "services[0]: \"no good\" is no domain");
        check("[\"no good\"]", ".example.org");
    }
}

#[test]
fn without_names_services_stand_before_the_domains() {
    let config = good("domains = [\"a.example\", \"pubsub.a.example\"]");
    assert_eq!(
        config.room_services(),
        ["conference.a.example", "conference.pubsub.a.example"]
    );
    // One that has accounts is no service.
    assert_eq!(config.pubsub_services(), ["pubsub.pubsub.a.example"]);
    let named = good(&format!(
        "{DOMAINS}\n[pubsub]\nservices = [\"P.example\"]\n"
    ));
    assert_eq!(named.pubsub_services(), ["p.example"]);
    let none = good(&format!("{DOMAINS}\n[rooms]\nenabled = false\n"));
    assert_eq!(none.room_services(), [""; 0]);
}

#[test]
fn who_may_is_everybody_or_those_with_accounts_or_administrators() {
    let domains = ["a.example".to_owned()];
    let admins = [BareJid::parse("root@b.example").unwrap()];
    let check = |circle: Circle, expected: [bool; 4]| {
        let who = [
            "eve@a.example/r",
            "root@b.example/r",
            "eve@c.example/r",
            "a.example",
        ];
        let may = who.map(|who| circle.has(&Jid::parse(who).unwrap(), &domains, &admins));
        assert_eq!(may, expected, "{circle:?}");
    };
    check(Circle::Everybody, [true, true, true, true]);
    check(Circle::Accounts, [true, false, false, false]);
    check(Circle::Admins, [false, true, false, false]);
}
