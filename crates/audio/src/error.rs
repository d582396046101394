/// Why audio could not be coded or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The codec refused: a packet that is not Opus, or a frame of an impossible length.
    #[error("opus codec")]
    Codec(#[from] opus::Error),
    /// The container is broken: cut off, checksum wrong, not Ogg.
    #[error("ogg container")]
    Container(#[from] ::ogg::OggReadError),
    /// The container is whole, but what is in it is not the Opus that this crate reads.
    #[error("not a readable opus stream: {0}")]
    Stream(&'static str),
    /// Not a WAV file with 16-bit PCM.
    #[error("not a readable wav file: {0}")]
    Wav(&'static str),
}
