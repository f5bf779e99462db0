//! Taking connections, and putting those that are introduced, whoever dialled them, in charge of their lanes.

use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::{
    Class, Gone,
    admission::Door,
    connection::Carrier,
    handshake::{self, Introduced, NoLink, WITHIN, framed, receive, send},
    hello::{Refusal, Welcome, encoded},
    inner::Inner,
    lane::Attached,
    network::Listener,
};
use crate::NodeId;

/// When a connection breaks the node with the smaller id dials at once, the other one after this.
const SECOND_DIAL: Duration = Duration::from_millis(100);

impl Inner {
    pub(super) async fn accept(self: Arc<Self>, mut listener: Box<dyn Listener>) {
        let door = Arc::new(Door::default());
        loop {
            let (stream, host) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot take connections of other nodes");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Some(place) = door.enter(host) else {
                tracing::debug!(%host, "too many connections that did not prove anything yet");
                continue;
            };
            let inner = self.clone();
            self.spawn(async move {
                let answered = handshake::answer(&inner, stream, place).await;
                let made = match answered {
                    Ok(introduced) => inner.agree(introduced).await,
                    Err(error) => Err(error),
                };
                match made {
                    Ok(_) => {}
                    Err(NoLink::Refused(Refusal::Myself)) => {}
                    Err(NoLink::Refused(error)) => {
                        tracing::warn!(%host, %error, "refused a connection");
                    }
                    // Anybody can cause these.
                    Err(error) => tracing::debug!(%host, %error, "a connection was not made"),
                }
            });
        }
    }

    /// The last part of the handshake: from now on this connection carries its lane, unless a newer one does.
    pub(super) async fn agree(self: &Arc<Self>, introduced: Introduced) -> Result<NodeId, NoLink> {
        let peer = self.meet(&introduced)?;
        let class = Class::of(introduced.hello.class).expect("a hello that was judged has a class");
        let (lane, mut stream) = (peer.lane(class).clone(), introduced.stream);
        let is_first = self.config.node < peer.node;
        let exchange = async {
            if is_first {
                let ours = lane.welcome(lane.next_generation(), peer.memory);
                send(&mut stream, &encoded(&ours)).await?;
                let theirs: Welcome = receive(&mut stream).await?;
                Ok((theirs, ours.generation))
            } else {
                let theirs: Welcome = receive(&mut stream).await?;
                let generation = theirs.generation;
                Ok::<_, NoLink>((theirs, generation))
            }
        };
        let agreed = tokio::time::timeout(WITHIN, exchange).await;
        let (theirs, generation) = agreed.map_err(|_| NoLink::Slow)??;
        if theirs.generation != generation {
            return Err(Refusal::Malformed("another connection's welcome").into());
        }
        if !peer.is_remembered(theirs.memory) {
            self.is_disowned_by(peer.node);
            return Err(Refusal::Disowned.into());
        }
        let attached = lane.attach(&theirs, Instant::now());
        if !attached.map_err(|_| Refusal::Malformed("it got what was never sent"))? {
            return Ok(peer.node);
        }
        let attached = Attached {
            lane: lane.clone(),
            generation,
            since: Instant::now(),
            grace: if is_first {
                Duration::ZERO
            } else {
                SECOND_DIAL
            },
            changed: self.changed.clone(),
        };
        let first = if is_first {
            Vec::new()
        } else {
            framed(&encoded(&lane.welcome(generation, peer.memory)))
        };
        if class == Class::Control {
            *peer.gone.lock() = None;
            peer.hears(Instant::now());
        }
        let (node, inner) = (peer.node, self.clone());
        self.gone_from(&peer.address, Gone::Replaced(node));
        let carrier = Carrier {
            inner,
            peer,
            attached,
        };
        if let Some(task) = self.spawn(carrier.run(stream, first)) {
            lane.carried_by(generation, task);
        }
        Ok(node)
    }
}
