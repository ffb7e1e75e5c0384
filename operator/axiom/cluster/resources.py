"""The kinds of objects that the control plane touches, and their paths in the API. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]
"""A Kubernetes object as JSON."""


@dataclass(frozen=True)
class Resource:
    """One kind of object."""

    group_version: str
    """`v1` for the core group, else `<group>/<version>`."""
    plural: str
    kind: str

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Path of a collection, an object or its subresource; no namespace: cluster-wide."""
        root = "/api" if "/" not in self.group_version else "/apis"
        parts = [root, self.group_version]
        if namespace:
            parts += ["namespaces", namespace]
        return "/".join([*parts, self.plural, *(part for part in (name, subresource) if part)])


PODS = Resource("v1", "pods", "Pod")
CONFIG_MAPS = Resource("v1", "configmaps", "ConfigMap")
SECRETS = Resource("v1", "secrets", "Secret")
EVENTS = Resource("v1", "events", "Event")
NETWORK_POLICIES = Resource("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy")
DEPLOYMENTS = Resource("apps/v1", "deployments", "Deployment")
DEFINITIONS = Resource("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition")
LEASES = Resource("coordination.k8s.io/v1", "leases", "Lease")
AGENT_TASKS = Resource("axiom.dev/v1alpha1", "agenttasks", "AgentTask")
VERIFICATION_PROFILES = Resource("axiom.dev/v1alpha1", "verificationprofiles", "VerificationProfile")
AGENT_CLASSES = Resource("axiom.dev/v1alpha1", "agentclasses", "AgentClass")
TOKEN_REVIEWS = Resource("authentication.k8s.io/v1", "tokenreviews", "TokenReview")
SELF_REVIEWS = Resource("authentication.k8s.io/v1", "selfsubjectreviews", "SelfSubjectReview")
ACCESS_REVIEWS = Resource("authorization.k8s.io/v1", "subjectaccessreviews", "SubjectAccessReview")


def name_of(item: Object) -> str:
    """metadata.name."""
    return str(item["metadata"]["name"])


def namespace_of(item: Object) -> str:
    """metadata.namespace; "" for what lies in none."""
    return str(item["metadata"].get("namespace", ""))


def uid_of(item: Object) -> str:
    """metadata.uid."""
    return str(item["metadata"]["uid"])


def version_of(item: Object) -> int:
    """metadata.resourceVersion. Since Kubernetes 1.35 versions of one resource may be compared, as numbers."""
    return int(item["metadata"]["resourceVersion"])
