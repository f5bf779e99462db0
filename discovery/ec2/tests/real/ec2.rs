//! Tags and life cycle against moto, through a proxy that does what networks and services do.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::common::{Cluster, PORT, TAGS};
use discovery::{
    Discovery as _, ErrorKind, Event, Watcher,
    backoff::Backoff,
    watcher::{Options, Pace},
};
use discovery_ec2::{Access, Ec2, Ec2Options};
use services::{
    Fault,
    moto::{Group, REGION},
};
use tokio::sync::mpsc;

fn is_describe(asked: &services::faults::Asked<'_>) -> bool {
    asked.body.starts_with(b"Action=DescribeInstances")
}

/// 13 of a group in pages of 5, and beside them all that is to be left out.
#[tokio::test]
async fn all_pages_and_none_of_what_is_not_asked_for() {
    let cluster = Cluster::start(13, &[]).await;
    let moto = &cluster.moto;
    let foreign = Group {
        name: "foreign",
        size: 2,
        tags: &[("starling", "other"), ("stage", "test")],
        ..Group::default()
    };
    moto.group(&cluster.network, &foreign).unwrap();
    let half = Group {
        name: "half",
        tags: &TAGS[..1],
        ..foreign.clone()
    };
    moto.group(&cluster.network, &half).unwrap();
    let elsewhere = moto.network(65).unwrap();
    let elsewhere_group = Group {
        name: "elsewhere",
        tags: TAGS,
        ..foreign.clone()
    };
    moto.group(&elsewhere, &elsewhere_group).unwrap();
    let ids = cluster.ids();
    moto.call("ec2", "StopInstances", &[("InstanceId.1", &ids[3])])
        .unwrap();

    let me = cluster.identity(&ids[0]).await;
    let source = Ec2::open(cluster.options().beside(&me)).await.unwrap();
    cluster.faults.clear();
    let answer = source.candidates().await.unwrap();
    assert_eq!(cluster.faults.asked(), 3);
    let found: BTreeSet<_> = answer
        .candidates
        .iter()
        .filter_map(|c| c.instance.clone())
        .collect();
    let expected: BTreeSet<Box<str>> = ids
        .iter()
        .filter(|id| **id != ids[0] && **id != ids[3])
        .map(|id| id.as_str().into())
        .collect();
    assert_eq!((found, answer.candidates.len()), (expected, 11));
    for candidate in &answer.candidates {
        let identity = cluster
            .identity(candidate.instance.as_deref().unwrap())
            .await;
        let address = (identity.ipv4.unwrap(), PORT).into();
        assert_eq!(
            (candidate.address, &candidate.zone),
            (address, &Some(identity.zone))
        );
    }
    let zones: BTreeSet<_> = answer
        .candidates
        .iter()
        .filter_map(|c| c.zone.clone())
        .collect();
    assert_eq!(zones.len(), 2, "{zones:?}");

    // Without VPC and without oneself: those elsewhere too.
    let everywhere = Ec2::open(cluster.options()).await.unwrap();
    assert_eq!(everywhere.candidates().await.unwrap().candidates.len(), 14);
}

#[tokio::test]
async fn options_that_cannot_be_meant() {
    let good = Ec2Options {
        tags: vec![("starling".into(), "chat".into())],
        port: PORT,
        access: Access {
            region: Some(REGION.into()),
            ..Access::default()
        },
        ..Ec2Options::default()
    };
    Ec2::open(good.clone()).await.map(drop).unwrap();
    let no_tags = Ec2Options {
        tags: vec![],
        ..good.clone()
    };
    let no_value = Ec2Options {
        tags: vec![("starling".into(), String::new())],
        ..good.clone()
    };
    let no_port = Ec2Options {
        port: 0,
        ..good.clone()
    };
    let small_page = Ec2Options { page: 4, ..good };
    for options in [no_tags, no_value, no_port, small_page] {
        let error = Ec2::open(options).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Malformed);
    }
}

