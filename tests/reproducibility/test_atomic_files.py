"""Files and folders that appear whole or not at all."""

import contextlib
import errno
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from safetensors import SafetensorError

from fedprime.reproducibility import atomic_files as durable
from fedprime.reproducibility.atomic_files import replaced_file, replaced_folder, write_whole


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "results.json"
    path.write_text("old")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text("old")
    (path / "only-in-the-old").touch()
    return path


def write_half(path: Path, error: type[BaseException]) -> NoReturn:
    path.write_text("half")
    raise error


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def run_and_die(lines: str, path: Path) -> None:
    """Runs lines in another process that dies inside them without cleaning up; `path` is known to them."""
    # By its path, so that the process does not load torch.
    script = (
        "import importlib.util, os, pathlib, sys\n"
        "spec = importlib.util.spec_from_file_location('durable', sys.argv[1])\n"
        "durable = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(durable)\n"
        "path = pathlib.Path(sys.argv[2])\n" + lines
    )
    process = subprocess.run([sys.executable, "-c", script, str(durable.__file__), str(path)], check=False)
    assert process.returncode == 9


# Files


def test_a_file_is_written_where_there_was_none_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "first" / "results.json"
    with replaced_file(path) as beside:
        beside.write_text("new")
    assert content(tmp_path) == {"runs/first/results.json": "new"}


def test_a_file_replaces_the_old_one_and_leaves_nothing_beside_it(file: Path) -> None:
    write_whole(file, "näher")
    assert file.read_bytes() == b"n\xc3\xa4her"
    assert [path.name for path in file.parent.iterdir()] == ["results.json"]


def test_readers_see_the_old_file_until_the_new_one_is_whole(file: Path) -> None:
    with replaced_file(file) as beside:
        beside.write_text("ne")
        assert file.read_text() == "old"
        beside.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_while_writing_leaves_the_old_file(file: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), replaced_file(file) as beside:
        write_half(beside, error)
    assert content(file.parent) == {"results.json": "old"}


def test_a_file_that_was_not_written_leaves_the_old_one(file: Path) -> None:
    with pytest.raises(FileNotFoundError), replaced_file(file):
        pass
    assert content(file.parent) == {"results.json": "old"}


def test_a_full_disk_is_told_with_what_could_not_be_written(file: Path) -> None:
    for replaced in (replaced_file, replaced_folder):
        path = file if replaced is replaced_file else file.with_name("folder")
        with pytest.raises(OSError, match=f"No space left on device: '{path}'"), replaced(path):
            raise OSError(errno.ENOSPC, "No space left on device")


def test_a_process_that_is_killed_while_writing_leaves_the_old_file(file: Path) -> None:
    run_and_die("with durable.replaced_file(path) as beside:\n    beside.write_text('half')\n    os._exit(9)", file)
    assert file.read_text() == "old"


