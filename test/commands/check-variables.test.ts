import { describe, expect, it } from 'vitest'
import { checkVariables } from '../../src/commands/check-variables.ts'
import { InputError } from '../../src/errors.ts'
import { type Request, readRequest } from '../../src/inputs.ts'
import { readManifest } from '../../src/manifest/read.ts'

const request = (env: Readonly<Record<string, string>> = {}): Request =>
  readRequest({ GITHUB_ACTIONS: 'true', GITHUB_REPOSITORY: 'octo/shop', ...env }, [], '/')

const servers = `
servers:
  - {name: web1, id: i-1, host: a.example, roles: [web], env: {PORT: "1"}}
  - {name: web2, host: b.example, roles: [web]}
  - {name: db, host: c.example, roles: [db]}
`
const head = `application: shop
release: {path: /srv/shop}
ssh: {user: deploy}
${servers}`

/** What is refused, hint and all; null: nothing. */
const refusal = (more: string, env?: Readonly<Record<string, string>>): string | null => {
  const manifest = readManifest({ file: 'deploy.yml', text: `${head}${more}`, environment: null })
  try {
    checkVariables(manifest, request(env), manifest.servers)
    return null
  } catch (error) {
    expect(error).toBeInstanceOf(InputError)
    const { message, hint } = error as InputError
    return `${message}\n${hint ?? ''}`
  }
}
const port = '${{ server.env.PORT }}'

describe('before anything is connected to', () => {
  it('a look-up that a server has no value for is refused, with the server and the place', () => {
    const step = refusal(`activate: [{name: start, run: ./start, roles: [web], env: {P: "${port}"}}]`)
    expect(step).toMatch(/^web2: the step "start": \$\{\{ server\.env\.PORT \}\}: there is no such value here\n/)
    expect(step).not.toMatch(/web1:|db:/)
    expect(refusal(`verify: [{http: {path: "/${port}"}, roles: [web]}]`)).toContain('web2: verify:')
    expect(refusal(`cleanup: [{name: c, run: c, roles: [web], working_directory: "/srv/${port}"}]`)).toContain('web2:')
    expect(refusal(`migrate: {run: m, env: {P: "${port}"}}`)).toBe(null)
    const migrate = `migrate: {run: m, roles: [db], env: {P: "${port}"}}`
    expect(refusal(migrate)).toContain('db: the step "m"')
    expect(refusal(migrate, { INPUT_MIGRATE: 'false' })).toBe(null)
  })

  it('all are named at once, as far as that can be read', () => {
    const many = Array.from({ length: 12 }, (_, i) => `{name: s${i}, run: x, roles: [web], env: {P: "${port}"}}`)
    const told = refusal(`prepare: [${many.join(', ')}]`) ?? ''
    expect(told).toContain('web2: the step "s0"')
    expect(told).toContain('and 2 more')
  })

  it('what a server does not run is not asked of it, and what the release decides is not known yet', () => {
    expect(refusal(`activate: [{name: a, run: a, servers: [web1], env: {P: "${port}"}}]`)).toBe(null)
    expect(refusal(`activate: [{name: a, run: a, once: true, env: {P: "${port}"}}]`)).toBe(null)
    expect(refusal('activate: [{name: a, run: a, env: {R: "${{ release.sha }} ${{ release.path }}"}}]')).toBe(null)
    expect(refusal('env: {ID: "${{ server.id }}"}')).toBe(null)
    expect(refusal('env: {ID: "${{ server.id }}"}\nactivate: [{name: a, run: a, servers: [db]}]')).toContain('db: env:')
  })

  it('a variable without a value anywhere is refused', () => {
    expect(refusal('env: {TOKEN: }\nactivate: [a]')).toContain('TOKEN has no value')
    expect(refusal('env: {TOKEN: }\nactivate: [a]', { TOKEN: 't' })).toBe(null)
  })
})
