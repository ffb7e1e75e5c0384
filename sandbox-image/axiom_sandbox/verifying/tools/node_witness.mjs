// Runs one file of node:test's tests, and says what became of each; run_node.py starts it, and docs/criteria.md says why.
//
// It is loaded before anything of the workspace, binds what it reports with, and puts a double in the place of node:test
// that notes whose code registers a test, and whether its body was called and came to its end. What the test runner says
// of a test counts beside that, not alone.
import assert from 'node:assert'
import events from 'node:events'
import fs from 'node:fs'
import { Hmac } from 'node:crypto'
import Module from 'node:module'
import stream from 'node:stream'
import { pathToFileURL } from 'node:url'
import util from 'node:util'
import original from 'node:test'
import witness from './witness.cjs'

const { apply, ownKeys } = Reflect
const { stringify } = JSON
const { readFileSync } = fs
const { getPrototypeOf, freeze } = Object
const { caller, note, noteChanges, startsWith, includes } = witness
const { told, send } = witness.open()

// --- whether somebody replaced what tests rest on ---

const FOUNDATIONS = {
  assert, 'assert.strict': assert.strict, 'AssertionError.prototype': assert.AssertionError.prototype,
  Promise, 'Promise.prototype': Promise.prototype, 'Object': Object, 'Object.prototype': Object.prototype,
  'Function.prototype': Function.prototype, 'Array.prototype': Array.prototype, Array,
  'String.prototype': String.prototype, 'Number.prototype': Number.prototype, 'RegExp.prototype': RegExp.prototype,
  'Map.prototype': Map.prototype, 'Set.prototype': Set.prototype, 'Error.prototype': Error.prototype,
  JSON, Math, Reflect, Number, 'EventEmitter.prototype': events.prototype,
  'Readable.prototype': stream.Readable.prototype, 'Transform.prototype': stream.Transform.prototype, util,
  'Hmac.prototype': Hmac.prototype, 'node:test': original, 'node:test.assert': original.assert, 'node:test.snapshot': original.snapshot,
}
const SURROUNDINGS = { process, fs, globalThis, 'fs.promises': fs.promises, Module }

// --- the double of node:test ---

const bodies = { __proto__: null } // name of a test → what is known of the bodies of tests that are called so
const seen = { __proto__: null }

function isOurs() {
  const name = caller(told, 21, (name) => startsWith(name, 'data:'))
  return name !== undefined && (name in ours || !startsWith(name, told.workspace) || includes(name, '/node_modules/'))
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
        noteChanges(foundations, seen)
        noteChanges(surroundings, seen)
        watchContext(context)
        send('start', { test: name })
      }
      const end = () => {
        noteChanges(foundations, seen)
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

function watchContext(context) {
  const prototype = context && getPrototypeOf(context)
  if (!prototype || prototype === Object.prototype) return
  if (!watchedPrototypes.has(prototype)) {
    watchedPrototypes.add(prototype)
    if (typeof prototype.test === 'function') prototype.test = watched(prototype.test)
    for (const part of note({ TestContext: prototype }, [])) foundations[foundations.length] = part
  }
  if (context.assert) freeze(context.assert)
}
const watchedPrototypes = new Set()

function guard(owner, key, name) {
  // What the tests themselves may call, and code under test has no business with.
  const guarded = owner?.[key]
  if (typeof guarded !== 'function') return
  owner[key] = function (...given) {
    if (!isOurs()) seen[name] = true
    return apply(guarded, this, given)
  }
}

for (const key of ['before', 'after', 'beforeEach', 'afterEach']) guard(original, key, `node:test.${key}`)
guard(original.assert, 'register', 'node:test.assert')
for (const key of ownKeys(original.snapshot ?? {})) guard(original.snapshot, key, 'node:test.snapshot')
const test = watched(original.test)
const it = watched(original.it)
const wrapped = { __proto__: null, test, it, only: test.only, skip: test.skip, todo: test.todo }
export const double = test
for (const name of ownKeys(original)) {
  if (name === 'length' || name === 'name' || name === 'prototype') continue
  if (!(name in double) || name === 'it' || name === 'test') double[name] = wrapped[name] ?? original[name]
}
freeze(double)

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
  const skipped = data.skip !== undefined || data.todo !== undefined || data.expectFailure !== undefined
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
    const [, from] = String(error?.stack).split(`${file}:`)
    return `${said.slice(0, 1000)}${from ? ` (line ${parseInt(from, 10)})` : ''}`
  } catch {
    return ''
  }
}

export default async function* report(source) {
  if (taken) return
  taken = true
  for await (const event of source) take(event)
  noteChanges(foundations, seen)
  noteChanges(surroundings, seen)
  send('tampered', { parts: ownKeys(seen) })
  if (ask) cover()
  send('end', {})
  yield ''
}

// --- coverage ---

const measured = witness.paths(told, told.measured)
let ask = null
function cover() {
  const files = { __proto__: null }
  for (const { name, script } of witness.runsOf(ask)) {
    if (name in measured) files[measured[name]] = linesThatRan(readFileSync(name, 'utf8'), script.functions)
  }
  send('coverage', { files })
}
function linesThatRan(source, functions) {
  const counts = witness.countsOf(source, functions)
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

const ours = witness.paths(told, told.ours)
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

guard(Module, 'register', 'how modules are found')
guard(Module, 'registerHooks', 'how modules are found')
Module.syncBuiltinESMExports()

const file = `${told.workspace}/${told.file}`
process.argv[1] = file
const foundations = note(FOUNDATIONS, [])
const surroundings = note(SURROUNDINGS, ['globalThis.performance'])
if (told.measured.length) ask = witness.record()
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
