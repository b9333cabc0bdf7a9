//! The timeline's page in a real browser: its zoom, its keys, its table, its width, and that nothing a subject says comes alive
//! in it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod browser;
#[path = "../../harness/tests/starts/mod.rs"]
#[allow(dead_code, reason = "the terminal's tests need more of them")]
mod starts;

use browser::Browser;
use daemonspec::observation::{Text, What};
use daemonspec::run::TracedStart;
use daemonspec::timeline::{Timeline, html};
use serde_json::{Value, json};

fn open(browser: &mut Browser, start: &TracedStart) {
    browser.load(&html::report(&Timeline::new(start)), "");
}

/// How wide the timeline is, in widths of its window.
fn zoom(browser: &mut Browser) -> f64 {
    let wide = "document.querySelector('.scene').offsetWidth / document.querySelector('.plot').clientWidth";
    browser.value(wide).as_f64().unwrap()
}

fn text(browser: &mut Browser, selector: &str) -> String {
    browser.value(&format!("document.querySelector({}).textContent", json!(selector))).as_str().unwrap().to_owned()
}

/// Nothing of what is said went wrong in the browser.
fn no_exception(browser: &Browser) {
    assert!(!browser.events.iter().any(|e| e["method"] == "Runtime.exceptionThrown"), "{:?}", browser.events);
}

fn picture(browser: &mut Browser, name: &str) {
    // For a person who wants to look: a directory for pictures.
    let Some(directory) = std::env::var_os("DAEMONSPEC_PICTURES") else { return };
    let answer = browser.ask("Page.captureScreenshot", json!({ "format": "png" }));
    let encoded = answer["data"].as_str().unwrap();
    std::fs::write(std::path::Path::new(&directory).join(format!("{name}.base64")), encoded).unwrap();
}

fn the_steps_are_in_view() {
    let mut browser = Browser::start();
    for (name, start) in [("good", starts::good()), ("bad", starts::bad())] {
        open(&mut browser, &start);
        let steps = Timeline::new(&start).taken.len();
        assert_eq!(browser.value("document.querySelectorAll('.badge').length"), steps);
        // Each number inside the window, and none over another.
        let places = "[...document.querySelectorAll('.badge circle')].map(c => c.getBoundingClientRect())";
        let inside = format!("{places}.every(r => r.left >= 0 && r.right <= innerWidth)");
        assert_eq!(browser.value(&inside), true, "{name}");
        let apart = format!(
            "{places}.every((a, i, all) => all.every((b, j) => i === j || Math.hypot(a.x - b.x, a.y - b.y) >= a.width))"
        );
        assert_eq!(browser.value(&apart), true, "{name}");
        picture(&mut browser, name);
    }
    no_exception(&browser);
}

fn zooming() {
    let mut browser = Browser::start();
    open(&mut browser, &starts::good());
    let before = zoom(&mut browser);
    browser.click("[data-do=in]");
    assert!(zoom(&mut browser) > before * 1.5);
    browser.click("[data-do=out]");
    assert!((zoom(&mut browser) - before).abs() < 0.1);
    browser.click("[data-do=all]");
    assert!((zoom(&mut browser) - 1.0).abs() < 0.01);
    browser.click("[data-do=steps]");
    assert!(zoom(&mut browser) > 2.0);
    let inside = "[...document.querySelectorAll('.badge')].every(b => (r => r.left >= 0 && r.right <= innerWidth)\
                  (b.querySelector('circle').getBoundingClientRect()))";
    assert_eq!(browser.value(inside), true);
    picture(&mut browser, "steps");

    browser.value("document.querySelector('.plot').focus()");
    browser.key("0", 48);
    assert!((zoom(&mut browser) - 1.0).abs() < 0.01);
    browser.key("+", 187);
    let by_key = zoom(&mut browser);
    assert!(by_key > 1.5);
    // What the pointer is at stays where it is.
    let at = "(() => { const p = document.querySelector('.plot'), r = p.getBoundingClientRect();
              return [r.x + 200, r.y + 60, (p.scrollLeft + 200) / p.scrollWidth]; })()";
    let place = browser.value(at);
    let wheel = json!({ "type": "mouseWheel", "x": place[0], "y": place[1], "deltaX": 0, "deltaY": -200 });
    browser.ask("Input.dispatchMouseEvent", wheel);
    // A wheel's event comes when the browser has time for it.
    let turned = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))";
    while zoom(&mut browser) <= by_key * 1.2 {
        browser.value(turned);
    }
    let now = browser.value(at);
    assert!((now[2].as_f64().unwrap() - place[2].as_f64().unwrap()).abs() < 0.01, "{place} {now}");
    no_exception(&browser);
}

