import pytest

from mmseg_custom.benchmark.run import Options, run


@pytest.mark.slow
def test_a_video_is_predicted_by_both_sides():
    pytest.importorskip('av')
    options = Options('video', models=('segformer_b0',), size=(64, 96), pictures=2, rounds=1)
    _, (result,) = run(options)
    assert {m.name: len(m.seconds) for m in result.measurements} == {'ours': 1, 'mmseg': 1}
    (comparison,) = result.comparisons
    ours, mmseg = (m.median_seconds for m in result.measurements)
    assert comparison.ratio == pytest.approx(mmseg / ours)
    assert comparison.differences['labels'] < 1e-3


def test_other_peers_are_refused():
    with pytest.raises(ValueError, match='--task video: on a CPU, against mmseg, in fp32'):
        run(Options('video', against=('hf',)))
