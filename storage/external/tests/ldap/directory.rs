//! The directory: a few hundred people, some with odd names, and their groups.

use std::{fmt::Write as _, time::Duration};

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use services::{Certificate, Slapd};
use storage::{ErrorKind, Result};
use storage_external::{
    Secret,
    ldap::{Ldap, LdapOptions},
};
use xmpp::BareJid;

/// The domain whose people they are.
pub(crate) const DOMAIN: &str = "example.org";
/// People without anything odd: `user000` and so on.
pub(crate) const PEOPLE: usize = 300;

/// Names that filters, DNs or addresses could stumble over, with the localpart of each.
pub(crate) const ODD: [(&str, &str); 12] = [
    ("o'brien", "o\\27brien"),
    ("a b", "a\\20b"),
    ("ann@home", "ann\\40home"),
    ("c:\\tools", "c\\3a\\tools"),
    ("émile", "émile"),
    ("star*", "star*"),
    ("paren(s)", "paren(s)"),
    ("com,ma", "com,ma"),
    ("plus+equals=", "plus+equals="),
    ("back\\slash", "back\\slash"),
    ("Capital", "capital"),
    ("#hash", "#hash"),
];

/// A JPEG as far as anybody looks.
pub(crate) fn photo() -> Vec<u8> {
    let mut photo = vec![0xff, 0xd8, 0xff, 0xe0];
    photo.extend((0..20_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8));
    photo
}

/// A server, and who signed its certificate.
pub(crate) struct World {
    pub(crate) slapd: Slapd,
    pub(crate) authority: String,
}

pub(crate) fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap_or_else(|_| panic!("{text}"))
}

/// An account of the domain.
pub(crate) fn account(local: &str) -> BareJid {
    BareJid::from_parts(Some(local), DOMAIN).unwrap()
}

#[track_caller]
pub(crate) fn refused<T>(result: Result<T>, kind: ErrorKind) {
    match result {
        Ok(_) => panic!("{kind:?} expected, an answer found"),
        Err(error) => assert_eq!(error.kind(), kind, "{error}"),
    }
}

/// A value in LDIF, whatever is in it (RFC 2849).
pub(crate) fn value(name: &str, value: impl AsRef<[u8]>) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!("{name}:: {}\n", STANDARD.encode(value))
}

/// The name of somebody's entry: by the common name, which is not the user's.
pub(crate) fn dn(cn: &str) -> String {
    format!("cn={},ou=people,{}", ldap3::dn_escape(cn), Slapd::BASE)
}

fn person(uid: &str, cn: &str, more: &str) -> String {
    let mut entry = value("dn", dn(cn));
    entry.push_str("objectClass: inetOrgPerson\nobjectClass: extensibleObject\n");
    entry.push_str(&value("cn", cn));
    entry.push_str(&value("uid", uid));
    entry.push_str(&value("userPassword", format!("secret of {uid}")));
    if !more.contains("sn:") {
        entry.push_str("sn: Doe\n");
    }
    entry + more + "\n"
}

fn entries() -> String {
    let base = Slapd::BASE;
    let mut all = String::new();
    for unit in ["people", "groups", "elsewhere"] {
        let unit = format!("dn: ou={unit},{base}\nobjectClass: organizationalUnit\nou: {unit}\n\n");
        all.push_str(&unit);
    }
    for n in 0..PEOPLE {
        let more = format!("mail: user{n:03}@mail.example\nemployeeType: {}\n", n % 10);
        all.push_str(&person(
            &format!("user{n:03}"),
            &format!("User Nr {n}"),
            &more,
        ));
    }
    for (uid, _) in ODD {
        all.push_str(&person(uid, &format!("Odd <{uid}>"), ""));
    }
    let ann = format!(
        "displayName: Ann Marie Lee\ngivenName: Ann\nsn: Lee\no: Example, Inc.\nou: Research\nl: Paris\nc: FR\n\
         telephoneNumber: +33 1\nmail: ann@mail.example\nlabeledURI: https://example.org/<ann>&co\n{}",
        value("jpegPhoto", photo())
    );
    all.push_str(&person("ann", "Lee, Ann", &ann));
    all.push_str(&person("twin", "First twin", ""));
    all.push_str(&person("Twin", "Second twin", ""));
    all.push_str(&person("locked", "Locked", "userAccountControl: 514\n"));
    all.push_str(&person(
        "unlocked",
        "Unlocked",
        "userAccountControl: 512\naccountExpires: 9223372036854775807\n",
    ));
    all.push_str(&person(
        "expired",
        "Expired",
        "accountExpires: 131277024000000000\n",
    ));
    all.push_str(&person("mailed", "Mailed", "mail: by.mail@example.org\n"));
    all + &groups()
}

fn groups() -> String {
    let base = Slapd::BASE;
    let mut all = String::new();
    let posix = |cn: &str, gid: usize, members: &[String]| {
        let mut group = value(
            "dn",
            format!("cn={},ou=groups,{base}", ldap3::dn_escape(cn)),
        );
        let _ = write!(group, "objectClass: posixGroup\ngidNumber: {gid}\n");
        group.push_str(&value("cn", cn));
        group.push_str(&value("description", format!("All of {cn}")));
        members
            .iter()
            .for_each(|it| group.push_str(&value("memberUid", it)));
        group + "\n"
    };
    let everybody: Vec<_> = (0..PEOPLE).map(|n| format!("user{n:03}")).collect();
    let odd: Vec<_> = ODD.iter().map(|(uid, _)| (*uid).to_owned()).collect();
    let staff: Vec<_> = ["ann", "user001", "user002", "gone"]
        .map(str::to_owned)
        .into();
    all.push_str(&posix("everybody", 1, &everybody));
    all.push_str(&posix("odd (all)", 2, &odd));
    all.push_str(&posix("staff", 3, &staff));
    let _ = write!(
        all,
        "dn: cn=entries,ou=elsewhere,{base}\nobjectClass: groupOfNames\ncn: entries\n"
    );
    for cn in ["Lee, Ann", "User Nr 7", "Odd <com,ma>", "Nobody"] {
        all.push_str(&value("member", dn(cn)));
    }
    all
}

/// Starts a server.
pub(crate) fn world() -> World {
    let issuer_key = KeyPair::generate().unwrap();
    let mut issuer = CertificateParams::new(vec![]).unwrap();
    issuer.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(issuer, issuer_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let server = server.signed_by(&key, &issuer).unwrap();
    let tls = Certificate {
        certificate: &server.pem(),
        key: &key.serialize_pem(),
    };
    World {
        slapd: Slapd::start(&entries(), &tls, 300).unwrap(),
        authority: issuer.pem(),
    }
}

impl World {
    /// How to reach it, as who may read.
    pub(crate) fn options(&self) -> LdapOptions {
        LdapOptions {
            servers: vec!["localhost".into()],
            port: Some(self.slapd.port),
            root_dn: Slapd::READER.into(),
            password: Secret::new(Slapd::PASSWORD),
            base: Slapd::BASE.into(),
            connect_timeout: Duration::from_secs(20),
            timeout: Duration::from_secs(20),
            ..LdapOptions::default()
        }
    }

    /// The directory, by these options.
    pub(crate) fn ldap(&self) -> Ldap {
        Ldap::new(&self.options(), DOMAIN).unwrap()
    }
}
