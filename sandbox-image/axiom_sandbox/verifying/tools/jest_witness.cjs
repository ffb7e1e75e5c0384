// Runs one file of Jest's tests, and says what became of each; run_jest.py starts it, and docs/criteria.md says why.
//
// It is loaded before anything of the workspace, and is Jest's test environment: Jest runs tests and the code under test in a
// realm of their own (node:vm), and this outside of it. What it reports of a test is what it saw itself: whose code registered
// the test, that the body was called and came to its end, and that Jest noted no error. What the realm's own objects say of a
// test's name or outcome does not count, as the code under test can reach them.
'use strict'
const assert = require('node:assert')
const { Hmac } = require('node:crypto')
const events = require('node:events')
const fs = require('node:fs')
const inspector = require('node:inspector')
const Module = require('node:module')
const path = require('node:path')
const util = require('node:util')
const vm = require('node:vm')
const witness = require('./witness.cjs')

const { apply, ownKeys, getOwnPropertyDescriptor } = Reflect
const { parse } = JSON
const { isArray } = Array
const { readFileSync } = fs
const { SourceMap } = Module
const call = Function.prototype.call
const WeakMapOf = WeakMap
const weakGet = call.bind(WeakMap.prototype.get)
const weakSet = call.bind(WeakMap.prototype.set)
const { caller, startsWith, includes } = witness
const { told, send } = witness.open()

// --- whether somebody replaced what tests rest on ---

const FOUNDATIONS = {
  assert, 'assert.strict': assert.strict, Promise, 'Promise.prototype': Promise.prototype, Object,
  'Object.prototype': Object.prototype, 'Function.prototype': Function.prototype, 'Array.prototype': Array.prototype, Array,
  'String.prototype': String.prototype, 'Number.prototype': Number.prototype, 'RegExp.prototype': RegExp.prototype,
  'Map.prototype': Map.prototype, 'Set.prototype': Set.prototype, 'WeakMap.prototype': WeakMap.prototype,
  'Error.prototype': Error.prototype, Error, JSON, Math, Reflect, Number, 'EventEmitter.prototype': events.prototype, util,
  'Hmac.prototype': Hmac.prototype, process, fs, 'fs.promises': fs.promises, Module, vm,
  'inspector.Session.prototype': inspector.Session.prototype,
}
const INTRINSICS = ['Object', 'Function', 'Array', 'String', 'Number', 'Boolean', 'RegExp', 'Map', 'Set', 'WeakMap', 'Promise', 'Error',
  'TypeError', 'Symbol', 'JSON', 'Math', 'Reflect', 'Proxy']
const CHANGING = ['Module.prototype', 'process.on', 'process.exit', 'process.reallyExit']
for (const space of [fs, util, vm, Module, assert]) {
  for (const key of ownKeys(space)) {
    try {
      void space[key] // some are there only once they were asked for, and look replaced from then on
    } catch {
      continue
    }
  }
}
const parts = []
const seen = { __proto__: null }
function note(spaces) {
  for (const part of witness.note(spaces, CHANGING)) parts[parts.length] = part
}
function noteChanges() {
  noteStore()
  witness.noteChanges(parts, seen)
}
// What decides `toEqual` and `toMatchSnapshot`, and is no function that could be compared.
const SetOf = Set
const [hasOne, addOne] = [call.bind(Set.prototype.has), call.bind(Set.prototype.add)]
const testers = new SetOf()
let store, snapshots, stored
function watchStore(realm, expect) {
  store = realm[Symbol.for('$$jest-matchers-object')]
  const { addEqualityTesters, setState } = expect
  expect.addEqualityTesters = function (given) {
    if (isOurs()) for (let i = 0; i < given.length; i++) addOne(testers, given[i])
    return apply(addEqualityTesters, this, [given])
  }
  expect.setState = function (state) {
    if (snapshots === undefined && state?.snapshotState) { // Jest's own, before any file of the workspace is loaded
      snapshots = state.snapshotState
      stored = { ...snapshots._snapshotData }
      note({ 'the snapshots': Object.getPrototypeOf(snapshots) })
    }
    return apply(setState, this, [state])
  }
}
function noteStore() {
  const given = store?.customEqualityTesters ?? []
  for (let i = 0; i < given.length; i++) if (!hasOne(testers, given[i])) seen['how values are compared'] = true
  if (snapshots === undefined) return
  if (store.state.snapshotState !== snapshots || getOwnPropertyDescriptor(snapshots, 'match')) seen['the snapshots'] = true
  const now = snapshots._snapshotData ?? {}
  const keys = ownKeys(now)
  if (keys.length !== ownKeys(stored).length) seen['the snapshots'] = true
  for (let i = 0; i < keys.length; i++) if (now[keys[i]] !== stored[keys[i]]) seen['the snapshots'] = true
}
function noteRealm(realm, globals) {
  watchStore(realm, globals.expect)
  const spaces = { __proto__: null }
  for (const name of INTRINSICS) {
    const found = getOwnPropertyDescriptor(realm, name)?.value
    spaces[`the realm's ${name}`] = found
    spaces[`the realm's ${name}.prototype`] = found?.prototype
  }
  const { expect } = globals
  spaces.expect = expect
  const store = realm[Symbol.for('$$jest-matchers-object')]
  spaces['expect()'] = store?.matchers
  note(spaces)
  for (const key of ownKeys(globals)) {
    const found = getOwnPropertyDescriptor(realm, key)
    if (found) parts[parts.length] = { name: `the global ${String(key)}`, space: realm, key, value: found.value, get: found.get }
  }
}

