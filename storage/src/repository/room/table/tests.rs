//! What no contract shows: what is left in the table.

use super::*;
use crate::{
    backend::memory::{MemoryBlobs, MemoryTable},
    repository::room::RoomSubscription,
};

#[tokio::test]
async fn a_room_that_is_removed_is_in_nobodys_list() {
    let table = Arc::new(MemoryTable::new());
    let rooms = TableRooms::new(table.clone());
    let room = BareJid::parse("cave@rooms.example").unwrap();
    let ann = BareJid::parse("ann@example").unwrap();
    let subscriber = RoomMember {
        subscription: Some(RoomSubscription {
            nick: "Ann".into(),
            topics: 1,
        }),
        ..RoomMember::default()
    };
    let record = RoomRecord::default();
    let members = [(ann.clone(), subscriber)];
    let version = rooms.create(&room, &record, &members).await.unwrap();
    let listed = || lines(key::rooms_subscribed(&ann));
    let count = async |query| paging::collect(&*table, query, 9).await.unwrap().len();
    assert_eq!(count(listed()).await, 1);
    let gone = RoomRecord {
        gone: true,
        ..record
    };
    rooms.store(&room, &gone, &[], version).await.unwrap();
    rooms.remove(&room).await.unwrap();
    assert_eq!(count(listed()).await, 0);
}

#[tokio::test]
async fn an_account_that_is_erased_is_in_no_index_of_rooms() {
    let table = Arc::new(MemoryTable::new());
    let stores = crate::Stores::over(table.clone(), Arc::new(MemoryBlobs::new()));
    let ann = BareJid::parse("ann@example").unwrap();
    let subscriber = RoomMember {
        subscription: Some(RoomSubscription {
            nick: "Ann".into(),
            topics: 1,
        }),
        ..RoomMember::default()
    };
    let record = RoomRecord {
        creator: Some(ann.to_string()),
        ..RoomRecord::default()
    };
    let members = [(ann.clone(), subscriber)];
    stores.create(&ann, Default::default(), 1).await.unwrap();
    for room in 0..LINES_AT_ONCE + 3 {
        let room = BareJid::parse(&format!("room{room}@rooms.example")).unwrap();
        let created = stores.rooms.create(&room, &record, &members).await;
        created.unwrap();
    }
    let left = async || {
        let mut left = 0;
        for partition in [key::rooms_made(&ann), key::rooms_subscribed(&ann)] {
            let found = paging::collect(&*table, lines(partition), 1_000).await;
            left += found.unwrap().len();
        }
        left
    };
    assert_eq!(left().await, 2 * (LINES_AT_ONCE + 3));
    stores.erase(&ann).await.unwrap();
    assert_eq!(left().await, 0);
}
