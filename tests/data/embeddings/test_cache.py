"""A space of the cache: found again to the bit by whoever comes, and never a reason for a run to fail."""

import errno
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fedprime.data.embeddings import cache as embedding_cache
from fedprime.data.embeddings.cache import EmbeddingCache, key_of
from fedprime.data.embeddings.cache_folder import CacheFolder


def opened(path: Path, limit_bytes: int | None = None, **description: str) -> EmbeddingCache:
    return EmbeddingCache(CacheFolder(path, limit_bytes), description, {})


def tokens(number: int, length: int = 3) -> Tensor:
    return torch.arange(4.0 * length).view(length, 4) + 1000 * number


def files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.safetensors"))


def fill(path: Path, numbers: range) -> None:
    cache = opened(path)
    for number in numbers:
        if cache.get(key_of(str(number))) is None:
            cache.put(key_of(str(number)), tokens(number))
        if number % 10 == 0:
            cache.save()
    cache.save()


def assert_has(cache: EmbeddingCache, numbers: range) -> None:
    for number in numbers:
        found = cache.get(key_of(str(number)))
        assert found is not None, number
        assert torch.equal(found, tokens(number))


def test_what_was_put_is_found_before_and_after_it_is_written_and_by_others(tmp_path: Path):
    cache = opened(tmp_path)
    assert cache.get(key_of("0")) is None
    cache.put(key_of("0"), tokens(0))
    assert files(tmp_path) == []
    assert_has(cache, range(1))
    cache.save()
    assert len(files(tmp_path)) == 1
    assert_has(cache, range(1))
    assert_has(opened(tmp_path), range(1))
    assert cache.get(key_of("1")) is None


def test_another_description_is_another_space(tmp_path: Path):
    cache = opened(tmp_path, fingerprint="a")
    cache.put(key_of("0"), tokens(0))
    cache.save()
    assert opened(tmp_path, fingerprint="b").get(key_of("0")) is None
    assert opened(tmp_path, fingerprint="a").get(key_of("0")) is not None


def test_full_chunks_are_written_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedding_cache, "_CHUNK_ENTRIES", 10)
    cache = opened(tmp_path)
    for number in range(25):
        cache.put(key_of(str(number)), tokens(number))
    assert len(files(tmp_path)) == 2
    assert_has(cache, range(25))


def test_types_and_widths_are_kept_apart(tmp_path: Path):
    cache = opened(tmp_path)
    entries = {"a": tokens(1), "b": tokens(1).to(torch.bfloat16), "c": torch.ones(2, 7)}
    for name, value in entries.items():
        cache.put(key_of(name), value)
    cache.save()
    again = opened(tmp_path)
    for name, value in entries.items():
        found = again.get(key_of(name))
        assert found is not None
        assert found.dtype == value.dtype
        assert torch.equal(found, value)


def test_many_entries_are_found_though_few_files_are_open_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedding_cache, "_OPEN_FILES", 2)
    fill(tmp_path, range(100))
    cache = opened(tmp_path)
    assert_has(cache, range(100))
    assert_has(cache, range(100))
    open_files = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert sum(file.startswith(str(tmp_path)) for file in open_files) == 2


def test_a_file_that_another_process_removed_is_embedded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedding_cache, "_OPEN_FILES", 1)
    fill(tmp_path, range(20))
    cache = opened(tmp_path)
    assert_has(cache, range(20))
    for file in files(tmp_path):
        file.unlink()
    found = [number for number in reversed(range(20)) if cache.get(key_of(str(number))) is not None]
    assert 0 < len(found) < 20  # those whose file is still open
    cache.put(key_of("a"), tokens(0))
    cache.save()
    assert cache.get(key_of("a")) is not None


def test_a_chunk_is_noted_as_used_once_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fill(tmp_path, range(3))
    cache = opened(tmp_path)
    assert_has(cache, range(3))
    (file,) = [own for own in files(tmp_path) if own.stat().st_size == max(f.stat().st_size for f in files(tmp_path))]
    os.utime(file, (0, 0))
    assert_has(cache, range(3))
    assert file.stat().st_mtime == 0
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3601)
    assert_has(cache, range(3))
    assert file.stat().st_mtime > 0


