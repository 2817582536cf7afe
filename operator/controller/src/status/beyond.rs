//! What a target's status says of objects that nobody declares, besides their number. Pure.

use std::collections::BTreeMap;

use drift::GroupKind;

use crate::policy::PolicyKey;

/// How many of those that declare objects are named.
const NAMED: usize = 3;

/// What stands in the way of telling objects that nobody declares, and what is left out.
#[derive(Debug, Clone, Default)]
pub struct Beyond {
    /// Kinds asked about that the cluster does not serve.
    pub unserved: Vec<GroupKind>,
    /// Secrets are asked about, and live ones are not read.
    pub secrets: bool,
    /// What Argo CD and Flux list is not known yet.
    pub tools_unknown: bool,
    /// A policy of which it is not known what it declares.
    pub undecided: Option<PolicyKey>,
    /// The first kind of owner that cannot be read, and of how many objects.
    pub unread: Option<(GroupKind, u32)>,
    /// Who else declares objects, and how many.
    pub left_out: BTreeMap<String, u32>,
}

impl Beyond {
    /// What keeps objects from being told, and what to do about it: reason and message.
    pub fn failing(&self) -> Option<(&'static str, String)> {
        if let Some(kind) = self.unserved.first() {
            let more = match self.unserved.len() {
                0 | 1 => String::new(),
                n => format!(" (and {} more)", n - 1),
            };
            return Some((
                "KindNotServed",
                format!(
                    "undeclared.objects: the cluster serves no {kind}{more}; install its definition, or correct the kind"
                ),
            ));
        }
        if self.secrets {
            return Some((
                "NotCompared",
                "undeclared.objects: Secrets are not read, because the operator was started without --compare-secrets (secrets.compareLive of the chart); set that, or take Secret out".to_owned(),
            ));
        }
        if let Some((kind, count)) = &self.unread {
            return Some((
                "OwnerUnreadable",
                format!(
                    "undeclared.objects: whether the owner of {} lives cannot be told, because the operator may not read {kind}; add it to the chart's read rights (read.customResources)",
                    objects(*count)
                ),
            ));
        }
        if let Some(policy) = &self.undecided {
            return Some((
                "PolicyUndecided",
                format!(
                    "undeclared.objects: not told yet, because it is not known what policy {policy} declares; see its conditions, and mend or delete it"
                ),
            ));
        }
        self.tools_unknown.then(|| {
            (
                "Listing",
                "undeclared.objects: not told yet, because what Argo CD and Flux declare is still being listed".to_owned(),
            )
        })
    }

    /// Who else declares what is left out.
    pub fn left_out(&self) -> Option<String> {
        let sum: u32 = self.left_out.values().sum();
        if sum == 0 {
            return None;
        }
        let mut most: Vec<(&String, &u32)> = self.left_out.iter().collect();
        most.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let mut named: Vec<String> = most
            .iter()
            .take(NAMED)
            .map(|(by, count)| format!("{count} by {by}"))
            .collect();
        let rest: u32 = most.iter().skip(NAMED).map(|(_, count)| **count).sum();
        if rest > 0 {
            named.push(format!("{rest} by others"));
        }
        let verb = if sum == 1 { "is" } else { "are" };
        Some(format!(
            "undeclared.objects: {} {verb} declared elsewhere: {}",
            objects(sum),
            named.join(", ")
        ))
    }
}

fn objects(count: u32) -> String {
    match count {
        1 => "1 object".to_owned(),
        n => format!("{n} objects"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_else_declares_objects_is_named_and_cut() {
        let left_out = |all: &[(&str, u32)]| {
            let left_out = all.iter().map(|(by, n)| ((*by).to_owned(), *n)).collect();
            let beyond = Beyond {
                left_out,
                ..Beyond::default()
            };
            assert_eq!(beyond.failing(), None);
            beyond.left_out()
        };
        assert_eq!(left_out(&[]), None);
        assert_eq!(
            left_out(&[("policy ops/base", 1)]).as_deref(),
            Some("undeclared.objects: 1 object is declared elsewhere: 1 by policy ops/base")
        );
        let many = [("a", 1), ("b", 4), ("c", 1), ("d", 2), ("e", 1)];
        let said = left_out(&many).unwrap_or_default();
        assert!(
            said.ends_with("9 objects are declared elsewhere: 4 by b, 2 by d, 1 by a, 2 by others"),
            "{said}"
        );
    }

    #[test]
    fn what_cannot_be_looked_at_is_said_with_what_to_do() {
        let unserved = Beyond {
            unserved: vec![GroupKind::new("apps", "Deploymant")],
            ..Beyond::default()
        };
        let (reason, message) = unserved.failing().expect("failing");
        assert_eq!(reason, "KindNotServed");
        assert!(message.contains("apps/Deploymant"), "{message}");
        let secrets = Beyond {
            secrets: true,
            ..Beyond::default()
        };
        assert!(
            secrets
                .failing()
                .is_some_and(|f| f.1.contains("--compare-secrets"))
        );
    }
}
