"""s3prl's ASR data set with its two corrections: stock batches and labels, in linear time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from downstream_runs.bridge.corrections import SearchedList

TEXTS = ("THE CAT SAT", "A DOG RAN ON", "NO TREE", "Ä CAT", "")


def corpus(root: Path) -> dict[str, Any]:
    """LibriSpeech's lists without audio: more utterances than a batch, one of them without a transcript."""
    folder = root / "train" / "1" / "2"
    folder.mkdir(parents=True)
    names = [f"1-2-{number:04d}" for number in range(len(TEXTS) + 1)]
    rows = [f"train/1/2/{name}.flac,{3000 - 500 * number}," for number, name in enumerate(names)]
    (root / "train.csv").write_text("\n".join(["file_path,length,label", *rows]) + "\n")
    lines = [f"{name} {text}" for name, text in zip(names, TEXTS, strict=False)]
    (folder / "1-2.trans.txt").write_text("\n".join(lines) + "\n")
    return {"libri_root": str(root), "bucket_file": str(root), "train": ["train"]}


def data_set(root: Path, settings: dict[str, Any]) -> tuple[Any, Any]:
    from s3prl.downstream.asr.dataset import SequenceDataset
    from s3prl.downstream.asr.dictionary import Dictionary

    letters = root / "letters.txt"
    letters.write_text("".join(f"{letter} 1\n" for letter in "|ETAOI"))
    dictionary = Dictionary.load(str(letters))
    return SequenceDataset("train", 2, dictionary, **settings), dictionary


def test_batches_labels_and_dictionary_are_those_of_stock_s3prl(
    bridged: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from s3prl.downstream.asr import dataset, dictionary

    settings = corpus(tmp_path)
    ours, our_letters = data_set(tmp_path, settings)
    assert vars(dataset)["list"] is SearchedList
    monkeypatch.delitem(vars(dataset), "list")
    monkeypatch.delattr(dictionary.Dictionary, "encode_line")  # that of its parent class is the stock one
    stock, letters = data_set(tmp_path, settings)
    assert ours.X == stock.X
    assert sum(map(len, ours.X)) == len(TEXTS) - 1  # s3prl drops a last batch of one utterance
    assert ours.Y.keys() == stock.Y.keys()
    for name, labels in stock.Y.items():
        assert ours.Y[name].dtype == labels.dtype
        assert ours.Y[name].equal(labels)
    # Letters that the dictionary lacks are added to it, in the order in which they come.
    assert set(letters.symbols) > set("ÄR")
    assert (our_letters.count, our_letters.indices) == (letters.count, letters.indices)


def test_a_searched_list_compares_with_few_of_its_values() -> None:
    class Counted(str):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return super().__eq__(other)

        __hash__ = str.__hash__

    values = SearchedList(Counted(number) for number in range(1000))
    assert all(Counted(number) in values for number in range(1000))
    assert Counted("none") not in values
    assert Counted.compared < 5000  # a plain list: half a million
