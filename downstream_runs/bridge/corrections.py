"""Corrections to single modules of s3prl, made at the moment when they are imported.

s3prl's task modules take seconds to import, and a run needs one of them: a correction waits for its module.

- Speaker identification keeps `.cache/train.pkl` in s3prl's own package folder and speaker verification
  `.wav_lengths/...`, both without a word about the corpus: a second corpus was then trained on the list of
  the first. Here each data set is built with a fresh, empty place for them, and nothing is left behind.
- Speaker verification is wrong about the device, the dev trials and the labels of the trials.
- Diarisation reads files by soundfile itself, also samples that are no numbers, and knows no mixtures that
  are mixed when they are read (`audio.mixtures`).
- Speech recognition searches a list for each utterance and fills its labels one number at a time: half a
  minute at each start with LibriSpeech's 28,539 utterances, and growing with their square.
- Emotion recognition holds the audio of its whole corpus in memory twice over, 1.6 GB a run.
- Keyword spotting's lists take hidden files and folders, and folders whose names end in .wav: it would train
  and test on other files than the ones that were checked, counted and hashed.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from downstream_runs.audio import mixtures
from downstream_runs.audio.files import require_finite
from downstream_runs.bridge import heads
from downstream_runs.corpora import folders
from downstream_runs.corpora.voxceleb1_verification import LENGTHS_SUFFIX
from upstream_arm.common import devices
from upstream_arm.common.processes import cores

Correction = Callable[[ModuleType], None]


class _Corrector(MetaPathFinder):
    """Finds the modules that have a correction, as Python itself would, and corrects them once they ran."""

    def __init__(self) -> None:
        self.corrections: dict[str, list[Correction]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        corrections = self.corrections.get(fullname)
        spec = None if corrections is None else PathFinder.find_spec(fullname, path, target)
        if corrections is None or spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def run_and_correct(module: ModuleType) -> None:
            run(module)
            for correction in corrections:
                correction(module)

        # The loader belongs to this one module, so nothing else sees the change.
        spec.loader.exec_module = run_and_correct  # type: ignore[method-assign]
        return spec


_CORRECTOR = _Corrector()


def after_import(name: str, correction: Correction) -> None:
    """Apply `correction` to module `name` when it is imported, or now if it already is."""
    if name in sys.modules:
        correction(sys.modules[name])
        return
    _CORRECTOR.corrections.setdefault(name, []).append(correction)
    if _CORRECTOR not in sys.meta_path:
        sys.meta_path.insert(0, _CORRECTOR)


def fresh_identification_lists(module: ModuleType) -> None:
    """List the files of each data set anew, and do not search the folders for each of 153,516 names."""
    build = module.SpeakerClassifiDataset.__init__
    for number, split in enumerate(("train", "dev", "test"), start=1):
        stock = getattr(module.SpeakerClassifiDataset, split)
        setattr(module.SpeakerClassifiDataset, split, _named_by_list(number, stock))

    @functools.wraps(build)
    def build_afresh(self: Any, *arguments: Any, **options: Any) -> None:
        before = vars(module)["CACHE_PATH"]
        with tempfile.TemporaryDirectory() as folder:
            vars(module)["CACHE_PATH"] = os.path.join(folder, "")
            try:
                build(self, *arguments, **options)
            finally:
                vars(module)["CACHE_PATH"] = before

    module.SpeakerClassifiDataset.__init__ = build_afresh


def _named_by_list(number: int, search: Callable[[Any], list[str]]) -> Callable[[Any], list[str]]:
    """The files of a split, which the list names by that number, where all lie in one folder `*/wav`."""

    def named(dataset: Any) -> list[str]:
        places = list(dataset.root.glob("*/wav"))
        if len(places) != 1:
            return search(dataset)
        lines = map(str.split, dataset.usage_list)
        return [f"{places[0]}/{name}" for digit, name in lines if int(digit) == number]

    return named


def fresh_verification_lengths(module: ModuleType) -> None:
    """Trim anew for each training set, or take the lengths from the table that `meta_data` names.

    s3prl opens no file by that argument, so it may carry our table (`*.lengths.pt`). Where it trims itself
    it starts one process a core at most instead of always twelve.
    """
    build = module.SpeakerVerifi_train.__init__

    @functools.wraps(build)
    def build_afresh(
        self: Any,
        vad_config: Any,
        key_list: Sequence[str],
        file_path: Any,
        meta_data: str,
        max_timestep: int | None = None,
        n_jobs: int = 12,
    ) -> None:
        before = module.__file__
        with tempfile.TemporaryDirectory() as folder:
            _place_table(str(meta_data), key_list, Path(folder))
            # s3prl derives the place of its cache from this variable, and nothing else uses it.
            module.__file__ = os.path.join(folder, "dataset.py")
            jobs = min(n_jobs, cores())
            try:
                build(self, vad_config, key_list, file_path, meta_data, max_timestep, jobs)
            finally:
                module.__file__ = before

    module.SpeakerVerifi_train.__init__ = build_afresh


def _place_table(table: str, keys: Sequence[str], folder: Path) -> None:
    if table.endswith(LENGTHS_SUFFIX):
        lengths = folder / ".wav_lengths"
        lengths.mkdir()
        for key in keys:
            shutil.copyfile(table, lengths / f"{key}_length.pt")


def correct_verification(module: ModuleType) -> None:
    """Correct `DownstreamExpert` in three ways.

    Its two `.cuda()` mean the features' own device, so that it runs on a CPU and on a second GPU. An
    evaluation of `dev` scores the dev trials; without this s3prl looks for the test trials among the dev
    utterances. `*_truth.txt` holds the labels of the trials; without this it is always empty.
    """
    expert = module.DownstreamExpert
    forward, log_records = expert.forward, expert.log_records

    @functools.wraps(forward)
    def forward_on_own_device(self: Any, mode: str, features: Any, *others: Any, **options: Any) -> Any:
        with _own_device(features[0].device):
            return forward(self, mode, features, *others, **options)

    @functools.wraps(log_records)
    def log_own_trials(self: Any, mode: str, records: Any, *others: Any, **options: Any) -> Any:
        if mode not in ("dev", "test"):
            return log_records(self, mode, records, *others, **options)
        evaluated = self.dev_dataset if mode == "dev" else self.test_dataset
        records["labels"] = [label for label, *_ in evaluated.pair_table]
        test_dataset = self.test_dataset
        # s3prl reads the trials of every split from here.
        self.test_dataset = evaluated
        try:
            return log_records(self, mode, records, *others, **options)
        finally:
            self.test_dataset = test_dataset

    expert.forward = forward_on_own_device
    expert.log_records = log_own_trials


def _own_device(device: Any) -> Any:
    """Within it, in this thread, `tensor.cuda()` moves to `device`."""
    import torch
    from torch.overrides import TorchFunctionMode

    class OwnDevice(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.Tensor.cuda:
                moved = devices.to_device(args[0], device)
                setattr(moved, heads.ON_HOST, args[0])
                return moved
            return func(*args, **(kwargs or {}))

    return OwnDevice()


def correct_diarization(module: ModuleType) -> None:
    """Check every stretch of audio that is read, and mix what is not stored; UsageError names the file."""
    read = module.KaldiData._load_wav

    @functools.wraps(read)
    def read_finite(self: Any, wav_rxfilename: str, start: int = 0, end: int | None = None) -> Any:
        path = Path(wav_rxfilename)
        if mixtures.at(path) is None:
            samples, rate = read(self, wav_rxfilename, start, end)
        else:
            samples, rate = module.sf.read(mixtures.opened(path), start=start, stop=end)
        require_finite(wav_rxfilename, samples)
        return samples, rate

    module.KaldiData._load_wav = read_finite


class SearchedList(list[Any]):
    """A list that is asked often whether it holds something, and is not changed after the first time."""

    @functools.cached_property
    def _members(self) -> frozenset[Any]:
        return frozenset(self)

    def __contains__(self, value: object) -> bool:
        return value in self._members


def correct_recognition(module: ModuleType) -> None:
    """Let the data set look its utterances up in sets, and encode a transcript at once, to equal labels."""
    vars(module)["list"] = SearchedList
    dictionary = module.Dictionary
    encode_line = dictionary.encode_line

    @functools.wraps(encode_line)
    def encode_at_once(self: Any, line: str, **options: Any) -> Any:
        if options.keys() - {"line_tokenizer"} or "line_tokenizer" not in options:
            return encode_line(self, line, **options)
        import torch

        words = options["line_tokenizer"](line)
        for word, times in Counter(words).items():  # in the order in which they come
            self.add_symbol(word, times)
        return torch.IntTensor([*map(self.indices.__getitem__, words), self.eos_index])

    dictionary.encode_line = encode_at_once


class ReadWhenAsked(Sequence[Any]):
    """The waveforms of s3prl's IEMOCAP data set, each read when it is asked for and not kept."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset.meta_data)

    def __getitem__(self, index: Any) -> Any:
        return self._dataset._load_wav(self._dataset.meta_data[index]["path"])


