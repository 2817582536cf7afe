//! Values that a text gives to names of credentials: `--token=x`, `--token x`, `password: x`, `<password>x</password>`. Where it is not
//! clear how far a value goes, it goes to the end of its line.

use std::ops::Range;

use super::{WITHHELD, is_credential_name};

/// Quotes are counted in lines up to this length.
const LONGEST_LINE: usize = 4096;
/// The longest name of an element.
const LONGEST_NAME: usize = 64;

/// A text with the values of credentials withheld; `None` if there are none.
pub fn without(text: &str) -> Option<String> {
    let mut found = assigned(text);
    found.extend(flags(text));
    found.extend(elements(text));
    found.extend(commands(text));
    found
        .retain(|range| !text[range.clone()].trim().is_empty() && &text[range.clone()] != WITHHELD);
    found.sort_by_key(|range| (range.start, range.end));
    let mut clean = String::with_capacity(text.len());
    let mut kept = 0;
    for range in found {
        if range.start >= kept {
            clean.push_str(&text[kept..range.start]);
            clean.push_str(WITHHELD);
        }
        kept = kept.max(range.end);
    }
    clean.push_str(&text[kept..]);
    (kept > 0).then_some(clean)
}

/// `name=value`, `name: value`, `"name": "value"`.
fn assigned(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut at, mut seen) = (0, 0);
    let mut line = 0..0;
    while let Some(sign) = text[at..].find(['=', ':']).map(|n| at + n) {
        at = sign + 1;
        if let Some(n) = text[seen..sign].rfind('\n') {
            line.start = seen + n + 1;
        }
        if line.end <= sign {
            line.end = text[sign..].find('\n').map_or(text.len(), |n| sign + n);
        }
        seen = sign;
        let before = text[line.start..sign].trim_end_matches(['"', '\'', ' ', '\\']);
        let name = before
            .rfind(|c: char| !(c.is_alphanumeric() || "_.-".contains(c)))
            .map_or(before, |n| {
                before[n..].trim_start_matches(|c: char| !c.is_alphanumeric())
            });
        if !is_credential_name(name) {
            continue;
        }
        let is_colon = text.as_bytes().get(sign) == Some(&b':');
        let after = text[at..].trim_start_matches([' ', '\t']);
        let begin = text.len() - after.len();
        let rest = text.get(begin..line.end).unwrap_or_default();
        let alone = matches!(rest.trim_end(), "" | "|" | ">" | "|-" | ">-" | "|+" | ">+");
        if is_colon && alone {
            found.extend(block(text, line.start, begin));
            continue;
        }
        let is_quoted = after.starts_with(['"', '\'', '\\']);
        if is_colon && begin == at && !is_quoted {
            continue;
        }
        let range = value(text, &line, sign, begin, name);
        at = at.max(range.end.min(text.len()));
        found.push(range);
    }
    found
}

/// The value that begins there.
fn value(text: &str, line: &Range<usize>, sign: usize, begin: usize, name: &str) -> Range<usize> {
    let after = &text[begin..];
    // Quotes within a text that is itself written in quotes.
    if let Some(inner) = after.strip_prefix("\\\"") {
        let end = inner.find("\\\"").unwrap_or(inner.len());
        return begin + 2..begin + 2 + end;
    }
    if let Some(quote @ ('"' | '\'')) = after.chars().next() {
        return begin + 1..begin + 1 + quoted(&after[1..], quote);
    }
    let rest = text.get(begin..line.end).unwrap_or_default();
    // Of a line that is no line any more all is withheld to what comes next.
    let is_line = sign - line.start < LONGEST_LINE;
    let is_open = |quote: char| is_line && text[line.start..sign].matches(quote).count() % 2 == 1;
    let (double, single) = (is_open('"'), is_open('\''));
    let is_header = name.to_ascii_lowercase().contains("authorization");
    let ends = |(n, c): (usize, char)| match c {
        '"' if double => true,
        '\'' if single => true,
        ' ' | '\t' | '&' | ',' | ';' if !is_header => is_next(&rest[n + 1..]),
        _ => false,
    };
    let end = rest
        .char_indices()
        .find(|at| ends(*at))
        .map_or(rest.len(), |(n, _)| n);
    let plain = rest[..end].trim_end_matches([' ', '\t', '\r', '"', '\'', '}', ')', ']', ',']);
    begin..begin + plain.len()
}

