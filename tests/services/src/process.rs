//! A server's process.

use std::{
    fs::{self, DirEntry, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to answer its first request, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running server; ended when dropped.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

/// What makes a server ready: asked again until it says so or the process ends.
pub type Starting<'a> = &'a mut dyn FnMut() -> bool;

impl Process {
    /// Starts a server whose output goes to `<name>.log` in `directory`, and waits until `ready` says so.
    ///
    /// # Errors
    /// It cannot be started, or it ended, or it did not get ready: with the end of its log.
    pub fn start(
        name: &str,
        mut command: Command,
        directory: &Path,
        ready: Starting<'_>,
    ) -> io::Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let output = File::create(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("{name}: {error}; run tests/install"))
            })?;
        let mut process = Self {
            child,
            name: name.to_owned(),
            log,
        };
        let until = Instant::now() + PATIENCE;
        while !ready() {
            let ended = process.child.try_wait()?;
            if ended.is_some() || Instant::now() > until {
                return Err(process.failure(match ended {
                    Some(status) => format!("ended: {status}"),
                    None => "does not get ready".to_owned(),
                }));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }

    fn failure(&self, what: String) -> io::Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let end: Vec<_> = log.lines().rev().take(20).collect();
        let end: Vec<_> = end.into_iter().rev().collect();
        io::Error::other(format!("{} {what}\n{}", self.name, end.join("\n")))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal: `STOP` freezes it, `CONT` lets it go on.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Stops it where it is, as a machine that hangs, and waits until it stands: the signal alone takes its time.
    ///
    /// # Errors
    /// It has ended.
    pub fn freeze(&self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        stands_still(self.id())
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// It has ended.
    pub fn thaw(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Tells it to end, and waits until it has: how it did.
    ///
    /// # Errors
    /// It does not end.
    pub fn terminate(&mut self) -> io::Result<ExitStatus> {
        self.tell_to_end()?;
        self.wait()
    }

    /// Tells it to end.
    ///
    /// # Errors
    /// It has ended.
    pub fn tell_to_end(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Waits until it has ended, and does not tell it to: how it did.
    ///
    /// # Errors
    /// It does not end.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(self.failure("does not end".to_owned()))
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until all threads of a process that was told to stop have done so: on a busy machine that takes a while.
///
/// # Errors
/// It goes on, or it has ended.
pub(crate) fn stands_still(process: u32) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    let is_stopped = |thread: io::Result<DirEntry>| {
        // "pid (name) state ...", and a name may hold anything.
        let stat = fs::read_to_string(thread?.path().join("stat"))?;
        let state = stat
            .rsplit(") ")
            .next()
            .and_then(|after| after.chars().next());
        io::Result::Ok(state == Some('T'))
    };
    while Instant::now() < until {
        let threads = fs::read_dir(format!("/proc/{process}/task"))?;
        let mut states = threads.map(is_stopped);
        if states.all(|stopped| stopped.unwrap_or(false)) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "the process does not stop",
    ))
}
