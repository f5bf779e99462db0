//! The example of `docs/backends.md`: a backend that is none of ours, held against the conformance kit.

use std::collections::HashMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use storage::{
    Error, ErrorKind, Result, conformance,
    repository::{Roster, RosterRepository},
};
use xmpp::BareJid;

/// Rosters in a map.
#[derive(Default)]
struct MapRosters {
    rosters: Mutex<HashMap<BareJid, Roster>>,
}

#[async_trait]
impl RosterRepository for MapRosters {
    async fn load(&self, owner: &BareJid) -> Result<Roster> {
        // Absence is a roster of version 0, not an error.
        Ok(self.rosters.lock().get(owner).cloned().unwrap_or_default())
    }

    async fn store(&self, owner: &BareJid, roster: &Roster, seen_version: u64) -> Result<u64> {
        // The comparison and the change are one step.
        let mut rosters = self.rosters.lock();
        let current = rosters.get(owner).map_or(0, |known| known.version);
        if current != seen_version {
            return Err(Error::new(ErrorKind::Conflict, "roster changed"));
        }
        let version = seen_version + 1;
        let stored = Roster {
            version,
            ..roster.clone()
        };
        rosters.insert(owner.clone(), stored);
        Ok(version)
    }
}

#[tokio::test]
async fn rosters_in_a_map() {
    conformance::rosters(&MapRosters::default()).await;
}

/// What the page shows is what was compiled here.
#[test]
fn page_shows_this_code() {
    let (page, code) = (
        include_str!("../../docs/backends.md"),
        include_str!("out_of_tree.rs"),
    );
    let blocks: Vec<_> = page.split("```rust\n").skip(1).collect();
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let (block, _) = block.split_once("```").expect("it ends");
        assert!(code.contains(block), "{block}");
    }
}
