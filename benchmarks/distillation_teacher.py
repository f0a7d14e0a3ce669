"""A small teacher that has learnt something: masked prediction of k-means clusters, as HuBERT begins.

    python benchmarks/distillation_teacher.py OUT SPEECH...    # SPEECH: folders of flac or wav files

transformers' HubertModel, six layers of width 64 and 0.35 M parameters, learns to name the cluster of masked
frames (arXiv 2106.07447, its first iteration): 64 clusters of MFCC with first and second differences over the
training speech, spans masked as the students' are at a nominal ratio of 0.5, cross-entropy on masked frames
alone. The seed fixes everything; killed, the same command goes on. OUT/teacher is then a checkpoint as
`python -m upstream_arm distill --teacher` takes it, and OUT/speech the recordings in pieces of two seconds,
`train` and `dev`, no speaker in both.

It is a toy: minutes of speech and minutes of training, where HuBERT BASE had 960 hours.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from upstream_arm.common.files import atomic_path, atomic_write_text
from upstream_arm.config import ConvLayer
from upstream_arm.distillation import data as speech_data
from upstream_arm.distillation.data import Batch, DistillationDataset, seed_dropout
from upstream_arm.distillation.settings import MaskRatio

SECONDS = 2
CLUSTERS = 64
LAYERS = 6
WIDTH = 64
CONVOLUTIONS: tuple[ConvLayer, ...] = ((32, 10, 5), *((32, 3, 2),) * 4, *((32, 2, 2),) * 2)
RATIO = MaskRatio(0.5, 0.5)
BATCH = 8
PEAK_RATE = 2e-3
WARM_UP = 0.1
SAVE_EVERY = 100


def lay_out(speech: Sequence[Path], folder: Path) -> None:
    """Cut recordings into pieces, `train` and `dev`; the last fifth of each folder's speakers is held out.

    A speaker is the first part of a file's name, as LibriSpeech writes it.
    """
    if (folder / "WHOLE.txt").is_file():
        return
    for source in speech:
        files = sorted(path for path in source.rglob("*") if path.suffix in speech_data.SUFFIXES)
        speakers = sorted({path.name.split("-")[0] for path in files})
        held_out = set(speakers[-max(1, len(speakers) // 5) :])
        for path in files:
            part = folder / ("dev" if path.name.split("-")[0] in held_out else "train")
            part.mkdir(parents=True, exist_ok=True)
            samples, rate = soundfile.read(path)
            size = SECONDS * speech_data.SAMPLE_RATE
            for index in range(max(1, len(samples) // size)):
                piece = samples[index * size : (index + 1) * size]
                soundfile.write(part / f"{path.stem}.{index}.flac", piece, rate)
    atomic_write_text(folder / "WHOLE.txt", "\n".join(str(source) for source in speech) + "\n")


def batches(
    data: Path, part: str, size: int, epochs: int, ratio: MaskRatio, convs: Any
) -> DistillationDataset:
    """The stream of a part; order and masks by seed 0."""
    found = speech_data.find_utterances(data, (part,), data / f"lengths-{part}.json")
    return DistillationDataset(
        speech_data.buckets(found, size), convs, ratio, epochs, 0, shuffled=part == "train"
    )


def describe(wavs: Tensor) -> Tensor:
    """[batch, sample] to MFCC with two orders of differences, [batch, frame, 39], on the teacher's frames."""
    import torchaudio

    mel = {"n_fft": 400, "hop_length": 320, "n_mels": 40, "center": False}
    mfcc = torchaudio.transforms.MFCC(speech_data.SAMPLE_RATE, n_mfcc=13, melkwargs=mel)(wavs)
    first = torchaudio.functional.compute_deltas(mfcc)
    return torch.cat([mfcc, first, torchaudio.functional.compute_deltas(first)], dim=1).transpose(1, 2)


class Clusters:
    """k-means over normalised descriptions.

    Attributes:
        mean: of the training frames, [feature].
        scale: their standard deviation, [feature].
        centres: [cluster, feature].
    """

    def __init__(self, frames: Tensor, rounds: int = 30) -> None:
        self.mean, self.scale = frames.mean(dim=0), frames.std(dim=0)
        points = (frames - self.mean) / self.scale
        chosen = np.random.default_rng(0).choice(len(points), CLUSTERS, replace=False)
        self.centres = points[torch.from_numpy(chosen)]
        for _ in range(rounds):
            nearest = torch.cdist(points, self.centres).argmin(dim=1)
            counts = torch.bincount(nearest, minlength=CLUSTERS).unsqueeze(1)
            sums = torch.zeros_like(self.centres).index_add_(0, nearest, points)
            self.centres = torch.where(counts > 0, sums / counts.clamp_min(1), self.centres)

    def __call__(self, wavs: Tensor) -> Tensor:
        """[batch, sample] to the cluster of each frame, [batch, frame]."""
        points = (describe(wavs) - self.mean) / self.scale
        return torch.cdist(points, self.centres.expand(len(points), -1, -1)).argmin(dim=2)