// --- whose code registers a test, and what becomes of its body ---

const ours = witness.paths(told, told.ours)

function isOurs() {
  const name = caller(told, 61, (name) => includes(name, '/node_modules/'))
  return name !== undefined && name in ours
}

const records = new WeakMapOf()
const foreign = { __proto__: null }
const SENTINEL = {}
let registering = null

function added(event, state) {
  const block = state.currentDescribeBlock
  const test = block.children[block.children.length - 1]
  const name = nameOf(block, String(event.testName))
  const isSentinel = registering === SENTINEL
  if (!isSentinel && !isOurs()) {
    foreign[name] = true
    return
  }
  const record = { name, ended: false }
  if (typeof test.fn === 'function') test.fn = watched(test.fn, record)
  weakSet(records, test, record)
}

function nameOf(block, name) {
  let found = name
  for (let one = block; one && one.parent; one = one.parent) found = `${one.name} > ${found}`
  return found
}

function watched(body, record) {
  const begin = () => {
    record.ended = false
    noteChanges()
    send('start', { test: record.name })
  }
  const end = () => {
    noteChanges()
    record.ended = true
  }
  if (body.length > 0) {
    return function (done) {
      begin()
      const told = function (...given) {
        if (given.length === 0 || given[0] === undefined || given[0] === null) end()
        return apply(done, this, given)
      }
      told.fail = done.fail
      return apply(body, this, [told])
    }
  }
  return function () {
    begin()
    const result = apply(body, this, [])
    if (result === null || typeof result !== 'object' || typeof result.then !== 'function') {
      end()
      return result
    }
    return (async () => {
      const value = await result
      end()
      return value
    })()
  }
}

function ended(test, outcome, message) {
  const record = weakGet(records, test)
  if (record === undefined) return
  send('test', {
    test: record.name,
    outcome,
    message: message.slice(0, 1000),
    ran: record.ended,
    genuine: foreign[record.name] !== true,
  })
}

