//! The custom resource definitions of other people's controllers, as they publish them: files of their Go modules.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, IoContext, Result};
use crate::tools::Invocation;

/// A file of a module of a version, told by Go's own hash of it.
#[derive(Debug, Clone, Copy)]
pub struct Published {
    module: &'static str,
    version: &'static str,
    sum: &'static str,
    file: &'static str,
}

/// Applications of Argo CD.
pub const APPLICATION: Published = Published {
    module: "github.com/argoproj/argo-cd/v3",
    version: "v3.2.11",
    sum: "h1:3hkR11XCp/nlyM2cWr3qeUSGuZgi3JkFdMpzgL5qOR8=",
    file: "manifests/crds/application-crd.yaml",
};

/// Kustomizations of Flux.
pub const KUSTOMIZATION: Published = Published {
    module: "github.com/fluxcd/kustomize-controller",
    version: "v1.9.5",
    sum: "h1:/XY2zy3K7fntyppEXIHG7oRMzmfgIt50eJzUfaPX1Kc=",
    file: "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",
};

/// Git repositories of Flux.
pub const GIT_REPOSITORY: Published = Published {
    module: "github.com/fluxcd/source-controller",
    version: "v1.9.1",
    sum: "h1:FF8XTxLND/pXzVtUESKURUDiItFJQDZBZkbHvZimN8s=",
    file: "config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml",
};

/// Helm releases of Flux.
pub const HELM_RELEASE: Published = Published {
    module: "github.com/fluxcd/helm-controller",
    version: "v1.6.0",
    sum: "h1:jlS5X11SG26gspubB5aLrdVSCm0q0tA4ULsY+vwSkL0=",
    file: "config/crd/bases/helm.toolkit.fluxcd.io_helmreleases.yaml",
};

/// All of them.
pub const DEPLOYERS: [Published; 4] = [APPLICATION, KUSTOMIZATION, GIT_REPOSITORY, HELM_RELEASE];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    #[serde(default)]
    dir: String,
    #[serde(default)]
    sum: String,
}

impl Published {
    /// The file, in Go's cache of modules; downloaded the first time.
    ///
    /// # Errors
    /// If Go cannot have the module, or it is not the one that was published.
    pub async fn path(&self) -> Result<PathBuf> {
        let module = format!("{}@{}", self.module, self.version);
        let wrong = |reason: String| Error::Start {
            what: format!("the module {module}"),
            reason,
        };
        let folder = tempfile::tempdir().doing("creating a directory in", std::env::temp_dir())?;
        let said = Invocation::new("go")
            .args(["mod", "download", "-json", &module])
            .env("GOFLAGS", "-mod=mod")
            .current_dir(folder.path())
            .deadline(std::time::Duration::from_secs(300))
            .run()
            .await?;
        let downloaded: Downloaded =
            serde_json::from_str(&said).map_err(|e| wrong(format!("go said {said:?}: {e}")))?;
        if downloaded.sum != self.sum {
            return Err(wrong(format!(
                "its hash is {}, and {} is known",
                downloaded.sum, self.sum
            )));
        }
        Ok(Path::new(&downloaded.dir).join(self.file))
    }
}
