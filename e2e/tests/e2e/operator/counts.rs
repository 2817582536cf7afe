//! More drift than there may be records.

use futures::StreamExt as _;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::support::{Team, World};

fn yaml(names: impl Iterator<Item = usize>) -> String {
    names
        .map(|n| format!("---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c{n:03}}}, data: {{k: v}}}}\n"))
        .collect()
}

async fn create(team: &Team<'_>, names: std::ops::Range<usize>) {
    let api: Api<k8s_openapi::api::core::v1::ConfigMap> =
        Api::namespaced(team.client.clone(), &team.namespace);
    let made = futures::stream::iter(names).map(|n| {
        let object = serde_json::from_value(
            json!({"metadata": {"name": format!("c{n:03}")}, "data": {"k": "v"}}),
        );
        let api = api.clone();
        async move { api.create(&PostParams::default(), &object.unwrap()).await }
    });
    made.buffer_unordered(16)
        .for_each(async |result| drop(result.unwrap()))
        .await;
}

#[tokio::test]
async fn six_hundred_drifted_objects_have_five_hundred_records_and_exact_counts() {
    let team = Team::new(World::shared().await, "many").await;
    team.commit(&[("deploy/app.yaml", &yaml(0..600))]).await;
    team.policy(|_| {}).await;
    let status = team
        .status("500 records", |s| {
            s["records"]["open"] == 500 && s["summary"]["drifted"] == 600
        })
        .await;
    assert_eq!(status["records"]["omitted"], 100, "{}", status["records"]);
    assert_eq!(status["summary"]["declared"], 600);
    assert_eq!(status["worst"].as_array().unwrap().len(), 10);
    assert!(status.to_string().len() <= 16 << 10);
    assert_eq!(team.open_records().await.len(), 500);

    // Some are mended, and what was left out gets their places.
    create(&team, 0..50).await;
    let status = team
        .status("50 mended", |s| {
            s["summary"]["drifted"] == 550 && s["records"]["open"] == 500
        })
        .await;
    assert_eq!(status["records"]["omitted"], 50);
    // All places are taken and given away again on the way: only where it ends says who has one.
    create(&team, 50..250).await;
    let status = team
        .status("250 mended", |s| {
            s["summary"]["drifted"] == 350 && s["records"]["open"] == 350
        })
        .await;
    assert_eq!(status["records"]["omitted"], 0);
    team.open_records_become(350).await;
    create(&team, 250..600).await;
    team.in_sync().await;
    team.open_records_become(0).await;
}
