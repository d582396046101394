//! Changing the sample rate: [`Decimator`] for streams on the hot path, [`convert()`] for whole files.

mod convert;
mod decimator;
mod design;
mod kernel;
mod sample;
mod taps;

pub use convert::{convert, to_48k};
pub use decimator::{Channels, Decimator, Rate};
pub use sample::Sample;
