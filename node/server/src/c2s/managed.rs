//! Stream management of a session: its elements over the pure counters (XEP-0198 1.6.3).

use std::time::Duration;

use bytes::Bytes;
use xmpp::{Element, Node, Stanza, StreamError, StreamErrorCondition as Condition, ns};

use super::{
    session::SessionCore,
    stream_management::{AckPolicy, Handled, Limits, Unacked},
};
use crate::{
    pipeline::archive_rule::{Class, classify},
    routing::{Delivery, Letter, Order},
};

/// How long an answer to `<r/>` may wait for what came before it to be handled.
const ACK_PATIENCE: Duration = Duration::from_secs(2);

/// What is kept of a stanza until the client acknowledges it.
#[derive(Debug, Clone)]
pub enum Sent {
    /// It is in the log under this number.
    Logged(u64),
    /// A message that is in no log and must not be lost.
    Message(Delivery),
    /// Anything else.
    Other(Bytes),
}

/// The managed half of a session.
pub struct Managed {
    /// How long it may be resumed; `None`: the client did not ask for that.
    pub resume: Option<Duration>,
    /// What the client has not acknowledged.
    pub outbound: Unacked<Sent>,
    /// `h` as the client may be told: errors that answer what it covers are on their way before it. A client that learnt of
    /// the one and lost the other would take a refused message for a sent one.
    pub(super) tellable: u32,
    /// The client asked when so many of its stanzas had come in (modulo 2^32), and they are not all handled yet. Its
    /// answer waits for them, or the client would learn little; it does not wait for what came after, and never long.
    pub ack_owed: Option<u32>,
    /// It asked once more meanwhile: the newest such count.
    pub(super) ack_owed_next: Option<u32>,
    /// Something will send [`Order::Acknowledge`] if the answer takes long.
    pub(super) ack_timed: bool,
    /// A message was sent since the client was last asked for an acknowledgement.
    pub(super) unasked: bool,
    /// The client was asked and has not answered.
    pub(super) asked: bool,
}

impl Managed {
    /// Of a session that waits to be resumed, `h` stanzas of its client being handled.
    pub(super) fn waiting(resume: Duration, outbound: Unacked<Sent>, h: u32) -> Self {
        Self {
            resume: Some(resume),
            outbound,
            tellable: h,
            ack_owed: None,
            ack_owed_next: None,
            ack_timed: false,
            unasked: false,
            asked: false,
        }
    }

    /// Over a new connection, the client having been told that `h` of its stanzas are handled: what it has not acknowledged
    /// is returned, to be sent again.
    pub(super) fn resumed(self, h: u32, queue: usize) -> (Self, Vec<Sent>) {
        let limits = Limits {
            stanzas: queue,
            ..Limits::default()
        };
        let fresh = Unacked::resumed(self.outbound.acked(), limits, AckPolicy::default());
        let again = self.outbound.into_items().collect();
        (
            Self {
                outbound: fresh,
                tellable: h,
                ack_owed: None,
                ack_owed_next: None,
                ack_timed: false,
                unasked: false,
                asked: false,
                ..self
            },
            again,
        )
    }
}

impl Managed {
    /// Whether `<r/>` is due; asking is then noted. A message is asked about at once, so that it does not wait for
    /// others to be known as received, but never while an answer is still out.
    pub(super) fn wants_ack(&mut self) -> bool {
        let due = self.outbound.wants_ack() || (self.unasked && !self.asked);
        if due {
            (self.unasked, self.asked) = (false, true);
        }
        due
    }
}

impl SessionCore {
    /// Turns stream management on; the `<enabled/>` to answer with.
    pub fn enable_sm(&mut self, resume: bool, max_s: Option<u32>) -> Element {
        let config = self.router.config.stream_management;
        let wanted = max_s.map_or(config.resume, |max| {
            config.resume.min(Duration::from_secs(max.into()))
        });
        let resume = (resume && !wanted.is_zero() && !self.anonymous).then_some(wanted);
        let limits = Limits {
            stanzas: config.queue,
            ..Limits::default()
        };
        let mut enabled = Element::new("enabled", ns::SM);
        if let Some(resume) = resume {
            let id = self
                .handle
                .sm_id
                .get_or_init(|| crate::random::token().into());
            enabled.set_attr("id", &**id);
            self.router.parked.insert_live(&self.handle);
            enabled.set_attr("resume", "true");
            enabled.set_attr("max", resume.as_secs().to_string());
        }
        self.inbound = Handled::new();
        self.settled = 0;
        let outbound = Unacked::new(limits, AckPolicy::default());
        self.managed = Some(Box::new(Managed {
            resume,
            outbound,
            tellable: 0,
            ack_owed: None,
            ack_owed_next: None,
            ack_timed: false,
            unasked: false,
            asked: false,
        }));
        enabled
    }

