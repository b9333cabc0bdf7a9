//! The table of many daemons in a real browser: its order, its filters, its cases, its keys, its width, paper, and that nothing
//! a subject or a manifest says comes alive in it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod browser;

use browser::Browser;
use daemonspec::check::{Failure, Profile, Verdict};
use daemonspec::observation::Text;
use daemonspec::report::json;
use daemonspec::report::matrix::{NotJudged, Row, html};
use daemonspec::run::Options;
use serde_json::{Value, json};

fn row(name: &str, language: &str) -> Row {
    let recordings = json::read_recordings(include_str!("../../harness/tests/reference.json")).unwrap();
    let outcome = recordings.into_iter().next().unwrap().judge(&Options::default()).unwrap();
    Row {
        name: name.to_owned(),
        language: Some(language.to_owned()),
        package: Some(format!("{name}-package")),
        manifest: "ci/some.toml".to_owned(),
        command: outcome.command.clone(),
        here: None,
        profile: Profile::Sysv,
        result: Ok(outcome),
    }
}

fn say(row: &mut Row, id: &str, verdict: Verdict, expected: Option<&str>) {
    let judged = &mut row.result.as_mut().unwrap().judged;
    let judged = judged.iter_mut().find(|judged| judged.check.id == id).unwrap();
    judged.verdict = verdict;
    judged.waived = expected.map(str::to_owned);
}

fn failure(words: &str) -> Verdict {
    Verdict::Fail(Failure { expected: words.to_owned(), actual: words.to_owned(), evidence: vec![words.to_owned(); 2] })
}

/// Three that are judged and one that is not.
fn sample() -> Vec<Row> {
    let (mut alpha, beta, mut gamma) = (row("alpha", "C"), row("beta", "Go"), row("gamma", "C"));
    say(&mut alpha, "cwd-root", failure("it works in /home"), Some("ls -l /proc/PID/cwd: /home"));
    say(&mut gamma, "cwd-root", failure("it works in /srv"), None);
    say(&mut gamma, "not-session-leader", failure("pid 7 leads session 7"), None);
    say(&mut gamma, "log-appended", Verdict::Skip("it has no log".to_owned()), None);
    let mut missing = row("missing", "Perl");
    missing.result = Err(NotJudged { why: "cannot start `missing`: no such command".to_owned(), missing: true });
    vec![beta, alpha, gamma, missing]
}

fn open(browser: &mut Browser, rows: &[Row], fragment: &str) {
    browser.load(&html::report(rows), fragment);
}

/// The texts of what can be seen of that.
fn shown(browser: &mut Browser, selector: &str) -> Vec<String> {
    let texts = "(s => [...document.querySelectorAll(s)].filter(e => e.checkVisibility()).map(e => e.textContent))";
    serde_json::from_value(browser.value(&format!("{texts}({})", json!(selector)))).unwrap()
}

fn names(browser: &mut Browser) -> Vec<String> {
    shown(browser, "tbody .who")
}

fn dialog(browser: &mut Browser) -> Option<String> {
    let open = "(d => d.open ? d.querySelector('h2').textContent : null)(document.querySelector('dialog'))";
    browser.value(open).as_str().map(str::to_owned)
}

/// Chooses a value of a filter.
fn choose(browser: &mut Browser, name: &str, value: &str) {
    let choose = "((n, v) => { const f = document.querySelector('.filters'); f.elements[n].value = v; \
                  f.elements[n].dispatchEvent(new Event('input', { bubbles: true })); })";
    browser.value(&format!("{choose}({}, {})", json!(name), json!(value)));
}

fn focused(browser: &mut Browser) -> Vec<Value> {
    let at = "(e => [e.closest('tr')?.querySelector('.who').textContent, e.dataset.check])(document.activeElement)";
    browser.value(at).as_array().unwrap().clone()
}

fn picture(browser: &mut Browser, name: &str) {
    // For a person who wants to look: a directory for pictures.
    let Some(directory) = std::env::var_os("DAEMONSPEC_PICTURES") else { return };
    let answer = browser.ask("Page.captureScreenshot", json!({ "format": "png" }));
    let path = std::path::Path::new(&directory).join(format!("{name}.base64"));
    std::fs::write(path, answer["data"].as_str().unwrap()).unwrap();
}

