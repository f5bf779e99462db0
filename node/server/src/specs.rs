//! Specs: the table of what is implemented, which prints itself.
//!
//! Why here: modules name what they implement when they register; what has no module (streams, routing, the homes) is
//! named in [`CORE`]. `docs/xeps.md` is this table, and a test compares them.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::module::{Registry, Spec, Status};

/// The RFCs.
const RFCS: [(&str, &str, Status); 7] = [
    ("5802", "SCRAM", Status::Complete),
    (
        "6120",
        "XMPP: Core",
        Status::Partial("client streams; no federation yet"),
    ),
    (
        "6121",
        "XMPP: Instant Messaging and Presence",
        Status::Complete,
    ),
    ("7590", "Use of TLS in XMPP", Status::Complete),
    ("7622", "XMPP: Address Format", Status::Complete),
    ("7677", "SCRAM-SHA-256", Status::Complete),
    ("9266", "Channel Bindings for TLS 1.3", Status::Complete),
];

/// XEPs that are no module.
const CORE: [Spec; 20] = [
    core(4, "2.13.2", Status::Partial("no media elements")),
    core(59, "1.0", Status::Complete),
    core(68, "1.3.0", Status::Complete),
    core(82, "1.1.1", Status::Complete),
    core(175, "1.2", Status::Complete),
    core(178, "1.2", Status::Partial("certificates of clients")),
    core(198, "1.6.3", Status::Complete),
    core(203, "2.0", Status::Complete),
    core(297, "1.0", Status::Complete),
    core(334, "1.0.0", Status::Complete),
    core(352, "1.0.0", Status::Complete),
    core(359, "0.7.0", Status::Complete),
    core(368, "1.1.0", Status::Partial("for clients")),
    core(386, "1.1.0", Status::Complete),
    core(388, "1.0.4", Status::Complete),
    core(440, "1.0.0", Status::Complete),
    core(474, "0.5.0", Status::Complete),
    core(478, "0.2.0", Status::Complete),
    core(480, "0.2.0", Status::Complete),
    core(484, "0.2.0", Status::Complete),
];

const fn core(xep: u16, version: &'static str, status: Status) -> Spec {
    Spec {
        xep,
        version,
        status,
    }
}

/// What the XEPs are called.
const TITLES: &[(u16, &str)] = &[
    (4, "Data Forms"),
    (12, "Last Activity"),
    (16, "Privacy Lists"),
    (30, "Service Discovery"),
    (45, "Multi-User Chat"),
    (49, "Private XML Storage"),
    (50, "Ad-Hoc Commands"),
    (54, "vcard-temp"),
    (55, "Jabber Search"),
    (59, "Result Set Management"),
    (68, "Field Standardization for Data Forms"),
    (60, "Publish-Subscribe"),
    (77, "In-Band Registration"),
    (82, "XMPP Date and Time Profiles"),
    (84, "User Avatar"),
    (92, "Software Version"),
    (115, "Entity Capabilities"),
    (128, "Service Discovery Extensions"),
    (133, "Service Administration"),
    (153, "vCard-Based Avatars"),
    (157, "Contact Addresses for XMPP Services"),
    (160, "Best Practices for Handling Offline Messages"),
    (163, "Personal Eventing Protocol"),
    (172, "User Nickname"),
    (175, "Best Practices for Use of SASL ANONYMOUS"),
    (
        178,
        "Best Practices for Use of SASL EXTERNAL with Certificates",
    ),
    (191, "Blocking Command"),
    (198, "Stream Management"),
    (199, "XMPP Ping"),
    (202, "Entity Time"),
    (203, "Delayed Delivery"),
    (222, "Persistent Storage of Public Data via PubSub"),
    (223, "Persistent Storage of Private Data via PubSub"),
    (249, "Direct MUC Invitations"),
    (280, "Message Carbons"),
    (292, "vCard4 Over XMPP"),
    (297, "Stanza Forwarding"),
    (313, "Message Archive Management"),
    (317, "Hats"),
    (334, "Message Processing Hints"),
    (352, "Client State Indication"),
    (359, "Unique and Stable Stanza IDs"),
    (368, "SRV records for XMPP over TLS"),
    (384, "OMEMO Encryption"),
    (386, "Bind 2"),
    (388, "Extensible SASL Profile"),
    (398, "User Avatar to vCard-Based Avatars Conversion"),
    (402, "PEP Native Bookmarks"),
    (410, "MUC Self-Ping (Schrödinger's Chat)"),
    (421, "Occupant identifiers for semi-anonymous MUCs"),
    (424, "Message Retraction"),
    (425, "Moderated Message Retraction"),
    (433, "Extended Channel Search"),
    (440, "SASL Channel-Binding Type Capability"),
    (441, "Message Archive Management Preferences"),
    (474, "SASL SCRAM Downgrade Protection"),
    (478, "Stream Limits Advertisement"),
    (480, "SASL Upgrade Tasks"),
    (484, "Fast Authentication Streamlining Tokens"),
    (486, "MUC Avatars"),
    (490, "Message Displayed Synchronization"),
];

/// What a XEP is called.
fn title(xep: u16) -> Option<&'static str> {
    TITLES
        .iter()
        .find(|(known, _)| *known == xep)
        .map(|(_, title)| *title)
}

/// The table as Markdown: what the modules named, and what has no module.
pub fn specs(registry: &Registry) -> String {
    let mut text = String::from(
        "# What is implemented\n\nThe server prints this table from what its modules register; a test keeps it up to date.\n\n",
    );
    let mut line = |cells: [&str; 4]| {
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    line(["Specification", "Title", "Version", "How much"]);
    line(["---", "---", "---", "---"]);
    for (number, title, status) in RFCS {
        line([&format!("RFC {number}"), title, "", how_much(status)]);
    }
    let named = CORE.iter().chain(registry.specs());
    let xeps: BTreeMap<u16, &Spec> = named.map(|spec| (spec.xep, spec)).collect();
    for (xep, spec) in xeps {
        let number = format!("[XEP-{xep:04}](https://xmpp.org/extensions/xep-{xep:04}.html)");
        line([
            &number,
            title(xep).unwrap_or(""),
            spec.version,
            how_much(spec.status),
        ]);
    }
    text
}

fn how_much(status: Status) -> &'static str {
    match status {
        Status::Complete => "complete",
        Status::Partial(what) => what,
    }
}
