//! Random draws that never change: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom
//! number generators", OOPSLA 2014).

/// Scrambles 64 bits, one to one.
pub(super) fn mix(bits: u64) -> u64 {
    let mut z = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A value of its own for each pair.
pub(super) fn mix2(a: u64, b: u64) -> u64 {
    mix(mix(a) ^ b.wrapping_mul(0xD6E8_FEB8_6659_FD93))
}

/// `bits` as a number in `0..n`, evenly.
pub(super) fn even(bits: u64, n: u64) -> u64 {
    ((u128::from(bits) * u128::from(n)) >> 64) as u64
}

/// `bits` as a number in `0..1`.
pub(super) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// `bits` as a number in `0..n`, small ones more often: density falls as `x^(1/power - 1)`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and n by construction"
)]
pub(super) fn skewed(bits: u64, n: u64, power: i32) -> u64 {
    ((n as f64 * unit(bits).powi(power)) as u64).min(n.saturating_sub(1))
}

/// A sequence of draws.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// The sequence of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// The next number in `0..n`.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        even(self.bits(), n)
    }

    /// True in `parts` of a million draws.
    pub(super) fn chance(&mut self, parts: u64) -> bool {
        self.below(1_000_000) < parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_never_changes() {
        let mut dice = Dice::new(1);
        assert_eq!([dice.bits(), dice.below(100)], [17_405_687_883_870_564_846, 4]);
    }

    #[test]
    fn draws_stay_in_bounds() {
        let mut dice = Dice::new(7);
        let draws: Vec<u64> = (0..1000).map(|_| skewed(dice.bits(), 10, 3)).collect();
        assert!(draws.iter().all(|&d| d < 10) && draws.contains(&9));
        assert!(draws.iter().filter(|&&d| d == 0).count() > 300, "small numbers come more often");
        assert_eq!((skewed(u64::MAX, 5, 2), even(u64::MAX, 5), skewed(0, 0, 2)), (4, 4, 0));
    }
}
