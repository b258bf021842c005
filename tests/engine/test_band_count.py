"""What a data set says of its bands reaches loaders, preprocessor and backbone."""

import copy

import pytest

from mmseg_custom.bands import select_bands
from mmseg_custom.engine.band_count import fill_bands, fit_bands
from mmseg_custom.engine.config import load_config
from mmseg_custom.registry import register_all

LEAF = 'segformer/segformer_mit-b0_folder_bands.py'
FACTS = dict(
    bands=('blue', 'green', 'red', 'nir'), mean=(1.0, 2.0, 3.0, 4.0), std=(5.0, 6.0, 7.0, 8.0)
)
YAML = """
classes: [a, b]
bands: [blue, green, red, nir]
mean: [1, 2, 3, 4]
std: [5.0, 6.0, 7.0, 8.0]
nodata: .nan
"""


def loading_steps(config):
    pipelines = [
        config[f'{split}_dataloader'].dataset.pipeline for split in ('train', 'val', 'test')
    ]
    return [pipeline[0] for pipeline in (*pipelines, config.tta_pipeline)]


@pytest.mark.parametrize(
    ('option', 'bands', 'rgb_channels'),
    [
        ((), [0, 1, 2, 3], (2, 1, 0)),
        (('bands=[red,nir]',), [2, 3], None),
        (('bands=[3,2,1,0]',), [3, 2, 1, 0], (1, 2, 3)),
    ],
)
def test_the_data_set_fills_the_config(option, bands, rgb_channels, tmp_path):
    register_all()
    (tmp_path / 'dataset.yaml').write_text(YAML)
    config = load_config(LEAF, [f'data_root={tmp_path}', *option])
    fit_bands(config)
    for step in loading_steps(config):
        assert (step.bands, step.num_bands, step.rgb_bands) == (bands, 4, [2, 1, 0])
        assert step.nodata == 'nan', 'as text: the number could not be read again from a config'
    for preprocessor in (config.data_preprocessor, config.model.data_preprocessor):
        assert preprocessor.mean == [[1, 2, 3, 4][band] for band in bands]
        assert preprocessor.std == [[5, 6, 7, 8][band] for band in bands]
    assert config.model.backbone.in_channels == len(bands)
    assert config.model.backbone.rgb_channels == rgb_channels
    saved = tmp_path / 'run.py'
    saved.write_text(config.pretty_text)
    again = load_config(str(saved))
    fit_bands(again)
    assert again.model == config.model, 'the config of a run says the same again'
    assert loading_steps(again) == loading_steps(config)


def test_a_config_without_bands_stays_as_it_is():
    config = load_config('segformer/segformer_mit-b0_folder.py')
    before = copy.deepcopy(config._cfg_dict)
    fill_bands(config, FACTS)
    assert config._cfg_dict == before


def _colour_step(config):
    config.train_dataloader.dataset.pipeline.insert(3, dict(type='PhotoMetricDistortion'))


def _one_other(config):
    config.val_dataloader.dataset.pipeline[0].bands = [0]


WRONG = {
    'no statistics': (
        lambda c: None,
        dict(bands=FACTS['bands']),
        r'band_statistics.py DATA --write',
    ),
    'colours': (_colour_step, FACTS, 'PhotoMetricDistortion works on .* take it out'),
    'two selections': (_one_other, FACTS, r'\[0, 1, 2, 3\] and \[0\]; set "bands='),
    'in_channels': (
        lambda c: c.model.backbone.update(in_channels=3),
        FACTS,
        'in_channels=3 but the pipeline loads 4 bands; set model.backbone.in_channels=4',
    ),
    'mean': (
        lambda c: c.model.data_preprocessor.update(mean=[1] * 3, std=[1] * 3),
        FACTS,
        'mean has 3 values but the pipeline loads 4 bands',
    ),
}


@pytest.mark.parametrize('case', WRONG)
def test_what_does_not_agree(case):
    change, facts, message = WRONG[case]
    config = load_config(LEAF)
    change(config)
    with pytest.raises(ValueError, match=message):
        fill_bands(config, facts, 'DATA')


@pytest.mark.parametrize(
    ('facts', 'chosen', 'message'),
    [
        (dict(mean=(1, 2), std=(1, 2, 3)), None, '2 in mean, 3 in std; make them agree'),
        (dict(mean=(1, 2)), None, 'mean and std .* belong together'),
        (FACTS, ['swir'], "no band 'swir'; expected some of blue, green, red, nir"),
        (FACTS, [4], 'index 4, but there are 4 bands, 0 to 3'),
        (FACTS, [-1], 'an index from 0, got -1'),
        (FACTS, [0, 'blue'], 'takes a band twice'),
        (FACTS, 'red', "bands='red'; expected a list"),
        ({}, ['red'], "'red' is a name, but the data set names no bands"),
    ],
)
def test_selections_that_do_not_fit(facts, chosen, message):
    with pytest.raises(ValueError, match=message):
        select_bands(facts, chosen)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('bands: red', "bands is 'red'; expected a list of names"),
        ('bands: [red, 3]', r'bands\[1\] is 3; expected names'),
        ('bands: [red, red]', 'has a name twice'),
        ('mean: [1, .nan]', r'mean\[1\] is nan; expected numbers'),
        ('std: [1, 0]', r'std\[1\] is 0; expected numbers above 0'),
        ('rgb_bands: [0, 1]', 'rgb_bands has 2 entries; expected 3'),
        ('nodata: [0]', r'nodata is \[0\]; expected a number or nan'),
    ],
)
def test_lines_of_the_yaml_that_do_not_fit(line, message, tmp_path):
    from mmseg_custom.datasets import read_dataset_yaml

    (tmp_path / 'dataset.yaml').write_text(f'classes: [a, b]\n{line}\n')
    with pytest.raises(ValueError, match=message) as raised:
        read_dataset_yaml(tmp_path)
    assert str(tmp_path / 'dataset.yaml') in str(raised.value)
