"""Params files: defaults that load as they were written, and a message for every fault."""

import json
from pathlib import Path

import pytest

from mmseg_custom.templates.fields import Number
from mmseg_custom.templates.models import TEMPLATES
from mmseg_custom.templates.params_file import (
    default_params,
    dump_params,
    load_params,
    parse_params,
)

SEGFORMER = 'MMSegmentation_SegFormer'
PAGE = Path(__file__).resolve().parents[2] / 'docs/templates.md'
# As a hosted platform writes it.
HOSTED = """
concepts: []
dataset_id: cells
dataset_version_id: ''
train_params:
  batch_size: 2
  image_size:
  - 520
  invalid_data_tolerance_percent: 5.0
  num_epochs: 1
  per_item_lrate: 7.5e-06
  pretrained_weights: ade20k
  template: MMSegmentation_SegFormer
"""


def content(**changes) -> dict:
    """The plain values of SegFormer's defaults, with others."""
    values = default_params(SEGFORMER, dataset_id='cells').content()
    for name, value in changes.items():
        part = values if name in values else values['train_params']
        part[name] = value
    return values


def fault(asked_for: str | None = None, **changes) -> str:
    with pytest.raises(ValueError) as raised:
        parse_params(content(**changes), 'p.yaml', asked_for)
    return str(raised.value)


def test_the_hosted_file_is_the_defaults():
    assert load_params(HOSTED) == default_params(SEGFORMER, dataset_id='cells')


@pytest.mark.parametrize('template', TEMPLATES)
def test_a_written_file_loads_as_it_was_and_explains_each_field(template, tmp_path):
    params = default_params(template)
    (tmp_path / 'params.yaml').write_text(dump_params(params))
    assert load_params(tmp_path / 'params.yaml', template) == params
    text = dump_params(params)
    assert max(map(len, text.splitlines())) <= 100
    comments = {}
    comment = ''
    for line in text.partition('train_params:\n')[2].splitlines():
        if line.startswith('  # '):
            comment += line.removeprefix('  #')
        else:
            comments[line.partition(':')[0].strip()], comment = comment.strip(), ''
    facts = params.train_params.facts()
    assert comments == {'template': ''} | {
        name: f'{one.help}: {one.allowed()}' for name, one in facts.items()
    }
    for name, one in facts.items():
        assert one.unit in comments[name]
        assert all(
            f'{bound:.10g}' in comments[name] for bound in (one.minimum, one.maximum) if bound
        )


def test_other_values_survive_the_file():
    params = default_params(SEGFORMER).updated(
        dataset_id='my folder/a: b',
        concepts=['no', '1e3', 'Straße'],
        per_item_lrate=1e-4,
        pretrained_weights='None',
        image_size=[640, 480],
        device='cuda:1',
    )
    assert params.train_params.pretrained_weights is None
    assert load_params(dump_params(params)) == params


@pytest.mark.parametrize('written, value', [('1e-4', 1e-4), ('0', 0.0), ('1E+0', 1.0), ('.5', 0.5)])
def test_numbers_are_those_of_yaml_1_2(written, value):
    text = HOSTED.replace('7.5e-06', written)
    assert load_params(text).train_params.per_item_lrate == value


def test_the_json_schema_has_default_bounds_step_unit_and_help():
    for template, fields in TEMPLATES.items():
        schema = json.loads(json.dumps(fields.model_json_schema()))
        assert schema['title'] == template and schema['additionalProperties'] is False
        for name, default in fields.defaults().items():
            found, facts = schema['properties'][name], fields.facts()[name]
            assert found['default'] == default
            assert found['description'] == facts.help
            if isinstance(facts, Number):
                for key in ('minimum', 'maximum', 'step'):
                    assert found.get(key) == getattr(facts, key)
    size = schema['properties']['image_size']
    assert (size['minItems'], size['maxItems'], size['unit']) == (1, 2, 'pixels')
    assert size['items'] == dict(type='integer', minimum=32, maximum=2048, step=1)
    assert schema['properties']['batch_size']['unit'] == 'images'


