"""Which weights a name stands for: never others than the ones that were asked for, without saying so."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from downstream_runs.upstreams import names as listing
from downstream_runs.upstreams import weights
from upstream_arm import download, names
from upstream_arm.common.errors import UsageError


@pytest.fixture(autouse=True)
def _nothing_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "cached", lambda name: None)
    monkeypatch.setattr(
        listing, "s3prl_names", lambda: ("customized_upstream", "fbank", "hubert_base", "hubert_local")
    )


def test_a_released_name_without_its_checkpoint_says_how_to_fetch_it() -> None:
    with pytest.raises(UsageError) as caught:
        weights.choose("arm_hubert", None, demo=False)
    for part in ("ARMHuBERT-960h.ckpt", "./run_superb.sh fetch armhubert", "--ckpt FILE"):
        assert part in str(caught.value)


def test_only_the_demo_goes_on_without_the_checkpoint_and_says_so() -> None:
    chosen = weights.choose("arm_hubert", None, demo=True)
    assert (chosen.name, chosen.ckpt) == ("armhubert_random", None)
    assert chosen.note is not None and "not on this machine" in chosen.note and "untrained" in chosen.note
    assert chosen.name in names.names()


def hub_cache(folder: Path, name: str, content: bytes) -> Path:
    """A released file as the Hugging Face hub's client leaves it: a link to `blobs`, named by its hash."""
    repository = folder / "models--sungnyun--ARMHuBERT"
    blob = repository / "blobs" / hashlib.sha256(content).hexdigest()
    link = repository / "snapshots" / "abc" / names.RELEASED[name]
    for path in (blob, link):
        path.parent.mkdir(parents=True)
    blob.write_bytes(content)
    link.symlink_to(Path("..", "..", "blobs", blob.name))
    return link


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    link = hub_cache(tmp_path, "maskhubert", b"released weights")
    monkeypatch.setattr(download, "cached", lambda name: link if name == "maskhubert" else None)
    return link


@pytest.mark.parametrize("demo", [False, True])
def test_a_fetched_checkpoint_is_used(fetched: Path, demo: bool) -> None:
    assert weights.choose("maskhubert", None, demo) == weights.Upstream("maskhubert", str(fetched))


def test_a_fetched_checkpoint_that_was_changed_is_refused(fetched: Path) -> None:
    fetched.resolve().write_bytes(b"other weights")
    with pytest.raises(UsageError, match=r"is not what was downloaded.*fetch maskhubert.*maskhubert_local"):
        weights.choose("maskhubert", None, demo=False)


def test_a_file_that_the_cache_does_not_vouch_for_has_a_name_of_its_own(
    tmp_path: Path, fetched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lying = tmp_path / "MaskHuBERT-960h.ckpt"
    lying.write_bytes(b"released weights")
    monkeypatch.setattr(download, "cached", lambda name: lying)
    chosen = weights.choose("maskhubert", None, demo=False)
    assert (chosen.name, chosen.ckpt) == ("maskhubert_local", str(lying))


def test_a_copy_of_the_released_checkpoint_is_the_released_one(tmp_path: Path, fetched: Path) -> None:
    copy = tmp_path / "copy.ckpt"
    copy.write_bytes(b"released weights")
    assert weights.choose("maskhubert", str(copy), demo=False) == weights.Upstream("maskhubert", str(fetched))


@pytest.mark.parametrize("name", ["maskhubert", "arm_hubert", "armwavlm_s_960h"])
def test_other_weights_never_have_a_released_name(name: str, tmp_path: Path, fetched: Path) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"other weights")
    chosen = weights.choose(name, str(other), demo=False)
    assert (chosen.name, chosen.ckpt) == (f"{name}_local", str(other))
    sha256 = hashlib.sha256(b"other weights").hexdigest()
    for part in (sha256, f"{name}_local (other.safetensors, {sha256[:8]})"):
        assert chosen.note is not None and part in chosen.note
    address = weights.choose(name, "https://example.org/a.ckpt", demo=False)
    assert (address.name, address.ckpt) == (f"{name}_url", "https://example.org/a.ckpt")
    assert weights.told(address.name, address.ckpt, None) == "a.ckpt"


@pytest.mark.parametrize("name", ["armhubert_local", "hubert_local", "customized_upstream"])
def test_the_checkpoint_of_the_user_is_used(name: str) -> None:
    assert weights.choose(name, "a.ckpt", demo=False) == weights.Upstream(name, "a.ckpt")


@pytest.mark.parametrize("name", ["armhubert_local", "armhubert_custom", "hubert_local"])
def test_a_local_name_needs_a_checkpoint_even_in_a_demo(name: str) -> None:
    with pytest.raises(UsageError, match="--ckpt FILE"):
        weights.choose(name, None, demo=True)


@pytest.mark.parametrize(
    ("name", "instead"), [("hubert_base", "hubert_local"), ("armhubert_random", "armhubert_local")]
)
def test_a_checkpoint_that_would_be_ignored_is_refused(name: str, instead: str) -> None:
    with pytest.raises(UsageError, match=f"would ignore --ckpt: leave it out, or use {instead} --ckpt FILE"):
        weights.choose(name, "a.ckpt", demo=False)


def test_random_weights_are_announced() -> None:
    assert "untrained" in (weights.choose("armhubert_random", None, demo=False).note or "")
    assert weights.choose("fbank", None, demo=False) == weights.Upstream("fbank", None)


def test_an_unknown_name_suggests_a_near_one() -> None:
    with pytest.raises(UsageError, match=r"no upstream 'armhubrt' .*list.*did you mean 'armhubert'"):
        weights.choose("armhubrt", None, demo=True)
