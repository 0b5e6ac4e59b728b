//! A host's clock: it began somewhere and runs a little too fast or too slow.

use crate::types::Time;

/// Local time as a function of true time, piecewise linear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clock {
    true_us: u64,
    local_us: u64,
    ppm: i32,
}

const MILLION: i64 = 1_000_000;
/// Thirty thousand years: whatever is later never comes in a simulation.
const HORIZON_US: u64 = 1 << 60;

impl Clock {
    /// A clock that shows `local_us` at the true time zero and runs `ppm` millionths too fast.
    pub(super) fn new(local_us: u64, ppm: i32) -> Self {
        Self { true_us: 0, local_us, ppm }
    }

    /// From `now` on it runs at another rate.
    pub(super) fn set_rate(&mut self, now: u64, ppm: i32) {
        *self = Self { true_us: now, local_us: self.local(now).as_micros(), ppm };
    }

    /// What the clock shows at the true time `now` (not before its last change of rate).
    pub(super) fn local(&self, now: u64) -> Time {
        let passed = now.saturating_sub(self.true_us).min(HORIZON_US) as i64;
        // In two parts, so that a product with a million fits whatever has passed.
        let (whole, rest, ppm) = (passed / MILLION, passed % MILLION, i64::from(self.ppm));
        let drift = whole * ppm + (rest * ppm).div_euclid(MILLION);
        Time::from_micros(self.local_us.saturating_add_signed(passed + drift))
    }

    /// The first true time at which the clock shows at least `local`; its last change of rate where that was earlier.
    pub(super) fn when(&self, local: Time) -> u64 {
        let passed = local.as_micros().saturating_sub(self.local_us);
        if passed >= HORIZON_US / 2 {
            return u64::MAX;
        }
        if self.ppm == 0 || passed == 0 {
            return self.true_us + passed;
        }
        let rate = (MILLION + i64::from(self.ppm)) as u128;
        let mut at = (u128::from(passed) * MILLION as u128 / rate) as u64;
        while self.local(self.true_us + at) < local {
            at += 1;
        }
        self.true_us + at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for ppm in [-100_000, -1_000, -7, 0, 3, 1_000, 100_000] {
            let mut clock = Clock::new(5_000_000, ppm);
            for change in [0, 1_000_000_000] {
                clock.set_rate(change, ppm);
                let later = [3_600_000_000, 30_000_000_000_001, 3_000_000_000_000_001].map(|passed| change + passed);
                for now in (change..change + 50_000).chain(later) {
                    let local = clock.local(now);
                    assert!(clock.when(local) <= now && clock.local(clock.when(local)) == local, "{ppm} {now}");
                    let next = Time::from_micros(local.as_micros() + 1);
                    assert!(clock.local(clock.when(next)) >= next && clock.when(next) > now);
                }
            }
        }
    }

    #[test]
    fn a_clock_never_goes_back_when_its_rate_changes() {
        let mut clock = Clock::new(0, 1_000);
        let before = clock.local(1_000_000);
        clock.set_rate(1_000_000, -1_000);
        assert_eq!((before, clock.local(1_000_000)), (Time::from_micros(1_001_000), Time::from_micros(1_001_000)));
        assert_eq!(clock.local(2_000_000), Time::from_micros(2_000_000));
        assert_eq!(clock.when(Time::NEVER), u64::MAX);
    }
}
