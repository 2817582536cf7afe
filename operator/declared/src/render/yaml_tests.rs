//! What kubectl does with YAML, fact by fact.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read(text: &str) -> Value {
    parse(text)
        .unwrap_or_else(|e| panic!("{text:?}: {e:?}"))
        .unwrap_or_else(|| panic!("{text:?} is empty"))
        .into_value(0)
        .0
}

#[test]
fn booleans_are_those_of_yaml_1_1() {
    for (text, value) in [
        ("yes", true),
        ("on", true),
        ("No", false),
        ("off", false),
        ("y", true),
        ("n", false),
        ("True", true),
    ] {
        assert_eq!(read(&format!("a: {text}")), json!({"a": value}), "{text}");
        assert_eq!(
            read(&format!("a: \"{text}\"")),
            json!({"a": text}),
            "quoted {text}"
        );
    }
}

#[test]
fn keys_become_what_kubectl_makes_of_them() {
    assert_eq!(
        read("on: 1\nn: 2\n5: 3\n\"yes\": 4"),
        json!({"true": 1, "false": 2, "5": 3, "yes": 4})
    );
}

#[test]
fn numbers_are_those_of_yaml_1_1() {
    for (text, value) in [
        ("0644", json!(420)),
        ("0o755", json!(493)),
        ("0755", json!(493)),
        ("1_0", json!(10)),
        ("1_000", json!(1000)),
        ("0x1F", json!(31)),
        ("3.0", json!(3)),
        ("1e9", json!(1_000_000_000)),
        ("-1", json!(-1)),
        ("1.5", json!(1.5)),
        ("0b11", json!(3)),
        ("9223372036854775807", json!(i64::MAX)),
        ("18446744073709551615", json!(u64::MAX)),
        ("0.1", json!(0.1)),
        ("099", json!(99)),
        ("08", json!(8)),
    ] {
        assert_eq!(read(&format!("a: {text}")), json!({"a": value}), "{text}");
    }
    assert!(read("a: 123456789012345678901234567890")["a"].is_f64());
    for text in ["1.2.3", "10m", "1Gi", "0644x", "1:30", "12:30:45", "1_0x"] {
        assert_eq!(read(&format!("a: {text}")), json!({"a": text}), "{text}");
    }
    assert!(parse("a: .inf").is_err() && parse("a: .nan").is_err());
}

#[test]
fn dates_and_nulls() {
    for text in [
        "2001-01-01",
        "2001-12-14t21:59:43.10-05:00",
        "2001-12-14 21:59:43",
    ] {
        assert_eq!(read(&format!("a: {text}")), json!({"a": text}));
    }
    assert_eq!(
        read("a:\nb: ~\nc: null\nd: ''"),
        json!({"a": null, "b": null, "c": null, "d": ""})
    );
}

#[test]
fn merges_and_aliases() {
    assert_eq!(
        read("b: &b {x: 1, w: 2}\na:\n  <<: *b\n  w: 3"),
        json!({"b": {"x": 1, "w": 2}, "a": {"x": 1, "w": 3}})
    );
    assert_eq!(
        read("b: &b {x: 1}\nc: &c {x: 2, z: 3}\na:\n  <<: [*b, *c]"),
        json!({"b": {"x": 1}, "c": {"x": 2, "z": 3}, "a": {"x": 1, "z": 3}})
    );
    assert_eq!(
        read("a: &a [1, 2]\nb: *a"),
        json!({"a": [1, 2], "b": [1, 2]})
    );
}

#[test]
fn duplicate_keys_are_refused_by_line() {
    for text in [
        "a: 1\nb: 2\na: 3",
        "on: 1\nb: 2\n\"true\": 3",
        "{\"a\": 1, \"a\": 2}",
    ] {
        let error = parse(text).expect_err(text);
        assert!(!error.limit);
    }
    assert_eq!(parse("a: 1\nb: 2\na: 3").unwrap_err().line, 3);
}

#[test]
fn block_scalars_and_tags() {
    assert_eq!(
        read("a: |\n  x\n  y\nb: >-\n  x\n  y"),
        json!({"a": "x\ny\n", "b": "x y"})
    );
    assert_eq!(
        read("a: !!str 1\nb: !!int \"2\"\nc: !custom x"),
        json!({"a": "1", "b": 2, "c": "x"})
    );
    assert_eq!(read("a: !!binary aGVsbG8="), json!({"a": "hello"}));
}

#[test]
fn json_is_read_as_json() {
    assert_eq!(
        read("{\"a\": \"\\ud83d\\ude00\\/\", \"b\": \"yes\", \"c\": 3.0,\n\t\"d\": [true, null]}"),
        json!({"a": "😀/", "b": "yes", "c": 3, "d": [true, null]})
    );
    assert_eq!(
        read("{a: yes}"),
        json!({"a": true}),
        "flow style that is no JSON"
    );
}

#[test]
fn bombs_end_in_a_clear_error() {
    // A job gives the parser this much stack as well.
    std::thread::Builder::new()
        .stack_size(crate::render::STACK_BYTES)
        .spawn(bombs)
        .unwrap()
        .join()
        .unwrap();
}

