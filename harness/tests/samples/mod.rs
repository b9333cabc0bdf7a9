//! What tests of reports are made of: a sample, comparison with committed files, shapes, and words that are hostile.

use daemonspec::check::{Failure, Verdict};
use daemonspec::observation::{LogLine, Observation, Output, Seen, ServiceType, Text, UnitState, Unseen, Witness};
use daemonspec::report::json;
use daemonspec::run::{Options, Outcome, Recording};
use html5gum::{DefaultEmitter, Token, Tokenizer};
use proptest::prelude::*;
use pulldown_cmark::{Event, Parser};
use serde_json::Value;
use std::time::Duration;

#[path = "../committed/mod.rs"]
mod committed;
pub(crate) use committed::compare;

/// The checks of the sample: few, so that it changes only where one of them does.
pub(crate) const CHECKS: &[&str] = &[
    "launcher-status",
    "failure-explained",
    "restart-after-kill",
    "new-session",
    "not-session-leader",
    "cwd-root",
    "stdio-open",
    "second-instance-reported",
];

pub(crate) fn options() -> Options {
    Options { only: CHECKS.iter().copied().collect(), ..Options::default() }
}

pub(crate) fn recording() -> Recording {
    Recording {
        duration: Duration::from_millis(83),
        ..json::read_recordings(include_str!("../reference.json")).unwrap().remove(0)
    }
}

/// One daemon with everything that a report can say, and one with nothing to say of it.
pub(crate) fn sample() -> Vec<Outcome> {
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

pub(crate) fn valid(schema: &str, instance: &str) {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let instance: Value = serde_json::from_str(instance).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&instance).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

/// Without colours.
pub(crate) fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// Tags and the names of their attributes, as a browser takes them.
pub(crate) fn html_shape(text: &str) -> Vec<(String, Vec<String>)> {
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
pub(crate) fn markdown_shape(text: &str) -> Vec<String> {
    Parser::new_ext(text, pulldown_cmark::Options::ENABLE_TABLES | pulldown_cmark::Options::ENABLE_STRIKETHROUGH)
        .filter(|event| !matches!(event, Event::Text(_)))
        // Code is code, with a fence or as an element.
        .filter(|event| !matches!(event, Event::InlineHtml(tag) if tag.as_ref() == "</code>"))
        .map(|event| match event {
            Event::Code(_) => "Code".to_owned(),
            Event::InlineHtml(tag) if tag.as_ref() == "<code>" => "Code".to_owned(),
            event => format!("{event:?}"),
        })
        .collect()
}

/// What could be taken for something else.
pub(crate) const NASTY: &[&str] = &[
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

pub(crate) fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => proptest::sample::select(NASTY).prop_map(str::to_owned),
        2 => any::<String>(),
        1 => any::<char>().prop_map(|c| c.to_string()),
    ];
    let long = proptest::sample::select(NASTY).prop_map(|s| s.repeat(65536 / s.len().max(1)));
    prop_oneof![20 => proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat()), 1 => long]
}

/// One for each verdict, expected or not, and its words.
pub(crate) type Said = (u8, String, String, Vec<String>, Option<String>);

pub(crate) fn said() -> impl Strategy<Value = Said> {
    (0..4u8, nasty(), nasty(), proptest::collection::vec(nasty(), 0..3), proptest::option::of(nasty()))
}

pub(crate) fn outcome(name: &str, words: &[String], checks: &[Said]) -> Outcome {
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
pub(crate) fn tame(text: &str) -> String {
    if text.is_empty() { String::new() } else { "x".to_owned() }
}

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
