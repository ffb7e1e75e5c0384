"""A real one-node Kubernetes for the end-to-end tests, with no container registry.

Everything is built from Go modules and Debian packages, and one cluster lives in
one network namespace, one pair of state folders and one cgroup, all derived from
its name. `python3 -m e2e.cluster up` makes it, `down` removes every trace of it.

What other tests import: `e2e.cluster.connection.load` (how to reach the cluster) and
`e2e.cluster.dockerfiles.build_image` (a Dockerfile to an image in the cluster).
"""