class Learner(nn.Module):
    """The teacher with a linear head over clusters."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import HubertConfig, HubertModel

        config = HubertConfig(
            hidden_size=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=4,
            intermediate_size=4 * WIDTH,
            conv_dim=tuple(out for out, _, _ in CONVOLUTIONS),
            conv_kernel=tuple(kernel for _, kernel, _ in CONVOLUTIONS),
            conv_stride=tuple(stride for _, _, stride in CONVOLUTIONS),
            num_conv_pos_embeddings=32,
            num_conv_pos_embedding_groups=4,
            layerdrop=0.0,
            hidden_dropout=0.05,
            attention_dropout=0.05,
            activation_dropout=0.0,
            feat_proj_dropout=0.0,
        )
        self.model = HubertModel(config)
        self.head = nn.Linear(WIDTH, CLUSTERS)

    def forward(self, batch: Batch, clusters: Clusters) -> tuple[Tensor, Tensor]:
        """Cross-entropy and accuracy on masked frames."""
        assert batch.mask is not None
        states = self.model(batch.wavs, mask_time_indices=batch.mask).last_hidden_state
        wanted = clusters(batch.wavs)[batch.mask]
        scores = self.head(states[batch.mask])
        return F.cross_entropy(scores, wanted), (scores.argmax(dim=1) == wanted).float().mean()


def rate(step: int, steps: int) -> float:
    """Linear up over the first tenth of the steps, then linear to 0."""
    progress = (step + 1) / (steps + 1)
    return PEAK_RATE * min(progress / WARM_UP, (1 - progress) / (1 - WARM_UP))


def train(data: Path, folder: Path, steps: int) -> dict[str, float]:
    """Train, or go on training, into `folder`; what came out on held-out speakers."""
    about = folder / "about.json"
    if about.is_file():
        found: dict[str, float] = json.loads(about.read_text())
        return found
    epoch = batches(data, "train", BATCH, 1, RATIO, CONVOLUTIONS)
    stream = batches(data, "train", BATCH, steps // len(epoch) + 1, RATIO, CONVOLUTIONS)
    clusters = Clusters(torch.cat([describe(epoch[k].wavs)[epoch[k].valid] for k in range(len(epoch))]))
    torch.manual_seed(0)
    learner = Learner()
    optimizer = torch.optim.AdamW(learner.parameters(), betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01)
    state, done = folder / "state.pt", 0
    if state.is_file():
        kept = torch.load(state, weights_only=True)
        learner.load_state_dict(kept["learner"])
        optimizer.load_state_dict(kept["optimizer"])
        done = kept["step"]
    learner.train()
    for step in tqdm(range(done, steps), desc="training the teacher", initial=done, total=steps):
        optimizer.param_groups[0]["lr"] = rate(step, steps)
        seed_dropout(0, step)
        loss, _ = learner(stream[step], clusters)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % SAVE_EVERY == 0:
            content = {"learner": learner.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            with atomic_path(state) as written:
                torch.save(content, written)
    outcome = {"steps": steps, **measure(learner.eval(), clusters, data)}
    learner.model.save_pretrained(folder)
    atomic_write_text(about, json.dumps(outcome) + "\n")
    return outcome


@torch.no_grad()
def measure(learner: Learner, clusters: Clusters, data: Path) -> dict[str, float]:
    """Accuracy on masked frames of both parts, and that of always naming the commonest cluster."""
    found = {}
    for part in ("train", "dev"):
        stream = batches(data, part, BATCH, 1, RATIO, CONVOLUTIONS)
        values = [learner(stream[k], clusters) for k in range(len(stream))]
        found[f"{part}_loss"], found[f"{part}_accuracy"] = (
            float(torch.stack(kind).mean()) for kind in zip(*values, strict=True)
        )
        names = torch.cat([clusters(stream[k].wavs)[stream[k].valid] for k in range(len(stream))])
        found[f"{part}_commonest"] = float(names.bincount().max() / len(names))
    return found


def main() -> None:
    """Lay the speech out and make the teacher."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("speech", type=Path, nargs="+")
    parser.add_argument("--steps", type=int, default=1500)
    options = parser.parse_args()
    start = time.monotonic()
    lay_out(options.speech, options.out / "speech")
    found = train(options.out / "speech", options.out / "teacher", options.steps)
    print(f"{options.out / 'teacher'} after {time.monotonic() - start:.0f} s: {found}")


if __name__ == "__main__":
    main()
