"""What both backbones ask of their input."""

from torch import Tensor


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
