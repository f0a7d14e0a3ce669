"""The licence that a model of transformers states in the head of its README.md, as the hub shows it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from downstream_runs.core.run import RunPlan
from downstream_runs.upstreams import sources
from upstream_arm.common.errors import SuperbError
from upstream_arm.encoders import hub

README = "README.md"


def of(plan: RunPlan) -> str | None:
    """The licence of a run's upstream; None where none is stated, or the hub cannot be asked."""
    source = None if plan.source is None else sources.parse(plan.source)
    path = None
    if source is not None and source.kind == "folder":
        path = Path(source.place, README)
    elif source is not None and source.kind == "hf":
        with contextlib.suppress(SuperbError):
            path = hub.file(source.place, str(plan.revision), README)
    return None if path is None or not path.is_file() else stated(path.read_text("utf-8", "replace"))


def stated(readme: str) -> str | None:
    """What stands under `license` between the two lines of hyphens at the beginning of a README.md."""
    import yaml

    begin, _, rest = readme.partition("\n")
    head, end, _ = rest.partition("\n---")
    if begin.strip() != "---" or not end:
        return None
    try:
        found = yaml.safe_load(head)
    except yaml.YAMLError:
        return None
    licence = found.get("license") if isinstance(found, dict) else None
    # "other" has its name beside it.
    named = found.get("license_name") if licence == "other" else None
    return str(named or licence) if licence else None
