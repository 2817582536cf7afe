//! One live edit and its undoing, and when what was seen of them.

use std::time::{Duration, Instant};

use super::Result;
use super::report::Sample;
use super::sightings::{Seen, Sighting, Sightings};
use super::world::{World, edit};
use super::{say, workload};

/// Nothing that is waited for may take longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two edits: the operator writes a policy's status at most ten times a second, and the next edit should find it at rest.
pub const PAUSE: Duration = Duration::from_millis(150);

/// Times from just before the PATCH was sent.
#[derive(Debug, Default)]
pub struct Times {
    /// To the object's own watch event: what no watcher can undercut.
    pub event: Sample,
    /// To the record with its status.
    pub record: Sample,
    /// To the policy's status with the drift counted.
    pub status: Sample,
    /// Of the undoing, to the record that says it is closed.
    pub closed: Sample,
}

#[derive(Debug, Default)]
struct Waiting {
    event: Option<Instant>,
    record: Option<Instant>,
    status: Option<Instant>,
}

impl Waiting {
    fn see(&mut self, number: usize, undo: bool, sighting: Sighting) {
        let (this, at) = (
            (workload::namespace(number), workload::name(number)),
            sighting.at,
        );
        match sighting.seen {
            Seen::Object {
                namespace,
                name,
                edited,
            } if (&namespace, &name) == (&this.0, &this.1) && edited != undo => {
                self.event.get_or_insert(at);
            }
            Seen::Record {
                namespace,
                name,
                open,
            } if (&namespace, &name) == (&this.0, &this.1) && open != undo => {
                self.record.get_or_insert(at);
            }
            Seen::Policy(policy) if (policy.drifted == 0) == undo => {
                self.status.get_or_insert(at);
            }
            _ => {}
        }
    }

    fn all(&self) -> Option<(Instant, Instant, Instant)> {
        Some((self.event?, self.record?, self.status?))
    }
}

/// Edits so many distinct objects one after another and undoes each.
pub async fn measure(world: &World, edits: usize) -> Result<Times> {
    let mut sightings = Sightings::start(&world.client, Some(world.spec.kind)).await?;
    let mut times = Times::default();
    let mut told = Instant::now();
    for turn in 0..edits {
        // Spread over all namespaces and files.
        let number = turn * world.spec.objects / edits;
        let (sent, (event, record, status)) = one(world, &mut sightings, number, false).await?;
        times.event.add(event - sent);
        times.record.add(record - sent);
        times.status.add(status - sent);
        let (sent, (_, closed, _)) = one(world, &mut sightings, number, true).await?;
        times.closed.add(closed - sent);
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            say(&format!("{} of {edits} edits made and undone", turn + 1));
        }
    }
    Ok(times)
}

async fn one(
    world: &World,
    sightings: &mut Sightings,
    number: usize,
    undo: bool,
) -> Result<(Instant, (Instant, Instant, Instant))> {
    tokio::time::sleep(PAUSE).await;
    sightings.forget();
    let sent = Instant::now();
    let patch = tokio::spawn(edit(world.client.clone(), world.spec.kind, number, undo));
    let mut waiting = Waiting::default();
    let until = sent + PATIENCE;
    let found = loop {
        if let Some(found) = waiting.all() {
            break found;
        }
        let next = sightings.next(until).await.map_err(|error| {
            let what = if undo {
                "the undoing of an edit"
            } else {
                "an edit"
            };
            format!(
                "{what} of {}: {error} (seen so far: {waiting:?})",
                workload::name(number)
            )
        })?;
        waiting.see(number, undo, next);
    };
    patch.await??;
    Ok((sent, found))
}
