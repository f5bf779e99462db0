//! Runs the stock clients in `tests/clients` against a running server, each as a test of its own.
//!
//! `tests/install` installs them. What they need is in the environment: `STARLING_TEST_CACHE` is where it put them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use tests::client::Wire;
use tests::server::{Product, Server};

const PASSWORD: &str = "pencil";

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let product = Product::from_env()?;
    let mut trials = vec![
        Trial::test("slixmpp", move || {
            test(product, |server| slixmpp(server, "slixmpp_client.py"))
        }),
        Trial::test("xmppjs", move || test(product, xmppjs)),
        Trial::test("go_sendxmpp", move || {
            test(product, |server| script(server, "go-sendxmpp.sh"))
        }),
        Trial::test("profanity", move || {
            test(product, |server| script(server, "profanity.sh"))
        }),
    ];
    // The others are set up without rooms.
    if product == Product::Starling {
        trials.push(Trial::test("slixmpp_rooms", move || {
            test(product, |server| slixmpp(server, "slixmpp_rooms.py"))
        }));
    }
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

fn test(product: Product, client: impl Fn(&Server) -> Result<()>) -> Result<(), Failed> {
    let server = Server::start(product).map_err(|error| Failed::from(format!("{error:#}")))?;
    client(&server).map_err(|error| Failed::from(format!("{error:#}\n{}", server.log())))
}

fn slixmpp(server: &Server, script: &str) -> Result<()> {
    let python = cache()?.join("venv/bin/python");
    ensure!(
        python.is_file(),
        "no slixmpp at {}: run tests/install",
        python.display()
    );
    run(server, Command::new(python).arg(clients().join(script)))
}

fn xmppjs(server: &Server) -> Result<()> {
    register(server)?;
    let program = cache()?.join("xmppjs/client.js");
    ensure!(
        program.is_file(),
        "no xmpp.js at {}: run tests/install",
        program.display()
    );
    let mut command = Command::new("node");
    command
        .arg(program)
        .env("NODE_EXTRA_CA_CERTS", &server.target.authority);
    if let Some(address) = server.target.c2s_tls {
        command.env("XMPP_TLS_PORT", address.port().to_string());
    }
    if server.target.product == Product::Starling {
        command.env("XMPP_EXPECT_SASL2", "1");
    }
    run(server, &mut command)
}

fn script(server: &Server, name: &str) -> Result<()> {
    register(server)?;
    run(server, &mut Command::new(clients().join(name)))
}

/// Makes the accounts that a client expects.
fn register(server: &Server) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        for name in ["alice", "bob"] {
            let mut wire = Wire::connect(&server.target).await?;
            wire.secure().await?;
            wire.register(&format!("test-{name}"), PASSWORD).await?;
            wire.close().await?;
        }
        Ok(())
    })
}

fn run(server: &Server, command: &mut Command) -> Result<()> {
    let target = &server.target;
    // A client that waits for ever is ended; how fast it is does not matter.
    let mut limited = Command::new("timeout");
    limited
        .arg("120")
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            limited.env(name, value);
        }
    }
    let command = &mut limited;
    command
        .env("XMPP_HOST", target.c2s.ip().to_string())
        .env("XMPP_PORT", target.c2s.port().to_string())
        .env("XMPP_DOMAIN", &target.domain)
        .env("XMPP_CA", &target.authority)
        .env("XMPP_PREFIX", "test-")
        .env("XMPP_PASSWORD", PASSWORD);
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(output.status.success(), "{}\n{told}", output.status);
    Ok(writeln!(std::io::stdout(), "{told}")?)
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Where `tests/install` puts what is not a package of the system.
fn cache() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("STARLING_TEST_CACHE") {
        return Ok(path.into());
    }
    Ok(
        PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?)
            .join(".cache/starling-tests"),
    )
}
