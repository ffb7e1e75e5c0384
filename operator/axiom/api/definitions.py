"""The CustomResourceDefinitions of AgentTask, AgentClass and VerificationProfile."""

from __future__ import annotations

from typing import Any

from axiom.api.agentclass import AgentClass, AgentClassSpec
from axiom.api.agenttask import GROUP, VERSION, AgentTask, AgentTaskSpec, AgentTaskStatus
from axiom.api.profile import VerificationProfile, VerificationProfileSpec
from axiom.api.schemas import StructuralSchemas


def agent_tasks() -> dict[str, Any]:
    """The definition of AgentTask."""
    version = _version(AgentTask, StructuralSchemas(AgentTaskSpec, with_defaults=True).build())
    status = StructuralSchemas(AgentTaskStatus, with_defaults=False).build()
    version["schema"]["openAPIV3Schema"]["properties"]["status"] = status
    version["subresources"] = {"status": {}}
    version["additionalPrinterColumns"] = [
        _column("Agent", ".spec.agentClassName", "The AgentClass."),
        _column("State", ".status.state", "One word, derived from the conditions."),
        _column("Verdict", ".status.verdict", "What the verifiers found."),
        _column("Round", ".status.round", "The present round.", type="integer"),
        _column(
            "Cost", ".status.usage.cost", "What its models' vendors take for it, where prices are known."
        ),
        _column("Age", ".metadata.creationTimestamp", "Since the task was created.", type="date"),
        _column(
            "Reason",
            '.status.conditions[?(@.type=="Complete")].reason',
            "Why it is complete, or not yet.",
            priority=1,
        ),
        _column(
            "Context", ".status.agent.context", "How full the agent's context is, as it says.", priority=1
        ),
        _column("Claim", ".status.claim.says", "What the agent said at the end.", priority=1),
        _column(
            "Disagrees",
            ".status.claimDisagreement",
            "Whether the evidence says otherwise of something that the agent claimed.",
            type="boolean",
            priority=1,
        ),
        _column("Message", ".status.message", "Why, for a person.", priority=1),
    ]
    names = {"kind": "AgentTask", "plural": "agenttasks", "singular": "agenttask", "shortNames": ["at"]}
    return _definition(names, "Namespaced", version)


def agent_classes() -> dict[str, Any]:
    """The definition of AgentClass."""
    version = _version(AgentClass, StructuralSchemas(AgentClassSpec, with_defaults=True).build())
    version["additionalPrinterColumns"] = [
        _column("Driver", ".spec.driver", "How Axiom speaks with the agent."),
        _column("Image", ".spec.image", "The agent's image."),
        _column("Network", ".spec.network", "What the agent may reach besides the egress proxy."),
        _column("Age", ".metadata.creationTimestamp", "Since the class was created.", type="date"),
        _column("Runtime", ".spec.runtimeClassName", "RuntimeClass of the pods.", priority=1),
    ]
    names = {"kind": "AgentClass", "plural": "agentclasses", "singular": "agentclass", "shortNames": ["ac"]}
    return _definition(names, "Cluster", version)


def verification_profiles() -> dict[str, Any]:
    """The definition of VerificationProfile."""
    version = _version(
        VerificationProfile, StructuralSchemas(VerificationProfileSpec, with_defaults=True).build()
    )
    version["additionalPrinterColumns"] = [
        _column("Age", ".metadata.creationTimestamp", "Since the profile was created.", type="date")
    ]
    names = {
        "kind": "VerificationProfile",
        "plural": "verificationprofiles",
        "singular": "verificationprofile",
        "shortNames": ["vp"],
    }
    return _definition(names, "Namespaced", version)


ALL = (agent_tasks, agent_classes, verification_profiles)
"""Makes each of the definitions."""


def _version(
    model: type[AgentTask | AgentClass | VerificationProfile], spec: dict[str, Any]
) -> dict[str, Any]:
    heads = {"apiVersion": model.model_fields["api_version"], "kind": model.model_fields["kind"]}
    root = {name: {"type": "string", "description": field.description} for name, field in heads.items()}
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "description": model.__doc__,
                "properties": {**root, "metadata": {"type": "object"}, "spec": spec},
                "required": ["spec"],
            }
        },
    }


def _column(
    name: str, path: str, description: str, *, type: str = "string", priority: int = 0
) -> dict[str, Any]:
    return {"name": name, "type": type, "jsonPath": path, "description": description, "priority": priority}


def _definition(names: dict[str, Any], scope: str, version: dict[str, Any]) -> dict[str, Any]:
    names = names | {"listKind": f"{names['kind']}List", "categories": ["axiom"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": scope, "versions": [version]},
    }
