//! Every report format: byte for byte on a small sample, and whole whatever a subject says.
//!
//! The samples are in tests/reports/, the JSON Schemas in docs/schema/. `DAEMONSPEC_UPDATE=1 cargo test --test reports`
//! writes them anew, for a person to read the difference.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod samples;

use daemonspec::check::{Level, Verdict, catalogue};
use daemonspec::report::{html, json, junit, markdown, tap, terminal};
use daemonspec::run::Options;
use proptest::prelude::*;
use samples::{
    CHECKS, Said, compare, html_shape, markdown_shape, nasty, outcome, plain, recording, said, sample, tame, valid,
};
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

#[test]
fn the_sample_has_everything() {
    let judged = &sample()[0].judged;
    for word in ["pass", "fail", "skip", "broken"] {
        assert!(judged.iter().any(|j| j.verdict.as_str() == word), "{word}");
    }
    let waived: Vec<&str> = judged.iter().filter(|j| j.waived.is_some()).map(|j| j.verdict.as_str()).collect();
    assert_eq!(waived, ["pass", "fail"]);
    assert!(judged.iter().any(|j| matches!(j.verdict, Verdict::Fail(_)) && j.check.level < Level::Must));
}

#[test]
fn terminal_is_as_committed() {
    compare("tests/reports/sample.txt", &plain(&terminal::report(&sample(), true)));
}

#[test]
fn json_is_as_committed() {
    compare("tests/reports/sample.json", &json::report(&sample()));
}

#[test]
fn junit_is_as_committed() {
    compare("tests/reports/sample.xml", &junit::report(&sample()));
}

#[test]
fn tap_is_as_committed() {
    compare("tests/reports/sample.tap", &tap::report(&sample()));
}

#[test]
fn markdown_is_as_committed() {
    compare("tests/reports/sample.md", &markdown::report(&sample()));
}

/// The pages and what makes the report pretty are left out: each is a file of its own that is read by itself.
#[test]
fn html_is_as_committed() {
    let mut text = html::report(&sample());
    for (from, to) in [("<style>", "</style>"), ("<script>\n", "</script>")] {
        let start = text.find(from).unwrap() + from.len();
        let end = start + text[start..].find(to).unwrap();
        text.replace_range(start..end, "...");
    }
    let mut rest = text.as_str();
    let mut short = String::new();
    while let Some((before, after)) = rest.split_once("<div class=\"prose\"") {
        let (opening, after) = after.split_once('>').unwrap();
        let (_, after) = after.split_once("</div>").unwrap();
        short.push_str(&format!("{before}<div class=\"prose\"{opening}>...</div>"));
        rest = after;
    }
    compare("tests/reports/sample.html", &(short + rest));
}

#[test]
fn a_page_is_there_once_for_all_subjects() {
    let text = html::report(&sample());
    for id in CHECKS {
        assert_eq!(text.matches(&format!("id=\"page-{id}\"")).count(), 1, "{id}");
    }
    assert!(text.contains("<h4>Why</h4>") && !text.contains("page-sigterm-stops"));
}

#[test]
fn the_html_needs_nothing_else() {
    let text = html::report(&sample());
    for (_, attributes) in html_shape(&text) {
        assert!(!attributes.iter().any(|a| a == "src" || a.starts_with("on")), "{attributes:?}");
    }
    for word in ["<link", "@import", "url(", "fetch("] {
        assert!(!text.contains(word), "{word}");
    }
}

#[test]
fn schemas_are_current() {
    compare("../docs/schema/report.json", &json::schema());
    compare("../docs/schema/list.json", &json::list_schema());
}

#[test]
fn output_is_valid() {
    valid(&json::schema(), &json::report(&sample()));
    let all = recording().judge(&Options::default()).unwrap();
    valid(&json::schema(), &json::report(&[all]));
    valid(&json::list_schema(), &json::list(&catalogue().collect::<Vec<_>>()));
}

#[test]
fn what_is_not_the_format_is_not_valid() {
    let mut report: Value = serde_json::from_str(&json::report(&sample())).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(&json::schema()).unwrap()).unwrap();
    assert!(validator.is_valid(&report));
    report["subjects"][0]["checks"][0]["level"] = "most".into();
    assert!(!validator.is_valid(&report));
    report["subjects"][0]["checks"][0].as_object_mut().unwrap().remove("level");
    assert!(!validator.is_valid(&report));
}

#[test]
fn nothing_to_report_is_a_report() {
    let mut outcome = sample().remove(0);
    outcome.judged.clear();
    assert_eq!(junit_shape(&junit::report(std::slice::from_ref(&outcome))).len(), 7);
    assert_eq!(tap_shape(&tap::report(std::slice::from_ref(&outcome))), ["subject false"]);
    for outcomes in [&[][..], &[outcome]] {
        assert!(html::report(outcomes).ends_with("</html>\n"));
        markdown::report(outcomes);
        valid(&json::schema(), &json::report(outcomes));
    }
}

