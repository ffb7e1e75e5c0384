"""Every image that the tests use, built into the cluster: `python -m e2e.support.preloading`. For E2E_IMAGES=preloaded."""

from __future__ import annotations

from e2e.cluster.connection import load
from e2e.support.chart import build_storage_image
from e2e.support.images import AGENTS, build_agent_image, build_browser_image, build_product_images


def main() -> None:
    """Builds what is not there yet, and prints the names. Codex's image apart, which only the hermetic cluster's tests use."""
    connection = load()
    images = build_product_images(connection)
    agents = [folder.name for folder in sorted(AGENTS.iterdir()) if (folder / "main.go").is_file()]
    for name in (
        images.sandbox,
        images.verifier,
        images.control_plane,
        build_browser_image(connection, images),
        build_storage_image(connection),
        *(build_agent_image(connection, agent) for agent in agents),
    ):
        print(name)


if __name__ == "__main__":
    main()
