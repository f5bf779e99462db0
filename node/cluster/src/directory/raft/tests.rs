//! The directory over Raft, in one process, over a network that is cut, lossy and slow; time is paused.

mod members;
mod net;

use std::sync::Arc;

use net::Net;
use tokio::time::sleep;

use super::*;
use crate::directory::{
    Conflict, Notice,
    conformance::{self, Node, bind, seen, session, settled, storm, until},
    history::History,
    replica::tests::contents,
};

/// How many schedules each storm goes through.
const SEEDS: u64 = 5;

fn leader(nodes: &[Node]) -> Option<u64> {
    let leads = |n: &&Node| n.1.status().role == Role::Leader && !n.1.status().fenced;
    nodes.iter().find(leads).map(|n| n.0)
}

/// The nodes but these.
fn without(nodes: &[Node], gone: &[u64]) -> Vec<Node> {
    let stay = |n: &&Node| !gone.contains(&n.0);
    nodes.iter().filter(stay).cloned().collect()
}

async fn conform(count: u64) {
    let net = Net::new(count);
    let nodes = net.start_all(1..=count);
    conformance::all(&nodes).await;
    conformance::downfall(&nodes).await;
}

#[tokio::test(start_paused = true)]
async fn one_node_conforms() {
    let net = Net::new(1);
    conformance::all(&net.start_all(1..=1)).await;
}

#[tokio::test(start_paused = true)]
async fn three_nodes_conform() {
    conform(3).await;
}

#[tokio::test(start_paused = true)]
async fn five_nodes_conform() {
    conform(5).await;
}

/// After peace all replicas are equal.
async fn equal(directories: &[Arc<RaftDirectory>]) {
    until("all replicas are equal", || {
        let all: Vec<_> = directories
            .iter()
            .map(|d| contents(&d.inner.core.replica().freeze()))
            .collect();
        all.windows(2).all(|w| w[0] == w[1])
    })
    .await;
}

fn as_nodes(directories: &[Arc<RaftDirectory>]) -> Vec<Node> {
    let node = |d: &Arc<RaftDirectory>| (d.inner.core.me().0, d.clone() as Arc<dyn Directory>);
    directories.iter().map(node).collect()
}

