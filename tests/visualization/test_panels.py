import numpy as np
import pytest

from mmseg_custom.visualization.legend import (
    Legend,
    LegendEntry,
    format_share,
    legend_entries,
)
from mmseg_custom.visualization.panels import draw_overlay, side_by_side
from mmseg_custom.visualization.rendering import blend

CLASSES = ('sky', 'Straße', 'дерево')
PALETTE = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]


def colours_of(picture):
    return {tuple(colour) for colour in np.unique(picture.reshape(-1, 3), axis=0).tolist()}


def test_legend_lists_the_present_classes_by_share():
    entries = legend_entries(CLASSES, PALETTE, np.array([0.25, 0.0, 0.75]))
    assert [(entry.name, entry.share) for entry in entries] == [('дерево', 0.75), ('sky', 0.25)]
    assert entries[0].colour == (10, 10, 250)


def test_equal_shares_keep_the_order_of_the_classes():
    entries = legend_entries(CLASSES, PALETTE, np.full(3, 1 / 3))
    assert [entry.name for entry in entries] == list(CLASSES)


def test_legend_needs_one_colour_per_class():
    with pytest.raises(ValueError, match='3 class names, 2 colours and 3 shares'):
        legend_entries(CLASSES, PALETTE[:2], np.ones(3))


@pytest.mark.parametrize(
    ('share', 'text'), [(0.1234, '12.3 %'), (1, '100.0 %'), (0.0005, '0.1 %'), (4e-4, '<0.1 %')]
)
def test_shares_are_percent(share, text):
    assert format_share(share) == text


def test_legend_fills_columns_and_tells_its_size():
    legend = Legend([LegendEntry(f'class {i}', (0, 0, 0), 0.1) for i in range(10)], 15)
    assert legend.row_height == 24
    assert legend.columns_within_height(5 * 24) == 2
    assert legend.columns_within_height(5 * 24 - 1) == 3
    assert legend.columns_within_width(3 * legend.cell_width) == 3
    assert legend.columns_within_width(1) == 1
    assert legend.size(3) == (3 * legend.cell_width, 4 * 24)


def test_long_names_end_in_an_ellipsis():
    legend = Legend([LegendEntry('x' * 500, (0, 0, 0))], 14)
    assert legend.lines[0][1].endswith('x…')
    assert 24 * 14 < legend.cell_width < 27 * 14


def test_overlay_is_the_blended_picture_with_a_legend_beside_it():
    image = np.full((360, 480, 3), (100, 60, 20), np.uint8)
    class_map = np.zeros((360, 480), np.uint8)
    class_map[:, 240:] = 2
    overlay = draw_overlay(image, class_map, CLASSES, PALETTE, opacity=0.5)
    np.testing.assert_array_equal(overlay[:, :480], blend(image, class_map, PALETTE, 0.5))
    assert overlay[0, 0].tolist() == [175, 35, 15]
    assert overlay[0, 479].tolist() == [55, 35, 135]
    assert overlay.shape[0] == 360
    legend = overlay[:, 480:]
    assert colours_of(legend) & set(PALETTE) == {PALETTE[0], PALETTE[2]}  # those present


def test_small_pictures_are_enlarged_by_a_whole_factor():
    image = np.zeros((40, 50, 3), np.uint8)
    image[0, 0] = 200
    overlay = draw_overlay(image, np.zeros((40, 50), np.uint8), CLASSES, PALETTE, opacity=0)
    assert overlay.shape[0] == 320
    np.testing.assert_array_equal(overlay[:320, :400], image.repeat(8, 0).repeat(8, 1))


@pytest.mark.parametrize(('width', 'factor'), [(1500, 2), (5000, 1)])
def test_long_pictures_do_not_become_huge(width, factor):
    image, labels = np.full((4, width, 3), 90, np.uint8), np.zeros((4, width), np.uint8)
    overlay = draw_overlay(image, labels, ('road',), [(0, 0, 0)], opacity=0)
    assert (overlay[: 4 * factor, : width * factor] == 90).all()
    assert (overlay[4 * factor :, : width * factor] == 255).all()


@pytest.mark.parametrize('num_classes', [1, 2, 150])
def test_legend_is_complete_for_any_number_of_classes(num_classes):
    class_map = np.arange(360 * 480).reshape(360, 480) // 40 % num_classes
    palette = [(255, i, 77) for i in range(num_classes)]
    names = [f'class {i}' for i in range(num_classes)]
    overlay = draw_overlay(np.zeros((360, 480, 3), np.uint8), class_map, names, palette)
    assert set(palette) <= colours_of(overlay[:, 480:])
    if num_classes < 150:
        assert overlay.shape[0] == 360


def test_side_by_side_shows_rows_of_three():
    image = np.full((60, 120, 3), (9, 99, 199), np.uint8)
    truth = np.zeros((60, 120), np.int64)
    truth[:, 60:] = 255
    prediction = np.ones((60, 120), np.uint8)
    picture = side_by_side([(image, truth, prediction)] * 2, CLASSES, PALETTE, tile_width=240)
    gap, header = 4, 29
    assert picture.shape[1] == 3 * 240 + 4 * gap
    for top in (header, header + 120 + gap):
        tiles = [picture[top : top + 120, gap + i * 244 : gap + i * 244 + 240] for i in range(3)]
        assert (tiles[0] == (9, 99, 199)).all()
        assert (tiles[1][:, :120] == PALETTE[0]).all()
        assert (tiles[1][:, 120:] == 255).all()
        assert (tiles[2] == PALETTE[1]).all()
    legend = picture[header + 2 * (120 + gap) :]
    assert colours_of(legend) & set(PALETTE) == set(PALETTE[:2])


def test_side_by_side_takes_pictures_without_ground_truth_and_of_other_sizes():
    rows = [
        (np.zeros((h, w, 3), np.uint8), None, np.zeros((h, w), np.uint8))
        for h, w in ((30, 60), (60, 30))
    ]
    picture = side_by_side(rows, CLASSES, PALETTE, tile_width=120)
    middle = picture[28:270, 132:250]
    assert (middle == 255).all()


def test_side_by_side_refuses_what_does_not_fit():
    image, class_map = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match='at least one row'):
        side_by_side([], CLASSES, PALETTE)
    with pytest.raises(ValueError, match=r'ground truth is \(2, 4\)'):
        side_by_side([(image, class_map[:2], class_map)], CLASSES, PALETTE)
