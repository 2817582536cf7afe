//! The results: an aligned table and JSON.

use std::path::Path;

use serde::Serialize;

use super::Result;
use super::machine::Machine;

/// One number.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The world it was measured in.
    pub world: String,
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
    /// At most this, where there is a target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// Cores that other programs on the machine kept busy meanwhile.
    pub neighbours: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub machine: Machine,
    pub kubernetes: String,
    pub rows: Vec<Row>,
}

impl Report {
    pub fn begin(machine: Machine) -> Self {
        Self {
            machine,
            kubernetes: String::new(),
            rows: Vec::new(),
        }
    }

    pub fn print_head(&self) {
        let m = &self.machine;
        println!(
            "{} cores, {} GiB, {}, Linux {}",
            m.cores, m.memory_gib, m.processor, m.kernel
        );
        println!("{}, measured by: {}\n", m.driftline, m.command);
    }

    pub fn print_table(&self) {
        println!("\nKubernetes {}", self.kubernetes);
        let mut lines =
            vec![["World", "Measurement", "Value", "Target", "Others' CPU"].map(str::to_owned)];
        let mut before = "";
        for row in &self.rows {
            let world = if row.world == before { "" } else { &row.world };
            before = &row.world;
            let target = row.target.map(|target| {
                let met = if row.value <= target { "met" } else { "MISSED" };
                format!("<= {} {}, {met}", number(target), row.unit)
            });
            lines.push([
                world.to_owned(),
                row.what.clone(),
                format!("{} {}", number(row.value), row.unit),
                target.unwrap_or_default(),
                format!("{:.1} cores", row.neighbours),
            ]);
        }
        let width = |column: usize| {
            let cells = lines.iter().filter_map(|l| l.get(column));
            cells.map(|c| c.chars().count()).max().unwrap_or(0)
        };
        let (w, m, v, t) = (width(0), width(1), width(2), width(3));
        for [world, what, value, target, others] in &lines {
            let line = format!("{world:<w$}  {what:<m$}  {value:>v$}  {target:<t$}  {others}");
            println!("{}", line.trim_end());
        }
    }

    pub fn write_json(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, serde_json::to_vec_pretty(self)?)?;
        Ok(())
    }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 || value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// Percentiles of a set of durations, in milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Sample(Vec<f64>);

impl Sample {
    pub fn add(&mut self, time: std::time::Duration) {
        self.0.push(time.as_secs_f64() * 1000.0);
    }

    /// The value that so large a part (0.5 for the median) does not exceed.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    pub fn at(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (part * sorted.len() as f64).ceil() as usize;
        sorted
            .get(rank.clamp(1, sorted.len().max(1)) - 1)
            .copied()
            .unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut sample = Sample::default();
        (1..=100).for_each(|n| sample.add(Duration::from_millis(n)));
        assert_eq!(
            [0.5, 0.99, 1.0].map(|part| sample.at(part).round()),
            [50.0, 99.0, 100.0]
        );
    }
}
