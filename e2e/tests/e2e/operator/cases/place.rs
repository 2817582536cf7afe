//! Who changed what a record tells of, when, and where that is declared: what each record of plain YAML has to say besides.

use drift::path::{FieldPath, Step};
use serde_json::Value;

use super::FILE;

/// Everything that is wrong about these open records of what `declared` declares.
pub(super) fn judge(open: &[Value], declared: &str) -> Vec<String> {
    let lines: Vec<&str> = declared.lines().collect();
    let wrong = |record: &Value| {
        let told = of_record(&record["status"], &lines).err()?;
        Some(format!(
            "{}: {told}",
            record["status"]["display"]["subject"]
        ))
    };
    open.iter().filter_map(wrong).collect()
}

fn of_record(status: &Value, lines: &[&str]) -> Result<(), String> {
    let at = &status["declaredAt"];
    let said = |right: bool, what: &str| right.then_some(()).ok_or(format!("{what}: {status}"));
    said(at["file"] == FILE, "another file")?;
    let document = at["document"].as_u64().unwrap_or_default();
    let line = at["line"].as_u64().unwrap_or_default();
    said(
        is_in_document(lines, line, document),
        "no such line in this document",
    )?;
    said(status["firstSeen"].is_string(), "since when is not said")?;
    let none = Vec::new();
    let fields = status["fields"].as_array().unwrap_or(&none);
    let mut declared = fields.iter().filter(|f| f["change"] != "Added").peekable();
    if let Some(first) = declared.peek() {
        said(
            at["line"] == first["line"],
            "not the line of the first field",
        )?;
        said(status["origin"] == "LiveEdited", "another origin")?;
    }
    for field in fields {
        let by = field["by"]["evidence"].as_str().unwrap_or_default();
        let known = ["Stamp", "ManagedFields", "None"].contains(&by);
        let right = known && field["since"].is_string();
        right.then_some(()).ok_or(format!("who or when: {field}"))?;
    }
    for field in declared {
        let line = field["line"].as_u64().unwrap_or_default();
        let right = field["origin"] == "LiveEdited" && holds(lines, line, &field["path"]);
        right
            .then_some(())
            .ok_or(format!("origin or line: {field}"))?;
    }
    Ok(())
}

/// Whether a line, counted from 1, is in a document, counted from 1. Documents begin where a line of dashes ends the one before.
fn is_in_document(lines: &[&str], line: u64, document: u64) -> bool {
    let Some(before) = usize::try_from(line).ok().and_then(|n| lines.get(..n)) else {
        return false;
    };
    let mut number = 0;
    let mut is_open = false;
    for text in before {
        if text.starts_with("---") {
            is_open = false;
        } else if !text.trim().is_empty() && !text.starts_with('#') && !is_open {
            is_open = true;
            number += 1;
        }
    }
    line > 0 && number == document
}

/// Whether a line is the one on which the last step of a path is written, as far as that shows.
fn holds(lines: &[&str], line: u64, path: &Value) -> bool {
    let Some(path) = path.as_str().and_then(|p| p.parse::<FieldPath>().ok()) else {
        return false;
    };
    let at = usize::try_from(line).unwrap_or_default();
    let Some(text) = at.checked_sub(1).and_then(|n| lines.get(n)) else {
        return false;
    };
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match path.0.last() {
        Some(Step::Field(name)) => text.contains(name.as_str()),
        Some(Step::Member(value)) => text.contains(&plain(value)),
        // Its keys need not be what an element begins with.
        Some(Step::Select(pairs, _)) => {
            let element = lines.get(at - 1..).unwrap_or_default().iter().take(20);
            let element: Vec<&str> = element.copied().collect();
            let element = element.join("\n");
            let first = pairs.first();
            first.is_some_and(|(_, value)| element.contains(&plain(value)))
        }
        Some(Step::Index(_) | Step::AnyMember) => true,
        None => false,
    }
}
