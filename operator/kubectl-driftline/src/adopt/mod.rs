//! `adopt`: DriftPolicies for what Argo CD and Flux deploy, to be reviewed and committed. Only reads the cluster.

mod argocd;
mod draft;
mod flux;
mod jq;
mod repository;
mod rules;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use cluster::discovery::Catalog;
use drift::GroupKind;
use driftline_crds::DriftPolicy;
use kube::api::{DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, ResourceExt as _};
use serde_json::Value;

use crate::connect::Cluster;
use crate::failure::{Failure, Result};
use crate::options::AdoptOptions;
use crate::output::words;
use crate::paint::Paint;
use crate::progress::Progress;
use draft::Draft;

/// Something that is no policy afterwards.
pub struct Skipped {
    /// For example `Application argocd/shop`.
    pub from: String,
    /// Why.
    pub why: String,
}

/// What was made of all that was found.
#[derive(Default)]
struct Adopted {
    drafts: Vec<Draft>,
    skipped: Vec<Skipped>,
    /// Why it is not known which of these policies are in the cluster already.
    unread: Option<String>,
}

/// Not everything could be translated.
const IN_PART: u8 = 2;

/// Writes the policies. Gives the exit code.
///
/// # Errors
/// Where the cluster cannot be read, or a file is there already.
pub async fn run(cluster: &Cluster, options: &AdoptOptions, paint: Paint) -> Result<u8> {
    let progress = Progress::new(false);
    progress.say("reading what Argo CD and Flux deploy");
    let result = adopt(cluster, options).await;
    progress.clear();
    let mut adopted = result?;
    match there(cluster, &options.policy_namespace).await {
        Ok(there) => tell_there(&mut adopted.drafts, &there, &options.policy_namespace),
        Err(why) => adopted.unread = Some(why),
    }
    if adopted.drafts.is_empty() && adopted.skipped.is_empty() {
        return Err(Failure::new(
            format!(
                "there is no Application of Argo CD and no Kustomization or HelmRelease of Flux{}",
                place(cluster, options)
            ),
            "look into all namespaces with -A, or write a policy: docs/policy.md",
        ));
    }
    let texts = adopted
        .drafts
        .iter()
        .map(|d| Ok((format!("{}.yaml", d.name), d.yaml(options)?)))
        .collect::<Result<Vec<(String, String)>>>()?;
    match &options.output_dir {
        Some(folder) => {
            if !options.dry_run {
                write(folder, &texts, options.force)?;
            }
            crate::print(&summary(&adopted, Some(folder), options, paint));
        }
        None => {
            let documents: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
            crate::print(&documents.join("---\n"));
            use std::io::Write as _;
            let text = summary(
                &adopted,
                None,
                options,
                Paint::new(crate::paint::When::Never),
            );
            let _ = write!(std::io::stderr(), "{text}");
        }
    }
    if adopted.drafts.is_empty() {
        return Err(Failure::new(
            format!(
                "nothing was written: all {} that were found were skipped",
                adopted.skipped.len()
            ),
            "the lines above say why each of them was",
        ));
    }
    let whole = adopted.skipped.is_empty() && adopted.drafts.iter().all(|d| d.left_out.is_empty());
    Ok(if whole { 0 } else { IN_PART })
}

/// The names of the policies that are in a namespace already; none where the cluster knows no policies.
async fn there(cluster: &Cluster, namespace: &str) -> std::result::Result<HashSet<String>, String> {
    let api: Api<DriftPolicy> = Api::namespaced(cluster.client.clone(), namespace);
    match api.list_metadata(&ListParams::default()).await {
        Ok(found) => Ok(found.items.iter().map(|p| p.name_any()).collect()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(HashSet::new()),
        Err(error) => Err(Failure::of_kube("list driftpolicies", &error)
            .what()
            .to_owned()),
    }
}

/// Applying a draft changes a policy of its name, whoever wrote that.
fn tell_there(drafts: &mut [Draft], there: &HashSet<String>, namespace: &str) {
    for draft in drafts.iter_mut().filter(|d| there.contains(&d.name)) {
        draft.hints.push(format!(
            "DriftPolicy {namespace}/{} is in the cluster already: applying this changes it; compare first with kubectl diff -f, or give this one another name",
            draft.name
        ));
    }
}

fn place(cluster: &Cluster, options: &AdoptOptions) -> String {
    let namespace = match options.all_namespaces {
        true => String::new(),
        false => format!(" in namespace {}", cluster.namespace),
    };
    match &options.selector {
        Some(selector) => format!("{namespace} with labels {selector}"),
        None => namespace,
    }
}

async fn adopt(cluster: &Cluster, options: &AdoptOptions) -> Result<Adopted> {
    let catalog = Catalog::read(&cluster.client)
        .await
        .map_err(|e| Failure::of_cluster(&e))?;
    let reader = Reader {
        cluster,
        catalog: &catalog,
        options,
    };
    let mut adopted = Adopted::default();
    let applications = reader
        .all("argoproj.io", "Application", true, &mut adopted)
        .await?;
    for application in &applications {
        argocd::adopt(
            application,
            &cluster.server,
            &mut adopted.drafts,
            &mut adopted.skipped,
        );
    }
    let group = "kustomize.toolkit.fluxcd.io";
    let kustomizations = reader
        .all(group, "Kustomization", true, &mut adopted)
        .await?;
    if !kustomizations.is_empty() {
        let group = "source.toolkit.fluxcd.io";
        let repositories = reader
            .all(group, "GitRepository", false, &mut adopted)
            .await?;
        for kustomization in &kustomizations {
            match flux::kustomization(kustomization, &repositories) {
                Ok(draft) => adopted.drafts.push(draft),
                Err(skipped) => adopted.skipped.push(skipped),
            }
        }
    }
    let group = "helm.toolkit.fluxcd.io";
    for release in &reader.all(group, "HelmRelease", true, &mut adopted).await? {
        match flux::helm_release(release) {
            Ok(draft) => adopted.drafts.push(draft),
            Err(skipped) => adopted.skipped.push(skipped),
        }
    }
    name(&mut adopted.drafts);
    Ok(adopted)
}

struct Reader<'a> {
    cluster: &'a Cluster,
    catalog: &'a Catalog,
    options: &'a AdoptOptions,
}

