"""Three bands of any depth as a picture to look at."""

from collections.abc import Sequence

import numpy as np

PERCENTILES = (2, 98)


def stretched(image: np.ndarray, channels: Sequence[int] | None = None) -> np.ndarray:
    """Show three bands as red, green and blue, each between two of its percentiles.

    uint8 is shown as it is. Other bands are mapped linearly, their 2nd percentile to 0 and their
    98th to 255, over the pixels of this picture; a band of one value is black.

    Args:
        image: (H, W, C), uint8, uint16 or float, finite.
        channels: which three of the C; None takes the first three, or the first alone as grey where
            there are fewer than three.

    Returns:
        RGB uint8 (H, W, 3).
    """
    if channels is None:
        channels = (0, 1, 2) if image.shape[2] >= 3 else (0, 0, 0)
    shown = image[..., list(channels)]
    if shown.dtype == np.uint8:
        return np.ascontiguousarray(shown)
    low, high = np.percentile(shown, PERCENTILES, axis=(0, 1))
    scale = 255 / np.where(high > low, high - low, np.inf)
    return np.clip(np.rint((shown - low) * scale), 0, 255).astype(np.uint8)
