//! What the watches did not tell.

use std::time::{Duration, Instant};

use driftline_e2e::{Options, Proxy};

use super::support::{PATIENCE, Team, World, changed, fields};

const TWO: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: heard}, data: {k: v}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: unheard}, data: {k: v}}
";

async fn edit(team: &Team<'_>, name: &str) {
    let patch = r#"{"data":{"k":"edited"}}"#;
    team.kubectl(["patch", "configmap", name, "--type=merge", "-p", patch])
        .await;
}

async fn missed(world: &World) -> Option<f64> {
    let operator = world.operator.read().await;
    let operator = operator.as_ref().unwrap();
    operator.metric("driftline_verification_missed_total").await
}

#[tokio::test]
async fn an_event_that_no_watch_told_is_found_by_the_verification_and_counted() {
    let world = World::own(Options::default(), &[]).await;
    let proxy = Proxy::start(world.plane().kubeconfig_path()).await.unwrap();
    world.restart_operator_at(proxy.url()).await;
    let team = Team::new(&world, "missed").await;
    team.declare(TWO).await;
    team.check().await;
    world.assert_nothing_missed().await;

    proxy.withhold(Some(r#""name":"unheard""#));
    edit(&team, "unheard").await;
    let deadline = Instant::now() + PATIENCE;
    while proxy.withheld() == 0 {
        assert!(Instant::now() < deadline, "no watch told of the edit");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The same watch goes on.
    edit(&team, "heard").await;
    team.record("ConfigMap", "heard", |_| true).await;
    assert_eq!(
        team.open_records().await.len(),
        1,
        "nobody told of the other"
    );
    assert_eq!(missed(&world).await, Some(0.0));

    team.check().await;
    assert_eq!(missed(&world).await, Some(1.0));
    let record = team.record("ConfigMap", "unheard", |_| true).await;
    assert_eq!(fields(&record), [changed("data.k", "v", "edited")]);

    // It is known now, and not missed a second time.
    proxy.withhold(None);
    team.check().await;
    assert_eq!(missed(&world).await, Some(1.0));
    team.drifted(2).await;
}
