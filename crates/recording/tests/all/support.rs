use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use muster_audio::{FRAME, RATE, tone};
use muster_recording::{Layout, TrackId, Writer};
use muster_session::Timestamp;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::watch;

/// When the first attempt of every test begins.
pub(crate) const START_MS: i64 = 1_700_000_000_000;

pub(crate) fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

pub(crate) fn prefix() -> Path {
    Path::from("recordings/default/bot")
}

/// Segments of one second, so that tests are short.
pub(crate) fn layout(attempt: u32, after_ms: i64) -> Layout {
    Layout {
        prefix: prefix(),
        attempt,
        start: Timestamp::from_millis(START_MS + after_ms),
        segment_seconds: 1,
        separate_tracks: true,
    }
}

/// Records samples as the mix, and participants with them; a participant is there for as long as they have samples.
pub(crate) fn feed(writer: &mut Writer, mixed: &[i16], people: &[(TrackId, Vec<i16>)]) {
    for (index, frame) in mixed.as_chunks::<FRAME>().0.iter().enumerate() {
        let part = |pcm: &Vec<i16>| index * FRAME + FRAME <= pcm.len();
        let tracks: Vec<(TrackId, &[i16])> = people
            .iter()
            .filter(|(_, pcm)| part(pcm))
            .map(|(id, pcm)| (id.clone(), &pcm[index * FRAME..][..FRAME]))
            .collect();
        writer.frame(frame, &tracks);
    }
}

/// Silence and tones: (frequency, from, to) in milliseconds, within `ms` milliseconds.
pub(crate) fn plan(ms: u32, tones: &[(f32, u32, u32)]) -> Vec<i16> {
    let mut pcm = tone::silence(ms, RATE);
    for (hz, from, to) in tones {
        let sound = tone::sine(*hz, to - from, 0.4, RATE);
        for (slot, sample) in pcm[*from as usize * 48..].iter_mut().zip(sound) {
            *slot += sample;
        }
    }
    pcm
}

/// Every second has a frequency of its own.
pub(crate) fn second_hz(second: u32) -> f32 {
    400.0 + 50.0 * second as f32
}

/// A mix in which every second can be told by its frequency.
pub(crate) fn counting(ms: u32) -> Vec<i16> {
    (0..ms.div_ceil(1_000)).flat_map(|k| tone::sine(second_hz(k), (ms - k * 1_000).min(1_000), 0.4, RATE)).collect()
}

/// The bytes of every object.
pub(crate) async fn objects(store: &Arc<dyn ObjectStore>) -> BTreeMap<String, Vec<u8>> {
    let found: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
    let mut objects = BTreeMap::new();
    for meta in found {
        let bytes = store.get(&meta.location).await.unwrap().bytes().await.unwrap();
        objects.insert(meta.location.to_string(), bytes.to_vec());
    }
    objects
}

pub(crate) async fn get(store: &Arc<dyn ObjectStore>, path: &str) -> Vec<u8> {
    store.get(&prefix().join_all(path)).await.unwrap().bytes().await.unwrap().to_vec()
}

pub(crate) async fn put(store: &Arc<dyn ObjectStore>, path: &str, bytes: Vec<u8>) {
    store.put(&prefix().join_all(path), PutPayload::from(bytes)).await.unwrap();
}

trait JoinAll {
    fn join_all(self, path: &str) -> Path;
}

impl JoinAll for Path {
    fn join_all(self, path: &str) -> Path {
        path.split('/').fold(self, |path, part| path.join(part))
    }
}

/// The recording, decoded.
pub(crate) async fn audio(store: &Arc<dyn ObjectStore>) -> Vec<i16> {
    muster_audio::ogg::decode(&get(store, "audio.ogg").await).unwrap()
}

/// A store that is out: the first `failures` puts fail, and all wait while the gate is shut.
#[derive(Debug)]
pub(crate) struct Outage {
    inner: Arc<dyn ObjectStore>,
    failures: AtomicU64,
    gate: watch::Receiver<bool>,
    pub(crate) puts: AtomicU64,
}

impl Outage {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, failures: u64, gate: watch::Receiver<bool>) -> Arc<Self> {
        Arc::new(Self { inner, failures: failures.into(), gate, puts: 0.into() })
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outage({})", self.inner)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Outage {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        self.gate.clone().wait_for(|open| *open).await.unwrap();
        let fails = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if fails.is_ok() {
            return Err(object_store::Error::Generic { store: "outage", source: "the storage is out".into() });
        }
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
