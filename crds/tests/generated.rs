//! The YAML beside this crate is what `make generate` writes.

use std::path::Path;

fn yaml(definition: &impl serde::Serialize) -> String {
    let text = serde_saphyr::to_string(definition).expect("serialise");
    format!("# Generated from crds/src by `make generate`; do not edit.\n{text}")
}

#[test]
fn yaml_is_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let write = std::env::var_os("DRIFTLINE_GENERATE").is_some();
    for (name, definition) in driftline_crds::definitions() {
        let path = folder.join(name);
        let text = yaml(&definition);
        if write {
            std::fs::write(&path, &text).expect("write");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "{name} is stale; run `make generate`");
    }
}
