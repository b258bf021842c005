"""Label maps: which class a value or a colour becomes, and what is said where none is named."""

import copy
import pickle

import numpy as np
import pytest

from mmseg_custom.datasets.label_map import LabelMap, describe_counts

LABELS = {'ignore': [0, 255], 'road': 1, 'car': [2, 3], 'sign': '#dcdc00'}


def rgb(*colours):
    """One pixel of each ``'rrggbb'``, (1, N, 3)."""
    return np.array([[list(bytes.fromhex(colour)) for colour in colours]], np.uint8)


@pytest.fixture
def label_map():
    return LabelMap.parse(LABELS)


def test_classes_follow_from_the_names_in_their_order(label_map):
    assert label_map.classes == ('road', 'car', 'sign')
    assert LabelMap.parse(LABELS, ['sign', 'car', 'road', 'tree']).classes[3] == 'tree'
    turned = LabelMap.parse(LABELS, ['sign', 'car', 'road'])
    np.testing.assert_array_equal(turned(np.array([[0, 1, 2, 3]], np.uint8)), [[255, 2, 1, 1]])


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_values_of_8_and_16_bits(label_map, dtype):
    mapped = label_map(np.array([[0, 1], [2, 3], [255, 1]], dtype))
    assert mapped.dtype == np.uint8
    np.testing.assert_array_equal(mapped, [[255, 0], [1, 1], [255, 0]])


def test_files_of_indices_stay_as_they_are():
    indices = LabelMap.of_indices('abc', None, False)
    raw = np.array([[0, 1, 2, 255]], np.uint8)
    assert indices(raw) is raw
    assert indices.unknown(np.array([[0, 3, 254, 255]], np.uint8)) == {3: 1, 254: 1}
    # What looks alike, but names another index for one of the values.
    for labels in ({'a': 0, 'b': 1, 'c': 255}, {'a': 1, 'b': 0, 'ignore': 255}):
        mapped = LabelMap.parse(labels)(np.array([[0, 1, 255, 255]], np.uint8))
        expected = [[0, 1, 2, 2]] if 'c' in labels else [[1, 0, 255, 255]]
        np.testing.assert_array_equal(mapped, expected)


def test_values_above_255():
    label_map = LabelMap.parse({'road': 7000, 'car': [65535, 2]})
    np.testing.assert_array_equal(label_map(np.array([[7000, 65535, 2]], np.uint16)), [[0, 1, 1]])
    assert label_map.unknown(np.array([[7000, 44, 44, 2]], np.uint16)) == {44: 2}
    assert label_map.unknown(np.array([[2, 44]], np.uint8)) == {44: 1}


def test_colours_and_grey_pixels_of_rgb(label_map):
    np.testing.assert_array_equal(
        label_map(rgb('dcdc00', '010101', '030303', 'ffffff', '000000')), [[2, 0, 1, 255, 255]]
    )
    noise = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    three = LabelMap.parse({name: f'#{bytes(noise[i, i]).hex()}' for i, name in enumerate('abc')})
    expected = np.full((50, 60), 254, np.uint8)
    for index in range(3):
        expected[(noise == noise[index, index]).all(-1)] = index
    np.testing.assert_array_equal(three.lookup(noise), expected)


def test_grey_colours_of_a_single_channel():
    label_map = LabelMap.parse({'ground': '#000000', 'cell': '#FFFFFF', 'edge': '#ff0000'})
    np.testing.assert_array_equal(label_map(np.array([[0, 255]], np.uint8)), [[0, 1]])
    assert label_map.unknown(np.array([[0, 128]], np.uint8)) == {128: 1}


def test_index_before_colour_of_a_palette(label_map):
    palette = rgb('dcdc00', 'dcdc00', '000000', '808080', 'dcdc00')[0]
    mapped = label_map(np.array([[0, 1, 3, 4]], np.uint8), palette)
    np.testing.assert_array_equal(mapped, [[255, 0, 1, 2]])
    only_colours = LabelMap.parse({'a': '#dcdc00', 'b': '#000000'})
    np.testing.assert_array_equal(
        only_colours(np.array([[0, 1, 2, 4]], np.uint8), palette), [[0, 0, 1, 0]]
    )
    raw = np.array([[3, 3, 0, 9]], np.uint8)
    assert only_colours.unknown(raw, palette) == {'#808080': 2, 9: 1}


def test_unknown_values_are_counted_the_most_frequent_first(label_map):
    assert label_map.unknown(np.array([[1, 9, 7], [7, 2, 7]], np.uint8)) == {7: 3, 9: 1}
    assert label_map.unknown(rgb('dcdc00', '0a0b0c', '0a0b0c', '090909')) == {
        '#0a0b0c': 2,
        '#090909': 1,
    }
    assert label_map.unknown(np.array([[1, 2]], np.uint8)) == {}
    indices = LabelMap(('a', 'b'), ((0, 0), (1, 1)))
    assert indices.unknown(rgb('010101', '050505', '804080')) == {5: 1, '#804080': 1}
    with pytest.raises(ValueError, match=r'found 9 in 1 pixels, expected 0, 255, 1, 2, 3, "#dcdc0'):
        label_map(np.array([[1, 9]], np.uint8))
    assert describe_counts({1: 9, 2: 8, 3: 7, 4: 6}).endswith('3 in 7 pixels, and 1 more values')


def test_colours_of_the_classes():
    assert LabelMap.parse(LABELS).palette() is None
    labels = {'a': ['#010203', '#040506'], 'ignore': '#000000', 'b': '#ff0000'}
    assert LabelMap.parse(labels).palette() == [[1, 2, 3], [255, 0, 0]]
    assert LabelMap.parse(labels).raw_names(0) == ['"#010203"', '"#040506"']


def test_copies_are_equal_and_small(label_map):
    label_map(rgb('dcdc00'))  # makes the table of all colours
    assert len(pickle.dumps(label_map)) < 1000
    assert pickle.loads(pickle.dumps(label_map)) == copy.deepcopy(label_map) == label_map


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        (['road', 'car'], r"labels is list .*expected names .*a list of names is 'classes'"),
        ({}, 'labels is dict {}; expected names'),
        ({1: 'road'}, r"the name 1 is int; expected a name before its values, e.g. 'road: 1'"),
        ({False: 1}, r"the name False is bool; .* such as 'no' is put in quotes"),
        ({'road': None}, r'road has no value; expected .*in quotes: without them # begins'),
        ({'road': '1'}, r"road has str '1'; expected whole numbers 0-65535 or colours"),
        ({'road': '#abc'}, r"road has str '#abc'; expected whole"),
        ({'road': True}, 'road has bool True'),
        ({'road': 65536}, 'road has int 65536'),
        ({'road': [[1, 2, 3]]}, r'road has list \[1, 2, 3\]; expected .*"#dcdc00"'),
        ({'road': 1, 'car': [2, 1]}, 'labels: 1 is named by road and by car; expected each'),
        ({'road': '#ABCDEF', 'car': '#abcdef'}, '#abcdef is named by road and by car'),
    ],
)
def test_what_does_not_fit_is_one_line(labels, message):
    with pytest.raises(ValueError, match=message) as caught:
        LabelMap.parse(labels)
    assert '\n' not in str(caught.value)


def test_names_that_are_no_class():
    with pytest.raises(ValueError, match="'raod' is not among the classes road, car; did you mean"):
        LabelMap.parse({'raod': 1}, ['road', 'car'])
    with pytest.raises(ValueError, match="'ignore' is not the name of a class"):
        LabelMap.parse({'road': 1}, ['road', 'ignore'])
