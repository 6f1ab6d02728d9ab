//! Decimal numbers as whole multiples of a unit, exactly: a number with more decimals than the unit has is refused and
//! never rounded, because what is asked for is hashed and signed (R098).

use thiserror::Error;

/// A number that cannot be asked for.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{field} is {value}: {fault}")]
pub struct Misfit {
    /// The field.
    pub field: String,
    /// What it is.
    pub value: f64,
    /// What is wrong with it.
    pub fault: String,
}

/// A unit: a power of a tenth.
pub(crate) struct Unit {
    decimals: usize,
}

pub(super) const THOUSANDTHS: Unit = Unit { decimals: 3 };
pub(crate) const MILLIONTHS: Unit = Unit { decimals: 6 };
pub(super) const BILLIONTHS: Unit = Unit { decimals: 9 };
pub(super) const TRILLIONTHS: Unit = Unit { decimals: 12 };

impl Unit {
    /// So many units. **Errors**: more decimals than the unit has; below or above what `T` holds.
    pub(crate) fn of<T: TryFrom<i128>>(&self, field: &str, value: f64) -> Result<T, Misfit> {
        let decimals = self.decimals;
        let misfit = |fault: String| Misfit { field: field.to_owned(), value, fault };
        if !value.is_finite() {
            return Err(misfit("not a number".to_owned()));
        }
        // The shortest decimal that reads as this number: what its author wrote.
        let text = value.to_string();
        let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
        if part.len() > decimals {
            return Err(misfit(format!("at most {decimals} decimals can be asked for")));
        }
        let units: Option<i128> = format!("{whole}{part:0<decimals$}").parse().ok();
        units
            .and_then(|units| T::try_from(units).ok())
            .ok_or_else(|| misfit("out of the range that can be asked for".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_become_whole_units_exactly() {
        assert_eq!(THOUSANDTHS.of::<u32>("x", 0.2), Ok(200));
        assert_eq!(THOUSANDTHS.of::<u32>("x", 0.0), Ok(0));
        assert_eq!(THOUSANDTHS.of::<u32>("x", -0.0), Ok(0));
        assert_eq!(MILLIONTHS.of::<u32>("x", 0.0001), Ok(100));
        assert_eq!(MILLIONTHS.of::<i64>("x", -2.5), Ok(-2_500_000));
        assert_eq!(MILLIONTHS.of::<u32>("x", 4_294.967_295), Ok(u32::MAX));
        assert_eq!(BILLIONTHS.of::<u32>("x", 1.0), Ok(1_000_000_000));
        assert_eq!(TRILLIONTHS.of::<u64>("x", 1e-5), Ok(10_000_000));
        assert_eq!(TRILLIONTHS.of::<u64>("x", 1e-12), Ok(1));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_never_rounded() {
        let fault = |value: f64| THOUSANDTHS.of::<u32>("settings.clip", value).unwrap_err().to_string();
        assert_eq!(fault(0.0005), "settings.clip is 0.0005: at most 3 decimals can be asked for");
        assert_eq!(fault(-1.0), "settings.clip is -1: out of the range that can be asked for");
        assert_eq!(
            fault(4_294_967.296),
            "settings.clip is 4294967.296: out of the range that can be asked for"
        );
        assert_eq!(
            fault(1e300),
            format!("settings.clip is {}: out of the range that can be asked for", 1e300)
        );
        assert_eq!(fault(f64::NAN), "settings.clip is NaN: not a number");
        assert_eq!(fault(f64::INFINITY), "settings.clip is inf: not a number");
        assert!(TRILLIONTHS.of::<u64>("x", 1e-13).is_err());
        assert!(BILLIONTHS.of::<u32>("x", 4.3).is_err());
    }
}
