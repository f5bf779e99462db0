//! Every XML namespace, once.

/// Streams (RFC 6120 §4.8.1).
pub const STREAM: &str = "http://etherx.jabber.org/streams";
/// Content of client streams.
pub const CLIENT: &str = "jabber:client";
/// Content of server streams.
pub const SERVER: &str = "jabber:server";
/// Stream error conditions (RFC 6120 §4.9).
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// Stanza error conditions (RFC 6120 §8.3).
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// STARTTLS (RFC 6120 §5).
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// SASL (RFC 6120 §6).
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// Resource binding (RFC 6120 §7).
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// The session request that RFC 3921 had.
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// `xml:lang` and its like.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Roster (RFC 6121 §2).
pub const ROSTER: &str = "jabber:iq:roster";
/// Roster versioning (RFC 6121 §2.6).
pub const ROSTER_VERSIONING: &str = "urn:xmpp:features:rosterver";
/// Subscription pre-approval (RFC 6121 §3.4).
pub const PRE_APPROVAL: &str = "urn:xmpp:features:pre-approval";
/// Data forms (XEP-0004).
pub const DATA_FORMS: &str = "jabber:x:data";
/// Last activity (XEP-0012).
pub const LAST: &str = "jabber:iq:last";
/// Privacy lists (XEP-0016).
pub const PRIVACY: &str = "jabber:iq:privacy";
/// Service discovery: information (XEP-0030).
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// Service discovery: items (XEP-0030).
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// Private XML storage (XEP-0049).
pub const PRIVATE: &str = "jabber:iq:private";
/// Ad-hoc commands (XEP-0050).
pub const COMMANDS: &str = "http://jabber.org/protocol/commands";
/// Hats (XEP-0317).
pub const HATS: &str = "urn:xmpp:hats:0";
/// Subscriptions to rooms (MUC/Sub).
pub const MUCSUB: &str = "urn:xmpp:mucsub:0";
/// vcard-temp (XEP-0054).
pub const VCARD: &str = "vcard-temp";
/// Search (XEP-0055).
pub const SEARCH: &str = "jabber:iq:search";
/// Result sets (XEP-0059).
pub const RSM: &str = "http://jabber.org/protocol/rsm";
/// In-band registration (XEP-0077).
pub const REGISTER: &str = "jabber:iq:register";
/// In-band registration as a stream feature (XEP-0077).
pub const REGISTER_FEATURE: &str = "http://jabber.org/features/iq-register";
/// Chat states (XEP-0085).
pub const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
/// Software version (XEP-0092).
pub const VERSION: &str = "jabber:iq:version";
/// Entity capabilities (XEP-0115).
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// Service administration (XEP-0133).
pub const ADMIN: &str = "http://jabber.org/protocol/admin";
/// vCard-based avatars (XEP-0153).
pub const VCARD_UPDATE: &str = "vcard-temp:x:update";
/// Validation of data forms (XEP-0122).
pub const DATA_VALIDATE: &str = "http://jabber.org/protocol/xdata-validate";
/// Message receipts (XEP-0184).
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// Blocking (XEP-0191).
pub const BLOCKING: &str = "urn:xmpp:blocking";
/// The condition of a message refused because its sender blocks the recipient (XEP-0191).
pub const BLOCKING_ERRORS: &str = "urn:xmpp:blocking:errors";
/// Stream management (XEP-0198).
pub const SM: &str = "urn:xmpp:sm:3";
/// User nickname (XEP-0172).
pub const NICK: &str = "http://jabber.org/protocol/nick";
/// Ping (XEP-0199).
pub const PING: &str = "urn:xmpp:ping";
/// Entity time (XEP-0202).
pub const TIME: &str = "urn:xmpp:time";
/// Delayed delivery (XEP-0203).
pub const DELAY: &str = "urn:xmpp:delay";
/// Carbons (XEP-0280).
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// Carbons delivery rules as a feature (XEP-0280 §9).
pub const CARBONS_RULES: &str = "urn:xmpp:carbons:rules:0";
/// Forwarding (XEP-0297).
pub const FORWARD: &str = "urn:xmpp:forward:0";
/// Message archive (XEP-0313).
pub const MAM: &str = "urn:xmpp:mam:2";
/// Extended archive queries (XEP-0313).
pub const MAM_EXTENDED: &str = "urn:xmpp:mam:2#extended";
/// The archive query field `include-groupchat` is understood (XEP-0313).
pub const MAM_GROUPCHAT_FIELD: &str = "urn:xmpp:mam:2#groupchat-field";
/// Chat markers (XEP-0333).
pub const MARKERS: &str = "urn:xmpp:chat-markers:0";
/// Processing hints (XEP-0334).
pub const HINTS: &str = "urn:xmpp:hints";
/// Client state (XEP-0352).
pub const CSI: &str = "urn:xmpp:csi:0";
/// Stanza ids (XEP-0359).
pub const SID: &str = "urn:xmpp:sid:0";
/// Bind 2 (XEP-0386).
pub const BIND2: &str = "urn:xmpp:bind:0";
/// SASL2 (XEP-0388).
pub const SASL2: &str = "urn:xmpp:sasl:2";
/// Retraction (XEP-0424).
pub const RETRACT: &str = "urn:xmpp:message-retract:1";
/// Retracted messages leave a tombstone in the archive (XEP-0424).
pub const RETRACT_TOMBSTONE: &str = "urn:xmpp:message-retract:1#tombstone";
/// Channel-binding types (XEP-0440).
pub const CHANNEL_BINDING: &str = "urn:xmpp:sasl-cb:0";
/// Stream limits (XEP-0478).
pub const STREAM_LIMITS: &str = "urn:xmpp:stream-limits:0";
/// SASL upgrade tasks (XEP-0480).
pub const SASL_UPGRADE: &str = "urn:xmpp:sasl:upgrade:0";
/// The data of SCRAM's upgrade tasks (XEP-0480 §3).
pub const SCRAM_UPGRADE: &str = "urn:xmpp:scram-upgrade:0";
/// FAST (XEP-0484).
pub const FAST: &str = "urn:xmpp:fast:0";
/// SCRAM downgrade protection (XEP-0474).
pub const SASL_SSDP: &str = "urn:xmpp:ssdp:0";
/// Pubsub (XEP-0060).
pub const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
/// Pubsub events (XEP-0060).
pub const PUBSUB_EVENT: &str = "http://jabber.org/protocol/pubsub#event";
/// What owners of pubsub nodes do (XEP-0060).
pub const PUBSUB_OWNER: &str = "http://jabber.org/protocol/pubsub#owner";
/// Conditions of errors of pubsub (XEP-0060).
pub const PUBSUB_ERRORS: &str = "http://jabber.org/protocol/pubsub#errors";
/// The form of a node's configuration (XEP-0060).
pub const PUBSUB_NODE_CONFIG: &str = "http://jabber.org/protocol/pubsub#node_config";
/// The form of what a node says of itself (XEP-0060).
pub const PUBSUB_META_DATA: &str = "http://jabber.org/protocol/pubsub#meta-data";
/// The form of the options of a publication (XEP-0060).
pub const PUBSUB_PUBLISH_OPTIONS: &str = "http://jabber.org/protocol/pubsub#publish-options";
/// The form of the options of a subscription (XEP-0060).
pub const PUBSUB_SUBSCRIBE_OPTIONS: &str = "http://jabber.org/protocol/pubsub#subscribe_options";
/// The form that approves of a subscription (XEP-0060).
pub const PUBSUB_SUBSCRIBE_AUTHORIZATION: &str =
    "http://jabber.org/protocol/pubsub#subscribe_authorization";
