"""The corpus modules that s3prl's `ctc` imports: their items, and what they guard."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from downstream_runs import bridge
from downstream_runs.bridge import ctc_corpora
from upstream_arm.common.errors import UsageError


class Words:
    """A tokenizer of words: the id is the place in the alphabet, and 1 ends every label."""

    _vocab2idx = {"AH0": 3, "B": 4, "IY1": 5}  # noqa: RUF012

    def encode(self, text: str) -> list[int]:
        return [self._vocab2idx[word] for word in text.split()] + [1]


class Lines:
    """A tokenizer that keeps the line."""

    token_type = "character-slot"

    def encode(self, line: str) -> list[str]:
        return list(line.split("\t")[0])


@pytest.fixture
def libri(tmp_path: Path) -> dict[str, Any]:
    """Five utterances of two speakers, made in an order that is not that of their names."""
    said = {"2-1-0001": "A", "2-1-0000": "B A", "1-1-0002": "B", "1-1-0001": "A B B", "1-1-0000": "B A B A"}
    for name, words in said.items():
        chapter = tmp_path / "part" / name[0] / "1"
        chapter.mkdir(parents=True, exist_ok=True)
        (chapter / f"{name}.flac").write_bytes(b"")
        with (chapter / f"{name[0]}-1.trans.txt").open("a") as listing:
            listing.write(f"{name} {words}\n")
    (tmp_path / "first.txt").write_text("A AH0\nA B\n")
    (tmp_path / "second.txt").write_text("B B IY1\nA IY1\n")
    lexicon = [str(tmp_path / "first.txt"), str(tmp_path / "second.txt")]
    return {"split": ["part"], "tokenizer": Words(), "path": str(tmp_path), "lexicon": lexicon}


def names(items: Any) -> list[str]:
    return [file.name.partition(".")[0] for file, _ in items]


def test_longest_labels_first_and_equal_ones_by_name(libri: dict[str, Any]) -> None:
    data = ctc_corpora.LibriPhoneDataset(bucket_size=1, **libri)
    # The lengths are 7, 6, 4, 3 and 2 phones, with the end mark.
    assert names(data[i] for i in range(len(data))) == [
        "1-1-0000", "1-1-0001", "2-1-0000", "1-1-0002", "2-1-0001",
    ]  # fmt: skip
    assert data[2][1] == [4, 5, 3, 1]  # B A: the first pronunciation of A in the first file
    ascending = ctc_corpora.LibriPhoneDataset(bucket_size=1, ascending=True, **libri)
    assert names(ascending[i] for i in range(5)) == list(reversed(names(data[i] for i in range(5))))


def test_buckets(libri: dict[str, Any]) -> None:
    data = ctc_corpora.LibriPhoneDataset(bucket_size=3, **libri)
    assert len(data) == 5
    assert names(data[1]) == ["1-1-0001", "2-1-0000", "1-1-0002"]
    assert names(data[2]) == names(data[4]) == ["2-1-0000", "1-1-0002", "2-1-0001"]


def test_a_bucket_larger_than_the_corpus_holds_all_of_it(libri: dict[str, Any]) -> None:
    # 5 - 7 is negative, and Python would count it from the end: three of the five were never seen.
    data = ctc_corpora.LibriPhoneDataset(bucket_size=7, **libri)
    assert [len(data[i]) for i in range(5)] == [5] * 5


def test_equal_lengths_do_not_depend_on_the_file_system(
    libri: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for listing in Path(libri["path"]).rglob("*.trans.txt"):
        lines = [line.split()[0] + " A\n" for line in listing.read_text().splitlines()]
        listing.write_text("".join(lines))
    stock = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: reversed(sorted(stock(self, pattern))))
    data = ctc_corpora.LibriPhoneDataset(bucket_size=1, **libri)
    found = names(data[i] for i in range(5))
    assert found == sorted(found)


def test_what_is_missing_is_named(libri: dict[str, Any]) -> None:
    root = Path(libri["path"])
    with pytest.raises(UsageError, match=r"holds no \*.flac in nowhere"):
        ctc_corpora.LibriPhoneDataset(bucket_size=1, **{**libri, "split": ["nowhere"]})
    (root / "part" / "2" / "1" / "2-1-0007.flac").write_bytes(b"")
    with pytest.raises(UsageError, match=r"2-1-0007.flac has no line"):
        ctc_corpora.LibriPhoneDataset(bucket_size=1, **libri)
    with (root / "part" / "2" / "1" / "2-1.trans.txt").open("a") as listing:
        listing.write("2-1-0007 WUG\n")
    with pytest.raises(UsageError, match=r"WUG in 2-1-0007"):
        ctc_corpora.LibriPhoneDataset(bucket_size=1, **libri)


def test_snips_takes_the_speakers_of_its_split(tmp_path: Path) -> None:
    (tmp_path / "valid").mkdir()
    lines = ""
    for name, words in (("Amy", "A BB"), ("Ivy", "A"), ("Amyx", "A B"), ("Nicole", "A B CC")):
        (tmp_path / "valid" / f"{name}-snips-valid-0.wav").write_bytes(b"")
        lines += f"{name}-snips-valid-0 BOS {words} EOS\tO O O Intent\n"
    (tmp_path / "valid" / "Amy-snips-valid-9.wav").write_bytes(b"")  # has no line
    (tmp_path / "all.iob.snips.txt").write_text(lines)
    settings = {"tokenizer": Lines(), "path": str(tmp_path), "num_workers": 1}
    data = ctc_corpora.SnipsDataset(
        ["valid"], bucket_size=1, valid_speakers=["Nicole", "Amy"], train_speakers=["Ivy"], **settings
    )
    # s3prl compares the beginning of the name.
    assert names(data[i] for i in range(len(data))) == [
        "Nicole-snips-valid-0", "Amy-snips-valid-0", "Amyx-snips-valid-0",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="valid hold no utterance of Joey"):
        ctc_corpora.SnipsDataset(["valid"], bucket_size=1, valid_speakers=["Joey"], **settings)


def test_s3prl_finds_them_and_its_loader_leaves_the_configuration_alone(libri: dict[str, Any]) -> None:
    bridge.supply()
    from s3prl.downstream.ctc import data, expert

    corpus = {
        "name": "libriphone", "train": ["part"], "dev": ["part"], "bucketing": True, "batch_size": 2,
        "num_workers": 0, "path": libri["path"], "lexicon": libri["lexicon"],
    }  # fmt: skip
    before = dict(corpus)
    words = Words()
    loaders = [expert.load_dataset(split, words, corpus) for split in ("train", "dev", "dev")]
    assert corpus == before
    assert [loader.num_workers for loader in loaders] == [0, 0, 0]
    assert isinstance(loaders[0].dataset, ctc_corpora.LibriPhoneDataset)
    assert (loaders[0].dataset.bucket_size, loaders[1].dataset.bucket_size) == (2, 1)
    assert data.load_dataset is expert.load_dataset
    # A data set is made once for a tokenizer, that is, for a run.
    assert loaders[1].dataset is loaders[2].dataset
    assert expert.load_dataset("dev", Words(), corpus).dataset is not loaders[1].dataset
    assert (
        expert.load_dataset("dev", words, corpus | {"dev": ["part", "part"]}).dataset
        is not loaders[1].dataset
    )


def test_given_waveforms_make_the_batch_that_reading_makes(libri: dict[str, Any]) -> None:
    bridge.supply()
    from s3prl.downstream.ctc import data, expert

    generator = np.random.default_rng(0)
    # s3prl halves a bucket of training whose first utterance is longer than 300,000 samples.
    lengths = dict(
        zip(sorted(Path(libri["path"]).rglob("*.flac")), (900, 301_000, 800, 950, 700), strict=True)
    )
    for path, length in lengths.items():
        soundfile.write(path, generator.uniform(-0.1, 0.1, length), 16000)
    corpus = {
        "name": "libriphone", "train": ["part"], "dev": ["part"], "bucketing": True, "batch_size": 2,
        "num_workers": 0, "path": libri["path"], "lexicon": libri["lexicon"],
    }  # fmt: skip
    sizes = []
    for split in ("train", "dev"):
        loader = expert.load_dataset(split, Words(), corpus)
        for number in range(len(loader.dataset)):
            items = [loader.dataset[number]]
            read = loader.collate_fn(items)
            waves = {file: loader.dataset.read(file) for file in loader.dataset.files(number)}
            with loader.dataset.given(waves):
                given = loader.collate_fn(items)
            assert {id(one) for one in given[0]} <= {id(one) for one in waves.values()}
            for one, other in zip(given, read, strict=True):
                assert all(np.array_equal(*pair) for pair in zip(one, other, strict=True))
            sizes.append(len(read[0]))
    assert sizes == [2, 1, 2, 2, 2, *[1] * 5]
    assert not data.torchaudio.given


def test_a_checkouts_own_lists_stay_its_own(tmp_path: Path) -> None:
    module = types.SimpleNamespace(CommonVoiceDataset=lambda *given, **others: ("s3prl's own", *given))
    ctc_corpora._read_tables_too(module)
    (tmp_path / "train.tsv").write_text(f"{tmp_path}/a.wav\tab\n")
    tokenizer = types.SimpleNamespace(encode=list)
    mine = module.CommonVoiceDataset(["train"], tokenizer, 1, str(tmp_path), ratio=1.0)
    assert (mine[0], len(mine)) == ((tmp_path / "a.wav", ["a", "b"]), 1)
    listed = [str(tmp_path / "train.tsv")]
    assert module.CommonVoiceDataset(listed, tokenizer, 1, str(tmp_path))[:2] == ("s3prl's own", listed)
