//! A graph as a recurrence on the CPU: one token of sixteen sequences after the other.
//!
//! Each step keeps what it needs of the tokens so far, such as a state, or keys and values ([`TokenReader`]), so that a
//! new token costs no more than that takes. The last token, the query's, has the answer that the graph gives at once.

use std::ops::Range;

use dfdx::prelude::{Cpu, NoneTape};

use super::cpu::Params;
use super::{Graph, GraphBuilder, Node, Sequence, Size, places};
use crate::nn::step::{NodeId, Step, TokenReader, Values};
use crate::nn::tensor::DeviceResult;
use crate::simd::{Buffer, Lane};

/// A graph that reads tokens as they arrive.
pub struct Recurrence {
    nodes: Vec<Node>,
    params: Vec<Vec<f32>>,
    /// Of every node; `None` of the tokens, and of what no other node needs.
    readers: Vec<Option<Box<dyn TokenReader>>>,
    /// Where what each node makes of a token lies.
    places: Vec<Range<usize>>,
    memory: Buffer,
}

impl Recurrence {
    /// Of the graph that `record` makes for sequences of this size; `None` if one of its steps cannot read one token
    /// after the other.
    ///
    /// # Errors
    /// There is no memory for the weights.
    pub fn new(
        size: Size,
        record: impl FnOnce(Sequence<'_, Cpu, NoneTape>) -> Sequence<'_, Cpu, NoneTape>,
    ) -> DeviceResult<Option<Self>, Cpu> {
        let builder = GraphBuilder::of(size);
        let Graph { nodes, params } = record(builder.tokens()).graph();
        let Some(readers) = readers(&nodes) else { return Ok(None) };
        let width = |(i, node): (usize, &Node)| if i == 0 { 0 } else { node.size.width };
        let places = places(nodes.iter().enumerate().map(width));
        let memory = Buffer::zeros(places.last().map_or(0, |last| last.end));
        Ok(Some(Self { params: Params::read(params, &mut NoneTape)?.values, nodes, readers, places, memory }))
    }

    /// Forgets all tokens.
    pub fn restart(&mut self) {
        self.readers = readers(&self.nodes).unwrap_or_default();
    }

    /// Reads the next token of each sequence, (width), and returns what the graph makes of the tokens so far: the last
    /// token of its result.
    pub fn read(&mut self, token: &[Lane]) -> &[Lane] {
        let Self { params, readers, places, memory, .. } = self;
        let mut last = 0..0;
        for (reader, place) in readers.iter_mut().zip(&*places) {
            let Some(reader) = reader else { continue };
            let (before, now) = memory.split_at_mut(place.start);
            let given = Values { tokens: token, memory: before, places, params, grad_target: None };
            reader.read(given, &mut now[..place.len()]);
            last = place.clone();
        }
        &self.memory[last]
    }
}

/// Of every node, as at the start of a sequence.
fn readers(nodes: &[Node]) -> Option<Vec<Option<Box<dyn TokenReader>>>> {
    let length = |node: NodeId| nodes[node.0].size.length;
    let reader = |node: &Node| match &node.step {
        Some(step) => step.token_reader(&length).map(Some),
        None => Some(None),
    };
    nodes.iter().map(reader).collect()
}
