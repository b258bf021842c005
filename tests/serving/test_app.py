"""Answers of the real server: right ones, and refusals that leave it alive."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from hostile_pictures import HTML, SVG, bomb, jpeg
from PIL import Image
from real_server import SMALL, png, running

pytest.importorskip('fastapi')
from mmseg_custom.inference.prediction import RegionOptions
from mmseg_custom.inference.region_files import to_hosted
from mmseg_custom.serving.app import REASONS, create_app
from mmseg_custom.web.own_site import names_of

FORM = 'multipart/form-data; boundary=xyz'


def form(*files: bytes, name: str = 'a.png', end: bytes = b'--xyz--\r\n') -> bytes:
    head = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    return b''.join(b'--xyz\r\n' + head + file + b'\r\n' for file in files) + end


def decoded(encoded: dict) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded['base64']))))


def test_the_answer_is_the_inferencers(client, inferencer, picture):
    answer = client.segment(png(picture))
    assert answer.status == 200 and answer.headers['content-type'] == 'application/json'
    prediction = inferencer(picture)
    found, expected = answer.json, to_hosted(prediction)['regions']
    assert (found['model'], found['width'], found['height']) == ('tiny', 90, 61)
    assert found['num_regions'] == len(found['regions']) == len(expected) > 10
    for region, one, drawn in zip(found['regions'], expected, prediction.regions, strict=True):
        info = region.pop('region_info')
        assert info['mask'] == one.pop('region_info')['mask']
        assert (info['area'], tuple(info['box'])) == (drawn.area, drawn.box)
        assert region == one


def test_options_choose_what_the_answer_has(client, inferencer, picture):
    options = '?model=tiny&min_area=9&confidence=0.5&leave_out=sky&leave_out=car&masks=false'
    answer = client.segment(png(picture), f'{options}&labels=true').json
    expected = replace(inferencer(picture), options=RegionOptions(False, 9, ('sky', 'car'))).regions
    kept = [region for region in expected if region.value >= 0.5]
    assert 0 < len(kept) < len(expected)
    named = [region['data']['concepts'][0]['name'] for region in answer['regions']]
    assert named == [region.name for region in kept]
    assert all(region['region_info'].keys() == {'area', 'box'} for region in answer['regions'])
    np.testing.assert_array_equal(decoded(answer['labels']), inferencer(picture).labels)
    whole = client.segment(png(picture), '?whole_classes=true').json['regions']
    assert len(whole) == 4


def test_an_answer_holds_the_largest_regions(client, inferencer, picture):
    limits = replace(SMALL, max_regions=3)
    every = client.segment(png(picture), '?confidence=0.4').json
    with running(create_app({'tiny': inferencer}, limits, page=False), limits) as client:
        few = client.segment(png(picture), '?confidence=0.4').json
    assert few == every | dict(regions=every['regions'][:3])
    assert few['num_regions'] == len(every['regions']) > 3


@pytest.mark.parametrize('name', ['a.png', '../../etc/passwd', 'a.html', ''])
def test_a_form_is_a_picture_whatever_its_name(client, picture, name):
    sent = form(png(picture), name=name)
    answer = client.request('POST', '/v1/segment?masks=false', sent, Content_Type=FORM)
    assert answer.json == client.segment(png(picture), '?masks=false').json


def test_models_and_metrics(client, picture):
    (model,) = client.request('GET', '/v1/models').json['models']
    assert (model['name'], model['classes'][3]) == ('tiny', 'car')
    assert model['palette'][1] == [128, 64, 128]
    counted = 'mmseg_requests_total{status="200"}'

    def count() -> float:
        lines = client.request('GET', '/metrics').body.decode().splitlines()
        values = dict(line.rsplit(' ', 1) for line in lines if line[0] != '#')
        assert float(values['process_resident_memory_bytes']) > 2**20
        assert values['mmseg_requests_in_work'] == '0.0'
        return float(values.get(counted, 0))

    before = count()
    client.segment(png(picture))
    client.segment(SVG)
    assert count() == before + 1


@pytest.mark.parametrize(
    ('body', 'headers', 'options', 'status', 'reason'),
    [
        (b'', {}, '', 400, 'the picture is empty'),
        (b'', dict(Content_Type=FORM), '', 400, 'the form ends early'),
        (form(b'a', b'b'), dict(Content_Type=FORM), '', 400, 'several parts'),
        (form(b'a', end=b''), dict(Content_Type=FORM), '', 400, 'the form ends early'),
        (b'--abc\r\n', dict(Content_Type=FORM), '', 400, 'the form is damaged'),
        (b'a', dict(Content_Type='multipart/form-data'), '', 400, 'without a boundary'),
        (b'a', {}, '?model=tony', 404, "no model 'tony'; did you mean tiny?"),
        (bomb(), {}, '', 413, 'the picture has more than 20000 pixels'),
        (bytes(SMALL.max_bytes + 1), {}, '', 413, 'more than 1000000 bytes'),
        (SVG, dict(Content_Type='image/svg+xml'), '', 415, 'not a picture; expected JPEG'),
        (form(HTML), dict(Content_Type=FORM), '', 415, 'not a picture'),
        (b'{}', dict(Content_Type='application/json'), '', 415, "'application/json'; expected"),
        (jpeg()[:900], {}, '', 422, 'the picture is damaged'),
        (png(np.zeros((4, 4, 3), np.uint8)), {}, '', 422, 'an image of 4x4 pixels is too small'),
        (jpeg(), {}, '?leave_out=cat', 422, "leave_out: 'cat' is no class; expected one of sky"),
        (b'a', {}, '?min_area=0', 422, 'min_area: Input should be greater than or equal to 1'),
        (b'a', {}, '?confidance=0.5', 422, 'confidance: Extra inputs are not permitted'),
    ],
    ids=lambda value: value if isinstance(value, str) and value and value[0] != '?' else '',
)
def test_refusals_say_why(client, body, headers, options, status, reason):
    answer = client.segment(body, options, **headers)
    assert (answer.status, reason in answer.reason) == (status, True), answer.body
    assert status in REASONS


@pytest.mark.parametrize(
    ('method', 'path', 'status'),
    [('GET', '/v1/segment', 405), ('PURGE', '/v1/segment', 405), ('GET', '/../etc/passwd', 404)],
)
def test_other_addresses_and_methods_are_refused(client, method, path, status):
    answer = client.request(method, path)
    assert answer.status == status and answer.reason


def test_answers_are_as_the_openapi_document_says(client, picture):
    jsonschema = pytest.importorskip('jsonschema')
    document = client.request('GET', '/openapi.json').json
    operation = document['paths']['/v1/segment']['post']
    assert FORM.partition(';')[0] in operation['requestBody']['content']

    def check(answer):
        schema = operation['responses'][str(answer.status)]['content']['application/json']['schema']
        jsonschema.validate(answer.json, schema | {'components': document['components']})

    for answer in (
        client.segment(png(picture), '?labels=true'),
        client.segment(png(picture), '?masks=false'),
        client.segment(SVG),
        client.segment(b'', '?min_area=0'),
    ):
        check(answer)
    with pytest.raises(jsonschema.ValidationError):
        check(replace(answer, status=200))


def test_a_token_is_asked_for_before_anything_is_read(inferencer, picture):
    with running(create_app({'tiny': inferencer}, SMALL, 'secret', page=False), SMALL) as client:
        wrong = [{}, dict(Authorization='Bearer secre'), dict(Authorization='Basic secret')]
        wrong.append(dict(Authorization='Bearer s\xe9cret'))
        for headers in wrong:
            answer = client.segment(bytes(SMALL.max_bytes + 1), **headers)
            assert (answer.status, answer.headers['www-authenticate']) == (401, 'Bearer')
            assert answer.reason.startswith('wrong or no token')
            assert client.request('GET', '/metrics', **headers).status == 401
        assert client.request('GET', '/healthz').status == 200
        assert client.segment(png(picture), Authorization='Bearer secret').status == 200


def test_pages_of_other_sites_are_refused(inferencer, picture):
    app = create_app({'tiny': inferencer}, SMALL, page=False, names=names_of('127.0.0.1'))
    with running(app, SMALL) as client:
        own, other = f'http://127.0.0.1:{client.port}', 'http://evil.example'
        rebound = client.segment(png(picture), Host=f'evil.example:{client.port}')
        assert rebound.status == 400 and "'evil.example', no name of this" in rebound.reason
        assert client.request('GET', '/healthz', Host='evil.example').status == 400
        asked = dict(Origin=other, Access_Control_Request_Method='POST')
        for answer in (
            client.segment(png(picture), Origin=other),
            client.request('OPTIONS', '/v1/segment', **asked),
        ):
            assert (answer.status, answer.reason) == (
                403,
                f"a page of '{other}' may not ask this service",
            )
            assert not [name for name in answer.headers if name.startswith('access-control')]
        own_answer = client.segment(png(picture), Origin=own)
        assert own_answer.status == 200
        assert not [name for name in own_answer.headers if name.startswith('access-control')]


def test_a_token_that_no_header_can_hold_is_refused(inferencer):
    for token in ('', 'two\nlines'):
        with pytest.raises(ValueError, match='expected printable ASCII'):
            create_app({'tiny': inferencer}, token=token, page=False)
