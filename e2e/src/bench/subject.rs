//! The operator under measurement: the release program beside this one, with the rights of the chart's account.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use driftline_e2e::operator::{NAMESPACE, program};
use driftline_e2e::{Leash, Tools};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Result;

/// What the chart sets for glibc's allocator.
const ALLOCATOR: [(&str, &str); 2] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
];

/// A running operator. Killed when dropped.
pub struct Subject {
    leash: Leash,
    address: SocketAddr,
    /// Just before its process was asked for.
    pub started: Instant,
}

/// Its durations of fetching and rendering so far, and how many renderings there were.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work {
    pub fetch_seconds: f64,
    pub render_seconds: f64,
    pub renders: f64,
}

impl Subject {
    pub async fn start(
        tools: &Tools,
        kubeconfig: &Path,
        log: &Path,
        log_level: &str,
    ) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        drop(listener);
        let arguments = [
            "run".to_owned(),
            format!("--namespace={NAMESPACE}"),
            format!("--listen={address}"),
            format!("--log-level={log_level}"),
            format!("--kustomize={}", tools.kustomize.display()),
            format!("--helm={}", tools.helm.display()),
        ];
        let mut environment = vec![("KUBECONFIG".to_owned(), kubeconfig.display().to_string())];
        let allocator = ALLOCATOR.map(|(name, value)| (name.to_owned(), value.to_owned()));
        environment.extend(allocator);
        let program = program()?;
        let started = Instant::now();
        let leash = Leash::start(program, arguments, environment, log).await?;
        Ok(Self {
            leash,
            address,
            started,
        })
    }

    pub fn pid(&self) -> u32 {
        self.leash.pid()
    }

    /// Adds the operator's own words to an error.
    pub fn explain(&self, error: &dyn std::fmt::Display) -> String {
        let log = self.leash.output();
        let lines: Vec<&str> = log.lines().rev().take(20).collect();
        let tail: Vec<&str> = lines.into_iter().rev().collect();
        format!("{error}; the operator logged last:\n{}", tail.join("\n"))
    }

    /// Ends it as Kubernetes does, and waits until it has ended.
    pub async fn stop(self) -> Result<()> {
        let pid = i32::try_from(self.pid())?;
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        let until = Instant::now() + Duration::from_secs(30);
        while self.leash.is_running() {
            if Instant::now() > until {
                return Err(self
                    .explain(&"the operator did not stop within 30 s")
                    .into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// The sum of a metric over all its labels.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        Some(sum(&self.metrics().await?, name))
    }

    /// What it has fetched and rendered.
    pub async fn work(&self) -> Option<Work> {
        let text = self.metrics().await?;
        Some(Work {
            fetch_seconds: sum(&text, "driftline_fetch_duration_seconds_sum"),
            render_seconds: sum(&text, "driftline_render_duration_seconds_sum"),
            renders: sum(&text, "driftline_render_duration_seconds_count"),
        })
    }

    /// Waits for the next rendering after `before` and gives the time at which it was done, to 20 ms.
    pub async fn rendered(&self, before: f64, most: Duration) -> Result<Instant> {
        let until = Instant::now() + most;
        loop {
            if self.work().await.is_some_and(|w| w.renders > before) {
                return Ok(Instant::now());
            }
            if Instant::now() > until || !self.leash.is_running() {
                return Err(self.explain(&"nothing was rendered").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn metrics(&self) -> Option<String> {
        let talk = async {
            let mut stream = tokio::net::TcpStream::connect(self.address).await.ok()?;
            let request = format!("GET /metrics HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            Some(answer.split_once("\r\n\r\n")?.1.to_owned())
        };
        tokio::time::timeout(Duration::from_secs(5), talk)
            .await
            .ok()?
    }
}

fn sum(text: &str, name: &str) -> f64 {
    let samples = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let rest = match rest.strip_prefix('{') {
            Some(labels) => labels.split_once("} ")?.1,
            None => rest.strip_prefix(' ')?,
        };
        rest.trim().parse::<f64>().ok()
    });
    samples.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_no_other_is() {
        let text = "# HELP a b\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3.5\na_total_b 9\nb 1\n";
        assert!((sum(text, "a_total") - 5.5).abs() < 1e-9);
        assert!((sum(text, "b") - 1.0).abs() < 1e-9);
    }
}
