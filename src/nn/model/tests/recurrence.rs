//! Networks that read one token after the other.
#![cfg(test)]

use dfdx::prelude::HasShape;

use super::{answers, every, sample};
use crate::nn::Net;
use crate::nn::check::assert_close;
use crate::nn::graph::{Recurrence, Size};
use crate::nn::model::Init;
use crate::simd::{PackedBatch, unpack};

/// One token after the other, each network gives the answer that it gives of all tokens at once.
#[test]
fn a_recurrence_answers_as_the_graph_at_once() {
    let mut with_recurrence = String::new();
    for (spec, layout, task) in every(Init::Random) {
        let (_, model, batch, tokens) = sample(&spec, layout, &task);
        let (count, length, width) = *tokens.shape();
        let size = Size { length, width };
        let Some(mut recurrence) = Recurrence::new(size, |tokens| model.record(tokens)).unwrap() else { continue };
        let packed = PackedBatch::of_rows(&tokens.as_vec(), (length, width));
        let expected = answers(&model, tokens);
        for _ in 0..2 {
            let mut found = vec![0.0; expected.len()];
            for token in packed.blocks[0].chunks(width) {
                unpack(recurrence.read(token), &mut found);
            }
            assert_eq!(count, batch.size);
            assert_close(&found, &expected, 2e-5);
            recurrence.restart();
        }
        with_recurrence += &format!(" {spec:?}");
    }
    let fast_weights = ["DeltaNet(", "GatedDeltaNet(", "Longhorn(", "MLstm(", "RetNet(", "Rwkv7(", "Titans("];
    let scans = ["GdSsm(", "ProductSsm(", "Lru(", "S4d(", "S5(", "Mamba(", "Mamba2(", "Rnn(", "Gru(", "Lstm("];
    let names = fast_weights.into_iter().chain(scans).chain(["LinearAttention(", "Transformer("]);
    let missing: Vec<_> = names.filter(|name| !with_recurrence.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?} are not in {with_recurrence}");
    for without in [" GridSsm(", " Mlp(", "positions: true"] {
        assert!(!with_recurrence.contains(without), "{without}");
    }
}
