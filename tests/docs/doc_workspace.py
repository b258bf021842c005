"""Where the documentation's commands run: a folder like a user's, with everything short.

The pages say what a user types. Here stands, once, what is put in its place so that it takes
seconds: names in capitals (:data:`PLACEHOLDERS`), and options that are added to each tool's command
line (:func:`shorten`).
"""

import contextlib
import gc
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from doc_pages import ROOT, Block
from generated_bands import write_bands
from generated_data import write_dataset
from generated_weights import augreg_arrays, save, write_rstrudel
from mmengine.config import Config
from processes import free_port
from reference_networks import NVlabsMiT, RstrudelSegmenter, TimmViT
from warm_python import serve

from mmseg_custom.engine.launch import LOADERS

# A word of a command -> what is used for it. The folder config needs no download and finds its
# pictures in data/my_folder.
PLACEHOLDERS = {
    'CONFIG': 'configs/segformer/segformer_mit-b0_folder.py',
    'CHECKPOINT': 'checkpoint.pth',
    'IMAGE_OR_FOLDER': 'my_pictures',
    'IMAGE': 'my_pictures/street.jpg',
    'GPUS': '2',
}
# `bash tools/dist_train.sh CONFIG 8` and `dist_test.sh CONFIG CHECKPOINT 8` take 2 processes.
PROCESSES = re.compile(r'(dist_train\.sh \S+|dist_test\.sh \S+ \S+) 8')
MACHINES = re.compile(
    r'NNODES=\d+ (NODE_RANK=0|RDZV_ID=\S+) MASTER_ADDR=\S+ (?:PORT=\d+ )?(.*bash .*) \d+$', re.M
)
SHORT_TRAINING = ('default_hooks.logger.interval=1', 'train_dataloader.batch_size=2')
TWO_ITERATIONS = (
    *('max_iters=2', 'train_cfg.val_interval=2', 'default_hooks.checkpoint.interval=2'),
)
SHORT_BENCHMARK = ('--rounds', '1', '--size', '64', '--pictures', '2', '--batch', '2')
CLASSES = ('background', 'road', 'car')
# Data sets in their original layouts, as far as the pages train on them: fragment, classes.
DATASETS = {'ade20k': 150, 'camvid_360x480': 11}


def two_machines(match: re.Match) -> str:
    """The command of one of several machines as those of two, with one process each, here."""
    first, command = match.groups()
    second = first.replace('NODE_RANK=0', 'NODE_RANK=1')
    return f'NNODES=2 {second} {command} 1 & NNODES=2 {first} {command} 1; wait $!'


def substituted(text: str) -> str:
    """The text of a block with our values for the names in capitals."""
    text = MACHINES.sub(two_machines, text)
    text = PROCESSES.sub(r'\1 GPUS', text)
    names = '|'.join(sorted(PLACEHOLDERS, key=len, reverse=True))
    return re.sub(rf'\b({names})\b', lambda match: PLACEHOLDERS[match[1]], text)


def shorten(arguments: list[str]) -> list[str]:
    """The arguments of ``python`` with options that make a run of one of our tools short."""
    tool = next((word for word in arguments if re.search(r'tools/[\w/]+\.py$', word)), '')
    name = Path(tool).name
    arguments = [_short(word) for word in arguments]
    if name == 'benchmark.py':
        return [*arguments, *SHORT_BENCHMARK]
    if name not in ('train.py', 'test.py', 'predict.py') or '--help' in arguments:
        return arguments
    extra = [] if name == 'test.py' or '--resume' in arguments else ['--overwrite']
    if name == 'train.py' and any('8xb' in word for word in arguments):
        extra += ['--from-scratch']
    after_config = arguments.index(tool) + 2
    arguments[after_config:after_config] = extra
    if name == 'predict.py':
        return arguments
    options = [f'{loader}.num_workers=0' for loader in LOADERS]
    options += [f'{loader}.dataset.indices=1' for loader in LOADERS[1:]]
    options += ['crop_size=(64,64)']
    if name == 'train.py':
        epochs = 'max_epochs=1' in arguments
        options += SHORT_TRAINING if epochs else (*SHORT_TRAINING, *TWO_ITERATIONS)
    # A second --cfg-options would replace the first.
    return [*arguments, *([] if '--cfg-options' in arguments else ['--cfg-options']), *options]


def _short(word: str) -> str:
    """A word of a command for the short run: one epoch, and the checkpoint that it has saved."""
    if re.fullmatch(r'max_epochs=\d+', word):
        return 'max_epochs=1'
    key, separator, value = word.rpartition('=')
    path = Path(value)
    if path.is_file() or not re.search(r'(iter|epoch)_\d+\.pth$', value):
        return word
    saved = path.parent.glob(re.sub(r'\d+\.pth$', '*.pth', path.name))
    newest = max(saved, key=lambda file: file.stat().st_mtime, default=value)
    return f'{key}{separator}{newest}'


def start_server(folder: Path) -> subprocess.Popen:
    """Start the process that has everything imported, and make ``folder/bin/python`` ask it."""
    (folder / 'bin').mkdir(parents=True)
    address, client = folder / 'socket', Path(__file__).with_name('warm_python.py')
    for name in ('python', 'python3'):
        script = folder / 'bin' / name
        # -I -S: the stand-in itself needs no packages and starts at once.
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {client} {address} "$@"\n')
        script.chmod(0o755)
    path = os.pathsep.join([str(ROOT), str(ROOT / 'tests'), str(client.parent)])
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': path}
    command = [sys.executable, __file__, str(address)]
    return subprocess.Popen(command, env=environment)


