//! What nodes say to each other of sessions, as it comes in.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use cluster::NodeId;

use super::{millis, state::Delta, store::Update};
use crate::routing::{
    Router,
    peers::{Kind, frame},
};

/// Takes what a node tells of a session of its.
pub fn taken(router: &Arc<Router>, from: NodeId, body: &Bytes) {
    let Some((number, rest)) = frame::split(body) else {
        return;
    };
    let update = minicbor::decode::<Update>(&rest);
    let (is_close, is_over, upto) = match &update {
        Ok(update) => {
            let is_close = matches!(update.deltas[..], [Delta::Closed]);
            (is_close, is_close || update.leaves(), update.number)
        }
        Err(_) => (false, false, 0),
    };
    let replicas = &router.replicas;
    let is_known = match update {
        Ok(update) => replicas.store.lock().take_in((from, number), update),
        Err(error) => {
            tracing::warn!(node = from.0, %error, "a session that cannot be followed");
            false
        }
    };
    if is_close {
        replicas.has_arrived((from, number));
    }
    if is_over {
        return;
    }
    let mut owed = replicas.owed.lock();
    let is_first = owed.is_empty();
    let of_node = owed.entry(from).or_default();
    of_node.push((number, if is_known { upto } else { 0 }));
    drop(owed);
    if is_first {
        // What else has come by then is answered as well.
        let router = router.clone();
        router.clone().spawn(async move { answer(&router) });
    }
}

fn answer(router: &Router) {
    let owed = std::mem::take(&mut *router.replicas.owed.lock());
    for (node, answers) in owed {
        let body = minicbor::to_vec(&answers).unwrap_or_default();
        router.peers.send(node, Kind::Replicated, body.into());
    }
}

/// A node says how far it knows sessions of this one.
pub fn confirmed(router: &Router, from: NodeId, body: &Bytes) {
    let Ok(answers) = minicbor::decode::<Vec<(u64, u64)>>(body) else {
        return tracing::warn!(node = from.0, "an answer that is not understood");
    };
    let replicas = &router.replicas;
    replicas.silent.lock().remove(&from);
    for (number, upto) in answers {
        let line = replicas.line(number).lock().get(&number).cloned();
        let Some(line) = line.filter(|line| line.node == from) else {
            continue;
        };
        match upto {
            0 => line.refused.store(true, Ordering::Release),
            upto => {
                line.since_ms.store(millis(router), Ordering::Relaxed);
                line.confirm(upto);
            }
        }
        line.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::Update;
    use crate::versions::check;

    #[test]
    fn an_earlier_version_reads_it_and_is_read() {
        // One delta of each kind.
        check::<Update>(
            "8303826f616461406578616d706c652e6f72671b0000018bcfe5680088820081906570686f6e6562736d1a000927c0056265\
         6e20034b3c70726573656e63652f3e81656140622f63646c69737418288482008107820181443c6d2f3e820280820383443c\
         6d2f3e090281820081081b0000018bcfe568008201021b0000018bcfe567ff82018105820281182982038184820081078201\
         81443c6d2f3e820280820383443c6d2f3e09028204818520034b3c70726573656e63652f3e81656140622f63646c69737482\
         0581808206818482008107820181443c6d2f3e820280820383443c6d2f3e0902820780",
        );
        // Of a session that is known.
        check::<Update>("8304f68182018106");
        let confirmed = minicbor::to_vec([(4_u64, 0_u64), (5, 17)]).unwrap();
        assert_eq!(confirmed, b"\x82\x82\x04\x00\x82\x05\x11");
    }
}
