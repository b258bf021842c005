"""The fault drill: trainings are killed and damaged, resumed, and compared with one that was not.

``make drill`` (or ``python tests/drill.py --kills 20 --seed 0``) runs the project's own tools in
processes of their own. It prints each fault with its seed and ends with status 1 when anything but
the iterations since the last checkpoint was lost.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from mmseg_custom.engine.checkpoint_files import (
    checksum_path,
    newest_whole_checkpoint,
    saved_checkpoints,
)
from mmseg_custom.engine.hooks.interruption_hook import EXIT_INTERRUPTED
from mmseg_custom.engine.run_comparison import differences, outcome
from mmseg_custom.writing import PARTIAL_SUFFIX

ROOT = Path(__file__).resolve().parents[1]
CONFIG = 'configs/quickstart/segformer_mit-b0_quickstart.py'
SAVE, VALIDATE = 4, 10


@dataclass
class Drill:
    """Trainings of one length in one folder.

    Args:
        folder: for work folders and pictures.
        iterations: length of each training.
        options: further ``KEY=VALUE``.
        workers: of the training's loader.
    """

    folder: Path
    iterations: int
    options: tuple[str, ...] = ()
    workers: int = 1
    failures: list[str] = field(default_factory=list)

    def command(self, name: str, processes: int = 1, *arguments: str) -> list[str]:
        """The command that begins a training or continues it."""
        options = [
            f'data_root={self.folder / "data"}',
            f'max_iters={self.iterations}',
            'crop_size=(64,64)',
            'model.backbone.drop_path_rate=0.5',
            'model.decode_head.dropout_ratio=0.5',
            'train_dataloader.batch_size=2',
            f'train_dataloader.num_workers={self.workers}',
            'default_hooks.logger.interval=1',
            f'default_hooks.checkpoint.interval={SAVE}',
            f'train_cfg.val_interval={VALIDATE}',
            'val_dataloader.batch_size=1',
            *(f'{kind}_dataloader.dataset.type=FolderDataset' for kind in ('train', 'val', 'test')),
            *self.options,
        ]
        start = [sys.executable, 'tools/train.py', CONFIG]
        if processes > 1:
            start = ['bash', 'tools/dist_train.sh', CONFIG, str(processes)]
        work_dir = str(self.folder / name)
        return [*start, '--work-dir', work_dir, *arguments, '--cfg-options', *options]

    def start(self, name: str, processes: int = 1, *arguments: str, **environment) -> 'Training':
        """Begin or continue the training ``name`` in a process group of its own."""
        command = self.command(name, processes, *arguments)
        environment = {
            **os.environ,
            'OMP_NUM_THREADS': '1',
            'PYTHON': sys.executable,
            'PORT': '29541',
            **environment,
        }
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return Training(process, self.folder / name)

    def finish(self, name: str, processes: int = 1, *arguments: str, **environment) -> str:
        """Train to the end; return what was printed."""
        training = self.start(name, processes, *arguments, **environment)
        text = training.rest()
        self.expect(training.process.returncode == 0, name, f'did not finish: {text[-2000:]}')
        return text

    def compare(self, name: str, wanted: str) -> None:
        """Expect two finished trainings to be bit-identical."""
        last = f'iter_{self.iterations}.pth'
        if not (self.folder / name / last).exists():
            self.expect(False, name, f'there is no {last}')
            return
        found = differences(*(outcome(self.folder / run, last) for run in (name, wanted)))
        self.expect(
            not found, name, f'{len(found)} values differ from {wanted}, first: {found[:3]}'
        )

    def expect(self, holds: bool, name: str, problem: str) -> None:
        """Print what went wrong, and remember it."""
        if not holds:
            self.failures.append(f'{name}: {problem}')
            print(f'FAILED  {name}: {problem}', flush=True)


@dataclass
class Training:
    """A training that runs in a process of its own."""

    process: subprocess.Popen
    work_dir: Path
    text: str = ''

    def lines(self) -> Iterator[str]:
        """Yield what it prints, as soon as it does."""
        for line in self.process.stdout:
            self.text += line
            yield line

    def wait_for(self, pattern: str) -> bool:
        """Read until a line holds ``pattern``; False where the training ended before."""
        return any(re.search(pattern, line) for line in self.lines())

    def rest(self) -> str:
        """Read to the end; return everything that was printed."""
        self.text += self.process.stdout.read()
        self.process.wait()
        return self.text

    def kill(self) -> None:
        """End the whole group with SIGKILL."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.rest()

    def resumed_at(self) -> int:
        """The iteration that it said it continues after; 0 where it began."""
        marks = [line for line in self.text.splitlines() if 'continuing after iteration' in line]
        return int(marks[-1].split('iteration ')[1].split(':')[0]) if marks else 0


def whole_iteration(work_dir: Path) -> int:
    """Iteration of the newest whole checkpoint; 0 where there is none."""
    newest = newest_whole_checkpoint(work_dir, lambda _: None)
    return int(newest.stem.split('_')[1]) if newest else 0