def wait_for(server: subprocess.Popen, folder: Path, seconds: float = 120) -> None:
    """Return when the server listens.

    Raises:
        RuntimeError: it ended instead.
    """
    deadline = time.monotonic() + seconds
    while not (folder / 'socket').exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError('the warm Python did not start; its messages are above')
        time.sleep(0.05)


def make_data(folder: Path) -> None:
    """Write the pictures that the pages' commands train on and predict."""
    for fragment, num_classes in DATASETS.items():
        config = Config.fromfile(ROOT / f'configs/_base_/datasets/{fragment}.py')
        for loader in LOADERS:
            write_dataset(config[loader].dataset, folder / config.data_root, num_classes, count=2)
    own = folder / 'data/my_folder'
    for seed, split in enumerate(('train', 'val', 'test')):
        dataset = {'type': 'FolderDataset', 'split': split}
        write_dataset(dataset, own, len(CLASSES), count=2, size=(64, 96), seed=seed)
    (own / 'dataset.yaml').write_text(f'classes: [{", ".join(CLASSES)}]\n')
    write_bands(folder / 'my_bands', {'train': 2, 'val': 2})
    (folder / 'my_pictures').mkdir()
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    cv2.imwrite(str(folder / 'my_pictures/street.jpg'), picture)
    cv2.imwrite(str(folder / 'field.tif'), picture)
    for name in ('train/cat', 'train/dog', 'val/cat', 'val/dog'):
        (folder / 'my_classes' / name).mkdir(parents=True)
        cv2.imwrite(str(folder / 'my_classes' / name / 'one.jpg'), picture)


def make_weights(folder: Path) -> None:
    """Write random weights under the names that docs/weights.md converts."""
    from transformers import (
        SegformerConfig,
        SegformerForSemanticSegmentation,
        SegformerImageProcessor,
    )

    vit_tiny = dict(channels=192, depth=12, heads=3, side=16)
    mit_b0 = NVlabsMiT(dims=(32, 64, 160, 256), depths=(2, 2, 2, 2), num_classes=1000)
    save(mit_b0, folder / 'SRC.pth')
    arrays = augreg_arrays(TimmViT(image=384, num_classes=1000, **vit_tiny))
    np.savez(folder / 'SRC.npz', **arrays)
    segmenter = RstrudelSegmenter('mask', num_classes=150, image=512, **vit_tiny)
    write_rstrudel(folder / 'RUN_FOLDER', segmenter)
    segformer = SegformerForSemanticSegmentation(SegformerConfig(num_labels=150))
    segformer.save_pretrained(folder / 'FOLDER')
    SegformerImageProcessor(do_reduce_labels=True).save_pretrained(folder / 'FOLDER')


def make_workspace(folder: Path, shared: Path) -> Path:
    """A user's folder: the checkout's tools and configs, pictures, and an empty work_dirs."""
    (folder / 'work_dirs').mkdir(parents=True)
    for name in ('tools', 'configs', 'docs', 'requirements'):
        (folder / name).symlink_to(ROOT / name)
    (folder / 'my_folder').symlink_to(shared / 'data/my_folder')
    for path in shared.iterdir():
        names = ('data', 'my_pictures', 'my_classes', 'my_bands', 'field.tif', 'checkpoint.pth')
        if path.name in names:
            (folder / path.name).symlink_to(path)
    return folder


def run_script(text: str, folder: Path, server: Path, timeout: float = 280) -> str:
    """Run lines of shell as a page has them; return what they print.

    Raises:
        AssertionError: a command failed.
    """
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join([str(server / 'bin'), here, os.environ['PATH']])
    port = str(free_port())
    environment = {
        **os.environ,
        **{'PATH': path, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', 'PORT': port},
        # What torchrun starts its processes with.
        'PYTHON_EXEC': str(server / 'bin/python'),
    }
    command = ['bash', '-euo', 'pipefail', '-c', substituted(text)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, f'{text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}'
    return done.stdout


def write_file(block: Block, folder: Path) -> Path:
    """Write a ``python`` or ``yaml`` block to the file that its first line names."""
    path = folder / block.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, encoding='utf-8')
    return path


@contextlib.contextmanager
def warm_server(folder: Path) -> Iterator[Path]:
    """Run the server for as long as the context lasts."""
    server = start_server(folder)
    try:
        wait_for(server, folder)
        yield folder
    finally:
        server.terminate()
        server.wait()


def main(address: str) -> None:
    """Import what the tools import, then serve."""
    import matplotlib.pyplot  # noqa: F401
    import torch._dynamo  # by the first optimizer

    import mmseg_custom.engine.launch
    import mmseg_custom.inference.prediction_files  # noqa: F401
    from mmseg_custom.registry import register_all

    torch.set_num_threads(1)
    register_all()
    gc.freeze()  # the children's collections need not look at what is imported
    serve(address, shorten)


if __name__ == '__main__':
    main(sys.argv[1])
