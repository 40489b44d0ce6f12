//! Each task against its definition: parameters recovered from samples, or moments over many samples.

use super::*;

/// A task with d = d_out = 1, where y_i / x_i is the weight of pair i.
pub fn line() -> Linear {
    Linear {
        dim: 1,
        outputs: Outputs::Scalar,
        context: 8,
        range: 2.0,
        inputs: InputDistribution::Uniform,
        weight_scale: 1.0,
        noise: 0.0,
        distractors: 0,
        drift: 0.0,
        condition: 1.0,
        noise_correlation: 0.0,
        shuffled: false,
    }
}

fn sample(task: &Task, size: usize) -> Batch {
    task.sample(size, 7, Stream::Train, 0)
}

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count() as f64
}

/// The weight of each pair, and that of the query.
fn slopes(batch: &Batch) -> Vec<(Vec<f64>, f64)> {
    let ratio = |(x, y): (&f32, &f32)| f64::from(*y) / f64::from(*x);
    let tasks = batch.x.chunks(8).zip(batch.y.chunks(8)).zip(batch.query.iter().zip(&batch.target));
    tasks.map(|((x, y), query)| (x.iter().zip(y).map(ratio).collect(), ratio(query))).collect()
}

#[test]
fn weights_drift_by_tau_per_pair_and_the_query_uses_the_last() {
    let tasks = slopes(&sample(&Task::Linear(Linear { drift: 0.3, ..line() }), 4_000));
    let steps = || tasks.iter().flat_map(|(slopes, _)| slopes.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)));
    assert!((mean(steps().collect::<Vec<_>>().into_iter()).sqrt() / 0.3 - 1.0).abs() < 0.02);
    assert!(tasks.iter().all(|(slopes, query)| (slopes[7] - query).abs() < 1e-3));
    let first = mean(tasks.iter().map(|(slopes, _)| slopes[0].powi(2)));
    assert!((first - 1.0).abs() < 0.1, "{first}");
}

#[test]
fn distractors_are_at_random_positions_and_independent_of_x() {
    let batch = sample(&Task::Linear(Linear { distractors: 3, ..line() }), 4_000);
    let tasks = slopes(&batch);
    let replaced = |(slopes, query): &(Vec<f64>, f64)| slopes.iter().map(|s| (s - query).abs() > 1e-3).collect();
    let replaced: Vec<Vec<bool>> = tasks.iter().map(replaced).collect();
    // By chance a distractor can be close to the true target.
    assert!(replaced.iter().filter(|task| task.iter().filter(|m| **m).count() == 3).count() > 3_950);
    for place in 0..8 {
        let share = mean(replaced.iter().map(|task| f64::from(u8::from(task[place]))));
        assert!((share - 3.0 / 8.0).abs() < 0.04, "{place}: {share}");
    }
    let values = replaced.iter().flatten().zip(&batch.y).filter(|(replaced, _)| **replaced);
    assert!((mean(values.map(|(_, y)| f64::from(*y).powi(2))) - 1.0).abs() < 0.05);
}

#[test]
fn distractors_change_only_their_own_targets() {
    let plain = sample(&Task::Linear(line()), 50);
    let with = sample(&Task::Linear(Linear { distractors: 2, ..line() }), 50);
    assert_eq!((&plain.x, &plain.query, &plain.target), (&with.x, &with.query, &with.target));
    assert!(plain.y.iter().zip(&with.y).filter(|(a, b)| a != b).count() == 100);
}

#[test]
fn drift_with_distractors_and_too_many_distractors_are_errors() {
    let refused = |task: Linear| Task::Linear(task).check(Layout::Joined).unwrap_err().to_string();
    assert!(refused(Linear { drift: 0.1, distractors: 1, ..line() }).starts_with("task.drift: "));
    assert!(refused(Linear { distractors: 9, ..line() }).starts_with("task.distractors: 9 of 8"));
}