#[tokio::test]
async fn failures_are_told_apart_and_passing_ones_are_tried_again() {
    let cluster = Cluster::start(6, &[]).await;
    let source = Ec2::open(cluster.options()).await.unwrap();
    let limit = Fault::ec2(503, "RequestLimitExceeded");
    for (fault, kind, tries) in [
        (limit.clone(), ErrorKind::Throttled, 3),
        (Fault::ec2(400, "Throttling"), ErrorKind::Throttled, 3),
        (Fault::ec2(503, "Unavailable"), ErrorKind::Unavailable, 3),
        (Fault::ec2(500, "InternalError"), ErrorKind::Unavailable, 3),
        (Fault::Reset, ErrorKind::Unavailable, 3),
        (Fault::CutAnswer, ErrorKind::Unavailable, 3),
        (
            Fault::Answer(200, "text/xml", "<html>".into()),
            ErrorKind::Malformed,
            1,
        ),
        (
            Fault::ec2(403, "UnauthorizedOperation"),
            ErrorKind::Denied,
            1,
        ),
        (Fault::ec2(401, "AuthFailure"), ErrorKind::Denied, 1),
        (
            Fault::ec2(400, "InvalidParameterValue"),
            ErrorKind::Malformed,
            1,
        ),
    ] {
        cluster.faults.clear();
        cluster.faults.add(u64::MAX, fault.clone(), is_describe);
        let error = source.candidates().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.asked()),
            (kind, "ec2"),
            "{fault:?}: {}",
            error.chain()
        );
        assert_eq!(cluster.faults.hits(), tries, "{fault:?}");
    }
    // A fault that passes, on the second page: it alone is asked again.
    cluster.faults.clear();
    let is_second = |asked: &services::faults::Asked<'_>| {
        str::from_utf8(asked.body).unwrap().contains("NextToken=")
    };
    cluster.faults.add(2, limit, is_second);
    let answer = source.candidates().await.unwrap();
    assert_eq!(answer.candidates.len(), 6);
    assert_eq!((cluster.faults.asked(), cluster.faults.hits()), (4, 2));
}

fn fast(gone_after: u32) -> Options {
    let backoff = Backoff {
        first: Duration::from_millis(10),
        longest: Duration::from_millis(50),
    };
    Options {
        pace: Pace {
            seeking: Duration::from_millis(50),
            settled: Duration::from_millis(50),
            least: Duration::from_millis(10),
            failing: backoff,
            ..Pace::default()
        },
        gone_after,
        ..Options::default()
    }
}

/// The events up to so many that are no trouble, as sets of instances.
async fn next(
    events: &mut mpsc::Receiver<Event>,
    count: usize,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut found, mut gone) = (BTreeSet::new(), BTreeSet::new());
    let instance = |candidate: discovery::Candidate| candidate.instance.unwrap().into();
    while found.len() + gone.len() < count {
        match events.recv().await.unwrap() {
            Event::Found(candidate) => found.insert(instance(candidate)),
            Event::Gone(candidate) => gone.insert(instance(candidate)),
            Event::Trouble(error) => panic!("{}", error.chain()),
        };
    }
    (found, gone)
}

#[tokio::test]
async fn a_group_that_grows_and_shrinks() {
    let cluster = Cluster::start(3, &[]).await;
    let before: BTreeSet<_> = cluster.ids().into_iter().collect();
    let source = Ec2::open(cluster.options()).await.unwrap();
    let (watcher, mut events) = Watcher::start(Arc::new(source), fast(2), Arc::new(()));
    assert_eq!(
        next(&mut events, 3).await,
        (before.clone(), BTreeSet::new())
    );

    cluster.moto.scale(cluster.group, 7).unwrap();
    let (found, gone) = next(&mut events, 4).await;
    let all: BTreeSet<_> = cluster.ids().into_iter().collect();
    assert_eq!((found, gone), (&all - &before, BTreeSet::new()));

    cluster.moto.scale(cluster.group, 2).unwrap();
    let left: BTreeSet<_> = cluster.ids().into_iter().collect();
    assert_eq!(left.len(), 2);
    assert_eq!(next(&mut events, 5).await, (BTreeSet::new(), &all - &left));
    assert_eq!(watcher.current().borrow().len(), 2);
}

