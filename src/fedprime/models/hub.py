"""Models on the hub of Hugging Face, or on one that speaks as it does (HF_ENDPOINT); token and proxy as its library."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedprime.reproducibility.errors import FedprimeError

_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
#: What is downloaded of a repository; whatever else lies there is nothing to predict with.
_PATTERNS = ["*.json", "*.safetensors", "README.md", "backbone/**"]


class HubError(FedprimeError):
    """A hub that cannot be reached, or does not do what is asked."""


def may_be_hub_name(place: str) -> bool:
    """Returns whether a place can be meant as the name of a model on the hub: ``owner/name``, and nothing of it here.

    >>> [may_be_hub_name(place) for place in ("me/soups", "soups", "./me/soups", "a/b/c")]
    [True, False, False, False]
    """
    return bool(_NAME.fullmatch(place)) and not Path(place).exists() and not Path(place).parent.exists()


def download_model(name: str) -> Path:
    """Returns the folder of a model of the hub in the library's cache, where it is downloaded to once.

    Args:
        name: ``owner/name``.

    Raises:
        HubError: If there is none, it is of another library, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi  # slow to import, and most models are folders here

    with _told(name):
        config = Path(HfApi().hf_hub_download(name, "config.json"))
        try:
            is_ours = "prompter" in json.loads(config.read_bytes())
        except ValueError:
            is_ours = False
        if not is_ours:  # others may have gigabytes
            raise HubError(f"{name} was not saved by fedprime")
        return Path(HfApi().snapshot_download(name, allow_patterns=_PATTERNS))


def upload_folder(folder: Path, name: str, *, private: bool, message: str) -> str:
    """Uploads all files of a folder in one commit, and returns the address where they are then.

    Args:
        name: ``owner/name``; made if it is not there.
        private: Whether a repository that is made is private.

    Raises:
        HubError: If nobody is logged in, the name is somebody else's, or the hub cannot be reached.
    """
    if not _NAME.fullmatch(name):
        raise HubError(f"{name!r} is no name of a repository; expected OWNER/NAME")
    from huggingface_hub import HfApi

    with _told(name):
        hub = HfApi()
        address = hub.create_repo(name, private=private, exist_ok=True)
        hub.upload_folder(repo_id=name, folder_path=folder, commit_message=message)
        return str(address)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Says in one line what is wrong, and what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    # What the library's HTTP client raises, whose package was renamed between versions of the library.
    no_answer: type[BaseException] = HfHubHTTPError.__bases__[0]
    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        remedies = {
            401: f"{name} is not there, or needs a token; check the name, or log in (`hf auth login`, HF_TOKEN)",
            403: f"this token may not do that with {name}; take one that may (`hf auth login`, HF_TOKEN)",
            404: f"there is no {name}; check the name, and that the token may see it (`hf auth login`, HF_TOKEN)",
        }
        raise HubError(remedies.get(status, f"{constants.ENDPOINT} answered {_line(error)}; try again")) from error
    except (no_answer, LocalEntryNotFoundError, ConnectionError) as error:
        if constants.HF_HUB_OFFLINE:
            raise HubError(f"{name} is not in the cache, and HF_HUB_OFFLINE forbids to look; unset it") from error
        raise HubError(
            f"{constants.ENDPOINT} cannot be reached ({_line(error.__cause__ or error)}); check the network, "
            "HTTPS_PROXY and HF_ENDPOINT"
        ) from error
    except (ValueError, OSError) as error:
        raise HubError(_line(error)) from error


def _line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
