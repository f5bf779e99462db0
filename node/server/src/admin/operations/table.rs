//! The table: all that can be asked.

use super::{Http, Kind, Operation, Parameter, Place, Scope, Value};
use crate::{
    admin::{
        MAX_PAGE,
        answers::{
            AccountFacts, AuditLine, BEGUN, Contact, ENDED, Family, Online, PubsubFacts, RoomFacts,
            RoomLine, SessionFacts, User, Waiting, Whoami,
        },
    },
    shape::{Field, Object, Shape, Shaped, page},
    status::Facts,
};

const LOOKS: Operation = Operation {
    name: "",
    summary: "",
    scopes: &[],
    kind: Kind::Look,
    http: None,
    parameters: &[],
    answer: None,
};
const CHANGES: Operation = Operation {
    kind: Kind::Change,
    ..LOOKS
};
const RESCUES: Operation = Operation {
    kind: Kind::Rescue,
    scopes: &[Scope::Cluster],
    ..LOOKS
};

const fn http(method: &'static str, path: &'static str, status: u16) -> Option<Http> {
    Some(Http {
        method,
        path,
        status,
    })
}
const fn get(path: &'static str) -> Option<Http> {
    http("GET", path, 200)
}

const fn in_path(name: &'static str, summary: &'static str) -> Parameter {
    Parameter {
        name,
        place: Place::Path,
        value: Value::Text,
        default: None,
        summary,
    }
}
const fn asked(
    name: &'static str,
    value: Value,
    default: Option<&'static str>,
    summary: &'static str,
) -> Parameter {
    Parameter {
        name,
        place: Place::Query,
        value,
        default,
        summary,
    }
}
const fn written(name: &'static str, value: Value, summary: &'static str) -> Parameter {
    Parameter {
        name,
        place: Place::Body,
        value,
        default: None,
        summary,
    }
}

const ACCOUNT: Parameter = in_path("account", "The bare address of an account.");
const ROOM: Parameter = in_path("room", "The address of a room.");
const NODE: Parameter = in_path(
    "node",
    "A member: its id or the beginning of it, its name, or its address.",
);
const SERVICE: Parameter = asked("service", Value::Text, None, "The address of a service.");
const AFTER: Parameter = asked(
    "after",
    Value::Text,
    Some("null"),
    "What the page before said in `next`.",
);
const LIMIT: Parameter = asked(
    "limit",
    Value::Count(MAX_PAGE as u64),
    Some("100"),
    "How many at most.",
);
const PASSWORD: Parameter = written("password", Value::Secret, "The password.");

/// Where one of these suffices to see something.
const fn seen_by(scopes: &'static [Scope]) -> Operation {
    Operation { scopes, ..LOOKS }
}
const fn changed_by(scopes: &'static [Scope]) -> Operation {
    Operation { scopes, ..CHANGES }
}

