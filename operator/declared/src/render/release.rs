//! A release as Helm stored it: `base64(gzip(JSON))`, of which the manifest is read and nothing else.
//!
//! The format is that of Helm 3 and 4 (`helm.sh/release.v1`, storage/driver/util.go).

use std::io::Read as _;

use base64::Engine as _;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;

use super::helm::is_hook;
use super::objects::Collector;
use crate::error::{Category, Error, one_line};
use crate::request::{ReleaseRequest, RenderItem, RenderSummary, Renderer};

const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];

#[derive(Deserialize)]
struct Release {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    version: u32,
    #[serde(default)]
    info: Info,
    /// Hooks are not in it.
    #[serde(default)]
    manifest: String,
}

#[derive(Default, Deserialize)]
struct Info {
    #[serde(default)]
    status: String,
}

/// Streams the objects of a stored release.
///
/// # Errors
/// `Limit` if it is larger than the limit when unpacked; `Render` if it is not a release, or another than was asked for.
pub(crate) fn release(
    request: &ReleaseRequest,
    send: &mut dyn FnMut(RenderItem) -> bool,
) -> Result<RenderSummary, Error> {
    let at = format!(
        "helm release {}/{}",
        one_line(&request.namespace, 63),
        one_line(&request.name, 63)
    );
    let broken =
        |what: &str| Error::new(Category::Render, format!("{at} v{}", request.version), what);
    let packed = base64::engine::general_purpose::STANDARD
        .decode(request.stored.trim())
        .map_err(|_| broken("is not stored as Helm does: its data is not base64"))?;
    let text = if packed.starts_with(&GZIP) {
        unpack(&packed, request.limits.file_bytes, &at)?
    } else {
        packed
    };
    // What serde_json says may quote its input, and there are values in it.
    let release: Release = serde_json::from_slice(&text)
        .map_err(|_| broken("is not stored as Helm does: its data is not a release"))?;
    drop(text);
    let is_it = (&release.name, &release.namespace, release.version)
        == (&request.name, &request.namespace, request.version);
    if !is_it || release.info.status != "deployed" {
        return Err(broken(
            "is another release, or in another state, than its labels say: it was changed by hand; roll out anew with helm upgrade",
        ));
    }
    let mut collector = Collector::new(send, &request.namespace, request.limits.output_bytes);
    for object in collector.rendered(&release.manifest, |_| at.clone()) {
        if !is_hook(&object) {
            collector.object(object)?;
        }
    }
    collector.finish();
    Ok(RenderSummary {
        renderer: Renderer::Release,
        objects: collector.objects,
        problems: collector.problems,
    })
}

fn unpack(packed: &[u8], limit: u64, at: &str) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    let read = MultiGzDecoder::new(packed)
        .take(limit.saturating_add(1))
        .read_to_end(&mut text);
    if read.is_err() {
        let what = "is not stored as Helm does: its data cannot be unpacked";
        return Err(Error::new(Category::Render, at, what));
    }
    if text.len() as u64 > limit {
        let what = format!("is larger than {} MiB when unpacked", limit >> 20);
        return Err(Error::new(Category::Limit, at, what));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde_json::json;

    use super::*;
    use crate::request::RenderLimits;

    fn packed(text: &[u8]) -> String {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(text).unwrap();
        base64::engine::general_purpose::STANDARD.encode(gzip.finish().unwrap())
    }

    fn read(stored: String) -> Result<Vec<String>, Error> {
        let request = ReleaseRequest {
            stored,
            namespace: "shop".into(),
            name: "web".into(),
            version: 3,
            limits: RenderLimits::default(),
        };
        let mut seen = Vec::new();
        release(&request, &mut |item| {
            if let RenderItem::Object(object) = item {
                seen.push(format!("{} {}", object.provenance, object.name().unwrap()));
            }
            true
        })
        .map(|_| seen)
    }

    fn stored(change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
        let manifest = "---\n# Source: web/templates/a.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n# Source: web/templates/b.yaml\napiVersion: v1\nkind: Pod\nmetadata: {name: b, annotations: {helm.sh/hook: test}}\n";
        let mut release = json!({"name": "web", "namespace": "shop", "version": 3, "info": {"status": "deployed"}, "config": {"password": "canary"},
            "hooks": [{"manifest": "kind: Job"}], "manifest": manifest});
        change(&mut release);
        release.to_string().into_bytes()
    }

    #[test]
    fn the_manifest_is_read_and_hooks_are_left_out() {
        let expected = ["helm release shop/web a"];
        assert_eq!(read(packed(&stored(|_| {}))).unwrap(), expected);
        let plain = base64::engine::general_purpose::STANDARD.encode(stored(|_| {}));
        assert_eq!(read(plain).unwrap(), expected, "as before Helm packed them");
        assert!(
            read(packed(&stored(|r| r["manifest"] = json!(""))))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn what_is_no_release_or_another_one_is_refused_without_its_content() {
        let bomb = packed(&vec![b' '; 40 << 20]);
        assert!(bomb.len() < 100_000);
        assert_eq!(read(bomb).unwrap_err().category(), Category::Limit);
        let another = |change: fn(&mut serde_json::Value)| packed(&stored(change));
        for bad in [
            "canary!".to_owned(),
            packed(b"canary"),
            packed(b"{\"name\": 1, \"x\": \"canary\"}"),
            base64::engine::general_purpose::STANDARD.encode([0x1f, 0x8b, 0x08, 1, 2, 3]),
            another(|r| r["name"] = json!("db")),
            another(|r| r["namespace"] = json!("kube-system")),
            another(|r| r["version"] = json!(4)),
            another(|r| r["info"]["status"] = json!("failed")),
        ] {
            let error = read(bad).unwrap_err();
            assert_eq!(error.category(), Category::Render, "{error}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
