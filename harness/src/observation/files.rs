//! Files at their paths.

use super::{FileKind, Pid, Text};
use serde::{Deserialize, Serialize};

/// A file at a path, at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSeen {
    /// Where.
    pub path: Text,
    /// What was there; `None` for nothing.
    pub found: Option<FileFound>,
}

/// What was at the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFound {
    /// Its kind, the path's last link not followed.
    pub kind: FileKind,
    /// Length in bytes.
    pub length: u64,
    /// Device that holds it.
    pub device: u64,
    /// Its inode, which tells a rewritten file from a replaced one.
    pub inode: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Its first bytes, of a regular file that could be read.
    pub content: Option<Text>,
}

impl FileSeen {
    /// The process id it begins with, as most readers of PID files take it (a line or a word more does no harm to that).
    pub fn number(&self) -> Option<Pid> {
        let content = self.found.as_ref()?.content.as_ref()?.as_str().trim_start();
        let end = content.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(content.len());
        parse_pid(&content[..end])
    }

    /// The number it holds, if it holds one and nothing else (white space aside).
    pub fn only_number(&self) -> Option<Pid> {
        parse_pid(self.found.as_ref()?.content.as_ref()?.as_str().trim_end_matches("\\n"))
    }
}

/// A process id as a PID file may write it: decimal digits, white space around them ignored.
pub fn parse_pid(text: &str) -> Option<Pid> {
    let digits = text.trim();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|pid| *pid > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pid_is_decimal_digits_and_nothing_else() {
        assert_eq!(parse_pid(" 12\n"), Some(12));
        for bad in ["", "0", "-1", "+1", "1 2", "12abc", "99999999999999999999", "\0"] {
            assert_eq!(parse_pid(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn parse_pid_accepts_what_it_prints(pid in 1..i32::MAX) {
            prop_assert_eq!(parse_pid(&format!("{pid}\n")), Some(pid));
        }
    }
}
