"""From a config, a checkpoint and pictures to class maps, and the files that show them."""

from importlib import import_module

# Imported when they are asked for: torch takes seconds, and the modules beside need less of it.
_HOMES = {
    'Inferencer': 'inferencer',
    'Prediction': 'prediction',
    'RegionOptions': 'prediction',
    'Region': 'regions',
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'{__name__}.{_HOMES[name]}'), name)
