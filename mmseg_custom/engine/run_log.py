"""One log of a run for machines: a JSON object a line, however often the run was resumed."""

import json
import math
import os
from pathlib import Path

import torch
from mmengine.logging import MessageHub
from mmengine.visualization import BaseVisBackend

from mmseg_custom.visualization.curves import CLASS_IOU
from mmseg_custom.writing import write_atomically

RUN_LOG = 'log.jsonl'
SUMMARY = 'summary.json'
# They differ between two runs that compute the same.
MEASURED = ('time', 'data_time', 'memory', 'eta')


class RunLogBackend(BaseVisBackend):
    """Append what is logged to ``log.jsonl``.

    A line holds ``mode`` (``train`` or ``val``), ``step`` (iterations done, also where the config
    lets mmengine count epochs) and the scalars; one of a validation also ``class_IoU``, percent by
    class. What is not a finite number is written as text
    (``"nan"``, ``"inf"``), since JSON has no word for it.
    Our runner adds this to every training by itself.

    Args:
        save_dir: the work folder.
    """

    def _init_env(self) -> None:
        """Nothing has to be made."""

    @property
    def experiment(self) -> Path:
        """Path of the log."""
        return Path(self._save_dir, RUN_LOG)

    def add_scalar(self, name: str, value, step: int = 0, **kwargs) -> None:
        """Append a line with one scalar."""
        self.add_scalars({name: value}, step)

    def add_scalars(
        self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs
    ) -> None:
        """Append a line."""
        info = MessageHub.get_current_instance().runtime_info
        record = {'mode': info.get('loop_stage', 'train'), 'step': info.get('iter', -1) + 1}
        record.update((name, plain_number(value)) for name, value in scalar_dict.items())
        if record['mode'] == 'val' and info.get(CLASS_IOU):
            record[CLASS_IOU] = info[CLASS_IOU]
        with open(self.experiment, 'a', encoding='utf-8') as file:
            file.write(f'{json.dumps(record)}\n')


def plain_number(value):
    """A value as JSON has it: text where it is no finite number."""
    if isinstance(value, torch.Tensor) or hasattr(value, 'item'):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def read_run_log(work_dir: str | os.PathLike) -> list[dict]:
    """Read the log of a run; a last line that a killed process left unfinished is left out.

    Args:
        work_dir: of the run.

    Returns:
        One dict a line; none where there is no log.
    """
    path = Path(work_dir, RUN_LOG)
    if not path.is_file():
        return []
    lines = path.read_text(encoding='utf-8').splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith('\n')]


def cut_run_log(work_dir: str | os.PathLike, iteration: int, validated: bool) -> None:
    """Drop what a run wrote after the checkpoint that it continues from: it is written again.

    Args:
        work_dir: of the run.
        iteration: of the checkpoint; 0 begins a new log.
        validated: whether the checkpoint was saved after that iteration's validation.
    """
    kept = [
        record
        for record in read_run_log(work_dir)
        if record['step'] < iteration
        or (record['step'] == iteration and (validated or record['mode'] == 'train'))
    ]
    text = ''.join(f'{json.dumps(record)}\n' for record in kept if iteration)
    write_atomically(Path(work_dir, RUN_LOG), text.encode())


def computed(records: list[dict]) -> list[dict]:
    """The log without measured times and memory: what two equal runs have in common."""
    return [
        {key: value for key, value in record.items() if key not in MEASURED} for record in records
    ]
