// What the witnesses in JavaScript share: how they say what they saw, whose code called, and whether anything was replaced.
//
// It is loaded before anything of the workspace, and binds what it works with. Whoever loads it again gets functions that know
// no secret: that goes to the one who calls `open` first, as what it is read from is closed then.
'use strict'
const { createHmac, createSecretKey, Hmac } = require('node:crypto')
const fs = require('node:fs')
const inspector = require('node:inspector')
const { fileURLToPath } = require('node:url')

const { apply, ownKeys, getOwnPropertyDescriptor } = Reflect
const { parse, stringify } = JSON
const { isArray } = Array
const { captureStackTrace } = Error
const { readFileSync, writeSync, closeSync } = fs
const { update, digest } = Hmac.prototype
const { post } = inspector.Session.prototype
const call = Function.prototype.call
const slice = call.bind(String.prototype.slice)
const startsWith = call.bind(String.prototype.startsWith)
const includes = call.bind(String.prototype.includes)

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

function open() {
  // What the relay told, and the function that signs what is said to it.
  const feed = readFileSync(3)
  closeSync(3)
  const told = parse(feed.subarray(32).toString())
  const key = createSecretKey(feed.subarray(0, 32))
  feed.fill(0)
  let count = 0
  function send(kind, fields) {
    const body = encode({ __proto__: null, n: count++, kind, ...fields })
    const mac = createHmac('sha256', key)
    apply(update, mac, [body])
    writeSync(4, `${slice(apply(digest, mac, ['hex']), 0, 32)} ${body}\n`)
  }
  return { told, send }
}

function paths(told, names) {
  // Paths in the workspace by their full names.
  const found = { __proto__: null }
  for (const name of names) found[`${told.workspace}/${name}`] = name
  return found
}

function nameOf(url) {
  // A script's file; as it is where it is no file's.
  return startsWith(url, 'file:') ? fileURLToPath(url) : url
}

function caller(told, limit, passes) {
  // The file whose code called: the innermost that is not Node.js's, ours, or one that passes. Undefined: there is none.
  const { prepareStackTrace: before, stackTraceLimit: was } = Error
  const holder = {}
  try {
    Error.stackTraceLimit = limit
    Error.prepareStackTrace = (_, sites) => sites
    captureStackTrace(holder, caller)
    const sites = holder.stack
    for (let i = 0; i < sites.length; i++) {
      const name = nameOf(sites[i].getFileName() ?? '')
      if (name !== '' && !startsWith(name, 'node:') && !startsWith(name, told.tools) && !passes(name)) return name
    }
    return undefined
  } finally {
    Error.prepareStackTrace = before
    Error.stackTraceLimit = was
  }
}

// --- whether somebody replaced what tests rest on ---

const VOLATILE = new Set(['Error.prepareStackTrace', 'Error.stackTraceLimit', 'process.exitCode', 'process.argv', 'process.env',
  'process.title', 'process._exiting', 'process.domain'])
function note(spaces, changing) {
  // The functions of some objects as they are now; `changing`: names of those that honest code replaces.
  const parts = []
  for (const owner of ownKeys(spaces)) {
    const space = spaces[owner]
    if ((typeof space !== 'object' && typeof space !== 'function') || space === null) continue
    for (const key of ownKeys(space)) {
      const name = `${owner}.${String(key)}`
      const found = getOwnPropertyDescriptor(space, key)
      if (!VOLATILE.has(name) && !changing.includes(name) && (typeof found.value === 'function' || found.get)) {
        parts[parts.length] = { name, space, key, value: found.value, get: found.get }
      }
    }
  }
  return parts
}
function noteChanges(parts, seen) {
  // Adds the names of what is not as it was; of many the first.
  for (let i = 0, left = 20; i < parts.length && left; i++) {
    const { name, space, key, value, get } = parts[i]
    const now = getOwnPropertyDescriptor(space, key)
    if (now === undefined || now.value !== value || (value === undefined && now.get !== get)) {
      seen[name] = true
      left--
    }
  }
}

// --- coverage ---

function record() {
  // Notes what runs from now on. Sessions are asked by what was bound, and answer at once.
  const session = new inspector.Session()
  const ask = (method, given) => {
    let found
    apply(post, session, [method, given ?? {}, (_, answer) => { found = answer }])
    return found
  }
  session.connect()
  ask('Profiler.enable')
  ask('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  return ask
}
function runsOf(ask) {
  // Each file's script that ran, with the file's name.
  const found = []
  for (const script of ask('Profiler.takePreciseCoverage')?.result ?? []) {
    try {
      found[found.length] = { name: nameOf(script.url), script }
    } catch {
      continue
    }
  }
  return found
}
function countsOf(source, functions) {
  // How often each character ran. Inner ranges are more exact than outer ones, and V8 gives outer ones first.
  const counts = new Int32Array(source.length).fill(1)
  for (const { ranges } of functions) for (const { startOffset, endOffset, count } of ranges) counts.fill(count, startOffset, endOffset)
  return counts
}

module.exports = Object.freeze({ open, paths, caller, note, noteChanges, record, runsOf, countsOf, startsWith, includes })
