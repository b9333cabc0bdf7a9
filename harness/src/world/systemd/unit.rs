//! The unit file of a subject, as its maintainer would write it (systemd.service(5), systemd.syntax(7)).

use crate::observation::{ServiceType, is_hidden};
use crate::subject::Subject;
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The unit file; `program` is where the command's first word was found.
///
/// # Errors
/// Why there can be none.
pub(super) fn unit(
    subject: &Subject,
    service: ServiceType,
    program: &Path,
    directory: &Path,
) -> Result<String, String> {
    let mut text = format!("[Unit]\nDefaultDependencies=no\n\n[Service]\nType={service}\n");
    if let Some(path) = subject.pidfile.as_deref().filter(|_| service == ServiceType::Forking) {
        let _ = writeln!(text, "PIDFile={}", plain("the PID file", path)?);
    }
    let words = subject.command.iter().skip(1);
    // The colon keeps systemd from looking for variables in the words.
    let colon = if subject.command.iter().any(|word| word.as_bytes().contains(&b'$')) { ":" } else { "" };
    let _ = write!(text, "ExecStart={colon}{}", quoted(program.as_os_str()));
    words.for_each(|word| text.extend([" ", &quoted(word)]));
    text.push('\n');
    for (name, value) in &subject.environment {
        let assignment = [name.as_bytes(), b"=", value.as_bytes()].concat();
        let _ = writeln!(text, "Environment={}", quoted(OsStr::from_bytes(&assignment)));
    }
    let _ = writeln!(text, "WorkingDirectory={}", plain("the launch directory", directory)?);
    let seconds = subject.timeout.as_secs_f64();
    let _ = writeln!(text, "TimeoutStartSec={seconds}\nTimeoutStopSec={seconds}");
    Ok(text)
}

/// A path that stands for itself up to the end of the line.
fn plain(what: &str, path: &Path) -> Result<String, String> {
    match path.to_str() {
        Some(text) if text.trim() == text && !text.contains(is_hidden) => Ok(text.replace('%', "%%")),
        _ => {
            Err(format!("{what} has a name that no unit file can hold: {}", path.display().to_string().escape_debug()))
        }
    }
}

/// A word of a line that has several.
fn quoted(word: &OsStr) -> String {
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-+=.,:/@{}$".contains(b);
    let bytes = word.as_bytes();
    if !bytes.is_empty() && bytes.iter().all(is_plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '%' => out.push_str("%%"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
                c => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_says_what_the_subject_does() {
        let mut subject = Subject::new(["d", "-c", "a b", "100%", "$HOME"]);
        subject.pidfile = Some("/run/d.pid".into());
        subject.environment.push(("A".into(), "x\"y".into()));
        let text = unit(&subject, ServiceType::Forking, Path::new("/usr/sbin/d"), Path::new("/")).unwrap();
        assert!(text.contains("\nPIDFile=/run/d.pid\n"), "{text}");
        assert!(text.contains("\nExecStart=:/usr/sbin/d -c \"a b\" \"100%%\" $HOME\n"), "{text}");
        assert!(text.contains("\nEnvironment=\"A=x\\\"y\"\n"), "{text}");
        let text = unit(&subject, ServiceType::Notify, Path::new("/usr/sbin/d"), Path::new("/")).unwrap();
        assert!(!text.contains("PIDFile"), "{text}");
    }

    #[test]
    fn a_path_that_no_line_can_hold_is_refused() {
        let mut subject = Subject::new(["d"]);
        subject.pidfile = Some("/run/a\nExecStart=/bin/sh".into());
        assert!(unit(&subject, ServiceType::Forking, Path::new("/d"), Path::new("/")).is_err());
    }
}