def test_two_caches_see_what_the_other_writes_and_write_nothing_twice(tmp_path: Path):
    one, other = opened(tmp_path), opened(tmp_path)
    for number in range(3):
        one.put(key_of(str(number)), tokens(number))
        other.put(key_of(str(number)), tokens(number))
    one.save()
    assert_has(other, range(3))
    other.save()
    assert len(files(tmp_path)) == 1


@pytest.mark.slow  # of two caches in one process the same is tested above
def test_processes_that_write_at_the_same_time_lose_and_break_nothing(tmp_path: Path):
    # The same functions in new processes: this file, run as a script.
    ranges = [(0, 120), (60, 180)]
    commands = [[sys.executable, __file__, str(tmp_path), str(first), str(after)] for first, after in ranges]
    processes = [subprocess.Popen(command) for command in commands]
    assert [process.wait(300) for process in processes] == [0, 0]
    assert_has(opened(tmp_path), range(180))
    assert list(tmp_path.rglob("*.tmp")) == []


def cut_off(content: bytes) -> bytes:
    return content[:-9]


def emptied(_: bytes) -> bytes:
    return b""


def with_zeros(content: bytes) -> bytes:
    return content.replace(tokens(0).numpy().tobytes(), bytes(48))


@pytest.mark.parametrize("damage", [cut_off, emptied, with_zeros])
def test_a_broken_chunk_is_reported_removed_and_written_again(
    damage: Callable[[bytes], bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    fill(tmp_path, range(1))
    [path] = files(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    cache = opened(tmp_path)
    assert cache.get(key_of("0")) is None
    [message] = caplog.messages
    assert str(path) in message
    assert "is broken" in message
    assert files(tmp_path) == []
    cache.put(key_of("0"), tokens(0))
    cache.save()
    assert files(tmp_path) == [path]
    assert_has(cache, range(1))


def test_what_another_process_removed_is_computed_again(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    fill(tmp_path, range(1))
    cache = opened(tmp_path)
    assert cache.get(key_of("9")) is None  # the chunk is known now
    CacheFolder(tmp_path).prune(0)
    assert cache.get(key_of("0")) is None
    assert caplog.messages == []
    fill(tmp_path, range(1))
    assert_has(cache, range(1))


def test_a_run_goes_on_when_all_within_the_limit_is_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    cache = opened(tmp_path, limit_bytes=1500)
    for number in range(6):
        cache.put(key_of(str(number)), tokens(number, 20))
        cache.save()
    assert not cache.is_writable
    [message] = caplog.messages
    assert "its limit of 1.5e-06 GB; the run goes on" in message
    assert message.endswith("raise FEDPRIME_CACHE_LIMIT")
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 1500
    assert [cache.get(key_of(str(number))) is not None for number in (0, 5)] == [True, False]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_nothing_is_told_once_and_the_run_goes_on(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def refuse(*_: object) -> int:
        raise OSError(code, "the disk takes nothing")

    fill(tmp_path, range(3))
    monkeypatch.setattr(Path, "write_bytes", refuse)
    cache = opened(tmp_path)
    for number in range(3, 5):
        cache.put(key_of(str(number)), tokens(number))
        cache.save()
    [message] = caplog.messages
    assert "takes no more embeddings" in message
    assert "the disk takes nothing" in message
    assert "; the run goes on" in message
    assert list(tmp_path.rglob("*.tmp")) == []
    assert_has(cache, range(3))
    assert cache.get(key_of("3")) is None


def test_a_place_that_is_no_folder_is_told_and_the_run_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        fill(tmp_path / "file", range(2))
    assert len(caplog.messages) == 1
    assert "takes no more embeddings" in caplog.messages[0]


def test_a_stop_while_a_chunk_is_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def stop(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:50])
        raise KeyboardInterrupt

    cache = opened(tmp_path)
    cache.put(key_of("0"), tokens(0))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", stop)
        with pytest.raises(KeyboardInterrupt):
            cache.save()
    assert files(tmp_path) == []
    assert list(tmp_path.rglob("*.tmp")) == []
    fill(tmp_path, range(1))  # the lock is free
    assert_has(opened(tmp_path), range(1))


if __name__ == "__main__":
    fill(Path(sys.argv[1]), range(int(sys.argv[2]), int(sys.argv[3])))
