//! One line on a terminal that says what is being waited for. Nothing where nobody looks.

use std::io::{IsTerminal as _, Write as _};

/// The line on standard error.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    shown: bool,
}

impl Progress {
    /// Shows itself on a terminal only.
    pub fn new(quiet: bool) -> Self {
        Self {
            shown: !quiet && std::io::stderr().is_terminal(),
        }
    }

    /// Says what is being done now.
    pub fn say(self, text: &str) {
        if self.shown {
            let line: String = text.chars().filter(|c| !c.is_control()).take(100).collect();
            let _ = write!(std::io::stderr(), "\r\u{1b}[2K{line}…");
            let _ = std::io::stderr().flush();
        }
    }

    /// Takes the line away.
    pub fn clear(self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\u{1b}[2K");
            let _ = std::io::stderr().flush();
        }
    }
}
