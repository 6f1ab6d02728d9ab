//! Non-negative real numbers of 128 significant bits, for the accountant alone: the same bits on every machine,
//! without floats (D16).
//!
//! Every operation truncates, so a result is at most its true value and at least `1 - 2^-126` of it; only
//! [`Real::minus`] can exceed, by as little of the minuend.

/// `mantissa * 2^exponent`, where the mantissa has its highest bit set; or zero, whose mantissa is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Real {
    mantissa: u128,
    exponent: i64,
}

impl Real {
    pub(super) const ZERO: Self = Self { mantissa: 0, exponent: 0 };
    pub(super) const ONE: Self = Self { mantissa: 1 << 127, exponent: -127 };
    pub(super) const HALF: Self = Self::two_to(-1);
    /// `2 pi`.
    const TWO_PI: Self = Self { mantissa: 0xC90F_DAA2_2168_C234_C4C6_628B_80DC_1CD1, exponent: -125 };
    /// `ln 2`.
    const LN_2: Self = Self { mantissa: 0xB172_17F7_D1CF_79AB_C9E3_B398_03F2_F6AF, exponent: -128 };

    /// `mantissa * 2^exponent` with the highest bit brought up.
    const fn scaled(mantissa: u128, exponent: i64) -> Self {
        if mantissa == 0 {
            return Self::ZERO;
        }
        let shift = mantissa.leading_zeros();
        Self { mantissa: mantissa << shift, exponent: exponent - shift as i64 }
    }

    /// A power of two.
    pub(super) const fn two_to(power: i64) -> Self {
        Self { mantissa: 1 << 127, exponent: power - 127 }
    }

    /// A whole number.
    pub(super) const fn whole(number: u128) -> Self {
        Self::scaled(number, 0)
    }

    /// `numerator / denominator`; the denominator is positive.
    pub(super) fn ratio(numerator: u128, denominator: u128) -> Self {
        Self::whole(numerator).over(Self::whole(denominator))
    }

    pub(super) const fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    pub(super) fn times(self, other: Self) -> Self {
        let (a, b) = (self.mantissa, other.mantissa);
        let (a_high, a_low, b_high, b_low) = (a >> 64, a & LOW, b >> 64, b & LOW);
        let low = a_low * b_low;
        let (left, right) = (a_high * b_low, a_low * b_high);
        let middle = (left & LOW) + (right & LOW) + (low >> 64);
        let high = a_high * b_high + (left >> 64) + (right >> 64) + (middle >> 64);
        Self::scaled(high, self.exponent + other.exponent + 128)
    }

    /// The place of the highest digit of a product, or one more.
    pub(super) fn place_with(self, other: Self) -> i64 {
        if self.is_zero() || other.is_zero() { i64::MIN / 2 } else { self.exponent + other.exponent + 255 }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        let (large, small) = if self.is_at_least(other) { (self, other) } else { (other, self) };
        if small.is_zero() {
            return large;
        }
        let shift = (large.exponent - small.exponent) as u64;
        if shift >= 128 {
            return large;
        }
        match large.mantissa.overflowing_add(small.mantissa >> shift) {
            (sum, false) => Self { mantissa: sum, exponent: large.exponent },
            (sum, true) => Self { mantissa: (sum >> 1) | (1 << 127), exponent: large.exponent + 1 },
        }
    }

    /// The difference; zero where it would be below zero.
    pub(super) fn minus(self, other: Self) -> Self {
        if !self.is_at_least(other) {
            return Self::ZERO;
        }
        let shift = (self.exponent - other.exponent) as u64;
        if other.is_zero() || shift >= 128 {
            return self;
        }
        Self::scaled(self.mantissa - (other.mantissa >> shift), self.exponent)
    }

    /// The quotient by a positive number, digit by digit.
    pub(super) fn over(self, divisor: Self) -> Self {
        let (mut quotient, mut rest) = (0_u128, self.mantissa);
        let mut exponent = self.exponent - divisor.exponent;
        // The first digit is the place of ones: both mantissas have the same length.
        if rest >= divisor.mantissa {
            (quotient, rest) = (1, rest - divisor.mantissa);
        }
        for _ in 0..128 {
            if quotient >> 127 == 1 {
                break;
            }
            let carry = rest >> 127 == 1;
            rest <<= 1;
            quotient <<= 1;
            exponent -= 1;
            if carry || rest >= divisor.mantissa {
                rest = rest.wrapping_sub(divisor.mantissa);
                quotient |= 1;
            }
        }
        Self::scaled(quotient, exponent)
    }

