/// A sample as it comes and goes: `i16`, or `f32` from -1.0 to 1.0.
pub trait Sample: Copy + private::Sealed {
    /// As a number from -1.0 to 1.0.
    fn to_f32(self) -> f32;

    /// The mean of two, as such a number.
    fn mean(self, other: Self) -> f32;

    /// The nearest sample to such a number. Integers saturate.
    fn from_f32(number: f32) -> Self;
}

impl Sample for i16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from(self) * (1.0 / 32_768.0)
    }

    #[inline(always)]
    fn mean(self, other: Self) -> f32 {
        (i32::from(self) + i32::from(other)) as f32 * (1.0 / 65_536.0)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half of the bits is what is wanted")]
    fn from_f32(number: f32) -> Self {
        // Next to 1.5 * 2^23 the last bit of a number is worth one, so adding it rounds, and leaves the integer in the
        // lower bits. Unlike a cast, which has to look out for what is no number, that makes whole vectors at a time.
        const INTEGERS: f32 = 12_582_912.0;
        let limited = (number * 32_768.0).clamp(-32_768.0, 32_767.0);
        (limited + INTEGERS).to_bits() as i16
    }
}

impl Sample for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn mean(self, other: Self) -> f32 {
        (self + other) * 0.5
    }

    #[inline(always)]
    fn from_f32(number: f32) -> Self {
        number
    }
}

mod private {
    pub trait Sealed {}
    impl Sealed for i16 {}
    impl Sealed for f32 {}
}