/// The command that lists pending subscriptions (XEP-0060).
pub const PUBSUB_GET_PENDING: &str = "http://jabber.org/protocol/pubsub#get-pending";
/// Avatars' data (XEP-0084).
pub const AVATAR_DATA: &str = "urn:xmpp:avatar:data";
/// What avatars there are (XEP-0084).
pub const AVATAR_METADATA: &str = "urn:xmpp:avatar:metadata";
/// Avatars and vCards are the same (XEP-0398).
pub const AVATAR_CONVERSION: &str = "urn:xmpp:pep-vcard-conversion:0";
/// Bookmarks (XEP-0402).
pub const BOOKMARKS: &str = "urn:xmpp:bookmarks:1";
/// Bookmarks are the same wherever they are kept (XEP-0402).
pub const BOOKMARKS_COMPAT: &str = "urn:xmpp:bookmarks:1#compat";
/// Bookmarks of old (XEP-0048).
pub const STORAGE_BOOKMARKS: &str = "storage:bookmarks";
/// OMEMO and its like carry an `encrypted` child (XEP-0380 names the method).
pub const EME: &str = "urn:xmpp:eme:0";
/// Jingle message initiation (XEP-0353).
pub const JINGLE_MESSAGE: &str = "urn:xmpp:jingle-message:0";
/// Direct TLS (XEP-0368) and host-meta have no namespace; portable import and export has (XEP-0227).
pub const PIE: &str = "urn:xmpp:pie:0";
/// SCRAM credentials in an export (XEP-0227).
pub const PIE_SCRAM: &str = "urn:xmpp:pie:0#scram";
/// Multi-user chat (XEP-0045).
pub const MUC: &str = "http://jabber.org/protocol/muc";
/// Administration of a room (XEP-0045 §8, §9).
pub const MUC_ADMIN: &str = "http://jabber.org/protocol/muc#admin";
/// Ownership of a room (XEP-0045 §10).
pub const MUC_OWNER: &str = "http://jabber.org/protocol/muc#owner";
/// Requests for voice (XEP-0045 §7.13).
pub const MUC_REQUEST: &str = "http://jabber.org/protocol/muc#request";
/// Registration with a room (XEP-0045 §7.10).
pub const MUC_REGISTER: &str = "http://jabber.org/protocol/muc#register";
/// Configuration of a room (XEP-0045 §10.2).
pub const MUC_ROOMCONFIG: &str = "http://jabber.org/protocol/muc#roomconfig";
/// What is told of a room (XEP-0045 §6.4).
pub const MUC_ROOMINFO: &str = "http://jabber.org/protocol/muc#roominfo";
/// A room keeps the ids of messages (XEP-0045 §7.4).
pub const MUC_STABLE_ID: &str = "http://jabber.org/protocol/muc#stable_id";
/// A room answers pings to oneself (XEP-0410).
pub const MUC_SELF_PING: &str = "http://jabber.org/protocol/muc#self-ping-optimization";
/// Occupant ids (XEP-0421).
pub const OCCUPANT_ID: &str = "urn:xmpp:occupant-id:0";
/// Moderation of messages (XEP-0425).
pub const MODERATE: &str = "urn:xmpp:message-moderate:1";
/// What rooms say of users (XEP-0045).
pub const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// Direct invitations (XEP-0249).
pub const CONFERENCE: &str = "jabber:x:conference";
/// OpenPGP (XEP-0373).
pub const OPENPGP: &str = "urn:xmpp:openpgp:0";
/// Reactions (XEP-0444).
pub const REACTIONS: &str = "urn:xmpp:reactions:0";
