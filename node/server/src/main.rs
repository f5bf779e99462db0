//! Arguments, logging, configuration, signal; nothing else.

use std::path::PathBuf;

use starling::{app::App, config::Config};

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let mut config = Config::development(PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "starling-data".into())));
    if std::env::var_os("NO_ARCHIVE").is_some() {
        config.archive.enabled = false;
    }
    if std::env::var_os("MEMORY").is_some() {
        config.storage = starling::config::Storage::Memory;
    }
    config.listeners[0].security = starling::config::Security::StartTls { required: std::env::var_os("PLAIN").is_none() };
    if std::env::var_os("PLAIN").is_some() { config.auth.plain_without_tls = true; }
    config.limits.admission.per_address = 100_000;
    config.limits.admission.per_second = 100_000;
    config.limits.admission.burst = 100_000;
    config.registration.per_hour = 1_000_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let app = App::start(config).await?;
        for a in &app.addresses { eprintln!("listening {a:?}"); }
        tokio::signal::ctrl_c().await?;
        app.shutdown().await;
        anyhow::Ok(())
    })
}
