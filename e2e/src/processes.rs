//! Processes that outlive the command that started them, found by their arguments: they need not have written down anything yet.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, IoContext as _, Result};

const END: Duration = Duration::from_secs(20);

/// Those that have all of these arguments.
fn with_arguments(wanted: &[&OsStr]) -> Vec<Pid> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let number = |entry: &fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    let fits = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let has = |wanted: &&OsStr| line.split(|b| *b == 0).any(|a| a == wanted.as_bytes());
        wanted.iter().all(has)
    };
    all.filter(fits)
        .filter_map(|entry| Pid::from_raw(number(&entry)?))
        .collect()
}

/// Ends those that have all of these arguments and waits until they are gone. Says whether there were any.
pub(crate) fn end(wanted: &[&OsStr]) -> Result<bool> {
    let found = with_arguments(wanted);
    for pid in &found {
        match kill_process(*pid, Signal::TERM) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                return Err(std::io::Error::from(error)).doing("ending process", pid.to_string());
            }
        }
    }
    let deadline = Instant::now() + END;
    while !with_arguments(wanted).is_empty() {
        if Instant::now() > deadline {
            return Err(Error::Deadline {
                doing: format!("ending processes {found:?}"),
                after: END,
            });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(!found.is_empty())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn only_those_with_all_arguments_are_ended() {
        let mut child = Command::new("sleep")
            .args(["61.25", "62.5"])
            .spawn()
            .unwrap();
        // Started is before the kernel shows its arguments.
        let begun = Instant::now();
        while with_arguments(&["61.25".as_ref()]).is_empty() {
            assert!(begun.elapsed() < END);
            std::thread::yield_now();
        }
        let reaped = std::thread::spawn(move || child.wait());
        assert!(!end(&["61.25".as_ref(), "nobody has this".as_ref()]).unwrap());
        assert!(end(&["61.25".as_ref(), "62.5".as_ref()]).unwrap());
        reaped.join().unwrap().unwrap();
        assert!(!end(&["61.25".as_ref(), "62.5".as_ref()]).unwrap());
    }
}
