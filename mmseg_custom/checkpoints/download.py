"""One file over HTTP: resumed where it stopped, checked, and there complete or not at all."""

import base64
import errno
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

import filelock

LOCK_TIMEOUT_S = 3600
BLOCK = 1 << 16
# A full disk, a full quota, and a file larger than the process may write.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DownloadError(OSError):
    """No address gave the file.

    Attributes:
        not_found: whether every address answered that there is no such file.
        is_local: whether the fault is this machine's, so that other addresses would not help.
    """

    def __init__(self, message: str, not_found: bool = False, is_local: bool = False) -> None:
        super().__init__(message)
        self.not_found = not_found
        self.is_local = is_local


@dataclass(frozen=True)
class Patience:
    """How long a server is given.

    Attributes:
        stall_s: silence after which a connection is given up.
        window_s: span over which the speed is measured.
        min_bytes_per_s: a slower address is left where there is another one.
        attempts: connections to one address, as long as each brings something.
        pause_s: between them.
    """

    stall_s: float = 30.0
    window_s: float = 30.0
    min_bytes_per_s: float = 20_000.0
    attempts: int = 5
    pause_s: float = 1.0


@dataclass(frozen=True)
class Digest:
    """First digits of a file's hash, or all of them; lower-case hexadecimal."""

    algorithm: str
    digits: str


class _Refused(Exception):
    """This address does not give the file; the next one may."""

    def __init__(self, reason: str, not_found: bool = False) -> None:
        super().__init__(reason)
        self.not_found = not_found


class _Interrupted(Exception):
    """The transfer broke off; what has arrived can be kept."""


class _Unusable(Exception):
    """What lies there from before does not belong to this file, and is removed."""


class _Redirects(HTTPRedirectHandler):
    """Follows redirections and keeps the hash that Hugging Face states in the first answer."""

    stated = ''

    def redirect_request(self, request, file, code, message, headers, url):
        self.stated = headers.get('X-Linked-Etag') or self.stated
        return super().redirect_request(request, file, code, message, headers, url)


def download(
    urls: Sequence[str], path: Path, sha256: str = '', patience: Patience | None = None
) -> None:
    """Write a file from the first address that gives it; do nothing where it is there already.

    A transfer that broke off goes on where it stopped, also in a later call, where the file's hash
    is known: given here, or stated by the server (Hugging Face, Google's storage). Only one process
    of those that share the folder transfers; the others wait for its file.

    Args:
        urls: addresses of the same bytes.
        path: the file to write; folders are made.
        sha256: first digits of its SHA-256, or all; ``''`` where they are not known.
        patience: see :class:`Patience`.

    Raises:
        DownloadError: the file is not there; the message says what was wrong with each address, or
            that the folder cannot be written to or is full.
    """
    if path.is_file():
        return
    transfer = _Transfer(path, sha256.lower(), patience or Patience())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_name(f'.{path.name}.lock'), timeout=LOCK_TIMEOUT_S):
            if not path.is_file():
                transfer.run(urls)
    except filelock.Timeout as error:
        raise DownloadError(
            f'another process has been downloading {path.name} for an hour; if there is none, '
            f'remove {error.lock_file}',
            is_local=True,
        ) from error
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(transfer.local_problem(error), is_local=True) from error