fn order() {
    let mut browser = Browser::start();
    open(&mut browser, &sample(), "");
    assert_eq!(names(&mut browser), ["beta", "alpha", "gamma", "missing"]);
    for (head, order) in [
        ("name", ["alpha", "beta", "gamma", "missing"]),
        ("language", ["alpha", "gamma", "beta", "missing"]),
        ("must", ["alpha", "gamma", "beta", "missing"]),
        ("should", ["gamma", "beta", "alpha", "missing"]),
    ] {
        browser.click(&format!("th[data-sort={head}] button"));
        assert_eq!(names(&mut browser), order, "{head}");
        assert_eq!(browser.value("document.querySelectorAll('th[aria-sort]').length"), 1);
    }
    browser.click("th[data-check=cwd-root] button");
    assert_eq!(names(&mut browser), ["gamma", "alpha", "beta", "missing"], "what was not expected comes first");
    browser.click("th[data-check=cwd-root] button");
    assert_eq!(names(&mut browser), ["missing", "beta", "alpha", "gamma"]);
}

fn filters() {
    let mut browser = Browser::start();
    open(&mut browser, &sample(), "");
    let all = shown(&mut browser, "th.check").len();
    choose(&mut browser, "language", "C");
    assert_eq!(names(&mut browser), ["alpha", "gamma"]);
    choose(&mut browser, "verdict", "fail waived");
    assert_eq!(shown(&mut browser, "th.check"), ["not-session-leader", "cwd-root"]);
    assert_eq!(shown(&mut browser, ".family"), ["session", "filesystem"]);
    choose(&mut browser, "verdict", "fail");
    assert_eq!(names(&mut browser), ["gamma"]);
    choose(&mut browser, "level", "must");
    assert_eq!(shown(&mut browser, "th.check"), ["cwd-root"]);
    assert_eq!(shown(&mut browser, "output"), [format!("1 of 4 daemons, 1 of {all} checks")]);
    browser.click("button[type=reset]");
    assert_eq!(names(&mut browser).len(), 4);
    assert_eq!(shown(&mut browser, "th.check").len(), all);
    browser.click("input[name=check]");
    browser.ask("Input.insertText", json!({ "text": "pidfile odd" }));
    assert_eq!(shown(&mut browser, "th.check"), ["pidfile-odd-path"]);
    browser.click("input[name=daemon]");
    browser.ask("Input.insertText", json!({ "text": "BETA-pack" }));
    assert_eq!(names(&mut browser), ["beta"]);
}

