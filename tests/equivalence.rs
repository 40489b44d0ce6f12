//! What the presets promise, as measured.

use innerloop::preset::{self, Preset};
use innerloop::reference::{Descent, Reference};
use innerloop::task::Task;
use innerloop::train::{DeviceChoice, Equivalence, Experiment, Scope, shifts};

fn load(name: &str) -> Preset {
    preset::find(name).expect("a preset of our own").1
}

fn open(preset: Preset) -> Experiment {
    Experiment::start("test", preset, DeviceChoice::Cpu).expect("a start")
}

/// Trains a preset to its end and measures it on all held-out tasks.
fn trained(name: &str) -> Equivalence {
    let mut experiment = open(load(name));
    while !experiment.finished() {
        assert!(experiment.advance(1).expect("a step").diverged.is_none());
    }
    experiment.measure(Scope::All).expect("a measurement").equivalence
}

#[test]
fn the_constructions_equal_gradient_descent_before_any_training() {
    for name in ["gd-ssm-constructed", "linear-attention-constructed", "product-constructed"] {
        let equal = open(load(name)).measure(Scope::All).expect("a measurement").equivalence;
        assert!(equal.prediction_difference_relative <= 1e-5, "{name}: {equal:?}");
        assert!(equal.sensitivity_cosine >= 0.999_999 && equal.loss_gap.abs() <= 1e-5, "{name}: {equal:?}");
        // The state of GD-SSM is compared as it is, those of the others as their learnt weights read them.
        let (raw, read) = (equal.state_cosine, equal.read_state_cosine);
        assert_eq!(raw.is_some(), name == "gd-ssm-constructed", "{name}");
        assert!(raw.or(read).expect("a state") >= 0.999_999 && raw.xor(read).is_some(), "{name}: {equal:?}");
        assert!(equal.parameter_difference.expect("a construction") <= 1e-6, "{name}: {equal:?}");
        assert_eq!(equal.nearest_within(), Some(Reference::Gd(1)), "{name}");
        assert!(equal.nearest_distance() <= 1e-4 && equal.ties.is_empty(), "{name}: {equal:?}");
    }
    for (name, reference) in [("gd-ssm-3-constructed", Reference::Gd(3)), ("ridge-layer-constructed", Reference::Ridge)]
    {
        let equal = open(load(name)).measure(Scope::All).expect("a measurement").equivalence;
        let distance = equal.distances.iter().find(|(other, _)| *other == reference).expect("it").1;
        assert!(distance <= 1e-4 && equal.parameter_difference <= Some(1e-4), "{name}: {distance} {equal:?}");
        assert_eq!(equal.nearest, reference, "{name}");
    }
}

#[test]
fn off_the_distribution_a_construction_is_the_learner_with_its_gain_frozen() {
    for name in
        ["gd-ssm-constructed", "gd-ssm-3-constructed", "linear-attention-constructed", "ridge-layer-constructed"]
    {
        let experiment = open(load(name));
        for shifted in shifts(&experiment.preset) {
            let shift = experiment.measure_shift(shifted).expect("a measurement");
            let steps = if name == "gd-ssm-3-constructed" { 3 } else { 1 };
            let expected = match (name, shift.name.starts_with("N ×")) {
                ("ridge-layer-constructed", _) => Reference::Ridge,
                (_, true) => Reference::Frozen(Descent::Gd(steps)),
                (_, false) => Reference::Gd(steps),
            };
            assert_eq!(shift.nearest, expected, "{name}, {}", shift.name);
            assert!(shift.nearest_distance <= 1e-4, "{name}, {}: {}", shift.name, shift.nearest_distance);
        }
    }
}

#[test]
fn differences_are_judged_on_the_same_tasks() {
    let mut experiment = open(load("gd-ssm-constructed"));
    let measurement = experiment.measure(Scope::All).expect("a measurement");
    let to = |reference| measurement.loss_differences.iter().find(|d| d.reference == reference).expect("it");
    // Both are one gradient step: the losses have errors, their difference has next to none.
    assert!(measurement.eval_loss_standard_error > 1e-3);
    assert!(to(Reference::Gd(1)).standard_error < 1e-6 && to(Reference::Gd(1)).mean.abs() < 1e-6);
    let two = to(Reference::Gd(2));
    assert!(two.mean > 10.0 * two.standard_error, "{two:?}");
    assert!(two.standard_error < 0.8 * measurement.eval_loss_standard_error, "{two:?}");
}

#[test]
fn gd_ssm_learns_one_step_of_gradient_descent() {
    let equal = trained("gd-ssm");
    assert!(equal.loss_gap.abs() <= 0.01, "{equal:?}");
    assert!(equal.sensitivity_cosine >= 0.999, "{equal:?}");
    assert!(equal.prediction_difference_relative <= 0.03, "{equal:?}");
    assert!(equal.state_cosine.expect("a state") >= 0.99, "{equal:?}");
    assert_eq!(equal.nearest_within(), Some(Reference::Gd(1)));
}

#[test]
fn the_other_presets_learn_it_too() {
    for name in ["first-look", "gd-ssm-scalar", "linear-attention"] {
        let equal = trained(name);
        assert!(equal.loss_gap.abs() <= 0.02, "{name}: {equal:?}");
        assert!(equal.prediction_difference_relative <= 0.05, "{name}: {equal:?}");
        assert!(equal.sensitivity_cosine >= 0.995, "{name}: {equal:?}");
        assert_eq!(equal.nearest, Reference::Gd(1), "{name}");
    }
}

#[test]
fn gd_1_agrees_with_its_closed_form_for_any_sizes() {
    for (dim, context, range, weight_scale) in
        [(10, 10, 1.0, 1.0), (3, 20, 2.0, 1.0), (5, 4, 0.5, 3.0), (2, 7, 4.0, 0.5)]
    {
        let mut preset = load("gd-ssm");
        let Task::Linear(task) = &mut preset.task else { panic!("not linear") };
        (task.dim, task.context, task.range, task.weight_scale) = (dim, context, range, weight_scale);
        let experiment = open(preset);
        let find = |reference| experiment.references().iter().find(|r| r.tuned.reference == reference).expect("it");

        let (d, n) = (dim as f64, context as f64);
        let (s2, m4) = (range * range / 12.0, range.powi(4) / 80.0);
        let trace = (d * m4 + d * (d - 1.0) * s2 * s2) / n + (1.0 - 1.0 / n) * d * s2 * s2;
        let zero = 0.5 * weight_scale * weight_scale * s2 * d;
        let best = zero * (1.0 - d * s2 * s2 / trace);
        let gd = find(Reference::Gd(1));
        let eta = gd.tuned.eta.expect("a step size");
        assert!((eta / (d * s2 / trace) - 1.0).abs() < 1e-9, "d {dim} N {context} r {range}: η {eta}");
        assert!((gd.loss / best - 1.0).abs() < 0.1, "d {dim} N {context} r {range}: {} against {best}", gd.loss);
        assert!((find(Reference::Zero).loss / zero - 1.0).abs() < 0.1, "d {dim} N {context} r {range}");
    }
}