fn bombs() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        bomb.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            [alias.as_str(); 9].join(", ")
        ));
    }
    let error = parse(&bomb).unwrap_err();
    assert!(error.limit, "aliases: {error:?}");
    let wide = format!(
        "a: &a \"{}\"\nb: [{}]\n",
        "x".repeat(1 << 20),
        "*a, ".repeat(40_000)
    );
    let error = parse(&wide).unwrap_err();
    assert!(error.limit, "one large scalar, many aliases: {error:?}");
    assert!(
        parse(&format!("a: {}1{}", "[".repeat(5000), "]".repeat(5000))).is_err(),
        "flow depth"
    );
    assert!(
        parse(
            &(0..5000)
                .map(|i| format!("{}a:\n", " ".repeat(i)))
                .collect::<String>()
        )
        .is_err(),
        "block depth"
    );
    assert!(
        parse(&format!(
            "{{\"a\": {}1{}}}",
            "[".repeat(5000),
            "]".repeat(5000)
        ))
        .is_err(),
        "JSON depth"
    );
    assert!(parse("a: &a\n  b: *a").is_err(), "a circle");
    assert!(
        parse(&format!("a: {}1{}", "[".repeat(90), "]".repeat(90))).is_ok(),
        "deep, but not too deep"
    );
}

#[test]
fn errors_hold_nothing_of_the_text() {
    for text in [
        "password: canary: canary",
        "a: [canary",
        "a: 'canary",
        "a: *canary",
        "a: {canary: 1, canary: 2}",
        "a: \"\\qcanary\"",
        "a: !!int canary",
        "a: !!binary %canary%",
        "? [canary]\n: 1",
    ] {
        let error = parse(text).expect_err(text);
        assert!(
            !format!("{error:?}").contains("canary"),
            "{text:?}: {error:?}"
        );
    }
}

#[test]
fn files_are_cut_into_documents() {
    let cut = |text: &str| {
        documents(text)
            .map(|d| (d.line, read(d.text)))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        cut("a: 1\n---\nb: 2\n"),
        [(1, json!({"a": 1})), (2, json!({"b": 2}))]
    );
    assert_eq!(
        cut("# c\n---\n\n---\na: 1\n---\n# only\n---"),
        [(4, json!({"a": 1}))]
    );
    assert_eq!(
        cut("%YAML 1.1\n---\na: 1\n...\n---\nb: 2\n"),
        [(1, json!({"a": 1})), (5, json!({"b": 2}))]
    );
    assert_eq!(
        cut("--- # c\na: |\n  ---\n  x\n--- {b: 2}\n"),
        [(1, json!({"a": "---\nx\n"})), (5, json!({"b": 2}))]
    );
    assert_eq!(
        cut("a: 1\r\n---\r\nb: 2\r\n"),
        [(1, json!({"a": 1})), (2, json!({"b": 2}))]
    );
    assert_eq!(
        cut("\u{feff}a: ---x\n---x: 1\n").len(),
        1,
        "neither is a marker"
    );
    assert!(cut("").is_empty() && cut("# only\n").is_empty());
    assert_eq!(parse("null").unwrap(), None);
    assert_eq!(parse("--- ~\n").unwrap(), None);
}

#[test]
fn lines_are_those_of_keys_and_items() {
    let text = "b:\n  - x\n  - w: 1\n    z: >\n      long\na:\n\n  k: v\n";
    let (value, lines) = parse(text).unwrap().unwrap().into_value(10);
    assert_eq!(
        value,
        json!({"a": {"k": "v"}, "b": ["x", {"w": 1, "z": "long\n"}]})
    );
    // root, a, a.k, b, b[0], b[1], b[1].w, b[1].z
    assert_eq!(lines, [11, 16, 18, 11, 12, 13, 13, 14]);
}

/// A value written one node a line, so that its lines are known.
fn write(value: &Value, indent: usize, text: &mut String, lines: &mut Vec<u32>, line: &mut u32) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, member) in members {
                text.push_str(&format!(
                    "{}{}:\n",
                    " ".repeat(indent),
                    serde_json::to_string(key).unwrap()
                ));
                lines.push(*line);
                *line += 1;
                write(member, indent + 2, text, lines, line);
            }
        }
        scalar => {
            text.push_str(&format!(
                "{}{}\n",
                " ".repeat(indent),
                serde_json::to_string(scalar).unwrap()
            ));
            *line += 1;
        }
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~äß]{0,8}".prop_map(Value::from),
        Just(Value::Null)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ -~]{0,6}", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect()))
        ]
    })
}

fn maps() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::from),
        "[ -~]{1,8}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop::collection::btree_map("[ -~]{0,6}", inner, 1..4)
            .prop_map(|m| Value::Object(m.into_iter().collect()))
    })
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(nodes).sum(),
        Value::Object(members) => members.values().map(nodes).sum(),
        _ => 0,
    }
}

proptest! {
    #[test]
    fn json_reads_as_itself_and_every_node_has_a_line(value in values()) {
        let text = serde_json::to_string_pretty(&json!({"root": value})).unwrap();
        let (read, lines) = parse(&text).unwrap().unwrap().into_value(0);
        prop_assert_eq!(&read["root"], &value);
        prop_assert_eq!(lines.len(), nodes(&read));
    }

    #[test]
    fn each_member_has_the_line_of_its_key(value in maps()) {
        let value = json!({"root": value});
        let (mut text, mut expected, mut line) = (String::new(), vec![1], 1);
        write(&value, 0, &mut text, &mut expected, &mut line);
        let (read, lines) = parse(&text).unwrap().unwrap().into_value(0);
        prop_assert_eq!(read, value);
        prop_assert_eq!(lines, expected);
    }

    #[test]
    fn no_text_is_a_panic(text in "\\PC{0,80}") {
        for document in documents(&text) {
            let _ = parse(document.text);
        }
    }
}
