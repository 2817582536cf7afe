//! What a run of the differential test found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::path::Field;

/// The sum of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// The kinds that are to be tried.
    pub kinds: BTreeSet<String>,
    /// Objects compared, by kind.
    pub objects: BTreeMap<String, usize>,
    /// Comparisons made.
    pub comparisons: usize,
    /// Changes that the server took.
    pub mutations: usize,
    /// Changes that the server refused.
    pub refused: usize,
    /// Expected objects that the server refused to make, by kind.
    pub unanswered: BTreeMap<String, usize>,
    /// Fields that had to be reported and were.
    pub found: usize,
    /// Fields reported that are as declared.
    pub wrong: usize,
    /// Fields not reported that are not as declared.
    pub missed: usize,
    /// Kinds without a template.
    pub without_template: BTreeSet<String>,
    /// Kinds of which no object came into being, with the last refusal.
    pub not_made: BTreeMap<String, String>,
    /// Requests to the API server.
    pub requests: u64,
    /// The comparisons that were not right.
    pub mismatches: Vec<Mismatch>,
    /// What the server said to objects and changes that it did not take.
    pub refusals: Vec<String>,
}

/// A comparison that was not right, with all that is needed to see it again.
#[derive(Debug)]
pub struct Mismatch {
    /// The kind.
    pub kind: String,
    /// The seed of the object.
    pub seed: u64,
    /// How it was deployed and what was done to it.
    pub history: Vec<String>,
    /// The declared object.
    pub declared: Value,
    /// The live object while it was as declared.
    pub before: Value,
    /// The live object.
    pub live: Value,
    /// The server's answer to a dry-run creation.
    pub expected: Value,
    /// What had to be reported and was not.
    pub missed: Vec<Field>,
    /// What was reported and should not have been.
    pub wrong: Vec<Field>,
}

impl Report {
    /// Reported fields that are right, of all reported.
    pub fn precision(&self) -> f64 {
        share(self.found, self.wrong)
    }

    /// Drifted fields that are reported, of all drifted.
    pub fn recall(&self) -> f64 {
        share(self.found, self.missed)
    }

    /// Adds up.
    pub fn add(&mut self, other: Self) {
        for (kind, n) in other.objects {
            *self.objects.entry(kind).or_default() += n;
        }
        for (kind, n) in other.unanswered {
            *self.unanswered.entry(kind).or_default() += n;
        }
        self.comparisons += other.comparisons;
        self.mutations += other.mutations;
        self.refused += other.refused;
        self.found += other.found;
        self.wrong += other.wrong;
        self.missed += other.missed;
        self.without_template.extend(other.without_template);
        self.not_made.extend(other.not_made);
        self.mismatches.extend(other.mismatches);
        self.refusals.extend(other.refusals);
    }

    /// True where no kind was left out.
    pub fn has_all_kinds(&self) -> bool {
        self.left_out().next().is_none()
    }

    /// The kinds of which nothing was compared, for whichever reason.
    fn left_out(&self) -> impl Iterator<Item = &String> {
        let compared = |kind: &&String| self.objects.contains_key(*kind);
        self.kinds.iter().filter(move |kind| !compared(kind))
    }
}

#[allow(clippy::cast_precision_loss)]
fn share(right: usize, not: usize) -> f64 {
    match right + not {
        0 => 1.0,
        all => right as f64 / all as f64,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects: usize = self.objects.values().sum();
        writeln!(f, "kinds         {}", self.objects.len())?;
        writeln!(f, "objects       {objects}")?;
        writeln!(f, "comparisons   {}", self.comparisons)?;
        writeln!(
            f,
            "mutations     {} ({} more were refused by the server)",
            self.mutations, self.refused
        )?;
        writeln!(f, "drifted       {}", self.found + self.missed)?;
        writeln!(
            f,
            "precision     {:.4} ({} wrong)",
            self.precision(),
            self.wrong
        )?;
        writeln!(
            f,
            "recall        {:.4} ({} missed)",
            self.recall(),
            self.missed
        )?;
        writeln!(f, "requests      {}", self.requests)?;
        if !self.unanswered.is_empty() {
            let kinds: Vec<String> = self
                .unanswered
                .iter()
                .map(|(k, n)| format!("{k} {n}"))
                .collect();
            writeln!(
                f,
                "no expected object could be asked for: {}",
                kinds.join(", ")
            )?;
        }
        for kind in &self.without_template {
            writeln!(
                f,
                "NO TEMPLATE: {kind}; add one to e2e/src/differential/templates.yaml"
            )?;
        }
        for kind in self.left_out() {
            let refusal = self.not_made.get(kind).map_or("", String::as_str);
            writeln!(f, "NO OBJECT of {kind}: {refusal}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "== {} seed {}", self.kind, self.seed)?;
        for step in &self.history {
            writeln!(f, "   {step}")?;
        }
        for field in &self.missed {
            writeln!(f, " - not reported: {field}")?;
        }
        for field in &self.wrong {
            writeln!(f, " - wrongly reported: {field}")?;
        }
        writeln!(f, "declared: {}", self.declared)?;
        writeln!(f, "before:   {}", without_managers(&self.before))?;
        writeln!(f, "live:     {}", without_managers(&self.live))?;
        writeln!(f, "expected: {}", without_managers(&self.expected))
    }
}

fn without_managers(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_was_not_reached_passed_for_one_that_was_compared() {
        let mut report = Report {
            kinds: ["v1/Pod", "v1/Secret"].map(str::to_owned).into(),
            ..Report::default()
        };
        report.objects.insert("v1/Pod".to_owned(), 1);
        assert!(!report.has_all_kinds());
        assert!(report.to_string().contains("NO OBJECT of v1/Secret"));
        report.objects.insert("v1/Secret".to_owned(), 1);
        assert!(report.has_all_kinds());
    }
}
