"""The encoder: convolutions that keep every fourth frame, then residual bidirectional RNN layers.

Tensors are (B, time, channels) except inside the convolutions. No layer reads padding: it is set to
0 before each convolution, and the backward direction starts at the last valid frame of each row.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from asr.nn.gru import bidirectional_gru
from asr.nn.padding import (
    PackedIndex,
    Padded,
    conv_output_lengths,
    length_to_mask,
    mask_padding,
    reverse_within_length,
)
from asr.validation import Count, CountOrZero, Fraction, check_arguments, check_numbers

CELLS = ("gru", "lstm", "rnn")  # classes of torch.nn in lower case


class Subsampling(nn.Module):
    """Two 3 x 3 convolutions of stride 2 in time and frequency, then a projection to `dim`.

    T frames become ceil(T / 2), then U = ceil(T / 4):

        input         0 1 2 3 4 5 6
        convolution   0   1   2   3      reads t-1, t, t+1; frames outside are 0
        convolution   0       1
    """

    def __init__(self, *, n_mels: int, channels: int, dim: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, channels, 3, stride=2, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.project = nn.Linear(channels * -(-n_mels // 4), dim)

    def forward(self, x: Tensor, lengths: Tensor) -> Padded:
        """Map features (B, T, F) with lengths (B,) to (B, U, D) with lengths (B,)."""
        # Channels come last in memory, which makes the convolutions up to twice as fast on a CPU.
        x = mask_padding(x, lengths)[..., None].movedim(-1, 1)  # (B, 1, T, F)
        for convolution in (self.first, self.second):
            x = convolution(x).relu()
            lengths = conv_output_lengths(lengths)
            mask = length_to_mask(lengths, x.shape[2])
            x = x * mask[:, None, :, None]
        x = x.transpose(1, 2).flatten(2)  # (B, U, channels ceil(F / 4))
        return self.project(x), lengths  # (B, U, D)


class BiRNN(nn.Module):
    """One bidirectional recurrent layer over rows of different lengths: (B, U, D) to (B, U, 2 H).

    The output equals that of torch's packed sequence, and the parameters are those of torch's
    layer. The fastest of three implementations runs: cuDNN with a packed sequence on CUDA,
    `bidirectional_gru` for a GRU on a CPU in training or with autocast, and otherwise two plain
    layers. The second of these reads each row reversed within its length:

        forward    a b c . .
        backward   c b a . .      its output is reversed within the length again

    `cell` is "gru" (Cho et al. 2014, in cuDNN's form: the reset gate applies to the recurrent
    product), "lstm", or "rnn" (tanh).
    """

    def __init__(self, *, input_size: int, hidden_size: int, cell: str = "gru") -> None:
        super().__init__()
        if cell not in CELLS:
            raise ValueError(f"cell must be one of {', '.join(CELLS)}, got {cell!r}")
        options = {"batch_first": True, "bidirectional": True}
        self.rnn = getattr(nn, cell.upper())(input_size, hidden_size, **options)

    def forward(
        self, x: Tensor, lengths: Tensor, index: PackedIndex | None = None
    ) -> Tensor:
        """Map `x` (B, U, D) with lengths (B,) to (B, U, 2 H). Values at padding are undefined.

        Layers over the same rows can share one `index`.
        """
        index = index or PackedIndex(lengths, x.shape[1])
        if x.is_cuda:
            return self.packed(x, index)
        in_training = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
        if x.is_cpu and in_training and isinstance(self.rnn, nn.GRU):
            return bidirectional_gru(self.rnn, x, index)
        return self.reversed_within_length(x, lengths)

    def reversed_within_length(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Map (B, U, D) to (B, U, 2 H) with two plain layers. This form can be exported."""
        forward = self._direction(x, 0)
        backward = self._direction(reverse_within_length(x, lengths), 1)
        backward = reverse_within_length(backward, lengths)
        return torch.cat((forward, backward), dim=-1)

    def packed(self, x: Tensor, index: PackedIndex) -> Tensor:
        """Map (B, U, D) to (B, U, 2 H) with torch's packed sequence, which cuDNN requires.

        Packing by an index is faster on a GPU than `pack_padded_sequence`, which copies every step.
        """
        batch_sizes, (order, _) = index.layout
        frames = x.flatten(0, 1)  # (B U, D)
        y = x.new_zeros(len(frames), 2 * self.rnn.hidden_size)
        if batch_sizes:  # torch rejects empty sequences
            rows = frames.index_select(0, order)  # (P, D)
            states, _ = self.rnn(PackedSequence(rows, torch.tensor(batch_sizes)))
            y = y.to(states.data).index_copy(0, order, states.data)
        return y.unflatten(0, x.shape[:2])

    def _direction(self, x: Tensor, direction: int) -> Tensor:
        """Run one direction over `x` (B, U, D) as a plain layer with output (B, U, H)."""
        rnn = self.rnn
        start = x.new_zeros(1, len(x), rnn.hidden_size)
        state = (start, start) if isinstance(rnn, nn.LSTM) else start
        kernel = getattr(torch, rnn.mode.lower())  # gru, lstm, or rnn_tanh
        # has_biases, num_layers, dropout, train, bidirectional, batch_first
        options = True, 1, 0.0, self.training, False, True
        return kernel(x, state, rnn.all_weights[direction], *options)[0]


