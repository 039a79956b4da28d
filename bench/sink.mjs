// A push service to measure against: HTTP/2 over TLS on one port, HTTP/1.1 over TLS on another, by Node's own servers.
// It answers 201 and judges what it gets: the headers, the size and the VAPID token of every message, and every
// EVERY-th body is decrypted. `node sink.mjs CERTIFICATE SUBSCRIBERS EVERY`; a line on stdin asks for the counts.
import { createDecipheriv, createECDH, createPublicKey, hkdfSync, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureServer } from 'node:http2'
import { createServer } from 'node:https'
import { createInterface } from 'node:readline'

const [pem, file, every] = process.argv.slice(2)
const certificate = readFileSync(pem)
const { keys, subscribers } = JSON.parse(readFileSync(file, 'utf8'))
const counts = { received: 0, decrypted: 0, rejected: 0, connections: 0, faults: [] }

const tokens = new Map() // whole header → true, once verified
function verified(header, origin) {
  const cacheKey = `${origin} ${header}`
  if (tokens.has(cacheKey)) return
  const [, jwt, key] = /^vapid t=([^,]+),\s*k=(.+)$/.exec(header) ?? fault('authorization')
  if (!keys.includes(key)) fault('key')
  const point = Buffer.from(key, 'base64url')
  const jwk = { kty: 'EC', crv: 'P-256', x: point.toString('base64url', 1, 33), y: point.toString('base64url', 33) }
  const [head, claims, signature] = jwt.split('.')
  const publicKey = { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' }
  if (!verify('sha256', `${head}.${claims}`, publicKey, Buffer.from(signature, 'base64url'))) fault('signature')
  const { aud, exp, sub } = JSON.parse(Buffer.from(claims, 'base64url'))
  const now = Date.now() / 1000
  if (aud !== origin || exp < now || exp > now + 86400 || !sub.startsWith('mailto:')) fault('claims')
  if (tokens.size > 10000) tokens.clear()
  tokens.set(cacheKey, true)
}

function decrypt(body, [d, auth]) {
  const ecdh = createECDH('prime256v1')
  ecdh.setPrivateKey(d, 'base64url')
  const sender = body.subarray(21, 86)
  const info = Buffer.concat([Buffer.from('WebPush: info\0'), ecdh.getPublicKey(), sender])
  const secret = hkdfSync('sha256', ecdh.computeSecret(sender), Buffer.from(auth, 'base64url'), info, 32)
  const salt = body.subarray(0, 16)
  const key = hkdfSync('sha256', secret, salt, 'Content-Encoding: aes128gcm\0', 16)
  const nonce = hkdfSync('sha256', secret, salt, 'Content-Encoding: nonce\0', 12)
  const gcm = createDecipheriv('aes-128-gcm', Buffer.from(key), Buffer.from(nonce))
  gcm.setAuthTag(body.subarray(-16))
  const text = Buffer.concat([gcm.update(body.subarray(86, -16)), gcm.final()])
  return JSON.parse(text.subarray(0, text.lastIndexOf(2)))
}

function fault(what) {
  throw new Error(what)
}

function judge(method, path, headers, body, origin) {
  counts.received++
  try {
    const number = /^\/push\/(\d+)$/.exec(path)?.[1] ?? fault('path')
    if (method !== 'POST') fault('method')
    if (headers['content-encoding'] !== 'aes128gcm') fault('content-encoding')
    if (!/^\d+$/.test(headers.ttl ?? '')) fault('ttl')
    if (body.length < 103 || body.length > 4096 || body.readUInt32BE(16) !== 4096 || body[20] !== 65) fault('body')
    verified(headers.authorization ?? '', origin)
    if (counts.received % every === 0) {
      if (!decrypt(body, subscribers[number]).notification.data.homing.delivery) fault('text')
      counts.decrypted++
    }
    return 201
  } catch (error) {
    counts.rejected++
    if (counts.faults.length < 5) counts.faults.push(error.message)
    return 400
  }
}

function gather(stream, done) {
  const parts = []
  stream.on('data', part => parts.push(part))
  stream.on('end', () => done(parts.length === 1 ? parts[0] : Buffer.concat(parts)))
  stream.on('error', () => {})
}

const origin = server => `https://127.0.0.1:${server.address().port}`
const tls = { key: certificate, cert: certificate }

const second = createSecureServer({ ...tls, settings: { maxConcurrentStreams: 128 } })
second.on('session', () => counts.connections++)
second.on('stream', (stream, headers) =>
  gather(stream, body => {
    const status = judge(headers[':method'], headers[':path'], headers, body, origin(second))
    if (!stream.destroyed) stream.respond({ ':status': status, location: '/message/1' }, { endStream: true })
  }),
)

const first = createServer(tls, (request, response) =>
  gather(request, body => {
    response.writeHead(judge(request.method, request.url, request.headers, body, origin(first)), { Location: '/message/1' })
    response.end()
  }),
)
first.on('secureConnection', () => counts.connections++)

second.listen(0, '127.0.0.1', () =>
  first.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ second: origin(second), first: origin(first) }))),
)
createInterface({ input: process.stdin })
  .on('line', () => console.log(JSON.stringify(counts)))
  .on('close', () => process.exit(0))
