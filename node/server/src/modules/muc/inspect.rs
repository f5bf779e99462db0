//! What administrators are told of a room.

use storage::repository::Affiliation;
use xmpp::{BareJid, payload::delay};

use super::{
    home::Facts,
    room::{Room, role::affiliation_str},
};

/// What is known of a room, by name and value.
pub(super) fn lines(room: &Room) -> Facts {
    let config = &room.record.config;
    let created = i64::try_from(room.record.created_ms).unwrap_or(i64::MAX);
    let affiliated = room.members.values();
    let affiliated = affiliated.filter(|it| it.affiliation != Affiliation::None);
    let affiliated = affiliated.count();
    let flag = |value: bool| if value { "yes" } else { "no" }.to_owned();
    let mut lines = vec![
        ("name".to_owned(), config.name.clone()),
        ("created".to_owned(), delay::stamp(created)),
        ("occupants".to_owned(), room.occupants.len().to_string()),
        (
            "sessions".to_owned(),
            room.occupants.sessions().count().to_string(),
        ),
        ("affiliated".to_owned(), affiliated.to_string()),
        ("persistent".to_owned(), flag(config.persistent)),
        ("public".to_owned(), flag(config.public)),
        ("members only".to_owned(), flag(config.members_only)),
        ("moderated".to_owned(), flag(config.moderated)),
        ("password".to_owned(), flag(config.password.is_some())),
        ("archived".to_owned(), flag(config.archived)),
    ];
    for affiliation in [Affiliation::Owner, Affiliation::Admin] {
        let accounts = room.with_affiliation(affiliation);
        let accounts: Vec<&str> = accounts.map(BareJid::as_str).collect();
        lines.push((affiliation_str(affiliation).to_owned(), accounts.join(", ")));
    }
    lines
}
