//! The demo, as `make demo` runs it.

use std::path::{Path, PathBuf};
use std::process::Output;

use driftline_e2e::{Invocation, operator};
use std::time::Duration;

fn demo() -> PathBuf {
    operator::program()
        .expect("the programs are built")
        .with_file_name("demo")
}

async fn run(directory: &Path, action: &str) -> Output {
    let arguments = ["--directory", &*directory.to_string_lossy(), action].map(str::to_owned);
    Invocation::new(demo())
        .args(arguments)
        .deadline(Duration::from_secs(120))
        .output()
        .await
        .expect("the demo runs")
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test]
async fn the_demo_finds_every_edit_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a directory");
    let directory = folder.path().join("demo");
    let up = run(&directory, "up").await;
    let shown = text(&up);
    let down = run(&directory, "down").await;
    assert!(up.status.success(), "{shown}");
    for line in [
        "all 6 objects are as declared",
        "drift apps/Deployment shop/web",
        "spec.template.spec.containers[name=web].image: \"registry.example.com/shop/web:1.4.2\" -> \"registry.example.com/shop/web:hotfix\"",
        "by kubectl-set, declared at web/base/deployment.yaml:17",
        "drift apps/Deployment shop/api",
        "spec.replicas: 2 -> 6",
        "data.FEATURE_CHECKOUT: \"on\" -> \"off\"",
        "by kubectl-edit, declared at config/app-config.yaml:8",
        "spec.ports[port=80,protocol=TCP].targetPort: \"http\" -> 9090",
        "Missing (declared at config/network.yaml:1)",
        "its record is closed",
        "Revert would put back 3 objects, 2 fields",
        "1 would stay: Excepted",
        "Service shop/web is as declared again",
        "spec.replicas is 2 again after",
        "Contested: it was put back 3 times and changed again",
        "5 edits, 5 records",
        "2 edits put back as they were made",
        "make demo-down",
    ] {
        assert!(shown.contains(line), "{line:?} is not in:\n{shown}");
    }
    assert!(
        text(&down).contains("nothing of it is left running"),
        "{}",
        text(&down)
    );
    assert!(!directory.exists());
    let again = run(&directory, "down").await;
    assert!(
        text(&again).contains("No demo was running"),
        "{}",
        text(&again)
    );
    assert!(
        no_process_mentions(&directory),
        "something of the demo still runs"
    );
}

fn no_process_mentions(directory: &Path) -> bool {
    let wanted = directory.to_string_lossy().into_owned();
    let entries = std::fs::read_dir("/proc").expect("/proc");
    !entries.flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&wanted)
    })
}