impl Reader<'_> {
    /// The objects of a kind; none where it is not served. `scoped` ones by namespace and labels as asked, the others all that may be read.
    async fn all(
        &self,
        group: &str,
        kind: &str,
        scoped: bool,
        adopted: &mut Adopted,
    ) -> Result<Vec<Value>> {
        let versions = self.catalog.versions(&GroupKind::new(group, kind));
        // `v1` before `v1beta2`, `v2` before `v1`.
        let newest = versions
            .into_iter()
            .min_by_key(|k| (k.version.len(), std::cmp::Reverse(k.version.clone())));
        let Some((gvk, resource)) =
            newest.and_then(|k| Some((k.clone(), self.catalog.resource(&k)?)))
        else {
            return Ok(Vec::new());
        };
        let kube_kind = GroupVersionKind::gvk(group, &gvk.version, kind);
        let resource = ApiResource::from_gvk_with_plural(&kube_kind, &resource.plural);
        let client = self.cluster.client.clone();
        let everywhere: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let home: Api<DynamicObject> =
            Api::namespaced_with(client, &self.cluster.namespace, &resource);
        let api = match scoped && !self.options.all_namespaces {
            true => &home,
            false => &everywhere,
        };
        let selector = self.options.selector.as_deref().filter(|_| scoped);
        let mut found = list(api, selector).await;
        if found.is_err() && !scoped {
            found = list(&home, selector).await;
        }
        match found {
            Ok(found) => Ok(found),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                adopted.skipped.push(Skipped {
                    from: format!("all of kind {kind}"),
                    why: format!("you may not read them: {}", status.message),
                });
                Ok(Vec::new())
            }
            Err(error) => Err(Failure::of_kube(
                &format!("list {}", resource.plural),
                &error,
            )),
        }
    }
}

async fn list(api: &Api<DynamicObject>, selector: Option<&str>) -> kube::Result<Vec<Value>> {
    let mut found = Vec::new();
    let mut parameters = ListParams::default().limit(500);
    if let Some(selector) = selector {
        parameters = parameters.labels(selector);
    }
    loop {
        let page = api.list(&parameters).await?;
        for object in page.items {
            // What is on its way out is not adopted.
            if object.metadata.deletion_timestamp.is_none() {
                found.push(serde_json::to_value(object).map_err(kube::Error::SerdeError)?);
            }
        }
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => parameters = parameters.continue_token(&next),
            None => return Ok(found),
        }
    }
}

/// Gives each draft a name of its own: that of where it comes from, with namespace and kind before it where two would have the same.
fn name(drafts: &mut [Draft]) {
    type Way = fn(&Draft) -> String;
    let ways: [Way; 3] = [
        |d| d.origin.name.clone(),
        |d| format!("{}-{}", d.origin.namespace, d.origin.name),
        |d| {
            format!(
                "{}-{}-{}",
                d.origin.kind.to_ascii_lowercase(),
                d.origin.namespace,
                d.origin.name
            )
        },
    ];
    for way in ways {
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for draft in drafts.iter() {
            *count
                .entry(draft::policy_name(&way(draft), draft.part))
                .or_default() += 1;
        }
        let taken: HashSet<String> = drafts
            .iter()
            .map(|d| d.name.clone())
            .filter(|n| !n.is_empty())
            .collect();
        for draft in drafts.iter_mut().filter(|d| d.name.is_empty()) {
            let name = draft::policy_name(&way(draft), draft.part);
            if count.get(&name) == Some(&1) && !taken.contains(&name) {
                draft.name = name;
            }
        }
    }
    for (number, draft) in drafts
        .iter_mut()
        .enumerate()
        .filter(|(_, d)| d.name.is_empty())
    {
        draft.name = draft::policy_name(
            &format!("adopted-{number}-{}", draft.origin.name),
            draft.part,
        );
    }
}

