//! The damping μ of Levenberg–Marquardt: smaller after a step that lowers the loss, greater after one that does not.

/// What μ is divided by after a success, and multiplied by after a failure.
const FACTOR: f64 = 4.0;
/// μ stays within these.
const RANGE: [f64; 2] = [1e-9, 1e9];
/// Trials of a step at most. After as many failures the weights stay as they are, and the next step goes on from the
/// damping that was reached.
const MOST_TRIALS: u32 = 12;

/// μ, and the trials of the present step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Damping {
    /// μ, relative to the mean of the diagonal of the normal equations.
    pub value: f64,
    trials: u32,
}

impl Damping {
    pub fn new(value: f64) -> Self {
        Self { value, trials: 0 }
    }

    /// The loss has fallen: the step is done.
    pub fn succeed(&mut self) {
        *self = Self::new((self.value / FACTOR).max(RANGE[0]));
    }

    /// The loss has not fallen; returns whether the step is to be tried again.
    pub fn fail(&mut self) -> bool {
        let trials = self.trials + 1;
        let again = trials < MOST_TRIALS;
        *self = Self { value: (self.value * FACTOR).min(RANGE[1]), trials: if again { trials } else { 0 } };
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damping_follows_success_and_stays_within_its_range() {
        let mut damping = Damping::new(1.0);
        damping.succeed();
        assert_eq!(damping, Damping::new(0.25));
        assert!(damping.fail() && damping.value == 1.0);
        assert_eq!((1..).take_while(|_| damping.fail()).count() as u32, MOST_TRIALS - 2);
        (0..100).for_each(|_| damping.succeed());
        assert_eq!(damping, Damping::new(RANGE[0]));
    }
}
