//! Live edits that go back.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::edits::PAUSE;
use super::report::Sample;
use super::sightings::{Seen, Sightings};
use super::world::{World, edit};
use super::{Result, say, workload};

/// Nothing that is waited for may take longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Times from just before the PATCH was sent.
#[derive(Debug, Default)]
pub struct Times {
    /// To the watch event of the edit.
    pub event: Sample,
    /// To the watch event of the object as it is declared again.
    pub back: Sample,
}

/// Edits so many distinct objects one after another, each of which goes back.
pub async fn measure(world: &World, edits: usize) -> Result<Times> {
    let mut sightings = Sightings::start(&world.client, Some(world.spec.kind)).await?;
    let mut times = Times::default();
    let mut told = Instant::now();
    for turn in 0..edits {
        let number = turn * world.spec.objects / edits;
        tokio::time::sleep(PAUSE).await;
        sightings.forget();
        let sent = Instant::now();
        let patch = tokio::spawn(edit(world.client.clone(), world.spec.kind, number, false));
        let at = becomes(&mut sightings, number, true).await?;
        times.event.add(at - sent);
        let at = becomes(&mut sightings, number, false).await?;
        times.back.add(at - sent);
        patch.await??;
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            say(&format!("{} of {edits} edits made and put back", turn + 1));
        }
    }
    Ok(times)
}

/// When an object is seen edited, or as declared.
async fn becomes(sightings: &mut Sightings, number: usize, is_edited: bool) -> Result<Instant> {
    let until = Instant::now() + PATIENCE;
    let this = (workload::namespace(number), workload::name(number));
    loop {
        let next = sightings.next(until).await;
        let next = next.map_err(|e| format!("an edit of {} did not go back: {e}", this.1))?;
        if let Seen::Object {
            namespace,
            name,
            edited,
        } = next.seen
            && (namespace, name) == this
            && edited == is_edited
        {
            return Ok(next.at);
        }
    }
}

/// Edits so many objects as fast as it goes. Gives the time from the last edit until all are as declared, and the whole time.
pub async fn burst(world: &World, objects: usize) -> Result<(Duration, Duration)> {
    let mut sightings = Sightings::start(&world.client, Some(world.spec.kind)).await?;
    sightings.forget();
    let began = Instant::now();
    world.edit_some(objects).await?;
    let edited = Instant::now();
    let mut open: HashSet<(String, String)> = (0..objects)
        .map(|n| (workload::namespace(n), workload::name(n)))
        .collect();
    // An object is back once it is seen as declared after it was seen edited.
    let mut seen_edited = HashSet::new();
    let until = edited + PATIENCE;
    while !open.is_empty() {
        let left = open.len();
        let next = sightings.next(until).await;
        let next = next.map_err(|e| format!("{left} of {objects} edits did not go back: {e}"))?;
        if let Seen::Object {
            namespace,
            name,
            edited,
        } = next.seen
        {
            let this = (namespace, name);
            if edited {
                seen_edited.insert(this);
            } else if seen_edited.contains(&this) {
                open.remove(&this);
            }
        }
    }
    Ok((edited.elapsed(), began.elapsed()))
}
