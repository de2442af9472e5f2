"""Finding the content folders (`prompts/`, later `evals/suites/`): data that users may edit."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def content_folders(kind: str, home: Path) -> list[Path]:
    """Existing folders of a kind: the user's, then the packaged, then the checkout's.

    Args:
        kind: Name of the folder, such as `prompts`.
        home: RAR_HOME.
    """
    places = (home.expanduser(), _PACKAGE / "_content", _PACKAGE.parent)
    return [place / kind for place in places if (place / kind).is_dir()]
