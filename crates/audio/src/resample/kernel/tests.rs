use super::super::decimator::{Channels, Decimator, Rate};
use super::{BLOCK, Kernel};

/// How far any kernel may be from the scalar one, for input up to full scale: -114 dB. The products of a filter add up to
/// less than 2, in 84 steps of which each rounds by at most 2^-24 of the sum so far.
const BOUND: f32 = 2e-6;

fn noise(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn every_kernel_comes_out_with_what_the_scalar_one_does() {
    let kernels = Kernel::all();
    println!("{kernels:?}");
    for rate in [Rate::Hz24000, Rate::Hz16000, Rate::Hz8000] {
        for channels in [Channels::Mono, Channels::Stereo] {
            // Every length up to a tile of the widest kernel and more, and those around further tiles, blocks, and blocks
            // with tiles after them; each from another place in memory.
            let around = [160, 240, BLOCK, BLOCK + 80, 2 * BLOCK].map(|length| length - 9..length + 10);
            for outputs in (0..100).chain(around.into_iter().flatten()) {
                let offset = outputs % 16;
                let frames = outputs * 48_000 / rate.hz() as usize + outputs % 5;
                let input = noise(offset + frames * channels.count());
                let run = |kernel: Kernel| {
                    let mut out: Vec<f32> = Vec::new();
                    let mut decimator = Decimator::with_kernel(rate, channels, kernel);
                    decimator.process(&input[offset..], &mut out);
                    decimator.finish(&mut out);
                    out
                };
                let want = run(Kernel::Scalar);
                for kernel in &kernels {
                    let got = run(*kernel);
                    assert_eq!(got.len(), want.len());
                    for (got, want) in got.iter().zip(&want) {
                        assert!((got - want).abs() <= BOUND, "{kernel:?} {rate:?} {outputs}: {got} {want}");
                    }
                }
            }
        }
    }
}

#[test]
fn rounding_to_integers_is_that_of_the_standard_library() {
    use super::super::sample::Sample;
    for number in
        [0.0_f32, 0.4, 0.5, 0.6, 1.5, 2.5, -0.5, -1.5, 32_766.5, 32_767.0, 40_000.0, -32_768.0, -32_768.6, -1e9, 1e9]
    {
        let want = number.round_ties_even() as i16;
        assert_eq!(i16::from_f32(number / 32_768.0), want, "{number}");
    }
    for sample in i16::MIN..=i16::MAX {
        assert_eq!(i16::from_f32(sample.to_f32()), sample);
        assert_eq!(i16::from_f32(sample.mean(sample)), sample);
    }
    assert_eq!(1_i16.mean(2), 1.5 / 32_768.0);
}
