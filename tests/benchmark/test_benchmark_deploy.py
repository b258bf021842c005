import pytest

from mmseg_custom.benchmark.run import DEFAULT_FORMATS, Options, run


@pytest.mark.slow
def test_every_format_is_timed_against_pytorch_and_predicts_the_same():
    models, size = ('segformer_b0',), (64, 96)
    options = Options('deploy', models=models, size=size, against=DEFAULT_FORMATS, rounds=2)
    _, (result,) = run(options)
    seconds = {one.name: one.median_seconds for one in result.measurements}
    assert seconds.keys() == {'ours', *DEFAULT_FORMATS} and min(seconds.values()) > 0
    different = {one.against: one.differences['labels'] for one in result.comparisons}
    assert different['onnx'] < 1e-3 and different['pt2'] < 1e-3
    assert different['onnx-fp16'] < 0.05 and different['onnx-int8'] < 0.5


def test_what_cannot_be_measured():
    with pytest.raises(ValueError, match='--task deploy: on a CPU, in fp32'):
        run(Options('deploy', against=('onnx',), dtype='bf16'))
