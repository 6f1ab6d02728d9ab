//! Moments as people write them: RFC 3339, to the second.

use symphony_types::time::OrderedMillis;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Reads a moment; nothing before 1970 and no other form.
pub fn parse(text: &str) -> Option<OrderedMillis> {
    let seconds = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp();
    u64::try_from(seconds).ok()?.checked_mul(1000).map(OrderedMillis)
}

/// Writes a moment; one that has no such form in milliseconds.
pub fn text(at: OrderedMillis) -> String {
    let seconds = i64::try_from(at.0 / 1000).ok();
    let date = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    date.and_then(|date| date.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{} ms", at.0))
}
