//! Who does what a command asks: the node that runs on this machine, through its socket; else we do, on its store.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use storage::repository::Operators;

use super::{FAILED, Failure, REFUSED, opened};
use crate::{
    admin::{
        Administrator, Caller, Request, Response, Who, Why,
        client::{AdminClient, LONG_PATIENCE, PATIENCE},
    },
    config::Config,
    keys::Keys,
    modules::{register::Accounts, roster::Rosters},
};

fn asking(socket: &Path) -> String {
    format!("asking the node at {}", socket.display())
}

fn connect(socket: &Path, patience: Duration) -> Result<Option<AdminClient>, Failure> {
    Ok(AdminClient::connect(socket, patience).with_context(|| asking(socket))?)
}

/// Who does it.
pub(super) enum Asked {
    /// The node that runs. Each request has a connection of its own: who reads a list slowly keeps none open.
    Node(PathBuf),
    /// We do, on its store.
    Store(tokio::runtime::Runtime, Box<Administrator>),
}

impl Asked {
    pub(super) fn new(config: &Config) -> Result<Self, Failure> {
        let socket = config.admin_socket();
        if connect(&socket, PATIENCE)?.is_some() {
            return Ok(Self::Node(socket));
        }
        let hint = format!(
            "no node answers at {}; is one starting, or has another --data?",
            socket.display()
        );
        let (runtime, opened) = opened::open_all(config, &hint)?;
        let stores = opened.stores;
        let administrator = Administrator {
            accounts: Accounts::new(
                stores.clone(),
                Arc::new(Rosters::new(stores.rosters.clone())),
                Arc::new(Keys::new(config.auth.scram_iterations)),
            ),
            domains: config.domains.clone(),
            admins: config.admins.clone(),
            operators: Operators::new(opened.table),
            rooms: None,
            pubsub: config.pubsub_services(),
            metrics: None,
            live: None,
            desk: None,
        };
        Ok(Self::Store(runtime, Box::new(administrator)))
    }

    pub(super) fn ask(&mut self, request: Request) -> Result<Response, Failure> {
        let response = match self {
            Self::Node(socket) => {
                let patience = match request {
                    Request::Remove { .. }
                    | Request::GroupCreate { .. }
                    | Request::GroupChange { .. }
                    | Request::GroupRemove { .. }
                    | Request::GroupAdd { .. }
                    | Request::GroupTakeOut { .. } => LONG_PATIENCE,
                    _ => PATIENCE,
                };
                let Some(mut client) = connect(socket, patience)? else {
                    return Err(Failure::new(FAILED, "starling: the node has stopped"));
                };
                client.ask(&request).with_context(|| asking(socket))?
            }
            Self::Store(runtime, administrator) => {
                let caller = Caller::from(Who::Command);
                runtime.block_on(administrator.ask(&caller, request))
            }
        };
        match response {
            Response::Refused {
                why: Why::Store,
                reason,
                ..
            } => Err(Failure::new(FAILED, format!("starling: {reason}"))),
            Response::Refused { reason, .. } => {
                Err(Failure::new(REFUSED, format!("starling: {reason}")))
            }
            done => Ok(done),
        }
    }
}
