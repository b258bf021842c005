import pytest

from mmseg_custom.benchmark.run import Options, run


@pytest.mark.slow
def test_both_servers_are_under_the_same_load():
    pytest.importorskip('fastapi')
    options = Options(
        'serve', models=('segformer_b0',), size=(64, 96), batch=2, pictures=8, rounds=2
    )
    _, results = run(options)
    assert [result.task for result in results] == ['serve', 'serve p50', 'serve p95']
    throughput, middle, slow = (
        {m.name: m.median_seconds for m in result.measurements} for result in results
    )
    assert throughput.keys() == {'ours', 'one at a time'}
    for side in throughput:
        # Four clients wait at once, so an answer takes longer than a picture.
        assert throughput[side] < middle[side] <= slow[side]
    (comparison,) = results[0].comparisons
    assert comparison.ratio == pytest.approx(throughput['one at a time'] / throughput['ours'])
    assert comparison.differences['labels'] < 1e-3


def test_peers_are_refused():
    with pytest.raises(ValueError, match='--task serve: against itself, in fp32'):
        run(Options('serve', against=('hf',)))
