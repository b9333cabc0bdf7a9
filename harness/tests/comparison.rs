//! Comparisons of starts made by hand: byte for byte on a small sample, and whole whatever a subject is called.
//!
//! The samples are in tests/comparison/, the JSON Schema in docs/schema/. `DAEMONSPEC_UPDATE=1 cargo test --test comparison`
//! writes them anew, for a person to read the difference.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod committed;
mod timings;

use committed::compare;
use daemonspec::comparison::{Comparison, html, json, markdown, terminal};
use daemonspec::run::Benched;
use html5gum::{DefaultEmitter, Token, Tokenizer};
use serde_json::Value;
use timings::{benched, daemon, starts};

fn plain(benched: &Benched) -> String {
    anstream::adapter::strip_str(&terminal::report(&Comparison::new(benched))).to_string()
}

#[test]
fn the_samples_are_current() {
    let benched = benched();
    let comparison = Comparison::new(&benched);
    compare("tests/comparison/sample.txt", &plain(&benched));
    compare("tests/comparison/sample.json", &json::report(&comparison));
    compare("tests/comparison/sample.md", &markdown::report(&comparison));
    compare("tests/comparison/sample.html", &html::report(&comparison));
}

#[test]
fn the_schema_is_current_and_holds() {
    compare("../docs/schema/bench.json", &json::schema());
    let schema: Value = serde_json::from_str(&json::schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut one = benched();
    one.daemons.truncate(1);
    let mut foreground = benched();
    foreground.daemons.iter_mut().flat_map(|d| &mut d.starts).for_each(|start| start.exit = None);
    let mut nothing = benched();
    nothing.daemons.clear();
    for benched in [benched(), one, foreground, nothing] {
        let instance: Value = serde_json::from_str(&json::report(&Comparison::new(&benched))).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&instance).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}

#[test]
fn what_has_the_same_name_is_told_apart() {
    let two = |first: &str, second: &str| Benched {
        daemons: vec![daemon(first, &starts(1.0, 5)), daemon(second, &starts(2.0, 5))],
        ..benched()
    };
    let mut versions = two("d", "d");
    versions.daemons[0].command[0] = daemonspec::observation::Text::new(b"./old/d");
    let text = plain(&versions);
    assert!(text.contains("\n./old/d"), "{text}");
    let text = plain(&two("d", "d"));
    assert!(text.contains("d #1") && text.contains("d #2"), "{text}");
}

#[test]
fn a_wide_spread_is_warned_of_and_outliers_are_told() {
    let mut all = starts(1.0, 20);
    all.iter_mut().step_by(2).for_each(|start| start.exit = start.exit.map(|exit| exit * 2));
    let noisy = Benched { daemons: vec![daemon("d", &all)], ..benched() };
    assert!(Comparison::new(&noisy).warnings()[0].contains("d 6"), "{:?}", Comparison::new(&noisy).warnings());
    let mut one = starts(1.0, 20);
    one[7].ready = one[7].ready.map(|ready| ready * 10);
    let text = plain(&Benched { daemons: vec![daemon("d", &one)], ..benched() });
    assert!(text.contains("Outliers: d 1 of 20 (start to ready"), "{text}");
    assert!(!text.contains("warning"), "{text}");
}

#[test]
fn nothing_a_subject_says_is_markup() {
    let hostile = "</title></svg><script>owned = 1</script>\u{1b}[31m\r\n|`<b>";
    let mut evil = benched();
    for daemon in &mut evil.daemons {
        hostile.clone_into(&mut daemon.name);
        daemon.pidfile = Some(hostile.into());
        daemon.ready = vec![hostile.to_owned()];
    }
    let comparison = Comparison::new(&evil);
    let tokens = |page: &str| -> Vec<String> {
        let start = |token: Token| match token {
            Token::StartTag(tag) => Some(String::from_utf8_lossy(&tag.name).into_owned()),
            _ => None,
        };
        let all = Tokenizer::new_with_emitter(page, DefaultEmitter::default());
        all.filter_map(|token| start(token.unwrap())).collect()
    };
    let calm = benched();
    assert_eq!(tokens(&html::report(&comparison)), tokens(&html::report(&Comparison::new(&calm))));
    for text in [plain(&evil), markdown::report(&comparison), html::report(&comparison)] {
        assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text}");
    }
    assert!(!markdown::report(&comparison).contains("<script"));
}
