"""The short form of the fault drill: ``kill -9`` while a checkpoint is being written."""

from drill import SAVE, Drill, kill_many, write_pictures

from mmseg_custom.engine.run_log import read_run_log

ITERATIONS = 3 * SAVE


def test_killed_while_saving(tmp_path):
    write_pictures(tmp_path / 'data')
    drill = Drill(tmp_path, ITERATIONS, workers=0)
    drill.finish('whole')
    kill_many(drill, kills=1, saves=1, validations=0, seed=3)
    assert drill.failures == []
    assert len([r for r in read_run_log(tmp_path / 'killed') if r['mode'] == 'train']) == ITERATIONS
