//! The section `rooms`.

use std::time::Duration;

use super::{good, mistakes};
use crate::config::RoomsPublish;

#[test]
fn what_rooms_publish_is_read() {
    let config = good(
        "domains = [\"a.example\"]\n[rooms]\nper_user = 3\npublish = \"all\"\npublish_every = \"5s\"\n\
         publish_path = \"/logs/rooms/\"\npublish_url = \"https://logs.example/rooms/\"",
    );
    let rooms = config.rooms;
    assert_eq!((rooms.per_user, rooms.publish), (3, RoomsPublish::All));
    assert_eq!(rooms.publish_every, Duration::from_secs(5));
    assert_eq!(rooms.publish_path.as_deref(), Some("/logs/rooms"));
    let url = Some("https://logs.example/rooms");
    assert_eq!(rooms.publish_url.as_deref(), url);
}

#[test]
fn wrong_values_are_told() {
    let check = |line: &str, expected: &str| {
        let toml = format!("domains = [\"a.example\"]\n[rooms]\n{line}");
        let found = mistakes(&toml, &[]);
        assert!(
            found.len() == 1 && found[0].contains(expected),
            "{line}: {found:?}"
        );
    };
    check("per_user = -1", "rooms.per_user");
    check("publish = \"some\"", "\"some\" is none of the choices");
    check("publish_every = \"10ms\"", "rooms.publish_every");
    for path in ["", "/", "rooms", "/a b", "/a//b", "/status", "/metrics/x"] {
        let line = format!("publish_path = \"{path}\"");
        check(&line, "is no path that is free");
    }
    for url in [
        "",
        "https://",
        "ftp://a",
        "javascript:x",
        "https://a b",
        "https://a?x",
    ] {
        check(&format!("publish_url = \"{url}\""), "is no URL");
    }
}
