//! The second half of the demo: what was edited goes back, all but what an exception allows, and a fight ends.

use std::time::Instant;

use serde_json::Value;

use super::Failure;
use super::observer::Seen;
use super::story::{PATIENCE, Stage, bold, dim};
use crate::operator::workspace;

/// What the exception allows, and for how long.
const EXCEPTION: &str = "apiVersion: driftline.dev/v1alpha1
kind: DriftException
metadata: {name: web-hotfix, namespace: shop}
spec:
  policy: shop
  match:
    kinds: [apps/Deployment]
    names: [web]
    fields: ['spec.template.spec.containers[name=web].image']
  reason: the hotfix stays until it is released
  expiresAt: EXPIRES
";

/// How often somebody insists before the fight is over.
const INSISTS: usize = 6;

/// Gives the milliseconds from each edit that was made at Revert until it was put back.
pub(super) async fn tell(stage: &mut Stage<'_>) -> Result<Vec<u128>, Failure> {
    println!();
    println!("==> Having edits put back: the team consents, and asks first what that would do");
    allow(stage).await?;
    preview(stage).await?;
    raise(stage).await?;
    println!();
    println!("==> From now on edits go back as they are made");
    let reverted = vec![scaled(stage, "4").await?, scaled(stage, "9").await?];
    fight(stage).await?;
    Ok(reverted)
}

/// The rights, and an exception.
async fn allow(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let opt_in = workspace().join("examples/shop/revert-opt-in.yaml");
    println!(
        "  $ kubectl apply -f examples/shop/revert-opt-in.yaml   {}",
        dim("# the account may write, Driftline may act as it")
    );
    stage
        .run(&["apply", "-f", &opt_in.display().to_string()])
        .await?;
    let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48);
    let expires = expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    println!(
        "  $ kubectl apply -f web-hotfix.yaml   {}",
        dim(&format!(
            "# a DriftException for the image of web, until {expires}"
        ))
    );
    stage.apply(EXCEPTION.replace("EXPIRES", &expires)).await?;
    let excepted =
        |s: &Seen| is_about(s, "Deployment", "web") && s.object["status"]["state"] == "Excepted";
    stage
        .records
        .wait("the exception", PATIENCE, excepted)
        .await?;
    println!("    the hotfix of Deployment web is allowed for now; its record says until when");
    Ok(())
}

async fn preview(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage.policies.forget();
    stage
        .kubectl(
            &[
                "annotate",
                "driftpolicy/shop",
                "--overwrite",
                "driftline.dev/check=1",
            ],
            "look again, now that there are rights",
        )
        .await?;
    let known = |s: &Seen| {
        let preview = &s.object["status"]["preview"];
        preview["objects"] == 3
            && preview["blocked"]
                .as_array()
                .is_none_or(|b| !b.iter().any(is_refused))
    };
    let policy = stage
        .policies
        .wait("the preview", PATIENCE * 2, known)
        .await?;
    let preview = &policy.object["status"]["preview"];
    println!(
        "    Revert would put back {} objects, {} fields; asked of the API server by dry run, nothing is written yet",
        preview["objects"], preview["fields"]
    );
    for blocked in preview["blocked"].as_array().into_iter().flatten() {
        println!(
            "    {} would stay: {}",
            blocked["count"],
            text(&blocked["reason"])
        );
    }
    Ok(())
}

fn is_refused(blocked: &Value) -> bool {
    blocked["reason"] != "Excepted"
}

/// Raises the policy, after which three objects go back.
async fn raise(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage.records.forget();
    let begun = Instant::now();
    stage
        .kubectl(
            &[
                "patch",
                "driftpolicy/shop",
                "--type=merge",
                r#"-p={"spec":{"enforcement":"Revert"}}"#,
            ],
            "one rung up",
        )
        .await?;
    let mut left = vec![
        ("ConfigMap", "app-config"),
        ("Service", "web"),
        ("NetworkPolicy", "only-web"),
    ];
    while !left.is_empty() {
        let back =
            |s: &Seen| is_put_back(s) && left.iter().any(|(kind, name)| is_about(s, kind, name));
        let seen = stage
            .records
            .wait("the edits to go back", PATIENCE, back)
            .await?;
        println!(
            "    {} is as declared again, {} ms after the command",
            bold(&text(&seen.object["status"]["display"]["subject"])),
            (seen.at - begun).as_millis()
        );
        left.retain(|(kind, name)| !is_about(&seen, kind, name));
    }
    println!("    Deployment web keeps its image: the exception holds it");
    Ok(())
}

/// Somebody scales api; gives the milliseconds until it is as declared.
async fn scaled(stage: &mut Stage<'_>, replicas: &str) -> Result<u128, Failure> {
    stage.live.forget();
    stage.records.forget();
    let flag = format!("--replicas={replicas}");
    stage
        .kubectl(&["scale", "deployment/api", &flag], "again")
        .await?;
    let replicas: i64 = replicas.parse()?;
    let edited = stage
        .live
        .wait("the change", PATIENCE, |s| is_api(s, replicas))
        .await?;
    let back = stage
        .live
        .wait("the change to go back", PATIENCE, |s| is_api(s, 2))
        .await?;
    let took = (back.at - edited.at).as_millis();
    println!("    spec.replicas is {} again after {took} ms", bold("2"));
    Ok(took)
}

/// Somebody who does not give up is met a few times, and then left alone.
async fn fight(stage: &mut Stage<'_>) -> Result<(), Failure> {
    println!();
    println!("==> Somebody does not give up: a script that scales api again and again");
    let again = "kubectl -n shop scale deployment/api --replicas=9";
    for n in 1..=INSISTS {
        stage.live.forget();
        stage.records.forget();
        stage
            .run(&["scale", "deployment/api", "--replicas=9"])
            .await?;
        stage
            .live
            .wait("the change", PATIENCE, |s| is_api(s, 9))
            .await?;
        let Stage { live, records, .. } = stage;
        let contested = |s: &Seen| {
            is_about(s, "Deployment", "api") && s.object["status"]["state"] == "Contested"
        };
        tokio::select! {
            back = live.wait("the change to go back", PATIENCE, |s| is_api(s, 2)) => {
                back?;
                println!("  $ {again}   {}", dim(&format!("# put back, {n}")));
            }
            told = records.wait("the end of the fight", PATIENCE, contested) => {
                let status = &told?.object["status"];
                println!("  $ {again}");
                println!("    {}: {}", bold("Contested"), text(&status["enforcement"]["reason"]));
                return Ok(());
            }
        }
    }
    Err("somebody insisted six times, and it was put back each time".into())
}

fn is_api(seen: &Seen, replicas: i64) -> bool {
    seen.kind == "Deployment" && seen.name == "api" && seen.object["spec"]["replicas"] == replicas
}

fn is_about(seen: &Seen, kind: &str, name: &str) -> bool {
    let subject = &seen.object["spec"]["subject"]["kubernetes"];
    subject["kind"] == kind && subject["name"] == name
}

fn is_put_back(seen: &Seen) -> bool {
    let status = &seen.object["status"];
    status["state"] == "Closed" && status["enforcement"]["outcome"] == "Reverted"
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
