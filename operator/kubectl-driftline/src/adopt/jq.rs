//! The part of jq that ignore rules are written in: paths, elements of lists, and `select` by equality.

use serde_json::Value;

use super::rules::{checked, field};

/// A path expression of jq as a path of rules.
///
/// # Errors
/// Says why it cannot be written so.
pub fn path(text: &str) -> Result<String, String> {
    let mut parser = Parser {
        rest: text.trim(),
        path: String::new(),
    };
    match parser.run() {
        Ok(()) if parser.path.is_empty() => Err(format!("{text}: names the whole object")),
        Ok(()) => checked(parser.path, text),
        Err(what) => Err(format!(
            "{text}: {what} has no counterpart in rules; name the fields by hand"
        )),
    }
}

struct Parser<'a> {
    rest: &'a str,
    path: String,
}

impl<'a> Parser<'a> {
    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn run(&mut self) -> Result<(), String> {
        self.chain()?;
        loop {
            self.space();
            if self.rest.is_empty() {
                return Ok(());
            }
            if !self.eat("|") {
                return Err(self.what());
            }
            self.space();
            if self.eat("select(") {
                self.select()?;
                self.chain()?;
            } else {
                self.chain()?;
            }
        }
    }

    fn what(&self) -> String {
        let word: String = self.rest.chars().take(24).collect();
        format!("{word:?}")
    }

    /// `.a.b["c"][]?`, each part after the other.
    fn chain(&mut self) -> Result<(), String> {
        loop {
            if self.eat("?") {
                continue;
            }
            if self.rest.starts_with('[') || self.rest.starts_with(".[") {
                self.eat(".");
                self.eat("[");
                self.bracket()?;
            } else if self.rest.starts_with('.') {
                self.eat(".");
                if self.rest.starts_with('"') {
                    let name = self.string()?;
                    field(&mut self.path, &name);
                } else {
                    let name = self.word();
                    match name {
                        "" => {
                            return if self.rest.is_empty() || self.rest.starts_with(' ') {
                                Ok(())
                            } else {
                                Err(self.what())
                            };
                        }
                        name => field(&mut self.path, name),
                    }
                }
            } else {
                return Ok(());
            }
        }
    }

    fn word(&mut self) -> &'a str {
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn string(&mut self) -> Result<String, String> {
        let mut stream = serde_json::Deserializer::from_str(self.rest).into_iter::<Value>();
        match stream.next() {
            Some(Ok(Value::String(text))) => {
                self.rest = self.rest.get(stream.byte_offset()..).unwrap_or_default();
                // jq puts values into such strings.
                if text.contains('\\') {
                    Err(format!("{text:?}"))
                } else {
                    Ok(text)
                }
            }
            _ => Err(self.what()),
        }
    }

    fn bracket(&mut self) -> Result<(), String> {
        self.space();
        if self.eat("]") {
            self.path.push_str("[*]");
            return Ok(());
        }
        if self.rest.starts_with('"') {
            let name = self.string()?;
            field(&mut self.path, &name);
        } else {
            let digits = self.word();
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(format!(
                    "[{digits}{}",
                    self.rest.chars().take(12).collect::<String>()
                ));
            }
            // Lists are told by their keys here: any element is wider, and no element would never match.
            self.path.push_str("[*]");
        }
        self.space();
        if self.eat("]") {
            Ok(())
        } else {
            Err(self.what())
        }
    }

    /// `.name == "x")` after `[]`: the element with this key.
    fn select(&mut self) -> Result<(), String> {
        let whole = format!(
            "\"select({}\"",
            self.rest.chars().take(40).collect::<String>()
        );
        let refused = || whole.clone();
        if !self.path.ends_with("[*]") {
            return Err(refused());
        }
        let mut pairs = Vec::new();
        loop {
            self.space();
            if !self.eat(".") {
                return Err(refused());
            }
            let key = if self.rest.starts_with('"') {
                self.string()?
            } else {
                self.word().to_owned()
            };
            self.eat("?");
            self.space();
            if key.is_empty() || !self.eat("==") {
                return Err(refused());
            }
            self.space();
            let mut stream = serde_json::Deserializer::from_str(self.rest).into_iter::<Value>();
            let value = match stream.next() {
                Some(Ok(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_)))) => value,
                _ => return Err(refused()),
            };
            self.rest = self.rest.get(stream.byte_offset()..).unwrap_or_default();
            pairs.push((key, value));
            self.space();
            if self.eat(")") {
                break;
            }
            if !self.eat("and") {
                return Err(refused());
            }
        }
        self.path.truncate(self.path.len() - "[*]".len());
        let step = drift::path::Step::Select(pairs, 0);
        self.path
            .push_str(&drift::FieldPath(vec![step]).to_string());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ignore_rules_are_made_of_is_translated() {
        for (jq, wanted) in [
            (".spec.replicas", "spec.replicas"),
            (
                ".metadata.annotations[\"example.com/owner\"]",
                r#"metadata.annotations["example.com/owner"]"#,
            ),
            (
                ".metadata.annotations.\"example.com/owner\"",
                r#"metadata.annotations["example.com/owner"]"#,
            ),
            (
                ".webhooks[]?.clientConfig.caBundle",
                "webhooks[*].clientConfig.caBundle",
            ),
            (".webhooks[0].clientConfig", "webhooks[*].clientConfig"),
            (
                ".spec.template.spec.containers[] | select(.name == \"web\") | .image",
                "spec.template.spec.containers[name=web].image",
            ),
            (
                ".spec.template.spec.initContainers[] | select(.name == \"injected\")",
                "spec.template.spec.initContainers[name=injected]",
            ),
            (
                ".spec.ports[] | select(.port == 80 and .protocol == \"TCP\").targetPort",
                "spec.ports[port=80,protocol=TCP].targetPort",
            ),
            (
                ".spec.template.spec.containers[].env[] | select(.name==\"A\").value",
                "spec.template.spec.containers[*].env[name=A].value",
            ),
        ] {
            assert_eq!(path(jq).as_deref(), Ok(wanted), "{jq}");
        }
    }

    #[test]
    fn what_is_more_than_a_path_is_refused() {
        for jq in [
            ".",
            "",
            "..",
            ".spec | keys",
            ".spec.containers[] | select(.name | startswith(\"x\"))",
            ".spec.containers[] | select(.image != \"x\")",
            ".a, .b",
            ".spec.template.spec.containers[] | select(.name == $x)",
            ".data | to_entries[] | .value",
            ".spec[1:2]",
            "del(.spec)",
            ".spec.\"a\\(1)\"",
        ] {
            assert!(path(jq).is_err(), "{jq}: {:?}", path(jq));
        }
    }
}
