"""LRU and S5: one bare layer of a complex diagonal recurrence. See src/nn/model/lru.rs, s5.rs and stack.rs."""

import math

import torch
from torch import nn

from .training import joined

FORMS = {"lru": ["kernel", "last", "recurrent"], "s5": ["kernel", "last", "recurrent"]}


class Model(nn.Module):
    def __init__(self, experiment, form):
        super().__init__()
        self.form = form
        n, h, task = experiment.sizes["states"], experiment.sizes["width"], experiment.task
        normal = lambda *shape, spread=1.0: nn.Parameter(spread * torch.randn(shape))
        self.encode = normal(task.width, h, spread=task.width**-0.5)
        self.write = normal(h, 2 * n, spread=(0.5 / h) ** 0.5)
        self.read = normal(2 * n, h, spread=n**-0.5)
        self.feedthrough = normal(h)
        self.decode = normal(h, task.outputs, spread=h**-0.5)
        if experiment.preset == "lru":
            square = torch.empty(n).uniform_(1e-6, 1.0 - 1e-6)
            phase = math.pi / 10 * torch.empty(n).uniform_(1e-6, 1.0)
            self.size = nn.Parameter((-0.5 * square.log()).log())
            self.phase = nn.Parameter(phase.log())
            self.gamma = nn.Parameter(0.5 * (1.0 - square).log())
            self.spectrum = self.lru
        else:
            root = (torch.arange(2 * n) + 0.5).double().sqrt()
            upper = torch.triu(torch.outer(root, root), 1)
            frequencies = torch.linalg.eigvals(upper - upper.T).imag.sort().values[n:]
            self.damping = nn.Parameter(torch.full((n,), math.log(0.5)))
            self.frequency = nn.Parameter(frequencies.float())
            self.step = nn.Parameter(torch.empty(n).uniform_(math.log(0.001), math.log(0.1)))
            self.spectrum = self.s5

    def lru(self):
        """log λ and the gain of the input, both complex."""
        return torch.complex(-self.size.exp(), self.phase.exp()), self.gamma.exp() + 0j

    def s5(self):
        rate = torch.complex(-self.damping.exp(), self.frequency)
        exponent = rate * self.step.exp()
        return exponent, (exponent.exp() - 1.0) / rate

    def forward(self, x, y):
        tokens = joined(x, y)
        exponent, gain = self.spectrum()
        query = tokens[:, -1] @ self.encode
        recurred = getattr(self, self.form)(tokens, exponent, gain)
        return (query + torch.addcmul(recurred, query, self.feedthrough)) @ self.decode

    def powers(self, exponent, length):
        """λ^{T−1}, …, λ, 1: (T, n)."""
        return torch.outer(torch.arange(length - 1, -1, -1.0), exponent).exp()

    def kernel(self, tokens, exponent, gain):
        """The convolution that the recurrence is, at its last place: Re(C λ^k g B) W_in meets each token. S4's other form."""
        batch, length, width = tokens.shape
        write = gain * torch.complex(*(self.encode @ self.write).chunk(2, 1))  # (w, n)
        steps = self.powers(exponent, length)[:, None] * write  # (T, w, n)
        weights = torch.cat([steps.real, -steps.imag], -1).view(length * width, -1) @ self.read
        return tokens.view(batch, -1) @ weights

    def last(self, tokens, exponent, gain):
        """Every token's part in the last state."""
        drive = torch.complex(*(tokens @ (self.encode @ self.write)).chunk(2, -1))
        state = torch.einsum("tn,btn->bn", self.powers(exponent, tokens.shape[1]) * gain, drive)
        return torch.cat([state.real, -state.imag], -1) @ self.read

    def recurrent(self, tokens, exponent, gain):
        drive = gain * torch.complex(*(tokens @ (self.encode @ self.write)).chunk(2, -1))
        decay, state = exponent.exp(), drive[:, 0]
        for at in drive.unbind(1)[1:]:
            state = torch.addcmul(at, decay, state)
        return torch.cat([state.real, -state.imag], -1) @ self.read