#[tokio::test]
async fn an_outage_removes_nobody() {
    let mut cluster = Cluster::start(8, &[]).await;
    let source = Ec2::open(cluster.options()).await.unwrap();
    let (watcher, mut events) = Watcher::start(Arc::new(source), fast(1), Arc::new(()));
    next(&mut events, 8).await;
    let trouble = async |events: &mut mpsc::Receiver<Event>| match events.recv().await.unwrap() {
        Event::Trouble(error) => error.kind(),
        event => panic!("{event:?}"),
    };
    // The second page alone fails: the first is not all there is.
    let limit = Fault::ec2(503, "RequestLimitExceeded");
    cluster.faults.add(u64::MAX, limit, |asked| {
        str::from_utf8(asked.body).unwrap().contains("NextToken=")
    });
    assert_eq!(trouble(&mut events).await, ErrorKind::Throttled);
    cluster.faults.clear();
    cluster.faults.add(u64::MAX, Fault::Reset, is_describe);
    while trouble(&mut events).await != ErrorKind::Unavailable {}
    // The API is gone for good.
    cluster.moto.process().kill();
    cluster.faults.clear();
    for _ in 0..2 {
        assert_eq!(trouble(&mut events).await, ErrorKind::Unavailable);
    }
    assert_eq!(watcher.current().borrow().len(), 8);
}

/// Nothing is asked beyond the rate, whatever the pace.
#[tokio::test]
async fn the_bucket_bounds_the_rate() {
    let cluster = Cluster::start(1, &[]).await;
    let options = Ec2Options {
        burst: 2,
        each: Duration::from_secs(3600),
        ..cluster.options()
    };
    let source = Ec2::open(options).await.unwrap();
    cluster.faults.clear();
    source.candidates().await.unwrap();
    source.candidates().await.unwrap();
    let third = tokio::time::timeout(Duration::from_millis(300), source.candidates());
    assert!(third.await.is_err());
    assert_eq!(cluster.faults.asked(), 2);
}

/// An address that tags lead to is one where a node here can listen, and be reached.
#[tokio::test]
async fn a_candidate_can_be_dialled() {
    let cluster = Cluster::start(1, &[]).await;
    let source = Ec2::open(cluster.options()).await.unwrap();
    let address = source.candidates().await.unwrap().candidates[0].address;
    let listener = tokio::net::TcpListener::bind((address.ip(), 0))
        .await
        .unwrap();
    let dialled = (address.ip(), listener.local_addr().unwrap().port());
    let (client, server) = tokio::join!(tokio::net::TcpStream::connect(dialled), listener.accept());
    assert_eq!(client.unwrap().peer_addr().unwrap().ip(), address.ip());
    server.unwrap();
}

/// Without keys and region: the instance's role and place, from the metadata of the one that asks.
#[tokio::test]
async fn as_the_role_of_the_instance() {
    let cluster = Cluster::start(2, &[]).await;
    let home = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let with_role = "ec2::with_the_role_of_the_instance";
    child.args(["--exact", with_role, "--ignored"]);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            child.env_remove(name);
        }
    }
    let metadata = cluster.moto.metadata(&cluster.ids()[0]);
    child
        .env("HOME", home.path())
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata)
        .env("STARLING_TEST_EC2", cluster.faults.url());
    // The proxy lives on this thread.
    let output = tokio::task::spawn_blocking(move || child.output()).await;
    let output = output.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
    assert!(cluster.faults.asked() > 0);
}

/// The process of an instance.
#[tokio::test]
#[ignore = "run by as_the_role_of_the_instance, under its environment"]
async fn with_the_role_of_the_instance() {
    let options = discovery::instance::Options::from_environment(|name| std::env::var(name).ok());
    let instance = discovery::Instance::detect(options).await.unwrap().unwrap();
    let tags = TAGS.iter();
    let options = Ec2Options {
        access: Access {
            endpoint: std::env::var("STARLING_TEST_EC2").ok(),
            ..Access::default()
        },
        tags: tags.map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        port: PORT,
        ..Ec2Options::default()
    };
    let me = instance.identity().await.unwrap();
    let source = Ec2::open(options.beside(&me)).await.unwrap();
    assert_eq!(source.candidates().await.unwrap().candidates.len(), 1);
}