class _Transfer:
    """The download of one file, with the lock held."""

    def __init__(self, path: Path, sha256: str, patience: Patience) -> None:
        self.path = path
        self.part = path.with_name(f'.{path.name}.part')
        self.known = Digest('sha256', sha256) if sha256 else None
        self.patience = patience
        # What identifies the bytes at the present address: a leftover may be another file.
        self.etag = ''

    def run(self, urls: Sequence[str]) -> None:
        """Try one address after the other."""
        problems = []
        for number, url in enumerate(urls):
            self.etag = ''
            try:
                self._fetch(url, is_last=number == len(urls) - 1)
            except _Refused as refusal:
                problems.append((f'{url}: {refusal}', refusal.not_found))
            else:
                os.replace(self.part, self.path)
                return
        raise DownloadError(
            '; '.join(text for text, _ in problems), all(missing for _, missing in problems)
        )

    def local_problem(self, error: OSError) -> str:
        """Say what is wrong on this machine; a full disk gets back what was written."""
        folder = self.path.parent
        if error.errno in NO_SPACE:
            self.part.unlink(missing_ok=True)
            return (
                f'no space left in {folder} ({error.strerror}); free some, or let '
                'MMSEG_CUSTOM_WEIGHTS name a folder elsewhere'
            )
        return (
            f'cannot write to {folder} ({error.strerror or error}); let MMSEG_CUSTOM_WEIGHTS name '
            'a folder of yours'
        )

    def _fetch(self, url: str, is_last: bool) -> None:
        """Transfer from one address, with as many connections as it takes."""
        for attempt in range(self.patience.attempts):
            before = self._arrived()
            try:
                self._connect(url, is_last)
                return
            except _Unusable as problem:
                reason = str(problem)
                self.part.unlink(missing_ok=True)
                if not before:
                    break
            except _Interrupted as problem:
                reason = str(problem)
                if self._arrived() <= before:
                    break
            if attempt + 1 < self.patience.attempts:
                time.sleep(self.patience.pause_s)
        raise _Refused(reason)

    def _arrived(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _connect(self, url: str, is_last: bool) -> None:
        """Transfer with one connection, and check what has arrived then."""
        offset = self._arrived()
        response, stated = self._open(url, offset)
        with response:
            digest = self.known or stated
            if offset and response.status == 206:
                start = response.headers.get('Content-Range', '').partition('-')[0]
                if start.split() != ['bytes', str(offset)] or not (digest or self.etag):
                    raise _Unusable('the rest of the file does not fit what lies there')
            elif offset:
                offset = 0
                self.part.unlink()
            etag = response.headers.get('ETag', '')
            self.etag = '' if etag.startswith('W/') else etag
            self._receive(response, offset, is_last)
        if digest:
            self._verify(digest)

    def _open(self, url: str, offset: int) -> tuple[HTTPResponse, Digest | None]:
        """Ask for the file from byte ``offset`` on; also return the hash that the server states."""
        request = Request(url, headers={'User-Agent': 'mmseg_custom'})
        if offset:
            request.add_header('Range', f'bytes={offset}-')
            if self.etag:
                request.add_header('If-Range', self.etag)
        redirects = _Redirects()
        try:
            response = build_opener(redirects).open(request, timeout=self.patience.stall_s)
        except HTTPError as error:
            error.close()
            if error.code == 416:
                raise _Unusable('the server has fewer bytes than lie there') from error
            raise _Refused(f'{error.code} {error.reason}', error.code == 404) from error
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, 'reason', None) or error
            raise _Refused(_one_line(reason)) from error
        return response, _stated_digest(response, redirects.stated)

    def _receive(self, response: HTTPResponse, offset: int, is_last: bool) -> None:
        """Append the body of an answer to what has arrived."""
        total = None if response.length is None else offset + response.length
        if total is not None and shutil.disk_usage(self.part.parent).free < total - offset:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        arrived = offset
        slowest = 0.0 if is_last else self.patience.min_bytes_per_s
        with _bar(self.path.name, offset, total) as show, self.part.open('ab') as file:
            for block in _blocks(response, self.patience.window_s, slowest):
                file.write(block)
                arrived += len(block)
                show(arrived)
        if total is not None and arrived < total:
            raise _Interrupted(f'the connection ended after {arrived} of {total} bytes')

    def _verify(self, digest: Digest) -> None:
        with self.part.open('rb') as file:
            found = hashlib.file_digest(file, digest.algorithm).hexdigest()
        if not found.startswith(digest.digits):
            raise _Unusable(
                f'another {digest.algorithm} hash than it should have: expected '
                f'"{digest.digits}", got "{found[: len(digest.digits)]}"'
            )


def _blocks(response: HTTPResponse, window_s: float, min_bytes_per_s: float) -> Iterator[bytes]:
    """Yield the body as it comes.

    Raises:
        _Interrupted: the connection broke.
        _Refused: it was slower than ``min_bytes_per_s`` over ``window_s`` seconds.
    """
    start, amount = time.monotonic(), 0
    while True:
        try:
            block = response.read1(BLOCK)
        except (OSError, HTTPException) as error:
            raise _Interrupted(_one_line(error)) from error
        if not block:
            return
        yield block
        amount += len(block)
        elapsed = time.monotonic() - start
        if elapsed >= window_s:
            if amount < min_bytes_per_s * elapsed:
                raise _Refused(f'slower than {min_bytes_per_s / 1000:g} kB/s')
            start, amount = time.monotonic(), 0


def _stated_digest(response: HTTPResponse, linked: str) -> Digest | None:
    """The hash that the server states: Hugging Face's SHA-256 or Google's MD5."""
    linked = (linked or response.headers.get('X-Linked-Etag', '')).strip('"').lower()
    if len(linked) == 64:
        return Digest('sha256', linked)
    for header in response.headers.get_all('x-goog-hash') or []:
        for entry in header.split(','):
            algorithm, _, value = entry.strip().partition('=')
            if algorithm == 'md5':
                return Digest('md5', base64.b64decode(value).hex())
    return None


def _one_line(error: object) -> str:
    if isinstance(error, TimeoutError):
        return 'no answer in time'
    return ' '.join(str(error).split()) or type(error).__name__


@contextmanager
def _bar(name: str, arrived: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, else nothing; yields what takes the bytes that have arrived."""
    if not sys.stderr.isatty():
        yield lambda arrived: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=total, completed=arrived)
        yield lambda arrived: progress.update(task, completed=arrived)
