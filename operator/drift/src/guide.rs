//! Tables of the user's guide that are made from code.

use std::path::Path;

/// A page of the guide holds just this between the comments of a name; with `DRIFTLINE_GENERATE` it is written there.
pub(crate) fn holds(page: &str, name: &str, text: &str) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let path = docs.join(page);
    let guide = std::fs::read_to_string(&path).expect(page);
    let begin = format!("<!-- {name}: begin -->\n");
    let end = format!("<!-- {name}: end -->");
    let (before, rest) = guide.split_once(&begin).expect("the beginning");
    let (shown, after) = rest.split_once(&end).expect("the end");
    if std::env::var_os("DRIFTLINE_GENERATE").is_some() {
        std::fs::write(&path, format!("{before}{begin}{text}{end}{after}")).expect("write");
    } else {
        assert_eq!(shown, text, "docs/{page} is stale; run `make generate`");
    }
}
