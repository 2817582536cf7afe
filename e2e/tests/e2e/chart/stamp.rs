//! The stamp's policy, as rendered.

use cluster::stamp;
use serde_json::Value;

use super::support::{IMAGE, Installed};
use super::template;

const ENABLED: [&str; 4] = ["--set", IMAGE, "--set", "attribution.stamp.enabled=true"];
const SERVED: [&str; 2] = [
    "--api-versions",
    "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy",
];

#[tokio::test]
async fn the_stamp_is_opt_in_and_what_the_operator_expects() {
    let installed = Installed::shared().await;
    let plain = template(&installed.tools, &["--set", IMAGE]).await.unwrap();
    assert!(!plain.contains("MutatingAdmissionPolicy") && !plain.contains("--stamp-policy"));
    let refused = template(&installed.tools, &ENABLED).await.unwrap_err();
    assert!(refused.contains("pass --api-versions"), "{refused}");
    let all = [&ENABLED[..], &SERVED].concat();
    let text = template(&installed.tools, &all).await.unwrap();
    assert!(text.contains("--stamp-policy=other-driftline-stamp"));

    let only = [&all[..], &["--show-only", "templates/stamp.yaml"]].concat();
    let text = template(&installed.tools, &only).await.unwrap();
    let create = ["create", "--dry-run=server", "--validate=strict"];
    let made = installed
        .kubectl()
        .args(create)
        .args(["-o", "json", "-f", "-"])
        .stdin(text);
    let made = made.run().await.unwrap();
    let objects = serde_json::Deserializer::from_str(&made).into_iter::<Value>();
    let specs: Vec<Value> = objects.map(|o| o.unwrap()["spec"].clone()).collect();
    let name = "other-driftline-stamp";
    assert_eq!(specs[0], stamp::policy(name)["spec"]);
    assert_eq!(
        specs[1]["policyName"],
        stamp::binding(name)["spec"]["policyName"]
    );
}
