//! What is asked of an administrator, and what becomes of it.

mod accounts;
mod cluster;
mod groups;
mod socket;

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use storage::{
    Stores,
    backend::memory::{MemoryBlobs, MemoryTable},
};

use super::*;
use crate::{
    keys::Keys,
    module::Context,
    modules::{recorder::Recorder as World, roster::Rosters},
};

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>, World);

#[async_trait]
impl Live for Recorder {
    async fn end_sessions(&self, account: &BareJid, reason: &str) -> Result<usize, StanzaError> {
        self.0.lock().push(format!("end {account}: {reason}"));
        Ok(2)
    }

    fn context(&self) -> Context {
        self.1.context()
    }
}

fn administrator(live: Option<Arc<dyn Live>>) -> Administrator {
    let table = Arc::new(MemoryTable::new());
    let stores = Stores::over(table.clone(), Arc::new(MemoryBlobs::new()));
    let rosters = Arc::new(Rosters::new(stores.rosters.clone()));
    Administrator {
        operators: Operators::new(table),
        rooms: None,
        pubsub: Vec::new(),
        metrics: None,
        accounts: Accounts::new(stores, rosters, Arc::new(Keys::new(4_096))),
        domains: vec!["a.example".into()],
        admins: Vec::new(),
        live,
        desk: None,
    }
}

fn socket() -> Caller {
    Who::Socket.into()
}

fn add(account: &str, password: &str) -> Request {
    Request::Add {
        account: account.into(),
        password: password.into(),
    }
}

fn why(response: &Response) -> Option<Why> {
    match response {
        Response::Refused { why, .. } => Some(*why),
        _ => None,
    }
}
