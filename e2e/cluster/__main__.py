"""The command line: python3 -m e2e.cluster up|down|status|build|image|load|selftest."""

import argparse
import os
import sys
from pathlib import Path

from e2e.cluster import kind
from e2e.cluster.connection import Provider, chosen, load
from e2e.cluster.dockerfiles import build_image, load_image
from e2e.cluster.errors import ClusterError
from e2e.cluster.layout import current
from e2e.cluster.selftest import selftest
from e2e.cluster.starting import build, up
from e2e.cluster.status import print_status
from e2e.cluster.stopping import down


def main() -> int:
    options = _parser().parse_args()
    try:
        match chosen():
            case Provider.HERMETIC:
                return _execute(options)
            case Provider.KIND:
                return _with_kind(options)
            case Provider.CURRENT:
                return _with_current(options)
    except ClusterError as error:
        print(f"e2e.cluster {options.verb}: {error}", file=sys.stderr)
        return 1


def _execute(options: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        print("the cluster needs root: it makes network namespaces and cgroups", file=sys.stderr)
        return 1
    match options.verb:
        case "build":
            build()
        case "up":
            up(current())
        case "down":
            down(current())
        case "status":
            return 0 if print_status(current()) else 1
        case "image":
            build_image(options.tag, options.file or options.context / "Dockerfile",
                        options.context)  # fmt: skip
        case "load":
            load_image(options.archive)
        case "selftest":
            return selftest(current())
    return 0


def _with_kind(options: argparse.Namespace) -> int:
    match options.verb:
        case "up":
            kind.create(current().name)
            print(f"to use it: {kind.program()} export kubeconfig --name {current().name}")
        case "down":
            kind.delete(current().name)
        case "load":
            kind.load_archive(current().name, options.archive)
        case verb:
            raise ClusterError(f"{verb} is for the hermetic cluster (E2E_CLUSTER=hermetic)")
    return 0


def _with_current(options: argparse.Namespace) -> int:
    match options.verb:
        case "up":
            print(f"tests use {load().api_server}")
        case "down":
            print(
                "this cluster is yours: nothing is removed (definitions of Axiom stay: kubectl delete -f crds)"
            )
        case verb:
            raise ClusterError(f"{verb} is for the hermetic cluster (E2E_CLUSTER=hermetic)")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m e2e.cluster", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("build", help="compile and install what a cluster needs")
    verbs.add_parser("up", help="make the cluster named by E2E_CLUSTER_NAME (axiom); see E2E_CLUSTER")
    verbs.add_parser("down", help="remove it")
    verbs.add_parser("status", help="what runs, and where its logs are")
    image = verbs.add_parser("image", help="work with images").add_subparsers(required=True)
    image_build = image.add_parser("build", help="a Dockerfile to an image in the cluster")
    image_build.add_argument("-t", "--tag", required=True)
    image_build.add_argument("-f", "--file", type=Path)
    image_build.add_argument("context", type=Path)
    load = verbs.add_parser("load", help="import an image archive in the cluster")
    load.add_argument("archive", type=Path)
    verbs.add_parser("selftest", help="check that the cluster does what tests rely on")
    return parser


if __name__ == "__main__":
    sys.exit(main())
