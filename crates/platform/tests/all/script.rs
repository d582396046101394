//! Parts of the capture script on their own, with a made-up clock and made-up blocks.

use std::fmt::Write;

use muster_audio::probe;
use muster_platform::capture::{CaptureEvent, decode};
use serde_json::{Value, json};

use crate::site::browser;

/// The parts that turn blocks into messages, with all they need of the page made up.
const PARTS: &str = concat!(
    "let clock = 0; const nowUs = () => clock; const said = [], told = [];
     const say = text => said.push(text), trouble = text => told.push(text), guarded = (_, work) => work();
     const toBase64 = undefined;
     class MediaStream {} class MediaStreamTrackProcessor { readable = { getReader() {} } }
     const document = { createElement: () => ({ play: async () => {} }) };
     const track = { clone: () => ({}) };\n",
    include_str!("../../src/capture/timeline.js"),
    include_str!("../../src/capture/tap.js"),
);

/// Feeds blocks of 10 ms, each given as (media timestamp, arrival) in milliseconds, and answers the stamps of all
/// batches in milliseconds.
async fn stamps(blocks: &[(f64, f64)]) -> Vec<f64> {
    let browser = browser().await;
    let page = browser.open_page().await.unwrap();
    let script = format!(
        "(() => {{ {PARTS}
            const tap = new Tap(track, 1);
            for (const [stamp, arrival] of {}) {{
                clock = arrival * 1000;
                const data = new Float32Array(480);
                tap.take(new AudioData({{ format: 'f32', sampleRate: 48000, numberOfFrames: 480, numberOfChannels: 1,
                    timestamp: stamp * 1000, data }}));
            }}
            return said.map(text => Number(text.split(' ')[2]) / 1000);
        }})()",
        json!(blocks)
    );
    let found = page.evaluate(&script).await.unwrap();
    browser.close().await;
    found.as_array().unwrap().iter().map(|stamp| stamp.as_f64().unwrap()).collect()
}

/// Blocks in order; `way` gives the time from a block's stamp to its arrival.
fn blocks(count: usize, start: f64, way: impl Fn(usize) -> f64) -> Vec<(f64, f64)> {
    (0..count).map(|i| (start + i as f64 * 10.0, start + i as f64 * 10.0 + way(i))).collect()
}

fn near(found: f64, want: f64, by: f64) {
    assert!((found - want).abs() <= by, "{found} instead of {want}");
}

#[tokio::test]
async fn delays_of_the_page_do_not_move_the_samples() {
    // 7 ms at best; every third block, and a busy second in the middle, are later.
    let busy = |i: usize| if (300..400).contains(&i) { 10.0 * (400 - i) as f64 } else { [7.0, 19.0, 40.0][i % 3] };
    let found = stamps(&blocks(1_000, 5_000.0, busy)).await;
    assert_eq!(found.len(), 100);
    for (i, stamp) in found.iter().enumerate() {
        near(*stamp, 5_007.0 + i as f64 * 100.0, 0.5);
    }
}

#[tokio::test]
async fn a_late_beginning_is_made_good() {
    // The first 25 blocks were waiting while the page was busy.
    let found = stamps(&blocks(400, 5_000.0, |i| if i < 25 { 10.0 * (25 - i) as f64 + 3.0 } else { 3.0 })).await;
    near(*found.last().unwrap(), 5_003.0 + 3_900.0, 0.5);
    assert!(found.windows(2).all(|w| w[1] >= w[0]), "{found:?}");
}

#[tokio::test]
async fn missing_sound_is_a_jump_forward() {
    // 300 ms were never played, then 3 s.
    let mut all = blocks(200, 5_000.0, |_| 3.0);
    all.extend(blocks(300, 7_300.0, |_| 3.0));
    all.extend(blocks(300, 13_300.0, |_| 3.0));
    let found = stamps(&all).await;
    near(found[19], 6_903.0, 0.5);
    // The first is known to be lasting a second later at the latest.
    near(found[35], 5_003.0 + 3_500.0 + 300.0, 1.0);
    // The second at once.
    near(found[50], 13_303.0, 1.0);
    near(*found.last().unwrap(), 16_203.0, 1.0);
    assert!(found.windows(2).all(|w| w[1] >= w[0]), "{found:?}");
}

