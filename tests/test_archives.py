"""Downloads that break off, archives that are damaged or evil, and what is unpacked.

The server knows byte ranges, breaks off when told to, and counts what it sends.
"""

import hashlib
import http.server
import io
import re
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from eecore.data import archives
from eecore.data.archives import Archive
from eecore.errors import DataError

CONTENT = {"pack/a.txt": b"first", "pack/deep/b.txt": b"second" * 50_000}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def tar_of(members: dict[str, bytes], extra: tarfile.TarInfo | None = None) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        if extra is not None:
            tar.addfile(extra)
    return packed.getvalue()


def zip_of(members: dict[str, bytes], link: str | None = None) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        if link:
            entry = zipfile.ZipInfo(link)
            entry.external_attr = 0o120777 << 16
            archive.writestr(entry, "/etc/passwd")
    return packed.getvalue()


class Server:
    """What is served, after how many bytes the next answer breaks off, and which ranges were asked for."""

    def __init__(self) -> None:
        self.content = b""
        self.breaks_after: int | None = None
        self.ranges = True
        self.asked: list[int] = []
        self.url = ""

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        found = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        start = int(found.group(1)) if found and self.ranges else 0
        self.asked.append(start)
        if start >= len(self.content):
            handler.send_response(416)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        body = self.content[start:]
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body if self.breaks_after is None else body[: self.breaks_after])
        self.breaks_after = None


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.answer(self)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        told.url = f"http://127.0.0.1:{running.server_port}/pack.tar.gz"
        yield told
        running.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EECORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EECORE_DATA", raising=False)
    return tmp_path / "cache"


# ---- download


def test_a_broken_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.content, server.breaks_after = bytes(range(256)) * 4000, 300_000
    to = tmp_path / "file"
    with pytest.raises(OSError, match="broke at 300000 of 1024000 bytes"):
        archives.download(server.url, to, md5(server.content))
    assert not to.exists()
    assert archives.download(server.url, to, md5(server.content)).read_bytes() == server.content
    assert server.asked == [0, 300_000]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_server_without_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.content, server.ranges = b"x" * 5000, False
    (tmp_path / "file.part").write_bytes(b"x" * 99)
    assert archives.download(server.url, tmp_path / "file", md5(server.content)).read_bytes() == server.content


def test_a_part_that_is_whole_needs_nothing(server: Server, tmp_path: Path) -> None:
    server.content = b"x" * 5000
    (tmp_path / "file.part").write_bytes(server.content)
    assert archives.download(server.url, tmp_path / "file", md5(server.content)).stat().st_size == 5000


@pytest.mark.parametrize("part", [b"", b"wrong beginning", b"too long" * 1000])
def test_a_wrong_checksum_keeps_nothing(part: bytes, server: Server, tmp_path: Path) -> None:
    server.content = b"x" * 5000
    if part:
        (tmp_path / "file.part").write_bytes(part)
    with pytest.raises(DataError, match="damaged or another version: its md5 is not 0123") as caught:
        archives.download(server.url, tmp_path / "file", "0123")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


