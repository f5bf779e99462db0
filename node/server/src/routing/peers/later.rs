//! Later: frames about a view that this node does not know yet.
//!
//! Nodes learn of a view at different times. One that is behind waits for it, instead of passing back what another sent
//! because it knows more.
//! Stored: nothing. Bounds: [`MAX_FRAMES`], [`MAX_BYTES`].

use bytes::Bytes;
use cluster::NodeId;
use parking_lot::Mutex;

use super::Kind;

const MAX_FRAMES: usize = 1 << 16;
const MAX_BYTES: usize = 64 << 20;

struct Frame {
    from: NodeId,
    kind: Kind,
    body: Bytes,
}

#[derive(Default)]
struct Waiting {
    frames: Vec<Frame>,
    /// Those of them that have to wait for a later view.
    again: Vec<Frame>,
    bytes: usize,
    /// What waited is being taken in: what comes meanwhile comes behind it.
    draining: bool,
}

/// What waits for a view.
#[derive(Default)]
pub(super) struct Later(Mutex<Waiting>);

impl Later {
    /// Keeps a frame that is about a view later than `known`, or comes behind one that was; `waited`: it was kept before.
    /// `None`: it need not wait; false: there is no room.
    pub(super) fn put_off(
        &self,
        known: u64,
        epoch: u64,
        frame: (NodeId, Kind, &Bytes),
        waited: bool,
    ) -> Option<bool> {
        let (from, kind, body) = frame;
        let mut waiting = self.0.lock();
        if epoch <= known && (waited || !waiting.draining) {
            return None;
        }
        let frames = waiting.frames.len() + waiting.again.len();
        if frames >= MAX_FRAMES || waiting.bytes + body.len() > MAX_BYTES {
            return Some(false);
        }
        waiting.bytes += body.len();
        let frame = Frame {
            from,
            kind,
            body: body.clone(),
        };
        match waited {
            true => waiting.again.push(frame),
            false => waiting.frames.push(frame),
        }
        Some(true)
    }

    /// A node is gone: whoever waited for an answer there comes again, elsewhere.
    pub(super) fn gone(&self, node: NodeId) {
        let mut waiting = self.0.lock();
        let Waiting {
            frames,
            again,
            bytes,
            ..
        } = &mut *waiting;
        for frames in [frames, again] {
            for gone in frames.extract_if(.., |frame| frame.from == node) {
                *bytes -= gone.body.len();
            }
        }
    }

    /// A view is about to change.
    pub(super) fn begin(&self) {
        self.0.lock().draining = true;
    }

    /// Takes out all that waits, in the order in which it came, to be looked at under the view of now. Empty: all was, and
    /// what comes need not wait behind it.
    pub(super) fn due(&self) -> Vec<(NodeId, Kind, Bytes)> {
        let mut waiting = self.0.lock();
        let due = std::mem::take(&mut waiting.frames);
        waiting.bytes -= due.iter().map(|frame| frame.body.len()).sum::<usize>();
        if due.is_empty() {
            waiting.frames = std::mem::take(&mut waiting.again);
            waiting.draining = false;
        }
        let frame = |it: Frame| (it.from, it.kind, it.body);
        due.into_iter().map(frame).collect()
    }
}
