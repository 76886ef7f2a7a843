import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ManifestError } from '../../src/errors.ts'
import { lookupsIn, resolve, resolveAll } from '../../src/manifest/lookups.ts'
import { base, problems, problemsIn, read } from './reading.ts'

const first = (text: string) => problems(text)[0]

describe('resolving', () => {
  it('puts values in place of names', () => {
    const names = { 'server.name': 'web1', 'env.A': 'x' }
    expect(resolve('a-${{ server.name }}-${{env.A}}${{  env.A  }}!', names)).toBe('a-web1-xx!')
    expect(resolve('nothing $HOME {{ x }} $ {', new Map())).toBe('nothing $HOME {{ x }} $ {')
  })
  it('does not look at what a value holds', () =>
    expect(resolve('${{ env.A }}', { 'env.A': '${{ env.B }} $& $1', 'env.B': 'no' })).toBe('${{ env.B }} $& $1'))
  it('refuses unknown and empty names and lists the known ones', () => {
    const of = (text: string) => {
      try {
        return resolve(text, { application: 'site', 'server.id': '' })
      } catch (error) {
        return error instanceof ManifestError ? `${error.message} → ${error.hint}` : error
      }
    }
    expect(of('x${{ server.id }}')).toBe(
      '${{ server.id }}: its value is empty → in "x${{ server.id }}"; known: application',
    )
    expect(of('${{ server.name }}')).toBe(
      '${{ server.name }}: there is no such value here → in "${{ server.name }}"; known: application',
    )
    expect(of('${{ application')).toBe(
      '${{ application: there is no such value here → in "${{ application"; known: application',
    )
    expect(of('${{ toString }}')).toMatch(/no such value/)
  })
  it('reaches every text of a value, and nothing else', () =>
    expect(
      resolveAll(
        { a: ['${{ application }}', 1, null, undefined], b: { c: true, d: '${{ application }}/x' } },
        { application: 's' },
      ),
    ).toEqual({
      a: ['s', 1, null, undefined],
      b: { c: true, d: 's/x' },
    }))
  it('leaves texts without look-ups as they are, whatever they hold', () =>
    fc.assert(
      fc.property(
        fc.string().filter(t => !t.includes('${{')),
        t => void expect(resolve(t, {})).toBe(t),
      ),
    ))
  it('keeps everything around a look-up', () => {
    const around = fc.string().filter(t => !t.includes('${{') && !t.endsWith('$') && !t.endsWith('${'))
    fc.assert(
      fc.property(
        around,
        around,
        fc.string({ minLength: 1 }),
        (a, b, v) => void expect(resolve(`${a}\${{ application }}${b}`, { application: v })).toBe(a + v + b),
      ),
    )
  })
  it('finds look-ups that are not closed', () =>
    expect(lookupsIn('${{ a }} ${{ b').map(l => l.name)).toEqual(['a', null]))
})

describe('where a look-up may stand', () => {
  it('all names may stand where a server is at hand', () => {
    const names =
      'server.name server.host application release.id release.path release.sha env.A github.run_id github.repository'.split(
        ' ',
      )
    for (const name of names)
      expect(problems(`release: {path: /srv/x}\nenv: {A: 1}\nactivate: {run: x, env: {B: "\${{ ${name} }}"}}`)).toEqual(
        [],
      )
  })
  it.each([
    [
      'verify: {http: {path: "/x?${{ server.name }}", host: "${{ server.host }}", headers: {A: "${{ application }}"}, expect: {header: {B: "${{ application }}"}, body: "${{ application }}"}}}',
    ],
    ['release: {path: "/srv/${{ application }}"}'],
    ['url: "https://${{ application }}"'],
    ['activate: {run: x, working_directory: "/x/${{ application }}"}'],
    ['load_balancers: {e: {provider: haproxy, backends: [b], hosts: [h], member: "${{ server.name }}"}}'],
  ])('it may: %s', text => expect(problems(text)).toEqual([]))

  it.each([
    ['shell: "${{ application }}"', '4:9 shell: no look-up may stand here → write the value itself'],
    [
      'activate: {run: x, name: "${{ application }}"}',
      '4:27 activate[0].name: no look-up may stand here → write the value itself',
    ],
    [
      'url: "https://${{ server.name }}"',
      '4:15 url: ${{ server.name }}: no server is at hand here → known here: application, environment, pull_request.number, github.run_id, github.repository, release.id, release.path, release.sha, env.<NAME>',
    ],
    [
      'release: {path: "/srv/${{ release.id }}"}',
      '4:23 release.path: ${{ release.id }}: the release is not known here → known here: application, environment, pull_request.number, github.run_id, github.repository, env.<NAME>',
    ],
    [
      'env: {A: "${{ env.B }}", B: 1}',
      '4:11 env.A: ${{ env.B }}: a variable looks up none of its own kind → known here: application, environment, pull_request.number, github.run_id, github.repository, release.id, release.path, release.sha, server.name, server.host, server.id',
    ],
  ])('it may not: %s', (text, expected) => expect(problems(text)).toContain(expected))
})