class Encoder(nn.Module):
    """Subsampling by 4, `num_layers` of x + dropout(BiRNN(LayerNorm(x))), and a LayerNorm.

    The residual layers are pre-normalized (Xiong et al. 2020, arXiv 2002.04745). Each direction has
    `hidden_size` units H, so the output has D = 2 H channels. `intermediate` lists layers, counted
    from 1, whose output passes through the hook of `forward`.
    """

    subsampling_factor = 4  # feature frames per encoder frame

    @check_arguments
    def __init__(
        self,
        *,
        n_mels: int = 80,
        channels: Count = 32,
        hidden_size: Count = 256,
        num_layers: CountOrZero = 3,
        cell: str = "gru",
        dropout: Fraction = 0.1,
        intermediate: Sequence[int] = (),
    ) -> None:
        super().__init__()
        layers = check_numbers("intermediate", intermediate)
        if not set(layers) <= set(range(1, num_layers)):
            raise ValueError(
                f"intermediate must list layers from 1 to {num_layers - 1}, below the last of "
                f"{num_layers}, got {list(layers)}"
            )
        self.intermediate = frozenset(layers)
        self.output_dim = dim = 2 * hidden_size
        self.subsampling = Subsampling(n_mels=n_mels, channels=channels, dim=dim)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(num_layers))
        layer = partial(BiRNN, input_size=dim, hidden_size=hidden_size, cell=cell)
        self.layers = nn.ModuleList(layer() for _ in range(num_layers))
        self.final_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def freeze(self, num_layers: int) -> None:
        """Exclude the convolutions and the first `num_layers` layers from training.

        Their parameters need no gradient, so a training step does not compute one.

        Raises:
            ValueError: If the encoder has fewer layers.
        """
        if num_layers > len(self.layers):
            raise ValueError(
                f"freeze must be <= {len(self.layers)}, the layers of the model, got {num_layers}"
            )
        frozen = [self.subsampling, *self.norms[:num_layers], *self.layers[:num_layers]]
        for module in frozen:
            module.requires_grad_(False)

    @staticmethod
    def output_lengths(lengths: Tensor) -> Tensor:
        """Return U = ceil(T / 4) for each T."""
        return conv_output_lengths(conv_output_lengths(lengths))

    def forward(
        self, x: Tensor, lengths: Tensor, hook: Callable[[Tensor], Tensor] | None = None
    ) -> Padded:
        """Map features (B, T, F) with lengths (B,) to (B, U, D) with lengths (B,).

        `hook` maps the normalized output (B, U, D) of an intermediate layer to a tensor (B, U, D),
        which is added to the input of the next layer. Values at padding are undefined.
        """
        x, lengths = self.subsampling(x, lengths)
        index = PackedIndex(lengths, x.shape[1])
        x = self.dropout(x)
        for number, norm in enumerate(self.norms, 1):
            layer = self.layers[number - 1]
            y = layer(norm(x), lengths, index)
            x = x + self.dropout(y)
            if hook is not None and number in self.intermediate:
                x = x + hook(self.final_norm(x))
        return self.final_norm(x), lengths
