use proptest::prelude::*;

use super::*;
use crate::codec::{Encoder, SILENCE, Tuning};
use crate::{FRAME, RATE, probe, tone};

/// A file of the samples, with one more packet for the encoder's lookahead.
fn file(pcm: &[i16], tags: &[(&str, &str)]) -> Vec<u8> {
    let mut encoder = Encoder::new(Tuning::Mix, 48_000).unwrap();
    let mut writer = Writer::new(7, encoder.lookahead(), tags);
    for frame in pcm.as_chunks::<FRAME>().0 {
        writer.push(encoder.encode(frame).unwrap());
    }
    writer.push(encoder.encode(&[0; FRAME]).unwrap());
    writer.finish(Some(pcm.len() as u64))
}

fn beep() -> Vec<i16> {
    [tone::silence(500, RATE), tone::sine(440.0, 1_000, 0.5, RATE), tone::silence(1_500, RATE)].concat()
}

#[test]
fn a_file_plays_for_exactly_as_long_as_what_was_written_and_at_the_same_time() {
    let pcm = beep();
    let bytes = file(&pcm, &[("TITLE", "beep"), ("muster_start", "1=2")]);
    let stream = read(&bytes).unwrap();
    assert_eq!((stream.pre_skip, stream.packets.len(), stream.complete), (312, 151, true));
    assert_eq!(stream.end_granule, 3 * 48_000 + 312);
    assert_eq!(
        (stream.tag("title"), stream.tag("MUSTER_START"), stream.tag("none")),
        (Some("beep"), Some("1=2"), None)
    );
    let out = stream.decode().unwrap();
    assert_eq!(out.len(), pcm.len());
    let heard = probe::onsets(&out, RATE, 440.0);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].0.abs_diff(500) <= 5 && heard[0].1.abs_diff(1_500) <= 5, "{heard:?}");
    // Sample-exact alignment: the error is small only if nothing is shifted.
    let error: f64 = pcm.iter().zip(&out).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    let power: f64 = pcm.iter().map(|a| f64::from(*a).powi(2)).sum();
    assert!(error < power / 50.0, "signal to noise: {} dB", 10.0 * (power / error).log10());
}

#[test]
fn taking_pages_on_the_way_gives_the_same_file() {
    let pcm = beep();
    let whole = file(&pcm, &[]);
    let mut joiner = Joiner::new(7, 312, &[]);
    let mut bytes = Vec::new();
    for packet in read(&whole).unwrap().packets {
        joiner.push(&packet);
        bytes.extend(joiner.take());
    }
    bytes.extend(joiner.finish(Some(pcm.len() as u64)));
    assert_eq!(bytes, whole);
}

#[test]
fn a_file_without_audio_and_one_of_silence_are_read() {
    assert_eq!(decode(&Writer::new(1, 312, &[]).finish(None)).unwrap(), []);
    let mut writer = Writer::new(1, 0, &[]);
    writer.push(&SILENCE);
    let out = decode(&writer.finish(None)).unwrap();
    assert_eq!(out, [0; FRAME]);
}

#[test]
fn a_file_that_is_cut_off_or_damaged_is_noticed() {
    let bytes = file(&beep(), &[]);
    assert!(read(&[]).is_err());
    assert!(read(b"not an ogg file at all, but long enough to look at").is_err());
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    assert!(read(&damaged).is_err());
    // Cut between pages: readable, but known to be incomplete.
    let last_page = bytes.windows(4).rposition(|w| w == b"OggS").unwrap();
    let cut = read(&bytes[..last_page]).unwrap();
    assert!(!cut.complete);
    assert!(cut.decode().unwrap().len() >= 2 * 48_000 - 960);
}

proptest! {
    #[test]
    fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let _ = read(&bytes);
        let mut file = file(&tone::sine(300.0, 200, 0.3, RATE), &[("A", "b")]);
        let at = at.index(file.len());
        file[at] ^= 1_u8 << bit;
        if let Ok(stream) = read(&file) {
            let _ = stream.decode();
        }
        let _ = read(&file[..at]);
    }
}
