"""Training loops that continue at the sample where a run was stopped."""

from mmengine.runner import EpochBasedTrainLoop as BaseEpochBasedTrainLoop
from mmengine.runner import IterBasedTrainLoop as BaseIterBasedTrainLoop
from mmengine.runner.base_loop import BaseLoop
from mmengine.runner.utils import calc_dynamic_intervals
from torch.utils.data import DataLoader

from mmseg_custom.engine.samplers import SampleStream, SeededDataset
from mmseg_custom.engine.unwrapping import unwrap
from mmseg_custom.registry import DATASETS, LOOPS

STREAMED_SAMPLERS = ('InfiniteSampler', 'DefaultSampler')


def build_training_loader(runner, config: dict | DataLoader) -> DataLoader:
    """Build the loader of a training, with :class:`SampleStream` for mmengine's two samplers.

    Args:
        runner: gives the seed.
        config: of the loader, as mmengine takes it; a loader is returned as it is.

    Returns:
        The loader. With another sampler or a batch sampler it is mmengine's own: a resumed run
        then replays the batches of its past.
    """
    if isinstance(config, DataLoader):
        return config
    if runner.cfg.get('fuse_pipeline', True):
        config = {**config, 'dataset': _fused(runner, config['dataset'])}
    different = runner._randomness_cfg.get('diff_rank_seed', False)
    sampler = config['sampler']
    kind = sampler.get('type') if isinstance(sampler, dict) else sampler
    name = kind.rsplit('.', 1)[-1] if isinstance(kind, str) else getattr(kind, '__name__', '')
    if name not in STREAMED_SAMPLERS or config.get('batch_sampler'):
        runner.logger.warning(
            f'train_dataloader does not sample with {" or ".join(STREAMED_SAMPLERS)} alone: a '
            'resumed run will replay its past batches and will not be bit-identical'
        )
        return runner.build_dataloader(config, seed=runner.seed, diff_rank_seed=different)
    # The order of samples must be the same in every process.
    seed = runner.seed - (runner.rank if different else 0)
    stream = dict(
        type=SampleStream,
        shuffle=sampler.get('shuffle', True),
        seed=seed if sampler.get('seed') is None else sampler['seed'],
    )
    dataset = dict(type=SeededDataset, dataset=config['dataset'])
    config = {**config, 'dataset': dataset, 'sampler': stream}
    return runner.build_dataloader(config, seed=runner.seed, diff_rank_seed=different)


def _fused(runner, dataset):
    """Build the data set with the faster pipeline that does the same."""
    preprocessor = getattr(unwrap(runner.model), 'data_preprocessor', None)
    small_labels = getattr(preprocessor, 'takes_small_labels', False)
    fused = dict(type='mmseg_custom.FusedPipelines', small_labels=small_labels)
    return DATASETS.build({**fused, 'dataset': dataset})


class StreamLoop:
    """Where a training stands in its stream of samples; the base of both loops.

    Attributes:
        resumed: what :meth:`load_position` was given; None in a run that begins.
    """

    resumed: dict | None = None

    @property
    def stream(self) -> SampleStream | None:
        """The stream that feeds the training; None with another sampler."""
        sampler = self.dataloader.sampler
        return sampler if isinstance(sampler, SampleStream) else None

    @property
    def samples_per_iteration(self) -> int:
        """Samples of one iteration, of all processes together."""
        return self.dataloader.batch_size * self.runner.world_size

    def position(self, iterations: int) -> dict:
        """What :meth:`load_position` needs to continue after so many iterations."""
        start_iter, start_sample = (0, 0)
        if self.resumed is not None:
            start_iter, start_sample = self.resumed['iter'], self.resumed['sample']
        done = (iterations - start_iter) * self.samples_per_iteration
        return dict(
            iter=iterations,
            sample=start_sample + done,
            seed=self.stream.seed,
            size=self.stream.size,
            samples_per_iteration=self.samples_per_iteration,
        )

    def load_position(self, position: dict) -> None:
        """Continue at a position of :meth:`position`; call before the loop runs.

        Raises:
            ValueError: an iteration has another number of samples now.
        """
        before, now = position['samples_per_iteration'], self.samples_per_iteration
        if before != now:
            processes = self.runner.world_size
            fitting = before / processes
            fix = (
                f'set train_dataloader.batch_size={before // processes}'
                if fitting.is_integer()
                else 'use a number of processes that divides it'
            )
            raise ValueError(
                f'the checkpoint was trained with {before} samples per iteration, this run has '
                f'{self.dataloader.batch_size} x {processes} process(es) = {now}: its learning '
                f'rate and length would mean something else; {fix}, or start a new run from its '
                'weights with --cfg-options load_from=CHECKPOINT'
            )
        if position['size'] != self.stream.size:
            self.runner.logger.warning(
                f'the training data set has {self.stream.size} samples, it had '
                f'{position["size"]} when the checkpoint was saved: the order is a new one'
            )
        self.stream.seed = position['seed']
        self.resumed = position

    def _seek(self, batches: int | None = None) -> None:
        """Let the next ``iter()`` of the loader begin here and end after ``batches``, if given."""
        start = self.position(self._iter)['sample']
        self.stream.start = start
        self.stream.stop = None
        if batches is not None:
            self.stream.stop = start + batches * self.samples_per_iteration


