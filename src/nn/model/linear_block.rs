//! The weights in which a model's answer is linear: these can be solved for.

/// Weights in which the answers are affine as long as all other weights stay as they are. Weights are named as in
/// checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinearBlock {
    /// ŷ = Σ z W + what the rest of the model adds: each weight W, (h, d_out), multiplies features z, (h). Of a single
    /// weight with more columns the last d_out reach the answer.
    ReadOut(Vec<String>),
    /// ŷ = C z + what the rest of the model adds, with the last d_out rows of the weight C.
    ReadOutRows(String),
    /// A weight that multiplies another one, `scale`, somewhere on the way to the answer: a factor that moves from one
    /// to the other leaves the model as it is.
    Factor { weight: String, scale: String },
}

impl LinearBlock {
    /// A read-out of one or several weights.
    pub fn read_out<const N: usize>(weights: [&str; N]) -> Self {
        Self::ReadOut(weights.map(str::to_owned).to_vec())
    }

    /// The weights that are solved for.
    pub fn weights(&self) -> &[String] {
        match self {
            Self::ReadOut(weights) => weights,
            Self::ReadOutRows(weight) | Self::Factor { weight, .. } => std::slice::from_ref(weight),
        }
    }

    /// "Wo, bo".
    pub fn name(&self) -> String {
        self.weights().join(", ")
    }

    /// The three blocks of a GD-SSM whose weights have this prefix. Λ is not among them: the answer has its powers.
    pub(super) fn of_gd_ssm(prefix: &str) -> [Self; 3] {
        let name = |symbol: &str| format!("{prefix}{symbol}");
        let factor = |symbol: &str| Self::Factor { weight: name(symbol), scale: name("C") };
        [Self::ReadOutRows(name("C")), factor("D"), factor("Q")]
    }
}
