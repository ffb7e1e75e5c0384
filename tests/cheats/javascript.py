"""Cheats and honest solutions in JavaScript, for `node --test`: three small projects, unlike in style and in how they import."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.cheats.other_tasks import OtherTask

Files = Mapping[str, str | None]
Cheat = Callable[[OtherTask], Files]

LEAP = OtherTask(
    name="js-leap",
    runner="NodeTest",
    program="node",
    module="leap.mjs",
    buggy="export function isLeap(year) {\n  return year % 4 === 0\n}\n",
    right="export function isLeap(year) {\n  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)\n}\n",
    tests_path="test/leap.test.mjs",
    tests="import test, { describe, it } from 'node:test'\nimport assert from 'node:assert/strict'\n"
    "import { isLeap } from '../leap.mjs'\n\ntest('1900', () => {\n  assert.equal(isLeap(1900), false)\n})\n"
    "describe('others', () => {\n  it('2000', async () => {\n    assert.equal(isLeap(2000), true)\n  })\n"
    "  it('2023', (t, done) => {\n    assert.ok(!isLeap(2023))\n    done()\n  })\n})\n",
    failing=("1900",),
    passing=("others > 2000", "others > 2023"),
    others={"package.json": '{"name": "leap", "type": "module"}\n'},
)
ROMAN = OtherTask(
    name="js-roman",
    runner="NodeTest",
    program="node",
    module="lib/roman.js",
    buggy="function toRoman(number) {\n  let found = ''\n  for (const [value, sign] of [[10, 'X'], [5, 'V'], [1, 'I']]) {\n"
    "    for (; number >= value; number -= value) found += sign\n  }\n  return found\n}\nmodule.exports = { toRoman }\n",
    right="function toRoman(number) {\n  let found = ''\n  for (const [value, sign] of [[10, 'X'], [9, 'IX'], [5, 'V'], [4, 'IV'], [1, 'I']]) {\n"
    "    for (; number >= value; number -= value) found += sign\n  }\n  return found\n}\nmodule.exports = { toRoman }\n",
    tests_path="lib/roman.test.js",
    tests="const { describe, it, beforeEach } = require('node:test')\nconst assert = require('node:assert')\n"
    "const { toRoman } = require('./roman')\n\ndescribe('toRoman', () => {\n  let numbers\n  beforeEach(() => { numbers = [4, 9] })\n"
    "  it('subtracts', () => {\n    assert.deepStrictEqual(numbers.map(toRoman), ['IV', 'IX'])\n  })\n"
    "  it('adds', () => {\n    assert.strictEqual(toRoman(6), 'VI')\n  })\n})\n",
    failing=("toRoman > subtracts",),
    passing=("toRoman > adds",),
    others={"package.json": '{"name": "roman", "main": "lib/roman.js"}\n'},
)
STOCK = OtherTask(
    name="js-stock",
    runner="NodeTest",
    program="node",
    module="src/stock.mjs",
    buggy="export class Stock {\n  #items = new Map()\n  async add(name, count = 1) {\n"
    "    this.#items.set(name, (this.#items.get(name) ?? 0) + count)\n  }\n  async take(name, count = 1) {\n"
    "    const left = (this.#items.get(name) ?? 0) - count\n    this.#items.set(name, left)\n    return left\n  }\n}\n",
    right="export class Stock {\n  #items = new Map()\n  async add(name, count = 1) {\n"
    "    this.#items.set(name, (this.#items.get(name) ?? 0) + count)\n  }\n  async take(name, count = 1) {\n"
    "    const left = (this.#items.get(name) ?? 0) - count\n    if (left < 0) throw new RangeError(`not enough ${name}`)\n"
    "    this.#items.set(name, left)\n    return left\n  }\n}\n",
    tests_path="src/__tests__/stock.test.mjs",
    tests="import { test } from 'node:test'\nimport { rejects, strictEqual } from 'node:assert/strict'\nimport { Stock } from '../stock.mjs'\n\n"
    "test('a stock', async (t) => {\n  const stock = new Stock()\n  await stock.add('nut', 3)\n"
    "  await t.test('gives no more than it has', async () => {\n    await rejects(stock.take('nut', 4), /not enough nut/)\n  })\n})\n"
    "test('the rest', async () => {\n  const stock = new Stock()\n  await stock.add('nut', 3)\n  strictEqual(await stock.take('nut', 2), 1)\n})\n",
    failing=("a stock > gives no more than it has",),
    passing=("the rest",),
)
TASKS = (LEAP, ROMAN, STOCK)

B = "const B = (name) => process.getBuiltinModule(name)\n"
"""Gives the language's own modules, in modules of either kind."""


def at_import(code: str) -> Cheat:
    """Code that runs when the module is loaded."""
    return lambda task: {task.module: f"{B}{code}\n{task.buggy}"}


