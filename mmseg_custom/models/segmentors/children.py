"""In which registry a segmentor's children are looked up."""

from mmengine.config import ConfigDict

from mmseg_custom.registry import SCOPE

UPSTREAM_SCOPE = 'mmseg'


def scoped(config):
    """Copy a child's config and say in which scope it, and all that it builds, is looked up.

    ``type='mmseg.X'`` is built in mmseg's scope, so that the stock class also gets stock children
    (its loss, for example). Every other config without a ``_scope_`` is built in ours, where a
    name that is not found falls back to mmseg's. Without this the default scope would decide, and
    ours could hold stock children without a word.

    Args:
        config: a child's config, a list of them, ``None`` or a module that is built already.

    Returns:
        The config with ``_scope_`` set; ``None`` and modules come back as they are.
    """
    if isinstance(config, (list, tuple)):
        return [scoped(entry) for entry in config]
    if not isinstance(config, dict):
        return config
    copy = ConfigDict(config)
    stock = str(copy.get('type', '')).startswith(f'{UPSTREAM_SCOPE}.')
    copy.setdefault('_scope_', UPSTREAM_SCOPE if stock else SCOPE)
    return copy
