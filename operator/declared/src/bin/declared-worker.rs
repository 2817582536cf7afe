//! The worker without the operator, and a renderer that misbehaves on request: for this crate's tests.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::{Value, json};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(|a| a.to_str()) {
        Some("worker-job") => declared::job_main(),
        Some("worker") => {
            let mut next = || {
                arguments
                    .next()
                    .filter(|a| !a.is_empty())
                    .map(PathBuf::from)
            };
            let (Some(socket), Some(cache)) = (next(), next()) else {
                return ExitCode::from(2);
            };
            let mut options = declared::WorkerOptions::new(socket, cache);
            options.kustomize = next();
            options.helm = next();
            options.end_with_stdin = true;
            match declared::worker_main(options) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    let _ = writeln!(std::io::stderr(), "{error}");
                    ExitCode::FAILURE
                }
            }
        }
        Some("version") => say(&json!("probe 1")),
        // As kustomize would be called.
        Some("build") => arguments
            .next()
            .map_or(ExitCode::from(2), |folder| build(Path::new(&folder))),
        _ => ExitCode::from(2),
    }
}

fn say(value: &Value) -> ExitCode {
    match writeln!(std::io::stdout(), "{value}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Does what the folder's `probe.json` says.
fn build(folder: &Path) -> ExitCode {
    let text = fs::read_to_string(folder.join("probe.json")).unwrap_or_default();
    let wish: Value = serde_json::from_str(&text).unwrap_or_default();
    match wish["do"].as_str() {
        Some("hang") => loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        },
        Some("flood") => {
            while say(&json!("flood")) == ExitCode::SUCCESS {}
            ExitCode::FAILURE
        }
        Some("eat") => {
            let mut eaten: Vec<Vec<u8>> = Vec::new();
            loop {
                eaten.push(vec![1; 1 << 20]);
            }
        }
        _ => say(
            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe"}, "data": tries(&wish)}),
        ),
    }
}

/// What a hostile renderer would try, and how each attempt ended.
fn tries(wish: &Value) -> Value {
    let path = |name: &str| wish[name].as_str().unwrap_or("/nowhere").to_owned();
    let environment: Vec<String> = std::env::vars()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    json!({
        "tcp": ended(std::net::TcpStream::connect(path("address"))),
        "udp": ended(std::net::UdpSocket::bind("127.0.0.1:0")),
        "unix": ended(std::os::unix::net::UnixStream::connect(path("socket"))),
        "read token": ended(fs::read(path("token"))),
        "list token": ended(fs::read_dir(path("folder"))),
        "read other cache": ended(fs::read_dir(path("cache"))),
        "read environment of parent": ended(fs::read(format!("/proc/{}/environ", std::os::unix::process::parent_id()))),
        "read passwords": ended(fs::read("/etc/passwd")),
        "write outside": ended(fs::write(Path::new(&path("folder")).join("written"), "x")),
        "write system": ended(fs::write("/tmp/driftline-probe", "x")),
        "shell": ended(Command::new("/bin/sh").arg("-c").arg("true").status()),
        "git": ended(Command::new("/usr/bin/git").arg("version").status()),
        "own folder": ended(std::env::var("TMPDIR").map_err(std::io::Error::other).and_then(|t| fs::write(Path::new(&t).join("x"), "x"))),
        "environment": environment.join("\n"),
    })
}

fn ended<T>(result: std::io::Result<T>) -> String {
    match result {
        Ok(_) => "done".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    }
}
