//! One run or several in one thread, in turn: the one that has had the least time goes next.
//!
//! Owns which run an order is for. Knows nothing of what a run does in its turn.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::run::{Activity, RunLoop};
use super::{Order, Source, Update};
use crate::bounds;
use crate::train::DeviceChoice;

/// How much more time than the others a run may have had before its turn ends. Short turns would leave every run's data
/// outside the caches, long ones would show.
const TURN: Duration = Duration::from_millis(5);
/// Time that a run catches up at most, after it waited for its pace or was stopped.
const MOST_BEHIND: Duration = Duration::from_millis(100);

/// A run, and the time that it has had.
struct Turn<'a> {
    run: RunLoop<'a>,
    spent: Duration,
    /// It has nothing to do until an order comes.
    stopped: bool,
}

/// Runs until the sender of orders is dropped. Every update says by its number which run it is of.
///
/// # Errors
/// A run cannot be opened.
pub fn run(
    sources: Vec<Source>,
    device: DeviceChoice,
    orders: Receiver<Order>,
    post: &(dyn Fn(Update) + Sync),
    cancelled: &AtomicBool,
) -> Result<()> {
    let several = sources.len() > 1;
    let posts: Vec<_> = (0..sources.len()).map(|run| move |update| post(Update { run, ..update })).collect();
    let mut turns = Vec::new();
    for (source, post) in sources.into_iter().zip(&posts) {
        let name = bounds::line(source.name());
        let opened = RunLoop::open(source, device, post, cancelled);
        let run = if several { opened.with_context(|| name)? } else { opened? };
        turns.push(Turn { run, spent: Duration::ZERO, stopped: false });
    }
    let (mut present, mut focus) = (0, 0);
    loop {
        loop {
            match orders.try_recv() {
                Ok(order) => handle(&mut turns, &mut focus, &order),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
        }
        present = next(turns.iter().map(|turn| (!turn.stopped).then_some(turn.spent)), present);
        let order = match work(&mut turns, present) {
            Activity::Worked => continue,
            Activity::Waits(wait) => orders.recv_timeout(wait),
            Activity::Stopped => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match order {
            Ok(order) => handle(&mut turns, &mut focus, &order),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// The run whose turn it is: the present one until it has had more time than another by a turn. `spent` is `None` for a
/// run that is stopped.
fn next(spent: impl Iterator<Item = Option<Duration>> + Clone, present: usize) -> usize {
    let here = spent.clone().nth(present).flatten();
    let behind = spent.enumerate().filter_map(|(i, spent)| Some((spent?, i))).min();
    match (behind, here) {
        (Some((_, other)), None) => other,
        (Some((least, other)), Some(here)) if least + TURN < here => other,
        (Some(_) | None, _) => present,
    }
}

/// Lets one run work: the one whose turn it is, or else the first of the others that has something to do.
fn work(turns: &mut [Turn], first: usize) -> Activity {
    let (mut least, runs): (Option<Duration>, usize) = (None, turns.len());
    for i in (0..runs).map(|i| (first + i) % runs) {
        if turns[i].stopped {
            continue;
        }
        let began = Instant::now();
        match turns[i].run.work() {
            Activity::Worked => {
                turns[i].spent += began.elapsed();
                let floor = turns[i].spent.saturating_sub(MOST_BEHIND);
                turns.iter_mut().for_each(|turn| turn.spent = turn.spent.max(floor));
                return Activity::Worked;
            }
            Activity::Waits(wait) => least = Some(least.map_or(wait, |least| least.min(wait))),
            Activity::Stopped => turns[i].stopped = true,
        }
    }
    least.map_or(Activity::Stopped, Activity::Waits)
}

/// Gives an order to the runs that it is for.
fn handle(turns: &mut [Turn], focus: &mut usize, order: &Order) {
    let (for_all, trains) = match order {
        Order::Focus(run) => {
            *focus = (*run).min(turns.len() - 1);
            return;
        }
        Order::Resume | Order::Step => (true, true),
        Order::Pause
        | Order::StopAt(_)
        | Order::Pace(_)
        | Order::SlowDown(_)
        | Order::Restart { .. }
        | Order::SnapshotParts(_)
        | Order::Save { .. } => (true, false),
        Order::ScaleLr(_) | Order::Shift | Order::Fit | Order::ContextCosts | Order::GoTo(_) | Order::Fork(_) => {
            (false, false)
        }
    };
    // A run that has finished goes on only when all have.
    let unfinished = turns.iter().any(|turn| !turn.run.finished());
    for (i, turn) in turns.iter_mut().enumerate() {
        if (for_all || i == *focus) && !(trains && unfinished && turn.run.finished()) {
            turn.run.handle(order.clone());
            turn.stopped = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_get_the_same_time_in_turns() {
        let mut spent = [Some(Duration::ZERO); 3];
        let (mut present, mut changes) = (0, 0);
        for _ in 0..3_000 {
            let next = next(spent.iter().copied(), present);
            changes += usize::from(next != present);
            present = next;
            // Steps of different lengths.
            let step = Duration::from_micros([30, 200, 1_000][present]);
            spent[present] = spent[present].map(|spent| spent + step);
        }
        let spent = spent.map(Option::unwrap_or_default);
        let (least, most) = (spent.iter().min().unwrap(), spent.iter().max().unwrap());
        assert!(*most - *least <= TURN + Duration::from_millis(1), "{spent:?}");
        assert!(changes > 10 && changes < 200, "{changes}");
    }

    #[test]
    fn a_run_that_is_stopped_has_no_turn() {
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(next([None, ms(50), ms(40)].into_iter(), 0), 2);
        assert_eq!(next([ms(50), None, None].into_iter(), 0), 0);
        assert_eq!(next([None, None].into_iter(), 1), 1);
    }
}
