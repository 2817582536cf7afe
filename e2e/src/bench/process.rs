//! What the kernel says of processes.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Linux counts CPU time for programs in hundredths of a second, whatever its own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was resident.
    pub peak: u64,
}

pub fn memory(pid: u32) -> Option<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|l| l.strip_prefix(name))?;
        let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(kilobytes << 10)
    };
    Some(Memory {
        resident: field("VmRSS:")?,
        peak: field("VmHWM:")?,
    })
}

/// Makes the peak begin anew at what is resident now.
pub fn reset_peak(pid: u32) -> std::io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

#[derive(Debug, Clone, Copy)]
struct Stat {
    parent: u32,
    own: u64,
    reaped: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name may hold spaces and brackets: what counts comes after the last bracket.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let number = |place: usize| -> Option<u64> { fields.get(place)?.parse().ok() };
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        own: number(11)? + number(12)?,
        reaped: number(13)? + number(14)?,
    })
}

fn processes() -> HashMap<u32, Stat> {
    let Ok(folder) = fs::read_dir(Path::new("/proc")) else {
        return HashMap::new();
    };
    folder
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect()
}

fn descendants(of: u32, all: &HashMap<u32, Stat>) -> Vec<u32> {
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        found.extend(
            all.iter()
                .filter(|(_, s)| s.parent == parent)
                .map(|(pid, _)| *pid),
        );
    }
    found.remove(0);
    found
}

/// The processes that a process started itself.
pub fn children(of: u32) -> Vec<u32> {
    let all = processes().into_iter();
    all.filter(|(_, s)| s.parent == of)
        .map(|(pid, _)| pid)
        .collect()
}

/// CPU seconds of a process, of itself and (with what those reaped used) of all its descendants.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    pub own: f64,
    pub below: f64,
}

#[allow(clippy::cast_precision_loss)]
pub fn cpu(pid: u32) -> Cpu {
    let all = processes();
    let Some(own) = all.get(&pid) else {
        return Cpu::default();
    };
    let below: u64 = descendants(pid, &all)
        .iter()
        .filter_map(|p| all.get(p))
        .map(|s| s.own + s.reaped)
        .sum();
    Cpu {
        own: own.own as f64 / TICKS_PER_SECOND,
        below: (below + own.reaped) as f64 / TICKS_PER_SECOND,
    }
}

/// The machine's CPU seconds spent so far, idle time aside.
#[allow(clippy::cast_precision_loss)]
pub fn machine_cpu() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let numbers: Vec<u64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|n| n.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq; the others are parts of these or of other machines.
    let busy: u64 = [0, 1, 2, 5, 6].iter().filter_map(|i| numbers.get(*i)).sum();
    busy as f64 / TICKS_PER_SECOND
}

/// Follows the peaks of an operator's worker and of the worker's jobs, which end before anybody could ask.
pub struct Peaks {
    operator: u32,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    worker: AtomicU64,
    job: AtomicU64,
    seen: Mutex<Vec<u32>>,
}

impl Peaks {
    pub fn follow(operator: u32) -> Self {
        let shared = Arc::new(Shared::default());
        let mine = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            while !mine.stop.load(Ordering::Relaxed) {
                look(operator, &mine);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Self {
            operator,
            shared,
            thread: Some(thread),
        }
    }

    /// The peaks of the worker and of the largest job, in bytes, since following began.
    pub fn end(mut self) -> (u64, u64) {
        look(self.operator, &self.shared);
        self.stop();
        (
            self.shared.worker.load(Ordering::Relaxed),
            self.shared.job.load(Ordering::Relaxed),
        )
    }

    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Peaks {
    fn drop(&mut self) {
        self.stop();
    }
}

fn look(operator: u32, shared: &Shared) {
    let all = processes();
    for pid in descendants(operator, &all) {
        let worker = all.get(&pid).is_some_and(|s| s.parent == operator);
        if worker {
            // The worker outlives a scenario; its peak counts from the first look.
            let mut seen = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if !seen.contains(&pid) {
                seen.push(pid);
                let _ = reset_peak(pid);
            }
        }
        if let Some(memory) = memory(pid) {
            let place = if worker { &shared.worker } else { &shared.job };
            place.fetch_max(memory.peak, Ordering::Relaxed);
        }
    }
}
