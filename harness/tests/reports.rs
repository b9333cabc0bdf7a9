//! Every report format: byte for byte on a small sample, and whole whatever a subject says.
//!
//! The samples are in tests/reports/, the JSON Schemas in docs/schema/. `DAEMONSPEC_UPDATE=1 cargo test --test reports`
//! writes them anew, for a person to read the difference.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use daemonspec::check::{Failure, Level, Verdict, catalogue};
use daemonspec::observation::{LogLine, Observation, Output, Seen, ServiceType, Text, UnitState, Unseen, Witness};
use daemonspec::report::{html, json, junit, markdown, tap, terminal};
use daemonspec::run::{Options, Outcome, Recording};
use html5gum::{DefaultEmitter, Token, Tokenizer};
use proptest::prelude::*;
use pulldown_cmark::{Event, Parser};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use yaml_rust2::{Yaml, YamlLoader};

/// The checks of the sample: few, so that it changes only where one of them does.
const CHECKS: &[&str] = &[
    "launcher-status",
    "failure-explained",
    "restart-after-kill",
    "new-session",
    "not-session-leader",
    "cwd-root",
    "stdio-open",
    "second-instance-reported",
];

fn options() -> Options {
    Options { only: CHECKS.iter().copied().collect(), ..Options::default() }
}

fn recording() -> Recording {
    Recording {
        duration: Duration::from_millis(83),
        ..json::read_recordings(include_str!("reference.json")).unwrap().remove(0)
    }
}

/// One daemon with everything that a report can say, and one with nothing to say of it.
/// A systemd that took the daemon up, warned of something, and saw it fail at the end.
fn asked(warning: &str) -> Observation {
    let text = |words: &str| Text::new(words.as_bytes());
    let state = |active: &str, result: &str, main: Option<i32>, log: &[(u8, &str)]| UnitState {
        active: text(active),
        sub: text(if main.is_some() { "running" } else { "dead" }),
        result: text(result),
        main,
        main_ended: None,
        control_ended: None,
        daemon: main,
        is_adopted: true,
        processes: Vec::new(),
        log: log.iter().map(|(priority, words)| LogLine { priority: *priority, text: text(words) }).collect(),
    };
    let witness = Witness {
        version: text("systemd 252"),
        service: ServiceType::Forking,
        has_pidfile: true,
        unit: ["[Service]", "Type=forking", "PIDFile=/run/d.pid"].map(text).to_vec(),
        started: state("active", "success", Some(7), &[(4, warning)]),
        restarted: Some(state("active", "success", Some(9), &[])),
        stopped: state("failed", "timeout", None, &[(4, "State 'stop-sigterm' timed out. Killing.")]),
        said: Output::default(),
    };
    let why = Unseen::Broken("systemctl start did not come to an end".to_owned());
    let seen = [("forking", Seen::Witness(Box::new(witness))), ("exec", Seen::Unseen(why))];
    Observation { scenario: "witness".to_owned(), seen: seen.map(|(name, seen)| (name.to_owned(), seen)).into() }
}

fn sample() -> Vec<Outcome> {
    let mut flawed = recording();
    flawed.name = "flawed".to_owned();
    flawed.command = ["flawed", "--title", "a <b>|`#1`|</b> \\ title"].map(|word| Text::new(word.as_bytes())).to_vec();
    flawed.expected.insert("new-session".to_owned(), "it <never> did".to_owned());
    flawed.expected.insert("not-session-leader".to_owned(), "upstream forks once by design; see #12".to_owned());
    flawed.record.scenarios.insert("witness".to_owned(), Ok(asked("The <moon> is full | `#1`.")));
    let scenarios = &mut flawed.record.scenarios;
    scenarios.insert("crash".to_owned(), Err(Unseen::Broken("mount: operation not permitted".to_owned())));
    scenarios.insert("twice".to_owned(), Err(Unseen::Skip("it has no PID file | nor a lock".to_owned())));
    for (_, seen) in &mut scenarios.get_mut("obstructed").unwrap().as_mut().unwrap().seen {
        if let Seen::Launch(launch) = seen {
            launch.errors = Some(Output::default());
        }
    }
    let terminal = scenarios.get_mut("terminal").unwrap().as_mut().unwrap();
    let is_rest = |(name, seen): &&mut (String, Seen)| name == "rest" && matches!(seen, Seen::Look(_));
    let Some((_, Seen::Look(look))) = terminal.seen.iter_mut().find(is_rest) else {
        panic!("reference.json has no daemon at rest");
    };
    let main = look.main.map(|(pid, _)| pid);
    let daemon = look.members.iter_mut().find(|p| Some(p.pid) == main).unwrap();
    daemon.session = daemon.pid;
    daemon.cwd = Some(Text::new(b"/srv/<script>alert(1)</script>/a|b`c`\n"));
    [flawed, recording()].into_iter().map(|recording| recording.judge(&options()).unwrap()).collect()
}

