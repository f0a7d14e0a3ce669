"""Frozen teachers: all layers of a speech model, for clean and masked input in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upstream_arm.common.errors import UpstreamError, reason
from upstream_arm.common.files import read_json
from upstream_arm.config import ConvLayer
from upstream_arm.convolutions import frames, receptive_field
from upstream_arm.distillation.data import Batch
from upstream_arm.encoders import hub
from upstream_arm.encoders.transformers_families import FAMILIES, convolutions
from upstream_arm.frontend import valid_frames
from upstream_arm.student import lengthened

RANDOM = "random:"
UPSTREAM = "s3prl:"
#: Small random teachers by the model type of transformers.
RANDOM_KINDS = ("hubert", "wav2vec2", "wavlm")
RANDOM_LAYERS = 6
UNTRAINED_TEACHER = "untrained-teacher"


class Targets(NamedTuple):
    """A teacher's layers, each [batch, frame, feature]; `masked` is None where no mask was given."""

    clean: list[Tensor]
    masked: list[Tensor] | None


class Teacher(nn.Module):
    """A model called as `teacher(wavs, lengths, mask)`: [batch, sample], samples of each, [batch, frame]."""

    width: int  # its features
    layers: int
    conv_layers: tuple[ConvLayer, ...] | None = None  # over the waveform, where they are known
    step: int  # samples from one frame to the next
    maskable = True
    standardises = False  # whether `UpstreamTeacher.standardise` is to be called before the first step

    def __init__(self, model: nn.Module, labels: tuple[str, ...]) -> None:
        super().__init__()
        # Weights stored in half precision are taken to fp32, the type of the waveforms.
        self.model: Any = model.eval().requires_grad_(False).float()
        self.labels = labels  # what has to be said of everything that is learnt from it

    def train(self, mode: bool = True) -> Teacher:
        """A teacher is always in evaluation mode."""
        return super().train(False)


class TransformersTeacher(Teacher):
    """A model of transformers built as wav2vec 2.0 is: HuBERT, wav2vec 2.0, WavLM and their relatives.

    Its convolutions do not see the mask, so they run once, and the encoder takes clean and masked frames as
    one batch of twice the size. Its waveforms are normalised (mean 0, variance 1 of each utterance) where its
    convolutions have layer norms, as wav2vec 2.0 trains such models; BASE models take them raw, as the
    authors' code gives them. UpstreamError if the model is built differently.
    """

    def __init__(self, model: Any, labels: tuple[str, ...] = ()) -> None:
        parts = ("feature_extractor", "feature_projection", "encoder")
        if not all(hasattr(model, part) for part in parts) or not hasattr(model.encoder, "layers"):
            raise UpstreamError(
                f"the teacher is a {type(model).__name__}, expected a speech model with {', '.join(parts)} "
                "such as HubertModel, Wav2Vec2Model or WavLMModel; give one of those"
            )
        super().__init__(model, labels)
        config = model.config
        self.width = int(config.hidden_size)
        self.layers = len(model.encoder.layers)
        self.conv_layers = tuple(zip(config.conv_dim, config.conv_kernel, config.conv_stride, strict=True))
        _, self.step = receptive_field(self.conv_layers)
        self.normalises = getattr(config, "feat_extract_norm", "group") == "layer"
        self.maskable = hasattr(model, "masked_spec_embed")

    @torch.no_grad()
    def forward(self, wavs: Tensor, lengths: Sequence[int], mask: Tensor | None) -> Targets:
        """See `Teacher`."""
        features = self._features(wavs, lengths)
        assert self.conv_layers is not None
        counts = [frames(length, self.conv_layers) for length in lengths]
        valid = valid_frames(counts, features.shape[1], features.device)
        if mask is not None:
            embedding = self.model.masked_spec_embed.to(features.dtype)
            features = torch.cat([features, torch.where(mask.unsqueeze(2), embedding, features)])
            valid = torch.cat([valid, valid])
        with _recorded(self.model.encoder.layers) as outputs:
            # The encoder writes zeros over padded frames in place: `features` is ours to give away.
            self.model.encoder(features, attention_mask=valid if min(counts) < features.shape[1] else None)
        if mask is None:
            return Targets(outputs, None)
        halves = [output.chunk(2) for output in outputs]
        return Targets([clean for clean, _ in halves], [masked for _, masked in halves])

    def _features(self, wavs: Tensor, lengths: Sequence[int]) -> Tensor:
        """[batch, frame, width], what a mask embedding would replace."""
        if self.normalises:
            pairs = zip(wavs, lengths, strict=True)
            own = [F.layer_norm(wav[:length], (length,)) for wav, length in pairs]
            wavs = torch.stack([F.pad(wav, (0, wavs.shape[1] - len(wav))) for wav in own])
        features = self.model.feature_extractor(wavs).transpose(1, 2)
        projected = self.model.feature_projection(features)
        # wav2vec 2.0 and WavLM return (projected, normalised).
        return cast(Tensor, projected[0] if isinstance(projected, tuple) else projected)


