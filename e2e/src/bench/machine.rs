//! What it was measured on.

use serde::Serialize;

/// The machine and the versions.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    pub cores: usize,
    pub memory_gib: f64,
    pub processor: String,
    pub kernel: String,
    pub driftline: String,
    pub command: String,
}

impl Machine {
    pub async fn read() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            text.lines()
                .find_map(|l| l.strip_prefix(name))
                .map(|l| l.trim_start_matches([' ', '\t', ':']).to_owned())
                .unwrap_or_default()
        };
        let kilobytes: f64 = field(&read("/proc/meminfo"), "MemTotal")
            .trim_end_matches(" kB")
            .parse()
            .unwrap_or(0.0);
        let program = std::env::args().next().unwrap_or_default();
        let name = std::path::Path::new(&program)
            .file_name()
            .map(|n| n.to_string_lossy().into_owned());
        let arguments = std::env::args().skip(1);
        let command: Vec<String> = name.into_iter().chain(arguments).collect();
        let version = match driftline_e2e::operator::program() {
            Ok(path) => driftline_e2e::Invocation::new(path)
                .args(["--version"])
                .run()
                .await
                .map(|text| text.trim().to_owned())
                .unwrap_or_default(),
            Err(_) => String::new(),
        };
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: (kilobytes / 1024.0 / 1024.0 * 10.0).round() / 10.0,
            processor: field(&read("/proc/cpuinfo"), "model name"),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            driftline: version,
            command: command.join(" "),
        }
    }
}

/// CPU used on the machine by others than this program, what it started and what it measured.
pub struct Neighbours {
    began: std::time::Instant,
    machine: f64,
    ours: f64,
}

fn ours() -> f64 {
    let cpu = super::process::cpu(std::process::id());
    cpu.own + cpu.below
}

impl Neighbours {
    pub fn begin() -> Self {
        Self {
            began: std::time::Instant::now(),
            machine: super::process::machine_cpu(),
            ours: ours(),
        }
    }

    /// Cores that others kept busy since then, on average.
    pub fn cores(&self) -> f64 {
        let others = (super::process::machine_cpu() - self.machine) - (ours() - self.ours);
        (others / self.began.elapsed().as_secs_f64()).max(0.0)
    }
}
