use innerloop::{preset, train::*};
use std::time::Instant;
fn main() {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap();
    let mut p: preset::Preset = preset::parse(&path, &std::fs::read_to_string(&path).unwrap()).unwrap();
    for a in args {
        let (k, v) = a.split_once('=').unwrap();
        match k {
            "lr" => p.train.lr = v.parse().unwrap(),
            "steps" => p.train.steps = v.parse().unwrap(),
            "batch" => p.train.batch = v.parse().unwrap(),
            "seed" => p.train.seed = v.parse().unwrap(),
            "every" => p.train.measure_every = v.parse().unwrap(),
            "warmup" => p.train.warmup = v.parse().unwrap(),
            "clip" => p.train.clip = Some(v.parse().unwrap()),
            "final" => p.train.final_lr = v.parse().unwrap(),
            _ => panic!(),
        }
    }
    let t = Instant::now();
    let mut e = Experiment::start("x", p, DeviceChoice::Cpu).unwrap();
    println!(
        "open {:?} {:?}",
        t.elapsed(),
        e.references().iter().map(|r| (r.tuned.reference.to_string(), r.loss, r.tuned.eta)).collect::<Vec<_>>()
    );
    let (mut ts, mut tm) = (0.0, 0.0);
    let show = |m: &Measurement| {
        println!(
            "{:6} eval {:.4} rel {:.4} cos {:.5} gap {:+.4} state {:?} {} ",
            m.step,
            m.eval_loss,
            m.equivalence.prediction_difference_relative,
            m.equivalence.sensitivity_cosine,
            m.equivalence.loss_gap,
            m.equivalence.state_cosine,
            m.equivalence.nearest
        )
    };
    show(e.history.latest.as_ref().unwrap());
    while !e.finished() {
        let t = Instant::now();
        let a = e.advance().unwrap();
        let dt = t.elapsed().as_secs_f64();
        if let Some(m) = a.measurement {
            tm += dt;
            if m.step % (e.preset.train.steps / 20).max(1) == 0 {
                show(&m)
            }
        } else {
            ts += dt
        }
        if a.diverged {
            println!("diverged {:?}", a.report);
            break;
        }
    }
    let t = Instant::now();
    e.snapshot().unwrap();
    println!("steps {ts:.2}s measures {tm:.2}s  {:.0}/s snapshot {:?}", e.step() as f64 / ts, t.elapsed());
}