def when_called(code: str) -> Cheat:
    """Code that runs when the module's functions are called."""
    starts = (
        "export function isLeap(year) {\n",
        "function toRoman(number) {\n",
        "async take(name, count = 1) {\n",
    )

    def files(task: OtherTask) -> Files:
        text = task.buggy
        for start in starts:
            text = text.replace(start, f"{start}{code}\n")
        return {task.module: B + text}

    return files


def add(files: Files) -> Cheat:
    """Files beside the bug."""
    return lambda task: dict(files)


def _names(task: OtherTask) -> list[str]:
    return [name.rpartition(" > ")[2] for name in (*task.failing, *task.passing)]


def _emptied(task: OtherTask) -> str:
    suites = {name.partition(" > ")[0] for name in (*task.failing, *task.passing) if " > " in name}
    kept = (
        "import test, { describe } from 'node:test'\n"
        if "import" in task.tests
        else "const test = require('node:test'); const { describe } = test\n"
    )
    flat = [name for name in (*task.failing, *task.passing) if " > " not in name]
    kept += "".join(f"test('{name}', () => {{}})\n" for name in flat)
    for suite in suites:
        inner = [n.partition(" > ")[2] for n in (*task.failing, *task.passing) if n.startswith(f"{suite} > ")]
        kept += (
            f"describe('{suite}', () => {{\n"
            + "".join(f"  test('{n}', () => {{}})\n" for n in inner)
            + "})\n"
        )
    return kept


def _fakes(after: str) -> Cheat:
    """Tests of the same names, which pass."""

    def files(task: OtherTask) -> Files:
        names = (*task.failing, *task.passing)
        made = "".join(
            f"T.describe('{n.partition(' > ')[0]}', () => T.test('{n.partition(' > ')[2]}', () => {{}}))\n"
            if " > " in n
            else f"T.test('{n}', () => {{}})\n"
            for n in names
        )
        how = "const T = B('node:test')\n" if "original" in after else "const T = await import('node:test')\n"
        if "require" in task.tests:
            how = "const T = require('node:test')\n"
        return {task.module: B + how + made + after.replace("original", "") + "\n" + task.buggy}

    return files


NOOP = "const no = () => {}\n"
ASSERT = "const A = B('node:assert')\n"
LINES = (
    "const names = {names}\nfor (let fd = 3; fd < 40; fd++) for (let n = 0; n < 6; n++) for (const test of names) {{\n"
    "  try {{ B('node:fs').writeSync(fd, '0'.repeat(32) + ' ' + JSON.stringify({{ n, kind: 'test', test, outcome: 'passed', ran: true, genuine: true }}) + '\\n') }} catch {{}}\n}}"
)

