//! Carbons: a session asks for copies of what the account's other resources send and receive.
//!
//! Source: XEP-0280 v1.0.1 §4, §5, §9, §10.1. Here is only the switch; what is copied says `pipeline::archive_rule`, the
//! copies are made by the account's home.
//! Why a flag: the directory carries it with the session, so the home copies without asking anybody.

use std::sync::Arc;

use async_trait::async_trait;
use xmpp::{Element, StanzaError, StanzaErrorCondition as Condition, ns};

use crate::{
    module::{Context, IqHandler, IqRequest, Module, Registry, Spec, Status, Target},
    routing::flags,
};

const SPEC: Spec = Spec {
    xep: 280,
    version: "1.0.1",
    status: Status::Complete,
};

/// The module.
pub struct Carbons;

impl Module for Carbons {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.iq(Target::Account, ns::CARBONS, self);
        for target in [Target::Server, Target::Account] {
            registry.disco(target, ns::CARBONS);
            registry.disco(target, ns::CARBONS_RULES);
        }
        registry.spec(SPEC);
    }
}

#[async_trait]
impl IqHandler for Carbons {
    async fn handle(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError> {
        // §4.1, §5.1: only a session of the account itself has a switch.
        let Some(handle) = iq.session.as_ref().filter(|_| iq.is_own()) else {
            return Err(Condition::NotAllowed.into());
        };
        if !iq.is_set() {
            return Err(Condition::BadRequest.into());
        }
        // §10.1: repeats are no error.
        match iq.payload.name() {
            "enable" => cx.set_flags(handle.session, flags::CARBONS, 0),
            "disable" => cx.set_flags(handle.session, 0, flags::CARBONS),
            _ => return Err(Condition::BadRequest.into()),
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        modules::recorder::{Recorder, answer, foreign, request},
        pipeline::delivery::IqType,
    };

    #[tokio::test]
    async fn the_switch_belongs_to_the_session() {
        let recorder = Recorder::default();
        let (handle, cx) = (
            recorder.session("juliet@example.com/balcony", 0),
            recorder.context(),
        );
        let check = async |kind, name: &str, expected: Result<&str, Condition>| {
            let payload = format!("<{name} xmlns='urn:xmpp:carbons:2'/>");
            let got = answer(&Carbons, &request(&handle, None, kind, &payload), &cx).await;
            assert_eq!(
                got.map(|_| recorder.take()),
                expected.map(String::from),
                "{name}"
            );
        };
        check(IqType::Set, "enable", Ok("flags balcony +1 -0")).await;
        check(IqType::Set, "enable", Ok("flags balcony +1 -0")).await;
        check(IqType::Set, "disable", Ok("flags balcony +0 -1")).await;
        check(IqType::Get, "enable", Err(Condition::BadRequest)).await;
        check(IqType::Set, "private", Err(Condition::BadRequest)).await;
    }

    #[tokio::test]
    async fn nobody_else_may_turn_it() {
        let recorder = Recorder::default();
        let payload = "<enable xmlns='urn:xmpp:carbons:2'/>";
        let iq = foreign(
            "romeo@example.net/orchard",
            "juliet@example.com",
            IqType::Set,
            payload,
        );
        assert_eq!(
            answer(&Carbons, &iq, &recorder.context()).await,
            Err(Condition::NotAllowed)
        );
        assert_eq!(recorder.take(), "");
    }
}
