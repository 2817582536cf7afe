//! What Helm's storage says of a release. Pure.

use cluster::release::Stored;
use sha2::{Digest as _, Sha256};

/// How long Helm may be at work on a release; after that it was most likely interrupted. Its own default is five minutes.
const AT_WORK: i64 = 15 * 60;
/// Unpacked, a release may be this large. Helm stores at most 1 MiB of it packed.
pub const UNPACKED: u64 = 32 << 20;

/// What Helm's storage says of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// This revision is deployed.
    Deployed(Stored),
    /// Helm is at work: the revision and what it calls that.
    AtWork(u32, String),
    /// Nothing is deployed; the last revision there is.
    Nothing(Option<(u32, String)>),
}

/// What of a release's revisions counts now, in seconds since 1970.
pub fn seen(revisions: &[Stored], now: i64) -> Seen {
    let newest = |of: &dyn Fn(&&Stored) -> bool| {
        revisions
            .iter()
            .filter(of)
            .max_by_key(|r| r.version)
            .cloned()
    };
    let deployed = newest(&|r| r.status == "deployed");
    let after = deployed.as_ref().map_or(0, |d| d.version);
    let at_work = newest(&|r| {
        let working = r.status.starts_with("pending-") || r.status == "uninstalling";
        working && r.version > after && now.saturating_sub(r.written_at) < AT_WORK
    });
    match (at_work, deployed) {
        (Some(work), _) => Seen::AtWork(work.version, work.status),
        (None, Some(deployed)) => Seen::Deployed(deployed),
        (None, None) => Seen::Nothing(newest(&|_| true).map(|r| (r.version, r.status))),
    }
}

/// What a revision of a release is rendered from, in short: the object that Helm keeps it in. What that holds changes when a later
/// revision takes its place, what was deployed by it does not.
pub fn inputs(stored: &Stored) -> String {
    digest(&format!("{} {}", stored.object, stored.identity.0))
}

/// A digest as revisions carry it.
pub fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().fold("sha256:".to_owned(), |text, byte| {
        format!("{text}{byte:02x}")
    })
}

#[cfg(test)]
mod tests {
    use cluster::release::Driver;

    use super::*;

    const NOW: i64 = 1_000_000;

    fn of(revisions: &[(u32, &str, i64)]) -> String {
        let stored: Vec<Stored> = revisions
            .iter()
            .map(|(version, status, age)| Stored {
                driver: Driver::Secrets,
                object: String::new(),
                identity: (String::new(), String::new()),
                version: *version,
                status: (*status).to_owned(),
                written_at: NOW - age,
            })
            .collect();
        match seen(&stored, NOW) {
            Seen::Deployed(stored) => format!("v{}", stored.version),
            Seen::AtWork(version, status) => format!("{status} v{version}"),
            Seen::Nothing(last) => format!("nothing {last:?}"),
        }
    }

    #[test]
    fn the_deployed_revision_counts_and_not_the_newest() {
        assert_eq!(of(&[(1, "superseded", 9), (2, "deployed", 5)]), "v2");
        assert_eq!(of(&[(2, "deployed", 5), (3, "failed", 1)]), "v2");
        assert_eq!(of(&[(2, "superseded", 5), (4, "deployed", 1)]), "v4");
        assert_eq!(of(&[]), "nothing None");
        let failed = "nothing Some((1, \"failed\"))";
        assert_eq!(of(&[(1, "failed", 5)]), failed);
    }

    #[test]
    fn while_helm_is_at_work_nothing_is_compared() {
        let upgrade = "pending-upgrade v3";
        assert_eq!(
            of(&[(2, "deployed", 99), (3, "pending-upgrade", 5)]),
            upgrade
        );
        // Between the end of the old revision and that of the upgrade.
        assert_eq!(
            of(&[(2, "superseded", 1), (3, "pending-upgrade", 5)]),
            upgrade
        );
        assert_eq!(of(&[(3, "uninstalling", 1)]), "uninstalling v3");
        assert_eq!(of(&[(1, "pending-install", 1)]), "pending-install v1");
        // One that was interrupted a while ago.
        assert_eq!(
            of(&[(2, "deployed", 9999), (3, "pending-upgrade", 9998)]),
            "v2"
        );
        assert_eq!(of(&[(2, "pending-upgrade", 1), (3, "deployed", 1)]), "v3");
    }
}