def test_a_step_counts_from_the_minimum():
    field = Number(help='', minimum=0.5, maximum=2.0, step=0.1, whole=False)
    assert field.check(0.7) == 0.7 and field.check(2.0) == 2.0
    with pytest.raises(ValueError):
        field.check(0.75)
    assert field.allowed() == 'a number from 0.5 to 2 in steps of 0.1'
    assert field.nearest(0.77) == pytest.approx(0.7) and field.nearest(9) == pytest.approx(2.0)


@pytest.mark.parametrize(
    'name, value, expected',
    [
        ('image_size', [1, 2, 3], '[1, 2, 3]; expected [smaller side] or [width, height], whole'),
        ('image_size', [31], '[31]; expected'),
        ('image_size', [2049, 64], '[2049, 64]; expected'),
        ('image_size', 520, '520; expected [smaller side] or [width, height]'),
        ('image_size', [52.5], 'a list with 52.5; expected'),
        ('image_size', [], '[]; expected'),
        ('batch_size', 0, '0; expected a whole number from 1 to 16 (images); write batch_size: 1'),
        (
            'batch_size',
            17,
            '17; expected a whole number from 1 to 16 (images); write batch_size: 16',
        ),
        (
            'batch_size',
            2.5,
            '2.5; expected a whole number from 1 to 16 (images); write batch_size: 2',
        ),
        ('batch_size', '2', "'2'; expected a whole number"),
        ('batch_size', True, 'True; expected a whole number'),
        ('num_epochs', 201, '201; expected a whole number from 1 to 200 (epochs)'),
        ('per_item_lrate', -1e-5, '-1e-05; expected a number from 0 on (per image)'),
        ('per_item_lrate', float('nan'), 'nan; expected a number from 0 on'),
        ('per_item_lrate', float('inf'), 'inf; expected a number from 0 on'),
        ('per_item_lrate', '1e-4', "'1e-4'; expected a number from 0 on"),
        ('pretrained_weights', 5, '5; expected None, ade20k, the name of published weights or a'),
        (
            'invalid_data_tolerance_percent',
            100.5,
            '100.5; expected a number from 0 to 100 (percent)',
        ),
        (
            'other_concepts',
            'ignored',
            "'ignored'; expected one of background, ignore; did you mean",
        ),
        ('seed', -1, '-1; expected a whole number from 0 to 2147483647; write seed: 0'),
        ('device', 'cuda0', "'cuda0'; expected auto, cpu, cuda or cuda:N; write device: auto"),
        ('precision', 'fp16', "'fp16'; expected one of float32, auto, bfloat16, float16; did you"),
        ('backbone', 'mit-b6', "'mit-b6'; expected one of mit-b0,"),
        ('backbone', None, 'empty; expected one of mit-b0,'),
        ('backbone', 'vit-t', 'that is one of MMSegmentation_Segmenter, but the file is for'),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(name, value, expected):
    message = fault(**{name: value})
    assert message.startswith(f'p.yaml: train_params.{name} is ')
    assert expected in message and '\n' not in message


@pytest.mark.parametrize(
    'changes, expected',
    [
        (dict(bach_size=2), 'train_params.bach_size is unknown; did you mean batch_size?'),
        (dict(xyz=2), 'train_params.xyz is unknown; known: template, image_size, batch_size'),
        (dict(decoder='mask'), 'decoder is a field of MMSegmentation_Segmenter, but the file is'),
        (dict(template='MMSegmentation_Segformer'), 'did you mean MMSegmentation_SegFormer?'),
        (dict(template='MMDetection_YoloF'), 'no template here; expected one of MMSegmentation_'),
        (dict(template=None), 'train_params.template is missing; expected one of MMSegmentation_'),
        (dict(template=['x']), "train_params.template is ['x'], which is no template here"),
        (dict(data_set='x'), 'data_set is unknown; did you mean dataset_id beside train_params?'),
        (dict(dataset_id=['a']), "p.yaml: dataset_id is ['a']; expected text, name of a data set"),
    ],
)
def test_a_wrong_key_is_named_with_the_nearest(changes, expected):
    assert expected in fault(**changes)


@pytest.mark.parametrize(
    'written, expected',
    [
        ('dataset_id: 2024', 'dataset_id is 2024; expected text, .*; write it in quotes$'),
        ('dataset_version_id: 123456', 'dataset_version_id is 123456; .*; write it in quotes$'),
        (
            'concepts: car',
            r"concepts is 'car'; expected a list of names, .*; write concepts: \[car]$",
        ),
        ('concepts: [car, no]', 'concepts is a list with False; .*; write it in quotes$'),
        ('concepts: [car, ]\nepochs: 3', 'epochs is unknown; did you mean num_epochs below train_'),
    ],
)
def test_what_yaml_takes_for_something_else_is_told(written, expected):
    key = written.partition(':')[0]
    lines = [line for line in HOSTED.splitlines() if not line.startswith(key)]
    with pytest.raises(ValueError, match=f'the params: {expected}'):
        load_params('\n'.join([*lines, written]))


def test_a_template_that_is_none_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="is 'MMSegmentation_Segformr', .* did you mean"):
        default_params('MMSegmentation_Segformr')
    for other in ('segformer', '', None):
        with pytest.raises(ValueError, match=f'expected one of {", ".join(TEMPLATES)}$'):
            default_params(other)


def test_every_fault_has_a_line():
    values = content(batch_size=17, num_epochs=0, concepts='car')
    values['data_set'] = 'x'
    values['seed'] = 3
    with pytest.raises(ValueError) as raised:
        parse_params(values, 'p.yaml')
    lines = str(raised.value).splitlines()
    assert [line.split()[1] for line in lines] == [
        *('train_params.batch_size', 'train_params.num_epochs', 'concepts', 'data_set', 'seed')
    ]
    assert 'did you mean dataset_id?' in lines[3]
    assert lines[4] == 'p.yaml: seed stands beside train_params; write it below train_params'


def test_a_file_for_another_template_is_named():
    assert fault('MMSegmentation_Segmenter') == (
        'p.yaml: train_params.template is MMSegmentation_SegFormer, but MMSegmentation_Segmenter '
        'was asked for; take a params file of MMSegmentation_Segmenter, or that template'
    )


@pytest.mark.parametrize(
    'text, expected',
    [
        ('a: 1\nb: [\n', 'line 3 is no YAML of plain values'),
        ('a: 1\nb: !!python/object/apply:os.getcwd []\n', 'line 2 is no YAML of plain values'),
        (HOSTED + 'dataset_id: other\n', "the key 'dataset_id' occurs twice, remove one"),
        ('- a\n- b\n', 'holds no train_params; expected dataset_id, dataset_version_id'),
        ('train_params: 3\nconcepts: []\n', 'train_params is 3; expected template and its fields'),
        ('train_params:\nconcepts: []\n', 'train_params is empty; expected template and its'),
        (HOSTED.replace('train_p', 'trainp'), 'trainparams is unknown, did you mean train_params'),
    ],
)
def test_what_is_no_params_file_is_refused(text, expected, tmp_path):
    path = tmp_path / 'p.yaml'
    path.write_text(text)
    for source in (text, path):
        with pytest.raises(ValueError, match=expected):
            load_params(source)


def test_lines_that_stand_for_billions_of_values_are_refused_at_once():
    lines = ['a: &x0 [1, 1]']
    lines += [f'b{n}: &x{n} [{", ".join([f"*x{n - 1}"] * 9)}]' for n in range(1, 12)]
    text = '\n'.join(lines) + HOSTED.replace('520', '*x11')
    with pytest.raises(ValueError) as raised:
        load_params(text)
    first = str(raised.value).splitlines()[0]
    assert first.startswith('the params: train_params.image_size is a list with [[[...], [...]')
    assert len(first) < 300


def test_a_file_that_is_not_there_says_how_to_write_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'segmenter.py params MMSegmentation_SegFormer > '):
        load_params(tmp_path / 'p.yaml')


def test_the_page_has_every_field_and_the_file():
    page = PAGE.read_text(encoding='utf-8')
    common = TEMPLATES['MMSegmentation'].__base__.model_fields
    for template, fields in TEMPLATES.items():
        assert f'| `{template}` | {fields.summary} |' in page
        for name, facts in fields.facts().items():
            of = '' if name in common else f' of `{template}`'
            default = fields.model_fields[name].default
            assert f'| `{name}`{of} | `{default}` | {facts.allowed()} | {facts.help} |' in page
    assert f'```text\n{dump_params(default_params(SEGFORMER))}```' in page
