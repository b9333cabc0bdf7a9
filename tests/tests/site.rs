//! The pages as a book: its table of contents is the catalogue's, every page comes out, and every link within it leads
//! somewhere. `DAEMONSPEC_UPDATE=1 cargo test --test site` writes the table of contents anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use clap::ValueEnum;
use daemonspec::check::witness::COMPLAINTS;
use daemonspec::check::{Family, Profile, catalogue};
use daemonspec::{cli, manifest};
use mdbook_driver::MDBook;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

/// The pages before the catalogue's.
const GUIDE: [(&str, &str); 8] = [
    ("Profiles", "guide/profiles.md"),
    ("Manifests", "guide/manifests.md"),
    ("Reading a report", "guide/reports.md"),
    ("A start as a timeline", "guide/timelines.md"),
    ("How long a start takes", "guide/benchmarks.md"),
    ("Many daemons side by side", "guide/matrix.md"),
    ("The field", "field.md"),
    ("systemd as a witness", "guide/systemd.md"),
];

fn page(path: &str) -> String {
    fs::read_to_string(Path::new(DOCS).join(path)).unwrap()
}

fn table_of_contents() -> String {
    let mut text = "# Summary\n\n[Introduction](introduction.md)\n\n# Guide\n\n".to_owned();
    for (title, path) in GUIDE {
        writeln!(text, "- [{title}]({path})").unwrap();
    }
    let mut family: Option<Family> = None;
    for check in catalogue() {
        if family != Some(check.family) {
            let (first, rest) = check.family.as_str().split_at(1);
            writeln!(text, "\n# Checks: {}{rest}\n", first.to_uppercase()).unwrap();
            family = Some(check.family);
        }
        writeln!(text, "- [{0}](checks/{0}.md)", check.id).unwrap();
    }
    text
}

/// All files below `directory`, relative to it.
fn files_below(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(directory).unwrap().to_owned());
            }
        }
    }
    found
}

/// The table of contents that is committed, written anew first where that is asked for.
static SUMMARY: LazyLock<String> = LazyLock::new(|| {
    if std::env::var_os("DAEMONSPEC_UPDATE").is_some() {
        fs::write(Path::new(DOCS).join("SUMMARY.md"), table_of_contents()).unwrap();
    }
    page("SUMMARY.md")
});

#[test]
fn the_table_of_contents_is_the_catalogue_s() {
    assert!(*SUMMARY == table_of_contents(), "docs/SUMMARY.md is out of step; DAEMONSPEC_UPDATE=1 writes it anew");
}

#[test]
fn no_page_is_missing_from_it() {
    let pages = files_below(Path::new(DOCS)).into_iter().filter(|path| path.extension().is_some_and(|e| e == "md"));
    for path in pages.filter(|path| path != Path::new("SUMMARY.md")) {
        assert!(
            SUMMARY.contains(&format!("]({})", path.display())),
            "docs/{} is in no table of contents",
            path.display()
        );
    }
}

/// The values of `attribute` in a page of HTML.
fn values<'a>(html: &'a str, attribute: &'a str) -> impl Iterator<Item = &'a str> {
    html.match_indices(attribute).filter_map(move |(at, _)| {
        let before = html[..at].chars().next_back()?;
        let value = html[at + attribute.len()..].strip_prefix("=\"")?;
        before.is_ascii_whitespace().then(|| value.split('"').next())?
    })
}

#[test]
fn the_book_is_built_and_every_link_in_it_leads_somewhere() {
    LazyLock::force(&SUMMARY);
    let out = tempfile::tempdir().unwrap();
    let mut book = MDBook::load(DOCS).unwrap();
    book.config.build.build_dir = out.path().to_owned();
    book.build().unwrap();

    let built = files_below(out.path());
    let pages: BTreeMap<&Path, String> = built
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "html"))
        .map(|path| (path.as_path(), fs::read_to_string(out.path().join(path)).unwrap()))
        .collect();
    let chapters = catalogue().map(|c| format!("checks/{}.md", c.id)).chain(GUIDE.map(|(_, path)| path.to_owned()));
    for chapter in chapters.chain(["introduction.md".to_owned()]) {
        let html = pages.get(Path::new(&chapter).with_extension("html").as_path());
        let title = page(&chapter).lines().next().unwrap().trim_start_matches("# ").to_owned();
        assert!(html.is_some_and(|html| html.contains(&title)), "{chapter}");
    }

    // What is shown for an address that is not there is written for the root of a site.
    for (path, html) in pages.iter().filter(|(path, _)| **path != Path::new("404.html")) {
        for link in ["href", "src"].into_iter().flat_map(|attribute| values(html, attribute)) {
            if link.contains("://") || link.starts_with("mailto:") || link.starts_with("data:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.to_path_buf() } else { normal(&path.with_file_name(file)) };
            assert!(built.contains(&target), "{}: {link} leads nowhere", path.display());
            let has_anchor = |html: &String| values(html, "id").any(|id| id == anchor);
            let found = anchor.is_empty() || pages.get(target.as_path()).is_some_and(has_anchor);
            assert!(found, "{}: {link}: no such heading", path.display());
        }
    }
}

/// `a/../b` as `b`.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}

#[test]
fn the_guide_names_what_there_is() {
    let (profiles, manifests, reports) =
        (page("guide/profiles.md"), page("guide/manifests.md"), page("guide/reports.md"));
    for profile in Profile::ALL {
        assert!(profiles.contains(&format!("| `{profile}` |")), "{profile}");
    }
    for key in manifest::keys() {
        assert!(manifests.contains(&format!("\n| `{key}` |")), "{key}");
    }
    let witness = page("guide/systemd.md");
    for complaint in COMPLAINTS {
        assert!(witness.contains(&format!("\n| `{}` |", complaint.id)), "{}", complaint.id);
    }
    for format in cli::Format::value_variants().iter().filter_map(ValueEnum::to_possible_value) {
        assert!(reports.contains(&format!("\n| `{}` |", format.get_name())), "{format:?}");
    }
}

#[test]
fn the_manifests_of_the_guide_are_manifests() {
    let text = page("guide/manifests.md");
    let examples: Vec<&str> = text.split("```toml\n").skip(1).filter_map(|part| part.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        manifest::parse(example, Path::new("guide/manifests.md"), &[]).unwrap();
    }
}
