//! Which mechanisms and features a stream is offered, by configuration and by connection.

use storage::repository::{ScramHash, ScramHashes};
use xmpp::codec::Limits;

use super::*;
use crate::config::Config;

fn auth(mechanisms: &[&str], plain_without_tls: bool) -> Auth {
    let mut auth = Config::development("unused".into()).auth;
    auth.mechanisms = mechanisms
        .iter()
        .map(|name| Mechanism::parse(name).unwrap())
        .collect();
    auth.plain_without_tls = plain_without_tls;
    auth
}

fn names<'a>(mechanisms: impl IntoIterator<Item = &'a Mechanism>) -> String {
    mechanisms
        .into_iter()
        .map(|it| it.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

const ALL: AccountCapabilities = AccountCapabilities::ALL;
const BOTH: (bool, bool) = (true, true);
const NONE: (bool, bool) = (false, false);

fn bindings((exporter, server_end_point): (bool, bool)) -> ChannelBindings {
    ChannelBindings {
        exporter: exporter.then(|| vec![1; 32]),
        server_end_point: server_end_point.then(|| vec![2; 32]),
    }
}

#[test]
fn mechanisms_follow_configuration_and_connection() {
    let configured = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "ANONYMOUS"];
    let check = |mechanisms: &[&str], data, external, expected: &str, bound| {
        let offer = Offer::encrypted(
            &auth(mechanisms, false),
            ALL,
            &bindings(data),
            external,
            false,
        );
        assert_eq!(names(&offer.mechanisms), expected);
        assert_eq!(!offer.bindings.is_empty(), bound, "{expected}");
    };
    check(
        &configured,
        BOTH,
        false,
        "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN ANONYMOUS",
        true,
    );
    check(
        &configured,
        (false, true),
        false,
        "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN ANONYMOUS",
        true,
    );
    check(
        &configured,
        NONE,
        false,
        "SCRAM-SHA-256 PLAIN ANONYMOUS",
        false,
    );
    check(
        &configured,
        NONE,
        true,
        "EXTERNAL SCRAM-SHA-256 PLAIN ANONYMOUS",
        false,
    );
    // XEP-0440 §4: types without a mechanism look like an attack.
    check(&["SCRAM-SHA-256"], BOTH, false, "SCRAM-SHA-256", false);
    check(&["EXTERNAL", "PLAIN"], BOTH, false, "PLAIN", false);
    check(&[], BOTH, false, "", false);
}

#[test]
fn nothing_weak_is_offered_without_tls() {
    let configured = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "ANONYMOUS"];
    let check = |starttls, plain_without_tls, expected: &str, register| {
        let offer = Offer::plain(&auth(&configured, plain_without_tls), ALL, starttls, true);
        assert_eq!(
            (names(&offer.mechanisms).as_str(), offer.register),
            (expected, register),
            "{starttls:?}"
        );
        assert!(offer.fast.is_empty() && offer.upgrades.is_empty() && offer.bindings.is_empty());
    };
    check(Some(true), true, "", false);
    check(Some(false), false, "SCRAM-SHA-256 ANONYMOUS", false);
    check(Some(false), true, "SCRAM-SHA-256 PLAIN ANONYMOUS", true);
    check(None, false, "SCRAM-SHA-256 ANONYMOUS", false);
}

#[test]
fn only_what_accounts_can_do_is_offered() {
    let configured = ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"];
    let check = |hashes: &[ScramHash], writable, expected: &str, plain: &str| {
        let accounts = AccountCapabilities {
            writable,
            scram: hashes.iter().copied().collect::<ScramHashes>(),
        };
        let auth = auth(&configured, false);
        let offer = Offer::encrypted(&auth, accounts, &bindings(BOTH), false, true);
        assert_eq!(
            (names(&offer.mechanisms).as_str(), offer.register),
            (expected, writable)
        );
        assert_eq!(offer.upgrades.is_empty(), !expected.contains("SHA-256"));
        let offer = Offer::plain(&auth, accounts, None, true);
        assert_eq!(names(&offer.mechanisms), plain);
    };
    check(&[], false, "PLAIN", "");
    check(&[], true, "PLAIN", "");
    check(
        &[ScramHash::Sha256],
        true,
        "SCRAM-SHA-256 PLAIN",
        "SCRAM-SHA-256",
    );
    check(
        &[ScramHash::Sha1],
        false,
        "SCRAM-SHA-1-PLUS SCRAM-SHA-1 PLAIN",
        "SCRAM-SHA-1",
    );
    check(
        &[ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512],
        true,
        "SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN",
        "SCRAM-SHA-256 SCRAM-SHA-1",
    );
}

