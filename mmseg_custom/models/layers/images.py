"""What preprocessor and backbones ask of their input."""

from collections.abc import Sequence

from torch import Tensor


def check_normalisation(
    mean: Sequence[float] | None, std: Sequence[float] | None, swaps_colours: bool
) -> None:
    """Check that mean and std are one per channel, and that only three channels swap colours.

    Raises:
        ValueError: they do not; the message says what to change.
    """
    if (mean is None) != (std is None) or (mean is not None and len(mean) != len(std)):
        counts = [0 if values is None else len(values) for values in (mean, std)]
        raise ValueError(
            f'data_preprocessor has {counts[0]} values in mean and {counts[1]} in std; expected '
            'one of each per channel'
        )
    if std is not None and min(std) <= 0:
        raise ValueError(f'data_preprocessor.std is {list(std)}; expected numbers above 0')
    if swaps_colours and mean is not None and len(mean) not in (1, 3):
        raise ValueError(
            f'data_preprocessor.bgr_to_rgb swaps the colours of 3 channels, but mean has '
            f'{len(mean)}; set data_preprocessor.bgr_to_rgb=False'
        )


def check_channels(images: Sequence[Tensor], mean: Tensor | None) -> None:
    """Check that pictures (C, H, W) have as many channels as ``mean``, (C, 1, 1) or (1, 1, 1).

    Raises:
        ValueError: one has another number of channels.
    """
    count = 1 if mean is None else len(mean)
    wrong = [len(image) for image in images if count > 1 and len(image) != count]
    if wrong:
        raise ValueError(
            f'a picture has {wrong[0]} channels but data_preprocessor.mean has {count} values; '
            'load other bands, or give mean and std for each'
        )


def check_images(images: Tensor, in_channels: int) -> None:
    """Check that a tensor is a batch of images.

    Args:
        images: should be floating point, of shape (N, in_channels, H, W) with N >= 1.
        in_channels: channels that the backbone was built for.

    Raises:
        ValueError: it is not; the message says what to change.
    """
    shape = tuple(images.shape)
    if len(shape) != 4 or not shape[0]:
        fix = 'add the batch axis with images[None]' if len(shape) == 3 else 'pass at least one'
        raise ValueError(f'expected a batch of images (N, C, H, W), got shape {shape}; {fix}')
    if shape[1] != in_channels:
        raise ValueError(
            f'expected images with in_channels={in_channels}, got {shape[1]}; set '
            f'backbone.in_channels={shape[1]}'
        )
    if not images.is_floating_point():
        raise ValueError(
            f'expected floating point images, normalised, got {images.dtype}; send them through '
            'model.data_preprocessor, or call images.float()'
        )
