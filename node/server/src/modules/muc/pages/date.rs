//! Days, as pages are called by them. In UTC.

use std::fmt;

const DAY_MS: u64 = 86_400_000;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// A day of the Gregorian calendar, from 1970 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Date {
    pub(super) year: u64,
    pub(super) month: u8,
    pub(super) day: u8,
}

impl Date {
    /// The day of a moment, in milliseconds since 1970.
    pub(super) fn of(time_ms: u64) -> Self {
        // Years begin in March here, so that the day that is sometimes there is the last; an era has 400 of them.
        let days = time_ms / DAY_MS + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        Self {
            year: era * 400 + year + u64::from(month <= 2),
            month: u8::try_from(month).unwrap_or(1),
            day: u8::try_from(day).unwrap_or(1),
        }
    }

    /// `2026-11`
    pub(super) fn month_key(self) -> String {
        format!("{:04}-{:02}", self.year, self.month)
    }

    /// The first of a month that is called so.
    pub(super) fn first_of(month: &str) -> Option<Self> {
        let (year, month) = month.split_once('-')?;
        let date = Self {
            year: year.parse().ok()?,
            month: month.parse().ok()?,
            day: 1,
        };
        ((1970..=9999).contains(&date.year) && (1..=12).contains(&date.month)).then_some(date)
    }

    /// Of this month another day.
    pub(super) fn with_day(self, day: u8) -> Self {
        Self { day, ..self }
    }

    /// `November 2026`
    pub(super) fn month_name(self) -> String {
        format!("{} {}", MONTHS[usize::from(self.month) - 1], self.year)
    }

    /// `23 Nov`
    pub(super) fn short(self) -> String {
        format!("{} {}", self.day, &MONTHS[usize::from(self.month) - 1][..3])
    }

    /// Days of its month.
    pub(super) fn days(self) -> u8 {
        let is_leap = (self.year.is_multiple_of(4) && !self.year.is_multiple_of(100))
            || self.year.is_multiple_of(400);
        match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if is_leap => 29,
            2 => 28,
            _ => 31,
        }
    }

    /// 0: a Monday.
    pub(super) fn weekday(self) -> usize {
        // Sakamoto's way, which has 0 for a Sunday.
        let shift = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
        let year = self.year - u64::from(self.month < 3);
        let sum = year + year / 4 - year / 100 + year / 400;
        let sum = sum + shift[usize::from(self.month) - 1] + u64::from(self.day);
        usize::try_from((sum + 6) % 7).unwrap_or(0)
    }
}

/// `Monday, 23 November 2026`
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weekday = WEEKDAYS[self.weekday()];
        write!(f, "{weekday}, {} {}", self.day, self.month_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let check = |time_ms, month: &str, text: &str| {
            let date = Date::of(time_ms);
            assert_eq!(
                (date.month_key().as_str(), date.to_string().as_str()),
                (month, text)
            );
            assert_eq!(Date::first_of(month), Some(date.with_day(1)));
            assert!(date.day <= date.days());
        };
        check(0, "1970-01", "Thursday, 1 January 1970");
        check(951_782_400_000, "2000-02", "Tuesday, 29 February 2000");
        check(951_868_800_000, "2000-03", "Wednesday, 1 March 2000");
        check(1_704_067_199_999, "2023-12", "Sunday, 31 December 2023");
        check(1_704_067_200_000, "2024-01", "Monday, 1 January 2024");
        check(1_795_392_000_000, "2026-11", "Monday, 23 November 2026");
        // Each day follows the one before.
        let mut before = Date::of(0);
        for day in 1..60_000 {
            let date = Date::of(day * DAY_MS);
            assert_eq!(date.weekday(), (before.weekday() + 1) % 7);
            match date.day {
                1 => assert_eq!(before.day, before.days(), "{before}"),
                day => assert_eq!(day, before.day + 1, "{before}"),
            }
            before = date;
        }
        for wrong in ["", "2026", "2026-13", "2026-00", "x-1", "1-1"] {
            assert_eq!(Date::first_of(wrong), None, "{wrong}");
        }
    }
}
