//! A server process for tests that kill or weigh it: `victim DIRECTORY SETTINGS`, the settings as JSON.
//!
//! The same `App` as the server's own program, with the limits that tests need. Prints the addresses of its listeners on
//! one line once they are open, then runs until it is killed.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use starling::app::App;
use starling::config::Security;
use tests::faults::settings::Settings;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().context("no directory")?);
    let settings: Settings = serde_json::from_str(&arguments.next().context("no settings")?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.workers)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let app = App::start(settings.config(&directory)).await?;
        let find = |direct: bool| {
            app.addresses
                .iter()
                .find(|(it, _)| (*it == Security::Direct) == direct)
        };
        let (Some((_, plain)), Some((_, direct))) = (find(false), find(true)) else {
            anyhow::bail!("not every listener is open");
        };
        writeln!(std::io::stdout(), "{plain} {direct}")?;
        std::future::pending::<()>().await;
        drop(app);
        anyhow::Ok(())
    })
}
