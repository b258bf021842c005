"""mmseg's photometric distortion on the three colour planes of a picture, in 8 bits.

Brightness and contrast are what mmseg computes, to the bit. Saturation and hue are those of HSV,
without the way there and back: with V the largest and m the smallest of a pixel's colours, HSV's
saturation scales all distances to V, and a turn of the hue moves one colour at a time between m and
V. mmseg rounds hue to 2 degrees and saturation to 1/255 at each conversion; here nothing but the
colours is rounded.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

# Half a turn has 180 steps of two degrees in OpenCV's 8 bits: a sixth has 30.
STEPS_OF_SEXTANT = 30
_LEVELS = np.arange(256, dtype=np.uint8)


@dataclass(frozen=True)
class Distortion:
    """What is done to one picture; ``None`` leaves a step out.

    Attributes:
        brightness: added, in levels of 0..255.
        contrast: factor of all colours.
        contrast_first: before saturation and hue, not after them.
        saturation: factor of the distances to the largest colour.
        hue: in steps of two degrees.
    """

    brightness: float | None
    contrast: float | None
    contrast_first: bool
    saturation: float | None
    hue: int | None


def draw_distortion(ranges) -> Distortion:
    """Draw from NumPy's global generator, in mmseg's order.

    Args:
        ranges: mmseg's ``PhotoMetricDistortion``.
    """
    random = np.random
    brightness = contrast = saturation = hue = None
    if random.randint(2):
        brightness = random.uniform(-ranges.brightness_delta, ranges.brightness_delta)
    contrast_first = random.randint(2) == 1
    if contrast_first and random.randint(2):
        contrast = random.uniform(ranges.contrast_lower, ranges.contrast_upper)
    if random.randint(2):
        saturation = random.uniform(ranges.saturation_lower, ranges.saturation_upper)
    if random.randint(2):
        hue = random.randint(-ranges.hue_delta, ranges.hue_delta)
    if not contrast_first and random.randint(2):
        contrast = random.uniform(ranges.contrast_lower, ranges.contrast_upper)
    return Distortion(brightness, contrast, contrast_first, saturation, hue)


def distort(planes: np.ndarray, distortion: Distortion) -> None:
    """Distort a picture in place.

    Args:
        planes: (3, H, W) uint8, contiguous, BGR.
        distortion: what to do.
    """
    planes = planes.reshape(3, -1)
    if distortion.brightness is not None:
        # Levels are whole: cutting off the fraction of the sum is cutting off that of the summand.
        level = math.floor(distortion.brightness)
        # OpenCV adds a negative number in 16 bits, six times slower than it subtracts in 8.
        shift = cv2.add if level >= 0 else cv2.subtract
        shift(planes, (abs(level),) * 4, dst=planes)
    if distortion.contrast is not None and distortion.contrast_first:
        scale_contrast(planes, distortion.contrast)
    if distortion.saturation is not None:
        scale_saturation(planes, distortion.saturation)
    if distortion.hue:
        turn_hue(planes, distortion.hue)
    if distortion.contrast is not None and not distortion.contrast_first:
        scale_contrast(planes, distortion.contrast)


def scale_contrast(planes: np.ndarray, factor: float) -> None:
    """Multiply and cut off the fraction, in place."""
    table = (_LEVELS.astype(np.float32) * factor).clip(0, 255).astype(np.uint8)
    # OpenCV rounds where mmseg cuts off. Where half a level less does not come out the same for
    # all 256 levels, the table is looked up, which takes longer.
    options = dict(alpha=factor, beta=-0.49998)
    if np.array_equal(cv2.convertScaleAbs(_LEVELS, **options).ravel(), table):
        cv2.convertScaleAbs(planes, dst=planes, **options)
    else:
        cv2.LUT(planes, table, dst=planes)


def _extremes(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest and the smallest colour of each pixel, (1, pixels) each."""
    blue, green, red = planes[:1], planes[1:2], planes[2:]
    largest = cv2.max(blue, green)
    smallest = cv2.min(blue, green)
    return cv2.max(largest, red, dst=largest), cv2.min(smallest, red, dst=smallest)


def scale_saturation(planes: np.ndarray, factor: float) -> None:
    """Multiply the distances to a pixel's largest colour, at most until the smallest is 0.

    Args:
        planes: (3, pixels) uint8; changed in place.
        factor: from 0 on.
    """
    largest, smallest = _extremes(planes)
    colours = planes[:1], planes[1:2], planes[2:]
    if factor <= 1:
        for colour in colours:
            cv2.addWeighted(colour, factor, largest, 1 - factor, 0, dst=colour)
        return
    # How much longer the distances become, as a share of the longest there is: 255 is all of it.
    more = factor - 1
    share = cv2.subtract(largest, smallest)
    cv2.divide(smallest, share, scale=255 / more, dst=share)
    distance = smallest
    for colour in colours:
        cv2.subtract(largest, colour, dst=distance)
        cv2.multiply(distance, share, scale=more / 255, dst=distance)
        cv2.subtract(colour, distance, dst=colour)


def turn_hue(planes: np.ndarray, steps: int) -> None:
    """Turn the hue; largest and smallest colour stay.

    With the hue growing, red falls once green is nearly the largest while blue is the smallest, and
    rises once green is nearly the smallest while blue is the largest; green and blue do so after
    blue and red, and red and green.

    Args:
        planes: (3, pixels) uint8, BGR; changed in place.
        steps: of two degrees each, -30 to 30.
    """
    largest, smallest = _extremes(planes)
    # What of the chroma a colour stays away from its goal without moving.
    rest = cv2.subtract(largest, smallest)
    cv2.convertScaleAbs(rest, alpha=1 - abs(steps) / STEPS_OF_SEXTANT, dst=rest)
    blue, green, red = colours = planes[:1], planes[1:2], planes[2:]
    # For each colour the one after it and the one before it on the circle R, G, B.
    neighbours = (red, green), (blue, red), (green, blue)
    moves = []
    for after, before in neighbours if steps > 0 else [pair[::-1] for pair in neighbours]:
        fall, rise = cv2.subtract(after, before), cv2.subtract(before, after)
        moves.append((cv2.subtract(fall, rest, dst=fall), cv2.subtract(rise, rest, dst=rise)))
    for colour, (fall, rise) in zip(colours, moves):
        cv2.max(cv2.subtract(colour, fall, dst=colour), smallest, dst=colour)
        cv2.min(cv2.add(colour, rise, dst=colour), largest, dst=colour)