/// How far a quoted text goes, whose quote is behind.
fn quoted(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().peekable();
    while let Some((n, c)) = chars.next() {
        match c {
            '\\' if quote == '"' => {
                chars.next();
            }
            // YAML writes a quote in quotes twice.
            '\'' if quote == '\'' && chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                chars.next();
            }
            c if c == quote => return n,
            _ => {}
        }
    }
    text.len()
}

/// True where something else begins: a flag, or another name that is given a value.
fn is_next(text: &str) -> bool {
    let text = text.trim_start_matches([' ', '\t', '"', '\'', '\\']);
    if text.starts_with('-') {
        return true;
    }
    let name = text.find(|c: char| !(c.is_alphanumeric() || "_.-".contains(c)));
    let Some(end) = name.filter(|end| *end > 0) else {
        return false;
    };
    let after = text[end..].trim_start_matches(['"', '\'', '\\']);
    after.starts_with('=') || after.starts_with(": ") || after.starts_with(":\"")
}

/// The lines below a name that stands alone: a value over several lines, or a list of them. Of a mapping each name speaks for itself.
fn block(text: &str, line: usize, begin: usize) -> Option<Range<usize>> {
    let indent = |l: &str| l.len() - l.trim_start_matches([' ', '\t']).len();
    let own = indent(&text[line..]);
    let first = begin + text[begin..].find('\n')? + 1;
    let mut end = first;
    for below in text[first..].split_inclusive('\n') {
        let said = below.trim();
        let within = indent(below) > own || (indent(below) == own && said.starts_with("- "));
        if !said.is_empty() && !within {
            break;
        }
        let item = said.strip_prefix("- ").unwrap_or(said);
        let is_mapping = item.ends_with(':') || (is_next(item) && !item.contains('='));
        if is_mapping {
            return None;
        }
        end += below.len();
    }
    let lines = text[first..end].trim_end();
    let start = first + indent(lines);
    (lines.len() > start - first).then(|| start..first + lines.len())
}

/// Words of a text, and where they are.
fn words(text: &str) -> Vec<Range<usize>> {
    let base = text.as_ptr() as usize;
    text.split_whitespace()
        .map(|word| {
            let at = word.as_ptr() as usize - base;
            at..at + word.len()
        })
        .collect()
}

/// `--token x`.
fn flags(text: &str) -> Vec<Range<usize>> {
    let words = words(text);
    let pairs = words.windows(2).filter_map(|pair| {
        let [flag, value] = pair else { return None };
        let (name, said) = (&text[flag.clone()], &text[value.clone()]);
        let name = name.trim_start_matches(['"', '\'']);
        let is_flag =
            name.starts_with('-') && !name.contains(['=', ':']) && is_credential_name(name);
        (is_flag && !said.starts_with('-')).then(|| value_word(text, value))
    });
    pairs.collect()
}

/// A word, or all that is in quotes from there.
fn value_word(text: &str, word: &Range<usize>) -> Range<usize> {
    match text[word.start..].chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let begin = word.start + 1;
            begin..begin + quoted(&text[begin..], quote)
        }
        _ => word.clone(),
    }
}

/// `<password>x</password>`.
fn elements(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find('<').map(|n| at + n + 1) {
        at = open;
        let close = text.as_bytes()[open..]
            .iter()
            .take(LONGEST_NAME)
            .position(|b| *b == b'>');
        let Some(close) = close.map(|n| open + n) else {
            continue;
        };
        let name = text[open..close]
            .split_whitespace()
            .next()
            .unwrap_or_default();
        let is_plain = name
            .chars()
            .all(|c| c.is_alphanumeric() || "_.-:".contains(c));
        if is_plain && is_credential_name(name) {
            let begin = close + 1;
            let end = text[begin..].find("</").map_or(text.len(), |n| begin + n);
            found.push(begin..end);
            at = end;
        }
    }
    found
}

