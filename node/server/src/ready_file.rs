//! The ready file: the ports of a node that listens, for supervisors and tests that let it choose them (port 0).
//!
//! JSON: `{"c2s":5222,"c2s_tls":5223,"http":5280,"api":5290,"pid":1234}`; what the node does not serve is `null`.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

/// What a node that listens tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The first port with STARTTLS.
    pub c2s: Option<u16>,
    /// The first port with TLS from the first byte.
    pub c2s_tls: Option<u16>,
    /// Metrics and health.
    pub http: Option<u16>,
    /// Administration over HTTP.
    #[serde(default)]
    pub api: Option<u16>,
    /// The process.
    pub pid: u32,
}

/// Writes the file, whole or not at all: who sees it can read it.
///
/// # Errors
/// The file system's.
pub fn write_ready_file(path: &Path, ready: &Ready) -> io::Result<()> {
    let mut name = path
        .file_name()
        .ok_or(io::ErrorKind::InvalidInput)?
        .to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    let partial = path.with_file_name(name);
    let mut file = File::create(&partial)?;
    serde_json::to_writer(&mut file, ready)?;
    file.write_all(b"\n")?;
    fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_whole_and_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ready.json");
        for port in [5222, 5322] {
            let ready = Ready {
                c2s: Some(port),
                c2s_tls: None,
                http: Some(1),
                api: None,
                pid: 7,
            };
            write_ready_file(&path, &ready).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(
                text,
                format!("{{\"c2s\":{port},\"c2s_tls\":null,\"http\":1,\"api\":null,\"pid\":7}}\n")
            );
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(
            write_ready_file(
                &directory.path().join("no/such"),
                &Ready {
                    c2s: None,
                    c2s_tls: None,
                    http: None,
                    api: None,
                    pid: 0
                }
            )
            .is_err()
        );
    }
}