def test_a_file_is_on_the_disk_before_it_takes_its_place(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def recorded_fsync(descriptor: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def recorded_replace(path: Path, target: Path) -> Path:
        events.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(Path, "replace", recorded_replace)
    with replaced_file(file) as beside:
        beside.write_text("new")
    assert events == ["file", "rename", "folder"]


def test_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with (
            pytest.raises(OSError, match="a device or a pipe is not replaced by a file"),
            replaced_file(tmp_path / name),
        ):
            pass
    assert stat.S_ISFIFO((tmp_path / "link").stat().st_mode)


def test_what_a_link_leads_to_is_replaced(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    with replaced_file(link) as beside:
        beside.write_text("new")
    assert link.is_symlink()
    assert file.read_text() == "new"


def test_on_windows_no_folder_is_opened_and_what_is_flushed_is_open_for_writing(
    file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[bool, int]] = []
    before = os.open

    def recorded_open(path: Path, flags: int, *more: int, **named: object) -> int:
        if "dir_fd" not in named:  # of `shutil.rmtree`
            opened.append((Path(path).is_dir(), flags))
        return before(path, flags, *more, **named)

    monkeypatch.setattr(durable, "_IS_WINDOWS", True)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    monkeypatch.setattr(os, "open", recorded_open)
    with replaced_file(file) as beside:
        beside.write_text("new")
    with replaced_folder(folder) as beside:
        (beside / "a").write_text("new")
    assert opened == [(False, os.O_RDWR), (False, os.O_RDWR)]
    assert file.read_text() == (folder / "a").read_text() == "new"


def test_a_file_in_the_working_folder_can_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with replaced_file(Path("results.json")) as beside:
        beside.write_text("new")
    assert content(tmp_path) == {"results.json": "new"}


# Folders


def test_a_folder_is_written_where_there_was_none_and_its_parent_is_made(tmp_path: Path) -> None:
    with replaced_folder(tmp_path / "runs" / "model") as beside:
        (beside / "config.json").write_text("new")
    assert content(tmp_path) == {"runs/model/config.json": "new"}


def test_a_folder_takes_the_place_of_the_old_one_as_a_whole(folder: Path) -> None:
    with replaced_folder(folder) as beside:
        assert list(beside.iterdir()) == []
        (beside / "config.json").write_text("new")
        assert content(folder)["config.json"] == "old"
    assert content(folder.parent) == {"model/config.json": "new"}
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_while_filling_leaves_the_old_folder(folder: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), replaced_folder(folder) as beside:
        write_half(beside / "config.json", error)
    assert content(folder.parent) == {"model/config.json": "old", "model/only-in-the-old": ""}


@pytest.mark.parametrize(("of_folder", "of_file"), [(0o755, 0o644), (0o770, 0o660), (0o700, 0o600)])
def test_files_in_a_folder_can_be_read_by_whoever_can_read_the_folder(of_folder: int, of_file: int, tmp_path: Path):
    with replaced_folder(tmp_path / "m") as beside:
        beside.chmod(of_folder)
        (beside / "inner").mkdir()
        (beside / "inner" / "a").touch(mode=0o600)  # as safetensors writes
    assert stat.S_IMODE((tmp_path / "m" / "inner" / "a").stat().st_mode) == of_file


def test_a_folder_that_went_away_while_it_was_filled_leaves_the_old_one(folder: Path) -> None:
    with pytest.raises(FileNotFoundError), replaced_folder(folder) as beside:
        shutil.rmtree(beside)
    assert content(folder)["config.json"] == "old"


def test_a_process_that_is_killed_while_filling_leaves_the_old_folder(folder: Path) -> None:
    run_and_die(
        "with durable.replaced_folder(path) as beside:\n    (beside / 'config.json').touch()\n    os._exit(9)", folder
    )
    assert content(folder)["config.json"] == "old"


def test_a_folder_that_may_not_be_replaced_is_not(folder: Path) -> None:
    def fill() -> None:
        with replaced_folder(folder, overwrites=False) as beside:
            (beside / "config.json").write_text("new")

    with pytest.raises(OSError, match="not empty"):
        fill()
    assert content(folder.parent) == {"model/config.json": "old", "model/only-in-the-old": ""}


def test_a_file_is_not_replaced_by_a_folder_that_may_not_overwrite(file: Path) -> None:
    with pytest.raises(NotADirectoryError), replaced_folder(file, overwrites=False):
        pass
    assert content(file.parent) == {"results.json": "old"}


@pytest.mark.parametrize("ending", ["tmp", "old"])
def test_what_a_killed_process_of_the_same_number_left_behind_is_not_in_the_way(folder: Path, ending: str) -> None:
    # In a container, the program often has the same process number every time.
    left = folder.with_name(f".model.{os.getpid()}.{ending}")
    left.mkdir()
    (left / "half").touch()
    with replaced_folder(folder) as beside:
        assert list(beside.iterdir()) == []
        (beside / "config.json").write_text("new")
    assert content(folder) == {"config.json": "new"}


@pytest.mark.parametrize("replaced", [replaced_file, replaced_folder])
def test_what_killed_processes_began_is_removed_and_nothing_else(tmp_path: Path, replaced: Callable):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = {
        "long dead": f".m.{ended.pid}.tmp",
        "just now": f".m.{10**30}.tmp",
        "alive": f".m.{os.getppid()}.tmp",
        "of another name": f".m.x.{ended.pid}.tmp",
        "old content": f".m.{ended.pid}.old",
    }
    for kind, name in names.items():
        (tmp_path / name).mkdir()
        for path in (tmp_path / name / "half", tmp_path / name):
            path.touch()
            os.utime(path, None if kind == "just now" else (1e9, 1e9))
    (tmp_path / f".m.{10**20}.tmp").touch()
    os.utime(tmp_path / f".m.{10**20}.tmp", (1e9, 1e9))
    with replaced(tmp_path / "m") as beside:
        beside.touch()
    assert {path.name for path in tmp_path.iterdir()} == {"m", *names.values()} - {names["long dead"]}


def test_a_folder_comes_back_when_it_is_interrupted_between_the_two_renamings(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if path.name.endswith(".tmp"):
            raise KeyboardInterrupt
        return rename(path, target)

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(Path, "rename", interrupted)
    with contextlib.suppress(KeyboardInterrupt), replaced_folder(folder) as beside:
        (beside / "new").write_text("new")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_full_disk_that_a_library_tells_in_its_own_way_is_an_error_of_the_system(file: Path, folder: Path):
    full = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    for replaced, path in ((replaced_file, file), (replaced_folder, folder)):
        with pytest.raises(OSError, match=r"cannot be written: Error while serializing.*No space left"), replaced(path):
            raise full
    assert file.read_text() == "old"
    assert (folder / "config.json").read_text() == "old"
