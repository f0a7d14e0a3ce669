"""Teachers by name: a model of transformers, an s3prl upstream, or a small random one."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upstream_arm.common.errors import UpstreamError

if TYPE_CHECKING:
    from upstream_arm.distillation.teacher import Teacher, TransformersTeacher

RANDOM = "random:"
UPSTREAM = "s3prl:"
#: Small random teachers by the model type of transformers.
RANDOM_KINDS = ("hubert", "wav2vec2", "wavlm")
RANDOM_LAYERS = 6
UNTRAINED_TEACHER = "untrained-teacher"


def load_teacher(name: str, layers: int, seed: int = 0) -> Teacher:
    """The teacher behind `--teacher`.

    Args:
        name: a folder or the Hugging Face name of a checkpoint of transformers, `s3prl:UPSTREAM`, or
            `random:hubert`, `random:wav2vec2`, `random:wavlm` for a small one with seeded random weights.
        layers: the student's, for an s3prl upstream.
        seed: for a random one.

    Raises:
        UpstreamError: if there is no such teacher or it cannot be used.
    """
    if name.startswith(RANDOM):
        return random_teacher(name.removeprefix(RANDOM), seed)
    if name.startswith(UPSTREAM):
        return _upstream(name.removeprefix(UPSTREAM), layers)
    return _pretrained(name)


def random_teacher(kind: str, seed: int = 0) -> TransformersTeacher:
    """A small teacher of a real class with random weights, the same for the same seed.

    Its linear weights are drawn wider than transformers' own start (0.02), whose attention is nearly uniform
    at this width: queries and keys with variance 1 / fan-in, others with a quarter of it. Wider ones make
    a function of the speech that a small student can hardly learn.

    Raises:
        UpstreamError: for an unknown kind.
    """
    import torch
    from torch import nn

    from upstream_arm.distillation.teacher import TransformersTeacher

    if kind not in RANDOM_KINDS:
        known = ", ".join(RANDOM + other for other in RANDOM_KINDS)
        raise UpstreamError(f"there is no random teacher {kind!r}, expected one of {known}")
    transformers = _transformers()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = transformers.AutoConfig.for_model(
            kind,
            hidden_size=64,
            num_hidden_layers=RANDOM_LAYERS,
            num_attention_heads=4,
            intermediate_size=128,
            conv_dim=(32,) * 7,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=4,
            num_buckets=32,
        )
        model = transformers.AutoModel.from_config(config)
        for key, module in model.encoder.named_modules():
            if isinstance(module, nn.Linear):
                gain = 1.0 if key.endswith(("q_proj", "k_proj")) else 0.5
                nn.init.normal_(module.weight, std=gain * module.in_features**-0.5)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight)
    return TransformersTeacher(model, (UNTRAINED_TEACHER,))


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise UpstreamError(
            "transformers is not installed, and teachers are its models; run 'pip install transformers'"
        ) from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _pretrained(name: str) -> TransformersTeacher:
    from upstream_arm.distillation.teacher import TransformersTeacher

    local = Path(name).is_dir()
    if not local and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise UpstreamError(f"{name} is no folder, expected a teacher's checkpoint of transformers; check it")
    transformers = _transformers()
    try:
        model, info = transformers.AutoModel.from_pretrained(name, output_loading_info=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever the files hold comes out of several libraries
        where = (
            f"{name} holds no checkpoint that transformers can load"
            if local
            else (f"{name} is neither a folder nor in the Hugging Face cache, and could not be downloaded")
        )
        reason = textwrap.shorten(str(error), 160, placeholder=" ...") or type(error).__name__
        raise UpstreamError(
            f"{where} ({reason}); run 'hf download {name if not local else 'MODEL'}' where there is a "
            "network, or give a folder with config.json and the weights"
        ) from None
    # Weights that the file lacks would stay random without a word; the mask embedding alone may lack.
    missing = sorted(key for key in info["missing_keys"] if key != "masked_spec_embed")
    if missing:
        raise UpstreamError(
            f"{name} lacks {len(missing)} weights of a {type(model).__name__} ({missing[0]} is the first), "
            "expected all of them; give a whole checkpoint"
        )
    if "masked_spec_embed" in info["missing_keys"]:
        del model.masked_spec_embed
    return TransformersTeacher(model)


def _upstream(name: str, layers: int) -> Teacher:
    from upstream_arm import s3prl_hub
    from upstream_arm.distillation.teacher import UpstreamTeacher

    build = getattr(s3prl_hub.load(), name, None)
    if build is None:
        raise UpstreamError(f"s3prl has no upstream {name!r}; 'python -m downstream_runs list' names them")
    upstream = build()
    labels = (UNTRAINED_TEACHER,) if getattr(upstream, "untrained", False) else ()
    return UpstreamTeacher(upstream, layers, labels)