def half_saved(work_dir: Path) -> bool:
    """Whether a process was killed between the first and the last step of a save."""
    partial = [*work_dir.glob(f'.*{PARTIAL_SUFFIX}')]
    torn = [
        path
        for path in work_dir.glob('*.pth')
        if not checksum_path(path).exists() or len(checksum_path(path).read_text().splitlines()) > 1
    ]
    last = work_dir / 'last_checkpoint'
    behind = saved_checkpoints(work_dir)[:1] != ([Path(last.read_text())] if last.exists() else [])
    return bool(partial or torn or behind)


def kill_at_random(training: Training, kind: str, start: int, chance: random.Random) -> str:
    """Kill a training in an iteration, a save or a validation; return where, '' if it ended."""
    if kind == 'save':
        save = (start // SAVE + 1) * SAVE
        if not training.wait_for(f'Saving checkpoint at {save} ') or training.process.poll():
            return ''
        pattern = f'.iter_{save}.pth{PARTIAL_SUFFIX}'
        deadline = time.monotonic() + 5
        while not (training.work_dir / pattern).exists() and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(chance.random() * 0.02)
        where = f'while saving iteration {save}'
    elif kind == 'validation':
        batch = chance.randint(1, 3)
        if not training.wait_for(f'val +{batch}/'):
            return ''
        where = f'in batch {batch + 1} of a validation'
    else:
        iteration = start + chance.randint(1, SAVE + 3)
        if not training.wait_for(f'train +{iteration}/'):
            return ''
        time.sleep(chance.random() * 0.3)
        where = f'after iteration {iteration}'
    training.kill()
    return where


def kill_many(drill: Drill, kills: int, saves: int, validations: int, seed: int) -> int:
    """Kill one training again and again; it has to end as if nothing had happened.

    Returns:
        How many kills left a half-written file.
    """
    chance = random.Random(seed)
    kinds = ['save'] * saves + ['validation'] * validations
    kinds += ['iteration'] * (kills - len(kinds))
    chance.shuffle(kinds)
    confirmed = 0
    for number, kind in enumerate(kinds, 1):
        before = whole_iteration(drill.folder / 'killed')
        seed_here = chance.randrange(2**31)
        training = drill.start('killed', 1, '--resume')
        where = kill_at_random(training, kind, before, random.Random(seed_here))
        name = f'kill {number:2}/{kills} (seed {seed_here:10})'
        drill.expect(bool(where), name, f'the training ended before: {training.rest()[-800:]}')
        resumed = training.resumed_at()
        drill.expect(resumed == before, name, f'continued at {resumed}, not at {before}')
        torn = kind == 'save' and half_saved(drill.folder / 'killed')
        confirmed += torn
        saved = whole_iteration(drill.folder / 'killed')
        note = ', a file was half written' if torn else ''
        print(f'{name}: {where}{note}; whole: iteration {saved}', flush=True)
    drill.finish('killed', 1, '--resume')
    drill.compare('killed', 'whole')
    return confirmed


def interrupt(drill: Drill) -> None:
    """Send SIGTERM to the training and its loader workers, as Slurm does."""
    training = drill.start('interrupted')
    training.wait_for('train +6/')
    os.killpg(training.process.pid, signal.SIGTERM)
    text = training.rest()
    status = training.process.returncode
    drill.expect(status == EXIT_INTERRUPTED, 'SIGTERM', f'status {status}: {text[-800:]}')
    print(f'SIGTERM to the group: {text.splitlines()[-1].split("  ", 1)[-1]}', flush=True)
    drill.finish('interrupted', 1, '--resume')
    drill.compare('interrupted', 'whole')


def damage_last(drill: Drill, name: str, damage) -> None:
    """Damage the last checkpoint of a killed training; the one before it has to be taken."""
    training = drill.start(name)
    training.wait_for(f'train +{2 * SAVE + 1}/')
    training.kill()
    newest = saved_checkpoints(drill.folder / name)[0]
    newest.write_bytes(damage(newest.read_bytes()))
    text = drill.finish(name, 1, '--resume')
    skipped = [line for line in text.splitlines() if f'skipping {newest}' in line]
    drill.expect(len(skipped) == 1, name, 'it was not said that the last one is skipped')
    drill.expect(f'continuing after iteration {SAVE}:' in text, name, 'not from the one before')
    reason = skipped[0].split(': ', 2)[-1] if skipped else ''
    print(f'last checkpoint {name}: {reason}; continued after iteration {SAVE}', flush=True)
    drill.compare(name, 'whole')


def flip_a_bit(content: bytes) -> bytes:
    """Change one bit in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def fill_the_disk(drill: Drill) -> None:
    """Let the second checkpoint find no room: on a small disk of its own, or by ``ulimit -f``."""
    name = 'full disk'
    work_dir = drill.folder / name
    work_dir.mkdir()
    training = drill.start(name)
    training.wait_for(f'train +{SAVE + 1}/')
    training.kill()
    size = saved_checkpoints(work_dir)[0].stat().st_size
    way = f'a disk of {3 * size // 2**20 // 2} MiB'
    mount = ['mount', '-t', 'tmpfs', '-o', f'size={int(1.5 * size)}', 'tmpfs']
    moved = work_dir.with_name('full disk, before')
    work_dir.rename(moved)
    work_dir.mkdir()
    mounted = subprocess.run([*mount, str(work_dir)], capture_output=True).returncode == 0
    shutil.copytree(moved, work_dir, dirs_exist_ok=True)
    if mounted:
        training = drill.start(name, 1, '--resume')
    else:
        way = 'ulimit -f'
        command = drill.command(name, 1, '--resume')
        limited = ['bash', '-c', f'ulimit -f {size // 2048}; exec "$@"', 'drill', *command]
        environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        process = subprocess.Popen(limited, cwd=ROOT, env=environment, **pipes)
        training = Training(process, work_dir)
    text = training.rest()
    errors = [line for line in text.splitlines() if line.startswith('error: cannot save')]
    status = training.process.returncode
    drill.expect(status == 2 and len(errors) == 1, name, f'status {status}: {text[-800:]}')
    print(f'full disk ({way}): {errors[0] if errors else text[-200:]}', flush=True)
    drill.expect(whole_iteration(work_dir) == SAVE, name, 'the checkpoint before is not whole')
    left = [path.name for path in work_dir.glob('.*.partial')]
    drill.expect(not left, name, f'half-written files were left: {left}')
    if mounted:
        shutil.copytree(work_dir, moved, dirs_exist_ok=True)
        subprocess.run(['umount', str(work_dir)], check=True)
        work_dir.rmdir()
        moved.rename(work_dir)
    drill.finish(name, 1, '--resume')
    drill.compare(name, 'whole')


def lose_one_of_two(drill: Drill) -> None:
    """Kill one of two processes; torchrun has to continue by itself."""
    drill.finish('two', 2)
    training = drill.start('one of two', 2, MAX_RESTARTS='1')
    training.wait_for(f'train +{SAVE + 2}/')
    victim = process_of_rank(1)
    os.kill(victim, signal.SIGKILL)
    text = training.rest()
    status = training.process.returncode
    drill.expect(status == 0, 'one of two', f'status {status}: {text[-2000:]}')
    resumed = training.resumed_at()
    drill.expect(resumed == SAVE, 'one of two', f'continued after iteration {resumed}')
    print(f'one of two processes died; both continued after iteration {resumed}', flush=True)
    drill.compare('one of two', 'two')


def process_of_rank(rank: int) -> int:
    """The process of this machine that torchrun gave a rank of the drill."""
    for folder in Path('/proc').iterdir():
        if not folder.name.isdigit():
            continue
        try:
            environment = (folder / 'environ').read_bytes().split(b'\0')
            command = (folder / 'cmdline').read_bytes()
        except OSError:  # it has ended, or is somebody else's
            continue
        ours = b'MASTER_PORT=29541' in environment and f'RANK={rank}'.encode() in environment
        # The loader's workers have the same environment.
        parent = int((folder / 'stat').read_text().rsplit(')', 1)[1].split()[1])
        if ours and b'train.py' in command and b'torch.distributed.run' in parent_command(parent):
            return int(folder.name)
    raise ProcessLookupError(f'no process of rank {rank}')


def parent_command(process: int) -> bytes:
    """The command line of a process."""
    return Path(f'/proc/{process}/cmdline').read_bytes()


def write_pictures(root: Path, training: int = 11) -> None:
    """The quick start's pictures, few of them."""
    from mmseg_custom.datasets import generate_quickstart_dataset

    generate_quickstart_dataset(root, {'train': training, 'val': 6, 'test': 2})


def main() -> None:
    """Run the whole drill."""
    parser = argparse.ArgumentParser(description='Kill and damage trainings, and resume them.')
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--folder', type=Path, help='kept afterwards; default: a temporary one')
    args = parser.parse_args()
    torch.set_num_threads(1)
    folder = args.folder or Path(tempfile.mkdtemp(prefix='drill_'))
    write_pictures(folder / 'data')
    drill = Drill(folder, iterations=100)
    started = time.monotonic()
    drill.finish('whole')
    print(f'{args.kills} kills, seed {args.seed}, torch {torch.__version__}', flush=True)
    half_written = kill_many(drill, args.kills, saves=5, validations=3, seed=args.seed)
    drill.expect(half_written >= 3, 'saves', f'only {half_written} files were half written')
    short = Drill(folder / 'short', iterations=14)
    write_pictures(short.folder / 'data')
    short.finish('whole')
    interrupt(short)
    damage_last(short, 'truncated', lambda content: content[: len(content) // 2])
    damage_last(short, 'bit-flipped', flip_a_bit)
    damage_last(short, 'empty', lambda content: b'')
    fill_the_disk(short)
    lose_one_of_two(short)
    failures = drill.failures + short.failures
    if args.folder is None:
        shutil.rmtree(folder)
    minutes = (time.monotonic() - started) / 60
    lost = 'nothing lost' if not failures else f'{len(failures)} FAILURES'
    print(f'{args.kills} kills and 6 other faults in {minutes:.1f} min: {lost}')
    sys.exit(bool(failures))


if __name__ == '__main__':
    main()
