//! A room of many over three nodes under chat, whose node dies or leaves; and a large room over four, by size.
//!
//! `STARLING_ROOM`: how many are in the room (60). `STARLING_ROOM_RATE`: messages a second of all (20).
//! `STARLING_LARGE_ROOM`: sizes of the large room, by commas (30,60). What came of it is printed in lines that begin with
//! `figures`; figures for others are made with the program built for release (`STARLING_BIN`):
//! `STARLING_ROOM=1000 cargo nextest run -p tests --test processes rooms:: --no-capture`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use storage::Stores;
use storage::repository::{LogEntry, LogRange};
use tests::faults::dice::count;
use tests::faults::node::{DOMAIN, PASSWORD, create_accounts};
use tests::load::muc;
use tests::load::options::{Choice, Security, Target, Users};
use tests::load::procfs;
use tests::load::scram::Mechanism;
use tests::load::session::World;
use tests::processes::{Processes, Shared};
use tokio::sync::watch;
use tokio::task::JoinSet;
use xmpp::{BareJid, Stanza};

use crate::talking::{Phase, Scene, Story, Talker, user};

/// How long clients may take to be served again, and to enter. It is a bound, not an expectation.
const SERVED: Duration = Duration::from_secs(120);
/// Who talks.
const SPEAKERS: usize = 6;
/// Rooms take messages as fast as they come, and those that are large show the presence of few.
const ROOMS: &str = "\n[rooms]\nlock = false\nmessages_per_second = 0\npresence_up_to = 100\n";

/// A room under chat.
struct Talk {
    cluster: Processes,
    stores: Stores,
    scene: Arc<Scene>,
    talkers: JoinSet<Story>,
    phase: watch::Sender<Phase>,
    doors: watch::Sender<Vec<SocketAddr>>,
    size: usize,
}

