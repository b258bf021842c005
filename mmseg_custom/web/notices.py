"""Words of a page that stay where they are, unlike pop-ups."""

from html import escape


def notice(text: str, kind: str = 'good') -> str:
    """HTML of a notice; every line of the text is one of its lines.

    Args:
        text: what to say.
        kind: ``'good'``, ``'warning'`` or ``'error'``.
    """
    lines = ''.join(f'<p>{escape(line)}</p>' for line in text.splitlines())
    return f'<div class="notice {kind}" role="status">{lines}</div>'
