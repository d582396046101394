//! Kubernetes: of several pods that could go, those with the lower deletion cost do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use url::Url;

use super::{CALL, Protection, client, variable};

const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The pod that this process is in. Its service account has to be allowed to `patch` it.
#[derive(Debug)]
pub(super) struct Kubernetes {
    pod: Url,
    /// Read each time: tokens are replaced long before they end.
    token: PathBuf,
    http: reqwest::Client,
}

impl Kubernetes {
    /// None outside of a cluster, or if the pod does not know its name (`POD_NAME`, `POD_NAMESPACE`) or has no account.
    pub(super) fn from_environment() -> anyhow::Result<Option<Self>> {
        let Some(host) = variable("KUBERNETES_SERVICE_HOST") else { return Ok(None) };
        let account = Path::new(ACCOUNT);
        let (Some(pod), Some(namespace)) = (variable("POD_NAME"), variable("POD_NAMESPACE")) else {
            tracing::info!("POD_NAME or POD_NAMESPACE is not set: this pod's deletion cost is not kept");
            return Ok(None);
        };
        let token = account.join("token");
        if !token.exists() {
            tracing::info!("this pod has no service account: its deletion cost is not kept");
            return Ok(None);
        }
        let port = variable("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let server = Url::parse(&format!("https://{host}:{port}/")).context("KUBERNETES_SERVICE_HOST")?;
        Self::new(&server, [&namespace, &pod], token, Some(&account.join("ca.crt"))).map(Some)
    }

    pub(super) fn new(
        server: &Url,
        [namespace, pod]: [&str; 2],
        token: PathBuf,
        authority: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let mut url = server.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(["api", "v1", "namespaces", namespace, "pods", pod]);
        }
        let http = match authority {
            Some(file) => {
                let builder = reqwest::Client::builder().tls_backend_preconfigured(trusting(file)?);
                builder.no_proxy().timeout(CALL).build().context("the HTTP client cannot be built")?
            }
            None => client(server)?,
        };
        Ok(Self { pod: url, token, http })
    }
}

/// The cluster's own authority, and no other.
fn trusting(authority: &Path) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let wrong = || format!("reading {}", authority.display());
    for certificate in CertificateDer::pem_file_iter(authority).with_context(wrong)? {
        roots.add(certificate.with_context(wrong)?).with_context(wrong)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[async_trait]
impl Protection for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    async fn tell(&self, bots: u32) -> anyhow::Result<()> {
        let token = tokio::fs::read_to_string(&self.token).await.context("the token of the service account")?;
        // Without the annotation its cost is 0.
        let cost = (bots > 0).then(|| bots.to_string());
        let patch = json!({"metadata": {"annotations": {ANNOTATION: cost}}});
        let request = self.http.patch(self.pod.clone()).bearer_auth(token.trim());
        let request = request.header("content-type", "application/merge-patch+json").body(patch.to_string());
        let status = request.send().await?.status();
        anyhow::ensure!(status.is_success(), "the API server answered {status}: `patch` on `pods` is needed");
        Ok(())
    }
}
