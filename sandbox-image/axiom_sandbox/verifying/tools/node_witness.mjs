// Runs one file of node:test's tests, and says what became of each; run_node.py starts it, and docs/criteria.md says why.
//
// It is loaded before anything of the workspace, binds what it reports with, and puts a double in the place of node:test
// that notes whose code registers a test, and whether its body was called and came to its end. What the test runner says
// of a test counts beside that, not alone.
import { createHmac, createSecretKey, Hmac } from 'node:crypto'
import assert from 'node:assert'
import events from 'node:events'
import fs from 'node:fs'
import inspector from 'node:inspector'
import Module from 'node:module'
import stream from 'node:stream'
import { fileURLToPath, pathToFileURL } from 'node:url'
import util from 'node:util'
import original from 'node:test'

const { apply, ownKeys, getOwnPropertyDescriptor } = Reflect
const { parse, stringify } = JSON
const { isArray } = Array
const { captureStackTrace } = Error
const { readFileSync, writeSync, closeSync } = fs
const { update, digest } = Hmac.prototype
const call = Function.prototype.call
const startsWith = call.bind(String.prototype.startsWith)
const getPrototypeOf = Object.getPrototypeOf
const fromUrl = fileURLToPath
const here = new URL('.', import.meta.url).href

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
  const line = `${apply(digest, mac, ['hex']).slice(0, 32)} ${body}\n`
  writeSync(4, line)
}

// --- whether somebody replaced what tests rest on ---

const FOUNDATIONS = {
  assert, 'assert.strict': assert.strict, 'AssertionError.prototype': assert.AssertionError.prototype,
  Promise, 'Promise.prototype': Promise.prototype, 'Object': Object, 'Object.prototype': Object.prototype,
  'Function.prototype': Function.prototype, 'Array.prototype': Array.prototype, Array,
  'String.prototype': String.prototype, 'Number.prototype': Number.prototype, 'RegExp.prototype': RegExp.prototype,
  'Map.prototype': Map.prototype, 'Set.prototype': Set.prototype, 'Error.prototype': Error.prototype,
  JSON, Math, Reflect, Number, 'EventEmitter.prototype': events.prototype,
  'Readable.prototype': stream.Readable.prototype, 'Transform.prototype': stream.Transform.prototype, util,
  'Hmac.prototype': Hmac.prototype, 'node:test': original,
}
const SURROUNDINGS = { process, fs, globalThis, 'fs.promises': fs.promises, Module }
const VOLATILE = new Set(['Error.prepareStackTrace', 'Error.stackTraceLimit', 'process.exitCode', 'process.argv', 'process.env',
  'process.title', 'process._exiting', 'process.domain', 'globalThis.performance'])
function note(spaces) {
  const parts = []
  for (const owner of ownKeys(spaces)) {
    for (const key of ownKeys(spaces[owner])) {
      const name = `${owner}.${String(key)}`
      const found = getOwnPropertyDescriptor(spaces[owner], key)
      if (!VOLATILE.has(name) && (typeof found.value === 'function' || found.get)) {
        parts.push({ name, space: spaces[owner], key, value: found.value, get: found.get })
      }
    }
  }
  return parts
}
function changes(parts) {
  const found = []
  for (let i = 0; i < parts.length && found.length < 20; i++) {
    const { name, space, key, value, get } = parts[i]
    const now = getOwnPropertyDescriptor(space, key)
    if (now === undefined || now.value !== value || (value === undefined && now.get !== get)) found[found.length] = name
  }
  return found
}

// --- the double of node:test ---

const bodies = { __proto__: null } // name of a test → what is known of the bodies of tests that are called so
const seen = { __proto__: null }
function noteChanges(parts) {
  const found = changes(parts)
  for (let i = 0; i < found.length; i++) seen[found[i]] = true
}

function isOurs() {
  const { prepareStackTrace: before, stackTraceLimit: limit } = Error
  const holder = {}
  try {
    Error.stackTraceLimit = 20
    Error.prepareStackTrace = (_, sites) => sites
    captureStackTrace(holder, isOurs)
    const sites = holder.stack
    for (let i = 0; i < sites.length; i++) {
      let name = sites[i].getFileName() ?? ''
      if (startsWith(name, 'file:')) name = fromUrl(name)
      if (name === '' || startsWith(name, 'node:') || startsWith(name, told.tools)) continue
      if (startsWith(name, 'data:')) continue
      return name in ours || !startsWith(name, told.workspace) || name.includes('/node_modules/')
    }
    return false
  } finally {
    Error.prepareStackTrace = before
    Error.stackTraceLimit = limit
  }
}

function known(name) {
  return (bodies[name] ??= { __proto__: null, ended: 0, foreign: 0 })
}

function watched(register) {
  const double = function (...given) {
    let at = given.length - 1
    while (at >= 0 && typeof given[at] !== 'function') at--
    const body = given[at]
    const name = typeof given[0] === 'string' ? given[0] : body?.name || '<anonymous>'
    if (!isOurs()) known(name).foreign++
    if (at >= 0) {
      const begin = (context) => {
        noteChanges(foundations)
        noteChanges(surroundings)
        watchSubtests(context)
        send('start', { test: name })
      }
      const end = () => {
        noteChanges(foundations)
        known(name).ended++
      }
      given[at] =
        body.length >= 2
          ? function (context, done) {
              begin(context)
              return apply(body, this, [context, (error) => {
                if (!error) end()
                done(error)
              }])
            }
          : async function (context) {
              begin(context)
              const result = await apply(body, this, [context])
              end()
              return result
            }
      if (typeof given[0] !== 'string') given.unshift(name)
    }
    return apply(register, this, given)
  }
  for (const kind of ['skip', 'todo', 'only', 'expectFailure']) {
    if (typeof register[kind] === 'function') double[kind] = watched(register[kind])
  }
  return double
}

