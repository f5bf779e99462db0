//! The order of a roster, its pushes and its changes.

use std::{
    future::Future as _,
    pin::pin,
    task::{Context as Poller, Poll, Waker},
};

use super::*;
use crate::{
    modules::recorder::{Recorder, bare, request, stores},
    pipeline::delivery::IqType,
};

/// A push of a change that is not in it must not come before the roster.
#[tokio::test]
async fn nothing_changes_between_a_roster_and_its_reply() {
    let (recorder, stores) = (Recorder::default(), stores());
    let rosters = Arc::new(Rosters::new(stores.rosters.clone()));
    let module = RosterModule::new(rosters.clone(), 10);
    let session = recorder.session("juliet@example.com/balcony", 0);
    let iq = request(
        &session,
        None,
        IqType::Get,
        "<query xmlns='jabber:iq:roster'/>",
    );
    let reply = module.handle(&iq, &recorder.context()).await.unwrap();
    assert!(reply.is_some());
    let juliet = bare("juliet@example.com");
    let mut turn = pin!(rosters.turn(&juliet));
    let poller = &mut Poller::from_waker(Waker::noop());
    assert!(matches!(turn.as_mut().poll(poller), Poll::Pending));
    drop(iq);
    assert!(matches!(turn.as_mut().poll(poller), Poll::Ready(_)));
}
