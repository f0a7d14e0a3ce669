"""Turn a checkpoint into a small safetensors file: the student alone, with its configuration."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from upstream_arm.common.errors import UpstreamError, reason
from upstream_arm.common.files import sha256_file
from upstream_arm.config import StudentConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", metavar="IN", help="the authors' Lightning file or a state dict")
    parser.add_argument("target", metavar="OUT", help="the new .safetensors file")
    parser.add_argument("--model-config", metavar="YAML", help="the student's training yaml, if IN has none")


def run(options: argparse.Namespace) -> int:
    """Convert a file and say what was written."""
    config = convert(options.source, options.target, model_config=options.model_config)
    before, after = (Path(path).stat().st_size / 1e6 for path in (options.source, options.target))
    print(
        f"wrote {options.target} ({after:.1f} MB, from {before:.1f} MB): a student of {config.layers} "
        f"layers, width {config.embed_dim}"
    )
    return 0


def convert(
    source: Path | str, target: Path | str, *, model_config: Path | str | StudentConfig | None = None
) -> StudentConfig:
    """Write the student of `source` to the new safetensors file `target`; returns its configuration.

    The metadata hold the configuration as json, the name and SHA-256 of the source, and the format's version.
    UpstreamError if `target` exists or cannot be written, or `source` cannot be loaded.
    """
    from upstream_arm.checkpoint import LABELS_KEY, check_fit, choose_config, read, save_student

    source, target = Path(source), Path(target)
    if target.suffix != ".safetensors":
        raise UpstreamError(
            f"{target} does not end in .safetensors, as a converted file must; give such a name"
        )
    if target.exists():
        raise UpstreamError(
            f"{target} exists already and is left as it is; give another name or remove it first"
        )
    if not target.parent.is_dir():
        raise UpstreamError(f"the folder {target.parent} does not exist, nothing was written; make it first")
    checkpoint = read(source)
    config = choose_config(checkpoint, model_config)
    check_fit(checkpoint.student_state, config, source)
    remarks = {
        "source_file": source.name,
        "source_sha256": sha256_file(source),
        LABELS_KEY: json.dumps(checkpoint.labels),
    }
    try:
        save_student(checkpoint.student_state, config, target, remarks)
    except OSError as error:
        raise UpstreamError(
            f"{target} cannot be written ({reason(error)}); check the folder's permissions and space"
        ) from None
    return config