function watchSubtests(context) {
  const prototype = context && getPrototypeOf(context)
  if (!prototype || prototype === Object.prototype || watchedPrototypes.has(prototype)) return
  watchedPrototypes.add(prototype)
  if (typeof prototype.test === 'function') {
    prototype.test = watched(prototype.test)
  }
}
const watchedPrototypes = new Set()

const test = watched(original.test)
const it = watched(original.it)
const wrapped = { __proto__: null, test, it, only: test.only, skip: test.skip, todo: test.todo }
export const double = test
for (const name of ownKeys(original)) {
  if (name === 'length' || name === 'name' || name === 'prototype') continue
  if (!(name in double) || name === 'it' || name === 'test') double[name] = wrapped[name] ?? original[name]
}
Object.freeze(double)

// --- what the runner of tests says ---

const stack = []
let taken = false
function take({ type, data }) {
  if (type === 'test:start') {
    stack.length = data.nesting
    stack[data.nesting] = data.name
    return
  }
  if ((type !== 'test:pass' && type !== 'test:fail') || data.details?.type === 'suite') return
  let name = ''
  for (let i = 0; i < data.nesting; i++) name += `${stack[i]} > `
  const skipped = data.skip !== undefined || data.todo !== undefined
  const body = bodies[data.name]
  const ran = body !== undefined && body.ended > 0
  if (ran && type === 'test:pass') body.ended--
  send('test', {
    test: name + data.name,
    outcome: skipped ? 'skipped' : type === 'test:pass' ? 'passed' : 'failed',
    message: type === 'test:fail' ? messageOf(data) : String(data.skip || data.todo || ''),
    ran,
    genuine: body === undefined || body.foreign === 0,
  })
}

function messageOf(data) {
  try {
    const error = data.details?.error?.cause ?? data.details?.error
    const said = String(error?.message ?? error)
    return `${said.slice(0, 1000)}${data.line ? ` (line ${data.line})` : ''}`
  } catch {
    return ''
  }
}

export default async function* report(source) {
  if (taken) return
  taken = true
  for await (const event of source) take(event)
  noteChanges(foundations)
  noteChanges(surroundings)
  send('tampered', { parts: ownKeys(seen) })
  if (session) cover()
  send('end', {})
  yield ''
}

// --- coverage ---

const measured = { __proto__: null }
for (const path of told.measured) measured[`${told.workspace}/${path}`] = path
const session = told.measured.length ? new inspector.Session() : null
const post = inspector.Session.prototype.post
function begin() {
  session.connect()
  apply(post, session, ['Profiler.enable'])
  apply(post, session, ['Profiler.startPreciseCoverage', { callCount: true, detailed: true }])
}
function cover() {
  apply(post, session, ['Profiler.takePreciseCoverage', (error, answer) => {
    const files = { __proto__: null }
    for (const script of answer?.result ?? []) {
      let name = script.url
      try {
        if (startsWith(name, 'file:')) name = fromUrl(name)
      } catch {
        continue
      }
      if (name in measured) files[measured[name]] = linesThatRan(readFileSync(name, 'utf8'), script.functions)
    }
    send('coverage', { files })
  }])
}
function linesThatRan(source, functions) {
  // Inner ranges are more exact than outer ones, and V8 gives outer ones first.
  const counts = new Int32Array(source.length).fill(1)
  for (const { ranges } of functions) for (const { startOffset, endOffset, count } of ranges) counts.fill(count, startOffset, endOffset)
  const ran = []
  let line = 1
  let runs = false
  let blank = true
  for (let i = 0; i <= source.length; i++) {
    const char = source[i]
    if (char === '\n' || i === source.length) {
      if (runs && !blank) ran.push(line)
      line++
      runs = false
      blank = true
    } else if (char.trim()) {
      blank = false
      if (counts[i] > 0) runs = true
    }
  }
  return ran
}

// --- how it begins ---

const ours = { __proto__: null }
for (const path of told.ours) ours[`${told.workspace}/${path}`] = true
const names = Object.keys(original).filter((name) => name !== 'default' && /^[a-z]\w*$/i.test(name))
const text = `import { double } from ${stringify(import.meta.url)}; export default double; export const { ${names.join(', ')} } = double;`
const doubleUrl = `data:text/javascript,${encodeURIComponent(text)}`
if (Module.registerHooks) {
  Module.registerHooks({
    resolve(specifier, context, next) {
      if (specifier !== 'node:test' || context.parentURL === import.meta.url) return next(specifier, context)
      return { url: doubleUrl, format: 'module', shortCircuit: true }
    },
  })
} else {
  Module.register(`data:text/javascript,${encodeURIComponent(
    `export async function resolve(specifier, context, next) {
      if (specifier !== 'node:test' || context.parentURL === ${stringify(import.meta.url)}) return next(specifier, context)
      return { url: ${stringify(doubleUrl)}, format: 'module', shortCircuit: true }
    }`)}`)
}
const load = Module._load
Module._load = function (request, ...rest) {
  return request === 'node:test' ? double : apply(load, this, [request, ...rest])
}

const file = `${told.workspace}/${told.file}`
process.argv[1] = file
const foundations = note(FOUNDATIONS)
const surroundings = note(SURROUNDINGS)
if (session) begin()
send('hello', { node: process.version })
const { name: sentinel, left, right } = told.sentinel
async function main() {
  try {
    await import(pathToFileURL(file).href)
    send('loaded', {})
  } catch (error) {
    send('broken', { message: messageOf({ details: { error } }) })
  }
  test(sentinel, () => assert.strictEqual(left, right))
}
main() // not awaited: the double waits for this module
