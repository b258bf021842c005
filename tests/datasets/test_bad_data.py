"""Data with a mistake: the doctor and the training name the file and the fix."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from bad_folders import CASES, good_folder, photograph, write
from mmengine.registry import DefaultScope
from PIL import Image

from mmseg_custom.datasets import FolderDataset
from mmseg_custom.registry import SCOPE

HERE = Path(__file__).parent


@pytest.fixture(scope='module')
def told(tmp_path_factory):
    """Of each case its folder, what was expected, the exit status and the output."""
    folders = {}
    for case in CASES:
        root = good_folder(tmp_path_factory.mktemp('cases') / case.__name__)
        folders[case] = (root, case(root))
    run = subprocess.run(
        [
            sys.executable,
            str(HERE / 'doctor_runs.py'),
            *(str(root) for root, _ in folders.values()),
        ],
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert run.returncode == 0, run.stderr
    results = json.loads(run.stdout.splitlines()[-1])
    return {
        case: (root, *expected, *results[str(root)]) for case, (root, expected) in folders.items()
    }


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.__name__)
def test_the_doctor_names_file_and_fix(case, told):
    root, expected_status, expected, status, output = told[case]
    for text in expected:
        assert text in output, output
    assert status == expected_status, output
    assert 'Traceback' not in output
