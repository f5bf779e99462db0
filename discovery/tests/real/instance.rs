//! The metadata service of instances: read, refused, and its notices through a lifecycle hook.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use discovery::{
    ErrorKind, Instance,
    instance::{LifecycleState, Notice, Options, SpotNotice, watch},
};
use services::{
    Fault, Faults, Moto,
    moto::{Group, REGION},
};

const GROUP: &str = "chat";
const USER_DATA: &str = "[domain]\nname = \"example.org\" # ü\n";

fn start(hooks: &[(&str, &str, u32)], user_data: Option<&str>) -> (Moto, Vec<String>, String) {
    let moto = Moto::start().unwrap();
    let network = moto.network(64).unwrap();
    let group = Group {
        name: GROUP,
        size: 2,
        tags: &[("starling", "a b?")],
        user_data,
        hooks,
    };
    moto.group(&network, &group).unwrap();
    let members = moto.members(GROUP).unwrap();
    (
        moto,
        members.into_iter().map(|(id, _)| id).collect(),
        network.vpc,
    )
}

async fn instance(endpoint: String) -> Instance {
    let options = Options {
        endpoint: Some(endpoint),
        ..Options::default()
    };
    Instance::detect(options).await.unwrap().unwrap()
}

#[tokio::test]
async fn identity_tags_and_user_data() {
    let (moto, ids, vpc) = start(&[], Some(USER_DATA));
    let mut addresses = Vec::new();
    for (id, zone) in ids.iter().zip(["a", "b"]) {
        let instance = instance(moto.metadata(id)).await;
        let identity = instance.identity().await.unwrap();
        assert_eq!(*identity.instance, **id);
        assert_eq!(identity.vpc.as_deref(), Some(vpc.as_str()));
        assert_eq!(*identity.region, *REGION);
        assert_eq!(*identity.zone, *format!("{REGION}{zone}"));
        assert_eq!(identity.ipv6, None);
        addresses.extend(identity.ipv4);
        let user_data = instance.user_data().await.unwrap();
        assert_eq!(user_data.as_deref(), Some(USER_DATA.as_bytes()));
        let group = instance.tag("aws:autoscaling:groupName").await.unwrap();
        assert_eq!(group.as_deref(), Some(GROUP));
        let tag = instance.tag("starling").await.unwrap();
        assert_eq!(tag.as_deref(), Some("a b?"));
        assert_eq!(instance.tag("other").await.unwrap(), None);
        let state = instance.target_lifecycle_state().await.unwrap();
        assert_eq!(state, Some(LifecycleState::InService));
    }
    assert!(addresses.len() == 2 && addresses[0] != addresses[1]);
    // The addresses are ones that a node here can listen at.
    for address in addresses {
        std::net::TcpListener::bind((address, 0)).unwrap();
    }
    // With an address of version 6.
    moto.set_metadata(&ids[0], "ipv6", Some("2001:db8::7"))
        .unwrap();
    let identity = instance(moto.metadata(&ids[0]))
        .await
        .identity()
        .await
        .unwrap();
    assert_eq!(identity.ipv6, Some("2001:db8::7".parse().unwrap()));
}

