"""Writing a one-layer image as a `docker load` archive, which containerd and buildah both read."""

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Image:
    """What a one-layer image says about itself."""

    name: str
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write_archive(image: Image, layer: Path, archive: Path) -> None:
    """Write `archive` with `layer` (an uncompressed tar file) as the image's only layer."""
    with layer.open("rb") as content:
        layer_digest = hashlib.file_digest(content, "sha256").hexdigest()
    configuration = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Env": [f"PATH={image.path}"],
                "Entrypoint": list(image.entrypoint) or None,
                "Cmd": list(image.command) or None,
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
            "history": [{"created_by": "e2e.cluster"}],
        },
        sort_keys=True,
    ).encode()
    configuration_name = f"{hashlib.sha256(configuration).hexdigest()}.json"
    manifest = json.dumps(
        [{"Config": configuration_name, "RepoTags": [image.name], "Layers": ["layer.tar"]}]
    ).encode()
    unfinished = archive.with_suffix(".unfinished")
    with tarfile.open(unfinished, "w") as output:
        for name, data in ((configuration_name, configuration), ("manifest.json", manifest)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            output.addfile(member, io.BytesIO(data))
        output.add(layer, "layer.tar")
    unfinished.rename(archive)


def write_layer_of_one_file(program: Path, layer: Path) -> None:
    """Write a layer that holds one executable at the root, owned by root."""
    with tarfile.open(layer, "w") as output:
        member = tarfile.TarInfo(program.name)
        member.size = program.stat().st_size
        member.mode = 0o755
        with program.open("rb") as content:
            output.addfile(member, content)