/// Compares with the committed file.
fn compare(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("DAEMONSPEC_UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let line = text.lines().zip(committed.lines()).take_while(|(is, was)| is == was).count();
    assert!(
        text == committed,
        "{} is not current; from line {} on it was\n{}\nand is\n{}\nDAEMONSPEC_UPDATE=1 writes it anew",
        path.display(),
        line + 1,
        committed.lines().nth(line).unwrap_or("(at its end)"),
        text.lines().nth(line).unwrap_or("(at its end)"),
    );
}

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

fn valid(schema: &str, instance: &str) {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let instance: Value = serde_json::from_str(instance).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&instance).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
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
    outcome.witness = None;
    assert_eq!(junit_shape(&junit::report(std::slice::from_ref(&outcome))).len(), 7);
    assert_eq!(tap_shape(&tap::report(std::slice::from_ref(&outcome))), ["subject false"]);
    for outcomes in [&[][..], &[outcome]] {
        assert!(html::report(outcomes).ends_with("</html>\n"));
        markdown::report(outcomes);
        valid(&json::schema(), &json::report(outcomes));
    }
}

/// Without colours.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
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

/// Tags and the names of their attributes, as a browser takes them.
fn html_shape(text: &str) -> Vec<(String, Vec<String>)> {
    let word = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut emitter = DefaultEmitter::default();
    // What is inside `style` and `script` is no markup.
    emitter.naively_switch_states(true);
    Tokenizer::new_with_emitter(text, emitter)
        .map(Result::unwrap)
        .filter_map(|token| match token {
            Token::StartTag(tag) => Some((word(&tag.name), tag.attributes.keys().map(|name| word(name)).collect())),
            Token::EndTag(tag) => Some((format!("/{}", word(&tag.name)), Vec::new())),
            Token::Doctype(_) => Some(("doctype".to_owned(), Vec::new())),
            Token::Comment(_) => panic!("a comment"),
            Token::Error(error) => panic!("{error:?}"),
            Token::String(_) => None,
        })
        .collect()
}

/// All but the words.
fn markdown_shape(text: &str) -> Vec<String> {
    Parser::new_ext(text, pulldown_cmark::Options::ENABLE_TABLES | pulldown_cmark::Options::ENABLE_STRIKETHROUGH)
        .filter(|event| !matches!(event, Event::Text(_)))
        .map(|event| format!("{event:?}"))
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
        // Comments, which have what systemd made of it.
        while lines.next_if(|line| line.starts_with("    # ")).is_some() {}
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

/// What could be taken for something else.
const NASTY: &[&str] = &[
    "<script>alert(1)</script>",
    "</script>",
    "</style>",
    "</code></details>",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "&amp;&#60;",
    "\" onload=\"",
    "' x='",
    "|",
    "\\|",
    "`",
    "``` \n",
    "\n\n# x\n",
    "\n- x\n",
    "\n1..4\nok 1\n",
    "\r\n",
    "# SKIP",
    " # TODO",
    "\\",
    "\\#",
    "\n...\n",
    "\n---\n",
    "{% x %}{{ y }}",
    "[x](javascript:alert(1))",
    "![x](http://example.org/x.png)",
    "<https://example.org>",
    "www.example.org http://example.org a@example.org @user #1",
    "**x** _y_ ~~z~~",
    "\u{1b}[31m",
    "\0\u{7}\u{8}\u{7f}\u{85}\u{9b}",
    "\u{fffe}\u{ffff}\u{fffd}\u{feff}",
    "\u{2028}\u{202e}\u{200b}",
    "é日本🦀\u{301}",
    "-",
    "- ",
    "? ",
    ": ",
    " ",
    "",
];

fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => proptest::sample::select(NASTY).prop_map(str::to_owned),
        2 => any::<String>(),
        1 => any::<char>().prop_map(|c| c.to_string()),
    ];
    let long = proptest::sample::select(NASTY).prop_map(|s| s.repeat(65536 / s.len().max(1)));
    prop_oneof![20 => proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat()), 1 => long]
}

/// One for each verdict, expected or not, and its words.
type Said = (u8, String, String, Vec<String>, Option<String>);

fn said() -> impl Strategy<Value = Said> {
    (0..4u8, nasty(), nasty(), proptest::collection::vec(nasty(), 0..3), proptest::option::of(nasty()))
}

fn outcome(name: &str, words: &[String], checks: &[Said]) -> Outcome {
    let mut recording = recording();
    recording.record.scenarios.insert("witness".to_owned(), Ok(asked(words.first().map_or("", String::as_str))));
    let mut outcome = recording.judge(&options()).unwrap();
    name.clone_into(&mut outcome.name);
    outcome.command = words.iter().map(|word| Text::new(word.as_bytes())).collect();
    for (judged, (verdict, expected, actual, evidence, waived)) in outcome.judged.iter_mut().zip(checks) {
        judged.waived.clone_from(waived);
        judged.verdict = match verdict {
            0 => Verdict::Pass,
            1 => Verdict::Skip(actual.clone()),
            2 => Verdict::Broken(actual.clone()),
            _ => Verdict::Fail(Failure {
                expected: expected.clone(),
                actual: actual.clone(),
                evidence: evidence.clone(),
            }),
        };
    }
    outcome
}

/// The same with words that mean nothing.
fn tame(text: &str) -> String {
    if text.is_empty() { String::new() } else { "x".to_owned() }
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
