//! What the directory costs: bytes a session, binds and look-ups a second, for each implementation, in one process.
//!
//! `cargo run --release -p cluster --example directory -- [SESSIONS] [local|raft1|raft3|redis]...`; Redis must be installed.
//! Bytes are those of the process (resident), so run one kind at a time to compare; with three nodes they are divided by three.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use cluster::{
    NodeId,
    directory::{
        Command, Conflict, Directory, Local, Member, SessionRef, SubmitError,
        raft::{CallError, Fixed, Liveness, Peers, RaftDirectory, Setup},
        redis::{self, Place, RedisDirectory, Witness},
    },
};
use parking_lot::Mutex;

/// How many changes are asked for at once by each node's clients.
const AT_ONCE: u64 = 4_096;

/// A network that is a function call.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<BTreeMap<NodeId, Weak<RaftDirectory>>>>);

struct Port(Calls, NodeId);

#[async_trait]
impl Peers for Port {
    fn known(&self) -> Vec<NodeId> {
        let nodes = self.0.0.lock();
        nodes.keys().copied().filter(|n| *n != self.1).collect()
    }

    async fn call(&self, to: NodeId, body: Bytes, _: Duration) -> Result<Bytes, CallError> {
        let node = self.0.0.lock().get(&to).and_then(Weak::upgrade);
        Ok(node.ok_or(CallError::NotSent)?.handle(self.1, body).await)
    }
}

impl Liveness for Port {
    fn unreachable(&self) -> BTreeSet<NodeId> {
        BTreeSet::new()
    }
}

/// Sees nobody gone.
struct Blind;

impl Witness for Blind {
    fn gone(&self) -> BTreeSet<NodeId> {
        BTreeSet::new()
    }
}

fn member(node: u64) -> Member {
    Member {
        node: NodeId(node),
        name: format!("n{node}").into(),
        links: Vec::new(),
        weight: 1,
        zone: "a".into(),
        protocol_min: 1,
        protocol_max: 1,
        version: "0".into(),
    }
}

fn raft(nodes: u64) -> Vec<Arc<dyn Directory>> {
    let calls = Calls::default();
    let start = |node| {
        let port = || Arc::new(Port(calls.clone(), NodeId(node)));
        let directory = Arc::new(RaftDirectory::start(Setup {
            member: member(node),
            peers: port(),
            liveness: port(),
            founder: Arc::new(Fixed::new(node == 1, 1)),
        }));
        let weak = Arc::downgrade(&directory);
        calls.0.lock().insert(NodeId(node), weak);
        directory as Arc<dyn Directory>
    };
    (1..=nodes).map(start).collect()
}

fn resident() -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split(' ').nth(1).ok_or("no such field")?;
    Ok(pages.parse::<u64>()? * 4_096)
}

fn account(number: u64) -> String {
    format!("user{number}@example.org")
}

/// Binds so many sessions; how many times a bind was refused because the node was fenced, and asked for again.
async fn bind_all(nodes: &[Arc<dyn Directory>], sessions: u64) -> Result<u64, Box<dyn Error>> {
    let mut tasks = tokio::task::JoinSet::new();
    let each = sessions / nodes.len() as u64;
    for (index, directory) in nodes.iter().enumerate() {
        let node = index as u64 + 1;
        for lane in 0..AT_ONCE {
            let directory = directory.clone();
            tasks.spawn(async move {
                let mut refused = 0;
                for number in (lane..each).step_by(AT_ONCE as usize) {
                    let number = node * 1_000_000_000 + number;
                    let bind = Command::Bind {
                        account: account(number).into(),
                        resource: "phone-5f3a91".into(),
                        alternative: "".into(),
                        session: SessionRef {
                            node: NodeId(node),
                            number,
                        },
                        conflict: Conflict::Replace,
                        limit: 10,
                    };
                    while let Err(error) = directory.submit(bind.clone()).await {
                        // A repeat is known by its session, so one of unknown fate is asked for again as well.
                        if !matches!(error, SubmitError::Unavailable | SubmitError::Unknown) {
                            return Err(error);
                        }
                        refused += 1;
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
                Ok(refused)
            });
        }
    }
    let mut refused = 0;
    while let Some(done) = tasks.join_next().await {
        refused += done??;
    }
    Ok(refused)
}

#[expect(clippy::print_stdout, reason = "it is what the program is for")]
async fn measure(
    what: &str,
    nodes: &[Arc<dyn Directory>],
    sessions: u64,
) -> Result<(), Box<dyn Error>> {
    let all = nodes.len();
    while nodes
        .iter()
        .any(|d| d.view().seats.len() < all || d.status().fenced)
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = resident()?;
    let begun = Instant::now();
    let refused = bind_all(nodes, sessions).await?;
    let binds = sessions as f64 / begun.elapsed().as_secs_f64();
    let bytes = (resident()?.saturating_sub(before)) / sessions / all as u64;
    // One after the other: how long a client waits.
    let begun = Instant::now();
    for number in 0..200 {
        let unbind = Command::Unbind {
            account: account(number).into(),
            session: SessionRef {
                node: NodeId(1),
                number,
            },
        };
        nodes[all - 1].submit(unbind).await?;
    }
    let wait = begun.elapsed().as_secs_f64() / 200.0 * 1e6;
    let names: Vec<String> = (0..sessions / all as u64)
        .map(|n| account(1_000_000_000 + n))
        .collect();
    let begun = Instant::now();
    let found = names.iter().filter(|n| nodes[0].lookup(n).is_some());
    let found = found.count();
    let lookups = names.len() as f64 / begun.elapsed().as_secs_f64();
    println!(
        "{what:6} {sessions} sessions: {binds:.0} binds/s, {wait:.0} us for one alone, {lookups:.0} look-ups/s a thread, \
         {bytes} bytes a session and replica ({found} found, {refused} refused and repeated)"
    );
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let sessions = arguments.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let kinds: Vec<String> = arguments.collect();
    for kind in kinds {
        match kind.as_str() {
            "local" => {
                let local = Local::default();
                local.apply(Command::NodeUp(Arc::new(member(1))));
                measure("local", &[Arc::new(local)], sessions).await?;
            }
            "raft1" => measure("raft1", &raft(1), sessions).await?,
            "raft3" => measure("raft3", &raft(3), sessions).await?,
            "redis" => {
                let server = services::Redis::start()?;
                let directory = RedisDirectory::start(redis::Setup {
                    member: member(1),
                    witness: Arc::new(Blind),
                    place: Place::Server(server.url()),
                    roots: None,
                    name: "measured".into(),
                });
                measure("redis", &[Arc::new(directory)], sessions).await?;
            }
            other => return Err(format!("{other}: local, raft1, raft3 or redis").into()),
        }
    }
    Ok(())
}
