//! The HTML report in a real browser: its filters, its pages, its width, and that nothing a subject says comes alive in it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod browser;

use browser::Browser;
use daemonspec::check::{Failure, Verdict};
use daemonspec::observation::Text;
use daemonspec::report::{html, json};
use daemonspec::run::{Options, Outcome};
use serde_json::json;

/// What these tests do with a report.
trait Report {
    /// Loads the report on `outcomes`.
    fn open(&mut self, outcomes: &[Outcome], fragment: &str);
    /// The names of the checks that can be seen, in order.
    fn shown(&mut self) -> Vec<String>;
    /// Whether a check's page is.
    fn is_open(&mut self) -> bool;
}

impl Report for Browser {
    fn open(&mut self, outcomes: &[Outcome], fragment: &str) {
        self.load(&html::report(outcomes), fragment);
    }

    fn shown(&mut self) -> Vec<String> {
        let seen = "[...document.querySelectorAll('.check')].filter(c => c.checkVisibility()).map(c => c.id)";
        serde_json::from_value(self.value(seen)).unwrap()
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
    browser::run(&[
        ("filters", filters),
        ("pages", pages),
        ("phone", phone),
        ("without_script", without_script),
        ("nothing_comes_alive", nothing_comes_alive),
    ]);
}
