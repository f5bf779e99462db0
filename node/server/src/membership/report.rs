//! Report: the status, from the parts that know it.

use std::time::Duration;

use cluster::{
    directory::{Seat, Stage},
    link::{PeerInfo, PeerState},
};

use super::{
    Inner,
    seat::role,
    status::{DialStatus, DirectoryStatus, LinkStatus, MemberStatus, Phase, Report, Status, hex},
};

impl Report for Inner {
    fn status(&self) -> Status {
        let view = self.seat().map(|seat| seat.directory().view());
        let seats = view.as_ref().map_or(&[][..], |view| &view.seats);
        let targets = self.lines.targets();
        Status {
            cluster: self.cluster.name.clone(),
            node: hex(self.me()),
            name: self.member.name.to_string(),
            address: self.lines.address(),
            zone: self.member.zone.to_string(),
            version: self.member.version.to_string(),
            phase: self.phase(),
            epoch: self.followed.lock().serving.epoch,
            generation: view.as_ref().map_or(0, |view| view.generation()),
            directory: self.directory_status(),
            members: seats.iter().map(|seat| self.member_status(seat)).collect(),
            links: self.lines.peers().iter().map(link_status).collect(),
            dialled: targets
                .into_iter()
                .map(|target| DialStatus {
                    address: target.address,
                    node: target.node.map(hex),
                    trouble: target.trouble,
                })
                .collect(),
            homes: self.router.homes.len(),
            sessions: self.router.sessions.len(),
            pipes: self.router.peers.pipes(),
            leaving: self.leaving.told(self.left()),
        }
    }

    fn phase(&self) -> Phase {
        let is_fenced = || {
            let seat = self.seat();
            seat.is_none_or(|seat| seat.directory().status().fenced)
        };
        match *self.phase.borrow() {
            Phase::Serving if is_fenced() => Phase::Fenced,
            phase => phase,
        }
    }
}

impl Inner {
    fn directory_status(&self) -> DirectoryStatus {
        let Some(seat) = self.seat() else {
            return DirectoryStatus {
                kind: String::new(),
                role: "joining".to_owned(),
                leader: None,
                lag: 0,
                silence_ms: None,
                fenced: true,
            };
        };
        let status = seat.directory().status();
        let heard = (status.silence < Duration::MAX).then_some(status.silence);
        DirectoryStatus {
            kind: seat.kind().to_owned(),
            role: role(status.role).to_owned(),
            leader: status.leader.map(hex),
            lag: status.lag,
            silence_ms: heard.map(|silence| u64::try_from(silence.as_millis()).unwrap_or(u64::MAX)),
            fenced: status.fenced,
        }
    }

    fn member_status(&self, seat: &Seat) -> MemberStatus {
        let member = &seat.member;
        let state = match seat.stage {
            Stage::Up => "up",
            Stage::Ready => "ready",
            Stage::Draining => "draining",
        };
        MemberStatus {
            node: hex(member.node),
            name: member.name.to_string(),
            address: member
                .links
                .first()
                .map(ToString::to_string)
                .unwrap_or_default(),
            state: state.to_owned(),
            weight: member.weight,
            zone: member.zone.to_string(),
            version: member.version.to_string(),
            since: seat.since,
            is_me: member.node == self.me(),
        }
    }
}

fn link_status(peer: &PeerInfo) -> LinkStatus {
    let state = match peer.state {
        PeerState::Up => "up",
        PeerState::Silent(_) => "silent",
        PeerState::Gone(_) => "gone",
    };
    let micros = |latency: Duration| u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    LinkStatus {
        node: hex(peer.node),
        name: peer.name.clone(),
        address: peer.address.clone(),
        state: state.to_owned(),
        latency_us: peer.latency.map(micros),
        queued_frames: peer.lanes.iter().map(|lane| lane.queued_frames).sum(),
        queued_bytes: peer.lanes.iter().map(|lane| lane.queued_bytes).sum(),
    }
}