function messageOf(error) {
  try {
    const found = isArray(error) ? error[0] ?? error[1] : error
    // eslint-disable-next-line no-control-regex
    return String(found?.message ?? found).replace(/\x1b\[[0-9;]*m/g, '')
  } catch {
    return ''
  }
}

function environment(Base) {
  return class extends Base {
    handleTestEvent(event, state) {
      switch (event.name) {
        case 'setup':
          noteRealm(this.global, event.runtimeGlobals)
          registering = SENTINEL
          event.runtimeGlobals.test(told.sentinel.name, () =>
            event.runtimeGlobals.expect(told.sentinel.left).toBe(told.sentinel.right))
          registering = null
          break
        case 'add_test':
          added(event, state)
          break
        case 'run_start':
          noteChanges()
          send('loaded', {})
          break
        case 'run_finish': // later Jest itself takes the realm apart
          noteChanges()
          break
        case 'test_skip':
        case 'test_todo':
          ended(event.test, 'skipped', '')
          break
        case 'test_done':
          ended(event.test, event.test.errors.length ? 'failed' : 'passed', event.test.errors.length ? messageOf(event.test.errors[0]) : '')
          break
      }
      return typeof super.handleTestEvent === 'function' ? super.handleTestEvent(event, state) : undefined
    }
  }
}

// --- coverage ---

const measured = witness.paths(told, told.measured)
let ask = null
function cover() {
  const files = { __proto__: null }
  for (const { name, script } of witness.runsOf(ask)) {
    if (!(name in measured)) continue
    const source = ask('Debugger.getScriptSource', { scriptId: script.scriptId })?.scriptSource ?? ''
    files[measured[name]] = linesThatRan(source, script.functions)
  }
  send('coverage', { files })
}
function mapOf(source) {
  const found = /\/\/# sourceMappingURL=data:application\/json;(?:charset=utf-8;)?base64,([A-Za-z0-9+/=]+)/.exec(source)
  try {
    return found && new SourceMap(parse(Buffer.from(found[1], 'base64').toString()))
  } catch {
    return null
  }
}
function linesThatRan(source, functions) {
  const counts = witness.countsOf(source, functions)
  const map = mapOf(source)
  const shift = source.indexOf('{') >= 0 && startsWith(source, '({"Object.<anonymous>"') ? source.indexOf('{', 2) + 1 : 0
  const ran = new Set()
  let line = 0
  let start = 0
  for (let i = 0; i < source.length; i++) {
    if (source[i] === '\n') {
      line++
      start = i + 1
    } else if (counts[i] > 0 && source[i].trim() && i >= shift) {
      const entry = map?.findEntry(line, i - start - (line === 0 ? shift : 0))
      if (map === null) ran.add(line + 1)
      else if (entry?.originalLine !== undefined) ran.add(entry.originalLine + 1)
    }
  }
  return [...ran]
}

// --- how it begins ---

function toolsOf(file) {
  const places = [path.dirname(file), ...told.packages]
  const near = (from, name) => Module.createRequire(from).resolve(name)
  const jest = require.resolve('jest', { paths: places })
  const core = near(jest, '@jest/core')
  const config = near(core, 'jest-config')
  return { core: require(core), config: require(config), circus: near(config, 'jest-circus/runner') }
}

const OUTSIDE = ['testEnvironment', 'runner', 'testRunner', 'resolver', 'globalSetup', 'globalTeardown', 'snapshotResolver',
  'dependencyExtractor', 'runtime', 'moduleLoader', 'filter', 'testSequencer', 'testResultsProcessor', 'prettierPath']
function strangers(configs) {
  // Modules that run outside the realm of tests, and lie where an agent may write.
  const found = []
  for (const config of configs) {
    const named = OUTSIDE.map((name) => config[name])
    for (const transform of config.transform ?? []) named.push(transform[1])
    for (const one of named) {
      if (typeof one === 'string' && startsWith(one, `${told.workspace}/`) && !includes(one, '/node_modules/') && !(one in ours)) found.push(one)
    }
  }
  return found
}

async function main() {
  const file = `${told.workspace}/${told.file}`
  if (told.measured.length) {
    ask = witness.record()
    ask('Debugger.enable')
  }
  send('hello', { node: process.version })
  try {
    const tools = toolsOf(file)
    const argv = {
      _: [file], $0: 'jest', runTestsByPath: true, runInBand: true, ci: true, cache: false, watchman: false, coverage: false,
      silent: true, watch: false, watchAll: false, config: told.config || '{}', rootDir: `${told.workspace}/${told.root}`.replace(/\/$/, ''),
      testRunner: tools.circus, cacheDirectory: '/tmp/jest', reporters: [],
    }
    const { globalConfig, configs } = await tools.config.readConfigs(argv, [argv.rootDir])
    const others = strangers([globalConfig, ...configs])
    if (configs.length !== 1) throw new Error('its configuration has several projects; name tests of one with a configuration of its own')
    if (others.length) throw new Error(`its configuration lets ${others[0]} run beside what watches the tests; put it among the tests`)
    if (/^\s*(?:\*|\/\*\*?)\s*@jest-environment\s/m.test(readFileSync(file, 'utf8'))) throw new Error('it asks for an environment of its own (@jest-environment); name it in the configuration')
    const loaded = require(configs[0].testEnvironment)
    note(FOUNDATIONS) // as the packages of the base left them
    module.exports = environment(loaded.default ?? loaded.TestEnvironment ?? loaded)
    const { results } = await tools.core.runCLI({ ...argv, testEnvironment: __filename }, [argv.rootDir])
    const broken = results.testResults.find((one) => one.testExecError)
    if (broken) send('broken', { message: messageOf(broken.testExecError).slice(0, 1000) })
    else if (results.numTotalTestSuites === 0) send('broken', { message: 'Jest takes it for no file of tests' })
  } catch (error) {
    send('broken', { message: messageOf(error).slice(0, 1000) })
  }
  send('tampered', { parts: ownKeys(seen) })
  if (ask) cover()
  send('end', {})
}
main().then(() => process.exit(0))
