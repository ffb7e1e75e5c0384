"""Text that means to talk a model into something: found by rules, in pages, tools' answers and files. Pure.

A rule is what such texts say, not what is bad: who writes about injections is found, too, and who words it in a new way is
not. So a finding is a signal for a person, a rule or a judge, and never a verdict. How often ordinary text and code are found:
tests/axiom_sandbox/signals. Text is looked at as a model reads it: letters of one meaning alike, line ends, quoting and
emphasis as spaces, what shows nothing left out.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from axiom_sandbox.secrets.patterns import compiled, together

LONGEST = 64 * 1024
"""Characters that are looked at: of a longer text its first three quarters of that, and its last quarter."""
_MOST_OF_A_RULE = 4


@dataclass(frozen=True, slots=True)
class Rule:
    """What one kind of injection says."""

    id: str
    pattern: str
    """RE2, over small letters and single spaces."""


@dataclass(frozen=True, slots=True)
class Injection:
    """Characters of a text that a rule found."""

    rule: str
    start: int
    end: int


_ASSISTANT = r"(?:ai|llm|a\.i\.|language model|assistant|chatbot|copilot|claude(?: code)?|codex|chatgpt|gpt-?[0-9o]*|gemini|coding agent|ai agent|agent)"
_TEXTS = r"(?:instructions?|prompts?|directives?|directions|guidelines|commands|training|system messages?)"
_VALUABLES = (
    r"(?:api[ -]?keys?|secrets?|credentials?|passwords?|(?:access |auth |bearer )?tokens?|private keys?|ssh keys?|environment variables?"
    r"|env vars?|\.env(?: files?)?|id rsa|conversation|chat history|system prompt)"
)

RULES: tuple[Rule, ...] = (
    Rule(
        "ignore-instructions",
        r"\b(?:ignore|disregard|forget|override|bypass|pay no attention to|do not follow|don't follow|stop following)\b"
        r"(?: [a-z',-]+){0,3}? (?:all|any|every|the|your|these|those|my|of|its)?(?: [a-z',-]+){0,3}?"
        r" ?(?:previous|prior|above|earlier|preceding|foregoing|original|initial|former|existing|current|system|safety|other)"
        rf"(?: [a-z',-]+){{0,3}}? {_TEXTS}\b",
    ),
    Rule(
        "ignore-everything-above",
        r"\b(?:ignore|disregard|forget) (?:everything|anything|all|all of what|what)(?: (?:that|which))?(?: (?:was|were|is|you were|you have been|you've been|has been|came))?"
        r"(?: (?:said|told|written|stated|given|instructed))?(?: to you)? (?:above|before this|before|previously|so far|until now|prior to this)[.,;:!]",
    ),
    Rule(
        "ignore-your-instructions",
        rf"\b(?:ignore|disregard|forget|override) (?:all )?(?:of )?(?:your|its) (?:[a-z-]+ )?{_TEXTS}\b",
    ),
    Rule(
        "new-instructions",
        rf"\b(?:here are |these are |follow )?(?:your|the) (?:new|real|actual|true|updated|only) (?:[a-z]+ )?(?:{_TEXTS}|task|goal|objective|mission|role|persona) ?(?:(?:is|are|now|follow|as follows|for you)\b|:)",
    ),
    Rule("new-persona", r"\byou are (?:now|no longer|from now on|hereby) (?:in |an? |the )?(?:[a-z-]+ ){0,3}?(?:dan|developer mode|jailbroken|jailbreak|unrestricted|unfiltered|uncensored|root shell|bound by|restricted by|an? (?:evil|hacker|malicious))"),
    Rule("without-restrictions", rf"\b(?:act|behave|respond|answer|operate|pretend|roleplay)(?: [a-z']+){{0,6}}? (?:without|free of|free from|with no) (?:any |all )?(?:restrictions?|limitations?|filters?|guardrails?|safety|ethical|{_TEXTS})\b"),
    Rule(
        "role-markup",
        r"< (?:im start|im end|system|endoftext|end of text|begin of text|start header id|eot id) > ?(?:system|developer|user|assistant)?"
        r"|\[/?inst\] ?<<sys|<<sys\b|<(?:/ ?)?(?:system|system-reminder|system-prompt|system-message|developer-message|admin)(?: >)? (?:[a-z',.:-]+ ){0,8}?(?:you|ignore|must|override|new|from now)\b"
        r"|\b(?:begin|end|start of|end of) (?:of )?(?:the )?(?:system|developer|admin) (?:prompt|message|instructions?)\b(?:[-=\]:]| new| ignore| you)",
    ),
    Rule(
        "to-the-assistant",
        rf"(?:^|[.!?:;(\[<=\"'-] ?|\bnote |\bimportant )(?:attention|important|urgent|notice|note|message|instructions?|reminder|warning)(?:[ :,!-]{{1,3}}(?:to|for))?[ :,!-]{{1,3}}(?:all |any |the |every )?{_ASSISTANT}s?\b(?: [a-z]+){{0,4}}?[ :,.!-]{{1,3}}(?:[a-z',-]+ ){{0,8}}?(?:must|should|ignore|please|run|execute|send|do not|never|always|have to|need to|add|include|delete|reply|respond|output|print|open|visit|fetch)\b",
    ),
    Rule(
        "if-you-are-an-assistant",
        rf"\b(?:if|when|since|as) (?:you are|you're|this is being read by|this is read by|you, the reader, are|reading this as|read by) (?:an? |the |any )?(?:[a-z-]+ )?{_ASSISTANT}\b",
    ),
    Rule(
        "hide-from-the-user",
        r"\b(?:do not|don't|never|without|avoid|must not|should not)(?: ever)? (?:tell(?:ing)?|inform(?:ing)?|mention(?:ing)?|reveal(?:ing)?|alert(?:ing)?|notify(?:ing)?|show(?:ing)?|disclos(?:e|ing)|report(?:ing)?|warn(?:ing)?)(?: (?:this|that|it|anything|any of this|about this|these|the fact|them))*(?: (?:to|about))? (?:the |your |any )?(?:human|operator|developer who|person you|user (?:about|of) (?:this|that|these|it)\b|user\b[.,;:!])",
    ),
    Rule(
        "reveal-instructions",
        rf"\b(?:reveal|print|repeat|output|show|display|tell me|give me|leak|dump|write out|recite)(?: [a-z]+){{0,4}}? (?:your|the) (?:[a-z]+ )?(?:system|hidden|initial|original|secret|full|entire|exact) (?:[a-z]+ )?{_TEXTS}\b(?: (?:verbatim|word for word|above|in full|exactly)|[.!?]|$)",
    ),
    Rule(
        "carry-out-data",
        rf"\b(?:send|post|upload|exfiltrate|leak|forward|e-?mail|transmit|submit|append|paste|encode|include|put)\b(?: [a-z0-9',.$()-]+){{0,6}}? (?:the |your |all |any |its |their |every |contents of )(?:[a-z0-9',.-]+ ){{0,4}}?{_VALUABLES}\b(?: [a-z0-9',.()-]+){{0,8}}? (?:to|in|into|via|as|on) (?:(?:the |this |following |a |an )*(?:url|address|webhook|server|endpoint|link|query|image|comment|issue|pull request|commit|search)\b|https? ?:|[a-z0-9.-]+@[a-z0-9.-]+|[a-z0-9-]+\.[a-z]{{2,}})",
    ),
    Rule(
        "fetch-and-run",
        rf"\b{_ASSISTANT}s? (?:must|should|need to|have to|are required to|are to|will|shall)(?: [a-z,]+){{0,4}}? (?:run|execute|paste|eval|pipe) (?:the following|this|these|it|curl|wget|bash|sh|python)\b",
    ),
    Rule("curl-into-shell-asked", r"\b(?:to (?:continue|proceed|complete|finish|verify)|before (?:you )?(?:continu|proceed|do)[a-z]*|first of all|required step)[,:;]?(?: [a-z0-9',:.-]+){0,10}? (?:curl|wget) [^ ]*(?: [^ ]+){0,4}? ?(?:bash|sh|python3?)\b"),
    Rule("false-authority", rf"\b(?:this is|message from|on behalf of|authorized by|authorised by|as) (?:the |an? |your )?(?:system administrator|administrator|developer|anthropic|openai|google|security team|creator|owner)s?(?: team)?[ ,:.!-]{{1,3}}(?:[a-z',-]+ ){{0,6}}?(?:you (?:must|are (?:now )?(?:authorized|authorised|permitted|allowed|required)|have to|may now|can now)|{_TEXTS} (?:override|supersede))"),
    Rule("tool-call-planted", r"\b(?:call|invoke|use|trigger) (?:the |your )?[a-z0-9 .-]{0,24}?(?:tool|function|mcp server)(?: [a-z0-9',.-]+){0,8}? (?:without|before|and do not|and don't)(?: [a-z]+){0,3}? (?:asking|confirm|approval|permission|telling|mention)"),
)  # fmt: skip
"""Rules over words. `hidden-text` is found by its characters."""

HIDDEN = "hidden-text"
_HIDDEN = re.compile(
    "[\U000e0020-\U000e007e]{6,}|(?:[\u200b-\u200d\u2060-\u2064]{1,2}){8,}|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{8,}"
)
"""Letters that nobody sees: tags, zero width, and variation selectors, in a row."""
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")
_WORD = re.compile(r"[^\s#*>|`~_\\]+|>(?=\w)|(?<=\|)>")
_LOOKALIKES = str.maketrans("аеорсухіјѕԁһοαερυνιΙΑΕΟ’‘“”–—", "aeopcyxijsdhoaepuviiaeo''\"\"--")


class Detector:
    """All rules, made ready once."""

    def __init__(self) -> None:
        self._rules = [(rule.id, compiled(rule.pattern.encode())) for rule in RULES]
        self._any = together([rule.pattern.encode() for rule in RULES])

    def find(self, text: str) -> list[Injection]:
        """In the order of their places; of one rule at most four."""
        found = list[Injection]()
        for offset, part in _parts(text):
            for one in self._find(part):
                found.append(Injection(one.rule, offset + one.start, offset + one.end))
        return sorted(found, key=lambda one: (one.start, one.rule))

    def _find(self, text: str) -> Iterator[Injection]:
        for number, match in enumerate(_HIDDEN.finditer(text)):
            if number < _MOST_OF_A_RULE:
                yield Injection(HIDDEN, match.start(), match.end())
        words, places, starts = _read(text)
        for number in self._any.Match(words) or ():
            rule, pattern = self._rules[number]
            for count, match in enumerate(pattern.finditer(words)):
                if count == _MOST_OF_A_RULE:
                    break
                first = bisect_right(places, match.start()) - 1
                last = bisect_right(places, max(match.start(), match.end() - 1)) - 1
                yield Injection(rule, starts[first][0], starts[last][1])


def _parts(text: str) -> Iterator[tuple[int, str]]:
    if len(text) <= LONGEST:
        yield 0, text
    else:
        head, tail = LONGEST * 3 // 4, LONGEST // 4
        yield 0, text[:head]
        yield len(text) - tail, text[-tail:]


def _read(text: str) -> tuple[bytes, list[int], list[tuple[int, int]]]:
    """The words as they are read, one space apart; where each begins there, and from where to where it stands in the text."""
    words, places, spans, at = list[bytes](), list[int](), list[tuple[int, int]](), 0
    for match in _WORD.finditer(text):
        word = _alike(match.group(0))
        if word:
            words.append(word)
            places.append(at)
            spans.append(match.span())
            at += len(word) + 1
    return b" ".join(words), places, spans


def _alike(word: str) -> bytes:
    if not word.strip("/"):
        return b""
    if not word.isascii():
        word = unicodedata.normalize("NFKC", _UNSEEN.sub("", word)).translate(_LOOKALIKES)
    return word.lower().encode("ascii", "replace")