/// What some programs are given without a name: `curl -u user:x`, `mysql -px`, and the lines of a netrc.
fn commands(text: &str) -> Vec<Range<usize>> {
    let has = |word: &str| text.contains(word);
    let (curl, mysql) = (has("curl") || has("wget"), has("mysql") || has("mariadb"));
    let netrc = has("machine ") && has("login ");
    if !(curl || mysql || netrc) {
        return Vec::new();
    }
    let words = words(text);
    let mut found = Vec::new();
    for (n, range) in words.iter().enumerate() {
        let word = &text[range.clone()];
        let next = words.get(n + 1).map(|r| value_word(text, r));
        if curl && matches!(word, "-u" | "--user" | "--proxy-user") {
            let pair = next
                .clone()
                .and_then(|r| Some(r.start + text[r.clone()].find(':')? + 1..r.end));
            found.extend(pair);
        }
        if mysql && word.starts_with("-p") && !word.starts_with("-p=") && word.len() > 2 {
            found.push(range.start + 2..range.end);
        }
        if netrc && word == "password" {
            found.extend(next);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_goes_as_far_as_it_may() {
        for (text, clean) in [
            ("Authorization: Bearer X", "Authorization: (withheld)"),
            (
                "curl -H \"Authorization: Bearer X\" https://h",
                "curl -H \"Authorization: (withheld)\" https://h",
            ),
            ("password = ab,cd&ef;gh}ij", "password = (withheld)"),
            (
                "password: correct horse battery\nport: 1",
                "password: (withheld)\nport: 1",
            ),
            ("run --token X --host h", "run --token (withheld) --host h"),
            (
                "run --token 'X Y' --host h",
                "run --token '(withheld)' --host h",
            ),
            ("run --token=X --host h", "run --token=(withheld) --host h"),
            ("mysqldump -pX db", "mysqldump -p(withheld) db"),
            (
                "machine h login u password X",
                "machine h login u password (withheld)",
            ),
            (
                "<db><password>X</password><port>1</port></db>",
                "<db><password>(withheld)</password><port>1</port></db>",
            ),
            (
                "curl -u user:X https://h",
                "curl -u user:(withheld) https://h",
            ),
            (
                "password:\n  X\nport: 1",
                "password:\n  (withheld)\nport: 1",
            ),
            (
                "passwords:\n- X\n- Y\nport: 1",
                "passwords:\n(withheld)\nport: 1",
            ),
            (
                "key: |\n  a\nprivateKey: |\n  X\n\n  Y\nb: 1",
                "key: |\n  a\nprivateKey: |\n  (withheld)\nb: 1",
            ),
            (
                "password: 'X''s'\nport: 1",
                "password: '(withheld)'\nport: 1",
            ),
            (
                r#"{"password": "X\"Y", "port": 1}"#,
                r#"{"password": "(withheld)", "port": 1}"#,
            ),
            (
                r#"{\"apiKey\":\"X\",\"port\":1}"#,
                r#"{\"apiKey\":\"(withheld)\",\"port\":1}"#,
            ),
            (
                "https://h/x?access_token=X&b=1",
                "https://h/x?access_token=(withheld)&b=1",
            ),
            (
                "Server=h;Password=X;Port=1",
                "Server=h;Password=(withheld);Port=1",
            ),
            (
                "user=u password=X host=h",
                "user=u password=(withheld) host=h",
            ),
            ("{password: X}", "{password: (withheld)}"),
        ] {
            assert_eq!(without(text).as_deref(), Some(clean), "{text}");
        }
    }

    #[test]
    fn long_texts_take_no_longer_for_it() {
        for (part, count) in [
            ("\"token\":1,", 100_000),
            ("<", 200_000),
            ("token:\n ", 100_000),
            ("a=b ", 200_000),
            ("--token ", 100_000),
        ] {
            without(&part.repeat(count));
        }
    }

    #[test]
    fn what_is_no_value_stays() {
        for text in [
            "secret:\n  secretName: db\n  items: []",
            "secretKeyRef:\n  name: db",
            "tokens per second",
            "password:\nport: 1",
            "--token-file /x",
            "a: 1\nb: 2",
            "<port>1</port>",
            "mysql -h db -P 3306",
        ] {
            assert_eq!(without(text), None, "{text}");
        }
    }
}
