//! The weights of a network, declared once, as a table of names, shapes and initial values.
//!
//! [`weights!`] turns such a table into the struct's fields, their initial values, the count of their numbers and the
//! list of parameters. A row is a matrix ([`weight`]) or a part that has a table of its own, such as a linear layer;
//! rows are initialised from top to bottom.

use rand::RngCore;

use super::layer::init::Start;
use super::{Device, DeviceResult, Param};

/// A part of a network that has weights: a matrix, a layer, a list of layers, or a whole model.
pub trait Weights<D: Device>: Sized {
    /// What determines the names, shapes and initial values of the weights.
    type Config;

    /// How many numbers the weights have.
    fn count(config: Self::Config) -> u128;

    /// The part with its initial weights.
    fn start(config: Self::Config, with: &mut Initialiser<'_, D>) -> DeviceResult<Self, D>;

    /// Appends the weights, in the order in which checkpoints list them.
    fn list<'a>(&'a self, into: &mut Vec<&'a Param<D>>);

    /// The same, to be changed.
    fn list_mut<'a>(&'a mut self, into: &mut Vec<&'a mut Param<D>>);
}

/// A matrix of weights before it is on a device: its name, its shape (rows, columns) and its initial values.
pub struct Weight {
    name: String,
    shape: (usize, usize),
    start: Start,
}

/// A row of a table of weights: symbol, (rows, columns), initial values.
pub fn weight(symbol: impl Into<String>, shape: (usize, usize), start: Start) -> Weight {
    Weight { name: symbol.into(), shape, start }
}

/// Samples the initial values of three matrices.
type JointStart = Box<dyn FnOnce(&mut dyn RngCore) -> [Vec<f32>; 3]>;

/// Three matrices of one shape whose initial values are sampled together.
pub struct JointWeights {
    pub symbols: [&'static str; 3],
    pub shape: (usize, usize),
    /// The values of each, row-major.
    pub start: JointStart,
}

/// A part whose weights have a prefix before their names, such as "2." in the second of several layers.
pub struct Prefixed<C> {
    pub prefix: String,
    pub config: C,
}

impl<C> From<C> for Prefixed<C> {
    fn from(config: C) -> Self {
        Self { prefix: String::new(), config }
    }
}

/// `count` layers, numbered from 1. The prefix is "1.", "2." and so on; a single layer has none.
pub fn numbered<C>(count: usize, config: impl Fn(usize) -> C) -> Vec<Prefixed<C>> {
    let prefix = |number: usize| if count == 1 { String::new() } else { format!("{number}.") };
    (1..=count).map(|number| Prefixed { prefix: prefix(number), config: config(number) }).collect()
}

/// Puts initial weights on a device.
pub struct Initialiser<'a, D> {
    device: &'a D,
    rng: &'a mut dyn RngCore,
    prefix: String,
}

impl<'a, D: Device> Initialiser<'a, D> {
    pub fn new(device: &'a D, rng: &'a mut dyn RngCore) -> Self {
        Self { device, rng, prefix: String::new() }
    }

    /// One row of a table.
    pub fn part<W: Weights<D>>(&mut self, row: impl Into<Prefixed<W::Config>>) -> DeviceResult<W, D> {
        let Prefixed { prefix, config } = row.into();
        let outer = self.prefix.len();
        self.prefix += &prefix;
        let part = W::start(config, self);
        self.prefix.truncate(outer);
        part
    }
}

/// How many numbers one row of a table has.
pub fn count<D: Device, W: Weights<D>>(row: impl Into<Prefixed<W::Config>>) -> u128 {
    W::count(row.into().config)
}

impl<D: Device> Weights<D> for Param<D> {
    type Config = Weight;

    fn count(Weight { shape: (rows, columns), .. }: Weight) -> u128 {
        rows as u128 * columns as u128
    }

    fn start(Weight { name, shape, start }: Weight, with: &mut Initialiser<'_, D>) -> DeviceResult<Self, D> {
        Param::new(with.device, format!("{}{name}", with.prefix), shape, start.values(with.rng, shape))
    }

    fn list<'a>(&'a self, into: &mut Vec<&'a Param<D>>) {
        into.push(self);
    }

    fn list_mut<'a>(&'a mut self, into: &mut Vec<&'a mut Param<D>>) {
        into.push(self);
    }
}

impl<D: Device> Weights<D> for [Param<D>; 3] {
    type Config = JointWeights;

    fn count(JointWeights { shape: (rows, columns), .. }: JointWeights) -> u128 {
        3 * rows as u128 * columns as u128
    }

    fn start(
        JointWeights { symbols, shape, start }: JointWeights,
        with: &mut Initialiser<'_, D>,
    ) -> DeviceResult<Self, D> {
        let ([one, two, three], [first, second, third]) = (symbols, start(with.rng));
        let param = |symbol, values| Param::new(with.device, format!("{}{symbol}", with.prefix), shape, values);
        Ok([param(one, first)?, param(two, second)?, param(three, third)?])
    }

