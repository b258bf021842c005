"""The form of a template and what it gives, without a browser."""

import pytest

from mmseg_custom.templates.models import TEMPLATES
from mmseg_custom.templates.page_fields import values_of


@pytest.mark.parametrize('template', TEMPLATES)
def test_the_defaults_go_through_the_form(template):
    pytest.importorskip('gradio')
    from mmseg_custom.templates.page_fields import form_of

    schema = TEMPLATES[template].model_json_schema()
    form = form_of(schema)
    assert [*form] == [*TEMPLATES[template].model_fields]
    values = values_of(schema, [part.value for part in form.values()])
    assert TEMPLATES[template](**values) == TEMPLATES[template]()


@pytest.mark.parametrize(
    ('typed', 'value'),
    [
        ('520', [520]),
        ('640, 480', [640, 480]),
        (' [640 480] ', [640, 480]),
        ('640x480', [640, 480]),
        ('-3', [-3]),
        ('wide', 'wide'),
        ('1.5', '1.5'),
        ('', []),
    ],
)
def test_lists_are_typed_as_people_do(typed, value):
    schema = dict(properties=dict(image_size=dict(type='array')))
    assert values_of(schema, [typed]) == dict(image_size=value)


def test_whole_numbers_stay_whole():
    schema = dict(properties=dict(a=dict(type='integer'), b=dict(type='integer')))
    values = values_of(schema, [3.0, 3.5])
    assert values == dict(a=3, b=3.5) and isinstance(values['a'], int)
