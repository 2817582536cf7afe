//! The report that people open in a browser: opened in one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use driftline_e2e::{ControlPlane, browser};

use super::support::*;

/// A name that the API server takes, and that a careless page would run.
const HOSTILE: &str = "<img src=x onerror=\"document.title='run'\">";

/// Counts who connects.
struct Counter {
    port: u16,
    seen: Arc<AtomicUsize>,
}

impl Counter {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((_, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, seen }
    }

    /// What the browser asks of anybody while it shows a page.
    async fn asked_for(&self, page: &Path, profile: &Path) -> usize {
        let before = self.seen.load(Ordering::SeqCst);
        let proxy = format!("--proxy-server=http://127.0.0.1:{}", self.port);
        let more = [
            proxy.as_str(),
            "--proxy-bypass-list=<-loopback>",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
        ];
        browser::dom(page, profile, &more).await.unwrap();
        self.seen.load(Ordering::SeqCst) - before
    }
}

/// Measures how each text stands out from what is behind it, by the rule of WCAG 2, and leaves the weak ones on the body.
const CONTRAST: &str = r"(function () {
  const part = v => { v /= 255; return v <= 0.03928 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4) };
  const light = c => 0.2126 * part(c[0]) + 0.7152 * part(c[1]) + 0.0722 * part(c[2]);
  const numbers = text => text.match(/[\d.]+/g).map(Number);
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  function behind(e) {
    for (; e; e = e.parentElement) {
      const c = numbers(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0.99) return c;
    }
    return dark ? [0, 0, 0] : [255, 255, 255];
  }
  const weak = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let count = 0;
  while (texts.nextNode()) {
    const text = texts.currentNode.nodeValue.trim(), e = texts.currentNode.parentElement;
    if (!text || ['SCRIPT', 'STYLE'].includes(e.tagName)) continue;
    count++;
    const a = light(numbers(getComputedStyle(e).color)), b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) weak.push(ratio.toFixed(2) + ' ' + text.slice(0, 30));
  }
  document.body.dataset.result = (dark ? 'dark' : 'light') + ' ' + count + ' texts, weak: ' + weak.join('; ') + '.';
})();";

/// The report, made measurable: with a script, and without the policy that would not let it run.
fn measurable(folder: &Path, html: &str) -> PathBuf {
    let begin = html
        .find("<meta http-equiv=\"Content-Security-Policy\"")
        .unwrap();
    let end = begin + html[begin..].find('>').unwrap() + 1;
    let open = format!("{}{}", &html[..begin], &html[end..]);
    let with_script = open.replace("</body>", &format!("<script>{CONTRAST}</script></body>"));
    let page = folder.join("measured.html");
    std::fs::write(&page, with_script).unwrap();
    page
}

#[tokio::test]
async fn a_browser_shows_it_and_runs_and_fetches_nothing() {
    let plane = ControlPlane::shared().await.unwrap();
    let shop = Shop::new(plane).await;
    let role = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: '{}'}}\nrules: [{{apiGroups: [''], resources: [pods], verbs: [get]}}]\n",
        HOSTILE.replace('\'', "''")
    );
    shop.declare("role.yaml", &role);
    shop.declare(
        "widget.yaml",
        "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n",
    );
    shop.kubectl(&[
        "apply",
        "-f",
        &shop.folder.path().join("role.yaml").to_string_lossy(),
    ])
    .await;
    shop.edit().await;
    let more = r#"[{"op": "add", "path": "/rules/0/verbs/-", "value": "delete"}]"#;
    shop.kubectl(&["patch", "role", HOSTILE, "--type=json", "-p", more])
        .await;
    let html = shop.audit(&["-o", "html"]).await.out;
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("profile");
    let page = folder.path().join("audit.html");
    std::fs::write(&page, &html).unwrap();

    let dom = browser::dom(&page, &profile, &[]).await.unwrap();
    assert!(dom.contains("<title>Drift audit, "), "{dom}");
    assert!(
        dom.contains("&lt;img src=x onerror=\"document.title='run'\"&gt;"),
        "the name is shown as text: {dom}"
    );
    for element in ["<img", "<script", "<iframe", "<link", "<form"] {
        assert!(
            !dom.contains(element),
            "{element} became an element of the page: {dom}"
        );
    }
    for text in [
        "There is drift.",
        "shop/web:hotfix",
        "Not checked",
        "Widget",
    ] {
        assert!(dom.contains(text), "{text} is not shown: {dom}");
    }

    let counter = Counter::start().await;
    assert_eq!(
        counter.asked_for(&page, &profile).await,
        0,
        "the page asks somebody for something"
    );
    let calling = folder.path().join("calling.html");
    std::fs::write(&calling, "<img src=\"http://example.test/x.png\">").unwrap();
    assert!(
        counter.asked_for(&calling, &profile).await > 0,
        "a request would not have been seen"
    );

    let measured = measurable(folder.path(), &html);
    for (scheme, flag) in [("dark", "0"), ("light", "1")] {
        let flag = format!("--blink-settings=preferredColorScheme={flag}");
        let dom = browser::dom(&measured, &profile, &[&flag]).await.unwrap();
        let result = dom
            .split("data-result=\"")
            .nth(1)
            .and_then(|r| r.split('"').next());
        let result = result.unwrap_or_else(|| panic!("nothing was measured: {dom}"));
        assert!(
            result.starts_with(scheme) && result.ends_with("weak: ."),
            "text that is hard to read: {result}"
        );
    }
    let picture = folder.path().join("audit.png");
    browser::picture(&page, &profile, &picture, &[])
        .await
        .unwrap();
    let drawn = std::fs::metadata(&picture).unwrap().len();
    assert!(drawn > 20_000, "an empty picture of {drawn} bytes");
}