#[test]
fn the_variances_of_the_coordinates_fall_by_the_condition_number_and_keep_their_mean() {
    for inputs in [InputDistribution::Uniform, InputDistribution::Normal] {
        let batch = sample(&Task::Linear(Linear { dim: 4, condition: 27.0, inputs, ..line() }), 10_000);
        for x in [&batch.x, &batch.query] {
            let variance = |j: usize| mean(x.chunks(4).map(|x| f64::from(x[j]).powi(2)));
            let all: Vec<f64> = (0..4).map(variance).collect();
            // r²/12 with r = 2.
            assert!((all.iter().sum::<f64>() / 4.0 * 3.0 - 1.0).abs() < 0.05, "{all:?}");
            assert!(all.windows(2).all(|pair| (pair[0] / pair[1] / 3.0 - 1.0).abs() < 0.1), "{all:?}");
        }
        // Targets are those of the inputs as they are.
        let plain = Task::Linear(Linear { dim: 4, inputs, ..line() });
        assert!(sample(&plain, 10).x.iter().zip(&batch.x).all(|(plain, scaled)| (plain == scaled) == (*plain == 0.0)));
    }
}

#[test]
fn noise_with_memory_has_its_correlation_and_the_same_variance_at_every_pair() {
    for correlation in [0.8, -0.5] {
        let task = Linear { noise: 0.5, noise_correlation: correlation, ..line() };
        let batch = sample(&Task::Linear(task), 20_000);
        let noise: Vec<Vec<f64>> = batch
            .x
            .chunks(8)
            .zip(batch.y.chunks(8))
            .zip(batch.query.iter().zip(&batch.target))
            .map(|((x, y), (query, target))| {
                let slope = f64::from(*target) / f64::from(*query);
                x.iter().zip(y).map(|(x, y)| f64::from(*y) - slope * f64::from(*x)).collect()
            })
            .collect();
        for pair in [0, 3, 7] {
            let variance = mean(noise.iter().map(|noise| noise[pair].powi(2)));
            assert!((variance / 0.25 - 1.0).abs() < 0.05, "{pair}: {variance}");
        }
        let product = |apart: usize| mean(noise.iter().map(|noise| noise[2] * noise[2 + apart] / 0.25));
        assert!((product(1) - correlation).abs() < 0.03 && (product(2) - correlation * correlation).abs() < 0.03);
    }
}

#[test]
fn shuffled_pairs_are_the_same_pairs_in_another_order() {
    let task = Linear { dim: 3, drift: 0.2, noise: 0.1, ..line() };
    let shuffled = Linear { shuffled: true, ..task.clone() };
    assert!(Task::Linear(task.clone()).differs_in_order(&Task::Linear(shuffled.clone())));
    let [own, other] = [task, shuffled].map(|task| sample(&Task::Linear(task), 4_000));
    assert_eq!((&own.query, &own.target), (&other.query, &other.target));
    let pairs = |batch: &Batch, index: usize| -> Vec<(Vec<f32>, f32)> {
        let x = batch.x[index * 24..][..24].chunks(3).map(<[f32]>::to_vec);
        x.zip(batch.y[index * 8..][..8].iter().copied()).collect()
    };
    // Where the first pair went, of all tasks.
    let mut places = [0; 8];
    for index in 0..4_000 {
        let (own, other) = (pairs(&own, index), pairs(&other, index));
        assert!(own.iter().all(|pair| other.contains(pair)));
        places[other.iter().position(|pair| *pair == own[0]).unwrap()] += 1;
    }
    assert!(places.iter().all(|count| (430..570).contains(count)), "{places:?}");
}