/// Nothing is written where any of them is there already.
fn write(folder: &Path, texts: &[(String, String)], force: bool) -> Result<()> {
    let failed = |path: &Path, e: std::io::Error| {
        Failure::new(
            format!("{} cannot be written: {e}", path.display()),
            "choose another folder with --output-dir",
        )
    };
    std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
    if !force && let Some((file, _)) = texts.iter().find(|(file, _)| folder.join(file).exists()) {
        return Err(Failure::new(
            format!(
                "{} is there already; nothing was written",
                folder.join(file).display()
            ),
            "choose another --output-dir, or write over what is there with --force",
        ));
    }
    for (file, text) in texts {
        let path = folder.join(file);
        std::fs::write(&path, text).map_err(|e| failed(&path, e))?;
    }
    Ok(())
}

fn summary(
    adopted: &Adopted,
    folder: Option<&Path>,
    options: &AdoptOptions,
    paint: Paint,
) -> String {
    let mut text = String::new();
    let mut say = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    for draft in &adopted.drafts {
        let place = match folder {
            Some(folder) => folder
                .join(format!("{}.yaml", draft.name))
                .display()
                .to_string(),
            None => format!("DriftPolicy {}", draft.name),
        };
        say(&format!(
            "{}  from {}",
            paint.bold(&place),
            words::clean(&draft.from())
        ));
        for left in &draft.left_out {
            say(&format!(
                "  {} {}",
                paint.warn("not translated:"),
                words::clean(left)
            ));
        }
        for hint in &draft.hints {
            say(&format!("  {} {}", paint.dim("to do:"), words::clean(hint)));
        }
    }
    for skipped in &adopted.skipped {
        say(&format!(
            "{} {}: {}",
            paint.warn("skipped"),
            words::clean(&skipped.from),
            words::clean(&skipped.why)
        ));
    }
    if let Some(why) = &adopted.unread {
        say(&format!(
            "{} it is not known which of these policies are in the cluster already: {}",
            paint.warn("!"),
            words::clean(why)
        ));
    }
    let in_part = adopted
        .drafts
        .iter()
        .filter(|d| !d.left_out.is_empty())
        .count();
    let verb = if options.dry_run {
        "would be written"
    } else {
        "written"
    };
    say(&format!(
        "\n{} {verb}, {in_part} of them translated in part, {} skipped.",
        words::count(
            u32::try_from(adopted.drafts.len()).unwrap_or(u32::MAX),
            "policy"
        )
        .replace("policys", "policies"),
        adopted.skipped.len()
    ));
    if let (Some(folder), false, false) = (folder, options.dry_run, adopted.drafts.is_empty()) {
        say(&format!(
            "Review them, commit them, then try: kubectl apply --dry-run=server -f {}",
            folder.display()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use draft::Origin;

    fn draft(kind: &'static str, namespace: &str, name: &str, part: usize) -> Draft {
        let mut draft = Draft::new(Origin {
            tool: "Flux",
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        });
        draft.part = part;
        draft
    }

    #[test]
    fn policies_of_the_same_name_are_told_apart() {
        let mut drafts = vec![
            draft("Application", "argocd", "shop", 0),
            draft("Kustomization", "flux", "shop", 0),
            draft("HelmRelease", "flux", "shop", 0),
            draft("Application", "argocd", "web", 0),
            draft("Application", "argocd", "web", 1),
            draft("Application", "argocd", "Ein.Name", 0),
        ];
        name(&mut drafts);
        let names: Vec<&str> = drafts.iter().map(|d| d.name.as_str()).collect();
        let wanted = [
            "argocd-shop",
            "kustomization-flux-shop",
            "helmrelease-flux-shop",
            "web",
            "web-2",
            "ein-name",
        ];
        assert_eq!(names, wanted);
    }

    #[test]
    fn a_policy_that_is_there_is_said() {
        let mut drafts = vec![
            draft("Application", "argocd", "shop", 0),
            draft("Application", "argocd", "web", 0),
        ];
        name(&mut drafts);
        tell_there(&mut drafts, &HashSet::from(["web".to_owned()]), "teams");
        assert!(drafts[0].hints.is_empty());
        assert!(drafts[1].hints[0].starts_with("DriftPolicy teams/web is in the cluster already"));
    }

    #[test]
    fn nothing_is_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let texts = [
            ("a.yaml".to_owned(), "a".to_owned()),
            ("b.yaml".to_owned(), "b".to_owned()),
        ];
        std::fs::write(folder.path().join("b.yaml"), "mine").expect("written");
        let refused = write(folder.path(), &texts, false).expect_err("refused");
        assert!(
            refused.what().contains("b.yaml is there already"),
            "{refused}"
        );
        assert!(!folder.path().join("a.yaml").exists());
        write(folder.path(), &texts, true).expect("written");
        assert_eq!(
            std::fs::read_to_string(folder.path().join("b.yaml")).expect("read"),
            "b"
        );
    }
}