# ---- unpack


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_unpacked_files_are_what_was_packed(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"pack.{kind}"
    path.write_bytes((tar_of if kind == "tar.gz" else zip_of)(CONTENT))
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "old").write_text("of an earlier time")
    folder = archives.unpack(path, tmp_path, "pack")
    assert {f"pack/{p.relative_to(folder)}": p.read_bytes() for p in folder.rglob("*.txt")} == CONTENT
    assert archives.changed_files(folder) == []
    assert not (folder / "old").exists()
    (folder / "a.txt").write_bytes(b"First")
    (folder / "deep" / "b.txt").unlink()
    assert archives.changed_files(folder) == ["a.txt", "deep/b.txt"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pack", path.name]


def _device() -> tarfile.TarInfo:
    entry = tarfile.TarInfo("pack/device")
    entry.type = tarfile.CHRTYPE
    return entry


def _link(kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo("pack/link")
    entry.type, entry.linkname = kind, "../../evil"
    return entry


EVIL = {
    "parent.tar.gz": (tar_of({**CONTENT, "../evil": b"!"}), "outside pack: '../evil'"),
    "inner.tar.gz": (tar_of({**CONTENT, "pack/../../evil": b"!"}), "outside pack"),
    "absolute.tar.gz": (tar_of({**CONTENT, "/tmp/evil": b"!"}), "outside pack"),
    "symlink.tar.gz": (tar_of(CONTENT, _link(tarfile.SYMTYPE)), "no file or folder"),
    "hardlink.tar.gz": (tar_of(CONTENT, _link(tarfile.LNKTYPE)), "no file or folder"),
    "device.tar.gz": (tar_of(CONTENT, _device()), "no file or folder"),
    "parent.zip": (zip_of({**CONTENT, "../evil": b"!"}), "outside pack: '../evil'"),
    "windows.zip": (zip_of({**CONTENT, "pack\\..\\..\\evil": b"!"}), "outside pack"),
    "symlink.zip": (zip_of(CONTENT, link="pack/link"), "no file or folder"),
    "beside.zip": (zip_of({**CONTENT, "other/evil": b"!"}), "outside pack"),
    "empty.tar.gz": (tar_of({}), "holds no folder pack"),
    "cut.tar.gz": (tar_of(CONTENT)[:-200], "cannot be unpacked"),
    "cut.zip": (zip_of(CONTENT)[:-30], "cannot be unpacked"),
    "page.zip": (b"<html>", "cannot be unpacked"),
    "page.tar.gz": (b"<html>", "cannot be unpacked"),
}


@pytest.mark.parametrize("name", EVIL)
def test_an_archive_writes_inside_its_folder_or_not_at_all(name: str, tmp_path: Path) -> None:
    content, message = EVIL[name]
    place = tmp_path / "deep" / "place"
    place.mkdir(parents=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        archives.unpack(tmp_path / name, place, "pack")
    assert "\n" not in str(caught.value)
    assert list(place.iterdir()) == []
    assert not list(tmp_path.rglob("evil"))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["deep", name])


# ---- both


def test_fetch_downloads_once_and_repairs(server: Server, cache: Path) -> None:
    server.content = tar_of(CONTENT)
    archive = Archive(server.url, md5(server.content), "pack")
    assert archives.fetch_archive("toy", archive) == cache
    assert (cache / "pack" / "a.txt").read_bytes() == b"first"
    archives.fetch_archive("toy", archive)
    assert len(server.asked) == 1
    (cache / "pack" / "a.txt").write_bytes(b"damaged")
    archives.fetch_archive("toy", archive, base_url=server.url.rpartition("/")[0] + "/")
    assert (cache / "pack" / "a.txt").read_bytes() == b"first"
    assert not list(cache.glob("*.tar.gz*"))


def test_fetch_takes_an_archive_that_is_here(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EECORE_DATA", str(tmp_path))
    content = tar_of(CONTENT)
    (tmp_path / "pack.tar.gz").write_bytes(content)
    nowhere = "http://127.0.0.1:9/pack.tar.gz"
    archives.fetch_archive("toy", Archive(nowhere, md5(content), "pack"))
    assert (cache / "pack" / "a.txt").is_file()
    assert (tmp_path / "pack.tar.gz").is_file()  # the user's own stays
    with pytest.raises(DataError, match=r"toy: .*is damaged or another version: its md5 is not 0"):
        archives.fetch_archive("toy", Archive("http://127.0.0.1:9/pack.tar.gz", "0", "other"))
    (tmp_path / "pack.tar.gz").unlink()
    with pytest.raises(DataError, match=r"toy: pack\.tar\.gz cannot be had: .*refused"):
        archives.fetch_archive("toy", Archive(nowhere, "0", "other"))