#[test]
fn amplitude_and_phase_of_a_sine_are_independent() {
    let task = Task::Sine(Sine { context: 3, range: 10.0, a_min: 0.1, a_max: 0.5 });
    let batch = sample(&task, 20_000);
    let mut waves = Vec::new();
    for (i, (x, y)) in batch.x.chunks(3).zip(batch.y.chunks(3)).enumerate() {
        // y = A sin x + B cos x from two pairs; the others must agree.
        let [s0, c0, s1, c1] = [x[0].sin(), x[0].cos(), x[1].sin(), x[1].cos()].map(f64::from);
        let determinant = s0 * c1 - s1 * c0;
        if determinant.abs() < 0.1 {
            continue;
        }
        let (y0, y1) = (f64::from(y[0]), f64::from(y[1]));
        let (a, b) = ((y0 * c1 - y1 * c0) / determinant, (s0 * y1 - s1 * y0) / determinant);
        for (x, y) in [(x[2], y[2]), (batch.query[i], batch.target[i])].map(|(x, y)| (f64::from(x), f64::from(y))) {
            assert!((a * x.sin() + b * x.cos() - y).abs() < 1e-4);
        }
        waves.push((a.hypot(b), b.atan2(a)));
    }
    let (size, phase) = (mean(waves.iter().map(|w| w.0)), mean(waves.iter().map(|w| w.1)));
    assert!((size - 0.3).abs() < 0.005 && (phase - std::f64::consts::FRAC_PI_2).abs() < 0.03, "{size} {phase}");
    let together = mean(waves.iter().map(|w| (w.0 - size) * (w.1 - phase)));
    assert!(together.abs() < 0.005, "{together}");
    assert!(waves.iter().all(|w| w.0 > 0.0999 && w.0 < 0.5001 && w.1 > -1e-3));
    assert!(Task::Sine(Sine { context: 3, range: 10.0, a_min: 0.6, a_max: 0.5 }).check(Layout::Joined).is_err());
}

#[test]
fn two_classes_in_one_dimension_are_half_lines() {
    let two = Task::Classification(Classification {
        dim: 1,
        classes: 2,
        context: 8,
        range: 2.0,
        inputs: InputDistribution::Normal,
    });
    let batch = sample(&two, 500);
    for task in 0..500 {
        let side = |x: f32, y: &[f32]| (x > 0.0) == (y[0] == 1.0);
        let query = side(batch.query[task], &batch.target[2 * task..]);
        for i in 8 * task..8 * task + 8 {
            assert_eq!(batch.y[2 * i] + batch.y[2 * i + 1], 1.0);
            assert_eq!(side(batch.x[i], &batch.y[2 * i..]), query);
        }
    }
    let four = Task::Classification(Classification {
        dim: 5,
        classes: 4,
        context: 8,
        range: 2.0,
        inputs: InputDistribution::Uniform,
    });
    let batch = sample(&four, 4_000);
    for class in 0..4 {
        let share = mean(batch.target.chunks(4).map(|y| f64::from(y[class])));
        assert!((share - 0.25).abs() < 0.02, "{class}: {share}");
    }
    assert!(four.check(Layout::Interleaved).is_ok());
    assert!(two.check(Layout::Interleaved).unwrap_err().to_string().starts_with("layout: "));
}

#[test]
fn targets_of_differentiation_equal_central_differences() {
    let signal = |frequency| {
        let task = Differentiation { dim: 2, context: 30, waves: 3, frequency, scale: 2.0 };
        sample(&Task::Differentiation(task), 4_000)
    };
    let slow = signal(0.05);
    for (u, slope) in slow.x.chunks(60).zip(slow.y.chunks(60)) {
        for t in 1..29 {
            for channel in 0..2 {
                let around = 0.5 * (u[2 * t + 2 + channel] - u[2 * t - 2 + channel]);
                // Third derivatives are at most Ω² times the first; amplitudes reach about 10.
                assert!((around - slope[2 * t + channel]).abs() < 0.05f32.powi(3) / 6.0 * 20.0);
            }
        }
    }
    let fast = signal(1.5);
    let square = |values: &[f32]| mean(values.iter().map(|v| f64::from(*v).powi(2)));
    for (values, expected) in [(&fast.x, 4.0), (&fast.query, 4.0), (&fast.y, 4.0 * 0.75), (&fast.target, 4.0 * 0.75)] {
        assert!((square(values) / expected - 1.0).abs() < 0.08, "{} not {expected}", square(values));
    }
    let together = mean(fast.query.iter().zip(&fast.target).map(|(u, s)| f64::from(u * s)));
    assert!(together.abs() < 0.1, "{together}");
}

#[test]
fn a_shortened_context_is_a_prefix() {
    let batch = sample(&Task::Linear(Linear { dim: 2, outputs: Outputs::Vector, ..line() }), 3);
    let short = batch.shortened(5);
    assert_eq!((short.shape.context, short.x.len(), short.y.len()), (5, 30, 30));
    for task in 0..3 {
        assert_eq!(short.x[task * 10..][..10], batch.x[task * 16..][..10]);
        assert_eq!(short.y[task * 10..][..10], batch.y[task * 16..][..10]);
    }
    assert_eq!((&short.query, &short.target), (&batch.query, &batch.target));
    assert_eq!(batch.shortened(8), batch);
    assert!(batch.shortened(0).x.is_empty());
}

