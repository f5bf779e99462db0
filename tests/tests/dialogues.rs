//! Plays every script in `tests/dialogues`, each as a test of its own name.
//!
//! One server serves all scripts of a process; each script has accounts of its own. `DIALOGUE_SERVER=prosody` (or
//! `ejabberd`) plays them against a peer instead.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};
use tests::dialogue::{self, Script};
use tests::server::{Product, Server};

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("dialogues");
    let product = Product::from_env()?;
    // Started by the first script that plays, so that listing the tests starts nothing.
    let server: Arc<Mutex<Option<Server>>> = Arc::default();
    let mut trials = Vec::new();
    for path in dialogue::find(&root)? {
        let script = Script::load(&root, &path)?;
        let skipped = script.not_on.iter().any(|(name, _)| name == product.name());
        let shared = Arc::clone(&server);
        let trial = Trial::test(script.name.clone(), move || run(&script, product, &shared));
        trials.push(trial.with_ignored_flag(skipped));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(
        server
            .lock()
            .expect("no script panics while it holds the server")
            .take(),
    );
    Ok(conclusion.exit_code())
}

fn run(script: &Script, product: Product, shared: &Mutex<Option<Server>>) -> Result<(), Failed> {
    let target = {
        let mut server = shared
            .lock()
            .map_err(|_| Failed::from("the server did not start"))?;
        if server.is_none() {
            *server =
                Some(Server::start(product).map_err(|error| Failed::from(format!("{error:#}")))?);
        }
        server
            .as_ref()
            .map(|server| server.target.clone())
            .expect("it was just started")
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(dialogue::play(script, &target))
        .map_err(|error| {
            let log = shared
                .lock()
                .ok()
                .and_then(|server| server.as_ref().map(Server::log))
                .unwrap_or_default();
            Failed::from(format!("{error:#}\n{log}"))
        })
}
