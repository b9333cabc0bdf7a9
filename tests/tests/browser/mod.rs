//! A real browser for pages of ours.
//!
//! Where chromium is not installed, tests that need it are shown as ignored; in CI, which installs it, they fail.

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use tempfile::TempDir;

const CHROMIUM: &str = "chromium";
/// For each answer of the browser's, which may have a busy machine under it.
const DEADLINE: Duration = Duration::from_secs(60);

/// A browser with one page, spoken to over its debugging pipe: JSON, each message ended by a NUL.
pub(crate) struct Browser {
    process: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    sent: u64,
    pub(crate) events: Vec<Value>,
    /// Its profile, and the pages.
    directory: TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked to, it ends in order; told to, it would leave its children to end when they notice.
        let _ = self.to.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        while self.from.recv_timeout(DEADLINE).is_ok() {}
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Browser {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // It takes commands on 3 and answers on 4. Root has no sandbox there, nor has a container; the page is our own.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh", CHROMIUM])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", directory.path().join("profile").display()))
            .env("TMPDIR", directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let to = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let (sender, from) = mpsc::channel();
        std::thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { break };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Browser { process, to, from, session: None, sent: 0, events: Vec::new(), directory };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let session = browser.ask("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page.enable", "Runtime.enable", "Network.enable"] {
            browser.ask(domain, json!({}));
        }
        browser.width(1200);
        browser
    }

    fn next(&self) -> Value {
        self.from.recv_timeout(DEADLINE).unwrap_or_else(|error| panic!("{CHROMIUM}: no answer: {error}"))
    }

    /// The answer to a command of its protocol. What else it tells is kept.
    pub(crate) fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut message = json!({ "id": self.sent, "method": method });
        message["params"] = parameters;
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        loop {
            let mut message = self.next();
            if message["id"] == self.sent {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    /// Loads a page, and waits until that is done.
    pub(crate) fn load(&mut self, page: &str, fragment: &str) {
        // Each a file of its own: to move within one is no load.
        let path = self.directory.path().join(format!("page-{}.html", self.sent));
        std::fs::write(&path, page).unwrap();
        self.events.clear();
        self.ask("Page.navigate", json!({ "url": format!("file://{}{fragment}", path.display()) }));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.next();
            self.events.push(event);
        }
    }

    pub(crate) fn width(&mut self, width: u32) {
        let screen = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 800 });
        self.ask("Emulation.setDeviceMetricsOverride", screen);
    }

    /// The value of a JavaScript expression.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let mut answer = self
            .ask("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }));
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    /// A click of the mouse on the middle of the first element that fits: what lies there gets it, as a person's would.
    pub(crate) fn click(&mut self, selector: &str) {
        let at = self.value(&format!(
            "(() => {{ const e = document.querySelector({}); e.scrollIntoView({{ block: 'center' }}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()",
            json!(selector)
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1 });
            self.ask("Input.dispatchMouseEvent", event);
        }
    }

    pub(crate) fn key(&mut self, name: &str, code: u32) {
        for kind in ["keyDown", "keyUp"] {
            self.ask("Input.dispatchKeyEvent", json!({ "type": kind, "key": name, "windowsVirtualKeyCode": code }));
        }
    }

    /// Whether it fits into the window's width.
    pub(crate) fn fits(&mut self) -> bool {
        self.value("document.documentElement.scrollWidth <= innerWidth").as_bool().unwrap()
    }
}

/// Runs tests that need a browser, and exits.
pub(crate) fn run(tests: &[(&'static str, fn())]) -> ! {
    let arguments = Arguments::from_args();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing = !std::env::split_paths(&path).any(|directory| directory.join(CHROMIUM).exists());
    let in_ci = std::env::var_os("CI").is_some();
    let trials = tests.iter().map(|&(name, test)| {
        let run = move || {
            if missing {
                return Err(Failed::from(format!("{CHROMIUM} is not installed; ci/field/install does that")));
            }
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(missing && !in_ci)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit()
}