def correct_emotion(module: ModuleType) -> None:
    """Read audio when it is needed, whatever `pre_load` says: the same samples, drawn in the same order."""
    module.IEMOCAPDataset._load_all = lambda dataset: ReadWhenAsked(dataset)  # a class is no method


class ListedPath(type(Path())):  # type: ignore[misc]
    """A path whose `iterdir` gives the folders that belong to a corpus, and whose `glob` the files."""

    def iterdir(self) -> Generator[Any, None, None]:
        """The folders in this one that belong, in the file system's order, which stock s3prl has too."""
        yield from map(ListedPath, folders.subfolders(Path(self), ordered=False))

    def glob(self, pattern: str, **options: Any) -> Iterator[Path]:
        """The files in this folder that belong, for a pattern such as `*.wav`; none if there is no folder."""
        if not Path(self).is_dir():
            return iter(())
        return iter(folders.files(Path(self), pattern.removeprefix("*"), ordered=False))


def correct_listing(module: ModuleType) -> None:
    """Let the module list folders by the rule."""
    vars(module)["Path"] = ListedPath


def install() -> None:
    """Have each module corrected as soon as it is imported."""
    tasks = "s3prl.downstream"
    after_import(f"{tasks}.voxceleb1.dataset", fresh_identification_lists)
    after_import(f"{tasks}.sv_voxceleb1.dataset", fresh_verification_lengths)
    after_import(f"{tasks}.sv_voxceleb1.expert", correct_verification)
    after_import(f"{tasks}.diarization.dataset", correct_diarization)
    after_import(f"{tasks}.asr.dataset", correct_recognition)
    after_import(f"{tasks}.emotion.dataset", correct_emotion)
    for name in ("dataset", "expert"):
        after_import(f"{tasks}.speech_commands.{name}", correct_listing)
    heads.install(after_import)
