// npm web-push, as a server uses it that means to be fast: one agent that keeps its connections, 64 messages under way.
// `node web_push.mjs FILE`; a line `FIRST COUNT` on stdin sends so many messages, and the CPU time so far is printed.
import { readFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { createInterface } from 'node:readline'
import webPush from 'web-push'

const IN_FLIGHT = 64
const { certificate, subscriptions, texts, vapidDetails } = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const agent = new Agent({ keepAlive: true, maxSockets: IN_FLIGHT, ca: readFileSync(certificate) })
const options = { vapidDetails, TTL: 3600, contentEncoding: 'aes128gcm', agent }

async function send(first, count) {
  let next = first
  const one = async () => {
    while (next < first + count) {
      const number = next++ % subscriptions.length
      await webPush.sendNotification(subscriptions[number], texts[number], options) // throws unless 2xx
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, one))
}

const spent = () => {
  const { user, system } = process.cpuUsage()
  return user + system
}

console.log(spent())
for await (const line of createInterface({ input: process.stdin })) {
  await send(...line.split(' ').map(Number))
  console.log(spent())
}
