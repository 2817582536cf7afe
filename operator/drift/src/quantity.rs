//! Kubernetes quantities and durations, compared by value.
//!
//! Source: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>. The server stores at most
//! nano precision, rounding up.

use serde_json::Value;

/// Nano units in one.
const NANO_EXPONENT: i32 = 9;

/// The value of a quantity in nano units; `None` if it is not a quantity or does not fit.
pub fn parse(text: &str) -> Option<i128> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let negative = text.starts_with('-');
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > 30 {
        return None;
    }
    let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let scale = i32::try_from(fraction.len()).ok()?;
    let (power10, power2) = unit(suffix)?;
    let mut value = digits.checked_mul(1_i128.checked_shl(power2)?)?;
    let exponent = power10.checked_add(NANO_EXPONENT)?.checked_sub(scale)?;
    if exponent >= 0 {
        value = value.checked_mul(10_i128.checked_pow(exponent.unsigned_abs())?)?;
    } else {
        let divisor = 10_i128.checked_pow(exponent.unsigned_abs())?;
        value = value / divisor + i128::from(value % divisor != 0);
    }
    Some(if negative { -value } else { value })
}

/// Powers of ten and of two that a suffix stands for.
fn unit(suffix: &str) -> Option<(i32, u32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (-9, 0),
        "u" => (-6, 0),
        "m" => (-3, 0),
        "k" => (3, 0),
        "M" => (6, 0),
        "G" => (9, 0),
        "T" => (12, 0),
        "P" => (15, 0),
        "E" => (18, 0),
        "Ki" => (0, 10),
        "Mi" => (0, 20),
        "Gi" => (0, 30),
        "Ti" => (0, 40),
        "Pi" => (0, 50),
        "Ei" => (0, 60),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            if exponent.is_empty() || exponent.len() > 4 {
                return None;
            }
            (exponent.parse().ok()?, 0)
        }
    })
}

/// True if two values are the same quantity; numbers are quantities too.
pub fn equal(a: &Value, b: &Value) -> bool {
    let read = |v: &Value| match v {
        Value::String(s) => parse(s),
        Value::Number(n) => parse(&n.to_string()),
        _ => None,
    };
    match (read(a), read(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// The length of a Go duration (`1h30m`, `1.5s`) in nanoseconds; `None` if it is none.
pub fn parse_duration(text: &str) -> Option<i128> {
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_i128;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_end);
        let nanos: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if number.len() > 20 || (whole.is_empty() && fraction.is_empty()) || fraction.contains('.')
        {
            return None;
        }
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
        total = total.checked_add(digits.checked_mul(nanos)? / scale)?;
        rest = next;
    }
    Some(if negative { -total } else { total })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn spellings_of_one_value_are_equal() {
        for (a, b) in [
            (json!("0.5"), json!("500m")),
            (json!(1), json!("1000m")),
            (json!("1024Mi"), json!("1Gi")),
            (json!("1.5Gi"), json!("1536Mi")),
            (json!(134_217_728), json!("128Mi")),
            (json!("1e3"), json!("1k")),
            (json!(1e9), json!("1G")),
            (json!("0.1n"), json!("1n")),
            (json!("+1"), json!("1.")),
        ] {
            assert!(equal(&a, &b), "{a} {b}");
        }
        for (a, b) in [
            (json!("1G"), json!("1Gi")),
            (json!("1"), json!("-1")),
            (json!("1"), json!("1x")),
            (json!("x"), json!("y")),
        ] {
            assert!(!equal(&a, &b), "{a} {b}");
        }
    }

    #[test]
    fn durations_are_read_as_go_does() {
        assert_eq!(parse_duration("1h30m"), parse_duration("90m0s"));
        assert_eq!(parse_duration("1.5s"), parse_duration("1500ms"));
        assert_eq!(parse_duration("60m"), parse_duration("1h"));
        for bad in ["", "1", "1x", "h", "1..5s"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = parse(&text);
            let _ = parse_duration(&text);
        }

        #[test]
        fn milli_is_a_thousandth(n in 0_i64..1_000_000_000) {
            prop_assert_eq!(parse(&format!("{}m", i128::from(n) * 1000)), parse(&n.to_string()));
        }
    }
}
