//! The user that a server runs as when the tests are root's: database servers refuse to be root.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
    process::Command,
};

/// A user of the system that a server's process becomes; nobody else when the tests are not root's.
#[derive(Debug, Clone)]
pub struct Account {
    ids: Option<(u32, u32)>,
}

impl Account {
    /// The user of this name, which the package of the server made.
    ///
    /// # Errors
    /// The tests are root's and there is no such user.
    pub fn of(name: &str) -> io::Result<Self> {
        if fs::metadata("/proc/self")?.uid() != 0 {
            return Ok(Self { ids: None });
        }
        let users = fs::read_to_string("/etc/passwd")?;
        let ids = users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (user, _, uid, gid) = (
                fields.next()?,
                fields.next()?,
                fields.next()?,
                fields.next()?,
            );
            (user == name).then_some(())?;
            Some((uid.parse().ok()?, gid.parse().ok()?))
        });
        match ids {
            Some(ids) => Ok(Self { ids: Some(ids) }),
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("no user {name}; run tests/install"),
            )),
        }
    }

    /// Makes a directory this user's.
    ///
    /// # Errors
    /// Those of the system.
    pub fn give(&self, directory: &Path) -> io::Result<()> {
        match self.ids {
            Some((uid, gid)) => chown(directory, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }

    /// A command that this user runs. The process is the program itself, so that its id is the server's.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        match self.ids {
            Some((uid, gid)) => {
                let mut command = Command::new("setpriv");
                command
                    .args([format!("--reuid={uid}"), format!("--regid={gid}")])
                    .args(["--clear-groups", "--"])
                    .arg(program.as_ref());
                command
            }
            None => Command::new(program.as_ref()),
        }
    }
}

/// Runs a command to its end.
///
/// # Errors
/// It cannot be started or it fails: with what it said.
pub(crate) fn run(mut command: Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    )))
}