/// Clients at few names from all nodes, while the network is troubled as `trouble` has it.
async fn storm_with<F: Future<Output = ()>>(
    seed: u64,
    count: u64,
    trouble: impl FnOnce(Net, Vec<Node>) -> F,
) {
    let net = Net::new(seed);
    let directories: Vec<_> = (1..=count).map(|n| net.start(n)).collect();
    let nodes = as_nodes(&directories);
    settled(&nodes).await;
    let history = Arc::new(History::default());
    let storms: Vec<_> = nodes
        .iter()
        .map(|node| tokio::spawn(storm(node.clone(), history.clone(), seed * 31 + node.0, 60)))
        .collect();
    trouble(net.clone(), nodes.clone()).await;
    for storm in storms {
        storm.await.expect("clients do not fail");
    }
    net.heal();
    // Those that were declared down are no part of it any more.
    until("who lives is in contact", || {
        let living = |d: &&Arc<RaftDirectory>| !d.status().fallen;
        directories
            .iter()
            .filter(living)
            .all(|d| !d.status().fenced)
    })
    .await;
    let living: Vec<_> = directories
        .iter()
        .filter(|d| !d.status().fallen)
        .cloned()
        .collect();
    equal(&living).await;
    let (answered, unknown) = history.count();
    assert!(answered > 60, "{answered} answered, {unknown} not known");
    let all: Vec<u64> = (1..=count).collect();
    let contradiction = history.contradiction(&all, |account| living[0].lookup(account));
    assert_eq!(contradiction, None, "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn changes_at_once_have_one_order() {
    for seed in 1..=SEEDS {
        storm_with(seed, 3, |_, _| async {}).await;
    }
}

#[tokio::test(start_paused = true)]
async fn changes_have_one_order_over_a_bad_network() {
    for seed in 1..=SEEDS {
        storm_with(seed, 5, |net, _| async move { net.lossy(100, 20) }).await;
    }
}

/// Cuts shorter than what a node is declared down for: nobody falls, so no session is lost, and the search knows the end.
#[tokio::test(start_paused = true)]
async fn changes_have_one_order_while_leaders_are_cut_off() {
    for seed in 1..=SEEDS {
        storm_with(seed, 5, |net, nodes| async move {
            for round in 0..3 {
                sleep(Duration::from_millis(300)).await;
                match leader(&nodes) {
                    Some(leader) if round == 1 => net.cut(leader, leader % 5 + 1),
                    Some(leader) => net.part(&[leader]),
                    None => {}
                }
                sleep(Duration::from_millis(1_300)).await;
                net.heal();
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_leader_is_declared_down_and_the_others_go_on() {
    let net = Net::new(1);
    let nodes = net.start_all(1..=3);
    settled(&nodes).await;
    let dead = leader(&nodes).expect("somebody leads");
    let rest = without(&nodes, &[dead]);
    let mine = bind("a@x", "r", session(dead, 1), Conflict::Refuse);
    let its = nodes
        .iter()
        .find(|n| n.0 == dead)
        .expect("it is one of them");
    assert!(its.1.submit(mine).await.is_ok());
    let other = bind("a@x", "s", session(rest[0].0, 1), Conflict::Refuse);
    assert!(rest[0].1.submit(other).await.is_ok());
    let mut events = rest[1].1.events();
    net.kill(dead);
    settled(&rest).await;
    for (_, directory) in &rest {
        let left = [("s".to_owned(), session(rest[0].0, 1))];
        assert_eq!(seen(&**directory, "a@x"), left);
    }
    loop {
        if let Some(Notice::Happened(events)) = events.next().await {
            assert!(
                matches!(&events[..], [super::super::Event::Lost(a, e)] if &**a == "a@x" && e.session == session(dead, 1))
            );
            break;
        }
    }
    // Its record was kept alive: no new generation was needed.
    assert_eq!(rest[0].1.status().generation, 1);
}

#[tokio::test(start_paused = true)]
async fn a_minority_is_fenced_reads_on_and_its_life_is_over_when_it_comes_back() {
    let net = Net::new(2);
    let nodes = net.start_all(1..=3);
    settled(&nodes).await;
    let cut = leader(&nodes).expect("somebody leads");
    let (_, minority) = nodes
        .iter()
        .find(|n| n.0 == cut)
        .expect("it is one")
        .clone();
    let rest = without(&nodes, &[cut]);
    let begin = bind("a@x", "r", session(cut, 1), Conflict::Refuse);
    assert!(minority.submit(begin).await.is_ok());
    net.part(&[cut]);
    until("it is fenced", || minority.status().fenced).await;
    let refused = bind("a@x", "s", session(cut, 2), Conflict::Refuse);
    assert_eq!(
        minority.submit(refused.clone()).await,
        Err(SubmitError::Unavailable)
    );
    assert_eq!(seen(&*minority, "a@x"), [("r".to_owned(), session(cut, 1))]);
    settled(&rest).await;
    // The name is free now.
    let taken = bind("a@x", "r", session(rest[0].0, 9), Conflict::Refuse);
    assert!(matches!(rest[0].1.submit(taken).await, Ok(Reply::Bound(_))));
    net.heal();
    until("it knows that its life is over", || {
        minority.status().fallen
    })
    .await;
    assert_eq!(minority.submit(refused).await, Err(SubmitError::Over));
    // What it had under way takes no effect, and it comes again as another life.
    let again = net.start(9);
    let mut living = rest.clone();
    living.push((9, again));
    settled(&living).await;
    assert_eq!(
        seen(&*living[2].1, "a@x"),
        [("r".to_owned(), session(rest[0].0, 9))]
    );
    assert_eq!(living[2].1.status().generation, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_majority_is_replaced_by_a_new_generation_and_all_say_again_what_they_hold() {
    let net = Net::new(3);
    let directories: Vec<_> = (1..=5).map(|n| net.start(n)).collect();
    let nodes = as_nodes(&directories);
    settled(&nodes).await;
    for (node, directory) in &nodes {
        let mine = bind(
            "a@x",
            &format!("r{node}"),
            session(*node, 1),
            Conflict::Refuse,
        );
        let account: Arc<str> = format!("a{node}@x").into();
        let Command::Bind { resource, .. } = &mine else {
            unreachable!()
        };
        let own = bind(&account, resource, session(*node, 1), Conflict::Refuse);
        assert!(directory.submit(own).await.is_ok());
    }
    let mut listeners: Vec<_> = nodes.iter().map(|n| n.1.events()).collect();
    for dead in 1..=3 {
        net.kill(dead);
    }
    let rest = without(&nodes, &[1, 2, 3]);
    until("a new generation", || {
        // Look-ups go on all the time.
        let there = |n: &Node| (1..=5).all(|a| n.1.lookup(&format!("a{a}@x")).is_some());
        assert!(rest.iter().all(there));
        rest.iter().all(|n| n.1.status().generation == 2)
    })
    .await;
    settled(&rest).await;
    for ((node, directory), events) in rest.iter().zip(&mut listeners[3..]) {
        loop {
            if let Notice::Replaced = events.next().await.expect("it is there") {
                break;
            }
        }
        let entry = Entry {
            session: session(*node, 1),
            resource: format!("r{node}").into(),
            priority: None,
            flags: 0,
        };
        let again = Command::Reassert {
            node: NodeId(*node),
            epoch: directory.view().epoch,
            entries: vec![(format!("a{node}@x").into(), entry)],
        };
        assert_eq!(
            directory.submit(again).await,
            Ok(Reply::Reasserted(Vec::new()))
        );
    }
    equal(&directories[3..]).await;
    // Of the dead nobody says anything any more; those who live were there all the time.
    for (_, directory) in &rest {
        until("what the dead held is forgotten", || {
            let there = |node| directory.lookup(&format!("a{node}@x")).is_some();
            assert!(there(4) && there(5));
            !there(1) && !there(2) && !there(3)
        })
        .await;
    }
    // One founder: the record says who.
    let record = net.record().expect("it was founded");
    assert_eq!(record.generation, 2);
    assert!(record.founder == NodeId(4) || record.founder == NodeId(5));
}

#[tokio::test(start_paused = true)]
async fn a_living_majority_is_never_replaced() {
    let net = Net::new(4);
    let nodes = net.start_all(1..=5);
    settled(&nodes).await;
    let begun = net.record().expect("it was founded");
    net.part(&[4, 5]);
    let rest = without(&nodes, &[4, 5]);
    settled(&rest).await;
    sleep(Duration::from_secs(60)).await;
    let now = net.record().expect("it was founded");
    assert_eq!(
        (now.generation, now.founder),
        (begun.generation, begun.founder)
    );
    assert!(nodes[3].1.status().fenced && nodes[4].1.status().fenced);
    net.heal();
    until("both know", || {
        nodes[3].1.status().fallen && nodes[4].1.status().fallen
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_old_generation_that_wakes_up_joins_the_new_one() {
    let net = Net::new(5);
    let directories: Vec<_> = (1..=3).map(|n| net.start(n)).collect();
    let nodes = as_nodes(&directories);
    settled(&nodes).await;
    // All are alone: the first who sees the beat stand still founds, and the others find it.
    net.part(&[1]);
    net.cut(2, 3);
    net.cut(3, 2);
    until("a new generation", || {
        nodes.iter().any(|n| n.1.status().generation == 2)
    })
    .await;
    net.heal();
    settled(&nodes).await;
    assert!(nodes.iter().all(|n| n.1.status().generation >= 2));
    // What an old one still says is answered by what there is now, whatever it is.
    for kind in [
        Kind::Append,
        Kind::Vote,
        Kind::Part,
        Kind::Forward,
        Kind::Join,
        Kind::Report,
    ] {
        let said = directories[0]
            .handle(NodeId(2), speech::message(kind, 1, &[]))
            .await;
        let generation = nodes[0].1.status().generation;
        assert_eq!(Answer::decode(&said), Answer::Newer(generation), "{kind:?}");
    }
}

/// Stopped as by SIGSTOP: its runtime's only thread stands still while the other node founds a new generation. Its quorum is
/// itself, so only the look around tells it.
#[test]
fn a_node_that_was_stopped_looks_before_it_takes_anything() {
    let net = Net::new(10);
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (wake, woken) = std::sync::mpsc::channel::<()>();
    let its = net.clone();
    let thread = std::thread::spawn(move || {
        runtime().expect("a runtime").block_on(async {
            let node = its.start(1);
            stopped.await.expect("the test goes on");
            woken.recv().expect("the test goes on");
            let mine = bind("a@x", "r", session(1, 1), Conflict::Refuse);
            assert_eq!(
                node.submit(mine.clone()).await,
                Err(SubmitError::Unavailable)
            );
            until("it is in the new one", || {
                node.status().generation == 2 && !node.status().fenced
            })
            .await;
            // The other one took the name.
            let reply = node.submit(mine).await;
            assert_eq!(reply, Ok(Reply::Bound(super::super::Bound::Taken)));
        });
    });
    runtime().expect("a runtime").block_on(async {
        until("the first has founded", || net.record().is_some()).await;
        let node = net.start(2);
        until("it is a member", || !node.status().fenced).await;
        stop.send(()).expect("it waits");
        net.part(&[1]);
        until("a new generation", || {
            node.status().generation == 2 && !node.status().fenced
        })
        .await;
        let taken = bind("a@x", "r", session(2, 1), Conflict::Refuse);
        assert!(node.submit(taken).await.is_ok());
        net.heal();
        wake.send(()).expect("it waits");
        // This one's share of the network runs here.
        until("the first is done", || thread.is_finished()).await;
    });
    thread.join().expect("it found what it should");
}