@contextmanager
def _recorded(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """The output of each layer as it runs, first to last."""
    outputs: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    handles = [layer.register_forward_hook(keep) for layer in layers]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


class UpstreamTeacher(Teacher):
    """A module behind s3prl's interface, of which the last `layers` hidden states are taken as they come.

    It may return one hidden state more, what enters its first layer, as s3prl's HuBERT does. Such a module
    has no mask embedding that could be reached: masked frames are silent in its waveforms, all samples from
    a frame's first one to the next frame's. UpstreamError if it has another number of states.

    Encoders with their norms before each block, as Whisper's, have a few features in the hundreds, which
    would be all of the loss; they are standardised over training speech.
    """

    def __init__(self, upstream: nn.Module, layers: int, labels: tuple[str, ...] = ()) -> None:
        super().__init__(upstream, labels)
        with torch.no_grad():
            probe = upstream([torch.zeros(16_000)])["hidden_states"]
        if len(probe) not in (layers, layers + 1):
            raise UpstreamError(
                f"the teacher has {len(probe)} hidden states, expected one for each of the {layers} layers "
                "of the student; give another teacher, or a student of as many layers (--model-config)"
            )
        self.layers = layers
        self.width = int(probe[-1].shape[2])
        self.step = int(self.model.get_downsample_rates("hidden_states"))
        self.statistics: tuple[Tensor, Tensor] | None = None  # mean and deviation, each [layer, feature]

    @torch.no_grad()
    def forward(self, wavs: Tensor, lengths: Sequence[int], mask: Tensor | None) -> Targets:
        """See `Teacher`."""
        if mask is None:
            return Targets(self._states(wavs, lengths), None)
        silent = mask.repeat_interleave(self.step, dim=1)[:, : wavs.shape[1]]
        silent = F.pad(silent, (0, wavs.shape[1] - silent.shape[1]))
        both = self._states(torch.cat([wavs, wavs.masked_fill(silent, 0.0)]), [*lengths, *lengths])
        halves = [state.chunk(2) for state in both]
        return Targets([clean for clean, _ in halves], [masked for _, masked in halves])

    def _states(self, wavs: Tensor, lengths: Sequence[int]) -> list[Tensor]:
        output = self.model([wav[:length] for wav, length in zip(wavs, lengths, strict=True)])
        states = output["hidden_states"][-self.layers :]
        if self.statistics is None:
            return list(states)
        return [(state - mean) / std for state, mean, std in zip(states, *self.statistics, strict=True)]

    @torch.no_grad()
    def standardise(self, batches: Iterable[Batch]) -> None:
        """From now on each feature of each layer has mean 0 and variance 1 over these batches' frames."""
        assert self.statistics is None, "they are those of the states as they come"
        frames: list[list[Tensor]] = [[] for _ in range(self.layers)]
        for batch in batches:
            states = self._states(batch.wavs, batch.lengths)
            for kept, state in zip(frames, states, strict=True):
                kept.append(of_length(state, batch.valid.shape[1])[batch.valid])
        layers = [torch.cat(kept).double() for kept in frames]
        means = torch.stack([layer.mean(dim=0) for layer in layers]).float()
        deviations = torch.stack([layer.std(dim=0, correction=0) for layer in layers]).float()
        self.statistics = means, deviations.clamp_min(1e-5)


def of_length(state: Tensor, frames: int) -> Tensor:
    """[batch, frame, feature] cut to so many frames, or with the last one repeated up to so many."""
    return lengthened(state[:, :frames], frames)


def load_teacher(name: str, layers: int, seed: int = 0) -> Teacher:
    """The teacher behind `--teacher`; UpstreamError if there is none, or it cannot be used.

    It is a folder or the Hugging Face name (ORG/NAME or hf:ORG/NAME[@REVISION]) of a speech encoder of
    transformers, `s3prl:UPSTREAM` (for a student of so many layers), or `random:hubert`, `random:wav2vec2`,
    `random:wavlm` for a small one with seeded random weights.
    """
    if name.startswith(RANDOM):
        return random_teacher(name.removeprefix(RANDOM), seed)
    if name.startswith(UPSTREAM):
        return _upstream(name.removeprefix(UPSTREAM), layers)
    if name.startswith("hf:"):
        repository, revision = hub.parse(name)
        name = str(hub.model(repository, hub.resolve(repository, revision), False).folder)
    kind = (read_json(Path(name) / "config.json") or {}).get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is not None and (family.encoder is not None or family.steps is not convolutions):
        return _encoder(Path(name))
    return _pretrained(name)


def _encoder(folder: Path) -> UpstreamTeacher:
    """An encoder that is built in another way than wav2vec 2.0, such as Whisper's."""
    from upstream_arm.encoders.transformers_encoder import TransformersEncoder

    encoder = TransformersEncoder(folder)
    teacher = UpstreamTeacher(encoder, encoder.facts.layers)
    teacher.standardises = True
    return teacher


def random_teacher(kind: str, seed: int = 0) -> TransformersTeacher:
    """A small teacher of a real class with random weights, the same for the same seed.

    Its linear weights are drawn wider than transformers' own start (0.02), whose attention is nearly uniform
    at this width: queries and keys with variance 1 / fan-in, others with a quarter of it. Wider ones make
    a function of the speech that a small student can hardly learn. UpstreamError for an unknown kind.
    """
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
    local = Path(name).is_dir()
    if not local and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise UpstreamError(f"{name} is no folder, expected a teacher's checkpoint of transformers; check it")
    transformers = _transformers()
    try:
        model, info = transformers.AutoModel.from_pretrained(name, output_loading_info=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever the files hold comes out of several libraries
        where = "is neither a folder nor in the Hugging Face cache, and could not be downloaded"
        if local:
            where = "holds no checkpoint that transformers can load"
        raise UpstreamError(
            f"{name} {where} ({reason(error)}); run 'hf download {'MODEL' if local else name}' where there "
            "is a network, or give a folder with config.json and the weights"
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

    build = getattr(s3prl_hub.load(), name, None)
    if build is None:
        raise UpstreamError(f"s3prl has no upstream {name!r}; 'python -m downstream_runs list' names them")
    upstream = build()
    return UpstreamTeacher(
        upstream, layers, (UNTRAINED_TEACHER,) if getattr(upstream, "untrained", False) else ()
    )
