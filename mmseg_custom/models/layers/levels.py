"""Which of the backbone's maps a decoder of several levels takes, checked."""

from collections.abc import Sequence

from torch import Tensor


def check_levels(in_channels: Sequence[int], in_index: Sequence[int]) -> None:
    """Check the arguments of a decoder that takes several maps.

    Args:
        in_channels: channels of each map.
        in_index: which of the backbone's maps these are.

    Raises:
        ValueError: these are not two lists of the same length.
    """
    for name, values in (('in_channels', in_channels), ('in_index', in_index)):
        if isinstance(values, int) or not values:
            raise ValueError(
                f'{name} must list one number for each level, got {values}; set '
                f'decode_head.{name} to a list'
            )
    if len(in_channels) != len(in_index):
        raise ValueError(
            f'in_channels has {len(in_channels)} entries ({list(in_channels)}) but in_index has '
            f'{len(in_index)} ({list(in_index)}); set decode_head.in_index='
            f'{list(range(len(in_channels)))}'
        )


def select_levels(
    inputs: Sequence[Tensor], in_index: Sequence[int], in_channels: Sequence[int]
) -> list[Tensor]:
    """Take a decoder's maps out of all that the backbone returned.

    Args:
        inputs: float maps of shape (N, C, h, w).
        in_index: which to take.
        in_channels: the channels that these must have.

    Raises:
        ValueError: there is no such map, or it has other channels.
    """
    if max(in_index) >= len(inputs) or min(in_index) < -len(inputs):
        raise ValueError(
            f'in_index={list(in_index)} asks for more than the {len(inputs)} maps that the '
            'backbone returns; set backbone.out_indices or decode_head.in_index'
        )
    levels = [inputs[index] for index in in_index]
    channels = [level.shape[1] for level in levels]
    if channels != list(in_channels):
        raise ValueError(
            f'in_channels={list(in_channels)} but the backbone returns maps of {channels} '
            f'channels; set decode_head.in_channels={channels}'
        )
    return levels
