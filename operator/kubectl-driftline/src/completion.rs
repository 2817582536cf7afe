//! Completion: scripts for shells, and the answers that kubectl asks a plugin's `kubectl_complete-…` program for.

use clap::CommandFactory as _;
use clap_complete::{Shell as Generator, generate};

use crate::failure::Result;
use crate::options::{Cli, Shell};

/// The program by which kubectl completes `kubectl driftline`.
const PLUGIN: &str = "#!/bin/sh\nexec kubectl-driftline complete -- \"$@\"\n";

/// Prints a script.
pub fn script(shell: Shell) -> Result<u8> {
    let generator = match shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
        Shell::Plugin => {
            crate::print(PLUGIN);
            return Ok(0);
        }
    };
    let mut text = Vec::new();
    let mut command = Cli::command().bin_name("kubectl-driftline");
    generate(generator, &mut command, "kubectl-driftline", &mut text);
    crate::print(&String::from_utf8_lossy(&text));
    Ok(0)
}

/// Prints what could stand for the last word, and how the shell is to take it: `:4` is "no files" in cobra's words, `:0` lets it
/// complete files.
pub fn complete(words: &[String]) -> Result<u8> {
    crate::print(&answers(words));
    Ok(0)
}

fn answers(words: &[String]) -> String {
    let (last, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", &[][..]),
    };
    let root = Cli::command();
    let command = before.iter().find_map(|w| root.find_subcommand(w));
    let mut found: Vec<String> = Vec::new();
    if last.starts_with('-') {
        let flags = command
            .into_iter()
            .flat_map(|c| c.get_arguments())
            .chain(root.get_arguments());
        for flag in flags.filter(|f| !f.is_hide_set()) {
            if let Some(long) = flag.get_long() {
                let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
                found.push(format!("--{long}\t{}", first_line(&help)));
            }
        }
    } else if let Some(flag) = before.last().filter(|w| w.starts_with('-')) {
        let name = flag.trim_start_matches('-');
        let mut flags = command
            .into_iter()
            .flat_map(|c| c.get_arguments())
            .chain(root.get_arguments());
        let is_it = |f: &&clap::Arg| {
            f.get_long() == Some(name) || f.get_short().is_some_and(|s| s.to_string() == name)
        };
        let values = flags
            .find(is_it)
            .map(|f| f.get_possible_values())
            .unwrap_or_default();
        found.extend(values.iter().map(|v| v.get_name().to_owned()));
    } else if command.is_none() {
        for sub in root.get_subcommands().filter(|s| !s.is_hide_set()) {
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            found.push(format!("{}\t{}", sub.get_name(), first_line(&about)));
        }
    }
    found.retain(|f| f.starts_with(last));
    let mut text: String = found.iter().map(|f| format!("{f}\n")).collect();
    text.push_str(if found.is_empty() { ":0\n" } else { ":4\n" });
    text
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> String {
        answers(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn commands_flags_and_values_complete() {
        assert!(of(&[""]).contains("audit\tCompare Git"), "{}", of(&[""]));
        assert!(!of(&[""]).contains("worker"));
        assert_eq!(of(&["expl"]).lines().count(), 2);
        assert!(of(&["audit", "--wo"]).starts_with("--worktree\t"));
        assert!(of(&["audit", "-o", ""]).contains("junit\n"));
        assert_eq!(of(&["audit", "--git", ""]), ":0\n");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
