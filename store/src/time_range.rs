//! A span of time: from inclusive, to exclusive.

/// Nanoseconds since the Unix epoch, `start` inclusive, `end` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TimeRange {
    /// The first nanosecond inside.
    pub start: i64,
    /// The first nanosecond after.
    pub end: i64,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { start: i64::MIN, end: i64::MAX };

    /// Whether the moment lies inside. The last representable nanosecond belongs to [`Self::ALL`].
    pub const fn contains(self, time: i64) -> bool {
        time >= self.start && (time < self.end || self.end == i64::MAX)
    }

    /// Whether a closed interval of times (both ends included) touches the range.
    pub const fn touches(self, min: i64, max: i64) -> bool {
        max >= self.start && (min < self.end || self.end == i64::MAX)
    }

    /// Whether a closed interval of times lies inside the range as a whole.
    pub const fn covers(self, min: i64, max: i64) -> bool {
        self.contains(min) && self.contains(max)
    }
}
