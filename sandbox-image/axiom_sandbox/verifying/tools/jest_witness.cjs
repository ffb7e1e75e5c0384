// Runs one file of Jest's tests, and says what became of each; run_jest.py starts it, and docs/criteria.md says why.
//
// It is loaded before anything of the workspace, and is Jest's test environment: Jest runs tests and the code under test in a
// realm of their own (node:vm), and this outside of it. What it reports of a test is what it saw itself: whose code registered
// the test, that the body was called and came to its end, and that Jest noted no error. What the realm's own objects say of a
// test's name or outcome does not count, as the code under test can reach them.
'use strict'
const { createHmac, createSecretKey, Hmac } = require('node:crypto')
const assert = require('node:assert')
const events = require('node:events')
const fs = require('node:fs')
const inspector = require('node:inspector')
const Module = require('node:module')
const path = require('node:path')
const util = require('node:util')
const vm = require('node:vm')
const { fileURLToPath } = require('node:url')

const { apply, ownKeys, getOwnPropertyDescriptor } = Reflect
const { parse, stringify } = JSON
const { isArray } = Array
const { captureStackTrace } = Error
const { readFileSync, writeSync, closeSync } = fs
const { update, digest } = Hmac.prototype
const { SourceMap } = Module
const call = Function.prototype.call
const startsWith = call.bind(String.prototype.startsWith)
const includes = call.bind(String.prototype.includes)
const WeakMapOf = WeakMap
const weakGet = call.bind(WeakMap.prototype.get)
const weakSet = call.bind(WeakMap.prototype.set)
const fromUrl = fileURLToPath

const { told, key } = (() => {
  const feed = readFileSync(3)
  closeSync(3)
  const told = parse(feed.subarray(32).toString())
  const key = createSecretKey(feed.subarray(0, 32))
  feed.fill(0)
  return { told, key }
})()

let count = 0
function encode(value) {
  // Nothing that the workspace can put on a prototype has a say in this.
  if (isArray(value)) {
    let text = '['
    for (let i = 0; i < value.length; i++) text += (i ? ',' : '') + encode(value[i])
    return text + ']'
  }
  if (typeof value === 'object' && value !== null) {
    let text = '{'
    const keys = ownKeys(value)
    for (let i = 0; i < keys.length; i++) text += (i ? ',' : '') + stringify(keys[i]) + ':' + encode(value[keys[i]])
    return text + '}'
  }
  return stringify(value) ?? 'null'
}
function send(kind, fields) {
  const body = encode({ __proto__: null, n: count++, kind, ...fields })
  const mac = createHmac('sha256', key)
  apply(update, mac, [body])
  writeSync(4, `${apply(digest, mac, ['hex']).slice(0, 32)} ${body}\n`)
}

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
const VOLATILE = new Set(['Error.prepareStackTrace', 'Error.stackTraceLimit', 'process.exitCode', 'process.argv', 'process.env',
  'process.title', 'process._exiting', 'process.domain', 'Module.prototype', 'process.on', 'process.exit', 'process.reallyExit'])
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
  for (const owner of ownKeys(spaces)) {
    const space = spaces[owner]
    if ((typeof space !== 'object' && typeof space !== 'function') || space === null) continue
    for (const key of ownKeys(space)) {
      const name = `${owner}.${String(key)}`
      const found = getOwnPropertyDescriptor(space, key)
      if (!VOLATILE.has(name) && (typeof found.value === 'function' || found.get)) {
        parts[parts.length] = { name, space, key, value: found.value, get: found.get }
      }
    }
  }
}
function noteChanges() {
  for (let i = 0, left = 20; i < parts.length && left; i++) {
    const { name, space, key, value, get } = parts[i]
    const now = getOwnPropertyDescriptor(space, key)
    if (now === undefined || now.value !== value || (value === undefined && now.get !== get)) {
      seen[name] = true
      left--
    }
  }
}
function noteRealm(realm, globals) {
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

const ours = { __proto__: null }
for (const one of told.ours) ours[`${told.workspace}/${one}`] = true

function isOurs() {
  const { prepareStackTrace: before, stackTraceLimit: limit } = Error
  const holder = {}
  try {
    Error.stackTraceLimit = 60
    Error.prepareStackTrace = (_, sites) => sites
    captureStackTrace(holder, isOurs)
    const sites = holder.stack
    for (let i = 0; i < sites.length; i++) {
      let name = sites[i].getFileName() ?? ''
      if (startsWith(name, 'file:')) name = fromUrl(name)
      if (name === '' || startsWith(name, 'node:') || startsWith(name, told.tools) || includes(name, '/node_modules/')) continue
      return name in ours
    }
    return false
  } finally {
    Error.prepareStackTrace = before
    Error.stackTraceLimit = limit
  }
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

function witness(Base) {
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

const measured = { __proto__: null }
for (const one of told.measured) measured[`${told.workspace}/${one}`] = one
const session = told.measured.length ? new inspector.Session() : null
const post = inspector.Session.prototype.post
function ask(method, given) {
  let found
  apply(post, session, [method, given ?? {}, (error, answer) => { found = answer }])
  return found
}
function begin() {
  session.connect()
  ask('Debugger.enable')
  ask('Profiler.enable')
  ask('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
}
function cover() {
  const files = { __proto__: null }
  for (const { url, scriptId, functions } of ask('Profiler.takePreciseCoverage')?.result ?? []) {
    let name = url
    try {
      if (startsWith(name, 'file:')) name = fromUrl(name)
    } catch {
      continue
    }
    if (name in measured) files[measured[name]] = linesThatRan(ask('Debugger.getScriptSource', { scriptId })?.scriptSource ?? '', functions)
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
  // Inner ranges are more exact than outer ones, and V8 gives outer ones first.
  const counts = new Int32Array(source.length).fill(1)
  for (const { ranges } of functions) for (const { startOffset, endOffset, count } of ranges) counts.fill(count, startOffset, endOffset)
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
  if (session) begin()
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
    module.exports = witness(loaded.default ?? loaded.TestEnvironment ?? loaded)
    const { results } = await tools.core.runCLI({ ...argv, testEnvironment: __filename }, [argv.rootDir])
    const broken = results.testResults.find((one) => one.testExecError)
    if (broken) send('broken', { message: messageOf(broken.testExecError).slice(0, 1000) })
    else if (results.numTotalTestSuites === 0) send('broken', { message: 'Jest takes it for no file of tests' })
  } catch (error) {
    send('broken', { message: messageOf(error).slice(0, 1000) })
  }
  send('tampered', { parts: ownKeys(seen) })
  if (session) cover()
  send('end', {})
}
main().then(() => process.exit(0))
