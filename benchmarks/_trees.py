"""Corpora of noise in the layouts of the real ones, with a part of their counts: for `scale.py`.

Names, transcripts, lists and trials are invented. Audio is a few hundred lengths of seeded noise; every other
file is a hard link to it, so that the largest tree takes a minute and little disk. Each corpus is marked as a
made one, which is not held against the official counts. Lengths are about those of the real corpora.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import soundfile

from downstream_runs.corpora import iemocap, libriphone, markers, snips, speech_commands
from downstream_runs.corpora.voxceleb1 import TEST_SPEAKERS
from downstream_runs.corpora.voxceleb1 import part as archive_of
from downstream_runs.scoring import groundtruth

RATE = 16_000
LINKS = 60_000
"""Of one file; ext4 allows 65,000."""
PHONES = ("AH0", "T", "N", "S", "L", "R", "IH1", "D", "K", "M", "Z", "IY2")
WORDS = tuple("".join(letters) for letters in itertools.product("BDKMS", "AEIO", "LNRT", "AEIO", "STX"))
VOICES = {
    "train": ("Ivy", "Joanna", "Joey", "Justin", "Kendra", "Kimberly", "Matthew", "Salli"),
    "valid": ("Aditi", "Amy", "Geraint", "Nicole"),
    "test": ("Brian", "Emma", "Raveena", "Russell"),
}


class Tree:
    """A data folder with `fraction` of the official counts of every corpus that is made in it."""

    def __init__(self, data: Path, fraction: float) -> None:
        self.data, self.fraction, self.random = data, fraction, random.Random(17)
        self.pool = data / "pool"
        self.pool.mkdir(parents=True, exist_ok=True)
        self._links: dict[str, int] = {}
        self.listed: dict[Path, list[str]] = {}

    def part(self, count: int, least: int = 1) -> int:
        return max(round(count * self.fraction), least)

    def seconds(self, least: float, mean: float, most: float) -> float:
        return min(least + self.random.expovariate(1 / (mean - least)), most)

    def begin(self, name: str) -> Path:
        root = self.data / name
        markers.begin(root, markers.SAMPLE, "noise in the layout of a corpus, for measuring\n")
        self.listed[root] = []
        return root

    def audio(self, root: Path, name: str, seconds: float, rate: int = RATE) -> int:
        """Link `root`/`name` to noise of about so many seconds; its samples."""
        count = max(round(10 * seconds), 1) * rate // 10
        kind, path = name.rsplit(".", 1)[1], root / name
        key = f"{rate}-{count}.{kind}"
        number = self._links[key] = self._links.get(key, -1) + 1
        noise = self.pool / f"{number // LINKS}-{key}"
        if not noise.exists():
            wave = np.random.default_rng(count).normal(0, 0.05, count)
            soundfile.write(noise, wave, rate, subtype="PCM_16", format=kind.upper())
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(noise, path)
        self.listed[root].append(name)
        return count

    def finish(self, root: Path, **facts: object) -> None:
        """The manifest, without the hashes that only `corpora.demo` compares."""
        listed = {"label": markers.SAMPLE, **facts, "files": dict.fromkeys(self.listed[root], "")}
        markers.manifest_of(root, markers.SAMPLE).write_text(json.dumps(listed), encoding="utf-8")


def librispeech(tree: Tree) -> None:
    root = tree.begin("LibriSpeech")
    for first, (split, count) in enumerate(
        {"train-clean-100": 28_539, "dev-clean": 2_703, "test-clean": 2_620}.items(), 1
    ):
        texts: dict[Path, list[str]] = {}
        for number in range(tree.part(count, 40)):
            chapter = f"{first}{number // 1000:03d}/{first}{number // 50:05d}"
            name, seconds = f"{chapter.replace('/', '-')}-{number % 50:04d}", tree.seconds(1.4, 12, 24)
            tree.audio(root, f"{split}/{chapter}/{name}.flac", seconds)
            text = " ".join(tree.random.choices(WORDS, k=max(int(seconds * 2.7), 1)))
            file = root / split / chapter / f"{chapter.replace('/', '-')}.trans.txt"
            texts.setdefault(file, []).append(f"{name} {text}\n")
        for file, lines in texts.items():
            file.write_text("".join(lines), encoding="utf-8")
    tree.finish(root)
    words = [*WORDS, *(f"Q{number:06d}Q" for number in range(tree.part(200_000)))]
    _texts(
        tree.data / libriphone.FOLDER,
        libriphone.lexicon_texts({word: tree.random.choices(PHONES, k=5) for word in words}),
    )


def speech_commands_of(tree: Tree) -> None:
    root = tree.begin(speech_commands.TRAIN_FOLDER)
    for word in sorted(speech_commands.WORDS):
        for number in range(tree.part(64_721 // 30, 12)):
            tree.audio(root, f"{word}/{number % 1881 * 7919:08x}_nohash_{number // 1881}.wav", 1.0)
    for number in range(6):
        tree.audio(root, f"{speech_commands.NOISE}/noise{number}.wav", 60.0 + number)
    tree.finish(root)
    root = tree.begin(speech_commands.TEST_FOLDER)
    for word in speech_commands.CLASSES:
        for number in range(tree.part(3_081 // 12, 4)):
            tree.audio(root, f"{word}/{number * 7919:08x}_nohash_0.wav", 1.0)
    tree.finish(root)


def voxceleb1(tree: Tree) -> None:
    root, parts, tests = tree.begin("VoxCeleb1"), [], {}
    testing = sorted(TEST_SPEAKERS)[: tree.part(40, 4)]
    every = (f"id{number}" for number in range(10001, 11252))
    training = [speaker for speaker in every if speaker not in TEST_SPEAKERS]
    for speaker in [*testing, *training[: tree.part(1_251, 12) - len(testing)]]:
        names = [f"{speaker}/video{number // 6:06d}/{number % 6 + 1:05d}.wav" for number in range(122)]
        for number, name in enumerate(names):
            tree.audio(root, f"{archive_of(speaker)}/wav/{name}", tree.seconds(4, 8.2, 60))
            parts.append(f"{3 if number % 18 == 0 else 2 if number % 20 == 1 else 1} {name}\n")
        tests.update({speaker: names} if archive_of(speaker) == "test" else {})
    trials = []
    for number in range(tree.part(37_720, 40)):
        one, other = tree.random.sample(sorted(tests), 2)
        first, second = tree.random.sample(tests[one], 2)
        trials.append(f"{number % 2} {first} {second if number % 2 else tree.random.choice(tests[other])}\n")
    _texts(root, {"iden_split.txt": "".join(parts), "veri_test.txt": "".join(dict.fromkeys(trials))})
    tree.finish(root)


def librimix(tree: Tree) -> None:
    root = tree.begin("Libri2Mix")
    for part, (speech, count) in {
        "train-100": ("train_clean_100", 13_900),
        "dev": ("dev_clean", 3_000),
        "test": ("test_clean", 3_000),
    }.items():
        rows, turns = ["mixture_ID,mixture_path,source_1_path,source_2_path,noise_path,length\n"], []
        for number in range(tree.part(count, 8)):
            readings = [f"{2 * number + side:07d}-0001" for side in (0, 1)]
            speakers = [str(100 + number % 120 + 200 * side) for side in (0, 1)]
            name = "_".join(map("-".join, zip(speakers, readings, strict=True)))
            seconds, path = tree.seconds(3, 14, 17), f"wav16k/max/{part}/mix_both/{name}.wav"
            rows.append(f"{name},/elsewhere/Libri2Mix/{path},,,,{tree.audio(root, path, seconds)}\n")
            for side, (speaker, reading) in enumerate(zip(speakers, readings, strict=True)):
                for start in np.arange(0.3 + 0.01 * side, seconds - 1, 4.1):
                    turns.append(
                        f"SPEAKER {reading} 1 {start:.3f} 0.{900 + side} <NA> <NA> {speaker} <NA> <NA>\n"
                    )
        _texts(root / "wav16k/max/metadata", {f"mixture_{part}_mix_both.csv": "".join(rows)})
        _texts(root / "metadata/LibriSpeech", {f"{speech}.rttm": "".join(turns)})
    tree.finish(root)


def fluent_commands(tree: Tree) -> None:
    root = tree.begin("fluent_speech_commands_dataset")
    for split, count, speakers in (("train", 23_132, 77), ("valid", 3_118, 10), ("test", 3_793, 10)):
        rows = [",path,speakerId,transcription,action,object,location\n"]
        for number in range(tree.part(count, 31)):
            speaker = f"{split}Speaker{number % speakers:03d}"
            path = f"wavs/speakers/{speaker}/{split}{number:06d}-0000-0000-0000-000000000000.wav"
            tree.audio(root, path, tree.seconds(0.9, 2.3, 8))
            intent = f"action{number % 6},object{number % 5},{('none', 'kitchen', 'bedroom')[number % 3]}"
            rows.append(f"{number},{path},{speaker},Turn it on,{intent}\n")
        _texts(root / "data", {f"{split}_data.csv": "".join(rows)})
    tree.finish(root)


def snips_of(tree: Tree) -> None:
    """The folders hold all sixteen voices, as the real ones do; a split uses its own."""
    root, lines = tree.begin("SNIPS"), []
    slots = [f"slot_{number:02d}" for number in range(39)]
    for split, count in (("train", 13_084), ("valid", 700), ("test", 700)):
        for number in range(tree.part(count, 4)):
            words = tree.random.choices(WORDS, k=tree.random.randint(5, 14))
            tags = [tree.random.choice(slots) if place % 4 == 1 else "O" for place in range(len(words))]
            for voice in itertools.chain.from_iterable(VOICES.values()):
                name = f"{voice}-snips-{split}-{number}"
                tree.audio(root, f"{split}/{name}.wav", 0.4 * len(words) + 0.2)
                lines.append(f"{name} BOS {' '.join(words)} EOS\tO {' '.join(tags)} intent\n")
                if voice not in VOICES[split]:
                    tree.listed[root].pop()
    _texts(root, {snips.TRANSCRIPTS: "".join(lines), snips.SLOTS: snips.slots_text(slots)})
    tree.finish(root)


def iemocap_of(tree: Tree) -> None:
    root = tree.begin("IEMOCAP_full_release")
    for session in iemocap.SESSIONS:
        dialogues = iemocap.order(session)["dialogues"]
        lines: dict[str, list[str]] = {
            one: ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"] for one in dialogues
        }
        for number in range(tree.part(2_007, 40)):
            dialogue = dialogues[number % len(dialogues)]
            kind = ("neu", "hap", "exc", "ang", "sad", "fru", "xxx", "sur")[number // 3 % 8]
            name = f"{dialogue}_{'FM'[number % 2]}{number // len(dialogues):03d}"
            tree.audio(
                root, f"Session{session}/sentences/wav/{dialogue}/{name}.wav", tree.seconds(0.6, 4.5, 34)
            )
            lines[dialogue].append(
                f"[{number}.0000 - {number}.9000]\t{name}\t{kind}\t[2.5000, 2.5000, 2.5000]\n\n"
            )
        _texts(
            root / f"Session{session}/dialog/EmoEvaluation",
            {f"{one}.txt": "".join(text) for one, text in lines.items()},
        )
    tree.finish(root)


def quesst14(tree: Tree) -> None:
    root = tree.begin("quesst14Database")
    languages = ("nnenglish", "albanian", "basque", "czech", "romanian")

    def recordings(folder: str, stem: str, count: int, least: float, mean: float) -> dict[str, float]:
        names = [f"{stem}{number:05d}" for number in range(tree.part(count, 15))]
        made = {
            name: tree.audio(root, f"{folder}/{name}.wav", tree.seconds(least, mean, 40), 8_000)
            for name in names
        }
        keys = "".join(
            f"quesst14Database/{folder}/{name}.wav {languages[place % 5]}\n"
            for place, name in enumerate(names)
        )
        key = "utterances" if folder == "Audio" else stem.split("_")[1]
        _texts(root / "scoring", {f"language_key_{key}.lst": keys})
        return {name: samples / 8_000 for name, samples in made.items()}

    documents = recordings("Audio", "quesst14_", 12_492, 1.0, 6.6)
    names = list(documents)
    for split in ("dev", "eval"):
        queries = list(recordings(f"{split}_queries", f"quesst14_{split}_", 558, 0.6, 1.6))
        targets = {query: frozenset(names[place % 5 :: 5][:3]) for place, query in enumerate(queries)}
        folder = root / "scoring" / f"groundtruth_quesst14_{split}"
        folder.mkdir()
        truth = groundtruth.GroundTruth(tuple(queries), tuple(names), targets)
        groundtruth.write(folder, f"quesst14_{split}", truth, documents)
    tree.finish(root)


MAKERS: Mapping[str, Callable[[Tree], None]] = {
    **dict.fromkeys(("pr", "asr"), librispeech),
    "ks": speech_commands_of,
    "qbe": quesst14,
    **dict.fromkeys(("sid", "asv"), voxceleb1),
    "sd": librimix,
    "ic": fluent_commands,
    "sf": snips_of,
    "er": iemocap_of,
}
"""By the task that is run on them."""


def make(data: Path, fraction: float, tasks: Iterable[str]) -> None:
    """Write the corpora of these tasks with a fraction of their counts, and a few items at least."""
    tree = Tree(data, fraction)
    for maker in dict.fromkeys(MAKERS[task] for task in tasks):
        maker(tree)


def _texts(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
