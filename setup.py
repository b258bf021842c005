"""Packaging: ``pip install -e ".[lite]"``. The wheel carries configs and tools, too."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r"__version__ = '([^']+)'", (HERE / 'mmseg_custom/__init__.py').read_text())[1]

EXTRAS = {
    # mmcv without compiled operators; leave it out where a compiled mmcv is already installed.
    'lite': ['mmcv-lite>=2.1,<2.2'],
    'tensorboard': ['tensorboard'],
    # Compressed run lengths of COCO; MATLAB files of VOC and Pascal Context; TIFF of every kind.
    'data': ['imagecodecs', 'pycocotools', 'scipy', 'tifffile'],
    'video': ['av'],
    # The service and the pages in a browser.
    'web': ['fastapi', 'gradio', 'prometheus-client', 'python-multipart', 'uvicorn'],
    # Training from a few hyper-parameters.
    'templates': ['pydantic'],
    # Files to deploy: ONNX, and the runtime that they are compared in.
    'deploy': ['onnx', 'onnxconverter-common', 'onnxruntime', 'onnxscript'],
    # Prediction on many machines.
    'ray': ['ray[data]'],
    # TensorFlow's files; in an environment of its own (requirements/litert.txt says why).
    'litert': ['litert-torch==0.10.0', 'tensorflow-cpu==2.21.0'],
    # What the benchmark compares with, besides mmseg.
    'peers': ['transformers'],
    'test': [
        'jsonschema',
        # Drives Debian's Chromium.
        'playwright',
        'pytest',
        'pytest-timeout',
        'pytest-xdist',
        'ruff',
        'scikit-learn',
        'shapely',
        'wheel',
    ],
}


def tree(folder: str, package: str) -> dict[str, str]:
    """Map every folder with Python files below ``folder`` to a package of the wheel."""
    folders = {path.parent for path in (HERE / folder).rglob('*') if path.suffix in ('.py', '.sh')}
    folders.add(HERE / folder)
    return {
        '.'.join((package, *path.relative_to(HERE / folder).parts)): str(path.relative_to(HERE))
        for path in folders
    }


package_dir = {
    **tree('configs', 'mmseg_custom.configs'),
    **tree('tools', 'mmseg_custom.tools'),
}

setup(
    name='mmseg_custom',
    version=VERSION,
    description='Train, test and run SegFormer and Segmenter in MMSegmentation style',
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.11,<3.14',
    packages=[*find_packages(include=['mmseg_custom', 'mmseg_custom.*']), *package_dir],
    package_dir=package_dir,
    package_data={
        **{name: ['*.py', '*.sh'] for name in package_dir},
        'mmseg_custom.web': ['*.css', '*.html', '*.js'],
    },
    # No mmcv here: pip would write mmcv-lite over a compiled mmcv without a word.
    install_requires=[
        'torch>=2.6',
        'mmengine>=0.10.7',
        'mmsegmentation==1.2.2',
        'numpy>=2.0',
        'opencv-python',
        'matplotlib',
        'filelock',
        'pillow',
        'pyyaml',
        'safetensors',
        'rich',
        'packaging',
        'ftfy',
        'regex',
    ],
    extras_require=EXTRAS,
)
