"""Archives from elsewhere: downloaded with resume, checked, unpacked whole or not at all, inside their folder."""

import json
import os
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from eecore.data.files import cache_folder, data_folders, file_digest, file_lock, find, write_atomically
from eecore.errors import DataError

SECONDS = 60  # how long a silent server is waited for
PIECE = 1 << 18  # bytes that are read at once
SUMS = "eecore-sha256.json"  # checksum of each file of an archive, written when it is unpacked


@dataclass(frozen=True)
class Archive:
    """A .tar.gz or .zip file as its authors publish it.

    Args:
        url: where it is.
        md5: its checksum; md5 because that is what the authors publish.
        folder: the one folder in it.
    """

    url: str
    md5: str
    folder: str

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]


def fetch_archive(name: str, archive: Archive, base_url: str | None = None) -> Path:
    """The unpacked archive in the cache folder; downloaded where it is not there yet.

    An archive file that lies in one of the data folders already is unpacked without a download.

    Args:
        name: of the data set, for errors.
        archive: what it is.
        base_url: folder of a mirror; None: the authors' address.
    Returns:
        The folder that holds the archive's folder.
    Raises:
        DataError: the download fails, the checksum is wrong, or the archive would write outside its folder.
    """
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with file_lock(cache / f".{archive.folder}.lock"):
            if not (cache / archive.folder / SUMS).is_file() or changed_files(cache / archive.folder):
                path = find([archive.file], data_folders())
                if path is None:
                    url = f"{base_url.rstrip('/')}/{archive.file}" if base_url else archive.url
                    path = download(url, cache / archive.file, archive.md5)
                elif file_digest(path, "md5") != archive.md5:
                    raise DataError(f"{name}: {path} is damaged or another version: its md5 is not {archive.md5}")
                unpack(path, cache, archive.folder)
                if path.parent == cache:
                    path.unlink()
    except OSError as problem:
        raise DataError(f"{name}: {archive.file} cannot be had: {' '.join(str(problem).split())}") from problem
    return cache


def download(url: str, to: Path, md5: str) -> Path:
    """A file from the network; what a download that broke off left is continued.

    Args:
        url: address; a server that knows byte ranges allows to continue.
        to: where the file goes once its checksum is right; until then the name has ".part" behind it.
        md5: its checksum.
    Returns:
        `to`.
    Raises:
        DataError: the checksum is wrong; nothing is kept.
        OSError: no network or no disk; the part that arrived stays for the next time.
    """
    part = to.with_name(f"{to.name}.part")
    began = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={began}-"} if began else {})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            _receive(answer, part, began)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416:  # 416: nothing lies behind the part, so it is whole, or not the file
            raise
    if file_digest(part, "md5") != md5:
        part.unlink()
        raise DataError(f"{url} is damaged or another version: its md5 is not {md5}; it was not kept")
    os.replace(part, to)
    return to


def _receive(answer: Any, part: Path, began: int) -> None:
    """Append what comes to `part`, or write it anew where the server does not continue."""
    continues = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {began}-")
    done = began if continues else 0
    length = answer.headers.get("Content-Length")
    total = done + int(length) if length else None
    bar = tqdm(initial=done, total=total, unit="B", unit_scale=True, desc=part.name.removesuffix(".part"))
    with bar, open(part, "ab" if continues else "wb") as file:
        while piece := answer.read(PIECE):
            file.write(piece)
            bar.update(len(piece))
    if total is not None and part.stat().st_size < total:
        raise OSError(f"the connection broke at {part.stat().st_size} of {total} bytes; fetch again to continue")


def unpack(archive: Path, to: Path, folder: str) -> Path:
    """Unpack `folder` of an archive into `to`: whole or not at all; one that was there is replaced.

    Args:
        archive: .tar.gz or .zip; every name in it is checked before anything is written.
        to: an existing folder.
        folder: the archive's top folder.
    Returns:
        to / folder, with the checksum of each file beside them.
    Raises:
        DataError: it cannot be read, holds a name outside `folder`, a link or a device, or has no such folder.
    """
    with tempfile.TemporaryDirectory(dir=to, prefix=".unpack-") as temporary:
        inside = Path(temporary) / "new"
        try:
            _extract(archive, inside, folder)
        except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as problem:
            raise DataError(f"{archive} cannot be unpacked: {' '.join(str(problem).split())}") from problem
        fresh = inside / folder
        if not fresh.is_dir():
            raise DataError(f"{archive} holds no folder {folder}")
        sums = {str(path.relative_to(fresh)): file_digest(path) for path in sorted(fresh.rglob("*")) if path.is_file()}
        write_atomically(fresh / SUMS, json.dumps(sums, indent=0).encode())
        if (to / folder).exists():
            os.replace(to / folder, Path(temporary) / "old")
        os.replace(fresh, to / folder)
    return to / folder


def _extract(archive: Path, to: Path, folder: str) -> None:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                link = entry.external_attr >> 28 == 0o12  # the file type of a symbolic link, in Unix archives
                _check_member(archive, entry.filename, folder, plain=not link)
            packed.extractall(to)
        return
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            _check_member(archive, member.name, folder, plain=member.isreg() or member.isdir())
        # the filter checks once more; Python 3.11.0 to 3.11.3 do not have it
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(to)


def _check_member(archive: Path, name: str, folder: str, plain: bool) -> None:
    """Raise DataError where a member is not a plain file or folder inside `folder`."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    outside = not parts or parts[0] != folder or ".." in parts
    if outside or not plain:
        what = f"would write outside {folder}" if outside else "holds something that is no file or folder"
        raise DataError(f"{archive} {what}: {name!r}; nothing was unpacked")


def changed_files(folder: Path) -> list[str]:
    """Names of files that are not what they were when `folder` was unpacked; empty where nothing is known of them.

    Args:
        folder: from `unpack`, or any other.
    """
    record = folder / SUMS
    if not record.is_file():
        return []
    try:
        sums = json.loads(record.read_text())
        here = {name: folder / name for name in sums}
        return [n for n, path in here.items() if not path.is_file() or file_digest(path) != sums[n]]
    except (OSError, ValueError, AttributeError):
        return [SUMS]


def locate(folder: str) -> Path | None:
    """The first data folder's `folder` that exists."""
    places = (place / folder for place in data_folders())
    return next((place for place in places if place.is_dir()), None)


def missing(name: str, folder: str, archive: Archive) -> DataError:
    """The error that says where a data set was looked for and how to get it."""
    places = ", ".join(str(place / folder) for place in data_folders())
    return DataError(
        f"{name}: not on this machine; looked for {places}. Get it by python -m eecore data fetch {name}, "
        f"or unpack {archive.file} into a folder and set EECORE_DATA to that folder"
    )
