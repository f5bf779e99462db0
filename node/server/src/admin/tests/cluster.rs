//! Members: which is meant, and what is declined.

use ::cluster::NodeId;

use super::*;
use crate::status::samples::{facts, three};

#[derive(Default)]
pub(super) struct Recording(Mutex<Vec<String>>);

#[async_trait]
impl ClusterControl for Recording {
    fn status(&self) -> Option<crate::membership::Status> {
        let mut cluster = three();
        // A node and its next life have one name.
        cluster.members[2].name = "b".into();
        Some(cluster)
    }
    async fn drain(&self, node: NodeId) -> Result<(), Declined> {
        self.0.lock().push(format!("drain {:x}", node.0));
        Ok(())
    }
    async fn fence(&self, node: NodeId) -> Result<(), Declined> {
        self.0.lock().push(format!("fence {:x}", node.0));
        Err(Declined::new(Why::Store, "nobody orders changes"))
    }
    async fn rotate_secret(&self) -> Result<(), Declined> {
        Err(Declined::new(Why::Busy, "a rotation is under way"))
    }
}

fn at_desk(control: Arc<dyn ClusterControl>) -> Administrator {
    let asked = control.clone();
    Administrator {
        desk: Some(Desk {
            look: Arc::new(move || facts(asked.status())),
            control,
        }),
        ..administrator(None)
    }
}

#[tokio::test]
async fn members_are_meant_by_life_name_or_address() {
    let control = Arc::new(Recording::default());
    let admin = at_desk(control.clone());
    let [one, two, three] = [0, 1, 2].map(|index| three().members[index].node.clone());
    let check = async |node: Option<&str>, expected: Result<&String, Why>| {
        let node = node.map(str::to_owned);
        match (
            admin.ask(&socket(), Request::Drain { node }).await,
            expected,
        ) {
            (Response::Begun { node }, expected) => assert_eq!(Ok(&node), expected),
            (other, expected) => assert_eq!(why(&other), expected.err(), "{other:?}"),
        }
    };
    check(None, Ok(&one)).await;
    check(Some("a"), Ok(&one)).await;
    check(Some("10.0.0.2:7269"), Ok(&two)).await;
    check(Some(&three), Ok(&three)).await;
    check(Some(&three[..9]), Ok(&three)).await;
    // What is meant must be one.
    check(Some("b"), Err(Why::Invalid)).await;
    check(Some("00000"), Err(Why::Invalid)).await;
    check(Some("000"), Err(Why::Absent)).await;
    check(Some("nobody"), Err(Why::Absent)).await;
    check(Some(""), Err(Why::Absent)).await;
    let drained = [
        "123456789ab",
        "123456789ab",
        "2468acf1356",
        "369d0369d01",
        "369d0369d01",
    ];
    assert_eq!(*control.0.lock(), drained.map(|id| format!("drain {id}")));
}

#[tokio::test]
async fn what_is_declined_is_told_with_its_kind() {
    let check = async |admin: &Administrator, request, expected| {
        let response = admin.ask(&socket(), request).await;
        assert_eq!(why(&response), Some(expected), "{response:?}");
    };
    let all = || {
        let node = "a".to_owned();
        let fence = Request::Fence { node };
        [Request::Drain { node: None }, fence, Request::RotateSecret]
    };
    let alone = at_desk(Arc::new(Alone));
    for request in all() {
        check(&alone, request.clone(), Why::Alone).await;
        check(&administrator(None), request, Why::NotRunning).await;
    }
    check(
        &administrator(None),
        Request::ClusterStatus,
        Why::NotRunning,
    )
    .await;
    let Response::Cluster(found) = alone.ask(&socket(), Request::ClusterStatus).await else {
        panic!("a node that is alone has a status");
    };
    assert_eq!(*found, facts(None));
    let [_, fence, rotate] = all();
    let admin = at_desk(Arc::new(Recording::default()));
    check(&admin, fence, Why::Store).await;
    check(&admin, rotate, Why::Busy).await;
}
