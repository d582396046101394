//! What runs once per frame allocates nothing once it is warm: counted by the allocator itself.
#![expect(unsafe_code, reason = "an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use muster_audio::codec::{Decoder, Encoder, Tuning};
use muster_audio::level::{self, Meter};
use muster_audio::mix::Mixer;
use muster_audio::resample::{Channels, Decimator, Rate};
use muster_audio::vad::Detector;
use muster_audio::{FRAME, tone};

/// The system's allocator, with a count per thread: tests that run beside each other do not see each other.
struct Counting;

thread_local! {
    // Constant and without a destructor: using it allocates nothing, and it is there for as long as its thread.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`, and the block is the system's.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and the block is the system's.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread while `work` runs.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn allocations_are_seen_where_there_are_any() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(10)))), 1);
    let mut list = vec![1_u64; 4];
    assert_eq!(allocations(|| list.extend(std::hint::black_box([1; 100]))), 1);
}

#[test]
fn decimating() {
    let input = tone::sine(440.0, 200, 0.5, 48_000);
    for rate in [Rate::Hz24000, Rate::Hz16000, Rate::Hz8000] {
        for channels in [Channels::Mono, Channels::Stereo] {
            let mut decimator = Decimator::new(rate, channels);
            let mut out: Vec<i16> = Vec::with_capacity(input.len());
            decimator.process(&input[..FRAME], &mut out);
            let found = allocations(|| {
                // Blocks of every kind of length, also half a pair.
                for block in [1, 7, 480, 960, 961, 1_920, 4_800].iter().cycle().take(70) {
                    out.clear();
                    decimator.process(&input[..*block], &mut out);
                }
            });
            assert_eq!(found, 0, "{rate:?} from {channels:?}");
        }
    }
}

/// Twelve participants for `seconds` of a call: they drift, lose and delay blocks, pause, and shout all at once.
fn call(mixer: &mut Mixer, from: i64, seconds: i64, voices: &[Vec<i16>]) -> u64 {
    let mut frames = 0;
    for tick in from * 50..(from + seconds) * 50 {
        for (id, voice) in (0_u32..).zip(voices) {
            let track = i64::from(id);
            let (lost, late) = ((tick + 13 * track) % 97 < 2, (tick + 7 * track) % 61 == 0);
            if lost {
                continue;
            }
            let behind = if late { 30 } else { 0 };
            let at = (tick - behind) * 20_000;
            let drift = at * (track - 6) * 40 / 1_000_000;
            let silent = (tick / 100 + track) % 3 == 0;
            let block = if silent { &[0; FRAME][..] } else { &voice[(tick % 10) as usize * FRAME..][..FRAME] };
            mixer.push(id, at + drift, block);
        }
        mixer.advance((tick + 1) * 20_000, &mut |frame| frames += u64::from(frame.tracks.len() == 12));
    }
    frames
}

#[test]
fn mixing_twelve_who_drift_and_lose_and_shout() {
    let voices: Vec<Vec<i16>> =
        (0_u16..12).map(|i| tone::sine(150.0 + 35.0 * f32::from(i), 200, 0.5, 48_000)).collect();
    let mut mixer = Mixer::new(0);
    call(&mut mixer, 0, 10, &voices);
    let before = mixer.stats();
    let mut frames = 0;
    let found = allocations(|| frames = call(&mut mixer, 10, 60, &voices));
    assert_eq!(found, 0, "in {frames} frames");
    // All of it did happen.
    let after = mixer.stats();
    assert_eq!(frames, 60 * 50);
    assert!(after.gaps > before.gaps + 100 && after.continued_samples > before.continued_samples, "{after:?}");
    assert!(after.slipped_samples > before.slipped_samples && after.late_samples > before.late_samples, "{after:?}");
    assert!(after.limited_frames > before.limited_frames, "{after:?}");
}

#[test]
fn listening_and_measuring() {
    let voice = tone::sine(220.0, 1_000, 0.3, 48_000);
    let (mut detector, mut meter) = (Detector::new(), Meter::default());
    let found = allocations(|| {
        for frame in voice.as_chunks::<FRAME>().0 {
            std::hint::black_box((detector.push(frame), level::rms_dbfs(frame), level::power(frame)));
            meter.push(frame);
        }
        std::hint::black_box(meter.take());
    });
    assert_eq!(found, 0);
}

#[test]
fn coding() {
    let voice = tone::sine(220.0, 1_000, 0.3, 48_000);
    for tuning in [Tuning::Voice, Tuning::Mix] {
        let mut encoder = Encoder::new(tuning, tuning.default_bitrate()).unwrap();
        let mut decoder = Decoder::new().unwrap();
        let found = allocations(|| {
            for frame in voice.as_chunks::<FRAME>().0 {
                assert_eq!(decoder.decode(encoder.encode(frame).unwrap()).unwrap().len(), FRAME);
            }
        });
        assert_eq!(found, 0, "{tuning:?}");
    }
}
