"""The corpus modules that s3prl's `ctc` task imports and that its PyPI package leaves out.

`s3prl.downstream.ctc.data` imports `.corpus.libriphone.LibriPhoneDataset` for PR,
`.corpus.snips.SnipsDataset` for SF and `.corpus.common_voice.CommonVoiceDataset`, which serves tables of
one's own here, when it makes a loader. The classes here give it the same items, with
three differences, each of which would make a run silently another one:

- files whose labels are equally long come in the order of their names, not in that of the file system;
- a bucket of more utterances than there are holds all of them (the stock index turns negative there, and
  part of the corpus is never used);
- a file or word that is missing ends the run with a sentence that names it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.bridge import s3prl_folder
from downstream_runs.bridge.corrections import after_import
from downstream_runs.bridge.stand_ins import supply_module
from downstream_runs.corpora import librispeech, snips, table_texts, transcripts
from downstream_runs.corpora.audio import SAMPLE_RATE
from upstream_arm.common.errors import UsageError
from upstream_arm.common.program import PROGRAM

Example = tuple[Path, list[int]]

PACKAGE = "s3prl.downstream.ctc.corpus"
DATA = "s3prl.downstream.ctc.data"


class _Buckets:
    """Utterances in the order of their labels' lengths; item `i` is the bucket that starts at the `i`th.

    With a bucket size of 1 an item is one `(file, label ids)`, else a list of them. The last buckets all
    begin where a whole one still fits, so an epoch has as many buckets as utterances and sees each utterance
    about `bucket_size` times.
    """

    def __init__(self, examples: Iterable[Example], bucket_size: int, ascending: bool) -> None:
        by_name = sorted(examples, key=lambda example: str(example[0]))
        # Stable in both directions: equal lengths stay in the order of their names.
        ordered = sorted(by_name, key=lambda example: len(example[1]), reverse=not ascending)
        self.bucket_size = bucket_size
        self.file_list = tuple(file for file, _ in ordered)
        self.text = tuple(labels for _, labels in ordered)

    def __len__(self) -> int:
        return len(self.file_list)

    def __getitem__(self, index: int) -> Example | list[Example]:
        if self.bucket_size <= 1:
            return self.file_list[index], self.text[index]
        first = max(min(len(self) - self.bucket_size, index), 0)
        last = first + self.bucket_size
        return list(zip(self.file_list[first:last], self.text[first:last], strict=True))

    def files(self, index: int) -> list[str]:
        """The files of item `index`, which s3prl reads when it puts a batch together."""
        item = self[index]
        return [str(file) for file, _ in (item if isinstance(item, list) else [item])]

    @staticmethod
    def read(file: str) -> Any:
        """The samples `[sample]` of a file, as s3prl's own reader gives them."""
        import torchaudio

        return torchaudio.load(file)[0].reshape(-1).numpy()

    @staticmethod
    @contextlib.contextmanager
    def given(waves: Mapping[str, Any]) -> Iterator[None]:
        """Within it, s3prl takes these waveforms, or what stands for them, and reads no file of theirs."""
        reader = sys.modules[DATA].torchaudio
        reader.given = waves
        try:
            yield
        finally:
            reader.given = {}


class LibriPhoneDataset(_Buckets):
    """LibriSpeech's utterances with their phones, each word by its first pronunciation in the lexicon."""

    def __init__(
        self,
        split: Sequence[str],
        tokenizer: Any,
        bucket_size: int,
        path: str,
        lexicon: Sequence[str],
        ascending: bool = False,
        **others: Any,
    ) -> None:
        from downstream_runs.corpora import libriphone as lexicons

        words = lexicons.read_lexicon([Path(file) for file in lexicon], frozenset(tokenizer._vocab2idx))
        files = [file.path for part in split for file in librispeech.audio_files(Path(path), part)]
        if not files:
            raise UsageError(
                f"{path} holds no *.flac in {' and '.join(split)}; check the corpus, then run again"
            )
        spoken = transcripts.read({file.parent for file in files})
        without = [file for file in files if file.stem not in spoken]
        if without:
            raise UsageError(
                f"{without[0]} has no line in its chapter's .trans.txt; restore it, then run again"
            )
        lexicons.require_words([(file.stem, spoken[file.stem]) for file in files], words, lexicon)
        examples = []
        for file in files:
            phones = [phone for word in spoken[file.stem].split() for phone in words[word]]
            examples.append((file, tokenizer.encode(" ".join(phones))))
        super().__init__(examples, bucket_size, ascending)


