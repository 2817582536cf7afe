//! The progress line of a long build.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cache::{on_terminal, say};

/// Nothing is said before this much time has passed: most builds are short,
/// because Go has a cache of its own.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells, while a build runs, that it runs and how far it is. On a terminal one
/// line is rewritten every second; elsewhere a new one comes every 15 seconds.
pub(crate) struct Progress {
    counts: Arc<Counts>,
    done: Option<Sender<()>>,
    teller: Option<JoinHandle<bool>>,
    title: &'static str,
    began: Instant,
}

#[derive(Default)]
struct Counts {
    downloaded: AtomicUsize,
    compiled: AtomicUsize,
}

impl Progress {
    /// Begins to tell about a build that compiles `total` packages from nothing.
    pub(crate) fn start(title: &'static str, expectation: &'static str, total: usize) -> Self {
        let counts = Arc::new(Counts::default());
        let began = Instant::now();
        let (done, ended) = mpsc::channel();
        let seen = Arc::clone(&counts);
        let teller = std::thread::spawn(move || {
            let terminal = on_terminal();
            let every = Duration::from_secs(if terminal { 1 } else { 15 });
            let mut wait = PATIENCE;
            let mut told = false;
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(wait) {
                if !told && !terminal {
                    say(&format!("building {title} ({expectation}, once)"));
                } else {
                    let text = describe(title, expectation, total, &seen, began.elapsed());
                    show(&text, terminal);
                }
                told = true;
                wait = every;
            }
            if told && terminal {
                show("", true);
            }
            told
        });
        Self {
            counts,
            done: Some(done),
            teller: Some(teller),
            title,
            began,
        }
    }

    /// Takes a line that `go build -v` printed.
    pub(crate) fn line(&self, line: &str) {
        if line.starts_with("go: downloading ") {
            self.counts.downloaded.fetch_add(1, Ordering::Relaxed);
        } else if !line.contains(' ') {
            self.counts.compiled.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends the telling, with a last line if there was a first one.
    pub(crate) fn finish(mut self, success: bool) {
        let told = self.stop();
        if told && success {
            say(&format!(
                "built {} in {}",
                self.title,
                human(self.began.elapsed())
            ));
        }
    }

    fn stop(&mut self) -> bool {
        drop(self.done.take());
        self.teller
            .take()
            .and_then(|teller| teller.join().ok())
            .unwrap_or(false)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop();
    }
}

fn describe(
    title: &str,
    expectation: &str,
    total: usize,
    counts: &Counts,
    elapsed: Duration,
) -> String {
    let compiled = counts.compiled.load(Ordering::Relaxed);
    let downloaded = counts.downloaded.load(Ordering::Relaxed);
    let stage = match (compiled, downloaded) {
        (0, 0) => "reading modules, or linking".to_owned(),
        (0, n) => format!("{n} modules downloaded"),
        // Go's own cache may have most of them: the total is only an upper bound.
        (n, _) => format!("{n} of at most {} packages", total.max(n)),
    };
    format!(
        "building {title}: {stage}, {} ({expectation}, once)",
        human(elapsed)
    )
}

fn human(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// Writes the line, over the former one on a terminal.
fn show(text: &str, terminal: bool) {
    if !terminal {
        say(text);
        return;
    }
    let mut stderr = std::io::stderr();
    let prefix = if text.is_empty() { "" } else { "driftline: " };
    let _ = write!(stderr, "\r\x1b[2K{prefix}{text}");
    let _ = stderr.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_stage_time_and_expectation() {
        let counts = Counts::default();
        let text =
            |counts: &Counts| describe("x", "about 9 min", 100, counts, Duration::from_secs(75));
        assert_eq!(
            text(&counts),
            "building x: reading modules, or linking, 1 min 15 s (about 9 min, once)"
        );
        counts.downloaded.store(4, Ordering::Relaxed);
        assert!(text(&counts).contains("4 modules downloaded"));
        counts.compiled.store(40, Ordering::Relaxed);
        assert!(text(&counts).contains("40 of at most 100 packages"));
        counts.compiled.store(101, Ordering::Relaxed);
        assert!(text(&counts).contains("101 of at most 101 packages"));
    }
}
