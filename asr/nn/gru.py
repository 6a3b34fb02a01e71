"""A bidirectional GRU for training on a CPU, twice as fast as torch's packed sequence.

torch's autograd records about a dozen small operations per step and direction. Here one autograd
function computes the recurrence of both directions together, without padding.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import custom_bwd, custom_fwd
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from asr.nn.padding import PackedIndex


def bidirectional_gru(rnn: nn.GRU, x: Tensor, index: PackedIndex) -> Tensor:
    """Apply a bidirectional layer to `x` (B, U, D) and return (B, U, 2 H), 0 at padding.

    The gradient is written by hand. The gradient of a state depends on the later states, so it is
    computed step by step from the last step to the first. Gradients of the weights and biases sum
    over all steps in any order, so one matrix product computes them afterwards.

    Under autocast, the product of the inputs is in bfloat16 and the recurrence in float32: a state
    sums over all earlier steps, and its products are too small to gain from bfloat16.
    """
    parameters = zip(*rnn.all_weights, strict=True)
    input_weight, weight, input_bias, bias = map(torch.stack, parameters)
    batch_sizes, order = index.layout
    frames = x.flatten(0, 1)  # (B U, D)
    packed = frames.index_select(0, torch.cat(order)).view(2, -1, x.shape[-1])  # (2, P, D)
    inputs = torch.baddbmm(input_bias[:, None], packed, input_weight.mT)  # (2, P, 3 H)
    states = _Recurrence.apply(inputs, weight, bias, batch_sizes)  # (2, P, H)
    padding = states.new_zeros(len(frames), rnn.hidden_size)
    y = [padding.index_copy(0, *pair) for pair in zip(order, states, strict=True)]
    return torch.cat(y, dim=-1).unflatten(0, x.shape[:2])


class _Recurrence(Function):
    """A map of gate inputs (2, P, 3 H) to states (2, P, H), in the order of PackedIndex.

        r = sigmoid(input_r + (W h + b)_r)
        z = sigmoid(input_z + (W h + b)_z)
        n = tanh(input_n + r (W h + b)_n)
        h' = (1 - z) n + z h

    This is the GRU of Cho et al. 2014 in cuDNN's form. Gates have torch's order r, z, n. `weight`
    (2, 3 H, H) is W and `bias` (2, 3 H) is b of both directions. The candidate is (W h + b)_n.
    """

    @staticmethod
    @custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, batch_sizes: list[int]
    ) -> Tensor:
        hidden = weight.shape[-1]
        parts = 2 * hidden, hidden  # r and z, n
        bias_rz, bias_n = bias[:, None].split(parts, -1)
        weight_rz, weight_n = weight.mT.contiguous().split(parts, -1)
        gates = inputs.clone()  # becomes r, z, n: (2, P, 3 H)
        gates[..., : 2 * hidden] += bias_rz
        candidates = bias_n.repeat(1, gates.shape[1], 1)  # becomes W h + b: (2, P, H)
        states = torch.empty_like(candidates)  # (2, P, H)
        state = inputs.new_zeros(2, max(batch_sizes, default=0), hidden)
        previous = [states[:, :0]]
        packed = *gates.split(parts, -1), candidates, states
        steps = zip(*(tensor.split(batch_sizes, 1) for tensor in packed), strict=True)
        for rz, n, candidate, new_state in steps:
            state = state[:, : new_state.shape[1]]
            previous.append(state)
            r, z = rz.baddbmm_(state, weight_rz).sigmoid_().chunk(2, -1)
            candidate.baddbmm_(state, weight_n)
            n.addcmul_(r, candidate).tanh_()
            state = torch.lerp(n, state, z, out=new_state)
        ctx.batch_sizes = batch_sizes
        ctx.save_for_backward(gates, candidates, torch.cat(previous, 1), weight)
        return states

    @staticmethod
    @once_differentiable
    @custom_bwd(device_type="cpu")
    def backward(  # type: ignore[override]  # of the decorator
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        gates, candidates, previous, weight = ctx.saved_tensors
        sizes = ctx.batch_sizes
        r, z, n = gates.chunk(3, -1)
        # derivatives of each state by the pre-activations r and z and by the candidate; the loop
        # multiplies them by the gradient of the state
        grads = torch.empty_like(gates)  # (2, P, 3 H)
        grad_r, grad_z, grad_candidate = grads.chunk(3, -1)
        dn = (1 - z).mul_(1 - n * n)  # derivative by the pre-activation n
        torch.mul(previous - n, z, out=grad_z).mul_(1 - z)
        torch.mul(dn, r, out=grad_candidate)
        torch.mul(grad_candidate, candidates, out=grad_r).mul_(1 - r)
        grad_states = grad.clone(memory_format=torch.contiguous_format)
        state_steps = grad_states.split(sizes, 1)
        z_steps = z.split(sizes, 1)
        gate_steps = grads.split(sizes, 1)
        for step in reversed(range(len(sizes))):
            state = state_steps[step]
            gate = gate_steps[step]
            gate.unflatten(-1, (3, -1)).mul_(state[..., None, :])
            if step:
                earlier = state_steps[step - 1][:, : sizes[step]]
                earlier.addcmul_(state, z_steps[step])
                earlier.baddbmm_(gate, weight)
        grad_weight = grads.mT @ previous
        grad_bias = grads.sum(1)
        # the gradient of the input to n lacks the factor r of the candidate
        torch.mul(grad_states, dn, out=grad_candidate)
        return grads, grad_weight, grad_bias, None
