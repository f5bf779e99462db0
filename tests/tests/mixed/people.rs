//! People: what the directory holds.

use std::fmt::Write as _;

use services::Slapd;

/// People without anything special: `user000` and so on.
const PEOPLE: usize = 300;

/// The password of somebody.
pub(crate) fn password(user: &str) -> String {
    format!("secret of {user}")
}

fn person(ldif: &mut String, user: &str, more: &str) {
    let (base, password) = (Slapd::BASE, password(user));
    // Infallible: writing to a String.
    let _ = write!(
        ldif,
        "dn: uid={user},ou=people,{base}\nobjectClass: inetOrgPerson\nuid: {user}\ncn: {user}\n\
         userPassword: {password}\n{more}\n"
    );
}

/// All entries: a few hundred people, Ann, of whom more is known, and a group.
pub(crate) fn entries() -> String {
    let base = Slapd::BASE;
    let mut ldif = format!("dn: ou=people,{base}\nobjectClass: organizationalUnit\nou: people\n\n");
    for n in 0..PEOPLE {
        person(&mut ldif, &format!("user{n:03}"), "sn: Doe\n");
    }
    let ann =
        "displayName: Ann Marie Lee\ngivenName: Ann\nsn: Lee\no: Example\nmail: ann@mail.example\n";
    person(&mut ldif, "ann", ann);
    let _ = write!(
        ldif,
        "dn: cn=team,ou=people,{base}\nobjectClass: posixGroup\ngidNumber: 1\ncn: team\n\
         description: The team\nmemberUid: user002\nmemberUid: user003\n\n"
    );
    ldif
}
