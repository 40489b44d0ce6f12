//! The words of the screens, each explained in a sentence or two.

/// A word and its meaning, in the order in which one needs them.
pub const TERMS: &[(&str, &str)] = &[
    (
        "task",
        "One regression problem: N pairs (x, y) that follow the same unknown rule, and a query x whose y is asked \
         for. Every sequence holds another task, so the rule has to be found anew in each.",
    ),
    (
        "in context",
        "The model finds the rule of a task while it reads the pairs, in its forward pass. Its weights do not change.",
    ),
    ("token", "One column of numbers that the model reads: x, y, or both, as the layout of the preset says."),
    (
        "window",
        "The neighbouring tokens that a GD-SSM multiplies with each other. With three it sees a pair and the input \
         after it.",
    ),
    ("query", "The last input of a sequence. The model answers it from the pairs before it."),
    (
        "d, N, r",
        "d is the number of entries of x, N the number of pairs before the query, and r the range of the inputs: from \
         −r/2 to r/2.",
    ),
    ("loss", "Half the squared error of an answer, in the mean over outputs and tasks; of classes the cross-entropy."),
    ("held out", "Tasks that the model is never trained on. All measures are taken on the same 2,048 of them."),
    (
        "GD-1",
        "One step of gradient descent on the pairs of the context, from weights zero: the prediction is (η/N) Σ y (xᵀ \
         x_q). GD-k is k steps. The step size η is the best one for these tasks.",
    ),
    ("η", "The step size of gradient descent, chosen so that the loss of the prediction after the step is least."),
    ("zero", "Predicting zero whatever the context is. A model that is no better has learnt nothing yet."),
    (
        "least squares",
        "The exact solution for the pairs of the context. Without noise and with N ≥ d it knows the rule.",
    ),
    (
        "ridge",
        "Least squares with a penalty on large weights, the best one for these tasks; with Gaussian weights and noise \
         it is the Bayes optimum.",
    ),
    (
        "predictions differ by",
        "The norm of the difference between the model's and the reference's answers, divided by that of the true \
      answers, over all held-out tasks. Equal: up to 3 %.",
    ),
    (
        "sensitivity",
        "The derivative of the answer by the query: how the prediction changes with x_q. Its cosine with the \
         reference's is 1 if both weigh the context alike.",
    ),
    ("hidden state", "The numbers that the model carries from token to token."),
    (
        "Σ y xᵀ",
        "The sum of the outer products of the pairs read so far. From weights zero it is, up to a factor, the \
         negative gradient of the squared error: a model whose state is this sum can take one step of gradient \
         descent.",
    ),
    (
        "difference ×10",
        "The model's state less Σ y xᵀ, ten times as strong as the maps beside it. An empty map means equal.",
    ),
    (
        "cosine",
        "1 if two arrays of numbers differ by a factor only, 0 if they have nothing in common. It is cut and never \
         rounded up.",
    ),
    ("probe sequence", "One of eight held-out sequences whose hidden states are shown."),
    (
        "linear probe",
        "A linear map, fitted over tasks, from the query's token between two layers to the answer of an algorithm. \
         Its R² on other tasks says whether that answer stands in the token.",
    ),
    (
        "answer so far",
        "What a learner answers to the query after the first pairs of the context only. A learner that reads pair by \
      pair changes it with each.",
    ),
    (
        "attention form",
        "The same function as a recurrence, computed as a sum over tokens: each earlier token's value times a weight, \
      which is the product of its key with the query, under the decay since then (L ⊙ C Bᵀ).",
    ),
    ("reference", "A textbook algorithm that solves the same tasks: what the model is compared with."),
    (
        "nearest",
        "The reference whose answers differ least from the model's. Those within the sampling \
         error of it are ties.",
    ),
    (
        "off-distribution",
        "Tasks unlike those of the training: other ranges, lengths and noise. The weights stay as they are.",
    ),
    ("frozen", "A reference off the distribution that keeps the gain of training and is not tuned for the new tasks."),
    (
        "claim",
        "What the preset says will be seen, as a bound on a measured number. It is checked when its step is reached.",
    ),
    ("constructed", "Weights that are written down and not trained, so that the model computes the algorithm exactly."),
    ("seed", "The number that all random numbers of a run follow from: initial weights and training tasks."),
    ("±", "The standard error: how far the number may be off because only so many tasks are measured."),
    ("GD++", "Gradient descent on inputs that were preconditioned by their own covariance."),
    (
        "LMS, RLS",
        "Learners that read the pairs one after the other: least mean squares (the delta rule) and recursive least \
         squares.",
    ),
];
