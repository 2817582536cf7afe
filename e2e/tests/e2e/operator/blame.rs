//! Who wrote the line that declares what drifted.

use serde_json::Value;

use super::support::{Team, World};

const FILE: &str = "deploy/app.yaml";

fn settings(level: &str, feature: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  level: {level}\n  feature: {feature}\n"
    )
}

impl Team<'_> {
    /// Commits the settings as somebody; gives the commit.
    async fn commit_as(&self, who: &str, text: &str) -> String {
        let path = self.repo.work_tree().join(FILE);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self.repo.git(["add", "--all"]).await.unwrap();
        let author = format!("--author={who} <{who}@example.com>");
        let commit = ["commit", "--quiet", "--message", "x", author.as_str()];
        self.repo.git(commit).await.unwrap();
        let push = ["push", "--quiet", "origin", "HEAD"];
        self.repo.git(push).await.unwrap();
        self.repo.head().await.unwrap()
    }

    /// The record of the settings once it names an author.
    async fn authored(&self) -> (Value, Value) {
        let known = |r: &Value| r["status"]["declaredAt"]["author"].is_string();
        let record = self.record("ConfigMap", "settings", known).await;
        (record["status"]["declaredAt"].clone(), record)
    }
}

#[tokio::test]
async fn a_record_names_who_wrote_the_line_that_declares_the_field() {
    let team = Team::new(World::shared().await, "blame").await;
    let first = team.commit_as("ann", &settings("info", "'off'")).await;
    let second = team.commit_as("bob", &settings("info", "'on'")).await;
    team.declare(&settings("info", "'on'")).await;

    let edit = |data: &str| format!("{{\"data\": {data}}}");
    let patch = edit("{\"feature\": \"x\"}");
    team.kubectl(["patch", "configmap/settings", "--type=merge", "-p", &patch])
        .await;
    let (at, record) = team.authored().await;
    assert_eq!(at["commit"], second.as_str(), "{at}");
    assert_eq!(at["author"], "bob <bob@example.com>", "{at}");
    assert_eq!(at["date"], "2026-01-01T12:00:00Z", "{at}");
    assert_eq!(at["line"], 7, "{at}");
    assert_eq!(record["status"]["fields"][0]["line"], 7, "{record}");

    let patch = edit("{\"feature\": \"on\", \"level\": \"debug\"}");
    team.kubectl(["patch", "configmap/settings", "--type=merge", "-p", &patch])
        .await;
    let of_ann = |r: &Value| r["status"]["declaredAt"]["commit"] == first.as_str();
    let record = team.record("ConfigMap", "settings", of_ann).await;
    let at = &record["status"]["declaredAt"];
    assert_eq!(at["author"], "ann <ann@example.com>", "{at}");
    assert_eq!(at["line"], record["status"]["fields"][0]["line"], "{at}");

    // One that is gone as a whole is told of by the line it begins on.
    team.kubectl(["delete", "configmap/settings"]).await;
    let gone = |r: &Value| {
        r["status"]["change"] == "Missing" && r["status"]["declaredAt"]["author"].is_string()
    };
    let record = team.record("ConfigMap", "settings", gone).await;
    let at = &record["status"]["declaredAt"];
    assert_eq!(at["commit"], first.as_str(), "{at}");
    assert_eq!(
        (&at["document"], &at["line"]),
        (&1.into(), &1.into()),
        "{at}"
    );
}