#[tokio::test]
async fn a_media_clock_that_starts_again_is_followed() {
    let mut all = blocks(200, 5_000.0, |_| 3.0);
    all.extend(blocks(200, 100.0, |_| 6_903.0));
    let found = stamps(&all).await;
    near(found[20], 7_003.0, 1.0);
    near(*found.last().unwrap(), 8_903.0, 1.0);
}

#[tokio::test]
async fn a_drifting_clock_is_followed() {
    // The sound card is slow by 0.1 %, a hundred times what is usual: a block takes 10.01 ms.
    let slow: Vec<(f64, f64)> =
        (0..3_000).map(|i| (5_000.0 + f64::from(i) * 10.01, 5_003.0 + f64::from(i) * 10.01)).collect();
    let found = stamps(&slow).await;
    near(*found.last().unwrap(), 5_003.0 + 2_990.0 * 10.01, 5.0);
}

#[tokio::test]
async fn every_format_and_rate_becomes_48_khz_mono() {
    let browser = browser().await;
    let page = browser.open_page().await.unwrap();
    for format in ["u8", "s16", "s32", "f32", "u8-planar", "s16-planar", "s32-planar", "f32-planar"] {
        for (channels, rate) in
            [(1, 48_000), (2, 48_000), (6, 48_000), (1, 44_100), (2, 16_000), (1, 8_000), (1, 96_000)]
        {
            let mut script =
                format!("(() => {{ {PARTS} const format = '{format}', channels = {channels}, rate = {rate};");
            script
                .write_str(
                    "
                    const make = { u8: [Uint8Array, 128, 128], s16: [Int16Array, 0, 32768], s32: [Int32Array, 0, 2147483648],
                        f32: [Float32Array, 0, 1] };
                    const [Kind, zero, full] = make[format.split('-')[0]];
                    const frames = rate / 100;
                    const tap = new Tap(track, 1);
                    for (let block = 0; block < 110; block++) {
                        const data = new Kind(frames * channels);
                        for (let i = 0; i < frames; i++) for (let c = 0; c < channels; c++) {
                            const sample = 0.5 * Math.sin(2 * Math.PI * 440 * (block * frames + i) / rate);
                            data[format.endsWith('planar') ? c * frames + i : i * channels + c] = zero + sample * full;
                        }
                        clock = block * 1e4;
                        tap.take(new AudioData({ format, sampleRate: rate, numberOfFrames: frames,
                            numberOfChannels: channels, timestamp: block * 1e4, data }));
                    }
                    return { said, told };
                })()",
                )
                .unwrap();
            let answer = page.evaluate(&script).await.unwrap();
            check_tone(&answer, rate, &format!("{format}, {channels} channels, {rate} Hz"));
        }
    }
    browser.close().await;
}

fn check_tone(answer: &Value, rate: u32, what: &str) {
    let mut samples = Vec::new();
    for payload in answer["said"].as_array().unwrap() {
        let Ok(CaptureEvent::Audio { pcm, .. }) = decode(payload.as_str().unwrap()) else {
            panic!("{what}: {payload}")
        };
        samples.extend(pcm);
    }
    // 1.1 s were fed; the last batch may lack a sample.
    assert!((48_000..=52_800).contains(&samples.len()), "{what}: {} samples", samples.len());
    let hz = probe::dominant_frequency(&samples, 48_000);
    assert!((hz - 440.0).abs() < 0.2, "{what}: {hz} Hz");
    // Half of full scale is 0.25 in power. Straight lines between samples at 8 kHz cost less than 3 % of it.
    let power = probe::goertzel(&samples[..48_000], 48_000, 440.0);
    assert!((power - 0.25).abs() < 0.01, "{what}: power {power}");
    assert_eq!(answer["told"].as_array().unwrap().is_empty(), rate == 48_000, "{what}: {}", answer["told"]);
}