#[test]
fn accumulators_equal_accumulator_for_each_range() {
    let batch = sample(&Task::Linear(Linear { dim: 2, outputs: Outputs::Vector, ..line() }), 2);
    let ranges = [0..1, 0..3, 0..3, 2..5, 1..8, 1..4, 0..99];
    let together: Vec<_> = batch.accumulators(1, ranges.clone().into_iter()).collect();
    let each: Vec<_> = ranges.into_iter().map(|pairs| batch.accumulator(1, pairs)).collect();
    assert_eq!(together, each);
    assert_eq!(each[1].len(), 4);
}

#[test]
fn tokens_sampled_packed_equal_the_encoded_batch() {
    let vector = Linear { dim: 3, outputs: Outputs::Vector, ..line() };
    let scalar = Linear { dim: 3, ..line() };
    let noisy = Linear { noise: 0.2, inputs: InputDistribution::Normal, context: 3, ..vector.clone() };
    let drifting = Linear { drift: 0.2, ..vector.clone() };
    for task in [vector, scalar, noisy, drifting].map(Task::Linear) {
        for layout in [Layout::Interleaved, Layout::Joined, Layout::Product, Layout::QueryFirst, Layout::QueryMiddle] {
            let batch = sample(&task, 37);
            let key = StreamKey { seed: 7, stream: Stream::Train, step: 0 };
            let (tokens, target) = task.sample_tokens(layout, 37, key);
            assert_eq!((tokens.rows(), target), (layout.encode(&batch), batch.target), "{layout:?}");
        }
    }
}

#[test]
fn weights_on_a_grid_are_a_gaussian_field_of_its_length() {
    let grid = LinearGrid {
        dim: 1,
        outputs: Outputs::Scalar,
        rows: 3,
        columns: 5,
        range: 2.0,
        length: 1.3,
        weight_scale: 2.0,
        noise: 0.0,
    };
    let batch = sample(&Task::LinearGrid(grid.clone()), 20_000);
    assert_eq!(batch.shape.context, 14);
    let ratio = |(y, x): (&f32, &f32)| f64::from(*y) / f64::from(*x);
    let pairs: Vec<f64> = batch.y.iter().zip(&batch.x).map(ratio).collect();
    let queries: Vec<f64> = batch.target.iter().zip(&batch.query).map(ratio).collect();
    // Row by row, with the query's cell in the middle.
    let cells = pairs.chunks(14).zip(queries).map(|(pairs, query)| [&pairs[..7], &[query], &pairs[7..]].concat());
    let cells: Vec<Vec<f64>> = cells.collect();
    for (one, other) in [(7, 7), (7, 6), (7, 2), (7, 12), (0, 0), (0, 1), (0, 5), (0, 14), (9, 3)] {
        let covariance = mean(cells.iter().map(|cell| cell[one] * cell[other]));
        let (rows, columns) = ((one / 5).abs_diff(other / 5), (one % 5).abs_diff(other % 5));
        let expected = 4.0 * (-0.5 * (rows * rows + columns * columns) as f64 / 1.69).exp();
        assert!((covariance - expected).abs() < 0.12, "{one} {other}: {covariance} not {expected}");
    }
    let noisy = sample(&Task::LinearGrid(LinearGrid { noise: 0.5, ..grid.clone() }), 2_000);
    let noise = mean(noisy.y.iter().zip(&batch.y).map(|(noisy, y)| f64::from(noisy - y).powi(2)));
    assert!((noise / 0.25 - 1.0).abs() < 0.05, "{noise}");
    assert_eq!(noisy.target, batch.target[..2_000]);
    let refused = |grid: LinearGrid| Task::LinearGrid(grid).check(Layout::QueryMiddle).unwrap_err().to_string();
    assert!(refused(LinearGrid { columns: 4, ..grid.clone() }).starts_with("task.columns: 4 is even"));
    assert!(refused(LinearGrid { rows: 1, columns: 1, ..grid }).starts_with("task.rows: "));
}