/// Elements and the names of their attributes.
fn junit_shape(text: &str) -> Vec<(String, Vec<String>)> {
    let document = roxmltree::Document::parse(text).unwrap();
    let names = |node: roxmltree::Node<'_, '_>| node.attributes().map(|a| a.name().to_owned()).collect();
    document
        .descendants()
        .filter(roxmltree::Node::is_element)
        .map(|n| (n.tag_name().name().to_owned(), names(n)))
        .collect()
}

/// What a reader of TAP makes of it: each test point and its directive; everything else has to be in its place.
fn tap_shape(text: &str) -> Vec<String> {
    let mut lines = text.lines().peekable();
    let mut shape = Vec::new();
    assert_eq!(lines.next(), Some("TAP version 14"));
    let plan = |line: Option<&str>| line.unwrap().trim_start().strip_prefix("1..").unwrap().parse::<usize>().unwrap();
    for number in 1..=plan(lines.next()) {
        assert!(lines.next().unwrap().starts_with("# Subtest: "));
        for number in 1..=plan(lines.next()) {
            let (ok, directive) = test_point(lines.next().unwrap().strip_prefix("    ").unwrap(), number);
            shape.push(format!("check {ok} {directive:?}"));
            if lines.next_if_eq(&"      ---").is_some() {
                let mut block = String::new();
                for line in lines.by_ref().take_while(|line| *line != "      ...") {
                    block.push_str(line.strip_prefix("      ").unwrap());
                    block.push('\n');
                }
                shape.extend(yaml_shape(&block));
            }
        }
        let (ok, directive) = test_point(lines.next().unwrap(), number);
        assert_eq!(directive, None);
        shape.push(format!("subject {ok}"));
    }
    assert_eq!(lines.next(), None);
    shape
}

fn test_point(line: &str, number: usize) -> (bool, Option<String>) {
    let (ok, rest) = line.strip_prefix("not ").map_or((true, line), |rest| (false, rest));
    let mut text = rest.strip_prefix(&format!("ok {number} - ")).unwrap().chars();
    let mut words = String::new();
    // A backslash takes the next one as it is, and only a `#` of its own begins a directive.
    while let Some(c) = text.next() {
        match c {
            '\\' => assert!(matches!(text.next(), Some('\\' | '#'))),
            '#' => {
                words = text.collect();
                break;
            }
            _ => {}
        }
    }
    (ok, words.split_whitespace().next().map(str::to_owned))
}

fn yaml_shape(block: &str) -> Vec<String> {
    let documents = YamlLoader::load_from_str(block).unwrap_or_else(|error| panic!("{error}: {block:?}"));
    let [Yaml::Hash(fields)] = documents.as_slice() else { panic!("{block:?}") };
    let field = |(key, value): (&Yaml, &Yaml)| match value {
        Yaml::String(_) => format!("{}: text", key.as_str().unwrap()),
        Yaml::Array(items) if items.iter().all(|i| i.as_str().is_some()) => {
            format!("{}: {}", key.as_str().unwrap(), items.len())
        }
        other => panic!("{other:?}"),
    };
    fields.iter().map(field).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is said, it changes the words of a report and never its shape.
    #[test]
    fn no_word_breaks_a_report(
        name in nasty(),
        words in proptest::collection::vec(nasty(), 0..3),
        checks in proptest::collection::vec(said(), CHECKS.len()),
    ) {
        let said = [outcome(&name, &words, &checks), sample().remove(1)];
        let tame_words: Vec<String> = words.iter().map(|w| tame(w)).collect();
        let tame_checks: Vec<Said> = checks
            .iter()
            .map(|(verdict, expected, actual, evidence, waived)| {
                let evidence = evidence.iter().map(|line| tame(line)).collect();
                (*verdict, tame(expected), tame(actual), evidence, waived.as_deref().map(tame))
            })
            .collect();
        let meant = [outcome(&tame(&name), &tame_words, &tame_checks), sample().remove(1)];

        let (xml, xml_meant) = (junit::report(&said), junit::report(&meant));
        prop_assert_eq!(junit_shape(&xml), junit_shape(&xml_meant));
        prop_assert_eq!(tap_shape(&tap::report(&said)), tap_shape(&tap::report(&meant)));
        prop_assert_eq!(html_shape(&html::report(&said)), html_shape(&html::report(&meant)));
        let (text, text_meant) = (markdown::report(&said), markdown::report(&meant));
        prop_assert_eq!(markdown_shape(&text), markdown_shape(&text_meant));
        prop_assert_eq!(text.matches('<').count(), text_meant.matches('<').count());
        let read: Value = serde_json::from_str(&json::report(&said)).unwrap();
        prop_assert_eq!(read["subjects"][0]["name"].as_str(), Some(name.as_str()));
        let shown = plain(&terminal::report(&said, true));
        for text in [&shown, &xml, &text, &tap::report(&said)] {
            prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
}