    fn list<'a>(&'a self, into: &mut Vec<&'a Param<D>>) {
        into.extend(self);
    }

    fn list_mut<'a>(&'a mut self, into: &mut Vec<&'a mut Param<D>>) {
        into.extend(self);
    }
}

impl<D: Device, W: Weights<D>> Weights<D> for Vec<W> {
    type Config = Vec<Prefixed<W::Config>>;

    fn count(config: Self::Config) -> u128 {
        config.into_iter().map(|row| W::count(row.config)).sum()
    }

    fn start(config: Self::Config, with: &mut Initialiser<'_, D>) -> DeviceResult<Self, D> {
        config.into_iter().map(|row| with.part(row)).collect()
    }

    fn list<'a>(&'a self, into: &mut Vec<&'a Param<D>>) {
        self.iter().for_each(|part| part.list(into));
    }

    fn list_mut<'a>(&'a mut self, into: &mut Vec<&'a mut Param<D>>) {
        self.iter_mut().for_each(|part| part.list_mut(into));
    }
}

impl<D: Device, W: Weights<D>> Weights<D> for Option<W> {
    type Config = Option<W::Config>;

    fn count(config: Self::Config) -> u128 {
        config.map_or(0, W::count)
    }

    fn start(config: Self::Config, with: &mut Initialiser<'_, D>) -> DeviceResult<Self, D> {
        config.map(|config| W::start(config, with)).transpose()
    }

    fn list<'a>(&'a self, into: &mut Vec<&'a Param<D>>) {
        self.iter().for_each(|part| part.list(into));
    }

    fn list_mut<'a>(&'a mut self, into: &mut Vec<&'a mut Param<D>>) {
        self.iter_mut().for_each(|part| part.list_mut(into));
    }
}

/// Defines a struct `Name<D>` by its table of weights, and implements [`Weights`] for it.
///
/// ```text
/// weights! {
///     /// One attention head.
///     pub struct Head<D>(config: HeadSpec) {
///         let n = config.units;
///         weights {
///             query: Param<D> = weight("Wq", (n, n), glorot()),
///             out: Linear<D> = affine("o", (n, 1), glorot()),
///         }
///         saved as { out, query }
///         constants { units: usize = n, }
///     }
/// }
/// ```
///
/// `let` lines name what the rows use. A row is a field, its type, and what determines its weights. `saved as` gives
/// the order in checkpoints where it is not that of the rows; `constants` are fields that are not learnt.
macro_rules! weights {
    (
        $(#[$doc:meta])*
        $vis:vis struct $name:ident<D $(, $generic:ident: $bound:path)?>($config:ident: $Config:ty) {
            $(let $local:pat = $value:expr;)*
            weights { $($(#[$field_doc:meta])* $field_vis:vis $field:ident: $part:ty = $row:expr,)* }
            $(saved as { $($saved:ident),* })?
            $(constants {
                $(
                    $(#[$constant_doc:meta])*
                    $constant_vis:vis $constant:ident: $constant_type:ty = $constant_value:expr,
                )*
            })?
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        $vis struct $name<D: $crate::nn::Device $(, $generic: $bound)?> {
            $($(#[$field_doc])* $field_vis $field: $part,)*
            $($($(#[$constant_doc])* $constant_vis $constant: $constant_type,)*)?
        }

        impl<D: $crate::nn::Device $(, $generic: $bound)?> $crate::nn::weights::Weights<D> for $name<D $(, $generic)?> {
            type Config = $Config;

            // What only the values or the constants use is not used here.
            #[allow(unused_variables)]
            fn count($config: $Config) -> u128 {
                $(let $local = $value;)*
                0 $(+ $crate::nn::weights::count::<D, $part>($row))*
            }

            fn start(
                $config: $Config,
                with: &mut $crate::nn::weights::Initialiser<'_, D>,
            ) -> $crate::nn::DeviceResult<Self, D> {
                $(let $local = $value;)*
                Ok(Self {
                    $($field: with.part::<$part>($row)?,)*
                    $($($constant: $constant_value,)*)?
                })
            }

            fn list<'a>(&'a self, into: &mut Vec<&'a $crate::nn::Param<D>>) {
                let Self { $($field,)* .. } = self;
                $crate::nn::weights::in_order!(list into [$($($saved)*)?] [$($field)*]);
            }

            fn list_mut<'a>(&'a mut self, into: &mut Vec<&'a mut $crate::nn::Param<D>>) {
                let Self { $($field,)* .. } = self;
                $crate::nn::weights::in_order!(list_mut into [$($($saved)*)?] [$($field)*]);
            }
        }
    };
}

/// Lists the weights of some fields, in the order of the first list that is not empty.
macro_rules! in_order {
    ($list:ident $into:ident [] [$($field:ident)*]) => {
        $($crate::nn::weights::Weights::<D>::$list($field, $into);)*
    };
    ($list:ident $into:ident [$($saved:ident)+] [$($field:ident)*]) => {
        $($crate::nn::weights::Weights::<D>::$list($saved, $into);)+
    };
}

pub(crate) use {in_order, weights};
