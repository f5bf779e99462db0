//! What the steps of leaving get of the time that is left.

use std::time::Duration;

/// For the last words to the other nodes, and the word to the group.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How long handing over may take of the time that is left: closing gets what is configured, but no more than a third.
pub fn hand_over(left: Duration, closing: Duration) -> Duration {
    let left = left.saturating_sub(LAST_WORDS);
    left - closing.min(left / 3)
}

/// How long closing may take of the time that is left after that.
pub fn closing(left: Duration, configured: Duration) -> Duration {
    configured.min(left.saturating_sub(LAST_WORDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_steps_fit() {
        let check = |left, configured, expected: (u64, u64)| {
            let seconds = Duration::from_secs;
            let first = hand_over(seconds(left), seconds(configured));
            let second = closing(seconds(left) - first, seconds(configured));
            let (hand_over, closing) = expected;
            let expected = (seconds(hand_over), seconds(closing));
            assert_eq!((first, second), expected, "{left} {configured}");
        };
        check(120, 10, (100, 10));
        check(115, 10, (95, 10));
        check(100, 300, (60, 30));
        check(40, 10, (20, 10));
        check(19, 10, (6, 3));
        check(10, 10, (0, 0));
        check(0, 10, (0, 0));
    }

    #[test]
    fn who_was_quick_leaves_time_for_closing() {
        let seconds = Duration::from_secs;
        assert_eq!(closing(seconds(100), seconds(60)), seconds(60));
    }
}
