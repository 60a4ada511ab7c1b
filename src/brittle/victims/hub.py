"""The hub that weights are loaded from: whether it answers at all, before its client asks again and again for a minute."""

from __future__ import annotations

import time

from ..errors import InputError
from .packages import need

TRIES = 2  # a moment's failure is not the end
PAUSE = 0.5  # seconds between them


def held(model: str) -> bool:
    """The hub's cache on this machine has a snapshot of `model`, such as timm/resnet50.a1_in1k."""
    try:
        need("huggingface_hub", "the hub", "hf").snapshot_download(model, local_files_only=True)
    except Exception:  # not there, or no name of a model
        return False
    return True


def check_hub(what: str, instead: str) -> None:
    """Raise InputError where the hub gives no answer of any kind. `what` is wanted of it; `instead` is what the user may do without it.

    Asked as its own client asks (HF_ENDPOINT, proxies, certificates), with the time for an answer that HF_HUB_ETAG_TIMEOUT sets,
    10 seconds otherwise. Whoever wants to stay offline (HF_HUB_OFFLINE) is not asked about: the client refuses at once by itself.
    """
    hub = need("huggingface_hub", "the hub", "hf")
    home, seconds = hub.constants.ENDPOINT, float(hub.constants.HF_HUB_ETAG_TIMEOUT)
    if hub.constants.HF_HUB_OFFLINE:
        return
    failed: Exception | None = None
    for again in range(TRIES):
        time.sleep(PAUSE * again)
        try:
            hub.utils.get_session().head(home, timeout=seconds)
            return
        except Exception as error:  # of httpx or of requests, as the client's version has it
            failed = error
    reason = (str(failed).strip() or type(failed).__name__).splitlines()[0]
    raise InputError(
        f"{what} is not on this machine, and {home} does not answer ({reason}); check the connection (HTTPS_PROXY and HF_ENDPOINT name "
        f"a proxy and a mirror, HF_HUB_ETAG_TIMEOUT the seconds until it is given up), or {instead}"
    ) from failed
