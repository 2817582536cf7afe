//! Alerts by the real promtool, dashboard and monitors by the types of those who read them, all by the metrics that there are.

use std::collections::{BTreeMap, BTreeSet};

use driftline_e2e::{Invocation, Tools, cache};
use serde_json::Value;

use super::support::{chart, root};

/// What docs/metrics.md says: type and labels by name.
fn told() -> BTreeMap<String, (String, Vec<String>)> {
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let mut told = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, kind, _, labels, ..] = cells[..] else {
            continue;
        };
        let bare = |word: &str| word.trim_matches('`').to_owned();
        if name.starts_with("`driftline_") {
            let labels = labels.split(", ").map(bare).filter(|l| !l.is_empty());
            told.insert(bare(name), (kind.to_owned(), labels.collect()));
        }
    }
    assert!(told.len() > 30, "{told:?}");
    told
}

/// The names of docs/metrics.md, with those that a histogram is served under.
fn served() -> BTreeSet<String> {
    let ends = |(name, (kind, _)): (String, (String, Vec<String>))| match kind.as_str() {
        "histogram" => ["_bucket", "_sum", "_count"]
            .map(|end| format!("{name}{end}"))
            .to_vec(),
        _ => vec![name],
    };
    told().into_iter().flat_map(ends).collect()
}

/// Compares what an operator serves with the page: every family is there with that type and just those labels, and what has no labels is
/// served by every operator.
pub(crate) fn is_as_told(served: &str) {
    let told = told();
    let mut kinds: BTreeMap<String, String> = BTreeMap::new();
    let mut labels: BTreeMap<String, BTreeSet<Vec<String>>> = BTreeMap::new();
    for line in served.lines() {
        let parts: Vec<&str> = line.split(' ').collect();
        if let ["#", "TYPE", name, kind] = parts[..] {
            let total = if kind == "counter" { "_total" } else { "" };
            kinds.insert(format!("{name}{total}"), kind.to_owned());
        } else if !line.starts_with('#') {
            let (name, rest) = line.split_once(['{', ' ']).unwrap();
            let pairs = if line[name.len()..].starts_with('{') {
                rest
            } else {
                ""
            };
            let names = pairs
                .split("\",")
                .filter_map(|pair| pair.split_once("=\""))
                .map(|(name, _)| name.to_owned())
                .filter(|name| name != "le");
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
                let family = name.strip_suffix(end)?;
                told.contains_key(family).then(|| family.to_owned())
            });
            let family = family.unwrap_or_else(|| name.to_owned());
            labels.entry(family).or_default().insert(names.collect());
        }
    }
    for (name, kind) in &kinds {
        let (told, _) = told
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not on the page"));
        assert_eq!(kind, told, "{name}");
    }
    for (name, found) in &labels {
        assert_eq!(found, &BTreeSet::from([told[name].1.clone()]), "{name}");
    }
    for (name, (_, labels)) in &told {
        assert!(
            !labels.is_empty() || kinds.contains_key(name),
            "{name} is not served"
        );
    }
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !word(c))
        .filter(|w| w.starts_with("driftline_"))
        .map(str::to_owned)
        .collect()
}

async fn tool(name: &'static str) -> Invocation {
    let bin = tokio::task::spawn_blocking(|| cache::MONITORING.ensure())
        .await
        .unwrap()
        .unwrap();
    Invocation::new(bin.join(name))
}

#[tokio::test]
async fn alerts_fire_when_they_should_and_only_then() {
    let alerts = chart().join("files/alerts.yaml");
    let check = tool("promtool")
        .await
        .args(["check", "rules", "--lint=all", "--lint-fatal"]);
    let said = check.args([&alerts]).run().await.unwrap();
    assert!(said.contains("SUCCESS: 11 rules found"), "{said}");
    let test = tool("promtool").await.args(["test", "rules"]);
    test.args([root().join("e2e/alerts/tests.yaml")])
        .run()
        .await
        .unwrap();
}

