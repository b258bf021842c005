"""Paints one picture of the quick-start data set: textured shapes on a textured ground.

A class is a shape with a texture. Colours come from one pool for all classes and for the ground,
new ones for every object, so a pixel's colour says next to nothing about its class; outlines of
the same shapes, lines, patches and specks belong to the ground. Edges are smooth by signed
distances in pixels, so that one formula gives the picture and its mask.
"""

import math

import cv2
import numpy as np

SHAPES = ('disc', 'square', 'triangle', 'ring', 'cross')
# Each shape's texture and the range of its period in pixels.
TEXTURES = {
    'disc': ('dots', 8.0, 9.5),
    'square': ('stripes', 6.5, 7.5),
    'triangle': ('checks', 7.0, 8.0),
    'ring': ('stripes', 3.3, 3.8),
    'cross': ('lattice', 11.0, 13.0),
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
RADIUS_RANGE = (27.0, 42.0)
NUM_OBJECTS = (2, 3)
# Centres stay apart by this many times the sum of the radii; a corner may cover a neighbour.
SPACING = 1.12
NUM_LAYOUTS = 16
# No shape below reaches further from its centre than this many radii.
REACH = 1.42


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
        return np.maximum(slanted, v) - 0.7
    if shape == 'ring':
        return np.abs(np.hypot(u, v) - 0.68) - 0.38
    if shape == 'cross':
        long, short = np.maximum(np.abs(u), np.abs(v)), np.minimum(np.abs(u), np.abs(v))
        return np.maximum(long - 1.08, short - 0.42)
    raise ValueError(f"unknown shape '{shape}'; expected one of {', '.join(SHAPES)}")


def _soft(distance: np.ndarray) -> np.ndarray:
    """Coverage 0-1 of a pixel from its signed distance in pixels."""
    return np.clip(0.5 - distance, 0.0, 1.0)


def _ink(rng: np.random.Generator, avoid: np.ndarray | None = None) -> np.ndarray:
    """Take an ink, slightly varied; one that is not too near to the colour ``avoid``."""
    inks = INKS
    if avoid is not None:
        inks = INKS[np.linalg.norm(INKS - avoid, axis=1) > 120]
    return inks[rng.integers(len(inks))] + rng.normal(0, 7, 3).astype(np.float32)


def _window(size: int, centre: np.ndarray, reach: float) -> tuple[slice, slice]:
    """Rows and columns of the picture within ``reach`` of a centre (x, y); at least one each."""
    low = np.clip(np.floor(centre - reach), 0, size - 1).astype(int)
    high = np.clip(np.ceil(centre + reach), 0, size - 1).astype(int) + 1
    return slice(low[1], high[1]), slice(low[0], high[0])


def _rotated(grid: np.ndarray, centre: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    y, x = grid[0] - np.float32(centre[1]), grid[1] - np.float32(centre[0])
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def _noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Smooth noise 0-1 of shape (size, size) with about ``cells`` bumps along a side."""
    coarse = rng.random((cells + 3, cells + 3)).astype(np.float32)
    wide = size * (cells + 3) // cells
    fine = cv2.resize(coarse, (wide, wide), interpolation=cv2.INTER_CUBIC)
    return np.clip(fine[(wide - size) // 2 :, (wide - size) // 2 :][:size, :size], 0, 1)


def _texture(
    rng: np.random.Generator, grid: np.ndarray, kind: str, shortest: float, longest: float
) -> np.ndarray:
    """Weight 0-1 of the second colour at each pixel, with random period, place and angle."""
    period = rng.uniform(shortest, longest)
    u, v = _rotated(grid, rng.uniform(0, 32, 2), rng.uniform(0, np.pi))
    across, down = (u / period % 1 - 0.5) * period, (v / period % 1 - 0.5) * period
    if kind == 'dots':
        return _soft(np.hypot(across, down) - 0.32 * period)
    if kind == 'stripes':
        return _soft(np.abs(across) - 0.25 * period)
    if kind == 'lattice':
        return _soft(np.minimum(np.abs(across), np.abs(down)) - 0.12 * period)
    if kind == 'checks':
        a, b = _soft(np.abs(across) - 0.25 * period), _soft(np.abs(down) - 0.25 * period)
        return a * (1 - b) + b * (1 - a)
    raise ValueError(f"unknown texture '{kind}'")


def _blend(picture: np.ndarray, colour: np.ndarray, weight: np.ndarray) -> None:
    picture += weight[..., None] * (colour - picture)


def _paint_textured(rng, picture, grid, cover, texture: tuple[str, float, float]) -> None:
    """Paint the covered pixels with two inks in a texture."""
    first = _ink(rng, picture[cover > 0.5].mean(0))
    second = _ink(rng, first)
    weight = _texture(rng, grid, *texture)[..., None]
    _blend(picture, first + weight * (second - first), cover)


def _placed(grid, window, shape: str, centre, radius: float, angle: float) -> np.ndarray:
    """Signed distance in pixels to a shape put into the picture."""
    u, v = _rotated(grid[:, *window], centre, angle)
    return shape_distance(shape, u / radius, v / radius) * radius


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
        weight = 0.5 + 0.5 * np.sin(2 * np.pi * bent / rng.uniform(26, 44))
    return first + 0.75 * weight[..., None] * (second - first)


def _paint_clutter(rng: np.random.Generator, picture: np.ndarray, grid: np.ndarray) -> None:
    """Paint things of the ground: a patch, empty outlines, lines and specks."""
    size = grid.shape[1]
    patch = _noise(rng, size, 4)
    _blend(picture, _ink(rng, picture.mean((0, 1))), _soft((0.72 - patch) * 40))
    for _ in range(rng.integers(1, 4)):
        radius, centre = rng.uniform(8, 20), rng.uniform(0, size, 2)
        window = _window(size, centre, REACH * radius + 2)
        distance = _placed(grid, window, str(rng.choice(SHAPES)), centre, radius, rng.uniform(0, 7))
        _blend(picture[window], _ink(rng), _soft(np.abs(distance) - 0.8))
    for _ in range(rng.integers(2, 5)):
        u, v = _rotated(grid, rng.uniform(0, size, 2), rng.uniform(0, np.pi))
        line = np.maximum(np.abs(v) - rng.uniform(0.5, 1.0), np.abs(u) - rng.uniform(12, 60))
        _blend(picture, _ink(rng), _soft(line))
    for _ in range(rng.integers(10, 25)):
        centre = rng.uniform(0, size, 2)
        window = _window(size, centre, 4)
        u, v = _rotated(grid[:, *window], centre, 0.0)
        _blend(picture[window], _ink(rng), _soft(np.hypot(u, v) - rng.uniform(0.8, 2.2)))


def _paint_object(rng, picture, mask, grid, place) -> None:
    """Paint a textured shape with a soft shadow below it, and its label."""
    shape, centre, radius, angle = place
    window = _window(len(mask), centre, REACH * radius + 6)
    below = _placed(grid, window, shape, centre + 2.0, radius, angle)
    _blend(picture[window], picture[window] * 0.55, np.clip(0.5 - below / 3, 0, 1) * 0.6)
    distance = _placed(grid, window, shape, centre, radius, angle)
    _paint_textured(rng, picture[window], grid[:, *window], _soft(distance), TEXTURES[shape])
    mask[window][distance < 0] = SHAPES.index(shape) + 1


def _places(rng: np.random.Generator, size: int, count: int) -> list[tuple[np.ndarray, float]]:
    """Draw centres and radii so that no two objects touch, smaller ones where it gets narrow.

    Returns:
        ``count`` places, or the most that were found; never none.
    """
    best: list[tuple[np.ndarray, float]] = []
    for largest in np.linspace(RADIUS_RANGE[1], RADIUS_RANGE[0], NUM_LAYOUTS):
        places: list[tuple[np.ndarray, float]] = []
        radii = rng.uniform(RADIUS_RANGE[0], largest, 8 * count)
        for radius, at in zip(radii.tolist(), rng.random((8 * count, 2))):
            centre = 0.9 * radius + at * (size - 1.8 * radius)
            if all(math.dist(centre, c) > SPACING * (radius + r) for c, r in places):
                places.append((centre, radius))
            if len(places) == count:
                return places
        best = max(best, places, key=len)
    return best


def paint_scene(
    rng: np.random.Generator,
    size: int = 128,
    first_shape: int = 0,
    num_objects: tuple[int, int] = NUM_OBJECTS,
) -> tuple[np.ndarray, np.ndarray]:
    """Paint one picture and its mask.

    Args:
        rng: source of all that is random.
        size: side in pixels, at least 64.
        first_shape: index into :data:`SHAPES` of a shape that is there for sure.
        num_objects: least and largest number of objects.

    Returns:
        The picture, uint8 (size, size, 3) RGB, and the mask, uint8 (size, size): 0 for the
        ground, ``1 + index into SHAPES`` for the objects.
    """
    grid = np.mgrid[:size, :size].astype(np.float32)
    picture = _paint_ground(rng, size, grid)
    _paint_clutter(rng, picture, grid)
    mask = np.zeros((size, size), np.uint8)
    order = (first_shape + rng.permutation(len(SHAPES))) % len(SHAPES)
    order[order == first_shape], order[0] = order[0], first_shape
    count = int(rng.integers(num_objects[0], num_objects[1] + 1))
    for index, (centre, radius) in zip(order, _places(rng, size, count)):
        place = (SHAPES[index], centre, radius, rng.uniform(0, 2 * np.pi))
        _paint_object(rng, picture, mask, grid, place)
    picture += rng.normal(0, 5, (size, size, 1)) + rng.normal(0, 2, picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), mask
