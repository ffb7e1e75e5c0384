from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from axiom_sandbox.protocol.identity import Identity, Role
from axiom_sandbox.supervising.picture_folder import MOST_BYTES, PictureFolder, picture_folder
from axiom_sandbox.supervising.picture_headers import Header, read_header
from axiom_sandbox.supervising.settings import SandboxSettings

SIZE = (37, 21)


def picture(kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", SIZE, (9, 8, 7)).save(out, kind, **options)
    return out.getvalue()


PNG = picture("PNG")


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (picture("GIF"), "image/gif"),
        (picture("JPEG"), "image/jpeg"),
        (picture("JPEG", progressive=True, exif=b"Exif\0\0" + b"x" * 3000), "image/jpeg"),
        (picture("WEBP"), "image/webp"),
        (picture("WEBP", lossless=True), "image/webp"),
        (picture("WEBP", exif=b"Exif\0\0x"), "image/webp"),
    ],
    ids=["png", "gif", "jpeg", "jpeg with exif", "webp", "lossless webp", "webp with exif"],
)
def test_format_and_size_are_read_from_the_first_bytes(data: bytes, media_type: str) -> None:
    assert read_header(data) == Header(media_type, *SIZE)


@given(st.binary(max_size=80) | st.tuples(st.sampled_from([PNG[:20], b"\xff\xd8\xff", b"GIF89a", b"RIFFxxxxWEBPVP8 ", b"RIFFxxxxWEBPVP8L", b"RIFFxxxxWEBPVP8X"]), st.binary(max_size=60)).map(b"".join))  # fmt: skip
def test_no_bytes_are_too_strange(data: bytes) -> None:
    found = read_header(data)
    assert found is None or (found.width > 0 and found.height > 0)


class Place:
    """An agent's folder, and where copies go."""

    def __init__(self, base: Path) -> None:
        self.folder, self.target = base / "tmp" / "shots", base / "copy"
        self.folder.mkdir(parents=True)
        self.watched = PictureFolder(base / "tmp", ("shots",))

    def names(self, *, settled: bool = True) -> list[str]:
        names = []
        while found := self.watched.take(self.target, settled=settled):
            names.append(found.name)
        return names


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_each_picture_is_copied_once(place: Place) -> None:
    (place.folder / "a.png").write_bytes(PNG)
    found = place.watched.take(place.target, settled=True)
    assert found is not None
    assert (found.name, found.header, found.fault) == ("a.png", Header("image/png", *SIZE), "")
    assert place.target.read_bytes() == PNG
    assert place.names() == []


def test_what_is_still_being_written_is_left_until_it_rests(place: Place) -> None:
    (place.folder / "a.png").write_bytes(PNG)
    assert place.names(settled=False) == []
    with (place.folder / "a.png").open("ab") as file:
        file.write(b"more")
    assert place.names(settled=False) == []
    assert place.names(settled=False) == ["a.png"]


def test_only_pictures_are_taken_whatever_they_are_called(place: Place) -> None:
    (place.folder / "text.png").write_bytes(b"#!/bin/sh\n")
    (place.folder / "empty.png").touch()
    (place.folder / "picture.txt").write_bytes(PNG)
    (place.folder / "really.JPG").write_bytes(PNG)
    assert place.names() == ["really.JPG"]


def test_no_link_is_followed(place: Place, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(PNG)
    (place.folder / "link.png").symlink_to(tmp_path / "secret.png")
    assert place.names() == []
    for name in list(place.folder.iterdir()):
        name.unlink()
    place.folder.rmdir()
    place.folder.symlink_to(tmp_path)
    assert place.names() == []


def test_nothing_but_files_is_opened(place: Place) -> None:
    os.mkfifo(place.folder / "pipe.png")
    (place.folder / "folder.png").mkdir()
    assert place.names() == []


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert PictureFolder(tmp_path, ("none",)).take(tmp_path / "copy") is None


def test_a_picture_that_is_too_large_is_named_and_not_copied(place: Place) -> None:
    with (place.folder / "large.png").open("wb") as file:
        file.write(PNG)
        file.truncate(MOST_BYTES + 1)
    vast = PNG[:16] + struct.pack(">II", 100_000, 100_000) + PNG[24:]
    (place.folder / "vast.png").write_bytes(vast)
    found = [place.watched.take(place.target, settled=True) for _ in range(2)]
    assert [one.fault for one in found if one] == ["it has more than 8 MiB", "it has 100000x100000 pixels"]
    assert not place.target.exists()


@pytest.mark.parametrize(
    ("path", "base"),
    [("/workspace/out", "w"), ("/home/agent/shots", "h"), ("/tmp/a/b", "t"), ("/tmp", "t"), ("/etc", None), ("/workspaces", None)],
)  # fmt: skip
def test_the_agents_path_is_found_where_we_see_it(tmp_path: Path, path: str, base: str | None) -> None:
    settings = SandboxSettings(
        identity=Identity(namespace="n", task="t", task_id="u", attempt=1, role=Role.AGENT),
        state=tmp_path,
        workspace=tmp_path / "w",
        home=tmp_path / "h",
        tmp=tmp_path / "t",
        launcher_socket=tmp_path / "l",
        channel_socket=tmp_path / "c",
    )
    inside = tmp_path / (base or "w") / "/".join(path.split("/")[3 if base == "h" else 2 :])
    inside.mkdir(parents=True)
    (inside / "a.png").write_bytes(PNG)
    watched = picture_folder(settings, path)
    assert (watched is None) == (base is None)
    if watched:
        found = watched.take(tmp_path / "copy", settled=True)
        assert found is not None
        assert found.name == "a.png"
