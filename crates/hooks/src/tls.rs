//! The one TLS configuration for outgoing connections: ring, TLS 1.2 and 1.3, Mozilla's roots.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// A client configuration that needs no process-wide crypto provider.
#[must_use]
pub fn client_config() -> ClientConfig {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