#[tokio::test]
async fn the_prometheus_operator_takes_what_the_chart_makes_for_it() {
    let tools = Tools::ensure().await.unwrap();
    let values = [
        "serviceMonitor.enabled=true",
        "prometheusRule.enabled=true",
        "serviceMonitor.labels.a=b",
    ];
    let more = [
        "serviceMonitor.relabelings[0].action=labeldrop",
        "serviceMonitor.relabelings[0].regex=pod",
    ];
    for name in ["servicemonitor", "prometheusrule"] {
        let only = format!("templates/{name}.yaml");
        let mut arguments = vec!["--set", super::support::IMAGE, "--show-only", &only];
        arguments.extend(
            values
                .iter()
                .chain(&more)
                .flat_map(|value| ["--set", value]),
        );
        let text = super::template(&tools, &arguments).await.unwrap();
        let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
        std::fs::write(file.path(), &text).unwrap();
        tool("schema")
            .await
            .args([file.path()])
            .run()
            .await
            .unwrap();
        // It is not taken for something that takes everything.
        std::fs::write(
            file.path(),
            text.replace("\nspec:\n", "\nspec:\n  unheardOf: 1\n"),
        )
        .unwrap();
        let refused = tool("schema").await.args([file.path()]).run().await;
        assert!(refused.unwrap_err().to_string().contains("unheardOf"));
    }
}

#[test]
fn every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent() {
    let text = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let (alerts, tests) = (
        text("charts/driftline/files/alerts.yaml"),
        text("e2e/alerts/tests.yaml"),
    );
    for name in alerts
        .lines()
        .filter_map(|l| l.trim().strip_prefix("- alert: "))
    {
        let cases: Vec<&str> = tests
            .split("- alertname: ")
            .skip(1)
            .filter(|c| c.starts_with(&format!("{name}\n")))
            .collect();
        let fires = cases
            .iter()
            .filter(|c| !c.contains("exp_alerts: []"))
            .count();
        assert!(
            fires > 0 && fires < cases.len(),
            "{name}: {fires} of {}",
            cases.len()
        );
    }
}

#[tokio::test]
async fn the_dashboard_is_one_of_grafanas_schema_over_metrics_that_there_are() {
    let path = chart().join("files/dashboard.json");
    let text = std::fs::read_to_string(&path).unwrap();
    tool("schema").await.args([&path]).run().await.unwrap();
    let odd = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(odd.path(), text.replacen('{', "{\"unheardOf\": 1,", 1)).unwrap();
    let refused = tool("schema").await.args([odd.path()]).run().await;
    assert!(refused.unwrap_err().to_string().contains("unheardOf"));
    let served = served();
    let alerts = std::fs::read_to_string(chart().join("files/alerts.yaml")).unwrap();
    for (what, text) in [("dashboard", &text), ("alerts", &alerts)] {
        let unknown: Vec<String> = named(text).difference(&served).cloned().collect();
        assert!(unknown.is_empty(), "{what}: {unknown:?}");
    }
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|p| p["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        for x in at("x")..at("x") + at("w") {
            assert!(x < 24, "{}: beyond the right edge", panel["title"]);
            for y in at("y")..at("y") + at("h") {
                assert!(
                    taken.insert((x, y)),
                    "{}: lies over another panel",
                    panel["title"]
                );
            }
        }
    }
    // Its queries can be parsed.
    let expressions: Vec<&str> = panels
        .iter()
        .flat_map(|p| p["targets"].as_array().into_iter().flatten())
        .map(|t| t["expr"].as_str().unwrap())
        .collect();
    assert!(expressions.len() > 25);
    let rules: Vec<Value> = expressions
        .iter()
        .enumerate()
        .map(|(n, expr)| {
            let expr = expr.replace("$__rate_interval", "5m").replace(['$'], "");
            serde_json::json!({"record": format!("panel:{n}"), "expr": expr})
        })
        .collect();
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    let group = serde_json::json!({"groups": [{"name": "panels", "rules": rules}]});
    std::fs::write(file.path(), group.to_string()).unwrap();
    tool("promtool")
        .await
        .args(["check", "rules"])
        .args([file.path()])
        .run()
        .await
        .unwrap();
}
