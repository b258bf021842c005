"""``task`` of a folder: whether its pixels have one of several classes, or are thing or not."""

from collections.abc import Sequence

TASKS = ('semantic', 'binary')


def check_task(value, where: str) -> str:
    """Return the task.

    Raises:
        ValueError: it is none of :data:`TASKS`; the message begins with ``where``.
    """
    if value not in TASKS:
        raise ValueError(f'{where}: task is {value!r}; expected {" or ".join(TASKS)}')
    return value


def classes_of_task(classes: Sequence[str], task: str) -> tuple[str, ...]:
    """Return the names of the classes that masks have; the background's where one is named.

    Raises:
        ValueError: ``binary`` with more than two names, or ``semantic`` with one.
    """
    if task == 'binary':
        classes = ('background', *classes) if len(classes) == 1 else tuple(classes)
        if len(classes) != 2:
            raise ValueError(
                'task: binary has two classes, background and foreground, but classes has '
                f'{len(classes)} entries ({", ".join(classes)}); leave task out, or name two'
            )
    elif len(classes) < 2:
        raise ValueError(
            f'classes has {len(classes)} entries; expected 2 (e.g. [background, {classes[0]}]), or '
            "'task: binary' beside it"
        )
    return tuple(classes)
