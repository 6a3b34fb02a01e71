"""The encoder: convolutions that keep every fourth frame, then residual bidirectional recurrent layers.

Data layout is (B, time, channels) everywhere but inside the convolutions. Nothing reads padding: it is set to 0 before
each convolution, and the backward direction starts at each row's own last frame.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from asr.nn import padding as ln
from asr.nn.gru import bidirectional_gru
from asr.validation import check_integer, check_number, check_numbers

Cell = Literal["gru", "lstm", "rnn"]
_CELLS: dict[str, Callable[..., nn.RNNBase]] = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}


class Subsampling(nn.Module):
    """Two 3 x 3 convolutions of stride 2 in time and frequency, then a projection: (B, T, F) to (B, U, D).

    T frames become ceil(T / 2), then U = ceil(T / 4).

        time      0 1 2 3 4 5 6
        conv 1    0   1   2   3      reads t-1, t, t+1; what lies outside is 0
        conv 2    0       1
    """

    subsampling_factor = 4

    def __init__(self, *, n_mels: int, channels: int, dim: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, channels, 3, stride=2, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.project = nn.Linear(channels * -(-n_mels // 4), dim)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, T, F), lengths (B,) to (B, U, D), lengths (B,)."""
        x = ln.mask_padding(x, lengths)[:, None]
        for convolution in (self.first, self.second):
            x, lengths = convolution(x).relu(), ln.conv_output_lengths(lengths)
            x = x * ln.length_to_mask(lengths, x.shape[2])[:, None, :, None]
        return self.project(x.transpose(1, 2).flatten(2)), lengths