describe('names', () => {
  const url = (name: string) => first(`url: "\${{ ${name} }}"`)
  it.each([
    [
      'vars.X',
      '4:7 url: ${{ vars.X }}: vars of the workflow are not known in a manifest → in the workflow give the action step `env: {X: ${{ vars.X }}}`, here write `X:` without a value under env, and look up env.X',
    ],
    [
      'inputs.tag',
      '4:7 url: ${{ inputs.tag }}: inputs of the workflow are not known in a manifest → in the workflow give the action step `env: {tag: ${{ inputs.tag }}}`, here write `tag:` without a value under env, and look up env.tag',
    ],
    [
      'secrets.X',
      '4:7 url: ${{ secrets.X }}: a secret is not looked up, it would end up in texts that are shown → in the workflow give the action step `env: {X: ${{ secrets.X }}}`, here list X under secrets, and read $X in the script',
    ],
  ])('of the workflow say what to do instead: %s', (name, expected) => expect(url(name)).toBe(expected))
  it.each([
    'github.head_ref',
    'github.actor',
    'github.event.pull_request.title',
    'pull_request.title',
    'github.ref_name',
  ])('whose value a stranger can choose do not exist: %s', name =>
    expect(url(name)).toMatch(
      /no such name; none exists whose value a stranger could choose, as branch, title or actor → known here: application/,
    ),
  )
  it.each(['format(1)', 'a || b', "env['A']", 'a.*.b', 'env.A env.B'])('are one name, no expression: %s', name =>
    expect(url(name)).toMatch(/a look-up is one name, without functions and operators/),
  )
  it('that are unknown say the nearest', () => {
    expect(url('relase.id')).toBe(
      '4:7 url: ${{ relase.id }}: unknown name → did you mean "release.id"? known: application, environment, pull_request.number, github.run_id, github.repository, release.id, release.path, release.sha, env.<NAME>',
    )
    expect(url('')).toMatch(/4:7 url: a look-up names nothing → known here: application/)
    expect(first('url: "${{ x"')).toMatch(/4:7 url: a look-up is not closed → write \$\{\{ name \}\}/)
  })
  it.each([
    ['url: "${{ env.AA }}"\nenv: {AB: 1}', '`env` has no such variable → did you mean "env.AB"? known: env.AB'],
    ['url: "${{ release.id }}"', 'the manifest has no `release`'],
    ['url: "${{ environment }}"', 'the manifest has no `environments`'],
    ['url: "${{ pull_request.number }}"', 'this is not a deployment of a pull request'],
    ['env: {A: "${{ server.id }}"}', 'no server has an `id`'],
    ['activate: {run: x, env: {A: "${{ server.env.PORT }}"}}', 'no server has such a variable in its `env`'],
  ])('that have no value in this manifest are refused: %j', (text, why) => expect(first(text)).toContain(why))
  it('of the run are refused once it is known that they are empty', () => {
    const text = `${base}url: "\${{ github.run_id }}"`
    expect(problemsIn(text)).toEqual([])
    expect(problemsIn(text, {}, { 'github.run_id': '7' })).toEqual([])
    expect(problemsIn(text, {}, {})[0]).toContain('it is empty outside a workflow')
    expect(problemsIn(`${base}url: "\${{ pull_request.number }}"`, {}, { 'pull_request.number': '7' })).toEqual([])
  })
  it('of a server’s variables count when a server has them', () =>
    expect(
      problemsIn(
        'application: a\nssh: {user: d}\nservers: [{host: h, env: {PORT: 1}}]\nverify: {http: {path: "/${{ server.env.PORT }}"}}',
      ),
    ).toEqual([]))
})

describe('scripts', () => {
  it.each([
    ['release.id', 'read $DEPLOY_RELEASE'],
    ['release.path', 'read $DEPLOY_RELEASE_PATH'],
    ['release.sha', 'read $DEPLOY_SHA'],
    ['server.name', 'read $DEPLOY_SERVER'],
    ['server.host', 'read $DEPLOY_HOST'],
    ['application', 'read $DEPLOY_APPLICATION'],
    ['environment', 'read $DEPLOY_ENVIRONMENT'],
    ['pull_request.number', 'read $DEPLOY_PULL_REQUEST'],
    ['env.PORT', 'read $PORT'],
    ['server.env.PORT', 'read $PORT'],
    ['secrets.TOKEN', 'list TOKEN under secrets and read $TOKEN'],
    ['vars.X', 'write `X:` without a value under env and read $X'],
    ['inputs.x', 'write `x:` without a value under env and read $x'],
    ['github.run_id', 'write `RUN_ID: ${{ github.run_id }}` under env and read $RUN_ID'],
    ['server.id', 'write `SERVER_ID: ${{ server.id }}` under env and read $SERVER_ID'],
    [
      'github.head_ref',
      'read a variable: those of env and secrets, and DEPLOY_RELEASE, DEPLOY_SERVER and the others of the reference',
    ],
  ])('are never interpolated; ${{ %s }} names the variable', (name, hint) =>
    expect(problems(`activate:\n  - run: |\n      echo a\n      echo \${{ ${name} }}\n`)).toEqual([
      `7:12 activate[0].run: a script is never interpolated, \${{ ${name} }} would be run as it stands → ${hint}`,
    ]),
  )
  it.each([
    ['activate: "echo ${{ application }}"', '4:17 activate[0].run'],
    ['migrate: "echo ${{ application }}"', '4:16 migrate.run'],
    ['verify: {command: "echo ${{ application }}"}', '4:25 verify[0].command'],
    [
      'load_balancers: {e: {provider: command, remove: "${{ application }}", drained: d, add: a, serving: s}}',
      '4:50 load_balancers.e.remove',
    ],
  ])('of all kinds are checked: %s', (text, place) =>
    expect(first(text)).toContain(`${place}: a script is never interpolated`),
  )
})

it('a manifest that is read keeps its look-ups for later', () =>
  expect(read('env: {A: "${{ server.name }}"}').env).toEqual({ A: '${{ server.name }}' }))
