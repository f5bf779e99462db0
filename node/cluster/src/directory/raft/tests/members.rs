//! Members that come, leave, and are declared down.

use super::*;

/// The leader that lets a node in forgets it, since they do not hear each other, and dies. Whom that node takes for the leader is
/// not there to be asked.
#[tokio::test(start_paused = true)]
async fn who_comes_while_the_leader_goes_is_let_in_by_the_next() {
    let mut forgotten = 0;
    for delay in (0..120).step_by(3) {
        let net = Net::new(delay);
        let nodes = net.start_all(1..=3);
        settled(&nodes).await;
        let dies = leader(&nodes).expect("somebody leads");
        let newcomer = net.start(4);
        sleep(Duration::from_millis(delay)).await;
        net.part(&[4]);
        sleep(Duration::from_millis(900)).await;
        net.kill(dies);
        net.heal();
        let mut living = without(&nodes, &[dies]);
        if newcomer.status().fallen || living[0].1.view().seat(NodeId(4)).is_some() {
            // It was a member already.
            continue;
        }
        forgotten += 1;
        living.push((4, newcomer));
        settled(&living).await;
    }
    println!("{forgotten} were not members when the leader went");
    assert!(forgotten > 0);
}

#[tokio::test(start_paused = true)]
async fn members_come_and_go_one_after_the_other() {
    let net = Net::new(6);
    let mut nodes: Vec<Node> = Vec::new();
    for node in 1..=7 {
        nodes.push((node, net.start(node)));
        settled(&nodes).await;
    }
    let voters = |nodes: &[Node]| {
        let votes = |n: &&Node| matches!(n.1.status().role, Role::Leader | Role::Voter);
        nodes.iter().filter(votes).count()
    };
    until("five vote", || voters(&nodes) == 5).await;
    while nodes.len() > 1 {
        let (node, directory) = nodes.remove(0);
        let id = NodeId(node);
        assert_eq!(
            directory.submit(Command::NodeReady(id)).await,
            Ok(Reply::Done)
        );
        assert_eq!(
            directory.submit(Command::NodeDraining(id)).await,
            Ok(Reply::Done)
        );
        until("its vote is another's", || {
            directory.status().role == Role::Observer
        })
        .await;

        assert_eq!(
            directory.submit(Command::NodeDown(id)).await,
            Ok(Reply::Done)
        );
        net.kill(node);
        settled(&nodes).await;
    }
    assert_eq!(nodes[0].1.status().generation, 1);
}

/// Whoever comes behind the last one that left in good order need not wait whether it is still there.
#[tokio::test(start_paused = true)]
async fn the_last_one_that_leaves_says_so() {
    let net = Net::new(9);
    let directories = [net.start(1), net.start(2)];
    let nodes = as_nodes(&directories);
    settled(&nodes).await;
    for (number, directory) in (1..).zip(&directories) {
        let down = directory.submit(Command::NodeDown(NodeId(number))).await;
        assert_eq!(down, Ok(Reply::Done));
        directory.sign_off().await;
        net.kill(number);
        if number == 1 {
            // Another one is there, and keeps the record.
            settled(&nodes[1..]).await;
            assert_ne!(net.record().unwrap().founder, NOBODY);
        }
    }
    assert_eq!(net.record().unwrap().founder, NOBODY);
    let begun = tokio::time::Instant::now();
    let next: Vec<Node> = vec![(3, net.start(3))];
    settled(&next).await;
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    let record = net.record().unwrap();
    assert_eq!((record.generation, record.founder), (2, NodeId(3)));
}

/// Who does not reach the others cannot know that it is the last.
#[tokio::test(start_paused = true)]
async fn who_is_cut_off_says_nothing() {
    let net = Net::new(10);
    let directories: Vec<_> = (1..=3).map(|node| net.start(node)).collect();
    let nodes = as_nodes(&directories);
    settled(&nodes).await;
    net.part(&[1]);
    sleep(Duration::from_secs(3)).await;
    directories[0].sign_off().await;
    assert_ne!(net.record().unwrap().founder, NOBODY);
    net.kill(1);
    settled(&nodes[1..]).await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_late_gets_a_snapshot() {
    let net = Net::new(7);
    let mut directories = vec![net.start(1)];
    settled(&as_nodes(&directories)).await;
    for number in 0..4_000 {
        let mine = bind(
            &format!("a{number}@x"),
            "r",
            session(1, number),
            Conflict::Refuse,
        );
        assert!(directories[0].submit(mine).await.is_ok());
    }
    directories.push(net.start(2));
    settled(&as_nodes(&directories)).await;
    equal(&directories).await;
    assert_eq!(directories[1].inner.core.replica().accounts(), 4_000);
}

/// The search finds out nodes that do not agree: each with a directory of its own.
#[tokio::test(start_paused = true)]
async fn nodes_without_an_order_are_found_out() {
    let members: Vec<u64> = (1..=3).collect();
    let nodes: Vec<Node> = members
        .iter()
        .map(|node| {
            let local = crate::directory::Local::default();
            for member in &members {
                local.apply(Command::NodeUp(crate::directory::state::tests::member(
                    *member,
                )));
            }
            (*node, Arc::new(local) as Arc<dyn Directory>)
        })
        .collect();
    let history = Arc::new(History::default());
    let storms = nodes
        .iter()
        .map(|n| storm(n.clone(), history.clone(), n.0, 60));
    for storm in storms.map(tokio::spawn).collect::<Vec<_>>() {
        storm.await.expect("clients do not fail");
    }
    let contradiction = history.contradiction(&members, |account| nodes[0].1.lookup(account));
    assert!(contradiction.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_first_of_a_list_founds_and_joins_what_goes_on_without_it() {
    let net = Net::new(8);
    let fixed = |first, started| Arc::new(Fixed::new(first, started));
    let mut nodes: Vec<Node> = Vec::new();
    for node in [3, 2, 1] {
        nodes.push((node, net.start_with(node, fixed(node == 1, 1_000))));
        sleep(Duration::from_secs(3)).await;
    }
    settled(&nodes).await;
    assert!(nodes.iter().all(|n| n.1.status().generation == 1_000));
    // The first starts again, as a new life, while the others go on.
    net.kill(1);
    nodes.pop();
    settled(&nodes).await;
    nodes.push((11, net.start_with(11, fixed(true, 2_000))));
    settled(&nodes).await;
    assert!(nodes.iter().all(|n| n.1.status().generation == 1_000));
}

/// The leader reaches everybody; most of the others do not reach one.
#[tokio::test(start_paused = true)]
async fn whom_most_of_the_others_cannot_reach_is_declared_down() {
    let net = Net::new(9);
    let nodes = net.start_all(1..=5);
    settled(&nodes).await;
    let leader = leader(&nodes).expect("somebody leads");
    let others: Vec<u64> = (1..=5).filter(|n| *n != leader).collect();
    // One cannot reach another: nobody knows which of them is wrong.
    net.cut(others[0], others[1]);
    sleep(Duration::from_secs(10)).await;
    settled(&nodes).await;
    net.cut(others[2], others[1]);
    let rest = without(&nodes, &[others[1]]);
    settled(&rest).await;
    until("it knows", || {
        nodes[others[1] as usize - 1].1.status().fallen
    })
    .await;
}
