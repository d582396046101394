use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use muster_audio::ogg;
use muster_audio::resample::{Channels, Decimator, Rate};
use muster_session::Timestamp;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::Deserialize;
use serde_json::Value;

use crate::finalise::{Note as Line, OWNER, Owner};
use crate::{Error, Manifest};

/// The name of the manifest below the prefix.
pub(crate) const MANIFEST: &str = "manifest.json";
/// The name of the joined notes below the prefix.
pub(crate) const EVENTS: &str = "events.jsonl";

/// Something that the bot noted during the call.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// When it was noted.
    pub at: Timestamp,
    /// What.
    pub data: Value,
}

/// The manifest that [`finalise`](crate::finalise()) wrote.
pub async fn load_manifest(store: &Arc<dyn ObjectStore>, prefix: &Path) -> Result<Manifest, Error> {
    let found = match store.get(&prefix.clone().join(MANIFEST)).await {
        Err(object_store::Error::NotFound { .. }) => return Err(Error::NotFinalised),
        other => other?,
    };
    serde_json::from_slice(&found.bytes().await?).map_err(Error::Manifest)
}

/// The notes of one kind in a finalised recording, attempt by attempt in the order in which they were taken.
///
/// Notes that name a `speaker_id` under a placeholder get the `speaker_id` and `speaker` of whom the voice turned out to
/// be. Without the joined notes (nothing was noted, or [`finalise`](crate::finalise()) did not run) there are none.
pub async fn read_notes(store: &Arc<dyn ObjectStore>, prefix: &Path, kind: &str) -> Result<Vec<Note>, Error> {
    let found = match store.get(&prefix.clone().join(EVENTS)).await {
        Err(object_store::Error::NotFound { .. }) => return Ok(Vec::new()),
        other => other?,
    };
    let bytes = found.bytes().await?;
    let (mut notes, mut owners) = (Vec::new(), Vec::new());
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Line = serde_json::from_slice(line).map_err(Error::Notes)?;
        if line.kind == OWNER {
            owners.extend(Owner::deserialize(&line.data));
        }
        if line.kind == kind {
            notes.push(Note { at: Timestamp::from_millis(line.at_ms), data: line.data });
        }
    }
    for note in &mut notes {
        name_owner(&mut note.data, &owners);
    }
    Ok(notes)
}

fn name_owner(data: &mut Value, owners: &[Owner]) {
    let Some(data) = data.as_object_mut() else { return };
    let speaker = data.get("speaker_id").and_then(Value::as_str);
    if let Some(owner) = owners.iter().find(|owner| Some(owner.placeholder.as_str()) == speaker) {
        data.insert("speaker_id".to_owned(), owner.id.clone().into());
        data.insert("speaker".to_owned(), owner.name.clone().into());
    }
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
