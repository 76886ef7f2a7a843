import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { everythingBelow } from '../support/files-below.ts'
import { commandLines } from '../support/processes.ts'
import { clientKey } from '../support/ssh-keys.ts'
import { useSites } from '../support/use-site.ts'

const site = useSites()
const password = `p"a's\\s $word ${'x'.repeat(10)}-4711`
const token = 'tok_8c1f0e2b7d'
const twoLines = 'first-line-of-it\nsecond-line-of-it'
const env = { DATABASE_PASSWORD: password, API_TOKEN: token, CERTIFICATE: twoLines }

/** Forms in which a secret could leave: as it is, in JSON, in base64, in a URL, and each of its lines. */
const forms = (secret: string): string[] => [
  secret,
  JSON.stringify(secret).slice(1, -1),
  Buffer.from(secret).toString('base64'),
  encodeURIComponent(secret),
  ...secret.split('\n'),
]
const secrets = Object.values(env).flatMap(forms)
const keyLine = clientKey().privateKey.split('\n')[1] ?? ''

/** Looks at every process list there is to see while something runs. */
function watchArguments(): { stop(): Promise<string[]> } {
  const found = new Set<string>()
  let stopped = false
  const watching = (async () => {
    while (!stopped) {
      for (const { pid, args } of commandLines())
        for (const secret of [...secrets, keyLine])
          if (args.includes(secret)) found.add(`${pid}: ${args.slice(0, 200)}`)
      await sleep(5)
    }
  })()
  return {
    stop: async () => {
      stopped = true
      await watching
      return [...found]
    },
  }
}

describe('secrets', () => {
  it('reach the scripts whole, and nothing else: no argument list, log, summary, output, report, state file', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 2 })
    const seen = (name: string) => join(at.server(name).sshd.home, 'seen')
    at.manifest({
      secrets: Object.keys(env),
      prepare: 'sleep 0.3; test -n "$API_TOKEN"',
      migrate: 'sleep 0.3; test -n "$DATABASE_PASSWORD"',
      activate: [
        {
          run: `printf '%s|%s|%s' "$DATABASE_PASSWORD" "$API_TOKEN" "$CERTIFICATE" >"$HOME/seen"
echo "the password is $DATABASE_PASSWORD"; echo "$API_TOKEN" >&2; echo "$CERTIFICATE"; printf '%s' "$API_TOKEN" | base64
printf 'tok_8c1f'; sleep 0.2; printf '0e2b7d\\n'
sleep 0.3; ./activate; test "$DEPLOY_SERVER" = web1 || { echo "failed with $DATABASE_PASSWORD"; exit 1; }`,
        },
      ],
    })
    at.change({ version: '2' })
    expect(commandLines().some(p => p.args.includes('sshd_config'))).toBe(true) // argument lists can be seen here
    const argumentsSeen = watchArguments()
    const result = await at.deploy({}, { env })
    expect(await argumentsSeen.stop()).toEqual([])
    expect(readFileSync(seen('web1'), 'utf8')).toBe(`${password}|${token}|${twoLines}`)
    expect(result.outputs['result']).toBe('failure') // web2 failed on purpose: errors are looked at too
    expect(result.log).toContain('the password is ***')

    const places: Record<string, string> = {
      log: result.log,
      summary: result.summary,
      outputs: JSON.stringify(result.outputs),
      state: JSON.stringify(result.state),
      'files of the job': everythingBelow(result.runnerTemp),
      post: `${result.post?.log}${result.post?.summary}`,
    }
    for (const server of at.servers) places[`files on ${server.name}`] = everythingBelow(server.root)
    const found = Object.entries(places).flatMap(([place, text]) =>
      [...secrets, keyLine].filter(secret => text.includes(secret)).map(secret => `${secret} stands in: ${place}`),
    )
    expect(found).toEqual([])
    // the runner is told to mask each of them before anything else is printed
    const masks = result.commands.filter(c => c.name === 'add-mask').map(c => c.data)
    for (const value of [password, token]) expect(masks).toContain(value)
  })

  it('that a migration prints stay in no file on its server, whether it succeeds or fails', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 2 })
    for (const [version, end] of [
      ['2', 'true'],
      ['3', 'false'],
    ] as const) {
      at.manifest({ secrets: ['API_TOKEN'], migrate: `echo "migrating with $API_TOKEN"; ${end}` })
      at.change({ version })
      const result = await at.deploy({}, { env })
      expect(result.log).toContain('migrating with ***')
      expect(everythingBelow(at.server('web1').root)).not.toContain(token)
    }
  })

  it('that are not in the step’s env are an error before anything is connected to', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2 })
    at.manifest({ secrets: ['DATABASE_PASSWORD'] })
    const connections = () =>
      at
        .server('web1')
        .sshd.log()
        .match(/Connection from/g)?.length
    const before = connections()
    const result = await at.deploy()
    expect(result.code).toBe(1)
    expect(result.log).toMatch(/DATABASE_PASSWORD/)
    expect(before).toBeGreaterThan(0)
    expect(connections()).toBe(before)
  })
})
