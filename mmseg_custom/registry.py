"""Child registries of mmseg's, with the scope ``mmseg_custom``.

A class of ours that replaces one of mmseg's has the same name here; what is not here is found in
mmseg's and mmengine's registries. ``type='mmseg.X'`` always means the stock class. A child's
look-up does not import its parent's modules, so each location list names mmseg's package too.
"""

from mmseg_custom import compat

compat.apply()

from mmengine.registry import Registry  # noqa: E402
from mmseg import registry as upstream  # noqa: E402

SCOPE = 'mmseg_custom'


def _child(name: str, *locations: str) -> Registry:
    parent = getattr(upstream, name)
    return Registry(parent.name, parent=parent, scope=SCOPE, locations=list(locations))


MODELS = _child('MODELS', 'mmseg.models', 'mmseg_custom.models')
DATASETS = _child('DATASETS', 'mmseg.datasets', 'mmseg_custom.datasets')
TRANSFORMS = _child('TRANSFORMS', 'mmseg.datasets.transforms', 'mmseg_custom.datasets')
METRICS = _child('METRICS', 'mmseg.evaluation', 'mmseg_custom.evaluation')
HOOKS = _child('HOOKS', 'mmseg.engine.hooks', 'mmseg_custom.engine.hooks')
RUNNERS = _child('RUNNERS', 'mmseg_custom.engine')
LOG_PROCESSORS = _child('LOG_PROCESSORS', 'mmseg_custom.engine')
LOOPS = _child('LOOPS', 'mmseg_custom.engine')
VISUALIZERS = _child('VISUALIZERS', 'mmseg.visualization')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'OPTIM_WRAPPER_CONSTRUCTORS', 'mmseg.engine.optimizers', 'mmseg_custom.engine'
)
OPTIMIZERS = _child('OPTIMIZERS', 'mmseg.engine.optimizers')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS', 'mmseg_custom.engine')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS', 'mmseg_custom.engine')
TASK_UTILS = _child('TASK_UTILS', 'mmseg_custom.datasets')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS', 'mmseg_custom.engine')
# Nothing of ours here yet, but without a node of our scope mmengine warns at each look-up.
OTHERS = tuple(
    _child(name)
    for name in (
        'RUNNER_CONSTRUCTORS',
        'DATA_SAMPLERS',
        'WEIGHT_INITIALIZERS',
        'EVALUATOR',
        'VISBACKENDS',
        'INFERENCERS',
    )
)
ALL = (
    *(MODELS, DATASETS, TRANSFORMS, METRICS, HOOKS, RUNNERS, LOG_PROCESSORS, VISUALIZERS),
    *(LOOPS, OPTIM_WRAPPER_CONSTRUCTORS, OPTIMIZERS, OPTIM_WRAPPERS, MODEL_WRAPPERS),
    *(PARAM_SCHEDULERS, TASK_UTILS, *OTHERS),
)


def register_all() -> None:
    """Import every package of ours and of mmseg's, so that all their classes are registered."""
    for registry in ALL:
        registry.import_from_location()


def registered_names(registry_name: str) -> set[str]:
    """All names in the registry of that kind, e.g. ``hook``, ours and upstream's."""
    known: set[str] = set()
    for registry in ALL:
        node = registry if registry.name == registry_name else None
        while node is not None:
            node.import_from_location()
            known.update(node.module_dict)
            node = node.parent
    return known
