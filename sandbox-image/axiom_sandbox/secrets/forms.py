"""What keys, tokens and passwords look like: the one list of forms.

Most vendors gave their keys a form by which they are told from other text; a name that says secret beside a value that looks
random is taken for one, too. A new kind is one line here. Every pattern is RE2 and stays within one line, so that text may be
looked through line by line; private keys, which have many lines, are found by their first and last (`BEGIN`, `END`).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import re2

_SHOWN = 4
_MIN_RUN = 8
_MIXED = 0.4
"""How often letters, digits and cases change from one character to the next, where nobody wrote words."""
_NOT_A_RUN = re2.compile(rb"[^A-Za-z0-9]")

BEGIN = rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
"""The first line of a private key."""
END = rb"-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
"""The last one."""


@dataclass(frozen=True)
class Form:
    """What a kind of secret looks like. The first group, or all of it, is the secret."""

    kind: str
    pattern: str
    hint: str
    """Words in small letters, of which one must occur: most text is passed over without a search."""
    shown: int = _SHOWN
    """Characters that only say whose it is."""
    random: bool = False
    """Whether the value must look random, as nothing else tells it from other text."""


# Boundaries are those of a word, so that a longer text of the same letters is none.
FORMS: tuple[Form, ...] = (
    Form("AWS access key id", r"\b((?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16})\b", "akia asia abia acca"),
    Form("GitHub token", r"\b((?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{36,255})\b", "ghp_ gho_ ghu_ ghs_ ghr_"),
    Form("GitHub token", r"\b(github_pat_[A-Za-z0-9_]{60,255})\b", "github_pat_"),
    Form("GitLab token", r"\b(gl(?:pat|ptt|dt|rt|cbt|soat|ft|imt|agent)-[A-Za-z0-9_-]{20,255})\b", "glpat glptt gldt glrt glcbt glsoat glft glimt glagent"),
    Form("Slack token", r"\b(xox[abeoprs]-[A-Za-z0-9-]{20,255})\b", "xox"),
    Form("Slack app token", r"\b(xapp-[0-9]-[A-Za-z0-9-]{30,255})\b", "xapp-"),
    Form("Slack webhook", r"hooks\.slack\.com/(?:services|workflows)/(T[A-Za-z0-9]{6,}/[A-Za-z0-9]{6,}/[A-Za-z0-9]{20,})", "hooks.slack.com", 1),
    Form("Stripe key", r"\b((?:sk|rk)_(?:live|test)_[A-Za-z0-9]{20,255})\b", "sk_live_ rk_live_ sk_test_ rk_test_"),
    Form("Stripe webhook secret", r"\b(whsec_[A-Za-z0-9+/]{32,255})", "whsec_"),
    Form("OpenAI key", r"\b(sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,255})", "sk-proj- sk-svcacct- sk-admin-"),
    Form("OpenAI key", r"\b(sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})\b", "t3blbkfj"),
    Form("Anthropic key", r"\b(sk-ant-[a-z0-9]+-[A-Za-z0-9_-]{60,255})", "sk-ant-"),
    Form("OpenRouter key", r"\b(sk-or-v1-[a-f0-9]{64})\b", "sk-or-"),
    Form("Google API key", r"\b(AIza[A-Za-z0-9_-]{35})\b", "aiza"),
    Form("Google OAuth secret", r"\b(GOCSPX-[A-Za-z0-9_-]{28})", "gocspx-"),
    Form("Google OAuth token", r"\b(ya29\.[A-Za-z0-9_-]{30,1000})", "ya29."),
    Form("npm token", r"\b(npm_[A-Za-z0-9]{36})\b", "npm_"),
    Form("PyPI token", r"\b(pypi-AgE[A-Za-z0-9_-]{50,1000})", "pypi-age"),
    Form("RubyGems token", r"\b(rubygems_[a-f0-9]{48})\b", "rubygems_"),
    Form("crates.io token", r"\b(cio[A-Za-z0-9]{32})\b", "cio", random=True),
    Form("Docker Hub token", r"\b(dckr_(?:pat|oat)_[A-Za-z0-9_-]{27,100})", "dckr_"),
    Form("Hugging Face token", r"\b((?:hf|api_org)_[A-Za-z]{34})\b", "hf_ api_org_"),
    Form("SendGrid key", r"\b(SG\.[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9_-]{39,50})\b", "sg."),
    Form("Mailgun key", r"\b(key-[a-f0-9]{32})\b", "key-"),
    Form("Twilio key", r"\b(SK[a-f0-9]{32})\b", "sk"),
    Form("Telegram bot token", r"\b([0-9]{8,10}:AA[A-Za-z0-9_-]{33})\b", ":aa", 0),
    Form("Discord bot token", r"\b([MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40})\b", "."),
    Form("Shopify token", r"\b(shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32})\b", "shp"),
    Form("DigitalOcean token", r"\b(do[opr]_v1_[a-f0-9]{64})\b", "_v1_"),
    Form("Databricks token", r"\b(dapi[a-f0-9]{32}(?:-[0-9])?)\b", "dapi"),
    Form("HashiCorp Vault token", r"\b(hv[sbr]\.[A-Za-z0-9_-]{24,300})", "hvs. hvb. hvr."),
    Form("Terraform Cloud token", r"\b([A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,70})", ".atlasv1."),
    Form("Grafana token", r"\b(gl(?:sa|c)_[A-Za-z0-9_+/=]{32,400})", "glsa_ glc_"),
    Form("New Relic key", r"\b(NRAK-[A-Z0-9]{27})\b", "nrak-"),
    Form("Linear key", r"\b(lin_api_[A-Za-z0-9]{40})\b", "lin_api_"),
    Form("Notion token", r"\b(ntn_[A-Za-z0-9]{40,60})\b", "ntn_"),
    Form("Atlassian token", r"\b(ATATT3[A-Za-z0-9_=-]{150,250})", "atatt3"),
    Form("age secret key", r"\b(AGE-SECRET-KEY-1[A-Z0-9]{58})\b", "age-secret-key-1"),
    Form("Azure storage key", r"(?i)AccountKey=([A-Za-z0-9+/]{86}==)", "accountkey=", 0),
    Form("JSON Web Token", r"\b(eyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,})", "eyj"),
    Form("password in an address", r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/?#@'\"<>]{0,64}:([^\s:/?#@'\"<>${}*]{8,128})@[A-Za-z0-9.-]+", "://", 0, random=True),
    Form("AWS secret key", r"(?im)aws.{0,20}(?:secret|sk).{0,30}?[\"' \t:=]([A-Za-z0-9/+]{40})(?:[\"' \t\r]|$)", "aws", 0, random=True),
    Form(
        "secret in an assignment",
        r"(?i)(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|auth[_-]?key|private[_-]?key|credential)s?"
        r"[a-z0-9_.-]{0,24}[\"'\]]{0,2}[ \t]{0,4}(?::|=>?|:=)[ \t]{0,4}(?:[rbuf]{0,2}[\"'`])([^\s\"'`]{16,256})[\"'`]",
        "passw passphrase secret token key credential",
        0,
        random=True,
    ),
    Form(
        "secret in an environment file",
        r"(?m)^(?:export )?[A-Z0-9_]*(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY)[A-Z0-9_]*=([^\s\"'`$<>{}()]{16,256})\r?$",
        "passw secret token key",
        0,
        random=True,
    ),
)  # fmt: skip

_PLACEHOLDERS = re2.compile(
    rb"(?i)example|changeme|change-me|placeholder|your[_-]|xxxx|\*\*\*|dummy|redacted|fake|sample|insert|replace|todo"
    rb"|\$\{|\{\{|\$\(|<[a-z]|%\(|0{8}|12345678|abcdefgh"
)


def looks_random(value: bytes) -> bool:
    """A long run of letters and digits mixed, as a person would not write it; names of words are none."""
    if max(map(len, _NOT_A_RUN.split(value))) < _MIN_RUN:
        return False
    kinds = [_kind_of(char) for char in value]
    changes = sum(one != other for one, other in pairwise(kinds)) / len(value)
    is_mixed = (kinds.count("digit") >= 2 and len(set(kinds)) > 1) or changes >= _MIXED
    return is_mixed and entropy(value) >= (3.0 if len(value) < 24 else 3.4)


def _kind_of(char: int) -> str:
    text = chr(char)
    return (
        "digit" if text.isdigit() else "upper" if text.isupper() else "lower" if text.islower() else "other"
    )


def entropy(value: bytes) -> float:
    """Bits for each character, by how often each occurs."""
    counts = Counter(value)
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())


def is_placeholder(form: Form, value: bytes) -> bool:
    """Whether it stands for a secret in a manual or a test, and is none."""
    if form.random:
        return _PLACEHOLDERS.search(value) is not None
    body = value[form.shown :]
    return value.endswith(b"EXAMPLE") or (len(body) >= 12 and len(set(body)) <= 4)