    /// An element of stream management; what to write at once.
    pub(super) fn management(&mut self, root: Node<'_>) -> Result<Vec<u8>, StreamError> {
        match (root.name(), &mut self.managed) {
            ("enable", None) => {
                let resume = matches!(root.attr("resume").as_deref(), Some("true" | "1"));
                let max = root.attr("max").and_then(|max| max.parse().ok());
                Ok(self.enable_sm(resume, max).to_bytes(ns::CLIENT))
            }
            // XEP-0198 §3, §5: once per stream, and resumption only before binding.
            ("enable" | "resume", _) => Ok(failed("unexpected-request", None).to_bytes(ns::CLIENT)),
            ("r", Some(managed)) => {
                let received = self.inbound.received();
                if managed.tellable == received {
                    return Ok(self.ack());
                }
                if managed.ack_owed.is_some() {
                    managed.ack_owed_next = Some(received);
                } else {
                    managed.ack_owed = Some(received);
                }
                Ok(Vec::new())
            }
            ("a", Some(managed)) => {
                let h = root.attr("h").and_then(|h| h.parse().ok());
                managed.asked = false;
                let h: u32 =
                    h.ok_or_else(|| StreamError::new(Condition::BadFormat, "h is no counter"))?;
                let acknowledged = managed.outbound.ack(h)?;
                let numbers: Vec<u64> =
                    acknowledged.filter_map(|(sent, _)| sent.number()).collect();
                if !numbers.is_empty() {
                    self.home.acknowledge(&self.router, &numbers);
                }
                Ok(Vec::new())
            }
            // XEP-0198 §3: neither before it was enabled.
            ("r" | "a", None) => Ok(failed("unexpected-request", None).to_bytes(ns::CLIENT)),
            _ => Err(Condition::UnsupportedStanzaType.into()),
        }
    }

    /// `<a/>` with what is handled.
    pub(super) fn ack(&mut self) -> Vec<u8> {
        let mut h = 0;
        if let Some(managed) = &mut self.managed {
            managed.ack_owed = managed.ack_owed_next.take();
            h = managed.tellable;
        }
        format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>").into_bytes()
    }

    /// The `<a/>` that is owed, if what it waited for is handled. If not, somebody will see to it that it is not withheld
    /// (XEP-0198 §4).
    pub(super) fn owed_ack(&mut self) -> Option<Vec<u8>> {
        let managed = self.managed.as_mut()?;
        managed.ack_owed?;
        let (waiting, mailbox) = (&self.backlog, &self.handle.mailbox);
        if waiting.iter().all(Letter::is_logged) && mailbox.all(Letter::is_logged) {
            // What waits was not said in answer to this client.
            self.settled = self.inbound.h();
            managed.tellable = self.settled;
        }
        let h = managed.tellable;
        // `h` is at or behind what had come in; how far behind is less than the window.
        let handled = |asked: u32| asked.wrapping_sub(h) as i32 <= 0;
        if handled(managed.ack_owed?) {
            managed.ack_owed_next = managed.ack_owed_next.filter(|&asked| !handled(asked));
            return Some(self.ack());
        }
        if !managed.ack_timed {
            managed.ack_timed = true;
            let handle = self.handle.clone();
            self.router.spawn(async move {
                tokio::time::sleep(ACK_PATIENCE).await;
                handle.mailbox.order(Order::Acknowledge);
            });
        }
        None
    }

    /// [`ACK_PATIENCE`] is over: the `<a/>` that is still owed, whatever is handled.
    pub(super) fn late_ack(&mut self) -> Option<Vec<u8>> {
        let managed = self.managed.as_mut()?;
        managed.ack_timed = false;
        managed.ack_owed?;
        Some(self.ack())
    }

    /// A last word on what was handled, before the stream closes (XEP-0198 §4).
    pub(super) fn last_ack(&mut self) -> Vec<u8> {
        self.ack()
    }
}

impl Sent {
    /// Its number in the log.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Logged(number) => Some(*number),
            Self::Message(_) | Self::Other(_) => None,
        }
    }
}

impl From<Sent> for Letter {
    /// To be sent once more.
    fn from(sent: Sent) -> Self {
        match sent {
            Sent::Logged(number) => Self::Logged(number),
            Sent::Message(delivery) => Self::Stanza(delivery),
            Sent::Other(bytes) => {
                let class = Stanza::parse(bytes.clone())
                    .map_or(Class::default(), |stanza| classify(&stanza).of_copy());
                Self::Stanza(Delivery {
                    class,
                    ..Delivery::passing(bytes)
                })
            }
        }
    }
}

/// `<failed/>`, with the count of what was handled if that is known.
pub fn failed(condition: &'static str, h: Option<u32>) -> Element {
    Element::new("failed", ns::SM)
        .with_attr_opt("h", h.map(|h| h.to_string()))
        .with_child(Element::new(condition, ns::STANZA_ERRORS))
}