#[tokio::test]
async fn no_user_data_is_none_and_a_service_that_is_off_is_denied() {
    let (moto, ids, _) = start(&[], None);
    let on = instance(moto.metadata(&ids[0])).await;
    assert_eq!(on.user_data().await.unwrap(), None);
    moto.disable_metadata(&ids[0], true).unwrap();
    let error = on.user_data().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let options = Options {
        endpoint: Some(moto.metadata(&ids[0])),
        ..Options::default()
    };
    let detected = Instance::detect(options).await;
    assert_eq!(detected.err().unwrap().kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn a_token_that_is_not_good_any_more_is_renewed() {
    let (moto, ids, _) = start(&[], Some(USER_DATA));
    let faults = Faults::start(&moto.url()).await.unwrap();
    let endpoint = format!("{}/imds/{}", faults.url(), ids[0]);
    let instance = instance(endpoint).await;
    for _ in 0..3 {
        instance.user_data().await.unwrap().unwrap();
    }
    // One token for all of them.
    assert_eq!(faults.asked(), 4);
    moto.forget_tokens(&ids[0]).unwrap();
    instance.user_data().await.unwrap().unwrap();
    // Refused, a token, answered.
    assert_eq!(faults.asked(), 7);
    // It ran out by itself.
    moto.advance(21_601).unwrap();
    instance.user_data().await.unwrap().unwrap();
    assert_eq!(faults.asked(), 10);
}

#[tokio::test]
async fn reads_are_tried_again() {
    let (moto, ids, _) = start(&[], Some(USER_DATA));
    let faults = Faults::start(&moto.url()).await.unwrap();
    let endpoint = format!("{}/imds/{}", faults.url(), ids[0]);
    let instance = instance(endpoint).await;
    for fault in [
        Fault::Answer(503, "text/plain", String::new()),
        Fault::Answer(500, "text/plain", String::new()),
        Fault::Reset,
        Fault::CutAnswer,
        Fault::LoseAnswer,
    ] {
        faults.clear();
        faults.add(2, fault.clone(), |_| true);
        let user_data = instance.user_data().await.unwrap();
        assert_eq!(
            user_data.as_deref(),
            Some(USER_DATA.as_bytes()),
            "{fault:?}"
        );
        assert_eq!(faults.hits(), 2, "{fault:?}");
    }
    let throttled = Fault::Answer(503, "text/plain", String::new());
    faults.add(100, throttled, |_| true);
    let error = instance.user_data().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
}

#[tokio::test]
async fn notices_are_told_once_each() {
    let (moto, ids, _) = start(&[("drain", "TERMINATING", 600)], None);
    let instance = instance(moto.metadata(&ids[0])).await;
    let mut notices = watch(instance, Duration::from_millis(20));
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let path = "events/recommendations/rebalance";
    let recommended = r#"{"noticeTime":"2026-11-22T08:20:00Z"}"#;
    moto.set_metadata(&ids[0], path, Some(recommended)).unwrap();
    assert_eq!(
        notices.next().await.unwrap(),
        Notice::Rebalance(at(1_795_335_600))
    );

    // What is not understood is no notice, and hides none.
    moto.set_metadata(&ids[0], path, Some("soon")).unwrap();
    let path = "spot/instance-action";
    let action = r#"{"action":"terminate","time":"2026-11-22T08:22:00Z"}"#;
    moto.set_metadata(&ids[0], path, Some(action)).unwrap();
    let spot = |seconds| {
        let action = "terminate".into();
        Notice::Spot(SpotNotice {
            action,
            at: at(seconds),
        })
    };
    assert_eq!(notices.next().await.unwrap(), spot(1_795_335_720));
    let action = r#"{"action":"terminate","time":"2026-11-22T08:23:00Z"}"#;
    moto.set_metadata(&ids[0], path, Some(action)).unwrap();
    assert_eq!(notices.next().await.unwrap(), spot(1_795_335_780));

    // The group shrinks: its oldest instance is held by the hook and told so.
    moto.scale(GROUP, 1).unwrap();
    let members = moto.members(GROUP).unwrap();
    assert!(
        members.contains(&(ids[0].clone(), "Terminating:Wait".into())),
        "{members:?}"
    );
    assert_eq!(
        notices.next().await.unwrap(),
        Notice::Terminating(LifecycleState::Terminated)
    );
}

/// An outage of the service is not a notice, and what was told before is not told again after it.
#[tokio::test]
async fn an_outage_tells_nothing() {
    let (moto, ids, _) = start(&[("drain", "TERMINATING", 600)], None);
    let faults = Faults::start(&moto.url()).await.unwrap();
    let endpoint = format!("{}/imds/{}", faults.url(), ids[0]);
    let mut notices = watch(instance(endpoint).await, Duration::from_millis(5));
    moto.scale(GROUP, 1).unwrap();
    assert_eq!(
        notices.next().await.unwrap(),
        Notice::Terminating(LifecycleState::Terminated)
    );
    faults.clear();
    faults.add(40, Fault::Reset, |_| true);
    let asked = Arc::new(faults);
    while asked.asked() < 80 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let path = "events/recommendations/rebalance";
    let recommended = r#"{"noticeTime":"2026-11-22T08:20:00Z"}"#;
    moto.set_metadata(&ids[0], path, Some(recommended)).unwrap();
    assert!(matches!(
        notices.next().await.unwrap(),
        Notice::Rebalance(_)
    ));
}