@LOOPS.register_module()
class IterBasedTrainLoop(StreamLoop, BaseIterBasedTrainLoop):
    """mmengine's loop, without replaying the past batches of a resumed run.

    Validation that was due at the iteration of the checkpoint and did not finish is made up for.

    Args:
        runner: the runner.
        dataloader: a loader or the config of one.
        max_iters: length of the training.
        val_begin: the first iteration that may be validated.
        val_interval: iterations between validations.
        dynamic_intervals: see mmengine.
    """

    def __init__(
        self,
        runner,
        dataloader: DataLoader | dict,
        max_iters: int,
        val_begin: int = 1,
        val_interval: int = 1000,
        dynamic_intervals: list[tuple[int, int]] | None = None,
    ) -> None:
        loader = build_training_loader(runner, dataloader)
        if not isinstance(loader.sampler, SampleStream):
            super().__init__(runner, loader, max_iters, val_begin, val_interval, dynamic_intervals)
            return
        # mmengine starts the workers here, before a checkpoint can say where they begin.
        BaseLoop.__init__(self, runner, loader)
        self._max_iters = int(max_iters)
        self._max_epochs = 1
        self._epoch = self._iter = 0
        self.val_begin = val_begin
        self.val_interval = val_interval
        self.stop_training = False
        runner.visualizer.dataset_meta = getattr(loader.dataset, 'metainfo', None)
        self.dynamic_milestones, self.dynamic_intervals = calc_dynamic_intervals(
            val_interval, dynamic_intervals
        )

    def run(self):
        """Train; see mmengine."""
        if self.stream is None:
            return super().run()
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self._seek()
        self.dataloader_iterator = iter(self.dataloader)
        if self.runner.continue_state():
            self._validate()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
            self._validate()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def _validate(self) -> None:
        self._decide_current_val_interval()
        due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
        if self.runner.val_loop is not None and self._iter >= self.val_begin and due:
            self.runner.val_loop.run()


@LOOPS.register_module()
class EpochBasedTrainLoop(StreamLoop, BaseEpochBasedTrainLoop):
    """mmengine's loop that can continue in the middle of an epoch.

    An epoch has as many iterations as mmengine's, and every batch of it is full: where the data
    set's size is no multiple of the global batch, the last batch begins the next pass, which the
    next epoch continues.

    Validation that was due at the epoch of the checkpoint and did not finish is made up for.
    """

    def __init__(self, runner, dataloader: DataLoader | dict, *args, **kwargs) -> None:
        super().__init__(runner, build_training_loader(runner, dataloader), *args, **kwargs)

    def load_position(self, position: dict) -> None:
        """See :class:`StreamLoop`; an epoch of another length is continued at its beginning."""
        super().load_position(position)
        first = self._epoch * len(self.dataloader)
        if not first <= self._iter <= first + len(self.dataloader):
            self._iter = first
            self.resumed = {**position, 'iter': first}

    def run(self):
        """Train; see mmengine."""
        if self.stream is None:
            return super().run()
        self.runner.call_hook('before_train')
        between_epochs = self._iter == self._epoch * len(self.dataloader)
        if self.runner.continue_state() and between_epochs:
            self._validate()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate()
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """Train what is left of an epoch."""
        if self.stream is None:
            return super().run_epoch()
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        first = self._iter - self._epoch * len(self.dataloader)
        self._seek(len(self.dataloader) - first)
        for index, batch in enumerate(self.dataloader, first):
            self.run_iter(index, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _validate(self) -> None:
        self._decide_current_val_interval()
        due = self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
        if self.runner.val_loop is not None and self._epoch >= self.val_begin and due:
            self.runner.val_loop.run()
