"""A bidirectional GRU's recurrence on a CPU with its gradient written out: half the time of torch's packed sequence.

torch's autograd keeps a dozen small operations for each step of each direction. Here both directions take a step
together, nothing is computed at padding, and what of the gradient needs no order is computed for all steps at once.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from asr.nn.padding import PackedIndex

_DIRECTIONS = ("", "_reverse")  # as torch names their parameters


def bidirectional_gru(rnn: nn.GRU, x: Tensor, steps: PackedIndex) -> Tensor:
    """`x` (B, U, D) of those steps with a bidirectional layer's parameters to (B, U, 2 H), 0 at padding."""
    input_weight, weight, input_bias, bias = (
        torch.stack([getattr(rnn, f"{name}_l0{direction}") for direction in _DIRECTIONS])
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    frames, index = x.flatten(0, 1), (steps.forward_index, steps.backward_index)
    rows = frames.index_select(0, torch.cat(index)).view(2, -1, x.shape[-1])
    gates = torch.baddbmm(input_bias[:, None], rows, input_weight.mT)
    states = _Recurrence.apply(gates, weight, bias, steps.batch_sizes)
    y = frames.new_zeros(2, len(frames), rnn.hidden_size)
    y = torch.stack([y[i].index_copy(0, index[i], states[i]) for i in range(2)], dim=1)
    return y.view(*x.shape[:2], 2 * rnn.hidden_size)


class _Recurrence(Function):
    """The input's part of the gates (2, P, 3 H) to the states (2, P, H), in the order of Steps.

        r, z = sigmoid(gates_r + (W h + b)_r), sigmoid(gates_z + (W h + b)_z)
        n = tanh(gates_n + r (W h + b)_n)
        h' = (1 - z) n + z h

    Cho et al. 2014 in cuDNN's form; the gates stand in torch's order r, z, n. `weight` (2, 3 H, H) and `bias` (2, 3 H)
    have W and b of each direction.
    """

    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, weight: Tensor, bias: Tensor, sizes: Sequence[int]
    ) -> Tensor:
        hidden, most = weight.shape[-1], max(sizes, default=0)
        active = torch.empty_like(gates)  # r, z, n
        candidates = gates.new_empty(*gates.shape[:2], hidden)  # (W h + b)_n
        states = torch.empty_like(candidates)
        before, product = gates.new_zeros(2, most, hidden), gates.new_empty(2, most, 3 * hidden)
        biases, across = bias.unbind(), weight.mT.unbind()
        kept = (tensor.split(sizes, 1) for tensor in (gates, active, candidates, states))
        for rows, gate, rzn, candidate, state in zip(sizes, *kept, strict=True):
            before, product = before[:, :rows], product[:, :rows]
            for operands in zip(biases, before.unbind(), across, product.unbind(), strict=True):
                torch.addmm(*operands[:3], out=operands[3])
            rz, n = rzn.split((2 * hidden, hidden), -1)
            torch.add(gate[..., : 2 * hidden], product[..., : 2 * hidden], out=rz).sigmoid_()
            candidate.copy_(product[..., 2 * hidden :])
            torch.addcmul(gate[..., 2 * hidden :], rz[..., :hidden], candidate, out=n).tanh_()
            before = torch.lerp(n, before, rz[..., hidden:], out=state)
        ctx.sizes = sizes
        ctx.save_for_backward(active, candidates, states, weight)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        active, candidates, states, weight = ctx.saved_tensors
        sizes = ctx.sizes
        r, z, n = active.chunk(3, -1)
        before = _before(states, sizes)
        # first what the gradient of each state is times, to be that of its step's r, z and (W h + b)_n before their
        # functions; once that gradient is known, their own gradients
        inner = torch.empty_like(active)
        to_r, to_z, to_candidate = inner.chunk(3, -1)
        to_n = (1 - z).mul_(1 - n * n)
        torch.mul(before - n, z, out=to_z).mul_(1 - z)
        torch.mul(to_n, r, out=to_candidate)
        torch.mul(to_candidate, candidates, out=to_r).mul_(1 - r)
        outer = grad.clone(memory_format=torch.contiguous_format)
        each = [tensor.split(sizes, 1) for tensor in (outer, z, inner)]
        for step in reversed(range(len(sizes))):
            state, keep, gates = (tensors[step] for tensors in each)
            gates.unflatten(-1, (3, -1)).mul_(state[..., None, :])
            if step:
                earlier = each[0][step - 1][:, : sizes[step]]
                earlier.addcmul_(state, keep)
                for onto, gate, down in zip(
                    earlier.unbind(), gates.unbind(), weight.unbind(), strict=True
                ):
                    onto.addmm_(gate, down)
        to_weight, to_bias = inner.mT @ before, inner.sum(1)
        torch.mul(
            outer, to_n, out=to_candidate
        )  # now that of the input's part, which r is not times
        return inner, to_weight, to_bias, None


def _before(states: Tensor, sizes: Sequence[int]) -> Tensor:
    """The state that each row of each step begins with."""
    each = states.split(sizes, 1)
    earlier = [state[:, :rows] for state, rows in zip(each, sizes[1:], strict=False)]
    return torch.cat([torch.zeros_like(each[0]), *earlier], dim=1) if each else states
