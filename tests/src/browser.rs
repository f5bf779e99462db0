//! A browser: Chromium without a window, driven by chromedriver (W3C WebDriver, both Debian's packages).

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use services::Process;
use tempfile::TempDir;

use crate::api::request;

/// The key of an element (WebDriver §11).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// How long what is waited for may take. It is a bound, not an expectation.
const LIMIT: Duration = Duration::from_secs(30);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// A window.
pub struct Browser {
    driver: SocketAddr,
    session: String,
    _process: Process,
    _room: TempDir,
}

impl Browser {
    /// A window of this size in CSS pixels; a phone's has touch and is told so.
    ///
    /// # Errors
    /// chromium or chromium-driver is not installed, or does not start.
    pub fn open(width: u32, height: u32, is_phone: bool, is_dark: bool) -> Result<Self> {
        let room = tempfile::tempdir()?;
        let port = services::free_port()?;
        let driver = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut command = Command::new("chromedriver");
        command
            .arg(format!("--port={port}"))
            .env("HOME", room.path());
        let mut is_ready = || TcpStream::connect(driver).is_ok();
        let process = Process::start("chromedriver", command, room.path(), &mut is_ready)
            .context("run tests/install")?;
        let mut options = json!({ "args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            "--no-first-run", "--disable-background-networking", "--ignore-certificate-errors",
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", room.path().join("profile").display()),
        ] });
        if is_phone {
            options["mobileEmulation"] =
                json!({ "deviceMetrics": { "width": width, "height": height, "pixelRatio": 1.0 } });
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let made = send(driver, "POST", "/session", &wanted)?;
        let session = made["sessionId"].as_str().context("no session")?.to_owned();
        let browser = Self {
            driver,
            session,
            _process: process,
            _room: room,
        };
        let scheme = if is_dark { "dark" } else { "light" };
        let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let emulation =
            json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": feature } });
        browser.send("POST", "/goog/cdp/execute", &emulation)?;
        Ok(browser)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let path = format!("/session/{}{path}", self.session);
        send(self.driver, method, &path, body)
    }

    /// Goes to an address.
    ///
    /// # Errors
    /// It does not.
    pub fn go(&self, url: &str) -> Result<()> {
        self.send("POST", "/url", &json!({ "url": url })).map(drop)
    }

    /// What a script returns.
    ///
    /// # Errors
    /// It throws.
    pub fn run(&self, script: &str) -> Result<Value> {
        self.send(
            "POST",
            "/execute/sync",
            &json!({ "script": script, "args": [] }),
        )
    }

    /// The text of the page as it is seen.
    ///
    /// # Errors
    /// The browser is gone.
    pub fn text(&self) -> Result<String> {
        let text = self.run("return document.body.innerText")?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the page shows that.
    ///
    /// # Errors
    /// It does not; with what it shows.
    pub fn shows(&self, wanted: &str) -> Result<()> {
        self.waits(|| Ok(self.text()?.contains(wanted).then_some(())), wanted)
    }

    /// Waits until the page no longer shows that.
    ///
    /// # Errors
    /// It goes on to; with what it shows.
    pub fn hides(&self, wanted: &str) -> Result<()> {
        self.waits(
            || Ok((!self.text()?.contains(wanted)).then_some(())),
            wanted,
        )
    }

    fn waits<T>(&self, look: impl Fn() -> Result<Option<T>>, what: &str) -> Result<T> {
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            if Instant::now() > until {
                bail!("waited for {what}\n{}\n{}", self.text()?, self.said()?);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The element that an XPath finds, once it is there.
    fn element(&self, xpath: &str) -> Result<String> {
        let wanted = json!({ "using": "xpath", "value": xpath });
        let look = || {
            let found = self.send("POST", "/elements", &wanted)?;
            let first = found.get(0).and_then(|it| it[ELEMENT].as_str());
            Ok(first.map(str::to_owned))
        };
        self.waits(look, xpath)
    }

    /// Presses what an XPath finds.
    ///
    /// # Errors
    /// There is none, or it cannot be pressed.
    pub fn press(&self, xpath: &str) -> Result<()> {
        // A view that is drawn anew takes its elements along: it is looked for again.
        let press = || {
            let element = self.element(xpath)?;
            let pressed = self.send("POST", &format!("/element/{element}/click"), &json!({}));
            match pressed {
                Ok(_) => Ok(Some(())),
                Err(error) if error.to_string().contains("stale element") => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.waits(press, xpath)
    }

    /// Presses the button or link with this text.
    ///
    /// # Errors
    /// As [`Browser::press`].
    pub fn click(&self, text: &str) -> Result<()> {
        self.press(&format!(
            "(//dialog//button|//button|//a|//summary)[normalize-space()='{text}']"
        ))
    }

    /// Presses the button with this text in the dialog that is open.
    ///
    /// # Errors
    /// As [`Browser::press`].
    pub fn confirm(&self, text: &str) -> Result<()> {
        self.press(&format!(
            "//dialog[@open]//button[normalize-space()='{text}']"
        ))
    }

    /// Writes into the field of this name, of the dialog if one is open, in the place of what stands there.
    ///
    /// # Errors
    /// There is none.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let element = self.element(&format!(
            "//dialog[@open]//input[@name='{name}']|//main[not(//dialog[@open])]//input[@name='{name}']"
        ))?;
        self.send("POST", &format!("/element/{element}/clear"), &json!({}))?;
        let value = json!({ "text": text });
        self.send("POST", &format!("/element/{element}/value"), &value)
            .map(drop)
    }

    /// What the page and its scripts complained of.
    ///
    /// # Errors
    /// The browser is gone.
    pub fn said(&self) -> Result<String> {
        let log = self.send("POST", "/se/log", &json!({ "type": "browser" }))?;
        let lines = log.as_array().into_iter().flatten();
        let lines = lines.map(|it| format!("{}: {}\n", it["level"], it["message"]));
        Ok(lines.collect())
    }

    /// Whether nothing of the page is wider than the window.
    ///
    /// # Errors
    /// The browser is gone.
    pub fn fits(&self) -> Result<bool> {
        let fits = self.run("return document.documentElement.scrollWidth <= window.innerWidth")?;
        Ok(fits == true)
    }

    /// A picture of the window.
    ///
    /// # Errors
    /// It cannot be taken or written.
    pub fn picture(&self, to: &Path) -> Result<()> {
        let picture = self.send("GET", "/screenshot", &Value::Null)?;
        let picture = picture.as_str().context("no picture")?;
        Ok(fs::write(to, STANDARD.decode(picture)?)?)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium goes with its session.
        let _ = self.send("DELETE", "", &Value::Null);
    }
}

fn send(driver: SocketAddr, method: &str, path: &str, body: &Value) -> Result<Value> {
    let told = request(driver, method, path, "", body)?;
    let value = told.body["value"].clone();
    if told.status != 200 {
        bail!("{method} {path}: {} {}", value["error"], value["message"]);
    }
    Ok(value)
}