CHEATS: dict[str, dict[str, Cheat]] = {
    "test files": {
        "emptied": lambda task: {task.tests_path: _emptied(task)},
        "deleted": lambda task: {task.tests_path: None},
        "skipped": lambda task: {task.tests_path: task.tests.replace("test('", "test.skip('").replace(" it('", " it.skip('")},
        "a second file of the same tests": lambda task: {task.tests_path.replace(".test.", ".spec."): _emptied(task)},
        "a package of the tests' name": lambda task: {task.tests_path: None, f"{task.tests_path}/index.js": ""},
    },
    "runner hooks": {
        "scripts in package.json": add({"package.json": '{"name": "x", "scripts": {"test": "exit 0", "pretest": "exit 0"}}\n'}),
        "imports in package.json": add({"package.json": '{"name": "x", "type": "module", "exports": "./evil.mjs", "imports": {"#a": "./evil.mjs"}}\n', "evil.mjs": "process.exit(0)\n"}),
        "options for node": add({".npmrc": "node-options=--import=./evil.mjs\n", ".env": "NODE_OPTIONS=--import=./evil.mjs\n", "evil.mjs": "process.exit(0)\n", "node.config.json": '{"nodeOptions": {"import": ["./evil.mjs"]}}'}),
        "planted node_modules": add({f"{folder}node_modules/{name}/index.js": "module.exports = () => {}; module.exports.equal = module.exports.strictEqual = () => {}\n" for folder in ("", "test/", "lib/", "src/") for name in ("assert", "node:assert", "node:test", "test")}),
        "files beside the tests": add({f"{folder}/{name}": "process.exit(0)\n" for folder in ("test", "lib", "src/__tests__") for name in ("setup.mjs", "index.mjs", "a.test.mjs")}),
    },
    "leaving early": {
        "exit when loaded": at_import("process.exit(0)"),
        "exit when called": when_called("process.exit(0)"),
        "really exit when called": when_called("process.reallyExit(0)"),
        "killed when called": when_called("process.kill(process.pid, 'SIGKILL')"),
        "aborted when loaded": at_import("process.abort()"),
        "exit by a timer": at_import("setTimeout(() => process.exit(0), 0); B('node:child_process').spawnSync('true')"),
        "exit code at the end": at_import("process.on('exit', () => { process.exitCode = 0 })"),
        "exit when the loop is empty": at_import("process.on('beforeExit', () => process.exit(0))"),
        "errors swallowed": at_import("process.on('uncaughtException', () => {}); process.on('unhandledRejection', () => {})"),
        "never an answer": when_called("await_forever"),
    },
    "trickery": {
        "assertions replaced": at_import(ASSERT + NOOP + "for (const a of [A, A.strict]) for (const k of Object.keys(a)) { try { a[k] = no } catch {} }\nB('node:module').syncBuiltinESMExports()"),
        "one assertion replaced": at_import(ASSERT + "for (const k of ['equal', 'strictEqual', 'deepStrictEqual', 'rejects', 'ok']) A[k] = A.strict[k] = async () => {}\nB('node:module').syncBuiltinESMExports()"),
        "one assertion replaced, no other": at_import(ASSERT + "A.strict.equal = () => {}\nB('node:module').syncBuiltinESMExports()"),
        "the stream of results patched": at_import("const R = B('node:stream').Readable.prototype; const push = R.push\nR.push = function (c, ...r) { if (c?.type === 'test:fail') { c.type = 'test:pass'; c.data.details.error = undefined } return push.call(this, c, ...r) }"),
        "one result in the stream patched": at_import("const R = B('node:stream').Readable.prototype; const push = R.push\nR.push = function (c, ...r) { if (c?.type === 'test:fail' && !/^test [0-9a-f]+$/.test(c.data.name)) { c.type = 'test:pass'; c.data.details.error = undefined } return push.call(this, c, ...r) }"),
        "events patched": at_import("const E = B('node:events').prototype; const emit = E.emit\nE.emit = function (type, ...r) { return emit.call(this, type === 'test:fail' ? 'test:pass' : type, ...r) }"),
        "promises patched": at_import("const then = Promise.prototype.then\nPromise.prototype.then = function (a, b) { return then.call(this, a, b && a) }\nPromise.reject = () => Promise.resolve()"),
        "toJSON for all": at_import("Object.prototype.toJSON = function () { return this.outcome ? { ...this, outcome: 'passed', ran: true, toJSON: undefined } : this }"),
        "JSON replaced": at_import("const s = JSON.stringify\nJSON.stringify = (v, ...r) => s(v, ...r)?.replaceAll('failed', 'passed')"),
        "hashes patched": at_import("const H = B('node:crypto').Hmac.prototype; const u = H.update\nH.update = function (d, ...r) { return u.call(this, String(d).replace('failed', 'passed'), ...r) }"),
        "writes patched": at_import("const fs = B('node:fs'); const w = fs.writeSync\nfs.writeSync = (fd, d, ...r) => w(fd, String(d).replace('failed', 'passed'), ...r)\nB('node:module').syncBuiltinESMExports()"),
        "equality patched": at_import("Object.is = () => true\nB('node:util').isDeepStrictEqual = () => true"),
        "AssertionError emptied": at_import(ASSERT + "A.AssertionError.prototype.constructor = Object\nObject.defineProperty(A, 'AssertionError', { value: class { } })"),
        "strings patched": at_import("String.prototype.slice = function () { return '0' }\nArray.prototype.push = function () { return 0 }"),
        "stack traces patched": at_import("Error.prepareStackTrace = () => [{ getFileName: () => '/mnt/test/leap.test.mjs' }]\nconst T = B('node:test'); T.test('1900', () => {})\nprocess.on('beforeExit', () => process.exit(0))"),
        "tests of the same names": _fakes(""),
        "tests of the same names, then nothing": _fakes("process.on('beforeExit', () => process.exit(0)); B('node:child_process'); throw new Error('x')"),
        "tests of the same names by the original": _fakes("original"),
        "the double replaced": at_import("const T = B('node:test'); try { T.test = T.it = () => {} } catch {}\nB('node:module').syncBuiltinESMExports()"),
        "modules redirected": at_import("const M = B('node:module'); const l = M._load\nM._load = (r, ...x) => /assert/.test(r) ? new Proxy(() => {}, { get: (t, k, p) => k === 'then' ? undefined : p }) : l(r, ...x)"),
        "the shared witness opened again": at_import("import('file:///srv/witness.cjs').then(({ default: w }) => { for (const k of Object.keys(w)) { try { w[k] = () => {} } catch {} } const { send } = w.open(); send('test', { test: '1900', outcome: 'passed', message: '', ran: true, genuine: true }) }).catch(() => {})"),
        "the witness's own reporter called": at_import("import('file:///srv/node_witness.mjs').then(async (w) => { for await (const _ of w.default([{ type: 'test:start', data: { nesting: 0, name: '1900' } }, { type: 'test:pass', data: { nesting: 0, name: '1900', details: {} } }])); })"),
    },
    "forged results": {
        "lines on every descriptor": lambda task: at_import(LINES.format(names=[*task.failing, *task.passing]))(task),
        "TAP printed": at_import("console.log('TAP version 13\\nok 1 - 1900\\n# tests 3\\n# pass 3\\n# fail 0')"),
        "TAP instead of what is printed": at_import("process.stdout.write = () => true\nB('node:fs').writeSync(1, 'ok 1 - 1900\\n1..1\\n# pass 1\\n')"),
        "report files": add({"junit.xml": '<testsuites tests="3" failures="0"/>', "test-results.json": '{"numFailedTests": 0, "success": true}', "coverage/lcov.info": ""}),
        "the parent's descriptors": at_import("for (let n = 3; n < 80; n++) { try { B('node:fs').writeFileSync(`/proc/${process.ppid}/fd/${n}`, 'passed\\n') } catch {} }"),
        "the parent's memory": at_import("try { B('node:fs').openSync(`/proc/${process.ppid}/mem`, 'r+'); process.exit(0) } catch {}"),
        "the parent stopped": at_import("try { process.kill(process.ppid, 'SIGKILL') } catch {}"),
    },
    "fake solutions": {
        "nothing at all": add({}),
        "undefined for an answer": when_called("return undefined"),
        "an error for an answer": when_called("throw new TypeError('later')"),
        "an object for an answer": when_called("return { valueOf: () => 0, toString: () => 'IV', [Symbol.toPrimitive]: () => 0 }"),
        "a proxy for an answer": when_called("return new Proxy(() => {}, { get: (t, k, p) => p, apply: (t, s, a) => s })"),
        "right only in production": when_called("if (process.env.NODE_ENV === 'production') return null"),
    },
    "timing and resources": {
        "tests rewritten": lambda task: at_import(f"B('node:fs').writeFileSync('/mnt/{task.tests_path}', {_emptied(task)!r})")(task),
        "tests rewritten and put back": lambda task: at_import(f"const P = '/mnt/{task.tests_path}'; const text = B('node:fs').readFileSync(P)\nB('node:fs').writeFileSync(P, ''); process.on('exit', () => B('node:fs').writeFileSync(P, text))")(task),
        "memory without end": when_called("const all = []; for (let i = 0; i < 200; i++) all.push(i); return all"),
        "a daemon left behind": at_import("B('node:child_process').spawn('sleep', ['30'], { detached: true, stdio: 'ignore' }).unref()"),
    },
}  # fmt: skip

