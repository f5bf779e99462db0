//! The rivals come from the distribution's packages and are never started as services.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a package brings, and its name.
const WANTED: [(&str, &str); 2] = [
    ("/usr/sbin/ejabberdctl", "ejabberd"),
    ("/usr/bin/prosody", "prosody"),
];

/// Asked by package scripts before they start a service; 101 says no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing.
///
/// # Errors
/// If apt-get fails, which it does without root.
pub fn rivals() -> io::Result<()> {
    let missing: Vec<&str> = WANTED
        .iter()
        .filter(|(file, _)| !Path::new(file).exists())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let own_policy = !Path::new(POLICY).exists();
    if own_policy {
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
    }
    let result = apt(&["update"]).and_then(|()| {
        apt(&[
            &["install", "--yes", "--no-install-recommends"],
            &missing[..],
        ]
        .concat())
    });
    if own_policy {
        fs::remove_file(POLICY)?;
    }
    for service in ["ejabberd", "prosody"] {
        // Where there is no systemd there is nothing to disable.
        let _ = Command::new("systemctl")
            .args(["disable", "--now", service])
            .stderr(Stdio::null())
            .status();
    }
    result
}

fn apt(arguments: &[&str]) -> io::Result<()> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "apt-get {}: {status}",
            arguments.join(" ")
        )))
    }
}
