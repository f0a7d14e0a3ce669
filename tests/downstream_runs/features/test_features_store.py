"""The store of features: whole items only, within its bounds, for several processes."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from downstream_runs.features import cache as caches
from downstream_runs.features.cache import FeatureCache
from downstream_runs.features.options import StoredKind

KEY = "ab" + 62 * "0"


def item(size: int = 6) -> dict[str, torch.Tensor]:
    return {"frames": torch.arange(size, dtype=torch.float32).view(1, -1, 2)}


def same(found: dict[str, torch.Tensor] | None, expected: dict[str, torch.Tensor]) -> bool:
    return found is not None and all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_items_come_back(where: str, tmp_path: Path) -> None:
    store = FeatureCache(tmp_path if where == "disk" else None)
    assert store.get(KEY) is None
    store.put(KEY, item())
    assert same(store.get(KEY), item())
    assert (store.hits, store.misses, store.written) == (1, 1, 1)


@pytest.mark.parametrize("kept", [0, 7, 60, -1])
def test_a_truncated_item_is_not_used_and_written_again(kept: int, tmp_path: Path) -> None:
    store = FeatureCache(tmp_path)
    store.put(KEY, item())
    file = next(tmp_path.rglob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:kept])
    assert store.get(KEY) is None
    store.put(KEY, item())
    assert same(store.get(KEY), item())


@pytest.mark.parametrize("place", [-1, -40])
def test_an_item_of_which_a_bit_was_flipped_is_not_used_and_written_again(place: int, tmp_path: Path) -> None:
    FeatureCache(tmp_path).put(KEY, item())
    file = next(tmp_path.rglob("*.safetensors"))
    content = bytearray(file.read_bytes())
    content[place] ^= 4
    file.write_bytes(content)
    store = FeatureCache(tmp_path)
    assert store.get(KEY) is None
    store.put(KEY, item())
    assert same(store.get(KEY), item()) and same(FeatureCache(tmp_path).get(KEY), item())


def test_items_of_half_precision_are_checked(tmp_path: Path) -> None:
    whole = {"frames": item()["frames"].bfloat16(), "count": torch.tensor(3)}
    FeatureCache(tmp_path).put(KEY, whole)
    found = FeatureCache(tmp_path).get(KEY)
    assert same(found, whole) and found is not None and found.keys() == whole.keys()


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_a_bound_is_kept(where: str, tmp_path: Path) -> None:
    store = FeatureCache(tmp_path if where == "disk" else None, limit=60)
    for number in range(4):
        store.put(f"{number:064x}", item())
    assert [store.get(f"{number:064x}") is not None for number in range(4)] == [True, True, False, False]
    assert store.full
    assert store.total_bytes <= 60 or where == "disk"


def test_a_disk_without_room_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "RESERVE_BYTES", 10**18)
    store = FeatureCache(tmp_path / "new")
    store.put(KEY, item())
    assert store.full
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_disk_that_fills_up_ends_storing_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caches, "atomic_path", no_room)
    store = FeatureCache(tmp_path)
    store.put(KEY, item())
    assert store.full
    assert store.get(KEY) is None


def _fill(folder: str) -> None:
    store = FeatureCache(Path(folder))
    for number in range(40):
        key = f"{number:064x}"
        if store.get(key) is None:
            store.put(key, item(2 * (number + 1)))


def test_processes_share_a_store(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_fill, args=(str(tmp_path),)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    store = FeatureCache(tmp_path)
    assert all(same(store.get(f"{number:064x}"), item(2 * (number + 1))) for number in range(40))


def _stopped_writing(folder: Path, stop: Callable[[int], None]) -> int:
    """A process that calls `stop` when it has written an item and not yet renamed it."""
    child = os.fork()
    if child == 0:
        os.fsync = stop  # type: ignore[assignment]
        FeatureCache(folder).put(KEY, item())
        os._exit(0)
    return child


def test_a_kill_in_the_middle_of_a_write_leaves_nothing(tmp_path: Path) -> None:
    child = _stopped_writing(tmp_path, lambda number: os._exit(9))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert len(list(tmp_path.rglob("*.tmp"))) == 1
    assert FeatureCache(tmp_path).get(KEY) is None
    assert not list(tmp_path.rglob("*.tmp"))


def test_what_another_process_is_writing_is_left_to_it(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    go, ready = os.pipe()

    def wait(number: int) -> None:
        os.write(writer, b"!")
        os.read(go, 1)

    child = _stopped_writing(tmp_path, wait)
    os.read(reader, 1)
    cache = FeatureCache(tmp_path)
    assert cache.get(KEY) is None
    os.write(ready, b"!")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert same(cache.get(KEY), item())
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_a_layer_is_read_by_itself(where: str, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path if where == "disk" else None)
    frames = torch.randn(3, 5, 2)
    cache.put(KEY, {"frames": frames})
    for layer in (2, 0, 2):
        assert same(cache.get(KEY, layer), {"frames": frames[layer]})
    if where == "disk":
        file = next(tmp_path.rglob("*.safetensors"))
        file.write_bytes(file.read_bytes()[:-1] + b"!")
        assert FeatureCache(tmp_path).get(KEY, 0) is None, "damage in any layer"


def test_keys_and_folders_are_those_of_earlier_versions(tmp_path: Path) -> None:
    """Items that were stored before are used; what else a key is made of is in the identity."""
    cache = FeatureCache.of_upstream(tmp_path, "0123456789abcdef" * 4, StoredKind("disk", "frames", "fp16"))
    assert cache.folder == tmp_path / "0123456789abcdef" / "frames-fp16"
    expected = hashlib.sha256(
        f"3 {'0123456789abcdef' * 4} frames fp16 False torch.bfloat16 ".encode() + b"w" * 32
    )
    assert cache.key(b"w" * 32, " False torch.bfloat16 ") == expected.hexdigest()
    cache.put(KEY, item())
    assert [str(path.relative_to(cache.folder)) for path in cache.folder.rglob("*.*")] == [
        f"ab/{KEY}.safetensors"
    ]
    assert safetensors.torch.load_file(cache.folder / "ab" / f"{KEY}.safetensors").keys() == {
        "frames",
        "crc32",
    }
