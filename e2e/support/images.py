"""The product's images and those of test agents, built once for each content and named by it."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.connection import Connection, load
from e2e.cluster.providing import ctr, digests, has_image, image_name, provide_image
from e2e.cluster.shell import run

ROOT = Path(__file__).parent.parent.parent
AGENTS = ROOT / "e2e" / "agents"
BUILT = ROOT / "build" / "images.json"
"""What was built last, by digest."""
_STANDS_ON = {"jest": "node"}
"""Clean rooms that do not stand on the default one."""
_TRUSTED = ("sandbox-image/axiom_sandbox", "uv.lock", "e2e/cluster/base_images.py")


@dataclass(frozen=True)
class Images:
    """Names of the product's images, present on the node."""

    sandbox: str
    verifier: str
    control_plane: str


def build_product_images(connection: Connection, root: Path = ROOT) -> Images:
    """Builds what is not on the node yet, from this or another tree of the repository. Raises ClusterError."""
    run(["make", "launcher"], cwd=root, timeout_seconds=600)
    return Images(
        sandbox=_product(
            connection,
            root,
            "axiom-sandbox",
            "sandbox-image/Dockerfile",
            (
                "build/launcher",
                "build/installer",
                "sandbox-image/axiom-sandbox",
                "sandbox-image/requirements.txt",
                *_TRUSTED,
            ),
        ),
        verifier=_product(
            connection,
            root,
            "axiom-verifier",
            "sandbox-image/verifier/Dockerfile",
            ("sandbox-image/verifier", "e2e/cluster/base_images.py"),
        ),
        control_plane=_product(
            connection,
            root,
            "axiom-control-plane",
            "operator/Dockerfile",
            ("operator/axiom", "operator/requirements.txt", *_TRUSTED),
        ),
    )


def build_browser_image(connection: Connection, images: Images) -> str:
    """The image that photographs pages, on top of the trusted side's; its name. Raises ClusterError."""
    dockerfile = ROOT / "sandbox-image" / "browser" / "Dockerfile"
    return _build_on(connection, "axiom-browser", dockerfile, "SANDBOX", images.sandbox)


def build_verifier_image(connection: Connection, variant: str, images: Images) -> str:
    """The image of a clean room of another kind, on top of the default one, or of one that stands on that; its name.

    Raises ClusterError.
    """
    dockerfile, below = ROOT / "sandbox-image" / "verifier" / f"{variant}.Dockerfile", _STANDS_ON.get(variant)
    parent = build_verifier_image(connection, below, images) if below else images.verifier
    return _build_on(connection, f"axiom-verifier-{variant}", dockerfile, "VERIFIER", parent)


def _build_on(connection: Connection, name: str, dockerfile: Path, argument: str, parent: str) -> str:
    """An image made of its Dockerfile's folder and of its parent, which the Dockerfile's argument names."""
    inputs = [dockerfile.parent, ROOT / "e2e" / "cluster" / "base_images.py"]
    tag = f"{digest_of_files(inputs)[:8]}{parent.rpartition(':')[2][:8]}"
    image = image_name(connection, name, tag)
    if not has_image(connection, image):
        provide_image(connection, image, dockerfile, ROOT, {argument: parent})
    return image


def build_agent_image(connection: Connection, name: str) -> str:
    """The image of the test agent under e2e/agents/NAME, a Go program in an image of nothing else; its name.

    Raises ClusterError.
    """
    source = AGENTS / name

    def build(image: str) -> None:
        with tempfile.TemporaryDirectory(prefix="axiom-agent-") as folder:
            compile_agent(name, Path(folder) / "agent")
            shutil.copy(source / "Dockerfile", folder)
            provide_image(connection, image, Path(folder) / "Dockerfile", Path(folder))

    return _unless_there(connection, f"agent-{name}", [source], build)


def build_cli_image(connection: Connection, name: str) -> str:
    """The image of a real CLI, from the Dockerfile that users build it with; its name. Raises ClusterError."""
    source = ROOT / "sandbox-image" / "agents" / name
    inputs = [source, ROOT / "e2e" / "cluster" / "base_images.py"]
    return _unless_there(
        connection,
        f"agent-{name}",
        inputs,
        lambda image: provide_image(connection, image, source / "Dockerfile", source),
    )


def tag_image(connection: Connection, image: str, name: str) -> None:
    """Gives an image that is on the hermetic cluster's node another name. Raises ClusterError."""
    run([*ctr(connection), "images", "tag", "--force", image, name])


def _product(connection: Connection, root: Path, name: str, dockerfile: str, inputs: tuple[str, ...]) -> str:
    paths = [root / path for path in (dockerfile, ".dockerignore", *inputs)]
    return _unless_there(
        connection, name, paths, lambda image: provide_image(connection, image, root / dockerfile, root), root
    )


def _unless_there(
    connection: Connection,
    name: str,
    inputs: Iterable[Path],
    build: Callable[[str], None],
    root: Path = ROOT,
) -> str:
    image = image_name(connection, name, digest_of_files(inputs, root))
    if not has_image(connection, image):
        build(image)
    return image


def digest_of_files(paths: Iterable[Path], root: Path = ROOT) -> str:
    """16 hexadecimal digits over the names (from the root on) and contents of files and folders."""
    digest = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                content = hashlib.sha256(file.read_bytes()).hexdigest()
                mode = file.stat().st_mode & 0o111
                digest.update(f"{file.relative_to(root)}\0{mode}\0{content}\n".encode())
    return digest.hexdigest()[:16]


def compile_agent(name: str, target: Path) -> None:
    """Builds the test agent under e2e/agents/NAME as one static file. Raises ClusterError."""
    run(
        ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", target, "."],
        cwd=AGENTS / name,
        env={"CGO_ENABLED": "0"},
        timeout_seconds=600,
    )


def pinned(images: Iterable[str], digests: Mapping[str, str]) -> dict[str, str]:
    """By short name: an image's full name with its digest, as the chart and tasks take it. Pure."""
    return {
        image.rpartition("/")[2].partition(":")[0]: f"{image}@{digests[image]}"
        for image in images
        if image in digests
    }


def main() -> None:
    """Builds the product's images for the running cluster, prints their names, and writes them with digests to build/images.json."""
    connection = load()
    images = build_product_images(connection)
    browser = build_browser_image(connection, images)
    names = (images.sandbox, images.verifier, images.control_plane, browser)
    for name in names:
        print(name)
    found = pinned(names, digests(connection))
    BUILT.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{BUILT.relative_to(ROOT)}: {len(found)} names with digests")


if __name__ == "__main__":
    main()
