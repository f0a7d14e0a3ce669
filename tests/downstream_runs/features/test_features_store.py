"""The store of features: whole items only, within its bounds, for several processes."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from downstream_runs.features import cache as caches
from downstream_runs.features import packs
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
    file = next(tmp_path.rglob("*.pack"))
    file.write_bytes(file.read_bytes()[:kept])
    assert store.get(KEY) is None
    store.put(KEY, item())
    assert same(store.get(KEY), item())


@pytest.mark.parametrize("place", [-1, -40])
def test_an_item_of_which_a_bit_was_flipped_is_not_used_and_written_again(place: int, tmp_path: Path) -> None:
    FeatureCache(tmp_path).put(KEY, item())
    file = next(tmp_path.rglob("*.pack"))
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
    one = FeatureCache(tmp_path / "one")
    one.put(KEY, item())
    limit = int(2.5 * one.total_bytes) if where == "disk" else 60
    store = FeatureCache(tmp_path if where == "disk" else None, limit=limit)
    for number in range(4):
        store.put(f"{number:064x}", item())
    assert [store.get(f"{number:064x}") is not None for number in range(4)] == [True, True, False, False]
    assert store.full
    assert store.total_bytes <= limit


def test_a_disk_without_room_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "RESERVE_BYTES", 10**18)
    store = FeatureCache(tmp_path / "new")
    store.put(KEY, item())
    assert store.full
    assert not list(tmp_path.rglob("*.pack"))


def test_a_disk_that_fills_up_ends_storing_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packs.os, "write", no_room)
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
    assert store.total_bytes == sum(file.stat().st_size for file in tmp_path.glob("*.pack"))


def test_what_another_process_wrote_since_is_used_and_counts(tmp_path: Path) -> None:
    one, other = FeatureCache(tmp_path), FeatureCache(tmp_path)
    one.put(KEY, item())
    size = one.total_bytes
    assert other.total_bytes == 0 and same(other.get(KEY), item()) and other.total_bytes == size
    other.put(KEY[::-1], item())
    assert same(one.get(KEY[::-1]), item()) and one.total_bytes == other.total_bytes == 2 * size
    assert len(list(tmp_path.glob("*.pack"))) == 2, "each writes its own"
    for cache in (one, other):
        cache.close()
    FeatureCache(tmp_path).put("cd" * 32, item())
    assert len(list(tmp_path.glob("*.pack"))) == 2, "a later process goes on with one"


def test_a_store_is_opened_and_read_without_a_look_at_every_item(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    keys = [f"{number:064x}" for number in range(200)]
    for key in keys:
        cache.put(key, item())
    calls: list[str] = []

    def count(event: str, given: tuple[object, ...]) -> None:
        if event in ("open", "os.scandir", "os.listdir") and str(given[0]).startswith(str(tmp_path)):
            calls.append(event)

    sys.addaudithook(count)  # of Python's own accord: it cannot be taken back
    again = FeatureCache(tmp_path)
    assert again.total_bytes == cache.total_bytes and calls == ["os.scandir", "open"]
    assert all(again.get(key) is not None for key in keys)
    assert calls == ["os.scandir", "open", "open"], "the folder, its index, its pack"


def test_without_locks_every_process_has_a_pack_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*given: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(packs.fcntl, "flock", no_locks)
    stores = [FeatureCache(tmp_path) for _ in range(3)]
    for number, store in enumerate(stores):
        store.put(f"{number:064x}", item(2 * (number + 1)))
    assert len(list(tmp_path.glob("*.pack"))) == 3
    assert all(same(stores[0].get(f"{number:064x}"), item(2 * (number + 1))) for number in range(3))


def test_a_line_that_a_kill_cut_short_is_passed_over(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    cache.put(KEY, item())
    (index,) = tmp_path.glob("*.index")
    with index.open("a") as file:
        file.write("ef" * 20)
    cache.close()
    again = FeatureCache(tmp_path)
    again.put(KEY[::-1], item(8))
    for store in (again, FeatureCache(tmp_path)):
        assert same(store.get(KEY), item()) and same(store.get(KEY[::-1]), item(8))


def _stopped_writing(folder: Path, stop: Callable[[int], None]) -> int:
    """A process that calls `stop` when it has written an item and not yet its line in the index."""
    child = os.fork()
    if child == 0:
        real = packs._write
        packs._write = lambda file, data: (data.endswith(b"\n") and stop(file), real(file, data))[1]
        FeatureCache(folder).put(KEY, item())
        os._exit(0)
    return child


def test_a_kill_in_the_middle_of_a_write_leaves_nothing(tmp_path: Path) -> None:
    child = _stopped_writing(tmp_path, lambda number: os._exit(9))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    (pack,) = tmp_path.glob("*.pack")
    size = pack.stat().st_size
    cache = FeatureCache(tmp_path)
    assert size > 0 and cache.get(KEY) is None
    cache.put(KEY, item())
    assert same(cache.get(KEY), item()) and cache.total_bytes == pack.stat().st_size == 2 * size


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
    cache.put(KEY[::-1], item())
    os.write(ready, b"!")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert same(cache.get(KEY), item()) and same(FeatureCache(tmp_path).get(KEY[::-1]), item())


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_a_layer_is_read_by_itself(where: str, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path if where == "disk" else None)
    frames = torch.randn(3, 5, 2)
    cache.put(KEY, {"frames": frames})
    for layer in (2, 0, 2):
        assert same(cache.get(KEY, layer), {"frames": frames[layer]})
    if where == "disk":
        file = next(tmp_path.rglob("*.pack"))
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
    names = {path.suffix for path in cache.folder.iterdir()}
    assert names == {".index", ".pack"}
    (pack,) = cache.folder.glob("*.pack")
    assert safetensors.torch.load(pack.read_bytes()).keys() == {"frames", "crc32"}
    earlier = tmp_path / "earlier" / "ab" / f"{KEY}.safetensors"
    earlier.parent.mkdir(parents=True)
    pack.rename(earlier)
    assert same(FeatureCache(tmp_path / "earlier").get(KEY), item())
