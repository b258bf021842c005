"""The Python client before anything is trained: models, their parameters, their mistakes."""

import pytest
from run_rows import add
from small_templates import SEGFORMER, SEGMENTER, small, write_blocks

from mmseg_custom.templates.client import App
from mmseg_custom.templates.params_file import dump_params
from mmseg_custom.templates.records import TRAINED


@pytest.fixture
def app(tmp_path) -> App:
    return App('cells', tmp_path / 'root')


def test_parameters_are_changed_all_or_none(app, tmp_path):
    model = app.create_model('segmenter', template=SEGFORMER)
    model.update_params(dataset_id='blocks', num_epochs=5, concepts=['car'])
    before = model.get_params(save_to=tmp_path / 'params.yaml')
    assert (before['concepts'], before['train_params']['num_epochs']) == (['car'], 5)
    with pytest.raises(ValueError) as raised:
        model.update_params(num_epochs=7, batch_size=17, image_size=(64, 64), sead=3)
    fields = [line.split()[2] for line in str(raised.value).splitlines()]
    assert fields == [f'train_params.{name}' for name in ('image_size', 'batch_size', 'sead')]
    assert model.get_params() == before
    other = app.create_model('other', template=SEGMENTER)
    assert other.load_params(tmp_path / 'params.yaml') == before and other.template == SEGFORMER


def test_a_mistake_starts_nothing(app, tmp_path):
    model = app.create_model('segmenter', template=SEGFORMER)
    path = tmp_path / 'params.yaml'
    path.write_text(dump_params(small(dataset_id=str(write_blocks(tmp_path / 'b')), batch_size=7)))
    with pytest.raises(ValueError, match='batch_size is 7, but .* has 6 training images'):
        model.train(path)
    assert model.run_id is None and app.runs.list() == []
    for ask in (model.status, model.history, model.resume, model.evaluate):
        with pytest.raises(ValueError, match="'segmenter' has no run yet; call train\\(\\) first"):
            ask()


def test_models_belong_to_their_application(app, tmp_path):
    for name, model in (('cells', 'a'), ('other', 'b'), ('cells', 'c'), ('cells', 'a')):
        run = app.runs.get(add(app.runs, TRAINED, app=name, model=model))
        run.params_file.write_text(dump_params(small(seed=run.number)))
    assert app.models() == ['a', 'c']
    assert (app.model('a').run_id, app.run('run-2').name) == ('run-4', 'b')
    assert app.model('a').get_params()['train_params']['seed'] == 4
    with pytest.raises(ValueError, match=r"'cells' has no trained model 'b' \(trained: a, c\)"):
        app.model('b')