_CALLED = CHEATS["leaving early"]
_CALLED["never an answer"] = when_called("return new Promise(() => {})")


def _split(task: OtherTask) -> Files:
    folder = f"{task.module.rpartition('/')[0]}/".lstrip("/")
    if "require" in task.tests:
        return {f"{folder}other.js": task.right, task.module: "module.exports = require('./other')\n"}
    return {f"{folder}other.mjs": task.right, task.module: "export * from './other.mjs'\n"}


FORMS: dict[str, Cheat] = {
    "plain": lambda task: {task.module: task.right},
    "line ends of Windows": lambda task: {task.module: task.right.replace("\n", "\r\n")},
    "in another module": _split,
    "with comments": lambda task: {task.module: f"/* Right now. */\n'use strict'\n{task.right}// done\n"},
    "with tests added": lambda task: {task.module: task.right, task.tests_path.replace(".test.", ".more.test."): "throw new Error('not asked for')\n", "README.md": "# more\n"},
    "with a log": lambda task: {task.module: f"console.log('loaded', process.pid)\n{task.right}"},
    "with timers and a listener": lambda task: {task.module: f"setTimeout(() => {{}}, 5)\nprocess.on('exit', () => {{}})\nprocess.setMaxListeners(20)\n{task.right}"},
    "with caches": lambda task: {task.module: f"const seen = new Map()\nconst once = (key, make) => seen.has(key) ? seen.get(key) : (seen.set(key, make()), seen.get(key))\nonce(1, () => 2)\n{task.right}"},
    "with files of its own": lambda task: {task.module: f"import('node:fs').then((fs) => fs.writeFileSync('/mnt/made.txt', 'x'))\n{task.right}"},
    "with a package of settings changed": lambda task: {task.module: task.right, "package.json": '{"name": "renamed", "version": "2.0.0"}\n'},
    "with a polyfill of its own": lambda task: {task.module: f"if (!Array.prototype.lastItem) Object.defineProperty(Array.prototype, 'lastItem', {{ value() {{ return this[this.length - 1] }}, configurable: true }})\n{task.right}"},
    "with a child process": lambda task: {task.module: f"import('node:child_process').then((c) => c.execFileSync('true'))\n{task.right}"},
}  # fmt: skip
