//! The secret that signs media links.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};

const BYTES: usize = 32;
/// Beside the recordings, outside what the API serves. Who can read it there can read the recordings without it.
const OBJECT: &str = "link-secret";

/// Of an installation that shares its storage: any process with the API understands the links of any other.
pub(super) async fn of_storage(storage: &Arc<dyn ObjectStore>) -> anyhow::Result<Vec<u8>> {
    let path = object_store::path::Path::from(OBJECT);
    let fresh = fresh_secret()?;
    // Of several processes that start at once, one makes it.
    match storage.put_opts(&path, PutPayload::from(fresh), PutMode::Create.into()).await {
        Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
        Err(error) => return Err(error).context("writing the link secret into the storage"),
    }
    let read = async { storage.get(&path).await?.bytes().await };
    let secret = read.await.context("reading the link secret from the storage")?;
    anyhow::ensure!(
        secret.len() == BYTES,
        "{OBJECT} in the storage is damaged: remove it, and links given out before stop working"
    );
    Ok(secret.to_vec())
}

fn fresh_secret() -> anyhow::Result<Vec<u8>> {
    let mut secret = vec![0_u8; BYTES];
    getrandom::fill(&mut secret).context("making the link secret")?;
    Ok(secret)
}

/// Of one process: made once, readable by the server's user only.
pub(super) fn of_directory(data: &Path) -> anyhow::Result<Vec<u8>> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = data.join("link-secret");
    match std::fs::read(&path) {
        Ok(secret) if secret.len() == BYTES => return Ok(secret),
        Ok(_) => anyhow::bail!("{} is damaged: remove it, and links given out before stop working", path.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    }
    let secret = fresh_secret()?;
    let fresh = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .with_context(|| format!("writing {}", fresh.display()))?;
    file.write_all(&secret).and_then(|()| file.sync_all()).context("writing the link secret")?;
    std::fs::rename(&fresh, &path).context("putting the link secret in place")?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_with_the_storage_has_the_same() {
        let storage: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
        let (a, b) = tokio::join!(of_storage(&storage), of_storage(&storage));
        assert_eq!((a.as_ref().unwrap().len(), a.as_ref().unwrap()), (BYTES, b.as_ref().unwrap()));
        storage.put(&OBJECT.into(), PutPayload::from("short")).await.unwrap();
        assert!(of_storage(&storage).await.unwrap_err().to_string().contains("damaged"));
    }
}