#[test]
fn tokens_need_what_they_are_bound_to() {
    let check = |data, expected: &str| {
        assert_eq!(
            names(
                &Offer::encrypted(&auth(&["PLAIN"], false), ALL, &bindings(data), false, false)
                    .fast
            ),
            expected
        );
    };
    check(NONE, "HT-SHA-512-NONE HT-SHA-256-NONE");
    check(
        (false, true),
        "HT-SHA-512-ENDP HT-SHA-256-ENDP HT-SHA-512-NONE HT-SHA-256-NONE",
    );
    check(
        (true, false),
        "HT-SHA-512-EXPR HT-SHA-256-EXPR HT-SHA-512-NONE HT-SHA-256-NONE",
    );
}

#[test]
fn upgrades_lead_to_what_is_offered() {
    let check = |mechanisms: &[&str], expected: &[&str]| {
        let offer = Offer::encrypted(&auth(mechanisms, false), ALL, &bindings(NONE), false, false);
        assert_eq!(
            offer
                .upgrades
                .iter()
                .map(|task| task.as_str())
                .collect::<Vec<_>>(),
            expected,
            "{mechanisms:?}"
        );
    };
    check(&["SCRAM-SHA-1"], &[]);
    check(&["SCRAM-SHA-1", "SCRAM-SHA-256"], &["UPGR-SCRAM-SHA-256"]);
    check(
        &["SCRAM-SHA-512", "SCRAM-SHA-256"],
        &["UPGR-SCRAM-SHA-512", "UPGR-SCRAM-SHA-256"],
    );
}

fn client_limits() -> ClientLimits {
    let mut limits = Config::development("unused".into()).limits;
    limits.before_auth = Limits {
        stanza_bytes: 1000,
        ..limits.before_auth
    };
    limits.after_auth = Limits {
        stanza_bytes: 2000,
        ..limits.after_auth
    };
    limits.idle_ping = std::time::Duration::from_secs(300);
    limits
}

#[track_caller]
fn check(features: &Element, expected: &str) {
    let written = String::from_utf8(features.to_bytes(ns::CLIENT)).unwrap();
    let inside = written.split_once('>').unwrap().1;
    assert_eq!(
        inside,
        format!("{}</stream:features>", expected.replace('\n', ""))
    );
}

#[test]
fn features_are_written_as_the_standards_show_them() {
    let configured = client_limits();
    let written = |offer: Offer| offer.element(limits(&configured, false));
    let before = "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>1000</max-bytes></limits>";
    let starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>";
    check(
        &written(Offer::plain(&auth(&["PLAIN"], true), ALL, Some(true), true)),
        &format!("{starttls}<required/></starttls>"),
    );
    check(
        &written(Offer::plain(
            &auth(&["PLAIN"], true),
            ALL,
            Some(false),
            true,
        )),
        &format!(
            "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
             <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>\
             <register xmlns='http://jabber.org/features/iq-register'/>{before}"
        ),
    );
    check(
        &written(Offer::plain(&auth(&[], true), ALL, None, false)),
        before,
    );
    let offer = Offer::encrypted(
        &auth(&["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"], false),
        ALL,
        &bindings((true, false)),
        false,
        true,
    );
    let mechanisms =
        "<mechanism>SCRAM-SHA-256-PLUS</mechanism><mechanism>SCRAM-SHA-256</mechanism>";
    check(
        &written(offer),
        &format!(
            "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{mechanisms}</mechanisms>\
             <authentication xmlns='urn:xmpp:sasl:2'>{mechanisms}<inline>\
             <bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:carbons:2'/><feature var='urn:xmpp:csi:0'/>\
             <feature var='urn:xmpp:sm:3'/></inline></bind><sm xmlns='urn:xmpp:sm:3'/>\
             <fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-512-EXPR</mechanism><mechanism>HT-SHA-256-EXPR</mechanism>\
             <mechanism>HT-SHA-512-NONE</mechanism><mechanism>HT-SHA-256-NONE</mechanism></fast></inline>\
             <upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade></authentication>\
             <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding>\
             <register xmlns='http://jabber.org/features/iq-register'/>{before}"
        ),
    );
}

#[test]
fn binding_is_offered_until_it_is_done() {
    let after = limits(&client_limits(), true);
    let rest = "<sm xmlns='urn:xmpp:sm:3'/><csi xmlns='urn:xmpp:csi:0'/><ver xmlns='urn:xmpp:features:rosterver'/>\
                <sub xmlns='urn:xmpp:features:pre-approval'/><limits xmlns='urn:xmpp:stream-limits:0'>\
                <max-bytes>2000</max-bytes><idle-seconds>300</idle-seconds></limits>";
    let bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
                <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>";
    check(
        &authenticated(false, after.clone()),
        &format!("{bind}{rest}"),
    );
    check(&authenticated(true, after), rest);
}
