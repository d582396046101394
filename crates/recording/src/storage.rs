//! Opening the place where recordings are kept.

use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, parse_url_opts};
use url::Url;

use crate::Error;

/// Opens `file:///directory` (which is made) or `s3://bucket/prefix`. Paths in the store are relative to what the URL
/// names.
///
/// S3 takes the usual `AWS_…` environment variables: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
/// `AWS_REGION`, and `AWS_ENDPOINT_URL` for other servers that speak S3. No connection is made yet.
pub fn open(url: &Url) -> Result<Arc<dyn ObjectStore>, Error> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    open_with(url, std::env::vars_os().filter_map(text))
}

/// As [`open`], with the environment as an argument.
pub fn open_with(
    url: &Url,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Arc<dyn ObjectStore>, Error> {
    match url.scheme() {
        "file" => open_directory(url),
        "s3" if url.has_host() => open_s3(url, environment),
        _ => Err(refused(url)),
    }
}

fn open_directory(url: &Url) -> Result<Arc<dyn ObjectStore>, Error> {
    let path = url.to_file_path().map_err(|()| refused(url))?;
    std::fs::create_dir_all(&path).map_err(|source| Error::Directory { path: path.display().to_string(), source })?;
    // Deleting a recording leaves no empty directories behind.
    Ok(Arc::new(LocalFileSystem::new_with_prefix(path)?.with_automatic_cleanup(true)))
}

fn open_s3(url: &Url, environment: impl IntoIterator<Item = (String, String)>) -> Result<Arc<dyn ObjectStore>, Error> {
    let mut options: Vec<(String, String)> =
        environment.into_iter().filter(|(name, _)| name.starts_with("AWS_")).collect();
    // Whoever names an endpoint without TLS means it.
    if options.iter().any(|(name, value)| name.starts_with("AWS_ENDPOINT") && value.starts_with("http://")) {
        options.push(("AWS_ALLOW_HTTP".to_owned(), "true".to_owned()));
    }
    let (store, prefix) = parse_url_opts(url, options)?;
    Ok(if prefix.as_ref().is_empty() { Arc::from(store) } else { Arc::new(PrefixStore::new(store, prefix)) })
}

/// True if what is stored may be had later as it is: the storage is out of reach, full, or refuses whoever asks. What it does not
/// have, or cannot do, is not mended by waiting.
#[must_use]
pub fn is_transient(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    matches!(error, E::Generic { .. } | E::PermissionDenied { .. } | E::Unauthenticated { .. })
}

fn refused(url: &Url) -> Error {
    let mut url = url.clone();
    let _ = url.set_password(None);
    let _ = url.set_username("");
    Error::Url { url: url.to_string() }
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;
    use object_store::{ObjectStoreExt, PutPayload};

    use super::*;

    #[tokio::test]
    async fn a_directory_is_made_and_paths_are_below_it() {
        let dir = tempfile::tempdir().unwrap();
        let url = Url::from_directory_path(dir.path().join("new/media")).unwrap();
        let store = open(&url).unwrap();
        store.put(&Path::from("a/b"), PutPayload::from_static(b"x")).await.unwrap();
        assert_eq!(std::fs::read(dir.path().join("new/media/a/b")).unwrap(), b"x");
        store.delete(&Path::from("a/b")).await.unwrap();
        assert!(!dir.path().join("new/media/a").exists());
    }

    #[test]
    fn s3_urls_open_without_a_connection() {
        let vars = [
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"),
            ("PATH", "/bin"),
        ];
        let vars = || vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let store = open_with(&Url::parse("s3://bucket/some/prefix").unwrap(), vars()).unwrap();
        let shown = format!("{store:?} {store}");
        assert!(shown.contains("some/prefix") && shown.contains("127.0.0.1:9000"), "{shown}");
        assert!(!shown.contains("secret\""), "{shown}");
        open_with(&Url::parse("s3://bucket").unwrap(), []).unwrap();
    }

    #[test]
    fn what_the_storage_does_not_have_is_not_waited_for() {
        use object_store::Error as E;
        let why = || "why".into();
        let path = || "a/b".to_owned();
        assert!(is_transient(&E::Generic { store: "file", source: why() }), "no space left");
        assert!(is_transient(&E::PermissionDenied { path: path(), source: why() }));
        assert!(is_transient(&E::Unauthenticated { path: path(), source: why() }));
        assert!(!is_transient(&E::NotFound { path: path(), source: why() }));
        assert!(!is_transient(&E::NotSupported { source: why() }));
    }

    #[test]
    fn other_urls_are_refused_without_telling_secrets() {
        for url in ["gs://bucket/x", "https://user:word@example.com/x", "memory:///", "s3:///x"] {
            let error = open_with(&Url::parse(url).unwrap(), []).unwrap_err();
            assert!(matches!(error, Error::Url { .. }), "{url}: {error}");
            assert!(!error.to_string().contains("word"), "{error}");
        }
    }
}
