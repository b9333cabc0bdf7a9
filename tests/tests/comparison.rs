//! The page of a comparison in a real browser: its width, its colours, and that nothing a subject says comes alive in it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "other pages have more to press")]
mod browser;
#[path = "../../harness/tests/timings/mod.rs"]
#[allow(dead_code, reason = "the terminal's tests need more of them")]
mod timings;

use browser::Browser;
use daemonspec::comparison::{Comparison, html};
use daemonspec::run::Benched;
use serde_json::json;

fn open(browser: &mut Browser, benched: &Benched) {
    browser.load(&html::report(&Comparison::new(benched)), "");
}

fn it_fits_its_window() {
    let mut browser = Browser::start();
    for width in [360, 800, 1400] {
        browser.width(width);
        open(&mut browser, &timings::benched());
        assert_eq!(browser.value("document.documentElement.scrollWidth <= innerWidth"), true, "{width}");
        let inside = "[...document.querySelectorAll('svg circle, svg rect, .axis text')]\
                      .map(e => e.getBoundingClientRect()).every(r => r.left >= 0 && r.right <= innerWidth)";
        assert_eq!(browser.value(inside), true, "{width}");
        let apart = "[...document.querySelectorAll('svg')].every(s => [...s.querySelectorAll('.axis text')]\
                     .map(e => e.getBoundingClientRect()).every((r, i, all) => i === 0 || all[i - 1].right < r.left))";
        assert_eq!(browser.value(apart), true, "{width}");
    }
}

fn each_start_is_a_dot() {
    let mut browser = Browser::start();
    let mut benched = timings::benched();
    open(&mut browser, &benched);
    // The outlier is told of, not drawn.
    assert_eq!(browser.value("document.querySelectorAll('[aria-labelledby=exit] circle').length"), 3 * 40 - 1);
    assert_eq!(browser.value("document.querySelectorAll('[aria-labelledby=ready] circle').length"), 3 * 40);
    assert_eq!(browser.value("document.querySelectorAll('.beyond').length"), 1);
    benched.daemons.truncate(1);
    open(&mut browser, &benched);
    assert_eq!(browser.value("document.querySelector('table').textContent.includes('times the first')"), false);
}

fn dark() {
    let mut browser = Browser::start();
    let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
    browser.ask("Emulation.setEmulatedMedia", features);
    open(&mut browser, &timings::benched());
    let colour = |browser: &mut Browser, selector: &str, property: &str| {
        browser.value(&format!("getComputedStyle(document.querySelector('{selector}')).{property}"))
    };
    let paper = colour(&mut browser, "body", "backgroundColor");
    assert_ne!(paper, colour(&mut browser, "svg text", "fill"));
    assert_ne!(paper, colour(&mut browser, ".median", "stroke"));
    assert_eq!(paper, "rgb(22, 22, 19)");
}

fn nothing_comes_alive() {
    let mut browser = Browser::start();
    let mut benched = timings::benched();
    for daemon in &mut benched.daemons {
        "</text></svg><script>owned = 1</script><img src=x onerror='owned = 1'>".clone_into(&mut daemon.name);
    }
    open(&mut browser, &benched);
    assert_eq!(browser.value("typeof owned"), "undefined");
    assert_eq!(browser.value("document.querySelectorAll('script, img').length"), 0);
}

fn main() {
    browser::run(&[
        ("it_fits_its_window", it_fits_its_window),
        ("each_start_is_a_dot", each_start_is_a_dot),
        ("dark", dark),
        ("nothing_comes_alive", nothing_comes_alive),
    ]);
}
