//! The run: definitions first, then kind after kind and object after object, some at the same time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures::StreamExt as _;
use http::Method;
use serde_json::json;

use super::one::{Surroundings, one};
use super::report::Report;
use super::server::{Kind, Server};
use super::templates::Templates;
use super::{Failure, Judge, Result, crds};

/// How much is tried.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where chance begins. Each object has a seed of its own that follows from it.
    pub seed: u64,
    /// Objects of each kind.
    pub rounds: usize,
    /// No new object is begun after that; but one of each kind always is.
    pub at_most: Duration,
    /// Random definitions.
    pub definitions: usize,
    /// Only kinds whose name contains this.
    pub only: String,
    /// Objects at the same time.
    pub concurrency: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            rounds: 6,
            at_most: Duration::from_secs(75),
            definitions: 16,
            only: String::new(),
            concurrency: 4,
        }
    }
}

/// Runs the test.
///
/// # Errors
/// Where the server does not answer. What is compared wrongly is in the report.
pub async fn run(server: Server, judge: Arc<dyn Judge>, options: &Options) -> Result<Report> {
    let templates = Templates::read()?;
    define(&server, options).await?;
    let kinds: Vec<Kind> = server
        .kinds()
        .await?
        .into_iter()
        .filter(|kind| kind.to_string().contains(&options.only))
        .collect();
    judge.prepare(&kinds).await?;
    for namespace in ["differential", "differential-limits"] {
        let body = json!({"metadata": {"name": namespace}});
        server
            .call(
                Method::POST,
                "/api/v1/namespaces",
                "application/json",
                Some(&body),
            )
            .await?;
    }
    let surroundings = Surroundings {
        server,
        judge,
        templates,
        kinds,
    };
    let mut report = Report {
        kinds: surroundings.kinds.iter().map(Kind::to_string).collect(),
        ..Report::default()
    };
    let end = Instant::now() + options.at_most;
    for round in 0..options.rounds {
        let objects = surroundings.kinds.iter().enumerate().map(|(n, kind)| {
            let seed = mix(options.seed, n as u64, round as u64);
            one(&surroundings, kind, seed)
        });
        let mut results = futures::stream::iter(objects).buffer_unordered(options.concurrency);
        while let Some(result) = results.next().await {
            report.add(result?);
            if round > 0 && Instant::now() > end {
                break;
            }
        }
        if Instant::now() > end {
            break;
        }
    }
    let made: BTreeSet<String> = report.objects.keys().cloned().collect();
    report.not_made.retain(|kind, _| !made.contains(kind));
    report.requests = surroundings.server.requests();
    Ok(report)
}

/// Spreads three numbers over all seeds.
fn mix(seed: u64, kind: u64, round: u64) -> u64 {
    Rng::with_seed(
        seed ^ kind.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ round.wrapping_mul(0xc2b2_ae3d_27d4_eb4f),
    )
    .u64(..)
}

/// Creates the random definitions and waits until the last one is served with its schema.
async fn define(server: &Server, options: &Options) -> Result<()> {
    let mut rng = Rng::with_seed(options.seed);
    let mut wanted = 0;
    for n in 0..options.definitions {
        let definition = crds::definition(&mut rng, n);
        let url = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let answer = server
            .call(Method::POST, url, "application/json", Some(&definition))
            .await?;
        if answer.status >= 300 {
            return Err(Failure {
                what: format!("creating the definition {definition}"),
                reason: answer.message(),
            });
        }
        wanted += definition["spec"]["versions"]
            .as_array()
            .map_or(0, Vec::len);
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        // A document that is being published again cannot be read for a moment.
        if let Ok(kinds) = server.kinds_of(crds::GROUP).await
            && kinds.len() >= wanted
        {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure {
                what: "waiting for the random definitions".to_owned(),
                reason: "their schemas were not published within a minute".to_owned(),
            });
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