    /// The quotient by a small positive number.
    pub(super) fn over_whole(self, divisor: u32) -> Self {
        let divisor = u128::from(divisor);
        let (quotient, rest) = (self.mantissa / divisor, self.mantissa % divisor);
        let shift = quotient.leading_zeros();
        if shift == 0 || shift == 128 {
            return Self { mantissa: quotient, exponent: self.exponent };
        }
        // The remainder is below 2^32 and the shift at most 32.
        let digits = (quotient << shift) | ((rest << shift) / divisor);
        Self { mantissa: digits, exponent: self.exponent - i64::from(shift) }
    }

    /// Half of it.
    pub(super) fn halved(self) -> Self {
        if self.is_zero() { self } else { Self { exponent: self.exponent - 1, ..self } }
    }

    pub(super) fn is_at_least(self, other: Self) -> bool {
        if self.is_zero() || other.is_zero() {
            return other.is_zero();
        }
        (self.exponent, self.mantissa) >= (other.exponent, other.mantissa)
    }

    /// The square root by Newton's iteration from the root of the upper half.
    pub(super) fn root(self) -> Self {
        if self.is_zero() {
            return self;
        }
        let even = self.exponent & 1;
        let mut root = Self::scaled((self.mantissa >> even).isqrt(), (self.exponent + even) / 2);
        for _ in 0..2 {
            root = root.plus(self.over(root)).halved();
        }
        root
    }

    /// `e^self`: the series at a 1,024th or less, squared back. Loses one bit for each squaring.
    pub(super) fn exp(self) -> Self {
        let squarings = (self.exponent + 128 + 10).max(0);
        let small = Self { exponent: self.exponent - squarings, ..self };
        let (mut sum, mut term) = (Self::ONE, Self::ONE);
        for place in 1..32 {
            term = term.times(small).over_whole(place);
            if term.is_zero() || term.exponent < -127 - 128 {
                break;
            }
            sum = sum.plus(term);
        }
        for _ in 0..squarings {
            sum = sum.times(sum);
        }
        sum
    }

    /// The natural logarithm of a positive number, in units of `2^-80`, within two of them. `None` for zero, and
    /// for numbers whose logarithm is beyond `2^40`.
    pub(super) fn ln(self) -> Option<i128> {
        if self.is_zero() || self.exponent.unsigned_abs() > 1 << 40 {
            return None;
        }
        // self = part * 2^power with the part in 1..2, whose logarithm is 2 atanh((part - 1) / (part + 1)).
        let power = self.exponent + 127;
        let part = Self { exponent: -127, ..self };
        let ratio = part.minus(Self::ONE).over(part.plus(Self::ONE));
        let square = ratio.times(ratio);
        let (mut sum, mut term) = (ratio, ratio);
        for place in (3..100).step_by(2) {
            term = term.times(square);
            if term.is_zero() || term.exponent < -127 - 96 {
                break;
            }
            sum = sum.plus(term.over_whole(place));
        }
        let powers = Self::LN_2.times(Self::whole(u128::from(power.unsigned_abs()))).fixed();
        Some(if power < 0 { -powers } else { powers } + sum.plus(sum).fixed())
    }

    /// The number in units of `2^-80`; it is below `2^47`.
    fn fixed(self) -> i128 {
        let shift = -self.exponent - i64::from(FRACTION);
        if self.is_zero() || shift >= 128 { 0 } else { (self.mantissa >> shift) as i128 }
    }

    /// The density of the standard normal distribution at `self`.
    pub(super) fn density(self) -> Self {
        let square = self.times(self).halved();
        Self::ONE.over(square.exp().times(Self::TWO_PI.root()))
    }
}

/// Places behind the point of a logarithm.
pub(super) const FRACTION: u32 = 80;
const LOW: u128 = u64::MAX as u128;
