//! The pacer in front of simulated links.

use super::*;

const ROUND_TRIP: Duration = Duration::from_millis(40);

/// A link of so many bytes a second in front of a terminal that reports; time is a number here.
struct SimulatedLink {
    rate: f64,
    pacer: Pacer,
    now: Instant,
    /// When all that was sent is delivered.
    delivered: Instant,
    /// When reports come.
    reports: VecDeque<Instant>,
}

impl SimulatedLink {
    fn new(rate: f64) -> Self {
        let now = Instant::now();
        Self { rate, pacer: Pacer::new(now), now, delivered: now, reports: VecDeque::new() }
    }

    fn send(&mut self, bytes: u64, requested: bool) {
        let took = Duration::from_secs_f64(bytes as f64 / self.rate);
        self.delivered = self.delivered.max(self.now) + took;
        if requested {
            self.pacer.requested(self.now);
            self.reports.push_back(self.delivered + ROUND_TRIP);
        }
    }

    /// Sends the next frame of `wanted` bytes, or the part of it that may be sent; returns how long all takes that is
    /// under way then, and the bytes of the frame.
    fn frame(&mut self, redraw: Redraw, wanted: u64) -> (Duration, u64) {
        loop {
            let due = self.pacer.due(redraw, self.now);
            let report = self.reports.front().copied().filter(|at| *at <= due.max(self.now));
            if let Some(at) = report {
                self.reports.pop_front();
                self.now = self.now.max(at);
                self.pacer.reported(self.now);
                continue;
            }
            self.now = self.now.max(due);
            if !self.pacer.measures_round_trip(self.now) {
                break;
            }
            self.send(0, true);
        }
        let bytes = self.pacer.budget(redraw).map_or(wanted, |budget| wanted.min(budget));
        let requested = self.pacer.request_from().is_some_and(|least| bytes >= least);
        self.pacer.rendered(self.now, bytes);
        self.send(bytes, requested);
        (self.delivered - self.now, bytes)
    }
}

#[test]
fn a_large_frame_delays_the_next_one() {
    let start = Instant::now();
    let mut pacer = Pacer::new(start);
    let mut after = |bytes| {
        pacer.rendered(start, bytes);
        pacer.due(Redraw::Soon, start) - start
    };
    assert_eq!(after(100), BETWEEN);
    assert_eq!(after(12_000), Duration::from_millis(500));
    assert_eq!(after(10_000_000), Duration::from_secs(1));
    assert_eq!(pacer.due(Redraw::Now, start), start);
}

#[test]
fn a_terminal_that_does_not_report_is_sent_whole_frames_and_soon_not_asked_any_more() {
    let start = Instant::now();
    let (mut pacer, mut now, mut requests) = (Pacer::new(start), start, 0);
    for _ in 0..100 {
        if pacer.measures_round_trip(now) {
            pacer.requested(now);
            requests += 1;
        }
        assert_eq!((pacer.due(Redraw::Now, now), pacer.budget(Redraw::Soon)), (now, None));
        let request = pacer.request_from().is_some();
        pacer.rendered(now, 2_000);
        if request {
            pacer.requested(now);
            requests += 1;
        }
        now += BETWEEN;
    }
    assert_eq!(requests, ATTEMPTS);
    assert_eq!(pacer.link(now).capacity, None);
    assert!((pacer.link(now).sent - 20_000.0).abs() < 1_000.0, "{}", pacer.link(now).sent);
}

#[test]
fn on_a_slow_link_what_is_under_way_takes_a_fraction_of_a_second_and_a_key_is_not_behind_more() {
    for rate in [1_000.0, 5_000.0, 20_000.0] {
        let mut link = SimulatedLink::new(rate);
        // A frame that takes four seconds.
        let whole = 4 * rate as u64;
        for i in 0..300 {
            let (under_way, _) = link.frame(if i % 2 == 0 { Redraw::Soon } else { Redraw::Rest }, whole);
            // The rate has to be found out first.
            if i > 30 {
                assert!(under_way < Duration::from_millis(600), "{rate}: frame {i} {under_way:?}");
                assert!(rate < 5_000.0 || under_way < Duration::from_millis(200), "{rate}: frame {i} {under_way:?}");
            }
            if i > 30 && i % 7 == 0 {
                let (under_way, bytes) = link.frame(Redraw::Now, whole);
                assert!(rate < 5_000.0 || under_way < Duration::from_millis(350), "{rate}: key {i} {under_way:?}");
                assert!(bytes >= LEAST, "{rate}: {bytes}");
            }
        }
        let Some(Capacity::Measured(found)) = link.pacer.link(link.now).capacity else { panic!("{rate}") };
        assert!((found / rate - 1.0).abs() < 0.1, "{found} for {rate}");
        // The link is used, not only spared.
        let sent = link.pacer.link(link.now).sent;
        assert!(sent > 0.6 * rate && sent < 1.2 * rate, "{sent} of {rate}");
    }
}

