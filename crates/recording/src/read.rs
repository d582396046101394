use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use muster_audio::ogg;
use muster_audio::resample::{Channels, Decimator, Rate};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::{Error, Manifest};

/// The name of the manifest below the prefix.
pub(crate) const MANIFEST: &str = "manifest.json";

/// The manifest that [`finalise`](crate::finalise()) wrote.
pub async fn load_manifest(store: &Arc<dyn ObjectStore>, prefix: &Path) -> Result<Manifest, Error> {
    let found = match store.get(&prefix.clone().join(MANIFEST)).await {
        Err(object_store::Error::NotFound { .. }) => return Err(Error::NotFinalised),
        other => other?,
    };
    serde_json::from_slice(&found.bytes().await?).map_err(Error::Manifest)
}

/// An audio file of a recording as 16 kHz mono, what speech to text wants; as long as the file plays.
pub async fn read_audio_16k(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<Vec<i16>, Error> {
    let bytes = store.get(path).await?.bytes().await?;
    let decode = move || -> Result<Vec<i16>, Error> {
        let pcm = ogg::decode(&bytes)?;
        let mut decimator = Decimator::new(Rate::Hz16000, Channels::Mono);
        let latency = decimator.latency_samples();
        let mut out = Vec::with_capacity(pcm.len() / 3 + 1 + latency);
        decimator.process(&pcm, &mut out);
        decimator.finish(&mut out);
        out.drain(..latency);
        Ok(out)
    };
    // Decoding takes a while; a panic in it stays one.
    tokio::task::spawn_blocking(decode).await.map_err(object_store::Error::from)?
}

/// Deletes everything below the prefix and answers how many objects that were. What is gone already does not count;
/// after an error, call again.
pub async fn delete_all(store: &Arc<dyn ObjectStore>, prefix: &Path) -> Result<u64, Error> {
    let found = store.list(Some(prefix)).map_ok(|object| object.location).boxed();
    store
        .delete_stream(found)
        .filter(|result| {
            let gone = matches!(result, Err(object_store::Error::NotFound { .. }));
            std::future::ready(!gone)
        })
        .try_fold(0, |count, _| std::future::ready(Ok(count + 1)))
        .await
        .map_err(Error::from)
}
