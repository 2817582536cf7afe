//! The worker alone, without the operator: for this crate's tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(|a| a.to_str()) {
        Some("worker-job") => declared::job_main(),
        Some("worker") => {
            let (Some(socket), Some(cache)) = (arguments.next(), arguments.next()) else { return ExitCode::from(2) };
            let mut options = declared::WorkerOptions::new(socket, cache);
            options.kustomize = arguments.next().filter(|a| !a.is_empty()).map(Into::into);
            options.helm = arguments.next().filter(|a| !a.is_empty()).map(Into::into);
            options.end_with_stdin = true;
            match declared::worker_main(options) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
        _ => ExitCode::from(2),
    }
}
