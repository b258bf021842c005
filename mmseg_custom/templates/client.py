"""The templates from Python: ``App('cells').create_model('segmenter', template=...)``.

Example:
    >>> app = App('cells')
    >>> app.datasets.create('nuclei', 'data/nuclei')
    >>> model = app.create_model('segmenter', template='MMSegmentation_SegFormer')
    >>> model.update_params(dataset_id='nuclei', num_epochs=5, concepts=['background', 'nucleus'])
    >>> model.train()
    >>> model.wait(show=print)
    >>> [(region.name, region.value) for region in model.predict('a.png')[0].regions]
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mmseg_custom.engine.run_log import read_run_log
from mmseg_custom.inference.pictures import Source
from mmseg_custom.inference.prediction import Prediction
from mmseg_custom.templates import outcome
from mmseg_custom.templates.datasets import Datasets
from mmseg_custom.templates.folders import pictures_of
from mmseg_custom.templates.models import TEMPLATES
from mmseg_custom.templates.params_file import Params, default_params, dump_params, load_params
from mmseg_custom.templates.records import Run
from mmseg_custom.templates.registry import DEFAULT_ROOT
from mmseg_custom.templates.runs import Runs, RunStatus
from mmseg_custom.writing import write_atomically

POLL_SECONDS = 1.0


class App:
    """Data sets, and models with their runs, under one name in one folder.

    Args:
        name: of the application; models of other applications are not seen.
        root: folder of the registry, of the versions of data sets and of the runs.

    Attributes:
        datasets: names, folders and versions of data sets; shared by all applications of ``root``.
        runs: all runs of ``root``.

    Raises:
        PermissionError: the folder cannot be written to.
    """

    def __init__(self, name: str = 'default', root: str | os.PathLike = DEFAULT_ROOT) -> None:
        self.name = name
        self.datasets = Datasets(root)
        self.runs = Runs(root)

    @staticmethod
    def templates() -> list[str]:
        """Names of the templates."""
        return [*TEMPLATES]

    def models(self) -> list[str]:
        """Names of the models of this application that have runs, the newest first."""
        return [*dict.fromkeys(run.model for run in self.runs.list() if run.app == self.name)]

    def create_model(self, name: str, template: str) -> 'Model':
        """Begin a model with the defaults of a template; nothing is stored before it is trained.

        Args:
            name: of the model.
            template: one of :meth:`templates`.

        Raises:
            ValueError: there is no such template; the message offers the nearest name.
        """
        return Model(self, name, default_params(template))

    def model(self, name: str) -> 'Model':
        """Open a model that was trained before, with its newest run and that run's parameters.

        Raises:
            ValueError: no model of this name was trained; the message names those that were.
        """
        run = next((r for r in self.runs.list() if (r.app, r.model) == (self.name, name)), None)
        if run is None:
            known = ', '.join(self.models()) or 'none'
            raise ValueError(
                f"application '{self.name}' has no trained model '{name}' (trained: {known}); "
                'begin one with create_model'
            )
        return self.run(run.id)

    def run(self, run_id: str) -> 'Model':
        """Open the model of any run.

        Raises:
            ValueError: there is no such run.
        """
        run = self.runs.get(run_id)
        return Model(self, run.model, load_params(run.params_file), run.id)


class Model:
    """A model: parameters to train with, and its newest run.

    Errors are ``ValueError`` with field, value and allowed range, one line for each fault.

    Attributes:
        run_id: of the newest run, e.g. ``run-3``; None before the first training.
    """

    def __init__(self, app: App, name: str, params: Params, run_id: str | None = None) -> None:
        self.app, self.name, self.run_id = app, name, run_id
        self._params = params

    @property
    def template(self) -> str:
        """Name of the template."""
        return self._params.template

    @property
    def _run(self) -> Run:
        if self.run_id is None:
            raise ValueError(f"model '{self.name}' has no run yet; call train() first")
        return self.app.runs.get(self.run_id)

    def schema(self) -> dict:
        """JSON schema of the template's fields: default, bounds, step, unit and help of each."""
        return TEMPLATES[self.template].model_json_schema()

    def get_params(self, save_to: str | os.PathLike | None = None) -> dict:
        """The parameters as the YAML file has them.

        Args:
            save_to: also write that file, with comments, for :meth:`train` or the command line.

        Returns:
            ``dataset_id``, ``dataset_version_id``, ``concepts``, and ``train_params``, a dict.
        """
        if save_to is not None:
            write_atomically(Path(save_to), dump_params(self._params).encode())
        return self._params.content()

    def update_params(self, **values) -> dict:
        """Change parameters, all of them or, where one is wrong, none.

        Args:
            values: ``dataset_id``, ``dataset_version_id``, ``concepts``, and fields of the
                template, such as ``num_epochs=5``.

        Returns:
            As :meth:`get_params`.

        Raises:
            ValueError: a name is unknown or a value is not allowed.
        """
        self._params = self._params.updated(**values)
        return self._params.content()

    def load_params(self, path: str | os.PathLike) -> dict:
        """Take the parameters, and the template, of a YAML file.

        Returns:
            As :meth:`get_params`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it does not fit; a line for each fault.
        """
        self._params = load_params(path)
        return self._params.content()

    def train(self, params_file: str | os.PathLike | None = None) -> str:
        """Check everything and queue a training in a process of its own, which outlives this one.

        Args:
            params_file: train with this file's parameters, which become the model's.

        Returns:
            The run's id; also kept in ``run_id``.

        Raises:
            ValueError: a parameter, the data set or the weights do not fit; nothing is started.
            FileNotFoundError: data or weights are missing; the message names them.
        """
        if params_file is not None:
            self.load_params(params_file)
        self.run_id = self.app.runs.queue(self._params, self.app.name, self.name)
        return self.run_id

    def dump_config(self) -> str:
        """The Python config that :meth:`train` would run, for ``tools/train.py``."""
        return self.app.runs.plan(self._params).config

    def status(self) -> RunStatus:
        """How far the newest run is: status word, percent, seconds left, reason."""
        return self.app.runs.status(self._run.id)

    def wait(
        self,
        timeout: float | None = None,
        show: Callable[[str], None] | None = None,
        poll: float = POLL_SECONDS,
    ) -> RunStatus:
        """Wait until the newest run is trained or failed.

        Args:
            timeout: seconds; None waits for ever.
            show: gets a line whenever something of the status changes.
            poll: seconds between two looks.

        Raises:
            TimeoutError: it is still under way.
        """
        return self.app.runs.wait(self._run.id, timeout, show, poll)

    def logs(self, follow: bool = False) -> Iterator[str]:
        """Lines of the newest run's log.

        Args:
            follow: go on with lines as they are written, until the run ends.
        """
        return self.app.runs.logs(self._run.id, follow)

    def history(self) -> list[dict]:
        """What was logged: ``mode`` (``train`` or ``val``), ``step`` and values; for curves."""
        return read_run_log(self._run.training)

    def stop(self) -> RunStatus:
        """Stop the newest run after its iteration and a checkpoint; :meth:`resume` goes on."""
        return self.app.runs.stop(self._run.id)

    def resume(self) -> RunStatus:
        """Queue the newest run again, from its last whole checkpoint.

        Raises:
            ValueError: it is under way, or done.
        """
        return self.app.runs.resume(self._run.id)

    @property
    def best(self) -> str | None:
        """File name of the newest run's best checkpoint so far; None before one is saved."""
        return next((path.name for path in outcome.best_checkpoints(self._run)), None)

    def pictures(self, split: str = 'val', count: int = 4) -> list[Path]:
        """The first pictures of a split of the data set that the newest run sees."""
        version = self.app.datasets.find_version(self._run.dataset, self._run.version)
        return pictures_of(version.folder, split)[:count]

    def predict(
        self,
        pictures: Source | Sequence[Source],
        out_dir: str | os.PathLike | None = None,
        device: str | None = None,
    ) -> list[Prediction]:
        """Predict pictures with the newest run's best checkpoint so far; also during training.

        Args:
            pictures: one or several: paths of pictures or folders, arrays uint8 (H, W, 3) RGB.
            out_dir: where ``NAME_overlay.png`` and ``NAME_regions.json`` go; None writes nothing.
            device: such as ``cpu``; None takes the first GPU if there is one.

        Returns:
            One :class:`~mmseg_custom.inference.prediction.Prediction` a picture: ``labels``,
            ``confidence``, and ``regions``, each with ``name`` (the concept) and ``value``.

        Raises:
            ValueError: the run has no checkpoint yet.
        """
        return [*outcome.predict(self._run, pictures, out_dir, device)]

    def evaluate(self, split: str = 'val') -> dict[str, float]:
        """Metrics of the newest run's best checkpoint, in percent.

        Args:
            split: of the data set, ``val`` or ``test``.
        """
        return outcome.evaluate(self._run, split)

    def export(self, out_dir: str | os.PathLike | None = None, format: str = 'pth') -> Path:
        """Write the newest run's best checkpoint as a file to hand on.

        Args:
            out_dir: default: ``exports`` in the run's folder.
            format: ``pth``, ``safetensors``, ``onnx``, ``pt2`` or ``litert``.

        Returns:
            The file.
        """
        return outcome.export(self._run, out_dir, format)