class SnipsDataset(_Buckets):
    """Audio SNIPS: the utterances of one split's speakers, as characters with slot marks between them."""

    def __init__(
        self,
        split: Sequence[str],
        tokenizer: Any,
        bucket_size: int,
        path: str,
        num_workers: int = 12,
        ascending: bool = False,
        **others: Any,
    ) -> None:
        root = Path(path)
        lines = snips.read_transcripts(root / snips.TRANSCRIPTS)
        examples = []
        # s3prl takes the first part's speakers for all parts of a split.
        speakers = tuple(others[f"{split[0]}_speakers"])
        for part in split:
            for file in snips.audio_files(root / part):
                name = file.name.partition(".wav")[0]
                if name in lines and name.startswith(speakers):
                    examples.append((file, tokenizer.encode(lines[name])))
        if not examples:
            raise UsageError(
                f"{root}: {' and '.join(split)} hold no utterance of {', '.join(speakers)} with a line in "
                f"{snips.TRANSCRIPTS}; look at the corpus with `{PROGRAM} check sf`"
            )
        super().__init__(examples, bucket_size, ascending)


class CommonVoiceDataset(_Buckets):
    """The utterances of one split of a table of one's own, with their characters or units."""

    def __init__(
        self,
        split: Sequence[str],
        tokenizer: Any,
        bucket_size: int,
        path: str,
        ascending: bool = False,
        **others: Any,
    ) -> None:
        found = [pair for part in split for pair in table_texts.listed(Path(path), part)]
        super().__init__(((file, tokenizer.encode(text)) for file, text in found), bucket_size, ascending)


class _Reader:
    """Stands for torchaudio in s3prl's loader. given: waveforms of files that are not to be read."""

    def __init__(self, torchaudio: Any) -> None:
        self._torchaudio = torchaudio
        self.given: Mapping[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torchaudio, name)

    def load(self, path: str) -> tuple[Any, int]:
        """As torchaudio's; s3prl's loader makes no use of the rate."""
        if path in self.given:
            return _Known(self.given[path]), SAMPLE_RATE
        audio: tuple[Any, int] = self._torchaudio.load(path)
        return audio


@dataclass(frozen=True)
class _Known:
    """A known waveform `[sample]`, with the three methods of a tensor that s3prl's loader calls."""

    wave: Any

    def reshape(self, *_shape: int) -> _Known:
        return self

    def size(self, _dim: int) -> int:
        return len(self.wave)

    def numpy(self) -> Any:
        return self.wave


def install() -> None:
    """Supply the modules that are absent, and keep s3prl's loader from changing the configuration."""
    s3prl = s3prl_folder()
    if s3prl is None:
        return
    for name, dataset in (("libriphone", LibriPhoneDataset), ("snips", SnipsDataset)):
        if not (s3prl / "downstream" / "ctc" / "corpus" / f"{name}.py").is_file():
            supply_module(f"{PACKAGE}.{name}", {dataset.__name__: dataset})
    if (s3prl / "downstream" / "ctc" / "corpus" / "common_voice.py").is_file():
        after_import(f"{PACKAGE}.common_voice", _read_tables_too)
    else:
        supply_module(f"{PACKAGE}.common_voice", {CommonVoiceDataset.__name__: CommonVoiceDataset})
    _keep(importlib.import_module(DATA))


def _read_tables_too(module: Any) -> None:
    """Leave a checkout's module as it is for its own lists, which it names by their paths, not by splits."""
    stock = module.CommonVoiceDataset

    def chosen(split: Sequence[str], tokenizer: Any, bucket_size: int, path: str, **others: Any) -> Any:
        of_table = all(Path(path, f"{part}.tsv").is_file() for part in split)
        return (CommonVoiceDataset if of_table else stock)(split, tokenizer, bucket_size, path, **others)

    module.CommonVoiceDataset = chosen


def _keep(data: Any) -> None:
    """Hand `load_dataset` a copy of its settings, and a data set that it made before from the same ones.

    It takes `num_workers` out of the settings: the first loader then has the configured number of processes,
    every later one s3prl's default of 12, and the configuration in its checkpoints lacks the key. And it
    reads all transcripts for each loader, twice at the start and once an epoch; a data set never changes.
    """
    stock, create = data.load_dataset, data.create_dataset
    if stock.__module__ == __name__:
        return
    made: dict[str, tuple[Any, tuple[Any, int]]] = {}

    def load_dataset(split: str, tokenizer: Any, corpus: Mapping[str, Any]) -> Any:
        return stock(split, tokenizer, dict(corpus))

    def create_dataset(split: str, tokenizer: Any, **settings: Any) -> tuple[Any, int]:
        key = json.dumps([split, settings], sort_keys=True, default=str)
        if key not in made or made[key][0] is not tokenizer:
            made[key] = tokenizer, create(split, tokenizer, **settings)
        return made[key][1]

    data.load_dataset, data.create_dataset = load_dataset, create_dataset
    data.torchaudio = _Reader(data.torchaudio)