/// All of them.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "ping",
        summary: "Whether anybody is there.",
        ..LOOKS
    },
    Operation {
        name: "whoami",
        summary: "Who asks, what it may, and what there is to be administered.",
        http: get("/self"),
        answer: Some(Whoami::SHAPE),
        ..LOOKS
    },
    Operation {
        name: "cluster_status",
        summary: "The node that is asked and its cluster.",
        http: get("/cluster"),
        answer: Some(Facts::SHAPE),
        ..seen_by(&[Scope::Metrics, Scope::Read, Scope::Cluster])
    },
    Operation {
        name: "departure",
        summary: "The same, from who watches a node leave.",
        parameters: &[NODE],
        answer: Some(Facts::SHAPE),
        ..seen_by(&[Scope::Cluster])
    },
    Operation {
        name: "drain",
        summary: "Lets a member hand over what it has, and go. Answered when that has begun.",
        http: http("POST", "/cluster/nodes/{node}/drain", 202),
        parameters: &[NODE],
        answer: Some(Shape::Object(&BEGUN)),
        ..RESCUES
    },
    Operation {
        name: "fence",
        summary: "Declares a member dead without asking it: the others take over what it had, at once.",
        http: http("POST", "/cluster/nodes/{node}/fence", 202),
        parameters: &[NODE],
        answer: Some(Shape::Object(&BEGUN)),
        ..RESCUES
    },
    Operation {
        name: "rotate_secret",
        summary: "Begins to replace the secret by which members know each other.",
        http: http("POST", "/cluster/secret/rotate", 202),
        ..RESCUES
    },
    Operation {
        name: "metrics",
        summary: "The metrics of the node that is asked.",
        http: get("/metrics"),
        answer: Some(page!("Metrics", Family::SHAPE)),
        ..seen_by(&[Scope::Metrics, Scope::Read])
    },
    Operation {
        name: "list",
        summary: "The accounts of a domain, in order.",
        http: get("/accounts"),
        parameters: &[
            asked("domain", Value::Text, None, "A domain that is served."),
            AFTER,
            LIMIT,
            asked(
                "times",
                Value::Flag,
                Some("false"),
                "Whether to tell since when they are, and were last there.",
            ),
        ],
        answer: Some(page!("Accounts", User::SHAPE)),
        ..seen_by(&[Scope::Read, Scope::Accounts])
    },
    Operation {
        name: "add",
        summary: "Makes an account.",
        http: http("POST", "/accounts", 201),
        parameters: &[
            written("account", Value::Text, "Its bare address."),
            PASSWORD,
        ],
        ..changed_by(&[Scope::Accounts])
    },
    Operation {
        name: "account",
        summary: "What is known of an account.",
        http: get("/accounts/{account}"),
        parameters: &[ACCOUNT],
        answer: Some(AccountFacts::SHAPE),
        ..seen_by(&[Scope::Read, Scope::Accounts])
    },
    Operation {
        name: "remove",
        summary: "Removes an account with all it has; its sessions end.",
        http: http("DELETE", "/accounts/{account}", 204),
        parameters: &[ACCOUNT],
        ..changed_by(&[Scope::Accounts])
    },
    Operation {
        name: "password",
        summary: "Sets a password; sessions end, and tokens for fast reconnection fall.",
        http: http("PUT", "/accounts/{account}/password", 204),
        parameters: &[ACCOUNT, PASSWORD],
        ..changed_by(&[Scope::Accounts])
    },
    Operation {
        name: "disable",
        summary: "Locks an account: its sessions end and nobody logs in to it. Nothing is removed.",
        http: http("POST", "/accounts/{account}/disable", 204),
        parameters: &[ACCOUNT],
        ..changed_by(&[Scope::Accounts])
    },
    Operation {
        name: "enable",
        summary: "Unlocks an account.",
        http: http("POST", "/accounts/{account}/enable", 204),
        parameters: &[ACCOUNT],
        ..changed_by(&[Scope::Accounts])
    },
    Operation {
        name: "roster",
        summary: "The contacts of an account, in order.",
        http: get("/accounts/{account}/roster"),
        parameters: &[ACCOUNT, AFTER, LIMIT],
        answer: Some(page!("Roster", Contact::SHAPE)),
        ..seen_by(&[Scope::Read])
    },
    Operation {
        name: "queue",
        summary: "What waits for the clients of an account: when it came and from whom, not what it says. As it is \
                  stored: for some seconds behind what clients have acknowledged.",
        http: get("/accounts/{account}/offline"),
        parameters: &[
            ACCOUNT,
            asked(
                "after",
                Value::Whole(u64::MAX),
                Some("null"),
                "What the page before said in `next`.",
            ),
            LIMIT,
        ],
        answer: Some(page!("OfflineQueue", Waiting::SHAPE)),
        ..seen_by(&[Scope::Read])
    },
    Operation {
        name: "sessions",
        summary: "The sessions of an account.",
        http: get("/accounts/{account}/sessions"),
        parameters: &[ACCOUNT],
        answer: Some(page!("Sessions", SessionFacts::SHAPE)),
        ..seen_by(&[Scope::Read, Scope::Sessions])
    },
    Operation {
        name: "kick",
        summary: "Ends the sessions of an account. It may log in again.",
        http: http("DELETE", "/accounts/{account}/sessions", 200),
        parameters: &[ACCOUNT],
        answer: Some(Shape::Object(&ENDED)),
        ..changed_by(&[Scope::Sessions, Scope::Accounts])
    },
    Operation {
        name: "end",
        summary: "Ends one session of an account.",
        http: http("DELETE", "/accounts/{account}/sessions/{resource}", 200),
        parameters: &[ACCOUNT, in_path("resource", "Its resource.")],
        answer: Some(Shape::Object(&ENDED)),
        ..changed_by(&[Scope::Sessions, Scope::Accounts])
    },
    Operation {
        name: "groups",
        summary: "The shared groups of a domain, without their members.",
        ..seen_by(&[Scope::Read, Scope::Accounts])
    },
    Operation {
        name: "group",
        summary: "A shared group with its members.",
        ..seen_by(&[Scope::Read, Scope::Accounts])
    },
    Operation {
        name: "group_create",
        summary: "Makes a shared group.",
        ..changed_by(&[Scope::Accounts])
    },
    Operation {
        name: "group_change",
        summary: "Changes what a shared group is called, who belongs to it, who sees it.",
        ..changed_by(&[Scope::Accounts])
    },
    Operation {
        name: "group_remove",
        summary: "Removes a shared group. Its members keep what is their own.",
        ..changed_by(&[Scope::Accounts])
    },
    Operation {
        name: "group_add",
        summary: "Adds members to a shared group.",
        ..changed_by(&[Scope::Accounts])
    },
    Operation {
        name: "group_take_out",
        summary: "Takes members out of a shared group.",
        ..changed_by(&[Scope::Accounts])
    },
    Operation {
        name: "online",
        summary: "Accounts with sessions on all nodes, in order.",
        http: get("/sessions"),
        parameters: &[AFTER, LIMIT],
        answer: Some(Online::SHAPE),
        ..seen_by(&[Scope::Read, Scope::Sessions])
    },
    Operation {
        name: "rooms",
        summary: "The rooms of a service, listed or not, in order.",
        http: get("/rooms"),
        parameters: &[SERVICE, AFTER, LIMIT],
        answer: Some(page!("Rooms", RoomLine::SHAPE)),
        ..seen_by(&[Scope::Read, Scope::Rooms])
    },
    Operation {
        name: "room",
        summary: "What is known of a room.",
        http: get("/rooms/{room}"),
        parameters: &[ROOM],
        answer: Some(RoomFacts::SHAPE),
        ..seen_by(&[Scope::Read, Scope::Rooms])
    },
    Operation {
        name: "destroy_room",
        summary: "Destroys a room; its occupants are told why.",
        http: http("DELETE", "/rooms/{room}", 204),
        parameters: &[
            ROOM,
            asked(
                "reason",
                Value::Text,
                Some("null"),
                "Why, for its occupants.",
            ),
        ],
        ..changed_by(&[Scope::Rooms])
    },
    Operation {
        name: "pubsub",
        summary: "The pubsub nodes of a service or of an account, in order.",
        http: get("/pubsub"),
        parameters: &[SERVICE, AFTER, LIMIT],
        answer: Some(page!("PubsubNodes", String::SHAPE)),
        ..seen_by(&[Scope::Read])
    },
    Operation {
        name: "pubsub_node",
        summary: "What is known of a pubsub node, without what was published.",
        http: get("/pubsub/{service}/{node}"),
        parameters: &[
            in_path("service", "The address of a service or of an account."),
            in_path("node", "The name of the node."),
        ],
        answer: Some(PubsubFacts::SHAPE),
        ..seen_by(&[Scope::Read])
    },
    Operation {
        name: "audit",
        summary: "What was changed by whom, the newest first.",
        http: get("/audit"),
        parameters: &[
            asked(
                "before",
                Value::Whole(u64::MAX),
                Some("null"),
                "What the page before said in `next`.",
            ),
            LIMIT,
        ],
        answer: Some(page!("Audit", AuditLine::SHAPE)),
        ..seen_by(&[Scope::Audit])
    },
    // Who holds a token must not be able to make others of it.
    Operation {
        name: "token_create",
        summary: "Makes a token.",
        ..CHANGES
    },
    Operation {
        name: "tokens",
        summary: "The tokens, without what is secret of them.",
        ..LOOKS
    },
    Operation {
        name: "token_revoke",
        summary: "Revokes a token.",
        ..CHANGES
    },
];
