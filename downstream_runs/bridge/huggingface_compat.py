"""`HfFolder` and `Repository`, which huggingface_hub dropped in 1.0 and which s3prl imports by name."""

from __future__ import annotations

from typing import NoReturn

import huggingface_hub

from upstream_arm.common.errors import UsageError


class HfFolder:
    """The stored access token, through the functions that replaced this class."""

    @staticmethod
    def get_token() -> str | None:
        """The token of this user, or None."""
        return huggingface_hub.get_token()

    @staticmethod
    def save_token(token: str) -> None:
        """Check `token` with the hub and store it."""
        huggingface_hub.login(token=token)

    @staticmethod
    def delete_token() -> None:
        """Forget the stored token."""
        huggingface_hub.logout()


class Repository:
    """Stands where the git-based class was; it cannot be used."""

    def __init__(self, *arguments: object, **options: object) -> None:
        refuse_push()


def refuse_push() -> NoReturn:
    """Say why s3prl cannot upload an experiment any more."""
    raise UsageError(
        "s3prl's --push_to_hf_hub needs huggingface_hub's Repository class, which version 1.0 removed: "
        "run without it and upload the finished folder with `hf upload REPOSITORY FOLDER`"
    )


def install() -> None:
    """Add the two classes where huggingface_hub has none."""
    for stand_in in (HfFolder, Repository):
        if not hasattr(huggingface_hub, stand_in.__name__):
            setattr(huggingface_hub, stand_in.__name__, stand_in)
