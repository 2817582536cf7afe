//! Who wrote the lines that declare what drifts.

use std::collections::BTreeSet;
use std::time::Duration;

use declared::{BlameLimits, BlameRequest, DeepenRequest, LineAt, LineOrigin};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::source::Source;
use crate::model::Finding;
use crate::worker::Local;

/// How many commits back is looked.
const DEPTH: u32 = 500;
/// How long a fetch of history may take.
const FETCH: Duration = Duration::from_secs(60);
/// Lines asked about at most.
const MOST: usize = 500;

/// Fills in commit, author and date where they can be found out.
pub async fn fill(local: &Local, source: &Source, findings: &mut [&mut Finding]) {
    let Some(fetch) = &source.history else {
        return;
    };
    let line_of = |finding: &Finding| {
        let at = finding.declared_at.as_ref()?;
        Some(LineAt {
            file: at.file.clone(),
            line: at.line?,
        })
    };
    let lines: BTreeSet<LineAt> = findings
        .iter()
        .filter_map(|f| line_of(f))
        .take(MOST)
        .collect();
    let lines: Vec<LineAt> = lines.into_iter().collect();
    let mut deepened = false;
    for some in lines.chunks(BlameRequest::MOST) {
        let request = BlameRequest {
            repository: source.revision.repository.clone(),
            commit: source.revision.commit.clone(),
            lines: some.to_vec(),
            limits: BlameLimits::default(),
        };
        let Ok(mut blame) = local.worker().blame(&request).await else {
            return;
        };
        if blame.shallow && !deepened {
            deepened = true;
            let deeper = DeepenRequest {
                fetch: declared::FetchRequest {
                    timeout: FETCH,
                    ..fetch.clone()
                },
                commit: source.revision.commit.clone(),
                depth: DEPTH,
            };
            if local.worker().deepen(&deeper).await.is_ok()
                && let Ok(better) = local.worker().blame(&request).await
            {
                blame = better;
            }
        }
        for (line, origin) in some.iter().zip(blame.lines) {
            let Some(origin) = origin else { continue };
            let same = |f: &&mut &mut Finding| line_of(f).as_ref() == Some(line);
            findings
                .iter_mut()
                .filter(same)
                .for_each(|f| say(f, &origin));
        }
    }
}

fn say(finding: &mut Finding, origin: &LineOrigin) {
    if let Some(at) = &mut finding.declared_at {
        at.commit = Some(origin.commit.clone());
        at.author = Some(drift::redact::text(&origin.author));
        at.date = Timestamp::from_second(origin.authored_at).ok().map(Time);
    }
}
