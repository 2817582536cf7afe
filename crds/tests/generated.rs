//! The YAML beside this crate is what `make generate` writes.

use std::path::Path;

#[test]
fn yaml_is_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let write = std::env::var_os("DRIFTLINE_GENERATE").is_some();
    for (name, definition) in driftline_crds::definitions() {
        let path = folder.join(name);
        let yaml = serde_saphyr::to_string(&definition).expect("serialise");
        let text = format!("# Generated from crds/src by `make generate`; do not edit.\n{yaml}");
        if write {
            std::fs::write(&path, &text).expect("write");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "{name} is stale; run `make generate`");
    }
}