impl Talk {
    async fn begin() -> Self {
        let size = count("STARLING_ROOM", 60);
        let rate = count("STARLING_ROOM_RATE", 20);
        let shared = Shared::chosen().unwrap();
        let cluster = Processes::start(3, shared, ROOMS).await.unwrap();
        let stores = cluster.stores().await.unwrap();
        create_accounts(&stores, (0..size).map(user)).await.unwrap();
        let (phase, told) = watch::channel(Phase::Talk);
        let addresses = cluster.nodes.iter().map(|node| node.plain).collect();
        let (doors, at) = watch::channel(addresses);
        let scene = Arc::new(Scene {
            room: format!("talk@conference.{DOMAIN}"),
            rest: Duration::from_secs_f64(SPEAKERS as f64 / rate as f64),
            phase: told,
            doors: at,
            inside: 0.into(),
            promised: 0.into(),
            open: 0.into(),
        });
        let mut talk = Self {
            cluster,
            stores,
            scene,
            talkers: JoinSet::new(),
            phase,
            doors,
            size,
        };
        // Not all at once, and the first alone, who makes the room.
        for number in 0..size {
            let speaks = number < SPEAKERS;
            let talker = Talker::new(number, speaks, talk.scene.clone());
            talk.talkers.spawn(talker.talk());
            let at_once = if number == 0 { 1 } else { 16 };
            let until = Instant::now() + SERVED;
            while talk.inside() + at_once < number + 2 {
                assert!(Instant::now() < until, "{} enter", talk.inside());
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        let until = Instant::now() + SERVED;
        while talk.inside() < size {
            assert!(Instant::now() < until, "{} of {size} enter", talk.inside());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("figures: {size} in the room, {rate} messages/s");
        tokio::time::sleep(Duration::from_secs(2)).await;
        talk
    }

    fn inside(&self) -> usize {
        self.scene.inside.load(Ordering::Relaxed)
    }

    fn promised(&self) -> usize {
        self.scene.promised.load(Ordering::Relaxed)
    }

    /// The node that serves the room.
    fn home(&self) -> usize {
        let said = |at: &usize| {
            let node = &self.cluster.nodes[*at];
            node.metric("xmpp_muc_messages_total").unwrap_or(0.0) > 0.0
        };
        (0..self.cluster.nodes.len()).find(said).unwrap()
    }

    /// Clients come in where nodes are that stay.
    fn move_doors(&self, gone: SocketAddr) {
        self.doors
            .send_modify(|doors| doors.retain(|door| *door != gone));
    }

    /// Goes on for a while, ends, and checks what was promised and heard.
    async fn end(mut self, what: &str, gone: SocketAddr, began: Instant) {
        let (promised, until) = (self.promised(), Instant::now() + SERVED);
        while self.promised() < promised + 2 * SPEAKERS {
            assert!(Instant::now() < until, "{}", self.logs());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        let ended = Instant::now();
        self.phase.send_replace(Phase::Settle);
        let until = Instant::now() + SERVED;
        while self.scene.open.load(Ordering::Relaxed) > 0 {
            assert!(Instant::now() < until, "{}", self.logs());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Whoever was behind hears the last of it.
        tokio::time::sleep(Duration::from_secs(2)).await;
        // The room is a temporary one: its log goes with the last who leaves.
        let log = said(&self.stores, &self.scene.room).await;
        self.phase.send_replace(Phase::Stop);
        let mut stories = Vec::new();
        while let Some(story) = self.talkers.join_next().await {
            stories.push(story.unwrap());
        }
        print_pauses(what, &stories, gone, began, ended);
        self.check(what, &stories, &log);
    }

    fn logs(&self) -> String {
        let logs = self.cluster.nodes.iter().map(|node| node.log());
        logs.collect::<Vec<_>>().join("\n---\n")
    }

    /// Every promise is in the log, once and in order; nobody left or had to enter anew; all heard all of it, once.
    fn check(&self, what: &str, stories: &[Story], log: &[(u64, String)]) {
        let sum = |of: fn(&Story) -> usize| stories.iter().map(of).sum::<usize>();
        let mut places: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (number, id) in log {
            places.entry(id).or_default().push(*number);
        }
        let (mut lost, mut twice, mut disordered) = (0, 0, 0);
        for story in stories {
            let mut last = 0;
            for id in &story.promised {
                let found = places.get(&**id).map_or(&[][..], |found| found);
                lost += usize::from(found.is_empty());
                twice += usize::from(found.len() > 1);
                let first = found.first().copied().unwrap_or(last);
                disordered += usize::from(first < last);
                last = first;
            }
        }
        let newest = log.last().map_or(0, |(number, _)| *number);
        let (mut missed, mut again) = (0, 0);
        for story in stories {
            let numbers: BTreeSet<u64> = story.heard.iter().map(|(_, number)| *number).collect();
            let first = numbers.first().copied().unwrap_or(newest);
            let expected = log.iter().filter(|(number, _)| *number >= first).count();
            missed += expected - numbers.len().min(expected);
            again += story.heard.len() - numbers.len();
        }
        let (left, rejoined) = (sum(|it| it.left), sum(|it| it.rejoined));
        println!(
            "figures: {what}: {} promised, {lost} not in the archive, {twice} there twice, {disordered} out of order; \
             {missed} of {} deliveries missed, {again} repeated; {} resumed, {rejoined} entered anew, {left} told to leave, {} refused",
            self.promised(),
            log.len() * self.size,
            sum(|it| it.resumed),
            sum(|it| it.refused.len()),
        );
        for refused in stories.iter().flat_map(|it| &it.refused).take(5) {
            println!("refused: {refused}");
        }
        let wrong = lost + twice + disordered + missed + again + left + rejoined;
        assert_eq!(wrong, 0, "{}", self.logs());
    }
}

/// What the room's log has: numbers and ids.
async fn said(stores: &Stores, room: &str) -> Vec<(u64, String)> {
    let room = BareJid::parse(room).unwrap();
    let all = stores.logs.read(&room, LogRange::ALL, false, usize::MAX);
    let id = |entry: LogEntry| {
        let stanza = Stanza::parse(entry.stanza).ok()?;
        Some((entry.number, stanza.id()?.into_owned()))
    };
    all.await.unwrap().into_iter().filter_map(id).collect()
}

/// Prints how long clients heard nothing: those who were connected elsewhere, and those at the node that went.
fn print_pauses(what: &str, stories: &[Story], gone: SocketAddr, began: Instant, ended: Instant) {
    for (whose, is_there) in [
        ("of nodes that stay", false),
        ("of the node that goes", true),
    ] {
        let of = stories
            .iter()
            .filter(|story| (story.door == Some(gone)) == is_there);
        let mut pauses: Vec<Duration> = of
            .map(|story| {
                let times = story.heard.iter().map(|(at, _)| *at);
                let within = times.filter(|at| (began..ended).contains(at));
                let edges: Vec<_> = std::iter::once(began)
                    .chain(within)
                    .chain([ended])
                    .collect();
                let gaps = edges.windows(2).map(|pair| pair[1] - pair[0]);
                gaps.max().unwrap_or_default()
            })
            .collect();
        pauses.sort_unstable();
        let (Some(longest), Some(median)) = (pauses.last(), pauses.get(pauses.len() / 2)) else {
            continue;
        };
        println!(
            "figures: {what}: clients {whose} heard nothing for {median:.0?} (median), {longest:.0?} (longest); load {:.1}",
            procfs::load_average()
        );
    }
}

/// The node that serves a room of many is killed: what was promised is kept, and nobody has to come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_survives_the_death_of_its_node() {
    let mut talk = Talk::begin().await;
    let home = talk.home();
    let gone = talk.cluster.nodes[home].plain;
    let began = Instant::now();
    let dead = talk.cluster.kill(home);
    talk.move_doors(gone);
    talk.cluster.agree(2).unwrap();
    println!(
        "figures: the others go on without it {:.0?} after its death",
        began.elapsed()
    );
    drop(dead);
    talk.end("kill -9 of the room's node", gone, began).await;
}

/// It leaves, as operators have it leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_moves_when_its_node_leaves() {
    let mut talk = Talk::begin().await;
    let home = talk.home();
    let gone = talk.cluster.nodes[home].plain;
    let began = Instant::now();
    talk.move_doors(gone);
    let (status, log) = talk.cluster.stop(home).unwrap();
    assert!(status.success(), "{log}");
    println!("figures: the drain took {:.0?}", began.elapsed());
    talk.end("drain of the room's node", gone, began).await;
}

/// A room over four nodes, at several sizes: what a delivery costs, and an occupant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_room_costs_as_much_as_it_has_occupants() {
    let sizes = std::env::var("STARLING_LARGE_ROOM").unwrap_or_else(|_| "30,60".to_owned());
    let sizes: Vec<u32> = sizes.split(',').map(|size| size.parse().unwrap()).collect();
    let largest = *sizes.iter().max().unwrap();
    let cluster = Processes::start(4, Shared::chosen().unwrap(), ROOMS);
    let cluster = cluster.await.unwrap();
    let stores = cluster.stores().await.unwrap();
    let users = Users {
        prefix: "crowd".to_owned(),
        count: largest,
        password: PASSWORD.to_owned(),
    };
    let names = (0..largest).map(|number| users.localpart(number));
    create_accounts(&stores, names).await.unwrap();
    for occupants in sizes {
        let target = Target {
            host: Ipv4Addr::LOCALHOST,
            port: cluster.nodes.iter().map(|node| node.plain.port()).collect(),
            domain: DOMAIN.to_owned(),
            tls: Security::None,
            users: users.clone(),
            mechanism: Choice::Only(Mechanism::ScramSha256),
            server_pid: cluster
                .nodes
                .iter()
                .map(|node| node.process().id())
                .collect(),
            name: "starling".to_owned(),
            keys: None,
            concurrency: 32,
            patience: 120,
        };
        let options = muc::Options {
            occupants,
            speakers: 4,
            rate: 0,
            window: 1,
            body: 100,
            seconds: count("STARLING_LARGE_ROOM_S", 2) as f64,
            warm_up: 1.0,
        };
        let outcome = muc::run(World::new(target).unwrap(), options)
            .await
            .unwrap();
        let figure = |name: &str| outcome.figures.get(name).copied().unwrap_or(f64::NAN);
        println!(
            "figures: {occupants} occupants over 4 nodes: {:.0} deliveries/s, {:.0} per second of CPU, {:.2} ms of CPU per \
             1,000; {:.1} KiB per session, {:.2} KiB more in the room, {:.2} ms of CPU to enter; p50 {:.0} ms; load {:.1}",
            figure("per_s"),
            figure("per_cpu_s"),
            figure("cpu_ms_per_1000"),
            figure("session_bytes_per_occupant") / 1024.0,
            figure("room_bytes_per_occupant") / 1024.0,
            figure("enter_cpu_ms_per_1000") / 1000.0,
            figure("p50_ms"),
            procfs::load_average(),
        );
        assert_eq!(outcome.problems, Vec::<String>::new());
    }
}
