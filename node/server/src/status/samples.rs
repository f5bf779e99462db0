//! Facts for tests.

use super::{Facts, SecretStatus};
use crate::membership::status::{DirectoryStatus, LinkStatus, MemberStatus, Phase, Status};

/// Of a node that is well.
pub(crate) fn facts(cluster: Option<Status>) -> Facts {
    Facts {
        version: "0.1.0".into(),
        domains: vec!["example.org".into(), "example.net".into()],
        uptime_s: 273_723,
        not_ready: Vec::new(),
        store_trouble: None,
        accounts: 40,
        sessions: 41,
        parked: 2,
        homes: 12,
        secret: cluster.as_ref().map(|_| SecretStatus {
            rotation: "announced".into(),
            since: 1_800_000_000,
        }),
        cluster,
    }
}

fn member(number: u64, name: &str, weight: u32) -> MemberStatus {
    MemberStatus {
        node: format!("{:016x}", number * 0x0123_4567_89ab),
        name: name.into(),
        address: format!("10.0.0.{number}:7269"),
        state: "ready".into(),
        weight,
        zone: format!("eu-central-1{name}"),
        version: "0.1.0".into(),
        since: number,
        is_me: number == 1,
    }
}

/// A cluster of three, seen by the first; the second leads.
pub(crate) fn three() -> Status {
    let members = vec![
        member(1, "a", 100),
        member(2, "b", 100),
        member(3, "c", 200),
    ];
    let link = |member: &MemberStatus| LinkStatus {
        node: member.node.clone(),
        name: member.name.clone(),
        address: member.address.clone(),
        state: "up".into(),
        latency_us: Some(412),
        queued_frames: 0,
        queued_bytes: 0,
    };
    Status {
        cluster: "blue".into(),
        node: members[0].node.clone(),
        name: "a".into(),
        address: members[0].address.clone(),
        zone: "eu-central-1a".into(),
        version: "0.1.0".into(),
        phase: Phase::Serving,
        epoch: 12,
        generation: 3,
        directory: DirectoryStatus {
            kind: "raft".into(),
            role: "voter".into(),
            leader: Some(members[1].node.clone()),
            lag: 0,
            silence_ms: Some(40),
            fenced: false,
        },
        links: members[1..].iter().map(link).collect(),
        members,
        dialled: Vec::new(),
        homes: 12,
        sessions: 41,
        pipes: 5,
        leaving: None,
    }
}
