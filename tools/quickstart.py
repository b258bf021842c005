"""Train, test and predict on the synthetic data set: ``python tools/quickstart.py [MODEL]``.

It runs the project's own tools as a user would and prints each command.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
CONFIGS = {
    'segformer': 'quickstart/segformer_mit-b0_quickstart.py',
    'segmenter': 'quickstart/segmenter_vit-t_quickstart.py',
}
FOLDER_CONFIGS = {
    'segformer': 'segformer/segformer_mit-b0_folder.py',
    'segmenter': 'segmenter/segmenter_vit-t_mask_folder.py',
}
DATA = Path('work_dirs/quickstart_data')


def run(tool: str, *arguments: object) -> None:
    """Print and run one of the tools; leave with its exit status when it fails."""
    words = [*map(str, arguments)]
    print(f'\n$ python tools/{tool}', shlex.join(words), flush=True)
    status = subprocess.run([sys.executable, str(TOOLS / tool), *words]).returncode
    if status:
        sys.exit(status)


def main() -> None:
    """Run the quick start and say where everything lies."""
    parser = argparse.ArgumentParser(description='Train, test and predict in a few minutes.')
    parser.add_argument('model', nargs='?', choices=CONFIGS, default='segformer')
    model = parser.parse_args().model
    config = CONFIGS[model]
    work_dir = Path('work_dirs', Path(config).stem)

    run('train.py', config, '--work-dir', work_dir, '--overwrite')
    checkpoint = max(work_dir.glob('best_mIoU_*.pth'), key=lambda path: path.stat().st_mtime)
    shown = work_dir / 'test_pictures'
    run('test.py', config, checkpoint, '--work-dir', work_dir / 'test', '--show-dir', shown)
    picture = DATA / 'images/test/test_000.jpg'
    out = work_dir / 'predictions'
    run('predict.py', config, checkpoint, picture, '--out-dir', out, '--overwrite')

    metrics = json.loads((work_dir / 'test/report/metrics.json').read_text())['summary']
    print(f'\nmIoU on the test pictures: {metrics["mIoU"]:.2f}')
    print(f'image / ground truth / prediction:  {min(shown.glob("*.png"))}')
    print(f'curves:                            {work_dir / "curves.png"}')
    print(f'checkpoint:                        {checkpoint}')
    print('train on your own folder (images/<split>, masks/<split>, dataset.yaml) with:')
    folder = FOLDER_CONFIGS[model]
    print(f'  python tools/train.py {folder} --cfg-options data_root=path/to/folder')


if __name__ == '__main__':
    main()
