//! Values that are written in several ways: which texts mean the same, and other texts for a value.

use fastrand::Rng;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::openapi::{Node, Shape};

/// True where two live values mean the same, although they are not written alike.
pub fn same_meaning(node: Option<&Node>, a: &Value, b: &Value) -> bool {
    if a == b {
        return true;
    }
    let by_number =
        |a: &Value, b: &Value| a.is_number() && canonical_number(a) == canonical_number(b);
    match node.map(Node::shape) {
        Some(Shape::Quantity) => milli_nano(a).is_some() && milli_nano(a) == milli_nano(b),
        Some(Shape::Time | Shape::MicroTime) => instant(a).is_some() && instant(a) == instant(b),
        _ => by_number(a, b),
    }
}

fn canonical_number(value: &Value) -> Option<String> {
    value.is_number().then(|| super::path::canonical(value))
}

fn instant(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// A quantity in billionths, from the table of suffixes in the API's documentation.
fn milli_nano(value: &Value) -> Option<i128> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    const SUFFIXES: [(&str, i128, i128); 16] = [
        ("Ki", 1 << 10, 1),
        ("Mi", 1 << 20, 1),
        ("Gi", 1 << 30, 1),
        ("Ti", 1 << 40, 1),
        ("Pi", 1 << 50, 1),
        ("Ei", 1 << 60, 1),
        ("n", 1, 1_000_000_000),
        ("u", 1, 1_000_000),
        ("m", 1, 1_000),
        ("k", 1_000, 1),
        ("M", 1_000_000, 1),
        ("G", 1_000_000_000, 1),
        ("T", 1_000_000_000_000, 1),
        ("P", 1_000_000_000_000_000, 1),
        ("E", 1_000_000_000_000_000_000, 1),
        ("", 1, 1),
    ];
    let (number, times, over) = SUFFIXES
        .iter()
        .find_map(|(suffix, times, over)| Some((text.strip_suffix(suffix)?, *times, *over)))?;
    let (number, power) = match number.split_once(['e', 'E']) {
        Some((number, power)) => (number, power.parse::<i32>().ok()?),
        None => (number, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let ten = 10_i128.checked_pow(power.unsigned_abs())?;
    let (times, over) = match power {
        0.. => (times.checked_mul(ten)?, over),
        _ => (times, over.checked_mul(ten)?),
    };
    let nano = digits.checked_mul(times)?.checked_mul(1_000_000_000)?;
    // The server rounds up what is smaller than a billionth.
    let parts = scale.checked_mul(over)?;
    Some(nano / parts + i128::from(nano % parts != 0))
}

/// A random quantity, not in the form in which the server writes it.
pub fn quantity(rng: &mut Rng) -> Value {
    let n = rng.u32(1..2000);
    match rng.u8(0..16) {
        0 => json!(format!("{n}m")),
        1 => json!(format!("{n}Mi")),
        2 => json!(n),
        3 => json!(format!("0.{}", rng.u8(1..100))),
        4 => json!(format!("{}k", n)),
        5 => json!(format!("{}.5Gi", n % 50)),
        6 => json!(format!("{}e3", n % 90 + 1)),
        7 => json!(format!("{}", u64::from(n) * 1_048_576)),
        8 => json!(format!("{}e-3", n)),
        9 => json!(format!(".{n}")),
        10 => json!(format!("{n}.")),
        11 => json!(format!("+{n}")),
        12 => json!(format!("{}E2", n % 90)),
        13 => json!(format!("0.00000000{n}")),
        14 => json!(format!("{}Ti", n % 20)),
        _ => json!(format!("{}", n * 1000)),
    }
}

/// Another text for the same value, where there is one.
pub fn respell(shape: &Shape, value: &Value, rng: &mut Rng) -> Option<Value> {
    match shape {
        Shape::Quantity => {
            let nano = milli_nano(value)?;
            let whole = (nano % 1_000_000_000 == 0).then_some(nano / 1_000_000_000);
            let ways = [
                whole.map(|n| json!(n.to_string())),
                whole
                    .filter(|n| *n < 1 << 50)
                    .map(|n| json!(format!("{n}000m"))),
                whole
                    .filter(|n| n % 1024 == 0 && *n > 0)
                    .map(|n| json!(format!("{}Ki", n / 1024))),
                whole.and_then(|n| i64::try_from(n).ok()).map(|n| json!(n)),
                (nano % 1_000_000 == 0).then(|| json!(format!("{}m", nano / 1_000_000))),
            ];
            let ways: Vec<Value> = ways.into_iter().flatten().filter(|w| w != value).collect();
            rng.choice(ways)
        }
        Shape::MicroTime => {
            let text = value.as_str()?.strip_suffix('Z')?;
            Some(json!(format!("{text}000Z")))
        }
        Shape::Integer => value
            .as_i64()
            .filter(|n| n.unsigned_abs() < 1 << 50)
            .map(|n| {
                #[allow(clippy::cast_precision_loss)]
                let float = n as f64;
                json!(float)
            }),
        Shape::Time => {
            let text = value.as_str()?.strip_suffix('Z')?;
            let at: Timestamp = format!("{text}Z").parse().ok()?;
            let later = Timestamp::from_second(at.as_second() + 2 * 3600).ok()?;
            Some(json!(later.to_string().replace('Z', "+02:00")))
        }
        Shape::Bytes => {
            let text = value.as_str()?;
            (text.len() > 8).then(|| json!(format!("{}\n{}", &text[..8], &text[8..])))
        }
        _ => None,
    }
}
