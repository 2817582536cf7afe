//! Credentials that are known by their form, wherever they stand and whatever they are called. No ordinary value has such a form.

use super::WITHHELD;

/// How they begin, and how many letters, digits, `_` and `-` follow at least.
///
/// Sources: <https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github#githubs-token-formats>,
/// <https://docs.gitlab.com/security/tokens/#token-prefixes>, <https://docs.slack.dev/authentication/tokens>, <https://docs.stripe.com/keys>,
/// <https://docs.cloud.google.com/docs/authentication/api-keys>.
const TOKENS: [(&str, usize); 16] = [
    ("AIza", 35),
    ("ghp_", 36),
    ("gho_", 36),
    ("ghr_", 36),
    ("ghs_", 36),
    ("ghu_", 36),
    ("github_pat_", 36),
    ("glpat-", 20),
    ("glrt-", 20),
    ("rk_live_", 16),
    ("rk_test_", 16),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("xapp-", 20),
    ("xoxb-", 20),
    ("xoxp-", 20),
];

/// Around a private key in PEM: `-----BEGIN RSA PRIVATE KEY-----` to `-----END`.
const KEY_BEGINS: &str = "PRIVATE KEY-----";
const KEY_ENDS: &str = "-----END";

/// A text with such credentials withheld; `None` if there are none.
pub(super) fn without_tokens(text: &str) -> Option<String> {
    let mut clean = String::new();
    let mut kept = 0;
    while let Some((begin, end)) = next(text, kept) {
        clean.push_str(&text[kept..begin]);
        clean.push_str(WITHHELD);
        kept = end;
    }
    clean.push_str(&text[kept..]);
    (kept > 0).then_some(clean)
}

/// True for what ends in `-----BEGIN RSA `, with any kind of key.
fn is_opened(text: &str) -> bool {
    text.rfind("-----")
        .is_some_and(|at| text[at..].starts_with("-----BEGIN "))
}

/// Begin and end of the next one at or after `from`.
fn next(text: &str, from: usize) -> Option<(usize, usize)> {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let mut at = from;
    let mut before = text[..from].chars().next_back();
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let key = rest.strip_prefix(KEY_BEGINS);
        if let Some(key) = key.filter(|k| !k.is_empty() && is_opened(&text[..at])) {
            let begin = text.len() - key.len();
            let length = key.find(KEY_ENDS).unwrap_or(key.len());
            if !text[begin..].starts_with(WITHHELD) {
                return Some((begin, begin + length));
            }
        }
        if !before.is_some_and(is_inside) {
            let is_begun = |(begin, _): &&(&str, usize)| rest.starts_with(begin);
            if let Some((begin, least)) = TOKENS.iter().find(is_begun) {
                let length = rest.find(|c| !is_inside(c)).unwrap_or(rest.len());
                if length >= begin.len() + least {
                    return Some((at, at + length));
                }
            }
        }
        before = Some(c);
        at += c.len_utf8();
    }
    None
}
