"""Paints one picture of the quick-start data set: textured shapes on a textured ground.

Every class is a shape. Colours, textures and sizes come from the same pool for all classes and for
the ground, so that neither a pixel's colour nor a small patch tells the class: outlines, patches
and specks of the ground use them too. Edges are smooth by signed distances, in pixels, so one
formula gives the picture and its mask.
"""

import cv2
import numpy as np

SHAPES = ('disc', 'square', 'triangle', 'ring', 'cross')
TEXTURES = {
    'disc': 'dots',
    'square': 'stripes',
    'triangle': 'checks',
    'ring': 'plain',
    'cross': 'lattice',
}
# Sea, sand and clay tones, RGB. All classes and the ground draw from these alone.
INKS = np.array(
    [
        [38, 70, 83],
        [42, 157, 143],
        [138, 177, 125],
        [233, 196, 106],
        [244, 162, 97],
        [231, 111, 81],
        [109, 89, 122],
        [69, 123, 157],
        [241, 236, 222],
    ],
    np.float32,
)
RADIUS_RANGE = (17.0, 27.0)
NUM_OBJECTS = (3, 5)
# No shape below reaches further from its centre than this many radii.
REACH = 1.15


def shape_distance(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Signed distance to a shape of radius about 1, negative inside.

    Args:
        shape: one of :data:`SHAPES`.
        u, v: coordinates in the shape's own frame, float, any shape.
    """
    if shape == 'disc':
        return np.hypot(u, v) - 1.0
    if shape == 'square':
        return np.maximum(np.abs(u), np.abs(v)) - 0.88
    if shape == 'triangle':
        slanted = 0.866 * np.abs(u) - 0.5 * v
        return np.maximum(slanted, v) - 0.62
    if shape == 'ring':
        return np.abs(np.hypot(u, v) - 0.76) - 0.3
    if shape == 'cross':
        long, short = np.maximum(np.abs(u), np.abs(v)), np.minimum(np.abs(u), np.abs(v))
        return np.maximum(long - 1.08, short - 0.36)
    raise ValueError(f"unknown shape '{shape}'; expected one of {', '.join(SHAPES)}")


def _soft(distance: np.ndarray) -> np.ndarray:
    """Coverage 0-1 of a pixel from its signed distance in pixels."""
    return np.clip(0.5 - distance, 0.0, 1.0)


def _ink(rng: np.random.Generator, avoid: np.ndarray | None = None) -> np.ndarray:
    """Take an ink, slightly varied; one that is not too near to the colour ``avoid``."""
    inks = INKS
    if avoid is not None:
        inks = INKS[np.linalg.norm(INKS - avoid, axis=1) > 90]
    return inks[rng.integers(len(inks))] + rng.normal(0, 7, 3)


def _rotated(grid: np.ndarray, centre: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    y, x = grid[0] - centre[1], grid[1] - centre[0]
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


def _noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth noise 0-1 of shape (size, size) with about ``cells`` bumps along a side."""
    coarse = rng.random((cells + 3, cells + 3)).astype(np.float32)
    wide = size * (cells + 3) // cells
    fine = cv2.resize(coarse, (wide, wide), interpolation=cv2.INTER_CUBIC)
    return np.clip(fine[(wide - size) // 2 :, (wide - size) // 2 :][:size, :size], 0, 1)


def _texture(rng: np.random.Generator, grid: np.ndarray, kind: str) -> np.ndarray:
    """Weight 0-1 of the second colour at each pixel, with random period, place and angle."""
    period = rng.uniform(6.0, 9.0)
    u, v = _rotated(grid, rng.uniform(0, 32, 2), rng.uniform(0, np.pi))
    across, down = (u / period % 1 - 0.5) * period, (v / period % 1 - 0.5) * period
    if kind == 'dots':
        return _soft(np.hypot(across, down) - 0.32 * period)
    if kind == 'stripes':
        return _soft(np.abs(across) - 0.25 * period)
    if kind == 'lattice':
        return _soft(np.minimum(np.abs(across), np.abs(down)) - 0.14 * period)
    if kind == 'checks':
        a, b = _soft(np.abs(across) - 0.25 * period), _soft(np.abs(down) - 0.25 * period)
        return a * (1 - b) + b * (1 - a)
    return np.zeros(grid.shape[1:])


def _blend(picture: np.ndarray, colour: np.ndarray, weight: np.ndarray) -> None:
    picture += weight[..., None] * (colour - picture)


def _paint_textured(rng, picture, grid, cover, kind: str) -> None:
    """Paint the covered pixels with two inks in a texture."""
    ground = picture[cover > 0.5].mean(0) if (cover > 0.5).any() else picture.mean((0, 1))
    first = _ink(rng, ground)
    second = _ink(rng, first)
    weight = _texture(rng, grid, kind)[..., None]
    _blend(picture, first + weight * (second - first), cover)


def _paint_ground(rng: np.random.Generator, size: int, grid: np.ndarray) -> np.ndarray:
    first = _ink(rng)
    second = _ink(rng)
    u, _ = _rotated(grid, np.full(2, size / 2), rng.uniform(0, 2 * np.pi))
    kind = rng.choice(['gradient', 'clouds', 'waves'])
    if kind == 'gradient':
        weight = np.clip(u / size + 0.5, 0, 1)
    elif kind == 'clouds':
        weight = np.clip(_noise(rng, size, int(rng.integers(3, 7))) * 1.6 - 0.3, 0, 1)
    else:
        bent = u + 10 * _noise(rng, size, 3)
        weight = 0.5 + 0.5 * np.sin(2 * np.pi * bent / rng.uniform(14, 30))
    return first + 0.75 * weight[..., None] * (second - first)


def _paint_clutter(rng: np.random.Generator, picture: np.ndarray, grid: np.ndarray) -> None:
    """Paint things of the ground: a patch, empty outlines, lines and specks."""
    size = grid.shape[1]
    patch = _noise(rng, size, 4)
    _paint_textured(rng, picture, grid, _soft((0.72 - patch) * 40), 'plain')
    for _ in range(rng.integers(1, 4)):
        radius = rng.uniform(8, 20)
        u, v = _rotated(grid, rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi))
        distance = shape_distance(str(rng.choice(SHAPES)), u / radius, v / radius) * radius
        _blend(picture, _ink(rng), _soft(np.abs(distance) - 0.8))
    for _ in range(rng.integers(2, 5)):
        u, v = _rotated(grid, rng.uniform(0, size, 2), rng.uniform(0, np.pi))
        line = np.maximum(np.abs(v) - rng.uniform(0.5, 1.0), np.abs(u) - rng.uniform(12, 60))
        _blend(picture, _ink(rng), _soft(line))
    for _ in range(rng.integers(10, 25)):
        u, v = _rotated(grid, rng.uniform(0, size, 2), 0.0)
        _blend(picture, _ink(rng), _soft(np.hypot(u, v) - rng.uniform(0.8, 2.2)))


def _places(rng: np.random.Generator, size: int, count: int) -> list[tuple[np.ndarray, float]]:
    """Draw centres and radii so that no two objects touch; always finds at least one."""
    places: list[tuple[np.ndarray, float]] = []
    for _ in range(60 * count):
        radius = rng.uniform(*RADIUS_RANGE)
        centre = rng.uniform(0.9 * radius, size - 0.9 * radius, 2)
        gaps = [np.linalg.norm(centre - c) - REACH * (radius + r) for c, r in places]
        if all(gap > 0 for gap in gaps):
            places.append((centre, radius))
        if len(places) == count:
            break
    return places


def paint_scene(
    rng: np.random.Generator, size: int = 128, first_shape: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Paint one picture and its mask.

    Args:
        rng: source of all that is random.
        size: side in pixels, at least 64.
        first_shape: index into :data:`SHAPES` of a shape that is there for sure.

    Returns:
        The picture, uint8 (size, size, 3) RGB, and the mask, uint8 (size, size): 0 for the
        ground, ``1 + index into SHAPES`` for the objects.
    """
    grid = np.mgrid[:size, :size].astype(np.float64)
    picture = _paint_ground(rng, size, grid)
    _paint_clutter(rng, picture, grid)
    mask = np.zeros((size, size), np.uint8)
    order = (first_shape + rng.permutation(len(SHAPES))) % len(SHAPES)
    order[order == first_shape], order[0] = order[0], first_shape
    count = int(rng.integers(NUM_OBJECTS[0], NUM_OBJECTS[1] + 1))
    for index, (centre, radius) in zip(order, _places(rng, size, count)):
        angle = rng.uniform(0, 2 * np.pi)
        u, v = _rotated(grid, centre, angle)
        distance = shape_distance(SHAPES[index], u / radius, v / radius) * radius
        shadow, _ = _rotated(grid, centre + 2.0, angle), None
        fall = shape_distance(SHAPES[index], shadow[0] / radius, shadow[1] / radius) * radius
        _blend(picture, picture * 0.55, np.clip(0.5 - fall / 3, 0, 1) * 0.6)
        _paint_textured(rng, picture, grid, _soft(distance), TEXTURES[SHAPES[index]])
        mask[distance < 0] = index + 1
    picture += rng.normal(0, 5, (size, size, 1)) + rng.normal(0, 2, picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), mask
