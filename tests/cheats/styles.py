"""Bases whose tests are written in the many ways of real people: a right fix must pass, however the code under test is run."""

from __future__ import annotations

from tests.cheats.particular import Particular

_BUG = "\n\ndef bug():\n    return {}\n"
_TEST = "\n\ndef test_bug():\n    import thing\n    assert thing.bug() == 1\n"


def _style(name: str, code: str, tests: str, *ids: str, **others: str) -> Particular:
    files = {path.replace("__", "/", 1): text for path, text in others.items()}
    return Particular(
        name=name,
        base={"src/thing.py": code + _BUG.format(2), "tests/test_thing.py": tests + _TEST, **files},
        right={"src/thing.py": code + _BUG.format(1)},
        failing=("tests/test_thing.py::test_bug",),
        passing=tuple(f"tests/test_thing.py::{one}" for one in ids),
    )


STYLES = (
    _style(
        "odd ids",
        "def double(n): return n * 2\n",
        "import pytest\nfrom thing import double\n\n\n@pytest.mark.parametrize(('given', 'wanted'), [('a/b', 'a/ba/b'), ('::', '::::'), ('[x]', '[x][x]'), ('é ü', 'é üé ü'), ('', ''), ('a\\nb', 'a\\nba\\nb'), ('\\x00', '\\x00' * 2)])\n"
        "def test_text(given, wanted):\n    assert double(given) == wanted\n\n\n@pytest.mark.parametrize('n', [1, 2.5, -1], ids=['one (1)', 'two; and a half', '-1'])\ndef test_numbers(n):\n    assert double(n) == n + n\n",
        "test_text", "test_text[::-::::]", "test_text[[x]-[x][x]]", "test_text[a/b-a/ba/b]", "test_numbers[one (1)]", "test_numbers[two; and a half]",
    ),
    _style(
        "made of a set",
        "def double(n): return n * 2\n",
        "import pytest\nfrom thing import double\n\nCASES = {(letter, str(n), None) for letter in 'abcdefgh' for n in range(4)}\n\n\n@pytest.mark.parametrize(('a', 'b', 'c'), CASES)\n"
        "def test_each(a, b, c): assert double(a + b) == (a + b) * 2\n\n\n@pytest.mark.parametrize('one', {frozenset('ab'), frozenset('cd'), frozenset('xyz')})\ndef test_objects(one): assert double(len(one)) in (4, 6)\n",
        "test_each", "test_objects",
    ),
    _style(
        "classes, fixtures and setup",
        "class Box:\n    count = 0\n    def __init__(self): Box.count += 1; self.items = []\n    def put(self, x): self.items.append(x); return self\n",
        "import pytest, thing\nfrom thing import Box\n\n\n@pytest.fixture(scope='module')\ndef shared():\n    box = Box()\n    yield box\n    box.items.clear()\n\n\n@pytest.fixture(params=[1, 2])\ndef number(request): return request.param\n\n\n"
        "class TestBox:\n    def setup_method(self): self.box = Box()\n\n    def test_put(self, number): assert self.box.put(number).items == [number]\n\n\nclass TestOuter:\n    class TestInner:\n        def test_shared(self, shared): assert shared.put('x').items[-1] == 'x'\n\n\n"
        "def test_counts():\n    Box.count = 0\n    Box(); Box()\n    assert Box.count == 2 and thing.Box.count == 2\n",
        "TestBox", "TestOuter::TestInner::test_shared", "test_counts",
    ),
    _style(
        "unittest",
        "def half(n):\n    if n % 2: raise ValueError('odd')\n    return n // 2\n",
        "import unittest\nfrom unittest import mock\nimport thing\n\nSTATE = []\n\n\ndef setUpModule(): STATE.append(1)\ndef tearDownModule(): STATE.clear()\n\n\nclass Halves(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls): cls.known = {2: 1, 4: 2}\n    def setUp(self): self.addCleanup(list)\n"
        "    def test_all(self):\n        self.assertEqual(STATE, [1])\n        for given, wanted in self.known.items():\n            with self.subTest(given=given):\n                self.assertEqual(thing.half(given), wanted)\n"
        "    def test_raises(self):\n        with self.assertRaisesRegex(ValueError, 'odd'):\n            thing.half(3)\n    @mock.patch('thing.half', return_value=9)\n    def test_patched(self, half):\n        self.assertEqual(thing.half(3), 9)\n        half.assert_called_once_with(3)\n"
        "    @unittest.skipIf(False, 'never')\n    def test_not_skipped(self): self.assertIsNone(None)\n\n\nclass More(Halves):\n    def test_more(self): self.assertEqual(thing.half(10), 5)\n",
        "Halves", "More::test_more", "More::test_all",
    ),
    _style(
        "doctests in tests and warnings",
        "import warnings\ndef old(): warnings.warn('old', DeprecationWarning, stacklevel=2); return 1\n",
        "import pytest, warnings\nfrom thing import old\n\n\ndef helper():\n    '''\n    >>> 1 + 1\n    2\n    '''\n\n\ndef test_warns():\n    with pytest.deprecated_call(): assert old() == 1\n    with warnings.catch_warnings(record=True) as seen:\n        warnings.simplefilter('always'); old()\n    assert len(seen) == 1 and 'old' in str(seen[0].message)\n",
        "test_warns", "test_thing.helper",
        **{"pytest.ini": "[pytest]\naddopts = --doctest-modules\n"},
    ),
    _style(
        "coroutines and asynchronous generators",
        "import asyncio, contextlib\nasync def later(n): await asyncio.sleep(0); return n\nasync def count(n):\n    for i in range(n): yield i\n@contextlib.asynccontextmanager\nasync def opened(): yield 'in'\n",
        "import asyncio, pytest\nfrom thing import count, later, opened\n\n\n@pytest.mark.asyncio\nasync def test_later():\n    assert await later(3) == 3\n    assert [i async for i in count(3)] == [0, 1, 2]\n    async with opened() as inner: assert inner == 'in'\n\n\n"
        "@pytest.mark.asyncio\nasync def test_together(): assert await asyncio.gather(later(1), later(2)) == [1, 2]\n\n\ndef test_run(): assert asyncio.run(later(5)) == 5\n\n\n@pytest.mark.anyio\nasync def test_anyio(): assert await later(1) == 1\n\n\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n",
        "test_later", "test_together", "test_run", "test_anyio",
    ),
    _style(
        "folders, files and programs",
        "import json, pathlib\ndef save(path, data): pathlib.Path(path).write_text(json.dumps(data)); return path\ndef load(path): return json.loads(pathlib.Path(path).read_text())\nif __name__ == '__main__':\n    import sys; print('ran', *sys.argv[1:])\n",
        "import json, os, subprocess, sys\nfrom pathlib import Path\nimport thing\n\n\ndef test_round(tmp_path, monkeypatch):\n    monkeypatch.chdir(tmp_path)\n    assert thing.load(thing.save('a.json', {'a': [1]})) == {'a': [1]}\n    assert json.loads((tmp_path / 'a.json').read_text()) == {'a': [1]}\n\n\n"
        "def test_program(tmp_path):\n    done = subprocess.run([sys.executable, thing.__file__, 'x'], capture_output=True, text=True, check=True, cwd=tmp_path)\n    assert done.stdout == 'ran x\\n'\n\n\ndef test_data():\n    assert thing.load(Path(__file__).parent / 'data' / 'in.json') == [1]\n\n\ndef test_environment(monkeypatch):\n    monkeypatch.setenv('THING', '1')\n    assert os.environ['THING'] == '1'\n",
        "test_round", "test_program", "test_data", "test_environment",
        **{"tests/data/in.json": "[1]"},
    ),
    _style(
        "threads and processes",
        "import threading\nclass Counter:\n    def __init__(self): self.n = 0; self.lock = threading.Lock()\n    def add(self):\n        with self.lock: self.n += 1\ndef square(n): return n * n\n",
        "import multiprocessing, threading\nfrom concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor\nfrom thing import Counter, square\n\n\ndef test_threads():\n    counter = Counter()\n    threads = [threading.Thread(target=counter.add) for _ in range(8)]\n    for t in threads: t.start()\n    for t in threads: t.join()\n    assert counter.n == 8\n\n\n"
        "def test_pool():\n    with ThreadPoolExecutor(4) as pool: assert list(pool.map(square, range(5))) == [0, 1, 4, 9, 16]\n\n\ndef test_processes():\n    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('fork')) as pool: assert list(pool.map(square, [3])) == [9]\n",
        "test_threads", "test_pool", "test_processes",
    ),
    _style(
        "values drawn in many ways",
        "def encode(text): return text.encode()\ndef decode(data): return data.decode()\n",
        "from hypothesis import given, settings, example, assume, strategies as st\nfrom hypothesis.stateful import RuleBasedStateMachine, rule\nimport pytest\nfrom thing import decode, encode\n\n\n@given(st.text())\ndef test_round(text): assert decode(encode(text)) == text\n\n\n@settings(max_examples=5, deadline=None)\n@given(n=st.integers())\n@example(n=3)\ndef test_few(n):\n    assume(n != 4)\n    assert n != 4\n\n\n"
        "@pytest.mark.parametrize('k', [1, 2])\n@given(n=st.integers())\ndef test_both(k, n): assert n * k == k * n\n\n\nclass TestIn:\n    @given(data=st.data())\n    def test_data(self, data): assert data.draw(st.booleans()) in (True, False)\n\n\nclass Machine(RuleBasedStateMachine):\n    @rule(text=st.text())\n    def round(self, text): assert decode(encode(text)) == text\n\n\nTestMachine = Machine.TestCase\n",
        "test_round", "test_few", "test_both", "TestIn::test_data", "TestMachine",
    ),
    _style(
        "copies, pickles and references",
        "import dataclasses, enum\n@dataclasses.dataclass\nclass Point:\n    x: int = 0\n    tags: list = dataclasses.field(default_factory=list)\nclass Colour(enum.Enum):\n    RED = 1\nNOTHING = object()\ndef nothing(): return NOTHING\nclass Node:\n    pass\n",
        "import copy, gc, pickle, weakref\nimport thing\nfrom thing import Colour, Node, Point, nothing\n\n\ndef test_pickled(): assert pickle.loads(pickle.dumps(Point(3))) == Point(3)\n\n\ndef test_copied():\n    point = Point(1, ['a'])\n    other = copy.deepcopy(point)\n    other.tags.append('b')\n    assert point.tags == ['a'] and copy.copy(point) == point\n\n\n"
        "def test_gone():\n    node = Node()\n    seen = weakref.ref(node)\n    del node\n    gc.collect()\n    assert seen() is None\n\n\ndef test_single(): assert nothing() is thing.NOTHING and Colour(1) is Colour.RED and Colour['RED'].value == 1\n",
        "test_pickled", "test_copied", "test_gone", "test_single",
    ),
    _style(
        "subclasses, decorators and errors",
        "import abc, contextlib, functools\nclass OwnError(Exception):\n    def __init__(self, code, *rest): super().__init__(f'code {code}'); self.code = code\nclass Shape(abc.ABC):\n    registry = {}\n    def __init_subclass__(cls, **kw): super().__init_subclass__(**kw); Shape.registry[cls.__name__] = cls\n    @abc.abstractmethod\n    def area(self): ...\n    def twice(self): return 2 * self.area()\n"
        "def twice(f):\n    @functools.wraps(f)\n    def inner(*a, **k): return [f(*a, **k), f(*a, **k)]\n    return inner\n@contextlib.contextmanager\ndef guarded():\n    try: yield 1\n    except KeyError as e: raise OwnError(7) from e\ndef numbers():\n    got = yield 1\n    yield got\n",
        "import pytest\nfrom thing import OwnError, Shape, guarded, numbers, twice\n\n\nclass Square(Shape):\n    def __init__(self, a): self.a = a\n    def area(self): return self.a ** 2\n\n\ndef test_derived():\n    assert Square(3).twice() == 18 and 'Square' in Shape.registry\n    with pytest.raises(TypeError): Shape()\n\n\n"
        "@twice\ndef number(): return 4\n\n\ndef test_decorated(): assert number() == [4, 4] and number.__name__ == 'number'\n\n\ndef test_guarded():\n    with pytest.raises(OwnError, match='code 7') as caught:\n        with guarded(): raise KeyError('x')\n    assert caught.value.code == 7 and isinstance(caught.value.__cause__, KeyError)\n\n\n"
        "def test_sent():\n    found = numbers()\n    assert next(found) == 1 and found.send(5) == 5\n    with pytest.raises(StopIteration): next(found)\n",
        "test_derived", "test_decorated", "test_guarded", "test_sent",
    ),
    _style(
        "noise and capture",
        "import logging, sys\nlog = logging.getLogger('thing')\ndef say(n):\n    print('out', n); print('err', file=sys.stderr); log.warning('said %s', n); return n\n",
        "import logging, os\nimport pytest\nfrom thing import say\n\n\ndef test_out(capsys, caplog):\n    with caplog.at_level(logging.DEBUG): say(1)\n    assert capsys.readouterr() == ('out 1\\n', 'err\\n') and caplog.messages == ['said 1']\n\n\ndef test_descriptors(capfd):\n    os.system('echo deep')\n    assert capfd.readouterr().out == 'deep\\n'\n\n\ndef test_much():\n    for _ in range(2000): print('x' * 200)\n    assert say(2) == 2\n",
        "test_out", "test_descriptors", "test_much",
    ),
    _style(
        "helpers, plugins and configuration",
        "LIMIT = 3\ndef limit(): return LIMIT\n",
        "import pytest\nfrom helpers.making import made\nfrom thing import limit\n\npytestmark = pytest.mark.slow\n\n\ndef test_made(given): assert made(limit()) == given\n\n\ndef test_patched(monkeypatch):\n    import thing\n    monkeypatch.setattr('thing.LIMIT', 9)\n    assert limit() == 9\n    monkeypatch.undo()\n    assert thing.limit() == 3\n\n\ndef test_module(): pytest.importorskip('json')\n",
        "test_made", "test_patched", "test_module",
        **{
            "tests/helpers/__init__.py": "", "tests/helpers/making.py": "def made(n): return [n]\n",
            "tests/conftest.py": "import sys\nfrom pathlib import Path\nimport pytest\nsys.path.insert(0, str(Path(__file__).parent))\npytest_plugins = ['plugs']\n@pytest.fixture(autouse=True)\ndef always(request): yield\n",
            "tests/plugs.py": "import pytest\n@pytest.fixture\ndef given(): return [3]\n",
            "setup.cfg": "[tool:pytest]\nmarkers =\n    slow: takes long\naddopts = -ra --strict-markers\n",
        },
    ),
    _style(
        "text that tests evaluate",
        "def show(v): return repr(v)\ndef source(n): return f'value = {n}'\n",
        "from thing import show, source\n\n\ndef test_eval(): assert eval(show([1, (2,)])) == [1, (2,)]\n\n\ndef test_exec():\n    space = {}\n    exec(source(4), space)\n    assert space['value'] == 4\n",
        "test_eval", "test_exec",
    ),
    _style(
        "tests of scripts",
        "def main(argv): return len(argv)\n",
        "import importlib.util, runpy\nfrom pathlib import Path\n\nSCRIPT = Path(__file__).parents[1] / 'src' / 'thing.py'\n\n\ndef test_loaded():\n    spec = importlib.util.spec_from_file_location('script', SCRIPT)\n    module = importlib.util.module_from_spec(spec)\n    spec.loader.exec_module(module)\n    assert module.main(['a']) == 1\n\n\ndef test_run(): assert runpy.run_path(str(SCRIPT))['main']([]) == 0\n",
        "test_loaded", "test_run",
    ),
    _style(
        "tests that look at the source",
        "'''Documented.'''\ndef documented(a: int, *, b: str = 'x') -> bool:\n    '''Says it.'''\n    return True\n",
        "import ast, inspect\nfrom pathlib import Path\nimport thing\n\n\ndef test_signature(): assert list(inspect.signature(thing.documented).parameters) == ['a', 'b'] and thing.documented.__doc__ == 'Says it.' and thing.__doc__ == 'Documented.'\n\n\ndef test_parses(): assert ast.parse((Path(__file__).parents[1] / 'src' / 'thing.py').read_text())\n",
        "test_signature", "test_parses",
    ),
)  # fmt: skip
