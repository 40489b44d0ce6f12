"""One training step in PyTorch: tasks, forward and backward pass, Adam."""

import math

import torch


def sample(task, batch):
    """x (B, N+1, d) with the query last, y (B, N+1, d_out) with the query's answer last."""
    w = torch.randn(batch, task.dim, task.outputs)
    x = torch.empty(batch, task.context + 1, task.dim).uniform_(-task.range / 2, task.range / 2)
    if task.drift > 0.0:
        # W takes a step after each pair; the query asks for where it is then.
        steps = task.drift * torch.randn(batch, task.context + 1, task.dim, task.outputs)
        steps[:, 0] = w
        y = torch.einsum("btd,btdo->bto", x, steps.cumsum(1))
    else:
        y = torch.bmm(x, w)
    if task.noise > 0.0:
        y[:, :-1] += task.noise * torch.randn(batch, task.context, task.outputs)
    return x, y


def joined(x, y):
    """Tokens [x; y], the query's with y = 0: (B, N+1, d + d_out)."""
    tokens = torch.cat([x, y], -1)
    tokens[:, -1, x.shape[-1] :] = 0.0
    return tokens


def learning_rate(training, step):
    warm = min((step + 1) / training.warmup, 1.0)
    along = min(step / training.steps, 1.0)
    cosine = 0.5 * (1.0 + math.cos(math.pi * along))
    return training.lr * warm * (training.final_lr + (1.0 - training.final_lr) * cosine)


class Trainer:
    """`model` is a module with a class `Model(experiment, form)`, whose forward pass reads x and y."""

    def __init__(self, model, experiment, batch, plan, seed=1):
        torch.manual_seed(seed)
        self.experiment, self.batch = experiment, batch
        self.net = model.Model(experiment, plan.form)
        self.weights = [weight for weight in self.net.parameters() if weight.requires_grad]
        self.parameters = sum(weight.numel() for weight in self.weights)
        training = experiment.training
        betas = (training.beta1, training.beta2)
        self.adam = torch.optim.Adam(self.weights, training.lr, betas, training.epsilon, fused=True)
        mode = "reduce-overhead" if plan.cuda_graphs else None
        self.loss = torch.compile(self.forward, mode=mode) if plan.compiled else self.forward
        self.cuda_graphs = plan.cuda_graphs
        self.steps = 0
        self.steps_in_a_call = 1

    def forward(self, x, y):
        return 0.5 * (self.net(x, y) - y[:, -1]).square().mean()

    def step(self):
        training = self.experiment.training
        if self.cuda_graphs:
            # What the last step left in the graphs' memory may be overwritten.
            torch.compiler.cudagraph_mark_step_begin()
        loss = self.loss(*sample(self.experiment.task, self.batch))
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        if training.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.weights, training.clip, foreach=True)
        self.adam.param_groups[0]["lr"] = learning_rate(training, self.steps)
        self.adam.step()
        self.steps += 1
        return loss

    def run(self, steps):
        """Trains for `steps` steps."""
        for _ in range(steps):
            loss = self.step()
        return loss.item()
