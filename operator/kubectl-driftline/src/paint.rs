//! Colour, where a person looks at it.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use driftline_crds::Severity;

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Paints, or leaves text as it is.
#[derive(Debug, Clone, Copy)]
pub struct Paint(bool);

impl Paint {
    /// For standard output.
    pub fn new(when: When) -> Self {
        Self(match when {
            When::Always => true,
            When::Never => false,
            When::Auto => {
                let asked_not = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
                std::io::stdout().is_terminal() && !asked_not && !dumb
            }
        })
    }

    fn sgr(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// Headings.
    pub fn bold(self, text: &str) -> String {
        self.sgr("1", text)
    }

    /// What matters less.
    pub fn dim(self, text: &str) -> String {
        self.sgr("2", text)
    }

    /// What is declared and not live.
    pub fn gone(self, text: &str) -> String {
        self.sgr("31", text)
    }

    /// What is live and not declared.
    pub fn new_value(self, text: &str) -> String {
        self.sgr("32", text)
    }

    /// What asks for attention.
    pub fn warn(self, text: &str) -> String {
        self.sgr("33", text)
    }

    /// A place in a diff.
    pub fn place(self, text: &str) -> String {
        self.sgr("36", text)
    }

    /// A severity in its colour.
    pub fn severity(self, severity: Severity, text: &str) -> String {
        let code = match severity {
            Severity::Critical => "1;35",
            Severity::High => "1;31",
            Severity::Medium => "33",
            Severity::Low => "34",
        };
        self.sgr(code, text)
    }
}
