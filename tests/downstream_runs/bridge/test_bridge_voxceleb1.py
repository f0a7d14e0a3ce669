"""s3prl's VoxCeleb1 tasks without stale caches, on a CPU, with dev trials of their own."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from downstream_runs.corpora import voxceleb1_verification


def corpus(root: Path, speakers: tuple[str, ...]) -> Path:
    for speaker in speakers:
        folder = root / "dev" / "wav" / speaker / "v"
        folder.mkdir(parents=True)
        wave = np.sin(np.arange(40000) / 5) / 2
        soundfile.write(folder / "00001.wav", wave, 16000)
    (root / "list.txt").write_text("".join(f"{n} {s}/v/00001.wav\n" for s in speakers for n in (1, 2, 3)))
    return root


def package(name: str) -> set[Path]:
    import importlib

    folder = Path(importlib.import_module(f"s3prl.downstream.{name}").__file__).parent
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_identification_lists_the_corpus_that_it_is_given(bridged: None, tmp_path: Path) -> None:
    from s3prl.downstream.voxceleb1.dataset import SpeakerClassifiDataset

    before = package("voxceleb1")
    for name, speakers in (("a", ("id10001",)), ("b", ("id10002", "id10003"))):
        root = corpus(tmp_path / name, speakers)
        data = SpeakerClassifiDataset("train", root, str(root / "list.txt"), 128000)
        assert data.dataset == [str(root / f"dev/wav/{s}/v/00001.wav") for s in speakers]
    with pytest.raises(IndexError):
        SpeakerClassifiDataset("train", Path("/nonexistent"), str(root / "list.txt"), 128000)
    assert package("voxceleb1") == before


def test_identification_finds_what_stock_does_without_a_search(
    bridged: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from s3prl.downstream.voxceleb1.dataset import SpeakerClassifiDataset

    names = [
        f"{speaker}/{video}/0000{n}.wav"
        for speaker in ("id10003", "id10001")
        for video in "ba"
        for n in (2, 1)
    ]
    listing = tmp_path / "list.txt"
    listing.write_text("".join(f"{n % 3 + 1} {name}\n" for n, name in enumerate(names)))
    for root, places in (("one", ("all",)), ("two", ("dev", "test"))):
        for n, name in enumerate(names):
            file = tmp_path / root / places[n % len(places)] / "wav" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    searched, glob = list[str](), Path.glob

    def count(self: Path, pattern: str) -> object:
        searched.append(pattern)
        return glob(self, pattern)

    monkeypatch.setattr(Path, "glob", count)
    for number, split in enumerate(("train", "dev", "test")):
        for root in (tmp_path / "one", tmp_path / "two"):
            found = SpeakerClassifiDataset(split, root, str(listing)).dataset
            assert found == [str(next(glob(root, f"*/wav/{name}"))) for name in names[number::3]]
    # Only where files lie in several folders, as in `two`, is each searched for.
    assert len([pattern for pattern in searched if pattern != "*/wav"]) == len(names)


def test_verification_trims_anew_or_takes_our_table(bridged: None, tmp_path: Path) -> None:
    from s3prl.downstream.sv_voxceleb1 import dataset

    before = package("sv_voxceleb1"), dataset.__file__
    assert [list(effect) for effect in voxceleb1_verification.EFFECTS] == dataset.EFFECTS
    config = {"min_sec": 32000}
    for name, speakers in (("a", ("id10001",)), ("b", ("id10002", "id10003"))):
        root = corpus(tmp_path / name, speakers) / "dev" / "wav"
        data = dataset.SpeakerVerifi_train(config, ["Voxceleb1"], [root], "none", 128000)
        assert [str(path) for path in data.dataset] == [str(root / f"{s}/v/00001.wav") for s in speakers]
        assert data.all_speakers == list(speakers)
    lengths = {"id10002/v/00001.wav": 32000, "id10003/v/00001.wav": 32001}
    table = voxceleb1_verification.write_s3prl_table(lengths, tmp_path / "cache")
    data = dataset.SpeakerVerifi_train(config, ["Voxceleb1"], [root], str(table), 128000)
    assert data.dataset == [root / "id10003/v/00001.wav"]
    assert (package("sv_voxceleb1"), dataset.__file__) == before


def expert(tmp_path: Path):
    import torch
    from s3prl.downstream.sv_voxceleb1.expert import DownstreamExpert
    from s3prl.downstream.sv_voxceleb1.utils import EER

    made = DownstreamExpert.__new__(DownstreamExpert)
    torch.nn.Module.__init__(made)
    made.expdir = str(tmp_path)
    made.score_fn, made.eval_metric = torch.nn.CosineSimilarity(dim=-1), EER
    made.register_buffer("best_score", torch.ones(1) * 100)
    made.test_dataset = SimpleNamespace(pair_table=[["1", "/t/id1/v/1.wav", "/t/id1/v/2.wav"]])
    pairs = [["1", "/d/id2/v/1.wav", "/d/id2/v/2.wav"], ["0", "/d/id2/v/1.wav", "/d/id3/v/1.wav"]]
    made.dev_dataset = SimpleNamespace(pair_table=pairs)
    return made


def test_dev_scores_the_dev_trials_and_truth_is_written(bridged: None, tmp_path: Path) -> None:
    import torch

    made = expert(tmp_path)
    records = defaultdict(list)
    for name, vector in (("id2/v/1", [1.0, 0]), ("id2/v/2", [1.0, 0.1]), ("id3/v/1", [0, 1.0])):
        records[f"/d/{name}.wav"] = torch.tensor(vector)
    test_dataset, logged = made.test_dataset, {}
    log = SimpleNamespace(add_scalar=lambda name, value, global_step: logged.update({name: value}))
    made.log_records("dev", records, log, 1)
    assert (
        logged == {"sv-voxceleb1/dev-EER": pytest.approx(0, abs=1e-9)} and made.test_dataset is test_dataset
    )
    truth = (tmp_path / "dev_truth.txt").read_text().splitlines()
    assert truth == ["id2-v-1_id2-v-2 1", "id2-v-1_id3-v-1 0"]
    predicted = (tmp_path / "dev_predict.txt").read_text().splitlines()
    assert [line.split()[0] for line in predicted] == [line.split()[0] for line in truth]


def test_the_mask_goes_to_the_features_own_device(bridged: None, tmp_path: Path) -> None:
    import torch

    made = expert(tmp_path)
    made.modelrc = {"module": "Identity"}
    made.connector = torch.nn.Identity()
    seen = []
    made.model = SimpleNamespace(inference=lambda features, mask: seen.append(mask) or features.mean(1))
    made.forward("dev", [torch.ones(20, 3)], ["a"], records=defaultdict(list))
    assert seen[0].device.type == "cpu" and seen[0].shape == (1, 20)
    assert type(seen[0]) is torch.Tensor
