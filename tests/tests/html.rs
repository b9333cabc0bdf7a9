//! The HTML report in a real browser: its filters, its pages, its width, and that nothing a subject says comes alive in it.
//!
//! Where chromium is not installed these tests are shown as ignored; in CI, which installs it, they fail.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use daemonspec::check::{Failure, Verdict};
use daemonspec::observation::Text;
use daemonspec::report::{html, json};
use daemonspec::run::{Options, Outcome};
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
struct Browser {
    process: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    sent: u64,
    events: Vec<Value>,
    /// Its profile, and the report.
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
    fn start() -> Self {
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
    fn ask(&mut self, method: &str, parameters: Value) -> Value {
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

    /// Loads the report on `outcomes`, and waits until that is done.
    fn open(&mut self, outcomes: &[Outcome], fragment: &str) {
        // Each a file of its own: to move within one is no load.
        let path = self.directory.path().join(format!("report-{}.html", self.sent));
        std::fs::write(&path, html::report(outcomes)).unwrap();
        self.events.clear();
        self.ask("Page.navigate", json!({ "url": format!("file://{}{fragment}", path.display()) }));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.next();
            self.events.push(event);
        }
    }

    fn width(&mut self, width: u32) {
        let screen = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 800 });
        self.ask("Emulation.setDeviceMetricsOverride", screen);
    }

    /// The value of a JavaScript expression.
    fn value(&mut self, expression: &str) -> Value {
        let mut answer = self
            .ask("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }));
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    /// A click of the mouse on the middle of the first element that fits: what lies there gets it, as a person's would.
    fn click(&mut self, selector: &str) {
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

    fn key(&mut self, name: &str, code: u32) {
        for kind in ["keyDown", "keyUp"] {
            self.ask("Input.dispatchKeyEvent", json!({ "type": kind, "key": name, "windowsVirtualKeyCode": code }));
        }
    }

    /// The names of the checks that can be seen, in order.
    fn shown(&mut self) -> Vec<String> {
        let seen = "[...document.querySelectorAll('.check')].filter(c => c.checkVisibility()).map(c => c.id)";
        serde_json::from_value(self.value(seen)).unwrap()
    }

    /// Whether it fits into the window's width.
    fn fits(&mut self) -> bool {
        self.value("document.documentElement.scrollWidth <= innerWidth").as_bool().unwrap()
    }

    fn is_open(&mut self) -> bool {
        self.value("document.querySelector('dialog').open").as_bool().unwrap()
    }
}

fn outcome(name: &str) -> Outcome {
    let recordings = json::read_recordings(include_str!("../../harness/tests/reference.json")).unwrap();
    let mut outcome = recordings.into_iter().next().unwrap().judge(&Options::default()).unwrap();
    name.clone_into(&mut outcome.name);
    outcome
}

fn say(outcome: &mut Outcome, id: &str, verdict: Verdict) {
    outcome.judged.iter_mut().find(|j| j.check.id == id).unwrap().verdict = verdict;
}

fn failure(words: &str) -> Verdict {
    Verdict::Fail(Failure { expected: words.to_owned(), actual: words.to_owned(), evidence: vec![words.to_owned(); 2] })
}

/// Two daemons, three failures and a skip.
fn sample() -> Vec<Outcome> {
    let mut flawed = outcome("flawed");
    say(&mut flawed, "cwd-root", failure("it works in /home"));
    say(&mut flawed, "not-session-leader", failure("pid 7 leads session 7"));
    say(&mut flawed, "log-appended", Verdict::Skip("it has no log".to_owned()));
    let mut other = outcome("other");
    say(&mut other, "cwd-root", failure("it works in /srv"));
    vec![flawed, other]
}

fn filters() {
    let mut browser = Browser::start();
    let outcomes = sample();
    browser.open(&outcomes, "");
    let all: usize = outcomes.iter().map(|o| o.judged.len()).sum();
    assert_eq!(browser.shown().len(), all);

    browser.click("button[data-value=fail]");
    let failed = ["check-1-not-session-leader", "check-1-cwd-root", "check-2-cwd-root"];
    assert_eq!(browser.shown(), failed);
    assert_eq!(browser.value("document.querySelector('output').textContent"), format!("3 of {all} shown"));
    assert_eq!(browser.value("document.querySelector('[data-value=fail]').ariaPressed"), "true");

    browser.click("button[data-value=should]");
    assert_eq!(browser.shown(), failed[..1]);
    browser.click("button[data-filter=level][data-value='']");
    browser.click("input[type=search]");
    browser.ask("Input.insertText", json!({ "text": "CWD /srv" }));
    assert_eq!(browser.shown(), failed[2..]);

    // A link to what is filtered away brings it back.
    browser.click(".troubles a[href='#check-1-not-session-leader']");
    assert_eq!(browser.shown().len(), all);
}

fn pages() {
    let mut browser = Browser::start();
    browser.open(&sample(), "");
    browser.click("#check-2-cwd-root h4 a");
    assert!(browser.is_open());
    assert_eq!(browser.value("document.querySelector('dialog h2').textContent"), "cwd-root");
    let headings = "[...document.querySelectorAll('dialog h4')].map(h => h.textContent).join()";
    assert!(browser.value(headings).as_str().unwrap().starts_with("Why,"));
    browser.key("Escape", 27);
    assert!(!browser.is_open());

    browser.click("#check-1-new-session h4 a");
    assert_eq!(browser.value("document.querySelectorAll('dialog .prose').length"), 1);
    assert_eq!(browser.value("document.querySelector('dialog h2').textContent"), "new-session");
    browser.click("dialog button");
    assert!(!browser.is_open());
    // A link to a page, from elsewhere.
    browser.open(&sample(), "#page-cwd-root");
    assert!(browser.is_open());
}

fn phone() {
    let mut browser = Browser::start();
    let mut outcomes = sample();
    let long = "unbroken".repeat(500);
    outcomes[0].name.clone_from(&long);
    outcomes[0].command = vec![Text::new(long.as_bytes())];
    say(&mut outcomes[0], "cwd-root", failure(&long));
    say(&mut outcomes[0], "new-session", Verdict::Skip(long.clone()));
    for width in [360, 320, 1200] {
        browser.width(width);
        browser.open(&outcomes, "");
        assert!(browser.fits(), "{width} pixels");
        browser.click("#check-2-cwd-root h4 a");
        assert!(browser.is_open() && browser.fits(), "{width} pixels, with a page");
        let inside = "(d => d.scrollWidth <= d.clientWidth && d.getBoundingClientRect().right <= innerWidth)\
                      (document.querySelector('dialog'))";
        assert_eq!(browser.value(inside), true, "{width} pixels, the page");
    }
}

fn without_script() {
    let mut browser = Browser::start();
    browser.ask("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    let outcomes = sample();
    browser.open(&outcomes, "#page-cwd-root");
    assert_eq!(browser.shown().len(), outcomes.iter().map(|o| o.judged.len()).sum::<usize>());
    assert_eq!(browser.value("document.querySelector('.filters').checkVisibility()"), false);
    assert_eq!(browser.value("document.getElementById('page-cwd-root').checkVisibility()"), true);
    assert_eq!(browser.value("document.getElementById('page-new-session').checkVisibility()"), false);
}

fn nothing_comes_alive() {
    let hostile = "<script>owned = 1</script></script><script>owned = 1</script><img src=x onerror='owned = 1'>\
                   \"><svg onload=owned=1>' onmouseover='owned=1' --></style><style>*{display:none}</style>{{7*7}}";
    let mut browser = Browser::start();
    let mut outcomes = sample();
    outcomes[0].name = hostile.to_owned();
    outcomes[0].command = vec![Text::new(hostile.as_bytes())];
    say(&mut outcomes[0], "cwd-root", failure(hostile));
    say(&mut outcomes[0], "new-session", Verdict::Skip(hostile.to_owned()));
    say(&mut outcomes[0], "stdio-open", Verdict::Broken(hostile.to_owned()));
    outcomes[0].judged.iter_mut().find(|j| j.check.id == "stale-pidfile").unwrap().waived = Some(hostile.to_owned());
    browser.open(&outcomes, "");
    browser.click("button[data-value=fail]");
    browser.click("#check-1-cwd-root h4 a");
    assert_eq!(browser.value("typeof owned"), "undefined");
    assert_eq!(browser.value("document.querySelector('#check-1-cwd-root .actual').textContent"), hostile);
    assert_eq!(browser.value("document.querySelectorAll('script, style, img, svg').length"), 2);
    assert_eq!(browser.value("document.querySelectorAll('.check').length"), 2 * outcomes[0].judged.len());
    let mut asked = browser.events.iter().filter(|e| e["method"] == "Network.requestWillBeSent");
    assert_eq!(asked.clone().count(), 1, "{asked:?}");
    assert!(asked.all(|e| e["params"]["request"]["url"].as_str().unwrap().starts_with("file:")));
    assert!(!browser.events.iter().any(|e| e["method"] == "Runtime.exceptionThrown"), "{:?}", browser.events);
}

fn main() {
    let arguments = Arguments::from_args();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing = !std::env::split_paths(&path).any(|directory| directory.join(CHROMIUM).exists());
    let in_ci = std::env::var_os("CI").is_some();
    let tests: [(&str, fn()); 5] = [
        ("filters", filters),
        ("pages", pages),
        ("phone", phone),
        ("without_script", without_script),
        ("nothing_comes_alive", nothing_comes_alive),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        let run = move || {
            if missing {
                return Err(Failed::from(format!("{CHROMIUM} is not installed; ci/install-third-party does that")));
            }
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(missing && !in_ci)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