fn events_are_told() {
    let mut browser = Browser::start();
    let start = starts::good();
    open(&mut browser, &start);
    browser.click(".badge[data-event] circle");
    assert!(text(&mut browser, ".detail").contains("step 1 close descriptors"));
    assert_eq!(browser.value("document.querySelectorAll('tr.chosen').length"), 1);

    browser.value("document.querySelector('.plot').focus()");
    browser.key("Home", 36);
    assert!(text(&mut browser, ".detail code").starts_with("executes /usr/sbin/mydaemon"));
    browser.key("ArrowRight", 39);
    assert!(text(&mut browser, ".detail code").starts_with("openat(AT_FDCWD, \"/etc/ld.so.cache\""));
    browser.key("End", 35);
    assert_eq!(text(&mut browser, ".detail code"), "exit 0");
    browser.key("ArrowDown", 40);
    assert!(text(&mut browser, ".detail b").contains("child 8"));
    browser.key("ArrowDown", 40);
    assert!(text(&mut browser, ".detail b").contains("daemon 9"));
    let inside =
        "(r => r.left >= 0 && r.right <= innerWidth)(document.querySelector('.cursor circle').getBoundingClientRect())";
    assert_eq!(browser.value(inside), true);
    no_exception(&browser);
}

fn the_table_has_all() {
    let mut browser = Browser::start();
    let start = starts::good();
    let seen = "[...document.querySelectorAll('tbody tr')].filter(row => row.checkVisibility()).length";
    open(&mut browser, &start);
    assert_eq!(browser.value(seen), start.trace.events.len());
    browser.click("[data-show=steps]");
    let steps: usize = Timeline::new(&start).taken.iter().map(|taken| taken.events.len()).sum();
    assert_eq!(browser.value(seen), steps);
    browser.click("[data-show=all]");
    browser.click("input[type=search]");
    browser.ask("Input.insertText", json!({ "text": "prlimit daemon" }));
    assert_eq!(browser.value(seen), 1);
    assert!(text(&mut browser, ".filters output").starts_with("1 of "));
    // A link to what is filtered away brings it back.
    browser.click(".steps a");
    assert_eq!(browser.value(seen), start.trace.events.len());

    browser.ask("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    open(&mut browser, &start);
    assert_eq!(browser.value(seen), start.trace.events.len());
    assert_eq!(browser.value("document.querySelector('.tools').checkVisibility()"), false);
    assert!(zoom(&mut browser) > 1.5);
}

fn phone() {
    let mut browser = Browser::start();
    let mut long = starts::bad();
    let unbroken = "unbroken".repeat(400);
    long.name.clone_from(&unbroken);
    long.command = vec![Text::new(unbroken.as_bytes())];
    for event in &mut long.trace.events {
        match &mut event.what {
            What::Call(call) => call.arguments = Text::new(unbroken.as_bytes()),
            What::Program(path) => *path = Text::new(unbroken.as_bytes()),
            _ => {}
        }
    }
    for width in [360, 320, 768, 1200] {
        browser.width(width);
        for (name, start) in [("good", &starts::good()), ("long", &long), ("bad", &starts::bad())] {
            open(&mut browser, start);
            assert!(browser.fits(), "{name} at {width} pixels");
            browser.click("[data-do=in]");
            browser.click(".badge circle");
            assert!(browser.fits(), "{name} at {width} pixels, zoomed");
            picture(&mut browser, &format!("{name}-{width}"));
        }
    }
    no_exception(&browser);
}

fn dark_and_on_paper() {
    let mut browser = Browser::start();
    let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
    browser.ask("Emulation.setEmulatedMedia", dark);
    open(&mut browser, &starts::bad());
    let colour = "getComputedStyle(document.body).backgroundColor";
    assert_eq!(browser.value(colour), "rgb(22, 22, 19)");
    picture(&mut browser, "dark");
    browser.ask("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    assert_eq!(browser.value(colour), "rgb(255, 255, 255)");
    assert!(browser.fits());
    picture(&mut browser, "print");
}

fn a_great_many_are_borne() {
    let mut browser = Browser::start();
    let mut start = starts::Start::new(7, "/bin/x");
    let daemon = start.fork(0, 8);
    for pid in 0..300 {
        let process = start.fork(daemon, 9 + pid);
        for _ in 0..30 {
            start.on(process, "openat", "AT_FDCWD, \"/etc/x\", O_RDONLY", "/etc/x", 3);
        }
    }
    let start = start.done(Some(daemon), None);
    open(&mut browser, &start);
    assert!(browser.fits());
    browser.click("[data-do=in]");
    browser.value("document.querySelector('.plot').focus()");
    browser.key("End", 35);
    assert_eq!(browser.value("document.querySelectorAll('tbody tr').length"), start.trace.events.len());
    open(&mut browser, &starts::of(daemonspec::observation::Trace::default(), None));
    browser.click("[data-do=steps]");
    browser.value("document.querySelector('.plot').focus()");
    for (key, code) in [("End", 35), ("ArrowRight", 39), ("ArrowDown", 40), ("+", 187)] {
        browser.key(key, code);
    }
    no_exception(&browser);
}

fn nothing_comes_alive() {
    let hostile = "<script>owned = 1</script></script><script>owned = 1</script><img src=x onerror='owned = 1'>\
                   \"><svg onload=owned=1>' onmouseover='owned=1' --></style><style>*{display:none}</style>{{7*7}}";
    let mut browser = Browser::start();
    let mut start = starts::good();
    start.name = hostile.to_owned();
    start.command = vec![Text::new(hostile.as_bytes())];
    let elements = "document.querySelectorAll('*').length - document.querySelectorAll('.axis *').length";
    open(&mut browser, &start);
    let before = browser.value(elements);
    for event in &mut start.trace.events {
        match &mut event.what {
            What::Call(call) => call.arguments = Text::new(hostile.as_bytes()),
            What::Program(path) => *path = Text::new(hostile.as_bytes()),
            _ => {}
        }
    }
    open(&mut browser, &start);
    browser.value("document.querySelector('.plot').focus()");
    for _ in 0..4 {
        browser.key("ArrowRight", 39);
    }
    assert!(text(&mut browser, ".detail code").contains(hostile));
    assert_eq!(browser.value("typeof owned"), "undefined");
    assert_eq!(browser.value("document.querySelectorAll('script, style, img').length"), 2);
    // Some calls are no steps with such arguments; nothing else may be new.
    assert!(browser.value(elements).as_f64() <= before.as_f64().map(|count| count + 20.0));
    let mut asked = browser.events.iter().filter(|e| e["method"] == "Network.requestWillBeSent");
    assert!(asked.all(|e: &Value| e["params"]["request"]["url"].as_str().unwrap().starts_with("file:")));
    no_exception(&browser);
}

fn main() {
    browser::run(&[
        ("the_steps_are_in_view", the_steps_are_in_view),
        ("zooming", zooming),
        ("events_are_told", events_are_told),
        ("the_table_has_all", the_table_has_all),
        ("phone", phone),
        ("dark_and_on_paper", dark_and_on_paper),
        ("a_great_many_are_borne", a_great_many_are_borne),
        ("nothing_comes_alive", nothing_comes_alive),
    ]);
}
