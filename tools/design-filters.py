#!/usr/bin/env python3
"""Designs the decimation filters of crates/audio and prints crates/audio/src/resample/taps.rs.

Usage: tools/design-filters.py > crates/audio/src/resample/taps.rs   (needs numpy and scipy)

Parks-McClellan: of all linear-phase filters of a length, the one with the smallest ripple. 56 taps per phase is the
least multiple of 8 (the width of a vector register) at which both the pass band (0.1 dB up to 7/8 of the output's
Nyquist frequency) and the stop band (90 dB from the Nyquist frequency on) hold.
"""

import sys

import numpy as np
from scipy.signal import freqz, remez

RATE = 48_000
TAPS_PER_PHASE = 56
PASS = 7 / 8


def response(taps, pass_hz, stop_hz):
    """Largest deviation in the pass band and least attenuation in the stop band, both in dB."""
    hz, gain = freqz(taps, worN=1 << 18, fs=RATE)
    passed = 20 * np.log10(np.abs(gain[hz <= pass_hz]))
    return np.abs(passed).max(), -20 * np.log10(np.abs(gain[hz >= stop_hz]).max())


def design(factor):
    nyquist = RATE / 2 / factor
    pass_hz = PASS * nyquist
    best = None
    for weight in range(340, 420, 4):
        bands = [0, pass_hz, nyquist, RATE / 2]
        taps = remez(TAPS_PER_PHASE * factor - 1, bands, [1, 0], weight=[1, weight], fs=RATE, grid_density=64, maxiter=500)
        hz, gain = freqz(taps, worN=1 << 16, fs=RATE)
        passed = np.abs(gain[hz <= pass_hz])
        taps = (taps * 2 / (passed.max() + passed.min())).astype(np.float32)
        ripple, rejection = response(taps.astype(float), pass_hz, nyquist)
        misses = max(ripple / 0.1, 90 / rejection)
        if best is None or misses < best[0]:
            best = (misses, taps, ripple, rejection)
    return best[1:]


def main():
    print("//! Made by `tools/design-filters.py`. The first half of each filter and its middle; the rest mirrors it.")
    for factor in (2, 3, 6):
        taps, ripple, rejection = design(factor)
        print(f"factor {factor}: {ripple:.4f} dB, {rejection:.2f} dB", file=sys.stderr)
        half = taps[: len(taps) // 2 + 1]
        print(f"\n/// 48 kHz to {RATE // factor // 1000} kHz.\n#[rustfmt::skip]")
        print(f"pub(super) const BY_{factor}: [f32; {len(half)}] = [")
        for line in range(0, len(half), 6):
            numbers = (np.format_float_scientific(tap, unique=True, trim="0", exp_digits=1) for tap in half[line : line + 6])
            print("    " + ", ".join(n.replace("e+0", "") for n in numbers) + ",")
        print("];")


main()
