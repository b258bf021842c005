"""Run ``check_dataset.py`` on many folders in one process: ``doctor_runs.py FOLDER...``.

Of the first one a report is written, beside it. Prints JSON: of each folder the exit status and the
output. Importing takes seconds, a folder none.
"""

import contextlib
import gc
import io
import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from tool_modules import load_tool

from mmseg_custom import cli
from mmseg_custom.registry import register_all


def main() -> None:
    tool = load_tool('analysis_tools/check_dataset.py')
    register_all()
    gc.freeze()  # each data set that is built collects garbage
    results = {}
    for number, folder in enumerate(sys.argv[1:]):
        report = [] if number else ['--report', f'{folder}.html']
        output, status = io.StringIO(), None
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            try:
                cli.run(tool.main, [folder, *report])
            except SystemExit as end:
                status = end.code
        results[folder] = [status, output.getvalue()]
    json.dump(results, sys.stdout)


if __name__ == '__main__':
    main()
