use std::time::Duration;

/// Bounds of a [`Writer`](super::Writer).
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of segments that may wait while the storage is out; more are dropped. The default of 32 MB holds about an
    /// hour and a half of a call with two speakers.
    pub waiting_bytes: usize,
    /// Uploads at a time.
    pub uploads: usize,
    /// An upload that takes longer has failed.
    pub upload_timeout: Duration,
    /// Pause before a failed upload is tried again; doubles with every failure in a row ...
    pub retry_from: Duration,
    /// ... up to this.
    pub retry_to: Duration,
    /// How long closing may take.
    pub close_timeout: Duration,
    /// Participants whose own audio is stored at a time, each while they speak and for 2 s after that. Who speaks while so
    /// many others do is in the mix only.
    pub tracks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            waiting_bytes: 32 << 20,
            uploads: 4,
            upload_timeout: Duration::from_secs(30),
            retry_from: Duration::from_millis(250),
            retry_to: Duration::from_secs(10),
            close_timeout: Duration::from_secs(30),
            tracks: 16,
        }
    }
}
