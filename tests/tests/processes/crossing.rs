//! What a message costs that crosses nodes, against one that stays: how long it takes, and how much CPU all nodes spend on it.
//!
//! One command, with figures that count: build with `cargo build --release -p starling -p tests --tests` and then
//! `STARLING_CROSSINGS=20000 cargo nextest run --release -p tests --test processes --no-capture crossing`.
//! `STARLING_CROSSINGS`: messages of each kind and way (300). Latency is that of messages which are alone; CPU is that of the
//! nodes' processes, without the database, for messages of which fifty are under way.

use std::time::Instant;

use cluster::place::{Member, place};
use tests::faults::client::{Client, attr, name};
use tests::faults::dice::count;
use tests::faults::node::{account, create_accounts};
use tests::load::histogram::Histogram;
use tests::load::procfs::cpu_seconds;
use tests::processes::{Node, Processes, Shared};

/// Where the homes of sender and recipient are, and where their sockets are.
struct Way {
    what: &'static str,
    homes: [usize; 2],
    sockets: [usize; 2],
}

const WAYS: [Way; 4] = [
    Way {
        what: "one node",
        homes: [0, 0],
        sockets: [0, 0],
    },
    Way {
        what: "two homes, each with its socket",
        homes: [0, 1],
        sockets: [0, 1],
    },
    Way {
        what: "one home, both sockets elsewhere",
        homes: [0, 0],
        sockets: [1, 2],
    },
    Way {
        what: "two homes, both sockets elsewhere",
        homes: [0, 1],
        sockets: [2, 2],
    },
];

/// So many messages between acknowledgements.
const WINDOW: usize = 50;

/// The members as each of them sees them, and whose place each is.
fn members(nodes: &[Node]) -> Vec<(u64, Member)> {
    let status = nodes[0].facts().unwrap().cluster.unwrap();
    let ids = nodes.iter().map(|node| {
        let own = node.facts().unwrap().cluster.unwrap().node;
        let id = u64::from_str_radix(&own, 16).unwrap();
        let seen = status.members.iter().find(|it| it.node == own).unwrap();
        let member = Member {
            node: cluster::NodeId(id),
            weight: f64::from(seen.weight),
        };
        (id, member)
    });
    ids.collect()
}

/// Names of accounts whose homes are there.
fn names(members: &[(u64, Member)], prefix: &str, homes: [usize; 2]) -> [String; 2] {
    let view: Vec<Member> = members.iter().map(|(_, member)| *member).collect();
    let lives = |name: &String, home: usize| {
        let node = place(account(name).as_str().as_bytes(), &view).unwrap();
        node.0 == members[home].0
    };
    [("a", homes[0]), ("b", homes[1])].map(|(role, home)| {
        let mut all = (0..).map(|number| format!("{prefix}{role}{number}"));
        all.find(|name| lives(name, home)).unwrap()
    })
}

fn spent(nodes: &[Node]) -> f64 {
    let each = nodes.iter().map(|node| cpu_seconds(node.process().id()));
    each.sum()
}

struct Pair {
    from: Client,
    to: Client,
    address: String,
    received: u32,
}

impl Pair {
    async fn send(&mut self, kind: &str, id: &str) {
        let to = &self.address;
        let text =
            format!("<message to='{to}' type='{kind}' id='{id}'><body>hello</body></message>");
        self.from.send(&text).await.unwrap();
    }

    async fn arrives(&mut self, id: &str) {
        let is_it = |text: &str| name(text) == "message" && attr(text, "id") == Some(id);
        self.to.until(is_it).await.unwrap();
        self.received += 1;
    }

    /// Messages one at a time; how long each took.
    async fn alone(&mut self, kind: &str, messages: usize) -> Histogram {
        let mut times = Histogram::default();
        for number in 0..messages {
            let (id, sent) = (format!("{kind}-alone-{number}"), Instant::now());
            self.send(kind, &id).await;
            self.arrives(&id).await;
            times.record(sent.elapsed().as_nanos() as u64);
            self.to.acknowledge_all().await.unwrap();
        }
        self.from.handled().await.unwrap();
        times
    }

    /// Messages of which many are under way.
    async fn together(&mut self, kind: &str, messages: usize) {
        for first in (0..messages).step_by(WINDOW) {
            let ids = (first..messages.min(first + WINDOW)).map(|it| format!("{kind}-{it}"));
            let ids: Vec<String> = ids.collect();
            for id in &ids {
                self.send(kind, id).await;
            }
            for id in &ids {
                self.arrives(id).await;
            }
            self.to.acknowledge_all().await.unwrap();
            self.from.handled().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_cross_nodes() {
    let messages = count("STARLING_CROSSINGS", 300);
    let shared = Shared::database().unwrap();
    let cluster = Processes::start(3, shared, "").await.unwrap();
    let (nodes, stores) = (&cluster.nodes, cluster.stores().await.unwrap());
    let members = members(nodes);
    for (way, prefix) in WAYS.iter().zip(["v", "w", "x", "y"]) {
        let names = names(&members, prefix, way.homes);
        create_accounts(&stores, names.iter().cloned())
            .await
            .unwrap();
        let [from, to] = [0, 1].map(|it| (nodes[way.sockets[it]].plain, &names[it]));
        let mut pair = Pair {
            from: Client::managed(from.0, from.1, "phone").await.unwrap(),
            to: Client::managed(to.0, to.1, "phone").await.unwrap(),
            address: format!("{}/phone", account(&names[1])),
            received: 0,
        };
        // What is not stored, and what is.
        for kind in ["headline", "chat"] {
            let times = pair.alone(kind, messages).await;
            let (before, began) = (spent(nodes), Instant::now());
            pair.together(kind, messages).await;
            let cpu = (spent(nodes) - before) / messages as f64 * 1e6;
            let rate = messages as f64 / began.elapsed().as_secs_f64();
            println!(
                "{kind:8} {:33} p50 {:6.2} ms, p99 {:6.2} ms, {cpu:5.0} us of CPU a message, {rate:.0} messages/s",
                way.what,
                times.quantile_ms(0.5),
                times.quantile_ms(0.99),
            );
        }
        assert_eq!(pair.received as usize, 4 * messages);
    }
}
