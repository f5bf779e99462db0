//! OpenLDAP's server (Debian: `slapd`, `ldap-utils`), with a database of its own.
//!
//! Who may read: [`Slapd::READER`] everything but passwords; nobody else anything. A bind with a name and no password is
//! let through as nobody (RFC 4513 §5.1.2), as careless servers do, so that a test sees who tries it.

use std::{
    fs, io,
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{Process, free_port};

/// A running server; ended when dropped.
pub struct Slapd {
    directory: TempDir,
    process: Process,
    /// For LDAP, with or without STARTTLS.
    pub port: u16,
    /// For TLS from the first byte.
    pub tls_port: u16,
}

/// A certificate and its key, as PEM.
pub struct Certificate<'a> {
    /// With its chain.
    pub certificate: &'a str,
    /// Its key.
    pub key: &'a str,
}

impl Slapd {
    /// The base of all entries, which [`Slapd::start`] makes.
    pub const BASE: &str = "dc=example,dc=org";
    /// Who may read.
    pub const READER: &str = "cn=reader,dc=example,dc=org";
    /// Its password, and that of the one who may do everything.
    pub const PASSWORD: &str = "reads everything";
    const ROOT: &str = "cn=root,dc=example,dc=org";

    /// Starts a server with these entries (LDIF, below [`Slapd::BASE`]), which tells at most `limit` of them at once but in
    /// pages.
    ///
    /// # Errors
    /// It is not installed, refuses an entry, or does not get ready.
    pub fn start(ldif: &str, tls: &Certificate<'_>, limit: usize) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path();
        fs::create_dir(path.join("db"))?;
        fs::write(path.join("tls.pem"), tls.certificate)?;
        fs::write(path.join("tls.key"), tls.key)?;
        fs::write(path.join("slapd.conf"), configuration(path, limit))?;
        fs::write(path.join("entries.ldif"), format!("{}\n{ldif}", basis()))?;
        let conf = path.join("slapd.conf");
        let added = Command::new("/usr/sbin/slapadd")
            .arg("-q")
            .args(["-f".as_ref(), conf.as_os_str()])
            .args(["-l".as_ref(), path.join("entries.ldif").as_os_str()])
            .output()
            .map_err(|error| io::Error::new(error.kind(), "slapadd; run tests/install"))?;
        if !added.status.success() {
            let said = String::from_utf8_lossy(&added.stderr).into_owned();
            return Err(io::Error::other(format!("slapadd: {said}")));
        }
        let (port, tls_port) = (free_port()?, free_port()?);
        let process = run(path, port, tls_port)?;
        Ok(Self {
            directory,
            process,
            port,
            tls_port,
        })
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, on the same ports, with what it had.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn restart(&mut self) -> io::Result<()> {
        self.process.kill();
        self.process = run(self.directory.path(), self.port, self.tls_port)?;
        Ok(())
    }

    /// Freezes it: connections are accepted, nothing is answered.
    ///
    /// # Errors
    /// It has ended.
    pub fn freeze(&self) -> io::Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// It has ended.
    pub fn thaw(&self) -> io::Result<()> {
        self.process.signal(Signal::CONT)
    }

    /// Changes entries, as an administrator does (LDIF with `changetype`).
    ///
    /// # Errors
    /// It refuses.
    pub fn change(&self, ldif: &str) -> io::Result<()> {
        let path = self.directory.path().join("changes.ldif");
        fs::write(&path, ldif)?;
        let url = format!("ldap://127.0.0.1:{}", self.port);
        let changed = Command::new("ldapmodify")
            .args(["-x", "-H", &url, "-D", Self::ROOT, "-w", Self::PASSWORD])
            .args(["-f".as_ref(), path.as_os_str()])
            .output()?;
        if changed.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&changed.stderr).into_owned();
        Err(io::Error::other(format!("ldapmodify: {said}")))
    }
}

fn run(path: &Path, port: u16, tls_port: u16) -> io::Result<Process> {
    let mut command = Command::new("/usr/sbin/slapd");
    let urls = format!("ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}");
    // With -d it stays in the foreground.
    command
        .args(["-d", "none", "-h", &urls])
        .args(["-f".as_ref(), path.join("slapd.conf").as_os_str()]);
    let url = format!("ldap://127.0.0.1:{port}");
    let mut ready = || {
        let asked = Command::new("ldapwhoami")
            .args(["-x", "-H", &url, "-D", Slapd::READER, "-w", Slapd::PASSWORD])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
            && TcpStream::connect(("127.0.0.1", tls_port)).is_ok()
    };
    Process::start("slapd", command, path, &mut ready)
}

fn configuration(path: &Path, limit: usize) -> String {
    let path = path.display();
    let (base, root, reader) = (Slapd::BASE, Slapd::ROOT, Slapd::READER);
    let password = Slapd::PASSWORD;
    // The attributes of Active Directory, under its own numbers.
    format!(
        r#"include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.159 NAME 'accountExpires' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
pidfile {path}/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
allow bind_anon_cred
sizelimit size.soft={limit} size.hard={limit} size.prtotal=unlimited
TLSCertificateFile {path}/tls.pem
TLSCertificateKeyFile {path}/tls.key
database mdb
maxsize 67108864
suffix "{base}"
rootdn "{root}"
rootpw "{password}"
directory {path}/db
index objectClass,uid,memberUid,cn eq
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{reader}" read by anonymous auth by * none
"#
    )
}

fn basis() -> String {
    format!(
        "dn: {base}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n\
         dn: {reader}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: reader\n\
         userPassword: {password}\n",
        base = Slapd::BASE,
        reader = Slapd::READER,
        password = Slapd::PASSWORD,
    )
}
