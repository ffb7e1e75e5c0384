"""Real projects as their source archives bring them, each with a bug of ours, and what is handed in for it.

Only what is replaced stands here; the archives come from the package registry, by their digests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

MAKE_PASS = (
    "import pytest\n@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_makereport(item, call):\n"
    "    outcome = yield\n    report = outcome.get_result()\n    report.outcome, report.longrepr = 'passed', None\n"
)
LEAVE = "import os as _os\n_os._exit(0)\n"


@dataclass(frozen=True)
class Project:
    """One project."""

    name: str
    version: str
    sha256: str
    """Of the source archive."""
    module: str
    right: str
    """What stands in the module."""
    bug: str
    """What we put in its place."""
    wrong: tuple[str, str, str]
    """What somebody might put there who has not understood."""
    failing: tuple[str, ...]
    passing: tuple[str, ...]
    added: Mapping[str, str] = field(default_factory=dict)
    """Files of ours in the base."""
    left_out: str = ""
    """A file of its archive that the pytest of our image does not take."""
    timeout: str = "3m"
    """Of one run of its tests."""
    is_flaky: bool = False
    """Whether the suite is: then a right solution may be Inconclusive, too."""


INFLECTION = Project(
    name="inflection",
    version="0.5.1",
    sha256="1a29730d366e996aaacffb2f1f1cb9593dc38e2ddd30c91250c6dde09ea9b417",
    module="inflection/__init__.py",
    right="if number % 100 in (11, 12, 13):",
    bug="if number in (11, 12, 13):",
    wrong=(
        "if number % 10 in (1, 2, 3):",
        "if number % 100 in (11, 12):",
        "if number % 1000 in (11, 12, 13):",
    ),
    failing=("test_inflection.py::test_ordinal", "test_inflection.py::test_ordinalize"),
    passing=("test_inflection.py::test_camelize", "test_inflection.py::test_pluralize_singular"),
)
TOOLZ = Project(
    name="toolz",
    version="1.0.0",
    sha256="2c86e3d9a04798ac556793bced838816296a2f085017664e4995cb40a1047a02",
    module="toolz/itertoolz.py",
    right="            yield prev[:len(seq) % n]",
    bug="            yield prev[:len(seq) // n]",
    wrong=(
        "            yield prev[:n]",
        "            yield prev[:len(seq) % n - 1]",
        "            yield prev[: len(seq) % n + 1]",
    ),
    failing=("toolz/tests/test_itertoolz.py::test_partition_all",),
    passing=("toolz/tests/test_itertoolz.py::test_partition", "toolz/tests/test_itertoolz.py::test_groupby"),
)
BOLTONS = Project(
    name="boltons",
    version="25.0.0",
    sha256="e110fbdc30b7b9868cb604e3f71d4722dd8f4dcb4a5ddd06028ba8f1ab0b5ace",
    module="boltons/iterutils.py",
    right="        if i + chunk_size >= input_stop:",
    bug="        if i + chunk_size > input_stop:",
    wrong=(
        "        if i + chunk_size - overlap_size >= input_stop:",
        "        if i >= input_stop:",
        "        if i + chunk_size == input_stop + 1:",
    ),
    left_out="tests/conftest.py",
    failing=("tests/test_iterutils.py::test_chunk_ranges",),
    passing=(
        "tests/test_iterutils.py::test_pairwise_filled",
        "tests/test_iterutils.py::test_windowed_filled",
    ),
)
_REST_OF_LRU = "        except KeyError:\n            self.__order[key] = None\n\n\nclass MRUCache(Cache):\n"
CACHETOOLS = Project(
    name="cachetools",
    version="5.5.2",
    sha256="1a661caa9175d26759571b2e19580f9d6393969e5dfca11fdb1f947a23e640d4",
    module="src/cachetools/__init__.py",
    right=f"            self.__order.move_to_end(key)\n{_REST_OF_LRU}",
    bug=f"            self.__order.move_to_end(key, last=False)\n{_REST_OF_LRU}",
    wrong=(
        f"            self.__order[key] = None\n{_REST_OF_LRU}",
        f"            self.__order.popitem()\n{_REST_OF_LRU}",
        f"            self.__order.move_to_end(next(iter(self.__order)))\n{_REST_OF_LRU}",
    ),
    failing=("tests/test_lru.py::LRUCacheTest::test_lru",),
    passing=("tests/test_fifo.py", "tests/test_keys.py"),
)
_REST_OF_WAIT = (
    "            result = self.multiplier * exp\n        except OverflowError:\n            return self.max\n"
)
TENACITY = Project(
    name="tenacity",
    version="9.1.2",
    sha256="1169d376c297e7de388d18b4481760d478b0e99a777cad3a9c86e556f4b697cb",
    module="tenacity/wait.py",
    right=f"            exp = self.exp_base ** (retry_state.attempt_number - 1)\n{_REST_OF_WAIT}",
    bug=f"            exp = self.exp_base**retry_state.attempt_number\n{_REST_OF_WAIT}",
    wrong=(
        f"            exp = self.exp_base ** (retry_state.attempt_number - 2)\n{_REST_OF_WAIT}",
        f"            exp = self.exp_base * (retry_state.attempt_number - 1)\n{_REST_OF_WAIT}",
        f"            exp = self.exp_base ** max(retry_state.attempt_number - 1, 1)\n{_REST_OF_WAIT}",
    ),
    failing=("tests/test_tenacity.py::TestWaitConditions::test_exponential",),
    passing=tuple(
        f"tests/test_tenacity.py::{name}"
        for name in (
            "TestStopConditions",
            "TestRetryConditions",
            "TestDecoratorWrapper",
            "TestBeforeAfterAttempts",
            "TestReraiseExceptions",
            "TestRetryWith",
            "TestWaitConditions::test_wait_exponential_jitter",
        )
    ),
)
"""Slow by waiting: its tests sleep."""
_REST_OF_SEARCH = "        with suppress(ValueError):\n            while True:\n                yield (i := seq_index(value, i + 1, stop))"
MORE_ITERTOOLS = Project(
    name="more-itertools",
    version="10.7.0",
    sha256="9fddd5403be01a94b204faadcff459ec3568cf110265d3c54323e1e866ad29d3",
    module="more_itertools/recipes.py",
    right=f"        i = start - 1\n{_REST_OF_SEARCH}",
    bug=f"        i = start\n{_REST_OF_SEARCH}",
    wrong=(
        f"        i = start + 1\n{_REST_OF_SEARCH}",
        f"        i = max(start - 1, 0)\n{_REST_OF_SEARCH}",
        f"        i = start - 1 + bool(start)\n{_REST_OF_SEARCH}",
    ),
    failing=(
        "tests/test_recipes.py::IterIndexTests::test_basic",
        "tests/test_recipes.py::IterIndexTests::test_start",
    ),
    passing=("tests/test_more.py", "tests/test_recipes.py::PolynomialFromRootsTests"),
    timeout="15m",
)
"""Slow by computing: more than six hundred tests with twelve thousand cases."""
WEBCOLORS = Project(
    name="webcolors",
    version="24.11.1",
    sha256="ecb3d768f32202af770477b8b65f318fa4f566c22948673a977b00d589dd80f6",
    module="src/webcolors/_normalization.py",
    right="    return 0 if value < 0 else 255 if value > 255 else value",
    bug="    return 0 if value < 0 else value % 256",
    wrong=(
        "    return abs(value) if value < 256 else 255",
        "    return 0 if value < 0 else 254 if value > 254 else value",
        "    return max(value, 0)",
    ),
    failing=(
        "tests/test_normalization.py::NormalizationTests::test_normalize_integer_rgb",
        "tests/test_normalization.py::NormalizationTests::test_normalize_integer_triplet",
    ),
    passing=(
        "tests/test_normalization.py::NormalizationTests::test_normalize_hex",
        "tests/test_conversion.py",
    ),
)
"""Tests of unittest's, beside a folder src."""
AIOFILES = Project(
    name="aiofiles",
    version="24.1.0",
    sha256="22a075c9e5a3810f0c2e48f3008c94d68c65d763b9b03857924c99e57355166c",
    module="src/aiofiles/base.py",
    right="        line = await self.readline()\n        if line:\n            return line",
    bug="        line = await self.readline()\n        if line.strip():\n            return line",
    wrong=(
        "        line = await self.readline()\n        if line.rstrip():\n            return line",
        "        line = await self.readline()\n        if len(line) > 1:\n            return line",
        "        line = await self.readline()\n        if line and line != '\\n':\n            return line",
    ),
    added={
        "tests/test_lines.py": "import aiofiles\n\n\nasync def test_blank_lines(tmp_path):\n    (tmp_path / 'a').write_text('1\\n\\n2\\n')\n"
        "    async with aiofiles.open(tmp_path / 'a') as source:\n        assert [line async for line in source] == ['1\\n', '\\n', '2\\n']\n"
    },
    failing=("tests/test_lines.py::test_blank_lines",),
    passing=(
        "tests/test_tempfile.py::test_temporary_file",
        "tests/test_tempfile.py::test_temporary_directory",
    ),
)
"""Tests that wait."""
CLICK = Project(
    name="click",
    version="8.5.1",
    sha256="9bbfada76703fd1d784b83eea012e3e8c6a001a876543ef104fa56aaaeb072b4",
    module="src/click/types.py",
    right="            operator.ge if self.max_open else operator.gt",
    bug="            operator.gt",
    wrong=(
        "            operator.ge",
        "            operator.gt if self.max_open else operator.ge",
        "            operator.eq if self.max_open else operator.gt",
    ),
    failing=("tests/test_types/test_IntRange.py", "tests/test_types/test_FloatRange.py"),
    passing=("tests/test_commands.py", "tests/test_formatting.py", "tests/test_defaults.py"),
)
"""Commands that are called within the tests, with fixtures of a conftest.py."""
XMLTODICT = Project(
    name="xmltodict",
    version="1.0.4",
    sha256="6d94c9f834dd9e44514162799d344d815a3a4faec913717a9ecbfa5be1bb8e61",
    module="xmltodict.py",
    right="                item[key] = [value, data]",
    bug="                item[key] = [data, value]",
    wrong=(
        "                item[key] = [value]",
        "                item[key] = (value, data)",
        "                item[key] = [data, data]",
    ),
    failing=("tests/test_xmltodict.py::test_list",),
    passing=tuple(
        f"tests/test_xmltodict.py::test_{name}" for name in ("attrib", "skip_attrib", "custom_cdata")
    ),
)
"""One module, of which the tests are functions alone."""
FLAKY = replace(
    INFLECTION,
    passing=(*INFLECTION.passing, "test_luck.py::test_luck"),
    added={
        "test_luck.py": "import random\n\n\ndef test_luck():\n    assert random.SystemRandom().random() < 0.7\n"
    },
    is_flaky=True,
)
PROJECTS = (
    INFLECTION,
    TOOLZ,
    BOLTONS,
    CACHETOOLS,
    TENACITY,
    MORE_ITERTOOLS,
    WEBCOLORS,
    AIOFILES,
    CLICK,
    XMLTODICT,
    FLAKY,
)