#[test]
fn on_a_fast_link_frames_are_whole_and_as_many_as_without_reports() {
    let mut link = SimulatedLink::new(50e6);
    // What the first frame on the screen takes.
    let mut rest = 20_000;
    for _ in 0..5 {
        rest -= link.frame(Redraw::Now, rest).1;
    }
    assert_eq!(rest, 0);
    let start = link.now;
    for _ in 0..200 {
        let bytes = link.frame(Redraw::Soon, 2_000).1;
        assert_eq!(bytes, 2_000);
    }
    let seconds = (link.now - start).as_secs_f64();
    assert!(seconds < 21.0, "{seconds} s for 200 frames");
    assert!(matches!(link.pacer.link(link.now).capacity, Some(Capacity::AtLeast(rate)) if rate > 50_000.0));
}

#[test]
fn a_link_that_becomes_slow_is_found_out_and_so_is_a_longer_round_trip() {
    let mut link = SimulatedLink::new(50e6);
    for _ in 0..100 {
        link.frame(Redraw::Soon, 2_000);
    }
    link.rate = 5_000.0;
    for _ in 0..60 {
        link.frame(Redraw::Soon, 20_000);
    }
    let (under_way, _) = link.frame(Redraw::Soon, 20_000);
    assert!(under_way < Duration::from_millis(250), "{under_way:?}");

    let start = Instant::now();
    let mut estimate = Estimate::new(start);
    let mut now = start;
    for i in 0..20 {
        let round_trip = Duration::from_millis(if i < 3 { 20 } else { 200 });
        estimate.reported(now, 0, now + round_trip);
        now += Duration::from_secs(10);
    }
    assert_eq!(estimate.round_trip, Some(Duration::from_millis(200)));
}

#[test]
fn reports_that_are_lost_do_not_slow_down_what_follows() {
    let mut link = SimulatedLink::new(5_000.0);
    for _ in 0..50 {
        link.frame(Redraw::Rest, 20_000);
    }
    link.reports.clear();
    for _ in 0..20 {
        link.frame(Redraw::Rest, 20_000);
    }
    let start = link.now;
    for _ in 0..50 {
        link.frame(Redraw::Rest, 20_000);
    }
    assert!(link.now - start < Duration::from_secs(10), "{:?}", link.now - start);
    assert!(link.pacer.requests.len() < 4);
}

#[test]
fn a_report_that_does_not_come_is_waited_for_only_so_long() {
    let mut link = SimulatedLink::new(5_000.0);
    for _ in 0..50 {
        link.frame(Redraw::Soon, 20_000);
    }
    // The link is stalled: a frame each second, smaller and smaller.
    link.reports.clear();
    let mut times = Vec::new();
    for _ in 0..8 {
        link.frame(Redraw::Rest, 20_000);
        link.reports.clear();
        times.push(link.now);
    }
    assert!(times.windows(2).skip(2).all(|pair| pair[1] - pair[0] >= PATIENCE), "{times:?}");
    assert!(link.pacer.budget(Redraw::Rest).is_some_and(|budget| budget <= 450));
    // After a while it counts as one that does not report, and is asked some times more.
    for _ in 0..40 {
        link.frame(Redraw::Rest, 2_000);
        link.reports.clear();
    }
    assert_eq!((link.pacer.budget(Redraw::Rest), link.pacer.request_from()), (None, None));
    // Whatever comes late is taken as a sign that it does.
    link.pacer.reported(link.now);
    assert!(link.pacer.budget(Redraw::Rest).is_some());
}

#[test]
fn reports_that_come_late_and_together_do_not_make_a_link_seem_faster() {
    let start = Instant::now();
    let mut estimate = Estimate::new(start);
    estimate.reported(start, 0, start + ROUND_TRIP);
    // Pieces of 500 bytes at 5,000 bytes a second, always two of them sent at once; each second report is on time, and
    // the one before comes with it.
    for i in 1..50 {
        let sent = start + Duration::from_millis(200) * i;
        let reported = sent + ROUND_TRIP + Duration::from_millis(200);
        estimate.reported(sent, 500, reported);
        estimate.reported(sent, 500, reported);
        if i > 5 {
            assert!((estimate.rate / 5_000.0 - 1.0).abs() < 0.3, "{}", estimate.rate);
        }
    }
}
