//! What no contract shows: what is left in the table.

use super::*;
use crate::{backend::memory::MemoryTable, repository::room::RoomSubscription};

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
