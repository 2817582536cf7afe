//! Tables as a user sees them, whole. What changes from run to run is replaced by words of the same kind.

use super::support::*;
use driftline_e2e::ControlPlane;

/// Times, ages, namespaces and addresses, named.
fn settled(text: &str, shop: &Shop<'_>) -> String {
    let folder = shop.folder.path().to_string_lossy().into_owned();
    let text = text
        .replace(&shop.namespace, "NS")
        .replace(&folder, "FOLDER");
    let mut lines = Vec::new();
    for line in text.lines() {
        let line = match line.split_once(", 20") {
            Some((before, _)) if line.contains("ago)") => format!("{before}, TIME"),
            _ => line.to_owned(),
        };
        // Columns are as wide as the namespace's name.
        let words: Vec<&str> = line
            .split("  ")
            .map(str::trim)
            .filter(|w| !w.is_empty())
            .collect();
        let indent = line.len() - line.trim_start().len();
        lines.push(format!("{}{}", " ".repeat(indent), words.join("  ")));
    }
    lines.join("\n")
}

#[tokio::test]
async fn an_audit_reads_as_it_did() {
    let plane = ControlPlane::shared().await.unwrap();
    let shop = Shop::new(plane).await;
    shop.kubectl(&["set", "image", "deployment/web", "web=shop/web:hotfix"])
        .await;
    let patch = r#"{"data": {"greeting": "<img src=x onerror=alert(1)>&\"'`|"}}"#;
    shop.kubectl(&[
        "patch",
        "configmap",
        "settings",
        "--type=merge",
        "-p",
        patch,
    ])
    .await;
    shop.declare(
        "widget.yaml",
        "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n",
    );
    let run = shop.audit(&[]).await;
    assert_eq!(run.code, 1, "{}", run.err);
    let shown = settled(&run.out, &shop);
    let first = shown.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("Cluster ")
            && first.contains(" https://127.0.0.1:")
            && first.contains(" v1."),
        "{first}"
    );
    let rest: Vec<&str> = shown.lines().skip(1).collect();
    assert_eq!(rest.join("\n"), AUDIT.trim_matches('\n'), "\n{shown}");
}

const AUDIT: &str = r##"
  . of FOLDER at files

NAMESPACE  DECLARED  IN SYNC  DRIFTED  CRITICAL  HIGH  MEDIUM  LOW  PENDING  NOT CHECKED
(cluster)  1  -  -  -  -  -  -  -  1
NS  3  1  2  -  1  1  -  -  -
total  4  1  2  -  1  1  -  -  1

HIGH apps/Deployment NS/web  1 field differs; edited live
  declared in web.yaml:12
  spec.template.spec.containers[name=web].image
    - "shop/web:1.4.2"  line 12
    + "shop/web:hotfix"  kubectl-set, TIME

MEDIUM ConfigMap NS/settings  1 field differs; edited live
  declared in settings.yaml:5
  data.greeting
    - "hello"  line 5
    + "<img src=x onerror=alert(1)>&\"'`|"  kubectl-patch, TIME

Not checked
  Widget of example.com/v1 KindNotServed
      the cluster does not serve this kind in this version: is its CRD missing, or the apiVersion too old?

There is drift. 3 objects checked: 1 as declared, 2 drifted, 1 object could not be checked.
"##;