class BiRNN(nn.Module):
    """One bidirectional recurrent layer over rows of different lengths: (B, U, D) to (B, U, 2 H).

    It equals torch's packed sequence, in a form that is fast where it runs: on CUDA that is cuDNN's packed one, on
    a CPU a GRU that learns in float32 has a gradient of its own (`bidirectional_gru`); elsewhere the second direction
    runs over the row reversed within its length, and its output is reversed back:

        a b c . .   forward          c b a . .   the same kernel, then reversed within the length again

    which can be exported. Parameters are those of torch's own bidirectional layer.

    `cell` is "gru" (Cho et al. 2014, in cuDNN's form: the reset gate applies to the recurrent product), "lstm" or "rnn"
    (tanh).
    """

    def __init__(self, *, input_size: int, hidden_size: int, cell: Cell = "gru") -> None:
        super().__init__()
        if cell not in _CELLS:
            raise ValueError(f"cell is {cell!r}; it must be one of {', '.join(_CELLS)}")
        self.rnn = _CELLS[cell](input_size, hidden_size, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor, steps: ln.PackedIndex | None = None) -> Tensor:
        """`x` (B, U, D), lengths (B,) to (B, U, 2 H); what stands at padding is undefined.

        `steps` are those of the lengths, for layers over the same rows to share.
        """
        steps = steps or ln.PackedIndex(lengths, x.shape[1])
        if x.is_cuda:
            return self.packed(x, steps)
        learns_on_cpu = (
            x.is_cpu and torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
        )
        if learns_on_cpu and isinstance(self.rnn, nn.GRU):
            return bidirectional_gru(self.rnn, x, steps)
        return self.reversed_within_length(x, lengths)

    def reversed_within_length(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Two plain sequences, the second reversed within each row's length."""
        forward = self._direction(x, "")
        backward = self._direction(ln.reverse_within_length(x, lengths), "_reverse")
        return torch.cat((forward, ln.reverse_within_length(backward, lengths)), dim=-1)

    def packed(self, x: Tensor, steps: ln.PackedIndex) -> Tensor:
        """torch's packed sequence, the form in which cuDNN takes lengths.

        Packed by an index: `pack_padded_sequence` and its gradient copy step by step, which a GPU waits for.
        """
        size = x.shape[0] * x.shape[1], 2 * self.rnn.hidden_size
        if not steps.batch_sizes:
            return x.new_zeros(size).view(*x.shape[:2], -1)
        rows = x.flatten(0, 1).index_select(0, steps.forward_index)
        states = self.rnn(PackedSequence(rows, torch.tensor(steps.batch_sizes)))[0].data
        return (
            states.new_zeros(size).index_copy(0, steps.forward_index, states).view(*x.shape[:2], -1)
        )

    def _direction(self, x: Tensor, suffix: str) -> Tensor:
        rnn = self.rnn
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        weights = [getattr(rnn, name + suffix) for name in names]
        start = x.new_zeros(1, len(x), rnn.hidden_size)
        # has_biases, layers, dropout, train, bidirectional, batch_first
        rest = (True, 1, 0.0, self.training, False, True)
        if isinstance(rnn, nn.LSTM):
            return torch.lstm(x, (start, start), weights, *rest)[0]
        kernel = torch.gru if isinstance(rnn, nn.GRU) else torch.rnn_tanh
        return kernel(x, start, weights, *rest)[0]


class Encoder(nn.Module):
    """Subsampling by 4, then `num_layers` of x + dropout(BiRNN(LayerNorm(x))), then a LayerNorm.

    `n_mels` is F, `hidden_size` the units H of each direction; the output has D = 2 H channels, one frame for four.
    Pre-normalised residuals: Xiong et al. 2020, arXiv 2002.04745.

    Behind each layer that `intermediate` numbers, the first being 1, the model says what it hears so far, and the
    layers above go on from that as well (`CTCModel`).
    """

    def __init__(
        self,
        *,
        n_mels: int = 80,
        channels: int = 32,
        hidden_size: int = 256,
        num_layers: int = 3,
        cell: Cell = "gru",
        dropout: float = 0.1,
        intermediate: Sequence[int] = (),
    ) -> None:
        """Raises ConfigError for a number out of bounds, ValueError for an intermediate layer that is none."""
        super().__init__()
        for name, value, least in (
            ("channels", channels, 1),
            ("hidden_size", hidden_size, 1),
            ("num_layers", num_layers, 0),
        ):
            check_integer(name, value, ge=least)
        if not set(check_numbers("intermediate", intermediate)) <= set(range(1, num_layers)):
            raise ValueError(
                f"intermediate is {list(intermediate)}; of {num_layers} layers it can name 1 to {num_layers - 1}"
            )
        self.intermediate = frozenset(intermediate)
        self.output_dim = 2 * hidden_size
        self.subsampling = Subsampling(n_mels=n_mels, channels=channels, dim=self.output_dim)
        self.norms = nn.ModuleList(nn.LayerNorm(self.output_dim) for _ in range(num_layers))
        self.layers = nn.ModuleList(
            BiRNN(input_size=self.output_dim, hidden_size=hidden_size, cell=cell)
            for _ in range(num_layers)
        )
        self.final_norm = nn.LayerNorm(self.output_dim)
        self.dropout = nn.Dropout(check_number("dropout", dropout, ge=0, le=1))

    @property
    def subsampling_factor(self) -> int:
        """Feature frames for one encoder frame."""
        return self.subsampling.subsampling_factor

    @staticmethod
    def output_lengths(lengths: Tensor) -> Tensor:
        """U for T: ceil(T / 4)."""
        return ln.conv_output_lengths(ln.conv_output_lengths(lengths))

    def forward(
        self, x: Tensor, lengths: Tensor, heard: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Features (B, T, F), lengths (B,) to (B, U, D), lengths (B,); what stands at padding is undefined.

        `heard` maps what an intermediate layer gives, as if it were the last, to what is added to it, (B, U, D) both.
        """
        x, lengths = self.subsampling(x, lengths)
        x, steps = self.dropout(x), ln.PackedIndex(lengths, x.shape[1])
        for number, (norm, layer) in enumerate(zip(self.norms, self.layers, strict=True), 1):
            x = x + self.dropout(layer(norm(x), lengths, steps))
            if heard is not None and number in self.intermediate:
                x = x + heard(self.final_norm(x))
        return self.final_norm(x), lengths
