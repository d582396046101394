//! What a bot does to sound for every 20 ms of a call. Criterion's time is the time of one frame: 20 ms of it would be a
//! whole core.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use muster_audio::codec::{Encoder, Tuning};
use muster_audio::level::Meter;
use muster_audio::mix::Mixer;
use muster_audio::resample::{Channels, Decimator, Rate};
use muster_audio::tone::sine;
use muster_audio::vad::Detector;
use muster_audio::{FRAME, FRAME_MS, RATE};

const FRAME_US: i64 = FRAME_MS as i64 * 1_000;

fn frame(hz: f32) -> Vec<i16> {
    sine(hz, FRAME_MS as u32, 0.3, RATE)
}

fn mix(c: &mut Criterion) {
    for tracks in [1u32, 4, 16] {
        let blocks: Vec<_> = (0..tracks).map(|track| frame(200.0 + 50.0 * track as f32)).collect();
        let mut mixer = Mixer::new(0);
        let mut at_us = 0;
        c.bench_function(&format!("mix {tracks} tracks"), |b| {
            b.iter(|| {
                for (track, block) in (0u32..).zip(&blocks) {
                    mixer.push(track, at_us, black_box(block));
                }
                at_us += FRAME_US;
                mixer.advance(at_us, &mut |frame| {
                    black_box(frame);
                });
            });
        });
    }
}

/// Most of a meeting: sixteen are there and one speaks.
fn mix_one_of_many(c: &mut Criterion) {
    let (voice, silence) = (frame(200.0), vec![0; FRAME]);
    let mut mixer = Mixer::new(0);
    let mut at_us = 0;
    c.bench_function("mix 16 tracks, one speaks", |b| {
        b.iter(|| {
            for track in 0..16 {
                mixer.push(track, at_us, black_box(if track == 0 { &voice } else { &silence }));
            }
            at_us += FRAME_US;
            mixer.advance(at_us, &mut |frame| {
                black_box(frame);
            });
        });
    });
}

fn resample(c: &mut Criterion) {
    for (name, channels) in [("mono", Channels::Mono), ("stereo", Channels::Stereo)] {
        let per_sample = if channels == Channels::Stereo { 2 } else { 1 };
        let input: Vec<i16> = frame(440.0).into_iter().flat_map(|s| std::iter::repeat_n(s, per_sample)).collect();
        let mut decimator = Decimator::new(Rate::Hz16000, channels);
        let mut out: Vec<i16> = Vec::with_capacity(FRAME);
        c.bench_function(&format!("48 kHz {name} to 16 kHz"), |b| {
            b.iter(|| {
                out.clear();
                decimator.process(black_box(&input), &mut out);
                black_box(&out);
            });
        });
    }
}

fn listen_and_code(c: &mut Criterion) {
    let block: [i16; FRAME] = frame(440.0).try_into().expect("a frame has as many samples");
    let mut detector = Detector::new();
    c.bench_function("voice activity", |b| b.iter(|| detector.push(black_box(&block))));
    let mut meter = Meter::default();
    c.bench_function("level meter", |b| b.iter(|| meter.push(black_box(&block))));
    let mut encoder = Encoder::new(Tuning::Voice, Tuning::Voice.default_bitrate()).expect("a rate that Opus knows");
    c.bench_function("opus voice", |b| {
        b.iter(|| encoder.encode(black_box(&block)).expect("a whole frame").len());
    });
}

criterion_group!(benches, mix, mix_one_of_many, resample, listen_and_code);
criterion_main!(benches);