fn cases() {
    let mut browser = Browser::start();
    open(&mut browser, &sample(), "");
    browser.click("tr[data-number='2'] [data-check=cwd-root]");
    assert_eq!(dialog(&mut browser).as_deref(), Some("alpha · cwd-root"));
    let text = shown(&mut browser, "dialog .body").concat();
    for words in ["it works in /home", "ls -l /proc/PID/cwd: /home", "How it starts", "See it by hand"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(shown(&mut browser, ".again"), ["daemonspec check --manifest ci/some.toml --only cwd-root alpha"]);
    assert_eq!(browser.value("document.querySelector('dialog .badge') !== null"), true);
    picture(&mut browser, "case");
    browser.key("Escape", 27);
    assert_eq!(dialog(&mut browser), None);

    // Of a promise that is kept there is less to say; of one that does not apply why.
    browser.click("tr[data-number='1'] [data-check=cwd-root]");
    assert!(shown(&mut browser, "dialog .body").concat().starts_with("kept: works in /"));
    browser.click("dialog .top button");
    browser.click("tr[data-number='3'] [data-check=log-appended]");
    assert!(shown(&mut browser, "dialog .body").concat().contains("it has no log"));
    // A link to a case, from elsewhere.
    open(&mut browser, &sample(), "#cell-3-not-session-leader");
    assert_eq!(dialog(&mut browser).as_deref(), Some("gamma · not-session-leader"));
    browser.click("dialog .top button");
    browser.click("tbody tr[data-number='2'] .who a");
    assert_eq!(browser.value("document.getElementById('daemon-2').open"), true);
}

fn keys() {
    let mut browser = Browser::start();
    open(&mut browser, &sample(), "");
    assert_eq!(browser.value("document.querySelectorAll('.cell[tabindex=\"0\"]').length"), 1);
    browser.value("document.querySelector('.cell[tabindex=\"0\"]').focus()");
    assert_eq!(focused(&mut browser), ["beta", "launcher-exits"]);
    for (key, code) in [("ArrowDown", 40), ("ArrowRight", 39), ("ArrowRight", 39), ("ArrowLeft", 37)] {
        browser.key(key, code);
    }
    assert_eq!(focused(&mut browser), ["alpha", "daemon-stays-up"]);
    browser.key("ArrowUp", 38);
    browser.key("ArrowUp", 38);
    assert_eq!(focused(&mut browser), ["beta", "daemon-stays-up"], "no further than there are rows");
    browser.key("Enter", 13);
    assert_eq!(dialog(&mut browser).as_deref(), Some("beta · daemon-stays-up"));
    browser.key("Escape", 27);
    assert_eq!(focused(&mut browser), ["beta", "daemon-stays-up"], "back where it was");
    choose(&mut browser, "check", "pidfile-mode");
    assert_eq!(browser.value("document.querySelector('.cell[tabindex=\"0\"]').dataset.check"), "pidfile-mode");
}

fn widths() {
    let mut browser = Browser::start();
    let mut rows = sample();
    let long = "unbroken".repeat(200);
    rows[0].name.clone_from(&long);
    rows[0].language = Some(long.clone());
    rows[0].package = Some(long.clone());
    say(&mut rows[1], "cwd-root", failure(&long), Some(&long));
    for width in [360, 700, 1200, 1920] {
        browser.width(width);
        open(&mut browser, &rows, "");
        assert!(browser.value("document.documentElement.scrollWidth <= innerWidth").as_bool().unwrap(), "{width}");
        picture(&mut browser, &format!("width-{width}"));
        browser.click("tr[data-number='2'] [data-check=cwd-root]");
        assert!(dialog(&mut browser).is_some() && browser.fits(), "{width} pixels, with a case");
    }
    // On a phone it is what is not kept, by name, and nothing else.
    browser.width(360);
    open(&mut browser, &sample(), "");
    assert_eq!(shown(&mut browser, "tr[data-number='3'] .cell").len(), 2);
    let named = "getComputedStyle(document.querySelector('tr[data-number=\"3\"] .cell.fail'), '::after').content";
    assert_eq!(browser.value(named), "\" not-session-leader\"");
}

fn paper() {
    let mut browser = Browser::start();
    browser.width(1500);
    open(&mut browser, &sample(), "");
    browser.ask("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    assert!(browser.fits(), "400 mm are 1512 pixels");
    assert_eq!(browser.value("document.querySelector('.filters').checkVisibility()"), false);
    assert_eq!(names(&mut browser).len(), 4);
    browser.ask("Emulation.setEmulatedMedia", json!({ "media": "" }));
}

fn without_script() {
    let mut browser = Browser::start();
    browser.ask("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    open(&mut browser, &sample(), "#case-3-cwd-root");
    assert_eq!(names(&mut browser).len(), 4);
    assert_eq!(browser.value("document.querySelector('.filters').checkVisibility()"), false);
    assert_eq!(browser.value("document.getElementById('case-3-cwd-root').checkVisibility()"), true);
}

fn nothing_comes_alive() {
    let hostile = "<script>owned = 1</script></script><script>owned = 1</script><img src=x onerror='owned = 1'>\
                   \"><svg onload=owned=1>' onmouseover='owned=1' --></style><style>*{display:none}</style>{{7*7}}";
    let mut browser = Browser::start();
    let mut rows = sample();
    rows[0].name = hostile.to_owned();
    rows[0].language = Some(hostile.to_owned());
    rows[0].package = Some(hostile.to_owned());
    rows[0].manifest = hostile.to_owned();
    rows[0].command = vec![Text::new(hostile.as_bytes())];
    say(&mut rows[0], "cwd-root", failure(hostile), Some(hostile));
    say(&mut rows[0], "new-session", Verdict::Skip(hostile.to_owned()), None);
    say(&mut rows[0], "stdio-open", Verdict::Broken(hostile.to_owned()), None);
    rows[3].result = Err(NotJudged { why: hostile.to_owned(), missing: false });
    open(&mut browser, &rows, "");
    choose(&mut browser, "language", hostile);
    assert_eq!(names(&mut browser), [hostile]);
    browser.click("tr[data-number='1'] [data-check=cwd-root]");
    assert_eq!(browser.value("typeof owned"), "undefined");
    assert_eq!(browser.value("document.querySelector('dialog .actual').textContent"), hostile);
    assert_eq!(browser.value("document.querySelectorAll('script, style, img').length"), 2);
    let mut asked = browser.events.iter().filter(|e| e["method"] == "Network.requestWillBeSent");
    assert_eq!(asked.clone().count(), 1, "{asked:?}");
    assert!(asked.all(|e| e["params"]["request"]["url"].as_str().unwrap().starts_with("file:")));
    assert!(!browser.events.iter().any(|e| e["method"] == "Runtime.exceptionThrown"), "{:?}", browser.events);
}

fn main() {
    browser::run(&[
        ("order", order),
        ("filters", filters),
        ("cases", cases),
        ("keys", keys),
        ("widths", widths),
        ("paper", paper),
        ("without_script", without_script),
        ("nothing_comes_alive", nothing_comes_alive),
    ]);
}
