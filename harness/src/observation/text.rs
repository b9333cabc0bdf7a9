//! Bytes of the subject's, bounded and escaped at the moment they are taken, so that no later reader has to be careful.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes of the subject's (a path, a title, a file's content), made printable and bounded.
///
/// Invalid UTF-8 and control characters are written as `\xNN`, newline and tab as `\n` and `\t`, a backslash as `\\`.
/// What is cut off is counted, never dropped silently.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(String);

impl Text {
    /// The most bytes of the subject's that one `Text` keeps.
    pub const LIMIT: usize = 4096;

    /// Escapes `bytes`, keeping at most [`Text::LIMIT`] of them.
    pub fn new(bytes: &[u8]) -> Self {
        let kept = &bytes[..bytes.len().min(Self::LIMIT)];
        let mut out = String::with_capacity(kept.len());
        for chunk in kept.utf8_chunks() {
            for c in chunk.valid().chars() {
                escape(c, &mut out);
            }
            for byte in chunk.invalid() {
                out.push_str(&format!("\\x{byte:02x}"));
            }
        }
        if bytes.len() > kept.len() {
            out.push_str(&format!("[and {} bytes more]", bytes.len() - kept.len()));
        }
        Text(out)
    }

    /// Text that was put together from such as is escaped already.
    pub(crate) fn printed(text: &str) -> Self {
        let mut text = printable(text);
        if text.len() > Self::LIMIT {
            let end = (0..=Self::LIMIT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            text.truncate(end);
        }
        Text(text)
    }

    /// The escaped text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing was there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At most `width` characters of it, with an ellipsis where it was cut.
    pub fn short(&self, width: usize) -> String {
        if self.0.chars().count() <= width {
            return self.0.clone();
        }
        let mut cut: String = self.0.chars().take(width.saturating_sub(3)).collect();
        cut.push_str("...");
        cut
    }
}

/// `text` as a terminal may show it: what is already printable stays as it is, backslashes included.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\\' { out.push(c) } else { escape(c, &mut out) }
    }
    out
}

/// Whether it is a control, or a character that reorders or hides text on a terminal.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// What is hidden is written out.
fn escape(c: char, out: &mut String) {
    match c {
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        '\r' => out.push_str("\\r"),
        '\\' => out.push_str("\\\\"),
        c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
        c if is_hidden(c) => out.push_str(&format!("\\u{{{:04x}}}", u32::from(c))),
        c => out.push(c),
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_keeps_plain_words_and_writes_out_the_rest() {
        assert_eq!(Text::new(b"a b\n\x1b[2J\xff\\").as_str(), "a b\\n\\x1b[2J\\xff\\\\");
        assert_eq!(Text::new("\u{202e}gnp".as_bytes()).as_str(), "\\u{202e}gnp");
    }

    #[test]
    fn text_is_bounded_and_says_what_it_left_out() {
        let text = Text::new(&vec![b'x'; Text::LIMIT + 7]);
        assert!(text.as_str().ends_with("[and 7 bytes more]"));
    }

    proptest! {
        #[test]
        fn text_never_lets_a_control_character_through(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
            let text = Text::new(&bytes);
            prop_assert!(text.as_str().chars().all(|c| !c.is_control()));
            prop_assert!(text.as_str().len() <= Text::LIMIT * 4 + 40);
        }
    }
}
