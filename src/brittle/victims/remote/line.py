"""The line to a server: requests that time out, are tried again, and never go where they were not sent."""

from __future__ import annotations

import queue
import random
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import msgspec
import requests
from urllib3.exceptions import HTTPError, NewConnectionError

from ...errors import InputError, Unreachable
from ...outside import reason
from .protocols import Changed, Garbage

T = TypeVar("T")

SILENT = (404, 405, 501)  # a server that has nothing to say of its model
REFUSED = (400, 413, 422)  # it will not have these rows; others it may
LONGEST = 600.0  # seconds that are waited for a server that says when to come back
CEILING = 60.0  # seconds between two tries
LARGEST = 2**25  # bytes of an answer, unpacked; a thousand rows of a thousand scores have 20 million
PART = 2**16  # bytes that are read at a time


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Seconds until a request is given up, its whole answer included; how often it is tried again, and seconds before that: doubled at
    each, half at random.
    """

    timeout: float = 30.0
    retries: int = 6
    wait: float = 0.5

    def pause(self, tried: int) -> float:
        """Seconds after so many failures."""
        return min(self.wait * 2.0 ** (tried - 1), CEILING) * _CHANCE.uniform(0.5, 1.0)


_CHANCE = random.Random()  # its own: nobody's seeded numbers are used up


class Line:
    """A connection to one server; `token` goes into the header Authorization, and into no message."""

    def __init__(self, patience: Patience, token: str | None) -> None:
        self.patience = patience
        self._token = token
        self._session = self._opened()

    def about(self, url: str) -> Any:
        """What a GET says, None where the server has nothing to say. Unreachable where it does not answer."""
        return self._until_answered("GET", url, None, lambda said: said, lambda: None, lambda: None)

    def ask(
        self, url: str, body: Any, read: Callable[[Any], T], charge: Callable[[], None], refund: Callable[[], None]
    ) -> T:
        """What `read` makes of the answer to a POST.

        `charge` is called before every try, `refund` after one that did not even connect. InputError where the server refuses these rows,
        Unreachable where no try gave an answer that `read` took.
        """
        return self._until_answered("POST", url, msgspec.json.encode(body), read, charge, refund)

    def _until_answered(
        self,
        method: str,
        url: str,
        body: bytes | None,
        read: Callable[[Any], T],
        charge: Callable[[], None],
        refund: Callable[[], None],
    ) -> T:
        why, told = "", 0.0
        for tried in range(self.patience.retries + 1):
            if tried:
                time.sleep(max(self.patience.pause(tried), told))
            told = 0.0
            charge()
            try:
                reply = self._exchanged(method, url, body)
            except (requests.RequestException, HTTPError, OSError, zlib.error) as error:
                if _never_left(error):
                    refund()
                why = f"{type(error).__name__}: {self._clean(str(error))}"
                continue
            if reply.status == 200:
                try:
                    return read(_parsed(method, reply))
                except InputError:
                    raise
                except Changed as error:
                    raise Unreachable(f"{url} answers {error}; begin anew, with another --out") from None
                except Garbage as error:
                    why = f"it answered {error}"
                    continue
                except Exception as error:  # whatever it is: no answer that can be read
                    why = f"it answered no JSON ({reason(error)})"
                    continue
            if method == "GET" and reply.status in SILENT:
                return read(None)
            why, told = self._refusal(url, reply), _told(reply)
            if told > LONGEST:
                why += f", and not before {told:,.0f} s have passed"
                break
        raise Unreachable(
            f"{url} gave no answer that can be used in {counted_tries(tried + 1)}, the last time: {why}; what is finished is "
            "kept: run the same command again when the server is well"
        )

    def _opened(self) -> requests.Session:
        session = requests.Session()
        session.auth = self._sign  # given or not: otherwise ~/.netrc would be sent
        return session

    def _exchanged(self, method: str, url: str, body: bytes | None) -> _Reply:
        """The answer, whole. requests.Timeout where it takes longer than the patience: requests limits the time between two bytes.

        It is waited for in a thread, because nothing ends a read from a server that sends a byte now and then.
        """
        session, heard = self._session, queue.SimpleQueue[_Reply | BaseException]()

        def talk() -> None:
            try:
                heard.put(_talked(session, method, url, body, self.patience.timeout))
            except BaseException as error:
                heard.put(error)

        threading.Thread(target=talk, daemon=True).start()
        try:
            said = heard.get(timeout=self.patience.timeout)
        except queue.Empty:
            self._session = self._opened()  # the other one is still waiting
            raise requests.Timeout(f"no whole answer within {self.patience.timeout:g} s") from None
        if isinstance(said, BaseException):
            raise said
        return said

    def _refusal(self, url: str, reply: _Reply) -> str:
        """Why another try may help. Raises where none can."""
        status = reply.status
        why = f"status {status} {reply.reason or ''}".strip()
        if 300 <= status < 400:
            to = self._clean(reply.headers.get("Location", "another place"))
            raise Unreachable(f"{url} sends on to {to}, where nothing is sent unasked; give that URL if it is right")
        if status in REFUSED:
            raise InputError(f"{url} refuses these inputs ({why}: {self._clean(reply.text)}); look at shape and bounds")
        if status in (401, 403):
            raise Unreachable(f"{url} lets nobody in ({why}); name the variable that holds a token: token_env=NAME")
        if status in (408, 425, 429) or status >= 500:
            return why
        raise Unreachable(f"{url} cannot be asked ({why}: {self._clean(reply.text)}); look at the URL and the protocol")

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _clean(self, text: str) -> str:
        """Short, on one line, and without the token."""
        text = " ".join(text.replace(self._token, "***").split() if self._token else text.split())
        return text if len(text) <= 160 else f"{text[:157]}..."


def counted_tries(count: int) -> str:
    """`1 try`, `7 tries`."""
    return "1 try" if count == 1 else f"{count} tries"


@dataclass(frozen=True)
class _Reply:
    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")


def _talked(session: requests.Session, method: str, url: str, body: bytes | None, timeout: float) -> _Reply:
    """One request and its answer, of which no more is unpacked than may be."""
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "gzip, deflate"}
    with session.request(
        method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False, stream=True
    ) as reply:
        packed = reply.headers.get("Content-Encoding", "identity").strip().lower()
        if packed not in ("identity", "gzip", "deflate", ""):
            raise requests.exceptions.ContentDecodingError(f"it answered packed as {packed[:20]!r}")
        unpacker = zlib.decompressobj(wbits=47) if packed in ("gzip", "deflate") else None  # 47: either of the two
        content = bytearray()
        for part in reply.raw.stream(PART, decode_content=False):
            content += unpacker.decompress(part, LARGEST) if unpacker else part
            if len(content) > LARGEST or (unpacker and unpacker.unconsumed_tail):
                raise requests.exceptions.ContentDecodingError(
                    f"it answered more than {LARGEST:,} bytes; ask for fewer rows at a time, with batch="
                )
        return _Reply(reply.status_code, reply.reason or "", reply.headers, bytes(content))


def _parsed(method: str, reply: _Reply) -> Any:
    """The JSON of an answer; None for another kind of page in answer to a GET."""
    if method == "GET" and "json" not in reply.headers.get("Content-Type", ""):
        return None
    return msgspec.json.decode(reply.content)


def _told(reply: _Reply) -> float:
    """Seconds that the server asks to be left alone, 0 where it does not say."""
    said = reply.headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return float(said)
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except Exception:  # no date in any of the ways in which it can be none
        return 0.0


def _never_left(error: Exception) -> bool:
    """Whether there was not even a connection."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(error, requests.ConnectTimeout) or isinstance(reason, NewConnectionError)
